"""HELLO and push at the centre: compare chains, keep bytes, acknowledge what is durable.

Nothing is judged by content.
"""

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import NotFoundError
from central.rights.suspicion import suspect
from central.streams.business_date import not_before, note_caught_up
from central.system import System
from sync.chain import first_link
from sync.messages import Hello, HelloAnswer, Push, PushAnswer
from sync.receiving import StreamState, judge_hello, judge_push

_SQL = load_queries("central.streams", "queries.sql")


class StreamUnknownError(NotFoundError):
    """The stream was never announced; the till has to say HELLO first."""


async def greet(connection: Connection, till_id: int, hello: Hello, system: System) -> HelloAnswer:
    """Judge a HELLO and open the stream if it is a new one; inside a transaction.

    Returns:
        The answer without session and risk budget, which the caller adds.
    """
    newest = await connection.fetchval(_SQL["newest_number"], till_id)
    stream = await _state(connection, "stream", till_id, hello.incarnation)
    judgement = judge_hello(hello, stream, newest_incarnation_number=newest)
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
        durable_seq=known.last_seq,
        server_time_ms=now_ms,
        incarnation_number_min=newest + 1,
    )


async def ingest(pool: Pool, till_id: int, push: Push, system: System) -> PushAnswer:
    """Keep a batch: the contiguous part extends the prefix, a diverging one is kept as a branch.

    On return everything acknowledged is committed. Repeating a batch changes nothing.

    Raises:
        StreamUnknownError: no HELLO announced the stream.
        MalformedMessageError: the batch breaks the limits.
    """
    async with pool.acquire() as connection, connection.transaction():
        stream = await _state(connection, "lock_stream", till_id, push.incarnation)
        if stream is None:
            raise StreamUnknownError
        last = push.from_seq + len(push.records) - 1
        rows = await connection.fetch(
            _SQL["known_hashes"], till_id, push.incarnation, push.from_seq - 1, last
        )
        known = {row["seq"]: row["hash"] for row in rows}
        judgement = judge_push(push, stream, known, till_id=till_id)
        if judgement.verdict != "gap":
            skip = judgement.skip
            seqs = range(push.from_seq + skip, last + 1)
            told = await not_before(
                connection, till_id, push.incarnation, seqs, is_branch=judgement.verdict == "fork"
            )
            await connection.execute(
                _SQL["insert_records"], till_id, push.incarnation,
                judgement.verdict == "fork", system.now_ms(),
                list(seqs),
                list(judgement.hashes[skip:]), list(push.records[skip:]), told,
            )  # fmt: skip
        if judgement.verdict == "ack" and last > stream.last_seq:
            stream = StreamState(
                push.incarnation, stream.incarnation_number, last, judgement.hashes[-1]
            )
            await connection.execute(
                _SQL["advance"], till_id, push.incarnation, last, stream.last_hash
            )
            await note_caught_up(connection, till_id, push.incarnation)
        if judgement.verdict == "fork":
            await suspect(
                connection, till_id, push.incarnation, reason="fork", now_ms=system.now_ms()
            )
        newest = await connection.fetchval(_SQL["newest_number"], till_id)
    return PushAnswer(
        verdict=judgement.verdict,
        last_seq=stream.last_seq,
        last_hash=stream.last_hash,
        durable_seq=stream.last_seq,
        incarnation_number_min=newest + 1,
    )


async def _state(
    connection: Connection, query: str, till_id: int, incarnation: bytes
) -> StreamState | None:
    row = await connection.fetchrow(_SQL[query], till_id, incarnation)
    return StreamState(**row) if row else None
