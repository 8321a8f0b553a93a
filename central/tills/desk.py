"""What the centre says to a till: HELLO, push, pull, snapshot, authorise, receipt.

One method a message.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.errors import AuthenticationError, TillRevokedError
from central.rights import counters, courier
from central.rights.counters import CounterDesk
from central.rights.grants import Holder
from central.rights.issuing import RightsDesk
from central.rules.publishing import newest_manifest
from central.streams import transfers
from central.streams.business_date import note_caught_up
from central.streams.deliveries import take_delivery
from central.streams.ingest import greet, ingest
from central.streams.refunds import returnable_points, returns_of
from central.system import System
from central.tills.account_rows import (
    ROW_BYTES_ABOUT,
    account_row,
    cut_page,
    find_applied,
    find_snapshot,
)
from central.tills.feed import can_go_on, compare, find_cursor, find_epoch
from central.tills.roster import find_roster
from sync.messages import (
    AuthoriseAnswer,
    AuthoriseRequest,
    Compare,
    CompareAnswer,
    CounterAnswer,
    CounterRequest,
    Cursor,
    Grant,
    Hello,
    HelloAnswer,
    OutcomeRow,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
    ReceiptAnswer,
    ReceiptRequest,
    Roster,
    SnapshotAnswer,
    SnapshotRequest,
)
from sync.neighbours import Delivery, DeliveryAnswer
from sync.signing import NO_SESSION

_SQL = load_queries("central.tills", "queries.sql")

_ROWS_PER_PULL = 500


class SessionUnknownError(AuthenticationError):
    """The session is not live; the till has to say HELLO."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TillCaller:
    """An authenticated till and the session it speaks in."""

    till_id: int
    store_id: str
    revoked: bool
    session: bytes
    live_session: bytes
    verified: bool
    incarnation: bytes

    def holder(self, incarnation: bytes) -> Holder:
        """Return whom rights may be given to: the verified live session, nobody else (rule R2).

        Raises:
            SessionUnknownError: the session is not live and verified, or is another incarnation's.
        """
        self.require_session()
        if not self.verified or self.revoked or incarnation != self.incarnation:
            raise SessionUnknownError
        return Holder(till_id=self.till_id, incarnation=incarnation, session=self.session)

    def require_trust(self) -> None:
        """Refuse what a copied request or a revoked till must not learn.

        Raises:
            SessionUnknownError: the session is not the live one.
            TillRevokedError: the till was revoked.
        """
        self.require_session()
        if self.revoked:
            raise TillRevokedError

    def require_session(self) -> None:
        """Refuse a session that is not the live one.

        Raises:
            SessionUnknownError: it is not.
        """
        if self.session == NO_SESSION or self.session != self.live_session:
            raise SessionUnknownError


async def find_till(pool: Pool, till_id: int) -> asyncpg.Record | None:
    """Return a till's row with its key and session."""
    return await pool.fetchrow(_SQL["till"], till_id)


