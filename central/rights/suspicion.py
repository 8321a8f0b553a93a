"""Streams that were seen twice: a disk that came back from a copy, or two disks of one till.

Until it is cleared, such a stream stands in the exposure meter with what a copy of it may have
held and may spend between two HELLOs (design: sync 4.11 and I1).
"""

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rights.issuing import DAY_MS, RightsSettings

_SQL = load_queries("central.rights", "queries.sql")


async def suspect(
    connection: Connection, till_id: int, incarnation: bytes, *, reason: str, now_ms: int
) -> None:
    """Note that a stream was seen twice; of a stream nobody knows there are no rights.

    Seen once more it stands there anew.
    """
    await connection.execute(_SQL["suspect"], till_id, incarnation, reason, now_ms)


async def clear_old(pool: Pool, *, now_ms: int, settings: RightsSettings) -> int:
    """Clear what was noted so long ago that every right a copy may hold has ended since.

    The meter alone looks at this: no right and no money moves with it.

    Returns:
        How many streams.
    """
    days = settings.grant_days + settings.loss_days
    done = await pool.execute(_SQL["clear_old_suspicions"], now_ms - days * DAY_MS, now_ms)
    return int(done.rpartition(" ")[2])


async def clear_till(pool: Pool, till_id: int, *, now_ms: int) -> int:
    """Clear a till somebody has looked at; returns of how many of its streams."""
    done = await pool.execute(_SQL["clear_suspicions"], till_id, now_ms)
    return int(done.rpartition(" ")[2])
