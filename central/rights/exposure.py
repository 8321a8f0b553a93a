"""The exposure meter: the most that can be overdrawn this minute, by cause (design: sync 9)."""

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool

_SQL = load_queries("central.rights", "queries.sql")


class PoolTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Where the risk pool's points are: funded = free + budgets + exposures + losses.

    Attributes:
        uncovered: overdraft that even the pool could not pay; anything above zero is an alarm.
    """

    funded: int
    free: int
    budgets: int
    exposures: int
    losses: int
    uncovered: int


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """What can be overdrawn, and what stands beside it; points.

    Attributes:
        points: the most that can be overdrawn this minute: the sum of the three causes.
        risk_budgets: tills may redeem so much with nothing set aside.
        write_offs: kept back by the pool for rights written off, should they have been spent.
        suspected_clones: what copies of streams that were seen twice may spend once more.
        clones: how many such streams.
        held: points in rights, which no till can overdraw.
        frozen: those of them whose till is not heard of past their end.
        counters_exceeded: shared counters of which more may have been given than their limit.
    """

    points: int
    risk_budgets: int
    write_offs: int
    suspected_clones: int
    clones: int
    held: int
    frozen: int
    pool: PoolTotals
    counters_exceeded: int = 0


async def read_exposure(source: Connection | Pool, *, wait_s: float | None = None) -> Exposure:
    """Read the meter, all of it in one statement.

    Args:
        wait_s: so long at most; None = as long as any statement.

    Raises:
        TimeoutError: it took longer.
    """
    row = await source.fetchrow(_SQL["exposure"], timeout=wait_s)
    assert row is not None
    causes: dict[str, int] = msgspec.json.decode(row["causes"])
    return Exposure(
        points=sum(causes.values()),
        **causes,
        clones=row["clones"],
        held=row["held"],
        frozen=row["frozen"],
        counters_exceeded=row["counters_exceeded"],
        pool=PoolTotals(**{name: row[name] for name in PoolTotals.__struct_fields__}),
    )
