"""The durable mark: up to where tills may forget, because a copy of the centre's database has it.

Where the setting says `backup`, a record is durable when a copy that holds it was made and tried:
`mark_copy` moves the mark to what was found in the copy that was put back; `mark_received` to what
came before a moment, for copies that other programs make. Pushes neither wait for it nor pay for it
(design: sync 4.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError
from central.ledger.account_books import columns

Durable = Literal["commit", "backup"]
"""What makes a record durable: its commit, or a tried copy that holds it."""

LATE_MS: Final = 600_000
"""Records bear the moment they came, not that of their commit, by clocks of several machines."""
_STREAMS_AT_ONCE: Final = 500
"""Pushes of so many streams wait for a moment."""
_ARRIVALS_AT_ONCE: Final = 200_000

_SQL = load_queries("central.streams", "durable.sql")


@dataclass(frozen=True, slots=True)
class CopiedStream:
    """A stream as a copy has it."""

    till_id: int
    incarnation: bytes
    last_seq: int
    last_hash: bytes


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of the marks.

    Attributes:
        streams: whose mark moved.
        back: of these, whose mark went back.
        beyond: whose mark was beyond already, and stays.
        strange: of a copy, that are not the beginning of a stream here.
    """

    streams: int
    back: int = 0
    beyond: int = 0
    strange: int = 0


def told_mark(durable: Durable, durable_seq: int, last_seq: int) -> int:
    """Return the mark a till is told."""
    return last_seq if durable == "commit" else min(durable_seq, last_seq)


async def read_copied(connection: Connection) -> list[CopiedStream]:
    """Return the streams of a copy that was put back."""
    return [CopiedStream(*row) for row in await connection.fetch(_SQL["streams_of_copy"])]


async def mark_copy(pool: Pool, copied: Sequence[CopiedStream]) -> Moved:
    """Move the marks of a centre's streams to what a tried copy of it holds; never back."""
    moved = agreeing = 0
    for first in range(0, len(copied), _STREAMS_AT_ONCE):
        part = copied[first : first + _STREAMS_AT_ONCE]
        rows = [(each.till_id, each.incarnation, each.last_seq, each.last_hash) for each in part]
        marks = [tuple(row) for row in await pool.fetch(_SQL["marks_of_copy"], *columns(rows))]
        agreeing += len(marks)
        moved += await _move(pool, marks)
    return Moved(moved, strange=len(copied) - agreeing)


def require_past(moment_ms: int, *, now_ms: int) -> None:
    """Refuse a moment that is to come.

    Raises:
        BadRequestError: it is.
    """
    if moment_ms > now_ms:
        raise BadRequestError("time", "is to come: no copy holds yet what comes until then")


async def mark_received(pool: Pool, before_ms: int, *, may_go_back: bool) -> Moved:
    """Move the marks to what came `LATE_MS` before a moment or earlier.

    Args:
        may_go_back: those that are beyond go back; what tills have forgotten they do not bring.
    """
    until_ms = before_ms - LATE_MS
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        streams = await connection.fetch(_SQL["streams"])
        since = await _received_since(connection, until_ms)
    marks, beyond = [], 0
    for row in streams:
        stream = row["till_id"], row["incarnation"]
        mark = since.get(stream, row["last_seq"] + 1) - 1
        beyond += row["durable_seq"] > mark
        marks.append((*stream, mark))
    moved = 0
    for first in range(0, len(marks), _STREAMS_AT_ONCE):
        part = marks[first : first + _STREAMS_AT_ONCE]
        moved += await _move(pool, part, may_go_back=may_go_back)
    return Moved(moved, back=beyond) if may_go_back else Moved(moved, beyond=beyond)


async def _move(
    pool: Pool, marks: Sequence[tuple[object, ...]], *, may_go_back: bool = False
) -> int:
    if not marks:
        return 0
    return len(await pool.fetch(_SQL["move_marks"], *columns(marks), may_go_back))


async def _received_since(connection: Connection, until_ms: int) -> dict[tuple[int, bytes], int]:
    """Return the number of each stream's first record that came at a moment or later."""
    last = await connection.fetchval(_SQL["last_arrival"])
    # Records arrive nearly in the order of their moments: what is out of it is so by seconds.
    found: dict[tuple[int, bytes], int] = {}
    at = await _arrived_at(connection, until_ms - LATE_MS, last)
    while at <= last:
        rows = await connection.fetch(
            _SQL["received_since"], at, at + _ARRIVALS_AT_ONCE, until_ms
        )  # fmt: skip
        for row in rows:
            stream = row["till_id"], row["incarnation"]
            found[stream] = min(row["seq"], found.get(stream, row["seq"]))
        at += _ARRIVALS_AT_ONCE
    return found


async def _arrived_at(connection: Connection, moment_ms: int, last: int) -> int:
    """Return about where the first record arrived that came at a moment or later."""
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        row = await connection.fetchrow(_SQL["arrival_at"], middle)
        if row is None or row["received_at_ms"] >= moment_ms:
            high = middle
        else:
            low = row["arrival"] + 1
    return low
