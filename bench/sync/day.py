"""THE STORE'S DAY: four tills sell, talk and listen; what the line carries, by kind of message.

Real baskets of four busy stores are sold to made-up accounts, as many as a large store has; each
till holds them all, and the tills hear each other. Pulls wait at the centre as long as it
announces; a sale is pushed beside them.
"""

import heapq
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.link.comparing import Compared
from agent.link.holding import Holding
from agent.link.worker import LinkSettings
from bench.grocery.customers import card_number
from bench.sync.counting import Traffic
from bench.sync.lan import Lan
from bench.sync.store import HOLD_S, JoinedStore, StoreTill, day_id, joined_store
from bench.till.progress import Bar
from bench.till.shop import Sale, Shop
from central.rights.issuing import RightsSettings

OPEN_HOURS = 14
TILLS = 4
_ANONYMOUS = 30
_SALE, _HEAR = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """How large the day is.

    Attributes:
        hello_interval_s, hello_interval_held_s: as in the agent's settings.
    """

    receipts_per_till: int = 400
    accounts: int = 10_000
    hello_interval_s: float = LinkSettings().hello_interval_s
    hello_interval_held_s: float = LinkSettings().hello_interval_held_s


async def measure(shop: Shop, day: Day, *, seed: int, folder: Path) -> dict[str, Any]:
    """Play the day; returns the figures."""
    people = list(_people(shop, day, seed=seed))
    rights = RightsSettings(grants_per_pull_max=500, grant_points_min=25)
    async with joined_store(folder, shop.bundle, people, rights) as store:
        for number in range(TILLS):
            await store.enrol(shop.store, is_vault=number == 0)
        first = await _first_contact(store)
        before = [till.traffic.copy() for till in store.tills]
        lan = Lan([till.core.till for till in store.tills])
        for till in store.tills:
            till.lan = lan
        await _play(store, list(_sales(shop, day, seed=seed)), day, lan)
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
        "lan_asks": lan.asks,
        "lan_answer_bytes": lan.answer_bytes,
        "tills": TILLS,
        "receipts": TILLS * day.receipts_per_till,
        "accounts": day.accounts,
        "open_hours": OPEN_HOURS,
        "hold_s": HOLD_S,
        "hello_interval_s": day.hello_interval_held_s,
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
    for till in store.tills:
        # What the grants to the vault changed in the accounts: no feed tells of that, but each till
        # compares them once a day.
        till.core.till.cache.put_value("compared", Compared(at_ms=0))
        await till.talk(hello=False)
    sizes = [till.traffic.body_bytes for till in store.tills]
    return {"vault": sizes[0], "other_till": sizes[-1]}


async def _play(store: JoinedStore, sales: Sequence[Sale], day: Day, lan: Lan) -> None:
    bar = Bar("the store's day", len(sales))
    gap_s = OPEN_HOURS * 3600 / len(sales)
    agenda: list[tuple[float, int, int, int]] = []
    for number in range(len(sales)):
        heapq.heappush(agenda, (number * gap_s, _SALE, number % TILLS, number))
    pulls = [
        _Pulls(till, day, random.Random(place), store.apply)
        for place, till in enumerate(store.tills)
    ]
    for place, each in enumerate(pulls):
        await each.begin(0)
        heapq.heappush(agenda, (each.ends_at_s, _HEAR, place, 0))
    began_ms = store.world.moved_ms
    while agenda:
        at_s, what, place, number = heapq.heappop(agenda)
        if at_s > OPEN_HOURS * 3600:
            break
        each = pulls[place]
        store.world.moved_ms = began_ms + at_s * 1000
        lan.beat()
        if what == _SALE:
            await each.till.sell(day_id(number), sales[number])
            await each.till.tell()
            bar.step()
        else:
            await each.end(at_s)
            heapq.heappush(agenda, (each.ends_at_s, _HEAR, place, 0))
        await store.apply()
    bar.end()


class _Pulls:
    """The pulls of a till that wait one after the other, and its HELLOs, as in the link worker."""

    def __init__(
        self,
        till: StoreTill,
        day: Day,
        rng: random.Random,
        apply: Callable[[], Awaitable[int]],
    ) -> None:
        self._apply = apply
        self.till = till
        self.ends_at_s = 0.0
        self._day = day
        self._rng = rng
        self._holding = Holding(most_s=LinkSettings().hold_s_max)
        self._greeted_s = 0.0
        self._waits_s = 0

    async def begin(self, at_s: float) -> None:
        """Have a pull wait."""
        self._waits_s = self._holding.wait_s(self.till.side.hold_s, self._rng.random())
        await self.till.listen(self._waits_s, self._apply)
        self.ends_at_s = at_s + self._waits_s

    async def end(self, at_s: float) -> None:
        """Take the answer, compare streams if that is due, and have another one wait."""
        await self.till.hear()
        self._holding.answered(self._waits_s, self._waits_s, brought_news=False)
        ago_s = at_s - self._greeted_s
        if ago_s >= self._day.hello_interval_held_s or (
            ago_s >= self._day.hello_interval_s and self.till.side.wants_hello()
        ):
            await self.till.compare_streams()
            self._greeted_s = at_s
        await self.till.report()
        await self.begin(at_s)
