"""THE STORE'S DAY: four tills sell, talk and listen; what the line carries, by kind of message.

Real baskets of four busy stores are sold to made-up accounts, as many as a large store has; each
till holds them all. A talk that brings nothing new is held once and then counted as often as it
comes round: its bytes are the same but for the digits of a cursor.
"""

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.link.rhythm import Rhythm
from agent.link.worker import LinkSettings
from bench.grocery.customers import card_number
from bench.sync.counting import Traffic
from bench.sync.store import JoinedStore, StoreTill, day_id, joined_store
from bench.till.progress import Bar
from bench.till.shop import Sale, Shop
from central.rights.issuing import RightsSettings

OPEN_HOURS = 14
TILLS = 4
_ANONYMOUS = 30
_SALE, _TALK = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """How large the day is.

    Attributes:
        pull_interval_s, hello_interval_s: as in the agent's settings.
    """

    receipts_per_till: int = 400
    accounts: int = 10_000
    pull_interval_s: float = LinkSettings().pull_interval_s
    hello_interval_s: float = LinkSettings().hello_interval_s


async def measure(shop: Shop, day: Day, *, seed: int, folder: Path) -> dict[str, Any]:
    """Play the day; returns the figures."""
    people = list(_people(shop, day, seed=seed))
    rights = RightsSettings(grants_per_pull_max=500)
    async with joined_store(folder, shop.bundle, people, rights) as store:
        for number in range(TILLS):
            await store.enrol(shop.store, is_vault=number == 0)
        first = await _first_contact(store)
        before = [till.traffic.copy() for till in store.tills]
        await _play(store, list(_sales(shop, day, seed=seed)), day)
        total = Traffic()
        for till, start in zip(store.tills, before, strict=True):
            total.add(till.traffic.since(start))
    return {
        "store_day_bytes": total.body_bytes,
        "up_bytes": total.up.total(),
        "down_bytes": total.down.total(),
        "header_bytes": total.headers.total(),
        "exchanges": total.exchanges.total(),
        "by_kind": total.report(),
        "first_contact_bytes": first,
        "tills": TILLS,
        "receipts": TILLS * day.receipts_per_till,
        "accounts": day.accounts,
        "open_hours": OPEN_HOURS,
        "pull_interval_s": day.pull_interval_s,
        "hello_interval_s": day.hello_interval_s,
    }


def _people(shop: Shop, day: Day, *, seed: int) -> Iterator[dict[str, object]]:
    """Yield the store and its accounts: tiers, segments and points of the real households."""
    yield {"kind": "store", "store": shop.store, "region": "", "banner": "", "time_zone": "UTC"}
    rng = random.Random(seed)
    for number in range(day.accounts):
        like = shop.accounts[number % len(shop.accounts)]
        yield {
            "kind": "account",
            "account_id": 1_000_000 + number,
            "tier": like.tier,
            "segments": list(like.segments),
            "home_store": shop.store,
            "cards": [_card(number)],
            "lots": [
                {
                    "name": "opening",
                    "points": rng.randrange(50, 1_500),
                    "active_from": "2020-01-01",
                    "expires_on": "",
                    "restriction": "",
                }
            ],
        }


def _card(number: int) -> str:
    return card_number(1_000_000 + number, 0)


def _sales(shop: Shop, day: Day, *, seed: int) -> Iterator[Sale]:
    """Yield the day's receipts in time order, on a day its card prices are valid."""
    rng = random.Random(seed + 1)
    count = TILLS * day.receipts_per_till
    last = max(sale.moment for sale in shop.sales)[:10]
    week = [sale for sale in shop.sales if sale.moment[:10] > _days_before(last, 6)]
    for number in range(count):
        sale = week[rng.randrange(len(week))]
        at = timedelta(seconds=OPEN_HOURS * 3600 * number // count)
        moment = (datetime.fromisoformat(f"{sale.moment[:10]}T07:00:00") + at).isoformat()
        card = "" if rng.randrange(1000) < _ANONYMOUS else _card(rng.randrange(day.accounts))
        yield replace(sale, card=card, moment=moment, redeem=sale.redeem if card else None)


def _days_before(day: str, days: int) -> str:
    return (
        (datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=days)).date().isoformat()
    )


async def _first_contact(store: JoinedStore) -> dict[str, int]:
    """Let all tills learn everything there is; returns the bytes of bodies it takes a till."""
    bar = Bar("tills learn the store", TILLS)
    for till in store.tills:
        while True:
            before = till.traffic.body_bytes
            held = till.core.till.journal.rights.points_held()
            await till.talk(hello=before == 0)
            await store.apply()
            if before and till.core.till.journal.rights.points_held() == held:
                break
        bar.step()
    bar.end()
    for till in store.tills:  # what the grants to the vault changed in the accounts
        await till.talk(hello=False)
    sizes = [till.traffic.body_bytes for till in store.tills]
    return {"vault": sizes[0], "other_till": sizes[-1]}


async def _play(store: JoinedStore, sales: Sequence[Sale], day: Day) -> None:
    bar = Bar("the store's day", len(sales))
    gap_s = OPEN_HOURS * 3600 / len(sales)
    agenda: list[tuple[float, int, int, int]] = []
    for number in range(len(sales)):
        heapq.heappush(agenda, (number * gap_s, _SALE, number % TILLS, number))
    rhythm = [_Rhythm(till, day) for till in store.tills]
    for place, each in enumerate(rhythm):
        heapq.heappush(agenda, (each.talk_at_s, _TALK, place, 0))
    began_ms = store.world.moved_ms
    news = 0
    while agenda:
        at_s, what, place, number = heapq.heappop(agenda)
        each = rhythm[place]
        if at_s > OPEN_HOURS * 3600 or (what == _TALK and at_s < each.talk_at_s):
            continue  # a sale made it talk meanwhile
        store.world.moved_ms = began_ms + at_s * 1000
        if what == _SALE:
            await each.till.sell(day_id(number), sales[number])
            bar.step()
        await each.talk(at_s, news=news, told=what == _SALE)
        news += await store.apply()
        heapq.heappush(agenda, (each.talk_at_s, _TALK, place, 0))
    bar.end()


class _Rhythm:
    """When a till talks, by the rules of the link worker."""

    def __init__(self, till: StoreTill, day: Day) -> None:
        self.till = till
        self.talk_at_s = day.pull_interval_s
        self._day = day
        self._rhythm = Rhythm(day.pull_interval_s)
        self._hello_at_s = 0.0
        self._news = -1
        self._idle: dict[bool, Traffic] = {}

    async def talk(self, at_s: float, *, news: int, told: bool) -> None:
        """Talk; a talk that can bring nothing new is counted like the last such one.

        Args:
            news: how many records the centre has posted so far.
            told: there is a record to push.
        """
        hello = at_s >= self._hello_at_s
        is_idle = not told and news == self._news
        if is_idle and hello in self._idle:
            self.till.traffic.add(self._idle[hello])
        else:
            before = self.till.traffic.copy()
            self.till.side.brought_news = False
            await self.till.talk(hello=hello)
            if is_idle:
                self._idle[hello] = self.till.traffic.since(before)
        self._news = news
        if hello:
            self._hello_at_s = at_s + self._day.hello_interval_s
        self.talk_at_s = at_s + self._rhythm.pause_s(
            brought_news=self.till.side.brought_news and not is_idle,
            holds_rights=self.till.core.till.journal.rights.points_held() > 0,
        )
