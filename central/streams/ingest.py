"""HELLO and push at the centre: compare chains, keep bytes, acknowledge what is durable.

Nothing is judged by content.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import CentralError, NotFoundError
from central.ledger.account_books import columns
from central.rights.suspicion import suspect
from central.streams.business_date import not_before
from central.streams.durable import Durable, told_mark
from central.system import System
from sync.chain import first_link
from sync.errors import MalformedMessageError
from sync.messages import Hello, HelloAnswer, Push, PushAnswer
from sync.receiving import PushJudgement, StreamState, judge_hello, judge_push

_SQL = load_queries("central.streams", "queries.sql")

_PLACE_COLUMNS: Final = 4
"""Of a stream that advances: till, incarnation, number and hash of its last record."""


class StreamUnknownError(NotFoundError):
    """The stream was never announced; the till has to say HELLO first."""


async def greet(
    connection: Connection,
    till_id: int,
    hello: Hello,
    system: System,
    *,
    has_copies: bool = False,
    durable: Durable = "commit",
) -> HelloAnswer:
    """Judge a HELLO and open the stream if it is a new one; inside a transaction.

    Args:
        has_copies: two machines run as this till, and go on beside each other.
        durable: what makes a record so.

    Returns:
        The answer without session and risk budget, which the caller adds.
    """
    newest = await connection.fetchval(_SQL["newest_number"], till_id)
    row = await connection.fetchrow(_SQL["stream"], till_id, hello.incarnation)
    stream = _state(row) if row else None
    judgement = judge_hello(hello, stream, newest_incarnation_number=newest, has_copies=has_copies)
    now_ms = system.now_ms()
    if stream is None and judgement.verdict != "amnesia":
        link = first_link(till_id, hello.incarnation)
        await connection.execute(
            _SQL["open_stream"], till_id, hello.incarnation, hello.incarnation_number, link, now_ms
        )
        stream = StreamState(hello.incarnation, hello.incarnation_number, 0, link)
        newest = hello.incarnation_number
    known = stream or StreamState(hello.incarnation, 0, 0, first_link(till_id, hello.incarnation))
    return HelloAnswer(
        verdict=judgement.verdict,
        verified=judgement.verified,
        session=b"\x00" * 16,
        last_seq=known.last_seq,
        last_hash=known.last_hash,
        durable_seq=told_mark(durable, row["durable_seq"] if row else 0, known.last_seq),
        server_time_ms=now_ms,
        incarnation_number_min=newest + 1,
        mark_waits=durable != "commit",
    )


class StreamBusyError(CentralError):
    """Another transaction holds the stream; a push alone waits for it."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push and the till whose stream it is of."""

    till_id: int
    push: Push

    @property
    def stream(self) -> tuple[int, bytes]:
        """The stream it is of."""
        return self.till_id, self.push.incarnation

    @property
    def last(self) -> int:
        """The number of its last record."""
        return self.push.from_seq + len(self.push.records) - 1


@dataclass(slots=True)
class _Stream:
    """A locked stream and what is known of its till."""

    state: StreamState
    caught_up_ms: int
    session_seq: int | None
    session_opened_ms: int
    newest: int
    durable_seq: int

    def not_before_ms(self, seq: int) -> int:
        """Return before when a record that comes now cannot have been written."""
        return not_before(self.session_seq, self.session_opened_ms, self.caught_up_ms, seq)


async def ingest(pool: Pool, till_id: int, push: Push, system: System) -> PushAnswer:
    """Keep one push (`ingest_together`).

    Raises:
        StreamUnknownError: no HELLO announced the stream.
        MalformedMessageError: the batch breaks the limits.
    """
    (answer,) = await ingest_together(pool, [Pushed(till_id, push)], system)
    if isinstance(answer, Exception):
        raise answer
    return answer


async def ingest_together(
    pool: Pool, pushes: Sequence[Pushed], system: System, durable: Durable = "commit"
) -> list[PushAnswer | Exception]:
    """Keep pushes: contiguous parts extend the prefixes, diverging ones are kept as branches.

    On return everything acknowledged is committed, in one transaction for all. Repeating a push
    changes nothing.

    Args:
        durable: what makes a record so.

    Returns:
        An answer for each; or why it is none: `StreamUnknownError`, `MalformedMessageError`; of
        several also `StreamBusyError`: none waits for what somebody else holds.
    """
    answers: dict[int, PushAnswer | Exception] = {}
    rounds: list[dict[int, Pushed]] = []
    counted: dict[tuple[int, bytes], int] = {}
    for number, pushed in enumerate(pushes):
        # Pushes of one stream follow each other; mostly there is one of each.
        turn = counted[pushed.stream] = counted.get(pushed.stream, -1) + 1
        if turn == len(rounds):
            rounds.append({})
        rounds[turn][number] = pushed
    async with pool.acquire() as connection, connection.transaction():
        for each in rounds:
            answers |= await _ingest_round(
                connection, each, system, durable, waits=len(pushes) == 1
            )
    return [answers[number] for number in range(len(pushes))]


