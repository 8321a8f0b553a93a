"""The households as accounts with cards, tier, segments and points, the same for one seed."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from bench.grocery.data import Selection
from bench.grocery.draws import Draws
from bench.grocery.offers import segment
from loyalty.account import AccountSnapshot

_CARD_PREFIX = "29"
"""GS1 leaves numbers that begin with 20 to 29 to the shops."""
_SECOND_CARD_PER_MILLE = 250
_GOLD_PERCENT, _SILVER_PERCENT = 10, 40
"""Share of households, biggest spenders first, up to which a tier reaches."""
_OPENING_POINTS = (200, 2500)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningLot:
    """Points an account begins with; `expires_on` is the first day they no longer count."""

    name: str
    points: int
    active_from: str
    expires_on: str
    restriction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A household as the centre will know it; the account's number is the household's."""

    account_id: int
    tier: str
    segments: tuple[str, ...]
    home_store: str
    cards: tuple[str, ...]
    lots: tuple[OpeningLot, ...]

    @property
    def points(self) -> int:
        """Points to begin with."""
        return sum(lot.points for lot in self.lots)

    def snapshot(self) -> AccountSnapshot:
        """Return the account as a till sees it before the first sale."""
        return AccountSnapshot(
            identified=True,
            account_id=self.account_id,
            tier=self.tier,
            segments=self.segments,
            points=self.points,
            version=1,
        )


def build_accounts(selection: Selection, *, seed: int) -> tuple[Account, ...]:
    """Return an account for every household of the selection, by number."""
    visits: dict[int, Counter[str]] = defaultdict(Counter)
    spent: Counter[int] = Counter()
    for basket in selection.baskets:
        visits[basket.household_id][basket.store_id] += 1
        spent[basket.household_id] += basket.paid_minor
    order = sorted(spent, key=lambda household: (-spent[household], household))
    rank = {household: place for place, household in enumerate(order)}
    return tuple(
        Account(
            account_id=household,
            tier=_tier(rank[household], len(order)),
            segments=tuple(
                segment(campaign) for campaign in selection.audiences.get(household, ())
            ),
            home_store=_most_visited(visits[household]),
            cards=_cards(household, seed),
            lots=_lots(household, selection, seed),
        )
        for household in sorted(visits)
    )


def load_documents(
    selection: Selection, accounts: Iterable[Account]
) -> Iterator[dict[str, object]]:
    """Yield what `tillside-central load` reads: the stores, then the accounts."""
    for store in selection.stores:
        # Moments of the replay are local already; the stores' zone must not move them again.
        yield {"kind": "store", "store": store, "region": "", "banner": "", "time_zone": "UTC"}
    for account in accounts:
        yield {
            "kind": "account",
            "account_id": account.account_id,
            "tier": account.tier,
            "segments": list(account.segments),
            "home_store": account.home_store,
            "cards": list(account.cards),
            "lots": [
                {
                    "name": lot.name,
                    "points": lot.points,
                    "active_from": lot.active_from,
                    "expires_on": lot.expires_on,
                    "restriction": lot.restriction,
                }
                for lot in account.lots
            ],
        }


def write_load_file(path: Path, selection: Selection, accounts: Sequence[Account]) -> int:
    """Write the file for `tillside-central load`; return the number of its lines."""
    lines = [json.dumps(document) for document in load_documents(selection, accounts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def card_number(household: int, place: int) -> str:
    """Return a household's card: 13 digits, the last one the check digit of EAN-13."""
    digits = f"{_CARD_PREFIX}{place}{household:09d}"
    weighted = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"


def _cards(household: int, seed: int) -> tuple[str, ...]:
    count = 2 if Draws(seed, "cards", household).happens(_SECOND_CARD_PER_MILLE) else 1
    return tuple(card_number(household, place) for place in range(count))


def _tier(rank: int, households: int) -> str:
    if rank * 100 < households * _GOLD_PERCENT:
        return "gold"
    return "silver" if rank * 100 < households * _SILVER_PERCENT else ""


def _most_visited(visits: Counter[str]) -> str:
    return min(visits, key=lambda store: (-visits[store], store))


def _lots(household: int, selection: Selection, seed: int) -> tuple[OpeningLot, ...]:
    draws = Draws(seed, "lots", household)
    first_day = date.fromisoformat(selection.window(selection.first_week)[0][:10])
    after = date.fromisoformat(selection.window(selection.last_week)[1][:10])
    points, count = draws.between(*_OPENING_POINTS), draws.between(1, 3)
    ends = after + timedelta(days=draws.between(30, 90))
    lots = []
    for place in range(count):
        share = points // count + (points % count if place == 0 else 0)
        lots.append(
            OpeningLot(
                name=f"opening-{place + 1}",
                points=share,
                active_from=(first_day - timedelta(days=draws.between(30, 300))).isoformat(),
                expires_on=ends.isoformat(),
            )
        )
        ends += timedelta(days=draws.between(30, 120))
    return tuple(lots)
