"""THE MAIN PATH of the centre: a kept record becomes ledger, exactly once, with one outcome.

A receipt is a fact: it is recalculated, compared and posted as printed; what disagrees is an
outcome, never a refusal. One transaction a record, so a bad one stands in nobody's way.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rules.library import RuleLibrary
from central.streams import movements, refunds, sales, transfers
from central.streams.stored import Decision, StoredRecord, rejected
from central.system import System
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

BATCH_RECORDS = 100

Movement = (
    GrantInRecord
    | GrantReturnRecord
    | XferOutRecord
    | XferInRecord
    | CounterInRecord
    | CounterReturnRecord
)
"""Records that move rights."""

_NEXT_ROUND = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
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
    """Applies what `ingest` kept. Several may run; each record is applied by one."""

    pool: Pool
    library: RuleLibrary
    system: System

    async def apply_pending(self, records_max: int = BATCH_RECORDS) -> int:
        """Apply records in order of arrival; returns how many came to an end."""
        await self.pool.execute(_SQL["unpark_found"])
        rows = await self.pool.fetch(_SQL["to_apply"], records_max)
        ended = 0
        for row in rows:
            ended += await self._apply_one(_stored(row))
        return ended

    async def _apply_one(self, stored: StoredRecord) -> bool:
        try:
            await self._in_transaction(stored, self._decide)
        except _NEXT_ROUND as error:
            log.warning("record_waits", arrival=stored.arrival, why=type(error).__name__)
            return False
        except Exception as error:
            if isinstance(error, _DATABASE) and not isinstance(error, _OF_THE_RECORD):
                raise
            # Our bug or a damaged record: keep it, say so loudly, and let the others pass
            # (design: sync 2.3).
            log.exception(
                "record_quarantined", arrival=stored.arrival, till=stored.till_id, seq=stored.seq
            )
            reason = f"could not be applied: {type(error).__name__}"

            async def quarantine(_: Connection, __: StoredRecord) -> Decision:
                return rejected(reason)

            await self._in_transaction(stored, quarantine)
        return True

    async def _in_transaction(
        self,
        stored: StoredRecord,
        decide: Callable[[Connection, StoredRecord], Awaitable[Decision]],
    ) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(_SQL["claim"], stored.arrival) is None:
                return  # another applier has it, or had it
            decision = await decide(connection, stored)
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

    async def _decide(self, connection: Connection, stored: StoredRecord) -> Decision:
        if await connection.fetchval(_SQL["till_is_revoked"], stored.till_id):
            return rejected("the till was revoked")
        try:
            record = decode_record(stored.body)
        except MalformedMessageError as error:
            return rejected(str(error))
        if stored.branch and not isinstance(record, FACTS):
            return rejected("moves rights in a diverged stream")
        return await self._post(connection, stored, record)

    async def _post(self, connection: Connection, stored: StoredRecord, record: Record) -> Decision:
        now_ms = self.system.now_ms()
        match record:
            case SaleRecord():
                return await sales.apply_sale(
                    connection, stored, record, library=self.library, now_ms=now_ms
                )
            case RefundRecord():
                return await refunds.apply_refund(connection, stored, record, now_ms=now_ms)
            case VoidRecord():
                return await sales.apply_void(connection, stored, record)
            case OpenRecord():
                return await movements.apply_open(connection, stored, record, now_ms=now_ms)
            case _:
                return await self._move(connection, stored, record)

    @staticmethod
    async def _move(connection: Connection, stored: StoredRecord, record: Movement) -> Decision:
        match record:
            case GrantInRecord():
                return await movements.apply_grant_in(connection, stored, record)
            case GrantReturnRecord():
                return await movements.apply_grant_return(connection, stored, record)
            case XferOutRecord():
                return await transfers.apply_out(connection, stored, record)
            case XferInRecord():
                return await transfers.apply_in(connection, stored, record)
            case CounterInRecord():
                return await movements.apply_counter_in(connection, stored, record)
            case CounterReturnRecord():
                return await movements.apply_counter_return(connection, stored, record)


def _stored(row: asyncpg.Record) -> StoredRecord:
    fields: dict[str, Any] = dict(row)
    return StoredRecord(**fields)