async def _ingest_round(
    connection: Connection,
    pushes: Mapping[int, Pushed],
    system: System,
    durable: Durable,
    *,
    waits: bool,
) -> dict[int, PushAnswer | Exception]:
    """Keep pushes of streams that are all different."""
    wanted = [pushed.stream for pushed in pushes.values()]
    streams = await _lock(connection, wanted, waits=waits)
    opened = await _opened(connection, wanted) if len(streams) < len(wanted) else set()
    known = await _known_hashes(connection, pushes, streams)
    answers: dict[int, PushAnswer | Exception] = {}
    kept: list[tuple[object, ...]] = []
    advanced: list[tuple[object, ...]] = []
    for number, pushed in pushes.items():
        stream = streams.get(pushed.stream)
        if stream is None:
            is_busy = pushed.stream in opened
            answers[number] = StreamBusyError() if is_busy else StreamUnknownError()
            continue
        hashes = known.get(number, {}) | {stream.state.last_seq: stream.state.last_hash}
        try:
            judgement = judge_push(pushed.push, stream.state, hashes, till_id=pushed.till_id)
        except MalformedMessageError as error:
            answers[number] = error
            continue
        since_ms = None
        if judgement.verdict == "fork":
            await suspect(connection, *pushed.stream, reason="fork", now_ms=system.now_ms())
            chain = (pushed.push.previous_hash, *judgement.hashes)
            since_ms = await connection.fetchval(_SQL["common_before"], *pushed.stream, chain)
        kept += _rows(pushed, stream, judgement, since_ms)
        last_seq, last_hash = stream.state.last_seq, stream.state.last_hash
        if judgement.verdict == "ack" and pushed.last > last_seq:
            last_seq, last_hash = pushed.last, judgement.hashes[-1]
            advanced.append((*pushed.stream, last_seq, last_hash))
        answers[number] = PushAnswer(
            verdict=judgement.verdict,
            last_seq=last_seq,
            last_hash=last_hash,
            durable_seq=told_mark(durable, stream.durable_seq, last_seq),
            incarnation_number_min=stream.newest + 1,
        )
    if kept:
        places = columns(advanced) if advanced else [[]] * _PLACE_COLUMNS
        await connection.execute(_SQL["keep_records"], *columns(kept), system.now_ms(), *places)
    return answers


async def _opened(
    connection: Connection, wanted: Sequence[tuple[int, bytes]]
) -> set[tuple[int, bytes]]:
    rows = await connection.fetch(_SQL["opened_streams"], *columns(wanted))
    return {(row["till_id"], row["incarnation"]) for row in rows}


async def _lock(
    connection: Connection, wanted: Sequence[tuple[int, bytes]], *, waits: bool
) -> dict[tuple[int, bytes], _Stream]:
    statement = _SQL["lock_streams"] if waits else f"{_SQL['lock_streams'].rstrip(';')} skip locked"
    rows = await connection.fetch(statement, *columns(wanted))
    return {
        (row["till_id"], row["incarnation"]): _Stream(
            _state(row),
            row["caught_up_ms"],
            row["session_seq"],
            row["session_opened_ms"],
            row["newest"],
            row["durable_seq"],
        )
        for row in rows
    }


async def _known_hashes(
    connection: Connection,
    pushes: Mapping[int, Pushed],
    streams: Mapping[tuple[int, bytes], _Stream],
) -> dict[int, dict[int, bytes]]:
    """Return links of records that pushes repeat or skip back to; what only goes on has none."""
    asked = [
        (number, *pushed.stream, pushed.push.from_seq - 1, pushed.last)
        for number, pushed in pushes.items()
        if pushed.stream in streams
        and pushed.push.from_seq <= streams[pushed.stream].state.last_seq
    ]
    found: dict[int, dict[int, bytes]] = {}
    if asked:
        for row in await connection.fetch(_SQL["known_hashes"], *columns(asked)):
            found.setdefault(row["number"], {})[row["seq"]] = row["hash"]
    return found


def _rows(
    pushed: Pushed, stream: _Stream, judgement: PushJudgement, since_ms: int | None
) -> Iterator[tuple[object, ...]]:
    """Give the records that are to be kept, as rows.

    Args:
        since_ms: before when records beside the stream cannot have been written; None = in it.
    """
    if judgement.verdict == "gap":
        return
    is_branch, skip = judgement.verdict == "fork", judgement.skip
    for offset in range(skip, len(pushed.push.records)):
        seq = pushed.push.from_seq + offset
        yield (
            *pushed.stream, seq, judgement.hashes[offset], pushed.push.records[offset], is_branch,
            stream.not_before_ms(seq) if since_ms is None else since_ms,
        )  # fmt: skip


def _state(row: asyncpg.Record) -> StreamState:
    return StreamState(
        row["incarnation"], row["incarnation_number"], row["last_seq"], row["last_hash"]
    )
