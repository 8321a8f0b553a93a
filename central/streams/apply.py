"""THE MAIN PATH of the centre: a kept record becomes ledger, exactly once, with one outcome.

A receipt is a fact: it is recalculated, compared and posted as printed; what disagrees is an
outcome, never a refusal. Records are posted together, in one transaction; one that cannot be is
found by halving and kept aside, so it stands in nobody's way (design: stack 4.3).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.observability import meters
from central.rights.right_books import MovedError
from central.rules.due import DueRules
from central.rules.library import RuleLibrary
from central.streams import movements, refunds, sales, staleness, transfers
from central.streams.batch import Batch
from central.streams.items import Item
from central.streams.parked import Unparking
from central.streams.recalculating import recalculate
from central.streams.sharing import Share
from central.streams.stored import Decision, StoredRecord, rejected
from central.system import System
from loyalty.calculation import Calculation
from sync.errors import MalformedMessageError
from sync.records import (
    FACTS,
    CounterInRecord,
    CounterReturnRecord,
    GrantInRecord,
    GrantReturnRecord,
    OpenRecord,
    Record,
    RefundRecord,
    SaleRecord,
    VoidRecord,
    XferInRecord,
    XferOutRecord,
    decode_record,
)

_SQL = load_queries("central.streams", "queries.sql")
log = structlog.get_logger()

BATCH_RECORDS = 500
BATCH_BYTES = 16_777_216
TOGETHER_MAX = 200
_BEATS = 4

_NEXT_ROUND = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    MovedError,
)
"""The record met somebody else at work; those behind it need not wait for that."""
_DATABASE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""The database went away, or fails for every record alike."""
_OF_THE_RECORD = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""What a database says of one record's values."""


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies what `ingest` kept. Several may run; each record is applied by one.

    Attributes:
        together_max: the most records in one transaction.
        due: which releases tills should have.
        share: which tills' records are this one's.
        unparking: what wakes records that wait.
    """

    pool: Pool
    library: RuleLibrary
    system: System
    together_max: int = TOGETHER_MAX
    due: DueRules = field(default_factory=DueRules)
    share: Share = field(default_factory=Share)
    unparking: Unparking = field(default_factory=Unparking)

    async def apply_pending(self, records_max: int = BATCH_RECORDS) -> int:
        """Apply records of the share in order of arrival; returns how many came to an end."""
        await self.unparking.look(self.pool)
        slices = self.share.slices() if self.share.of > 1 else None
        rows = await self.pool.fetch(_SQL["to_apply"], records_max, BATCH_BYTES, slices)
        if rows:
            await self.due.refresh(self.pool, rows[0]["rules"])
        ended = 0
        together: list[Item] = []
        for row in rows:
            item = _item(row)
            if _is_posted_together(item.record):
                together.append(item)
                if len(together) < self.together_max:
                    continue
            ended += await self._apply_together(together)
            together = []
            if not _is_posted_together(item.record):
                ended += await self._apply_alone(item)
        return ended + await self._apply_together(together)

    async def _apply_together(self, items: Sequence[Item]) -> int:
        """Apply records in one transaction; one that cannot be is found by halving."""
        if not items:
            return 0
        try:
            return await self._post_together(items)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at there
            if len(items) > 1 and not _is_of_database(error):
                log.info("batch_halved", records=len(items), why=type(error).__name__)
                meters.BATCHES_HALVED.inc()
                middle = len(items) // 2
                ended = await self._apply_together(items[:middle])
                return ended + await self._apply_together(items[middle:])
            return await self._set_aside(items[0], error)

    async def _post_together(self, items: Sequence[Item]) -> int:
        """Post records; returns how many: what other appliers have, or had, is theirs."""
        began_s = asyncio.get_running_loop().time()
        async with self.pool.acquire() as connection:
            await self._recalculate(connection, items)
            async with connection.transaction():
                batch = Batch(items, now_ms=self.system.now_ms())
                if not await batch.claim(connection):
                    return 0
                await batch.read(connection)
                decisions = [(item, self.decide(batch, item)) for item in batch.items]
                await batch.write(connection, decisions)
        batch.codes.tell()
        meters.APPLY_S.observe(asyncio.get_running_loop().time() - began_s)
        meters.APPLY_RECORDS.observe(len(decisions))
        for item, decision in decisions:
            meters.RECORDS_APPLIED.labels(decision.outcome).inc()
            if decision.outcome == "rejected_kept" and isinstance(item.record, SaleRecord):
                log.warning(
                    "receipt_rejected", till=item.stored.till_id, seq=item.stored.seq,
                    receipt=item.record.key, why=decision.reason,
                )  # fmt: skip
        return len(decisions)

    async def _recalculate(self, connection: Connection, items: Sequence[Item]) -> None:
        """Repeat the calculations before anything is locked for them."""
        for number, item in enumerate(items):
            if number % _BEATS == _BEATS - 1:
                await asyncio.sleep(0)  # others of this process wait for a few calculations at most
            if isinstance(item.record, SaleRecord) and not item.recalculated:
                await self._repeat(connection, item, item.record)
        await staleness.judge(connection, items, self.due, self.library)

    async def _repeat(self, connection: Connection, item: Item, sale: SaleRecord) -> None:
        """Calculate a receipt; what goes wrong is told of when the record's turn has come."""
        printed = bytes(sale.calculation)
        try:
            repeated = await recalculate(connection, sale.inputs, self.library, printed=printed)
            item.recalculated = repeated.content
            if repeated.content == printed:
                item.printed = repeated.calculation  # the same, without reading it
                return
        except _DATABASE:
            raise
        except Exception as error:  # noqa: BLE001
            item.recalculated = error
        try:
            item.printed = msgspec.json.decode(printed, type=Calculation)
        except Exception as error:  # noqa: BLE001
            item.printed = error

    def decide(self, batch: Batch, item: Item) -> Decision:
        """Decide one record of a batch, on what it has read and the records before have changed."""
        record = item.record
        if batch.is_revoked(item.stored.till_id):
            return rejected("the till was revoked")
        if record is None:
            return rejected(item.refusal)
        if item.stored.branch and not isinstance(record, FACTS):
            return rejected("moves rights in a diverged stream")
        match record:
            case SaleRecord():
                return sales.post_sale(batch, item, record)
            case VoidRecord():
                return sales.post_void(batch, item, record)
            case GrantInRecord():
                return movements.post_grant_in(batch, item, record)
            case GrantReturnRecord():
                return movements.post_grant_return(batch, item, record)
            case _:
                assert isinstance(record, OpenRecord)
                return Decision("accepted", record.reason)

    async def _apply_alone(self, item: Item) -> int:
        try:
            await self._in_transaction(item.stored, partial(self._decide_alone, item))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at there
            return await self._set_aside(item, error)
        return 1

    async def _set_aside(self, item: Item, error: Exception) -> int:
        """Let a record wait, or keep it and make nothing of it; returns how many came to an end.

        Raises:
            Exception: the database's, which is no record's fault.
        """
        stored = item.stored
        if isinstance(error, _NEXT_ROUND):
            log.warning("record_waits", arrival=stored.arrival, why=type(error).__name__)
            return 0
        if _is_of_database(error):
            raise error
        # Our bug or a damaged record: keep it, say so loudly, and let the others pass
        # (design: sync 2.3).
        log.error(
            "record_quarantined",
            arrival=stored.arrival,
            till=stored.till_id,
            seq=stored.seq,
            exc_info=error,
        )
        reason = f"could not be applied: {type(error).__name__}"

        async def quarantine(_: Connection) -> Decision:
            return rejected(reason)

        await self._in_transaction(stored, quarantine)
        meters.RECORDS_QUARANTINED.inc()
        return 1

    async def _in_transaction(
        self, stored: StoredRecord, decide: Callable[[Connection], Awaitable[Decision]]
    ) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(_SQL["claim"], stored.arrival) is None:
                return  # another applier has it, or had it
            decision = await decide(connection)
            now_ms = self.system.now_ms()
            if decision.parked_for:
                await connection.execute(_SQL["park"], stored.arrival, decision.parked_for)
            else:
                await connection.execute(_SQL["mark_applied"], stored.arrival)
            await connection.execute(
                _SQL["decide"], stored.arrival, stored.till_id, stored.incarnation, stored.seq,
                decision.outcome, decision.reason, decision.points, now_ms,
            )  # fmt: skip
            if not stored.branch:
                await connection.execute(
                    _SQL["tell_till"], f"till:{stored.till_id}", stored.arrival
                )
        meters.RECORDS_APPLIED.labels(decision.outcome).inc()

    async def _decide_alone(self, item: Item, connection: Connection) -> Decision:
        stored, record = item.stored, item.record
        if await connection.fetchval(_SQL["till_is_revoked"], stored.till_id):
            return rejected("the till was revoked")
        if stored.branch and not isinstance(record, FACTS):
            return rejected("moves rights in a diverged stream")
        now_ms = self.system.now_ms()
        match record:
            case RefundRecord():
                return await refunds.apply_refund(
                    connection, self.library, stored, record, now_ms=now_ms
                )
            case OpenRecord():
                return await movements.apply_open(connection, stored, record, now_ms=now_ms)
            case _:
                return await self._move(connection, stored, record)

    @staticmethod
    async def _move(
        connection: Connection, stored: StoredRecord, record: Record | None
    ) -> Decision:
        match record:
            case GrantReturnRecord():
                return await transfers.apply_return(connection, stored, record)
            case XferOutRecord():
                return await transfers.apply_out(connection, stored, record)
            case XferInRecord():
                return await transfers.apply_in(connection, stored, record)
            case CounterInRecord():
                return await movements.apply_counter_in(connection, stored, record)
            case _:
                assert isinstance(record, CounterReturnRecord)
                return await movements.apply_counter_return(connection, stored, record)


def _is_posted_together(record: Record | None) -> bool:
    """Say whether a record is posted with others; the rest is rare, or looks at other tills."""
    match record:
        case OpenRecord():
            return record.reason not in movements.SEEN_TWICE
        case GrantReturnRecord():
            return not record.transfer_id
        case _:
            return isinstance(record, SaleRecord | VoidRecord | GrantInRecord | None)


def _is_of_database(error: Exception) -> bool:
    """Say whether an error is the database's, and no record's."""
    return isinstance(error, _DATABASE) and not isinstance(error, (*_OF_THE_RECORD, *_NEXT_ROUND))


def _item(row: asyncpg.Record) -> Item:
    """Read a kept record; what is no record says why."""
    stored = _stored(row)
    try:
        record = decode_record(stored.body)
    except MalformedMessageError as error:
        return Item(stored, None, refusal=str(error))
    return Item(stored, record)


def _stored(row: asyncpg.Record) -> StoredRecord:
    fields: dict[str, Any] = dict(row)
    del fields["rules"]
    return StoredRecord(**fields)
