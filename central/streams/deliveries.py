"""Records of a till that another one hands in for it: a witness of a till without line or life.

The witness needs no trust. The till they are of signed the head of its stream, and the chain binds
every record to that head, so they are worth what they would be from the till itself: what continues
its stream becomes part of it, what diverges is kept beside it as a branch (design: sync 4.7, 4.10).
"""

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.errors import BadRequestError
from central.streams.ingest import ingest
from central.system import System
from sync.chain import first_link
from sync.messages import Push
from sync.neighbours import Delivery, DeliveryAnswer, is_signed_by
from sync.witnessing import copy_links

_SQL = load_queries("central.streams", "queries.sql")
_TRANSFERS = load_queries("central.streams", "transfers.sql")

_GAP_WAITS_MS = 3_600_000
"""So long another sibling may still hand in what is missing; they all do so within minutes."""


async def take_delivery(
    pool: Pool, witness_id: int, delivery: Delivery, system: System
) -> DeliveryAnswer:
    """Keep what a sibling hands in; on return it is committed. Repeating it changes nothing.

    Args:
        witness_id: who hands it in; a till of the same store.

    Raises:
        BadRequestError: the head is not signed by a till of the store.
        MalformedMessageError: the records do not lead to the head.
    """
    head = delivery.head
    owner = await pool.fetchrow(_TRANSFERS["till_of_store"], head.till_id, witness_id)
    if owner is None or not is_signed_by(head, owner["public_key"]):
        raise BadRequestError("head", "the head is not the word of a till of this store")
    links = copy_links(delivery)
    if not await _is_open(pool, delivery, system):
        return await _keep_beside(pool, delivery, links, system)
    push = Push(
        incarnation=head.incarnation,
        from_seq=delivery.from_seq,
        previous_hash=delivery.previous_hash,
        records=delivery.records,
    )
    answer = await ingest(pool, head.till_id, push, system)
    if answer.verdict == "gap" and await pool.fetchval(
        _SQL["was_followed"], head.till_id, head.incarnation_number, system.now_ms() - _GAP_WAITS_MS
    ):
        # Its till goes on elsewhere, and nobody had what is between: its facts count by themselves.
        return await _keep_beside(pool, delivery, links, system)
    verdict = {"ack": "ack", "fork": "branch", "gap": "gap"}[answer.verdict]
    return DeliveryAnswer(verdict=verdict, last_seq=answer.last_seq)  # type: ignore[arg-type]


async def _is_open(pool: Pool, delivery: Delivery, system: System) -> bool:
    """Open the stream unless it is; a till that died before its first HELLO has none.

    Streams older than one the centre knows, or beside it, stay unopened: their till forgot them.
    """
    head = delivery.head
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchrow(_SQL["stream"], head.till_id, head.incarnation) is not None:
            return True
        newest = await connection.fetchval(_SQL["newest_number"], head.till_id)
        if head.incarnation_number <= newest:
            return False
        await connection.execute(
            _SQL["open_stream"], head.till_id, head.incarnation, head.incarnation_number,
            first_link(head.till_id, head.incarnation), system.now_ms(),
        )  # fmt: skip
        stream = await connection.fetchrow(_SQL["stream"], head.till_id, head.incarnation)
        return stream is not None


async def _keep_beside(
    pool: Pool, delivery: Delivery, links: tuple[bytes, ...], system: System
) -> DeliveryAnswer:
    head = delivery.head
    seqs = list(range(delivery.from_seq, head.seq + 1))
    whose, chain = (head.till_id, head.incarnation), [delivery.previous_hash, *links]
    since_ms = await pool.fetchval(_SQL["common_before"], *whose, chain)
    since_ms = since_ms or await pool.fetchval(_SQL["last_before"], *whose)
    is_branch = True
    await pool.execute(
        _SQL["insert_records"], head.till_id, head.incarnation, is_branch, system.now_ms(),
        seqs, list(links), list(delivery.records), [since_ms] * len(seqs),
    )  # fmt: skip
    return DeliveryAnswer(verdict="branch")
