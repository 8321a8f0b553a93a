"""What the centre says to a till: HELLO, report, push, pull, snapshot, authorise, receipt.

One method a message.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

import asyncpg
import msgspec

from central.database.doors import LOOK_UP_WAIT_S_MAX
from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.privacy.telling import note_forgotten, tell_next
from central.rights import counters, courier
from central.rights.counters import CounterDesk
from central.rights.grants import Holder
from central.rights.issuing import RightsDesk
from central.rights.suspicion import lock_past, note_greeting
from central.rules.directory import Answer, RuleDirectory
from central.rules.reports import note_report
from central.rules.ways import TillRules
from central.streams import transfers
from central.streams.business_date import note_caught_up
from central.streams.deliveries import take_delivery
from central.streams.ingest import greet
from central.streams.lines import LineReader
from central.streams.refunds import returnable_points, returns_of
from central.system import System
from central.tills.account_rows import find_applied
from central.tills.budgets import AnswerBudget, ByteClass
from central.tills.caller import SessionUnknownError, TillCaller, caller_of
from central.tills.feed import compare, find_epoch
from central.tills.front import TillFront
from central.tills.roster import find_roster
from central.tills.telling import Asker, in_turn, measure, measure_rules, read_news, size_of, within
from central.tills.told_accounts import ToldAccounts
from central.tills.waiting import CLOSED, REPLACED, RULES, Seat, WaitingRoom
from sync import short_grants
from sync.codec import encode
from sync.forgetting import Forgotten, ForgottenAnswer
from sync.limits import PULL_BYTES_DEFAULT
from sync.lines import Lines, LinesAnswer
from sync.listening import Fresh, FreshAnswer, Listen, ListenAnswer, shortened, stamp_of
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
from sync.packing import pack_to_send
from sync.reporting import Report, ReportAnswer

_SQL = load_queries("central.tills", "queries.sql")

_APPLY_LOOKS = 4
_APPLY_LOOK_S = 0.5
_UNSEEN_HOLD_S = 5
"""How long a pull is held that could not be looked at first: news may be older than its seat."""


async def find_till(pool: Pool, till_id: int) -> asyncpg.Record | None:
    """Return a till's row with its key and session."""
    return await pool.fetchrow(_SQL["tills"], [till_id])


def is_urgent(answer: PullAnswer) -> bool:
    """Say whether a till that offers to wait should hear at once: not of balances that changed."""
    return (
        bool(answer.grants or answer.recalls)
        or answer.manifest is not None
        or answer.roster is not None
        or answer.more
        or answer.compare
        or any(row.blocked for row in answer.accounts)
    )


