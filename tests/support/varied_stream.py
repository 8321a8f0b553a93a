"""Days of records of every kind from several tills, drawn from a seed, and tables to compare.

Tills earn, redeem from every kind of right, give up, bring home, return, repeat, diverge and lie.
Two centres that play the same seed get the same bytes in the same order.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from central.database.pool import Pool
from central.rights.tending import tend
from loyalty.account import Allowance
from loyalty.bundle import Bundle
from loyalty.offers import AmountOff, Limits, PointsPerMoney, SharedLimit, Who
from sync.messages import Grant
from sync.records import CounterDrawn, SaleRecord, Source
from tests.support import builders
from tests.support.centre import JoinedCentre
from tests.support.till_probe import TillProbe, risk, take

STORES = ("store-1", "store-2", "store-3")
ACCOUNTS = 9
LATE_CARD = "7000"
"""Nobody is known by it until the last day."""
SHARED = "campaign.uses:hundred"

Apply = Callable[[], Awaitable[None]]


def rules() -> Bundle:
    """Return points for everybody with a card, an offer limited by account, one limited for all."""
    return builders.bundle(
        builders.offer(
            "tenth", PointsPerMoney(points=1, per_minor=10), who=Who(identified=True)
        ),
        builders.offer(
            "welcome", AmountOff(amount_minor=30), who=Who(identified=True),
            limits=Limits(uses_per_account_max=3),
        ),
        builders.offer("hundred", limits=Limits(campaign=SharedLimit(uses_max=12))),
        version=2,
    )  # fmt: skip


@dataclass(slots=True)
class VariedStream:
    """Plays one seed on one centre."""

    centre: JoinedCentre
    draw: random.Random
    apply: Apply
    tills: list[TillProbe] = field(default_factory=list)
    grants: dict[int, list[Grant]] = field(default_factory=dict)
    counters: dict[int, list[str]] = field(default_factory=dict)
    sales: list[SaleRecord] = field(default_factory=list)
    _made: int = 0

    async def play(self, days: int = 3) -> None:
        """Set the scene and let days pass."""
        await self._set_scene()
        for day in range(days):
            for _ in range(3):
                await self._talk()
                for _ in range(self.draw.randint(4, 14)):
                    await self._happen()
                for till in self.draw.sample(self.tills, len(self.tills)):
                    if till.acked < len(till.bodies):
                        await till.push()
                await self.apply()
            if day == days - 2:
                await self._lose_a_till()
            self.centre.system.pass_days(1)
            for till in self.tills:
                if self.draw.random() < 0.5:
                    await till.hello()
        await self.centre.load(
            {"kind": "account", "account_id": 70, "cards": [LATE_CARD], "home_store": ""}
        )
        await self.apply()
        await self.apply()

    async def _set_scene(self) -> None:
        await self.centre.fund(4_000)
        for store in STORES[1:]:
            await self.centre.store(store)
        await self.centre.publish(rules())
        for store in STORES:
            self.tills.append(await self.centre.till(store, is_vault=True))
        self.tills.append(await self.centre.till())
        for account_id in range(1, ACCOUNTS + 1):
            points = [self.draw.choice((0, 60, 150, 300)) for _ in range(3)]
            ends = [
                self.draw.choice(("", "2025-03-06", "2025-04-01", "2025-09-01")) for _ in points
            ]
            home = self.draw.choice(("", *STORES))
            await self.centre.customer(
                account_id, *(each for each in points if each), card=f"40{account_id}", home=home,
                ends=ends,
            )  # fmt: skip

    async def _talk(self) -> None:
        for till in self.tills:
            for grant in (await till.pull()).grants:
                self.grants.setdefault(till.till_id, []).append(grant)
            if self.draw.random() < 0.3:
                for counter in (await till.ask_counters(SHARED, amount=1)).grants:
                    self.counters.setdefault(till.till_id, []).append(counter.grant_id)

    async def _happen(self) -> None:
        till = self.draw.choice(self.tills)
        self._made += 1
        key = f"key-{self._made}"
        kind = self.draw.random()
        if kind < 0.7:
            sale = await self._sale(till, key)
            self.sales.append(sale)
            till.append(sale)
        elif kind < 0.76 and self.sales:
            again = self.draw.choice(self.sales)
            if self.draw.random() < 0.5:
                again = msgspec.structs.replace(
                    till.sale(key, builders.line(gross_minor=777), account=3), key=again.key
                )
            till.append(again)
        elif kind < 0.8:
            await till.authorise(key, self._account(), 40)
            till.append(till.void(key))
        elif kind < 0.86 and self.sales:
            till.append(till.refund(key, self.draw.choice(self.sales).key))
        elif kind < 0.96 and self.grants.get(till.till_id):
            grant = self.draw.choice(self.grants[till.till_id])
            till.append(till.give_back(grant, self.draw.randint(1, grant.points)))
        else:
            till.append(self.draw.choice((b"no record", b'{"kind":"sale"}')))

    def _account(self) -> int:
        chosen: int = self.draw.choice((1, 1, 2, *range(1, ACCOUNTS + 1)))
        return chosen

    async def _sale(self, till: TillProbe, key: str) -> SaleRecord:
        account = self._account()
        if self.grants.get(till.till_id) and self.draw.random() < 0.5:
            grant: Grant = self.draw.choice(self.grants[till.till_id])
            account = grant.account_id
        gross_minor = self.draw.choice((500, 1_000, 2_400))
        basket = builders.line(gross_minor=gross_minor)
        kind = self.draw.random()
        if kind < 0.12:
            return till.sale(key, basket)
        if kind < 0.2:
            card = self.draw.choice((LATE_CARD, "401", "402"))
            return till.sale(key, basket, card=card)
        if kind < 0.26 and self.counters.get(till.till_id):
            drawn = self.draw.choice(self.counters[till.till_id])
            return till.sale(
                key, basket, account=account, allowance=Allowance(left={SHARED: 1}),
                drawn=[CounterDrawn(drawn, 1)],
            )  # fmt: skip
        sale = till.sale(
            key, basket, account=account, sources=await self._sources(till, key, account)
        )
        if kind < 0.3:
            printed = bytes(sale.calculation).replace(b'"paid_minor"', b'"paid_minor" ')
            return msgspec.structs.replace(sale, calculation=msgspec.Raw(printed))
        return sale

    async def _sources(self, till: TillProbe, key: str, account: int) -> list[Source]:
        sources: list[Source] = []
        if self.draw.random() < 0.3:
            asked = self.draw.randint(10, 120)
            rights = (await till.authorise(key, account, asked)).authorisations
            sources += [take(right, self.draw.randint(1, right.points)) for right in rights]
        held = [each for each in self.grants.get(till.till_id, ()) if each.account_id == account]
        if held and self.draw.random() < 0.8:
            grant = self.draw.choice(held)
            sources.append(take(grant, self.draw.randint(1, min(grant.points, 90))))
        if self.draw.random() < 0.15:
            sources.append(risk(self.draw.randint(5, 60)))
        return sources[:2]

    async def _lose_a_till(self) -> None:
        """A till is silent until its rights are written off, and speaks again; one is revoked."""
        self.centre.system.pass_days(40)
        await tend(
            self.centre.pool,
            now_ms=self.centre.system.now_ms(),
            settings=self.centre.parts.desk.rights.settings,
        )
        self.centre.system.pass_days(-40)
        await self.centre.pool.execute(
            "update till set revoked = true where till_id = $1", self.tills[1].till_id
        )
        lost = self.tills[2]
        lost.forget_after(len(lost.bodies) - 1)
        lost.append(lost.sale("diverged", account=5))
        await lost.push(lost.acked)
        self.tills = [self.tills[0], self.tills[3]]


_TABLES = (
    "account", "account_counter", "account_visit", "card", "counter_grant", "grant_wish", "inbox",
    "ledger_entry", "ledger_posting", "lot", "outcome", "receipt", "redemption_lot", "refund",
    "returned_line", "right_grant", "right_grant_lot", "right_transfer", "risk_pool",
    "shared_counter", "store_interest", "stream_cycle", "stream_suspicion", "till_rights",
    "till_stream", "voided_key",
)  # fmt: skip


async def tables(pool: Pool) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table that records change; of the feed who is told of what."""
    found = {}
    for table in _TABLES:
        rows = await pool.fetch(f"select * from {table}")
        found[table] = sorted((dict(row) for row in rows), key=repr)
    told = await pool.fetch("select distinct scope, account_id, arrival from feed")
    found["feed"] = sorted((dict(row) for row in told), key=repr)
    return found
