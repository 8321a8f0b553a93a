"""Streams that were seen twice: a disk that came back from a copy, or two disks of one till.

Until it is cleared, such a stream stands in the exposure meter with what a copy of it may have
held and may spend between two HELLOs (design: sync 4.11 and I1).

Two machines that run as one till at once end each other's streams whenever they are heard. A disk
that comes back begins a stream that goes on from the newest one; a second machine begins one that
goes on from an older one, beside the newest. Once that may be an image from before the last
incident. The next time, within the time in which a right may still be spent somewhere, the till is
quarantined: no rights until somebody has looked, while each machine goes on in a stream of its own
and its receipts are posted.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rights.issuing import DAY_MS, RightsSettings

log = structlog.get_logger()

_SQL = load_queries("central.rights", "queries.sql")

STREAMS_BESIDE_MAX: Final = 2
"""With so many a till is quarantined."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What a till had said before this HELLO.

    Attributes:
        previous_number: of the last stream it goes on from in which it ever spoke; 0 = none.
        newest_number: of the newest stream it ever spoke in.
    """

    is_quarantined: bool
    previous_number: int
    newest_number: int


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has cleared: suspected copies of streams, a quarantine."""

    streams: int
    was_quarantined: bool


async def suspect(
    connection: Connection, till_id: int, incarnation: bytes, *, reason: str, now_ms: int
) -> None:
    """Note that a stream was seen twice; of a stream nobody knows there are no rights.

    Seen once more it stands there anew.
    """
    await connection.execute(_SQL["suspect"], till_id, incarnation, reason, now_ms)


async def lock_past(connection: Connection, till_id: int, previous: Sequence[bytes]) -> Past:
    """Return what a till had said before; it speaks once at a time from now on.

    Args:
        previous: the streams this one goes on from, as it says.
    """
    row = await connection.fetchrow(_SQL["lock_past"], till_id, list(previous))
    assert row is not None, "tills are never forgotten"
    return Past(**row)


async def note_greeting(
    connection: Connection,
    till_id: int,
    incarnation: bytes,
    past: Past,
    *,
    now_ms: int,
    settings: RightsSettings,
) -> bool:
    """Note that a till goes on in a stream; returns whether it is quarantined by now."""
    is_beside = 0 < past.previous_number < past.newest_number
    begun = await connection.fetchval(_SQL["note_greeting"], till_id, incarnation, is_beside)
    if past.is_quarantined or not begun:
        return past.is_quarantined
    since_ms = now_ms - _copy_lives_ms(settings)
    done = await connection.fetchval(
        _SQL["quarantine"], till_id, now_ms, since_ms, STREAMS_BESIDE_MAX
    )
    if done:
        log.warning("till_quarantined", till=till_id)
    return bool(done)


def _copy_lives_ms(settings: RightsSettings) -> int:
    """Return for how long a copy may hold a right that is not written off."""
    return (settings.grant_days + settings.loss_days) * DAY_MS


async def clear_old(pool: Pool, *, now_ms: int, settings: RightsSettings) -> int:
    """Clear what was noted so long ago that every right a copy may hold has ended since.

    The meter alone looks at this: no right and no money moves with it, and no quarantine ends.

    Returns:
        How many streams.
    """
    since_ms = now_ms - _copy_lives_ms(settings)
    done = await pool.execute(_SQL["clear_old_suspicions"], since_ms, now_ms)
    return int(done.rpartition(" ")[2])


async def clear_till(pool: Pool, till_id: int, *, now_ms: int) -> Cleared:
    """Clear a till somebody has looked at, and lift its quarantine."""
    async with pool.acquire() as connection, connection.transaction():
        done = await connection.execute(_SQL["clear_suspicions"], till_id, now_ms)
        lifted = await connection.fetchval(_SQL["lift_quarantine"], till_id, now_ms)
    return Cleared(streams=int(done.rpartition(" ")[2]), was_quarantined=bool(lifted))
