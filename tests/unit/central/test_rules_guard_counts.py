"""What a guard counts: tills that wait, no refusals of before a resume, each receipt, in steps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rules.guarding import BUCKET_MS, RuleGuard
from central.rules.reports import note_report
from loyalty.bundle import Product
from sync.rule_messages import RulesReport
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, JoinedCentre
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import TillProbe
from tests.unit.central.test_rules_life import Office
from tests.unit.central.test_rules_scheduled import MONDAY, Shop, reopened, rules

HOUR_MS = 3_600_000
NAMELESS = bundle(*BUNDLE.offers, offer("five", percent(5)), catalogue={"": Product()})
"""Tills refuse it."""


async def said(
    centre: JoinedCentre, till: TillProbe, bundle_hash: str, report: RulesReport
) -> None:
    async with centre.pool.acquire() as connection:
        now_ms = centre.system.now_ms()
        await note_report(connection, till.till_id, bundle_hash, report, now_ms=now_ms)


# What tills say


@pytest.mark.parametrize(("refusing", "halts"), [(1, False), (2, True)])
async def test_tills_at_which_a_release_waits_are_counted_among_those_that_have_it(
    centre: JoinedCentre, refusing: int, *, halts: bool
) -> None:
    office = await Office.of(centre)
    first = await office.published(await office.approved(rules(10)), "everywhere")
    title = await office.approved(rules(20))
    monday = await office.published(title, "everywhere", activate_at=MONDAY)
    waits = RulesReport(version=monday.version, waiting=monday.bundle)
    refuses = RulesReport(version=first.version, refused=monday.bundle, why="slow")
    for number in range(100):
        till = await centre.till()
        await said(centre, till, first.bundle, refuses if number < refusing else waits)
    halted = await RuleGuard(centre.pool, centre.system).look()
    assert [each.why for each in halted] == ["2 of 100 tills refuse it"] * halts


async def test_what_a_till_counts_while_a_release_waits_there_is_of_what_is_in_force(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    first = await office.published(await office.approved(rules(10)), "everywhere")
    title = await office.approved(rules(20))
    monday = await office.published(title, "everywhere", activate_at=MONDAY)
    report = RulesReport(version=monday.version, waiting=monday.bundle, calculated=1_000, slow=500)
    await said(centre, await centre.till(), first.bundle, report)
    (halted,) = await RuleGuard(centre.pool, centre.system).look()
    assert halted.version == first.version
    assert halted.why == "50.00 % of its calculations are slow, 0.00 % of others"


async def test_a_till_that_starts_anew_does_not_halt_what_somebody_resumed(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    """It says again what it refused before, which the centre had forgotten meanwhile."""
    office = await Office.of(centre)
    shop = Shop(office, await TillOnCentre.enrolled(centre, tmp_path / "till"))
    await shop.publish(10)
    guard = RuleGuard(centre.pool, centre.system)
    broken = await office.published(await office.approved(NAMELESS), "everywhere")
    await shop.talk()
    assert await guard.look()
    centre.system.at_ms += 20_000
    await office.do("resume", broken.version, why="so")
    await shop.talk()
    reopened(shop)
    why = []
    for _ in range(3):
        centre.system.at_ms += 10_000
        await shop.till.talk()
        why.append(await centre.pool.fetchval("select why from till_rules"))
        assert not await guard.look()
    assert why == ["", "refused before", "refused before"]
    shop.till.close()


# Receipts


class Watched:
    """A pool that keeps what was counted."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries("central.rules", "guarding.sql")["count_receipts"]
        self.counted: list[tuple[int, int]] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection:
            with connection.query_logger(self._note):
                yield connection

    def _note(self, asked: LoggedQuery) -> None:
        if asked.query == self._sql:
            begin_ms, end_ms, bucket_ms = asked.args
            assert begin_ms % bucket_ms == end_ms % bucket_ms == 0
            self.counted.append((begin_ms, end_ms))


class Sales:
    """A till that sells, and a release that is looked after."""

    def __init__(self, office: Office, till: TillProbe) -> None:
        self.office = office
        self.centre = office.centre
        self.till = till
        self._sold = 0

    @classmethod
    async def of(cls, centre: JoinedCentre) -> "Sales":
        office = await Office.of(centre)
        await office.published(await office.approved(rules(10)), "everywhere")
        return cls(office, await centre.till())

    async def sell(self, hours: int) -> None:
        """Sell a receipt an hour."""
        for _ in range(hours):
            self._sold += 1
            await self.centre.post(self.till, self.till.sale(f"sale {self._sold}"))
            self.centre.system.at_ms += HOUR_MS

    async def counted(self) -> list[tuple[int, int]]:
        """Let a guard that has just started look; returns from when till when it counted."""
        watched = Watched(self.centre.pool)
        await RuleGuard(cast("Pool", watched), self.centre.system).look()
        return watched.counted

    async def receipts(self) -> int:
        asks = "select sum(receipts)::bigint from rule_count"
        return int(await self.centre.pool.fetchval(asks) or 0)


async def test_a_guard_that_starts_anew_counts_on_from_where_the_last_one_was(
    centre: JoinedCentre,
) -> None:
    sales = await Sales.of(centre)
    await sales.sell(30)
    await sales.counted()
    newest_ms = await centre.pool.fetchval("select max(bucket_ms) from rule_count")
    await sales.sell(2)
    counted = await sales.counted()
    assert newest_ms - 60_000 < counted[0][0] < newest_ms - 20_000
    assert await sales.receipts() == 32


async def test_what_was_missed_is_counted_in_short_steps_that_leave_nothing_out(
    centre: JoinedCentre,
) -> None:
    sales = await Sales.of(centre)
    begin_ms = centre.system.at_ms // BUCKET_MS * BUCKET_MS
    await sales.sell(30)
    counted = await sales.counted()
    assert [begin for begin, _ in counted[1:]] == [end for _, end in counted[:-1]]
    assert max(end - begin for begin, end in counted) <= HOUR_MS // 2
    assert counted[0][0] == begin_ms
    assert counted[-1][1] > centre.system.at_ms
    assert await sales.receipts() == 30


async def test_what_was_counted_stands_though_a_later_step_fails(
    centre: JoinedCentre,
) -> None:
    sales = await Sales.of(centre)
    begin_ms = centre.system.at_ms
    await sales.sell(4)
    await centre.pool.execute(
        f"alter table rule_count add constraint later check (bucket_ms < {begin_ms + 2 * HOUR_MS})"
    )
    guard = RuleGuard(centre.pool, centre.system)
    for _ in range(2):
        with pytest.raises(asyncpg.CheckViolationError):
            await guard.look()
    assert await sales.receipts() == 2
    await centre.pool.execute("alter table rule_count drop constraint later")
    await guard.look()
    assert await sales.receipts() == 4


async def test_what_nobody_counted_because_nothing_was_young_is_not_passed_over_later(
    centre: JoinedCentre,
) -> None:
    """What was counted last is of before the release: all of its own receipts are counted."""
    sales = await Sales.of(centre)
    await sales.sell(2)
    await sales.counted()
    centre.system.pass_days(4)
    await sales.sell(2)
    assert await sales.counted() == []
    office = sales.office
    since_ms = centre.system.at_ms // BUCKET_MS * BUCKET_MS
    await office.published(await office.approved(rules(20)), "everywhere")
    await sales.sell(2)
    assert (await sales.counted())[0][0] == since_ms
    assert await sales.receipts() == 4
