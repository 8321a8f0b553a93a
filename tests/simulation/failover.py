"""A database that may be thrown back to a copy of itself, as by a failover that lags."""

import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from central.tills.feed import begin_epoch
from tests.simulation.customers import account_line
from tests.simulation.direct import open_direct
from tests.simulation.images import Images
from tests.simulation.kernel import really, sleep
from tests.simulation.stage import HOUR_MS, Stage

_BUDGETS = """
    select till_id, sum(risk_points_total)::bigint as points from till_stream group by till_id"""
_GIVEN_SINCE = "select till_id, grant_id, points from right_grant where issued_at_ms >= $1"
_KNOWN = "select account_id from account"


class SwitchingPool:
    """Passes everything to a pool, which may be exchanged; with one user nothing needs cleaning."""

    def __init__(self, dsn: str, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._dsn = dsn
        self._pool = pool
        self._copies: list[str] = []
        self._open: list[asyncpg.Connection[asyncpg.Record]] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a pool has
        return getattr(self._pool, name)

    async def copy(self) -> None:
        """Make a copy; from now on it is behind."""
        name = urlsplit(self._dsn).path[1:]
        copy = f"{name.partition('_at_')[0]}_at_{len(self._copies) + 1}"
        await self._pool.close()
        await self._on_server(f'create database "{copy}" template "{name}"')
        self._copies.append(copy)
        self._pool = await open_direct(self._dsn)

    async def fail_over(self) -> None:
        """Go on with the last copy; what happened since never did."""
        await self._pool.close()
        self._dsn = _with_database(self._dsn, self._copies[-1])
        self._pool = await open_direct(self._dsn)

    async def hold_back(self) -> None:
        """Leave a transaction open: what is written after it cannot be told for certain yet."""
        connection = await asyncpg.connect(_with_database(self._dsn, "template1"))
        await connection.execute("begin")
        await connection.fetchval("select pg_current_xact_id()::text")
        self._open.append(connection)

    async def let_go(self) -> None:
        """End the transaction that has been open longest, if there is one."""
        if self._open:
            await self._open.pop(0).close()

    async def let_all_go(self) -> None:
        """End every transaction that was left open."""
        while self._open:
            await self.let_go()

    async def close(self) -> None:
        """Close the pool and drop the copies."""
        await self.let_all_go()
        await self._pool.close()
        for copy in self._copies:
            await self._on_server(f'drop database if exists "{copy}" with (force)')

    async def _on_server(self, statement: str) -> None:
        connection = await asyncpg.connect(_with_database(self._dsn, "template1"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def open_simulation_pool(dsn: str) -> Any:  # noqa: ANN401 - it stands for a pool
    """Connect as the product does."""
    return SwitchingPool(dsn, await open_direct(dsn))


class HeldBack:
    """Leaves transactions open at the centre, as a dump, a report or a stuck process does."""

    def __init__(self, stage: Stage, *, database: SwitchingPool) -> None:
        self._stage = stage
        self._database = database
        self._draws: random.Random = stage.seed_stream("held back")

    def schedule(self) -> None:
        """Put on the agenda what the world's faults say."""
        days = self._stage.size.days
        count = int(self._stage.faults.held_back_per_day * days + self._draws.random())
        for at_ms in sorted(self._draws.randrange(days * 24 * HOUR_MS) for _ in range(count)):
            self._stage.kernel.at(at_ms, self._soon)

    def _soon(self) -> None:
        self._stage.kernel.start(self._hold_back(), "held back")

    async def _hold_back(self) -> None:
        hours = self._draws.choice((0.02, 0.5, 6.0)) * self._draws.uniform(0.2, 1)
        if self._stage.is_healed:
            return
        self._stage.chronicle.fault("feed held back", f"{hours:.2f} h")
        await really(self._database.hold_back())
        await sleep(int(hours * HOUR_MS))
        await really(self._database.let_go())


class FailOvers:
    """Has the centre go on with a copy of its database that is behind (design: sync 4.11, N17).

    What gives rights waits for the standby in life; here nothing does, so that what was given
    meanwhile is forgotten, and bounded. Tills that came or went wait: then there is no failover.
    """

    def __init__(
        self,
        stage: Stage,
        images: Images,
        *,
        database: SwitchingPool,
        bring_rules: Callable[[], Awaitable[None]],
    ) -> None:
        """Act on a world.

        Args:
            bring_rules: publishes again what the copy does not have: that waits for the standby.
        """
        self._stage = stage
        self._images = images
        self._database = database
        self._bring_rules = bring_rules
        self._draws: random.Random = stage.seed_stream("failovers")

    def schedule(self) -> None:
        """Put on the agenda what the world's faults say."""

        def soon() -> None:
            self._stage.kernel.start(self._fail_over(), "failover")

        self._stage.schedule(self._stage.faults.failovers_per_day, soon)

    def _give_up_what_nobody_has(self, forgotten: set[str]) -> None:
        """What the centre forgot and no journal holds any more is gone: in life it had waited."""
        stage = self._stage
        for till in stage.tills.values():
            taken = self._images.take(till)
            if taken is not None and till.machine_number not in stage.audited.dead:
                forgotten -= taken[1].keys
        stage.paper.destroyed |= forgotten - stage.lan.copies.survive(forgotten)

    async def _fail_over(self) -> None:
        stage, audited, pool = self._stage, self._stage.audited, self._stage.centre.pool
        if stage.is_healed:
            return
        copied_ms, commits = stage.centre.system.now_ms(), stage.commits
        given = {row["till_id"]: row["points"] for row in await really(pool.fetch(_BUDGETS))}
        await really(self._database.copy())
        if self._draws.random() < 0.3:
            await sleep(self._draws.randint(60_000, 1_800_000))
        else:
            # Customers come, and their tills say so, before and after in one session.
            online = [each for each in stage.stores if each not in stage.network.cut_stores]
            stage.rush(self._draws.choice(online or stage.stores), 4)
            await sleep(self._draws.randint(1_800_000, 3 * HOUR_MS))
        if stage.is_healed or commits != stage.commits:
            return
        for row in await really(pool.fetch(_BUDGETS)):
            more = row["points"] - given.get(row["till_id"], 0)
            audited.restored[row["till_id"]] += more
            audited.uncovered += more
        for row in await really(pool.fetch(_GIVEN_SINCE, copied_ms)):
            audited.restored[row["till_id"]] += row["points"]
            audited.uncovered += row["points"]
            audited.forgotten.add(row["grant_id"])
        had = await stage.keys_at_centre()
        await really(self._database.fail_over())
        # Another cluster takes over, or a person says so: tills compare what they know of accounts.
        await really(begin_epoch(pool, now_ms=stage.centre.system.now_ms()))
        await really(self._bring_rules())
        self._give_up_what_nobody_has(had - await stage.keys_at_centre())
        audited.failed_over_ms = stage.kernel.now_ms
        # Who had seen more of a restored stream may have been this centre alone.
        audited.overtaken = {
            stream: by for stream, by in audited.overtaken.items() if by == "anchor"
        }
        stage.auditor.forget()
        stage.chronicle.fault("failover", "to a copy that is behind")
        known = {row["account_id"] for row in await really(pool.fetch(_KNOWN))}
        for customer in stage.customers:
            if customer.account_id in stage.introduced - known:
                await really(stage.centre.load([account_line(customer)]))
