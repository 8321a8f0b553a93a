"""Risk budgets: what a till may redeem with nothing set aside, taken from the pool beforehand.

The bound is the till's (design: sync 5, I13): a new stream is given what the bound leaves beside
all that streams before it have not settled. What a stream that is over has not settled is written
off as rights are: the pool keeps it back until its receipts come, and it counts against the till no
more. Of a revoked till no receipt is posted any more, so nothing need be kept back for it.
"""

from collections.abc import Sequence

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rights.grants import Holder

_SQL = load_queries("central.rights", "budgets.sql")

_DAY_MS = 86_400_000
_AT_ONCE = 500


class BudgetsWrittenOff(msgspec.Struct, frozen=True, kw_only=True):
    """Points of budgets nobody will spend any more, as far as anybody knows.

    Attributes:
        kept: the pool keeps them back, among its exposures, until receipts of them come.
        home: free again.
    """

    kept: int = 0
    home: int = 0


class TillBudgets(msgspec.Struct, frozen=True, kw_only=True):
    """What streams of a till have not settled.

    Attributes:
        open: given to them.
        kept: written off and kept back by the pool.
    """

    open: int = 0
    kept: int = 0


async def give_budget(connection: Connection, holder: Holder, *, seq: int, points_max: int) -> int:
    """Fill a till's budget to its limit; its row is locked, so that it speaks once at a time.

    A stream that was written off and is heard of has its budget again.

    Args:
        seq: the stream's last record; it and those before were written without what is given now.
        points_max: the most the till may have unsettled, over all its streams.

    Returns:
        All ever given to the incarnation.
    """
    whose = (holder.till_id, holder.incarnation)
    rows = await connection.fetch(_SQL["lock_streams"], *whose)
    own = next(row for row in rows if row["incarnation"] == holder.incarnation)
    unsettled = sum(row["open"] for row in rows) + own["kept"]
    again = given = 0
    if own["kept"]:
        await connection.execute(_SQL["take_from_exposures"], own["kept"])
    if own["home"]:
        # The till may have it still, so it comes before anything new.
        again = await connection.fetchval(_SQL["reserve_from_pool"], own["home"])
    missing = points_max - unsettled - own["home"]
    if missing > 0:
        given = await connection.fetchval(_SQL["reserve_from_pool"], missing)
    if given or again or own["kept"]:
        await connection.execute(_SQL["give"], *whose, given, own["kept"], again, seq, points_max)
        bound = max(points_max, unsettled + again)
        await connection.execute(_SQL["bound_till"], holder.till_id, bound)
    total: int = own["total"] + given
    return total


async def count_tills(connection: Connection, till_ids: Sequence[int]) -> None:
    """Count anew what tills have unsettled, after some of it was taken; the pool is locked."""
    await connection.execute(_SQL["count_tills"], list(till_ids))


async def write_off_due(pool: Pool, *, now_ms: int, days: int) -> BudgetsWrittenOff:
    """Write off what has been over for so many days, and all of revoked tills."""
    before_ms = now_ms - days * _DAY_MS
    kept = home = 0
    for row in await pool.fetch(_SQL["over"], before_ms, _AT_ONCE):
        done = await write_off(pool, row["till_id"], now_ms=now_ms, days=days)
        kept, home = kept + done.kept, home + done.home
    return BudgetsWrittenOff(kept=kept, home=home)


async def write_off(
    pool: Pool, till_id: int, *, now_ms: int, days: int | None = None
) -> BudgetsWrittenOff:
    """Write off what streams of a till have unsettled, in one transaction.

    Args:
        days: only of streams that have been over for so long; None = of all, because an operator
            knows that the till's disk is destroyed.
    """
    before_ms = now_ms - (days or 0) * _DAY_MS
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(_SQL["lock_over"], till_id, days is None, before_ms)
        kept = sum([await _keep_back(connection, till_id, row, now_ms) for row in rows])
        home = sum([await _bring_home(connection, till_id, row) for row in rows])
        if kept or home:
            await count_tills(connection, [till_id])
    return BudgetsWrittenOff(kept=kept, home=home)


async def _keep_back(connection: Connection, till_id: int, row: asyncpg.Record, now_ms: int) -> int:
    if row["revoked"] or not row["open"]:
        return 0
    points: int = row["open"]
    await connection.execute(_SQL["keep_back"], till_id, row["incarnation"], points, now_ms)
    await connection.execute(_SQL["pool_keeps_back"], points)
    return points


async def _bring_home(connection: Connection, till_id: int, row: asyncpg.Record) -> int:
    if not row["revoked"]:
        return 0
    points: int = row["open"] + row["kept"]
    whose = (till_id, row["incarnation"])
    await connection.execute(_SQL["come_home"], *whose, points, row["kept"])
    await connection.execute(_SQL["pool_has_again"], row["open"], row["kept"])
    return points


async def budgets_of(pool: Pool, till_id: int) -> TillBudgets:
    """Return what a till has unsettled."""
    row = await pool.fetchrow(_SQL["budgets_of_till"], till_id)
    assert row is not None
    return TillBudgets(open=row["open"], kept=row["kept"])


async def give_up_kept(pool: Pool, till_id: int, *, before_ms: int) -> int:
    """Have free again what was written off before a moment and is kept back for a silent till.

    No account ever had these points, so none loses them. Should a receipt come after all, its
    customer's own points pay for it, and the pool for the rest, as far as it has any free.

    Returns:
        How many points.
    """
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(_SQL["lock_kept"], till_id, before_ms)
        total = 0
        for row in rows:
            points: int = row["kept"]
            await connection.execute(_SQL["come_home"], till_id, row["incarnation"], points, points)
            await connection.execute(_SQL["pool_has_again"], 0, points)
            total += points
    return total