@dataclass(frozen=True, slots=True)
class TillDesk:
    """Answers tills.

    Attributes:
        ingested: set after records were kept, to have them applied.
        directory: which rules each till gets.
        front: what a purchase asks, for many tills at once.
        room: where pulls wait for news.
        lines: reads records that travel packed; without it tills push them as they are.
        told: the customers those name.
    """

    pool: Pool
    rights: RightsDesk
    counters: CounterDesk
    system: System
    ingested: asyncio.Event
    directory: RuleDirectory
    front: TillFront
    room: WaitingRoom = field(default_factory=WaitingRoom)
    lines: LineReader | None = None
    told: ToldAccounts | None = None

    async def hello(self, caller: TillCaller, hello: Hello) -> HelloAnswer:
        """Compare streams and open a new session; a verified one gets its risk budget."""
        session = self.system.random_bytes(16)
        now_ms = self.system.now_ms()
        async with self.pool.acquire() as connection, connection.transaction():
            past = await lock_past(connection, caller.till_id, hello.previous)
            answer = await greet(
                connection, caller.till_id, hello, self.system, has_copies=past.is_quarantined,
                durable=self.front.durable,
            )  # fmt: skip
            quarantined = past.is_quarantined
            if answer.verdict != "amnesia":
                quarantined = await note_greeting(
                    connection, caller.till_id, hello.incarnation, past, now_ms=now_ms,
                    settings=self.rights.settings,
                )  # fmt: skip
            answer = msgspec.structs.replace(
                answer,
                session=session,
                # The next HELLO of the other machine would end the wait at once.
                hold_s=0 if quarantined else self.room.hold_s_max,
                lines=self.lines is not None,
                short=True,
                moulds=self.lines is not None,
                reports=True,
                quarantined=quarantined,
            )
            verified = answer.verified and answer.verdict == "ok"
            verified = verified and not caller.revoked and not quarantined
            await connection.execute(
                _SQL["open_session"], caller.till_id, session, verified, hello.incarnation, now_ms,
                hello.bundle, hello.software, hello.receipts_waiting, hello.rights_points,
                hello.seq,
            )  # fmt: skip
            await connection.execute(_SQL["listens_at"], caller.till_id, hello.bus_address)
            seen = await courier.note_hello(connection, caller.till_id, hello, now_ms=now_ms)
            newest = await note_forgotten(connection, caller.till_id, hello, now_ms=now_ms)
            answer = msgspec.structs.replace(answer, seen_seq=seen, erasures=newest)
            if verified:
                await note_caught_up(connection, caller.till_id, hello.incarnation)
                holder = Holder(
                    till_id=caller.till_id, incarnation=hello.incarnation, session=session
                )
                total = await self.rights.give_budget(connection, holder, seq=hello.seq)
                cap = await self.rights.begin_cycle(connection, holder, seq=hello.seq)
                answer = msgspec.structs.replace(
                    answer, risk_points_total=total, offline_points_max=cap
                )
            await note_report(connection, caller.till_id, hello.bundle, hello.rules, now_ms=now_ms)
            await self.directory.refresh(connection)
            self.directory.hear(caller.till_id, hello.bundle, hello.rules)
            roots = self.directory.roots_after(hello.rules.root)
            answer = msgspec.structs.replace(answer, roots=roots)
            if answer.verdict == "ok" and hello.feed_epoch != await find_epoch(connection):
                answer = msgspec.structs.replace(answer, verdict="epoch")
        self.room.wake(caller.till_id)  # a pull of the session before has nothing to wait for
        # Amnesia goes first: a revoked till, too, begins a stream that the centre can keep.
        if caller.revoked and answer.verdict != "amnesia":
            return msgspec.structs.replace(answer, verdict="revoked")
        return answer

    async def report(self, caller: TillCaller, said: Report) -> ReportAnswer:
        """Hear how a till's rules stand; revoked, too."""
        caller.require_session()
        till_id, rules, now_ms = caller.till_id, said.rules, self.system.now_ms()
        newest = rules.waiting or said.bundle  # as its pulls say it
        async with self.pool.acquire() as connection:
            await self.directory.refresh(connection)
            async with connection.transaction():
                # The till's row first, as a HELLO locks it.
                if not await connection.fetchval(
                    _SQL["reported"], till_id, now_ms, newest, caller.session, said.number
                ):
                    raise SessionUnknownError
                is_news = await note_report(
                    connection, till_id, said.bundle, rules, now_ms=now_ms, number=said.number
                )
        if is_news:
            self.directory.hear(till_id, said.bundle, rules)
            self.room.wake(till_id, RULES)  # a pull that waits may know the way now
        return ReportAnswer()

    async def push(self, caller: TillCaller, push: Push) -> PushAnswer:
        """Keep records; a batch that reaches the centre's last record verifies the session."""
        caller.require_session()
        may_verify = push.incarnation == caller.incarnation
        may_verify = may_verify and not caller.revoked and not caller.quarantined
        may_verify = may_verify and caller.push_is_news(self.system.now_ms())
        answer = await self.front.push(
            caller.till_id, push, session=caller.session if may_verify else b""
        )
        self.ingested.set()
        return answer

    async def take_lines(self, caller: TillCaller, lines: Lines) -> LinesAnswer:
        """Keep records that travel packed, as a push would."""
        caller.require_session()
        push = None
        if self.lines is not None:
            async with self.front.purchases:
                push = await self.lines.read(caller.till_id, caller.incarnation, lines)
        answer = await self.push(caller, push) if push is not None else None
        return LinesAnswer(taken=answer is not None and answer.verdict == "ack")

    async def listen(self, caller: TillCaller, asked: Listen) -> ListenAnswer:
        """Answer a pull that leaves out what the session says."""
        caller.require_session()
        cursor = Cursor(epoch=asked.epoch, transaction=asked.transaction, row=asked.row)
        is_known = caller.bundle.startswith(asked.bundle.hex()) if asked.bundle else True
        if not is_known:
            return ListenAnswer(transaction=asked.transaction, row=asked.row, again=True)
        pull = Pull(
            incarnation=caller.incarnation,
            cursor=cursor,
            bundle=caller.bundle if asked.bundle else "",
            bytes_max=PULL_BYTES_DEFAULT,
            seq=asked.seq,
            roster=asked.roster.hex(),
            wait_s=0 if asked.whole else asked.wait_s,
            rules=asked.rules,
            blocked=None if asked.blocked is None else (asked.epoch, asked.blocked),
        )
        answer = await self.pull(caller, pull, asked.whole)
        wanted = set(asked.whole)
        whole = [row for row in answer.accounts if row.snapshot.account_id in wanted]
        holder = None
        if asked.blocked is not None:
            holder = short_grants.Holder(caller.till_id, caller.incarnation, caller.session)
        return shortened(answer, incarnation=caller.incarnation, whole=whole, holder=holder)

    async def fresh(self, caller: TillCaller, asked: Fresh) -> FreshAnswer:
        """Tell an account, unless it is as the till was told."""
        answer = await self.snapshot(caller, SnapshotRequest(card=asked.card))
        if self.told is not None and answer.account is not None:
            self.told.note(caller.till_id, answer.account)
        if answer.account is not None and stamp_of(answer.account) == asked.known:
            return FreshAnswer()
        return FreshAnswer(snapshot=pack_to_send(encode(answer)))

    async def pull(self, caller: TillCaller, pull: Pull, whole: tuple[int, ...] = ()) -> PullAnswer:
        """Tell what has changed since the cursor, and hand out rights to a verified session.

        Without anything urgent a till that offers to wait is answered when there is, or when its
        time is over, with all there is then; meanwhile it takes no connection and no place.

        Args:
            whole: accounts to be told whatever has changed.

        Raises:
            CrowdedError: too many are told in this moment.
        """
        caller.require_session()
        hold_s = self.room.hold_s(pull.wait_s)
        if not hold_s:
            async with self.front.others:
                return await self._tell(caller, pull, whole)
        key = (caller.session, pull.incarnation, pull.cursor)
        with self.room.seat(caller.till_id, caller.store_id, key) as seat:
            if seat.looked:
                seat.wake(RULES)  # they may have changed between the two pulls
            # Until its records are applied, what looks urgent may be taken care of by them.
            elif await self._is_applied(pull.incarnation, caller.till_id):
                async with self.front.others:
                    answer, budget = await self._look(caller, pull)
                if is_urgent(answer):
                    measure(budget)
                    return answer
            else:
                hold_s = min(hold_s, _UNSEEN_HOLD_S)
            until_ms = self.system.monotonic_ms() + hold_s * 1000
            while (why := await self._woken(seat, until_ms)) == RULES:
                if rules := self._rules_for(caller, pull):
                    seat.keep(key)
                    measure_rules(rules.manifest, rules.delta)
                    return PullAnswer(
                        cursor=pull.cursor, applied_through=0, more=False,
                        manifest=rules.manifest, delta=rules.delta,
                    )  # fmt: skip
                seat.forget(RULES)
            if why in (REPLACED, CLOSED):
                return PullAnswer(cursor=pull.cursor, applied_through=0, more=False)
        async with self.front.others:
            return await self._tell(await self._as_now(caller), pull)

    async def _woken(self, seat: Seat, until_ms: int) -> str:
        return await seat.wait(max(0, until_ms - self.system.monotonic_ms()) / 1000)

    async def _is_applied(self, incarnation: bytes, till_id: int) -> bool:
        """Say whether all there is of a stream is applied, after a moment if need be."""
        for _ in range(_APPLY_LOOKS):
            async with self.front.others:
                if await self.pool.fetchval(_SQL["is_applied"], till_id, incarnation):
                    return True
            await asyncio.sleep(_APPLY_LOOK_S)
        return False

    async def _as_now(self, caller: TillCaller) -> TillCaller:
        """Return a till that has waited as it is by now: revoked, or in another session."""
        row = await find_till(self.pool, caller.till_id)
        assert row is not None, "tills are never forgotten"
        return caller_of(row, caller.session)

    async def _tell(
        self, caller: TillCaller, pull: Pull, whole: tuple[int, ...] = ()
    ) -> PullAnswer:
        answer, budget = await self._look(caller, pull, whole)
        measure(budget)
        return answer

    async def _look(
        self, caller: TillCaller, pull: Pull, whole: tuple[int, ...] = ()
    ) -> tuple[PullAnswer, AnswerBudget]:
        caller.require_session()
        budget = AnswerBudget(pull.bytes_max)
        grants, recalls = await self._rights_for(caller, pull)
        recalls = in_turn(budget, ByteClass.RECALLS, recalls, self.system.now_ms())
        grants = within(budget, ByteClass.GRANTS, grants)
        roster = await self._roster_for(caller, pull)
        async with (
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await self.directory.refresh(connection)
            rules = self._rules_for(caller, pull)
            told_rules = (rules.manifest, rules.delta) if rules else (None, None)
            budget.spend(ByteClass.RULES, size_of(roster, *told_rules))
            asker = Asker(
                till_id=caller.till_id, store_id=caller.store_id, revoked=caller.revoked,
                programme=caller.programme, whole=whole,
            )  # fmt: skip
            answer = await read_news(connection, asker, pull, budget)
        await self.pool.execute(_SQL["seen"], caller.till_id, self.system.now_ms(), pull.bundle)
        await self.directory.note_told(self.pool)
        return msgspec.structs.replace(
            answer, grants=grants, recalls=recalls, roster=roster,
            manifest=told_rules[0], delta=told_rules[1], erasures=caller.to_forget(),
        ), budget  # fmt: skip

    def _rules_for(self, caller: TillCaller, pull: Pull) -> Answer | None:
        """Return what the till's rules are to be, where it has others; no statement."""
        till = TillRules(
            caller.till_id, caller.store_id, caller.region, pull.bundle, pull.rules,
            refused=caller.refused_bundle, programme=caller.programme,
        )  # fmt: skip
        return self.directory.answer(till)

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
        """Keep records of another till of the store, signed by that till.

        From a revoked one, too: nothing rests on its word, and it may have the only copy.
        """
        caller.require_session()
        answer = await take_delivery(self.pool, caller.till_id, delivery, self.system)
        self.ingested.set()
        return answer

    async def snapshot(self, caller: TillCaller, request: SnapshotRequest) -> SnapshotAnswer:
        """Tell one account as it is now."""
        caller.require_trust()
        card = request.card
        if request.account_id:
            async with self.front.purchases.within(LOOK_UP_WAIT_S_MAX):
                card = await self.pool.fetchval(
                    _SQL["card_of_account"], request.account_id, caller.programme
                )
        return await self.front.snapshot(
            card or b"",
            till_id=caller.till_id,
            incarnation=caller.incarnation,
            programme=caller.programme,
        )

    async def authorise(self, caller: TillCaller, request: AuthoriseRequest) -> AuthoriseAnswer:
        """Set points aside for one receipt."""
        if caller.quarantined:
            caller.require_session()
            return AuthoriseAnswer()
        holder = caller.holder(request.incarnation)
        return await self.rights.authorise(
            request, holder, programme=caller.programme, door=self.front.purchases
        )

    async def hand_out(self, caller: TillCaller, request: CounterRequest) -> CounterAnswer:
        """Set aside what is limited over all customers."""
        if caller.quarantined:
            caller.require_session()
            return CounterAnswer()
        holder = caller.holder(request.incarnation)
        return await self.counters.hand_out(
            request, holder, store=caller.store_id, programme=caller.programme
        )

    async def forget(self, caller: TillCaller, asked: Forgotten) -> ForgottenAnswer:
        """Hear how far a till has forgotten erased customers, and say who is next; revoked, too."""
        caller.require_session()
        now_ms = self.system.now_ms()
        return await tell_next(self.pool, caller.till_id, asked, now_ms=now_ms)

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
