"""The outbox: events are written in the transaction of what happened, and leave once published."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import NotFoundError
from central.outreach.events import RULES_KEY, Event, StoredEvent, encode_data, event_id

_SQL = load_queries("central.outreach", "outbox.sql")

LISTED_MAX: Final = 500
RESENT_AT_ONCE: Final = 1_000
COUNTED_MAX: Final = 100_000
"""Events are counted up to here."""


class OutboxState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the events are; counts up to `COUNTED_MAX`.

    Attributes:
        wanted: whether events are written at all.
        waiting: not published yet; the oldest since `oldest_ms`.
        refused: keys whose next event the broker refused, which is tried again.
        dead: refused too often.
    """

    wanted: bool
    waiting: int
    oldest_ms: int | None
    refused: int
    dead: int


class DeadEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the broker refused too often."""

    event_id: int
    id: str
    key: str
    type: str
    data: str
    at_ms: int
    why: str
    dead_at_ms: int


class DeadOnes(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead events.

    Attributes:
        type: without the common prefix; empty = of any.
        key: what they happened to; empty = to anything.
        since_ms, until_ms: given up in this time, Unix milliseconds; `until_ms` is not in it.
    """

    type: str = ""
    key: str = ""
    since_ms: int | None = None
    until_ms: int | None = None


class DeadCount(NamedTuple):
    """How many there are; `newest` is 0 where there is none."""

    number: int
    newest: int


async def write(connection: Connection, events: Sequence[Event], *, now_ms: int) -> None:
    """Write events in their order, where anybody is to be told: one statement.

    Call it in the transaction in which it happens, under the lock of what it happens to. Rules have
    no lock that all who change them hold: here they get one, until commit.
    """
    if not events:
        return
    if any(event.key == RULES_KEY for event in events):
        await connection.execute(_SQL["lock_key"], RULES_KEY)
    await connection.execute(
        _SQL["write"],
        [event.key for event in events],
        [event.data.TYPE for event in events],
        [encode_data(event.data) for event in events],
        now_ms,
        [event_id(event, now_ms=now_ms) for event in events],
    )


async def want(pool: Pool, *, wanted: bool) -> None:
    """Begin or end writing events; those that wait stay."""
    await pool.execute(_SQL["want"], wanted)


async def read_state(pool: Pool) -> OutboxState:
    """Return how far the events are."""
    row = await pool.fetchrow(_SQL["state"], COUNTED_MAX)
    assert row is not None
    return OutboxState(**row)


async def dead_events(pool: Pool) -> list[DeadEvent]:
    """Return what was refused too often, the oldest first."""
    rows = await pool.fetch(_SQL["dead"], LISTED_MAX)
    return [DeadEvent(**{**row, "id": str(row["id"])}) for row in rows]


async def resend(pool: Pool, event_id: int) -> int:
    """Put a dead event behind all that wait; returns its new number.

    Raises:
        NotFoundError: there is no such dead event.
    """
    found: int | None = await pool.fetchval(_SQL["resend"], event_id)
    if found is None:
        raise NotFoundError(f"there is no dead event {event_id}")
    return found


async def count_dead(pool: Pool, wanted: DeadOnes) -> DeadCount:
    """Return how many dead events there are of a kind, and the newest one's number."""
    row = await pool.fetchrow(_SQL["count_dead"], *msgspec.structs.astuple(wanted))
    assert row is not None
    return DeadCount(row["number"], row["newest"])


async def resend_some(pool: Pool, wanted: DeadOnes, newest: int) -> int:
    """Put the next dead events of a kind behind all that wait, in their order; returns how many.

    Args:
        newest: those up to this number; what is refused meanwhile stays where it is.
    """
    resent: int = await pool.fetchval(
        _SQL["resend_some"], *msgspec.structs.astuple(wanted), newest, RESENT_AT_ONCE
    )
    return resent


async def drop_dead(pool: Pool, event_id: int) -> None:
    """Forget a dead event.

    Raises:
        NotFoundError: there is no such dead event.
    """
    if not await pool.fetchval(_SQL["drop_dead"], event_id):
        raise NotFoundError(f"there is no dead event {event_id}")


# For the relay


async def lead(connection: Connection, lock: int) -> bool:
    """Say whether this connection is the one that publishes, from now until it ends."""
    return bool(await connection.fetchval(_SQL["lead"], lock))


async def next_events(
    connection: Connection, *, now_ms: int, most: int, from_id: int = 0
) -> list[StoredEvent]:
    """Return the first events from a number on, without those behind one that has to wait."""
    return [_stored(row) for row in await connection.fetch(_SQL["next"], now_ms, most, from_id)]


async def first_number(connection: Connection, *, from_id: int) -> int | None:
    """Return the number of the first event from one on, whether it may go or waits."""
    number: int | None = await connection.fetchval(_SQL["first_number"], from_id)
    return number


async def put_floor(connection: Connection, number: int) -> None:
    """Say where whoever counts events may begin."""
    await connection.execute(_SQL["put_floor"], number)


async def published(connection: Connection, events: Sequence[StoredEvent]) -> None:
    """Take out what the broker has."""
    if events:
        await connection.execute(_SQL["published"], [event.event_id for event in events])


async def refused(connection: Connection, event: StoredEvent, why: str, *, until_ms: int) -> None:
    """Let a key wait whose event was refused."""
    await connection.execute(_SQL["refused"], event.key, until_ms, why)


async def attempts_of(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    """Return how often the next event of keys was refused."""
    rows = await connection.fetch(_SQL["attempts"], list(keys))
    return {row["key"]: row["attempts"] for row in rows}


async def bury(connection: Connection, event: StoredEvent, why: str, *, now_ms: int) -> None:
    """Keep an event apart; its key goes on."""
    await connection.execute(_SQL["bury"], event.event_id, why, now_ms)


def _stored(row: asyncpg.Record) -> StoredEvent:
    event_id, unique_id, key, kind, data, at_ms = row
    return StoredEvent(event_id, str(unique_id), key, kind, data, at_ms)