@dataclass(frozen=True, slots=True)
class TillDesk:
    """Answers tills.

    Attributes:
        ingested: set after records were kept, to have them applied.
    """

    pool: Pool
    rights: RightsDesk
    counters: CounterDesk
    system: System
    ingested: asyncio.Event

    async def hello(self, caller: TillCaller, hello: Hello) -> HelloAnswer:
        """Compare streams and open a new session; a verified one gets its risk budget."""
        session = self.system.random_bytes(16)
        now_ms = self.system.now_ms()
        async with self.pool.acquire() as connection, connection.transaction():
            answer = await greet(connection, caller.till_id, hello, self.system)
            answer = msgspec.structs.replace(answer, session=session)
            verified = answer.verified and answer.verdict == "ok" and not caller.revoked
            await connection.execute(
                _SQL["open_session"], caller.till_id, session, verified, hello.incarnation, now_ms,
                hello.bundle, hello.software, hello.receipts_waiting, hello.rights_points,
                hello.seq,
            )  # fmt: skip
            await connection.execute(_SQL["listens_at"], caller.till_id, hello.bus_address)
            seen = await courier.note_hello(connection, caller.till_id, hello, now_ms=now_ms)
            answer = msgspec.structs.replace(answer, seen_seq=seen)
            if verified:
                await note_caught_up(connection, caller.till_id, hello.incarnation)
                holder = Holder(
                    till_id=caller.till_id, incarnation=hello.incarnation, session=session
                )
                total = await self.rights.give_budget(connection, holder)
                cap = await self.rights.begin_cycle(connection, holder, seq=hello.seq)
                answer = msgspec.structs.replace(
                    answer, risk_points_total=total, offline_points_max=cap
                )
            if answer.verdict == "ok" and hello.feed_epoch != await find_epoch(connection):
                answer = msgspec.structs.replace(answer, verdict="epoch")
        # Amnesia goes first: a revoked till, too, begins a stream that the centre can keep.
        if caller.revoked and answer.verdict != "amnesia":
            return msgspec.structs.replace(answer, verdict="revoked")
        return answer

    async def push(self, caller: TillCaller, push: Push) -> PushAnswer:
        """Keep records; a batch that reaches the centre's last record verifies the session."""
        caller.require_session()
        answer = await ingest(self.pool, caller.till_id, push, self.system)
        reaches_end = push.from_seq + len(push.records) - 1 == answer.last_seq
        proves_chain = answer.verdict == "ack" and reaches_end
        if proves_chain and push.incarnation == caller.incarnation and not caller.revoked:
            await self.pool.execute(
                _SQL["verify_session"], caller.till_id, caller.session, self.system.now_ms()
            )
        self.ingested.set()
        return answer

    async def pull(self, caller: TillCaller, pull: Pull) -> PullAnswer:
        """Tell what has changed since the cursor, and hand out rights to a verified session."""
        caller.require_session()
        grants, recalls = await self._rights_for(caller, pull)
        scopes = [f"till:{caller.till_id}"]
        if not caller.revoked:
            scopes.append(f"store:{caller.store_id}")
        rows_max = max(1, min(_ROWS_PER_PULL, pull.bytes_max // ROW_BYTES_ABOUT))
        async with (
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            goes_on = await can_go_on(connection, pull.cursor)
            now = await find_cursor(connection)
            rows = await connection.fetch(
                _SQL["pull_rows"], scopes if goes_on else [], pull.cursor.transaction,
                pull.cursor.row, rows_max,
            )  # fmt: skip
            account_ids = sorted(
                {row["account_id"] for row in rows if row["account_id"] is not None}
            )
            found = await connection.fetch(_SQL["account_rows"], account_ids)
            fitting, accounts = cut_page(rows, tuple(map(account_row, found)), pull.bytes_max)
            more = fitting < len(rows) or len(rows) == rows_max
            rows = rows[:fitting]
            arrivals = [row["arrival"] for row in rows if row["arrival"] is not None]
            outcomes = await connection.fetch(_SQL["outcome_rows"], arrivals)
            applied = await connection.fetchval(
                _SQL["applied_through"], caller.till_id, pull.incarnation
            )
            streams = await find_applied(
                connection, till_id=caller.till_id, incarnation=pull.incarnation
            )
            manifest = await newest_manifest(connection)
        await self.pool.execute(_SQL["seen"], caller.till_id, self.system.now_ms(), pull.bundle)
        cursor = pull.cursor
        if goes_on and not more:
            cursor = now  # past every change there was, of other stores too
        elif rows:
            cursor = Cursor(
                epoch=pull.cursor.epoch,
                transaction=rows[-1]["transaction"],
                row=rows[-1]["id"],
            )
        return PullAnswer(
            cursor=cursor,
            applied_through=applied,
            more=more,
            accounts=accounts,
            grants=grants,
            recalls=recalls,
            outcomes=tuple(OutcomeRow(**row) for row in outcomes),
            manifest=manifest if manifest is not None and manifest.bundle != pull.bundle else None,
            applied=streams,
            roster=await self._roster_for(caller, pull),
            compare=not goes_on and not caller.revoked,
        )

    async def _rights_for(
        self, caller: TillCaller, pull: Pull
    ) -> tuple[tuple[Grant, ...], tuple[str, ...]]:
        """Bring home what can never be accepted any more; return what is given and asked back."""
        if not caller.verified or caller.revoked or pull.incarnation != caller.incarnation:
            return (), ()
        holder = caller.holder(pull.incarnation)
        await self.rights.close_unreceived(holder)
        await courier.close_dead(self.pool, holder)
        await counters.close_unreceived(self.pool, holder)
        if pull.seq is not None:
            await transfers.bring_home_stranded(self.pool, holder, pull.seq)
        grants = await self.rights.grants_for(holder)
        recalls = await self.rights.recalls_for(holder)
        recalls += await counters.recalls_for(self.pool, holder)
        return grants, recalls + await transfers.recalls_for(self.pool, holder)

    async def _roster_for(self, caller: TillCaller, pull: Pull) -> Roster | None:
        """Return the roster of the till's store, where it has another; none for a revoked till."""
        if caller.revoked:
            return None
        roster = await find_roster(self.pool, caller.store_id, self.system)
        return roster if roster.version != pull.roster else None

    async def compare(self, caller: TillCaller, asked: Compare) -> CompareAnswer:
        """Tell what a till does not know as it is."""
        caller.require_trust()
        async with (
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            answer = await compare(connection, caller.store_id, asked)
            applied = await find_applied(
                connection, till_id=caller.till_id, incarnation=caller.incarnation
            )
        return msgspec.structs.replace(answer, applied=applied)

    async def deliver(self, caller: TillCaller, delivery: Delivery) -> DeliveryAnswer:
        """Keep records of another till of the store, signed by that till."""
        caller.require_trust()
        answer = await take_delivery(self.pool, caller.till_id, delivery, self.system)
        self.ingested.set()
        return answer

    async def snapshot(self, caller: TillCaller, request: SnapshotRequest) -> SnapshotAnswer:
        """Tell one account as it is now."""
        caller.require_trust()
        return await find_snapshot(
            self.pool, request.card, till_id=caller.till_id, incarnation=caller.incarnation
        )

    async def authorise(self, caller: TillCaller, request: AuthoriseRequest) -> AuthoriseAnswer:
        """Set points aside for one receipt."""
        return await self.rights.authorise(request, caller.holder(request.incarnation))

    async def hand_out(self, caller: TillCaller, request: CounterRequest) -> CounterAnswer:
        """Set aside what is limited over all customers."""
        holder = caller.holder(request.incarnation)
        return await self.counters.hand_out(request, holder, store=caller.store_id)

    async def receipt(self, caller: TillCaller, request: ReceiptRequest) -> ReceiptAnswer:
        """Tell a posted receipt's calculation and what came back of it, for a return."""
        caller.require_trust()
        code = await self._judge_code(request)
        async with (
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            calculation = await connection.fetchval(_SQL["receipt_of_key"], request.key)
            return ReceiptAnswer(
                calculation=calculation or b"",
                returns=tuple(await returns_of(connection, request.key)),
                available_points=await returnable_points(connection, request.key, request.date),
                code=code,
            )

    async def _judge_code(self, request: ReceiptRequest) -> Literal["", "genuine", "wrong"]:
        if not request.code:
            return ""
        async with self.pool.acquire() as connection:
            proof = await courier.prove(connection, request.code)
            if proof is None or proof.key != request.key:
                return "wrong"
            await courier.hear(connection, request.code, now_ms=self.system.now_ms())
        return "genuine"
