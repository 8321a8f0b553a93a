"""The till's half of the conversation with the centre, over its journal and cache."""

from collections.abc import Iterable

import msgspec
import structlog

from agent.journal.stream import REPEATED_AT_ONCE
from agent.link.comparing import Comparing
from agent.link.fetching import RuleFetching
from agent.link.forgetting import Forgetting
from agent.link.restart_pace import RestartPace
from agent.link.telling import Telling
from agent.reference_data.blocked_list import ToldUpTo
from agent.till_service import allowances
from agent.till_service.cancelling import cancel_abandoned
from agent.till_service.till import Till
from sync.cycle import PATH_PULL, Ask
from sync.errors import LinkError, RestartsError, SignatureError, SyncError
from sync.forgetting import Forgotten, ForgottenAnswer
from sync.limits import PULL_BYTES_DEFAULT
from sync.lines import Lines, LinesAnswer
from sync.listening import (
    NAME_BYTES,
    PATH_LISTEN,
    WHOLE_MAX,
    Listen,
    ListenAnswer,
    changed_accounts,
    changed_rows,
    lengthened,
)
from sync.messages import (
    Compare,
    CompareAnswer,
    Grant,
    Hello,
    HelloAnswer,
    Manifest,
    Message,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
)
from sync.push_pace import PushPace
from sync.records import GrantInRecord, GrantReturnRecord
from sync.reporting import Report
from sync.short_grants import Holder
from sync.signing import NO_SESSION, check_message

log = structlog.get_logger()


class Whole(msgspec.Struct, frozen=True):
    """Accounts to be told whole: what is here of them is not what the centre's change is about."""

    account_ids: tuple[int, ...] = ()


class JournalTillSide:
    """Implements `sync.cycle.TillSide`; runs on the till's thread.

    Attributes:
        brought_news: something was pushed or pulled since this was last set to False.
        hold_s: the longest the centre lets a pull wait, as it said last.
    """

    def __init__(self, till: Till, *, software: str) -> None:
        self.brought_news = False
        self.hold_s = 0
        self._asks_told = 0
        self._address_told = ""
        self._told_whole: frozenset[int] = frozenset()
        self._takes_reports = False
        self._reports = 0
        self._till = till
        self._software = software
        self._fetching = RuleFetching(till)
        self._forgetting = Forgetting(till)
        self._comparing = Comparing(till)
        self._pace = PushPace()
        self._restarts = RestartPace()
        self._telling = Telling(till)

    def hello(self) -> Hello:
        """Say where the stream stands; from now on no session is live (rule R2).

        Raises:
            RestartsError: the stream began anew too often to say so at once.
        """
        till = self._till
        if rest_s := self._restarts.rest_s(till.system.monotonic_ms()):
            raise RestartsError(rest_s)
        till.session = NO_SESSION
        self._reports = 0
        till.neighbours.requests.close_all()
        till.clock.asking()
        cancel_abandoned(till)
        self._asks_told = till.journal.courier.made()
        self._address_told = till.bus_address
        head = till.journal.stream.head()
        return Hello(
            incarnation=head.incarnation,
            incarnation_number=head.incarnation_number,
            seq=head.seq,
            head=head.head,
            acked_seq=head.acked_seq,
            acked_hash=head.acked_hash,
            clock_ms=till.system.now_ms(),
            bundle=till.books.active.bundle_hash,
            software=self._software,
            receipts_waiting=till.journal.stream.waiting_count(),
            rights_points=till.journal.rights.points_held(),
            risk_left_points=till.journal.rights.risk_points_left(),
            asks_made=self._asks_told,
            asks_open=till.journal.courier.open_nonces(),
            bus_address=self._address_told,
            feed_epoch=till.cache.cursor().epoch,
            rules=till.books.report(),
            forgotten=self._forgetting.begin(),
            previous=() if head.acked_seq else till.journal.stream.previous(),
        )

    def hello_answered(self, answer: HelloAnswer) -> None:
        """Take the centre's verdict."""
        till = self._till
        self._take_time(answer.server_time_ms)
        self.hold_s = answer.hold_s
        till.takes_lines = answer.lines
        till.takes_moulds = answer.moulds
        self._takes_reports = answer.reports
        self._telling.greeted(answer)
        self._follow(answer.roots)
        self._forgetting.hear_hello(answer.erasures)
        # Whoever speaks in this session takes nothing that siblings were asked for before it: the
        # centre brings home what they gave and nobody took.
        till.neighbours.requests.close_all()
        till.session = answer.session
        if answer.verdict == "revoked":
            till.revoked = True
            with till.journal.transaction():
                till.journal.rights.withdraw()
                till.journal.counter_rights.withdraw()
            return
        till.revoked = False
        self._heed_copies(answer)
        self._comparing.must(if_said=answer.verdict == "epoch")
        if answer.verdict == "rewind":
            with till.journal.transaction():
                self._tell_again()
        if answer.verdict == "amnesia":
            self._restart("amnesia", answer.incarnation_number_min)
        elif till.journal.stream.hash_at(answer.last_seq) != answer.last_hash:
            if answer.verdict == "rewind":
                # Back before what is still here: all of that is to be told again.
                with till.journal.transaction():
                    till.journal.stream.doubt_acks()
            self._restart("fork", answer.incarnation_number_min)
        elif answer.seen_seq > till.journal.stream.head().seq:
            # A receipt was printed here that this journal does not know.
            self._restart("behind a printed receipt", answer.incarnation_number_min)
        else:
            with till.journal.transaction():
                till.journal.stream.move_acked(answer.last_seq, durable_seq=answer.durable_seq)
                if answer.verdict == "rewind":
                    self._give_up_rights()
                till.journal.rights.set_risk_total(answer.risk_points_total)
                if answer.offline_points_max is not None:
                    till.journal.rights.limits.begin(answer.offline_points_max)

    def _heed_copies(self, answer: HelloAnswer) -> None:
        """Two machines run as this till: points here go home, and none are asked for."""
        if answer.quarantined and not self._till.quarantined:
            log.error("till_quarantined", why="another machine runs as this till: enrol one anew")
        if self._till.quarantined and not answer.quarantined:
            self._restarts = RestartPace()  # somebody has looked
        self._till.quarantined = answer.quarantined
        if answer.quarantined and answer.verdict != "amnesia":
            with self._till.journal.transaction():
                self._give_up_rights("another machine runs as this till")

    def _follow(self, roots: tuple[bytes, ...]) -> None:
        """Trust the next root documents; what is wrong with one is for people to hear of."""
        try:
            self._till.books.take_roots(roots)
        except SyncError as error:
            log.error("root_refused", why=str(error))  # noqa: TRY400 - the document is at fault

    def _take_time(self, server_time_ms: int) -> None:
        till = self._till
        told, head = till.clock.adjust(server_time_ms), till.journal.stream.head()
        with till.journal.transaction():
            till.journal.told_times.keep(told, incarnation=head.incarnation, seq=head.seq)

    def _tell_again(self) -> None:
        """The centre went back: what it had of siblings and of earlier streams it may have lost."""
        self._till.journal.witness.unsettle()
        self._till.journal.stream.doubt_earlier()

    def _give_up_rights(self, why: str = "the centre went back") -> None:
        """Send all rights home: by default because the centre may have given their points again."""
        for grant_id in self._till.journal.rights.held_grants():
            self._send_home(grant_id, why)
        self._till.journal.rights.withdraw()
        allowances.send_all_home(self._till, why)

    def _restart(self, why: str, number_min: int) -> None:
        """Begin a new incarnation; the session was for the old one."""
        log.warning("stream_restarted", why=why)
        self._till.session = NO_SESSION
        self._till.start_incarnation(why, number_min=number_min)
        self._restarts.restarted(self._till.system.monotonic_ms())

    def wants_hello(self) -> bool:
        """Say whether anything that a HELLO brings home or counts anew has changed since the last.

        Points were spent without the centre, or asked for by courier (design: sync 4.9, 4.13). Of
        rules only a centre hears by HELLO that takes no reports.
        """
        journal = self._till.journal
        spent = journal.rights.limits.is_used() or journal.courier.made() != self._asks_told
        return spent or (self._till.books.has_news() and not self._takes_reports)

    def has_moved(self) -> bool:
        """Say whether siblings would look for this till where it is not: a HELLO tells them."""
        return self._till.bus_address != self._address_told

    def has_session(self) -> bool:
        """Say whether a session is live."""
        return self._till.session != NO_SESSION

    def next_push(self) -> Push | None:
        """Return the next batch, as long as the line lets through."""
        journal = self._till.journal
        stream = journal.stream
        while stream.has_earlier() and stream.waiting_count() < REPEATED_AT_ONCE:
            with journal.transaction():
                stream.repeat_earlier()
        push = stream.next_push(self._pace.begin())
        if push is None:
            self._pace.end(0)
        return push

    def as_lines(self, push: Push) -> Lines | None:
        """Return a live batch packed against what the centre has."""
        return self._telling.as_lines(push)

    def turned_away(self) -> None:
        """Note that the centre had no place for a request: that says nothing of the line."""
        self._pace.end(0)

    def lines_answered(self, push: Push, answer: LinesAnswer) -> PushAnswer | None:
        """Return what the centre has; a centre that got something else is told plainer for now."""
        return self._telling.answered(push, answer)

    def push_answered(self, push: Push, answer: PushAnswer) -> None:
        """Move the acknowledged pointer to what the centre has; after a gap that is back."""
        till = self._till
        self._pace.end(sum(map(len, push.records)))
        self.brought_news = True
        if push.incarnation != till.journal.stream.head().incarnation:
            return
        known = till.journal.stream.hash_at(answer.last_seq)
        if answer.verdict == "fork" or known != answer.last_hash:
            self._restart("fork", answer.incarnation_number_min)
            return
        with till.journal.transaction():
            till.journal.stream.move_acked(answer.last_seq, durable_seq=answer.durable_seq)
            if answer.verdict == "gap":
                self._tell_again()
                self._give_up_rights()

    def pull(self) -> Pull:
        """Ask for changes since the stored cursor."""
        till = self._till
        self._told_whole = frozenset()
        announced = self._fetching.announced
        newest = announced.bundle if announced else till.books.newest_bundle()
        blocked = till.cache.blocked.told() or ToldUpTo()
        return Pull(
            incarnation=till.journal.stream.head().incarnation,
            cursor=till.cache.cursor(),
            bundle=newest,
            bytes_max=PULL_BYTES_DEFAULT,
            seq=till.journal.stream.head().seq,
            roster=till.neighbours.roster.version if till.neighbours.roster else "",
            rules=(till.books.generation, till.books.active_version),
            blocked=(blocked.epoch, blocked.version),
        )

    def listen(self, wait_s: int) -> Ask:
        """Ask for changes as `pull` does, in few bytes where the centre takes it so."""
        pull = self.pull()
        blocked = self._till.cache.blocked.told()
        is_of_epoch = blocked is None or blocked.epoch == pull.cursor.epoch
        if not self._till.takes_lines or not is_of_epoch:
            waiting = msgspec.structs.replace(pull, wait_s=wait_s)
            return Ask(PATH_PULL, waiting, PullAnswer)
        whole = self._till.cache.value("whole", Whole) or Whole()
        listen = Listen(
            epoch=pull.cursor.epoch,
            transaction=pull.cursor.transaction,
            row=pull.cursor.row,
            seq=pull.seq or 0,
            wait_s=wait_s,
            bundle=bytes.fromhex(pull.bundle)[:NAME_BYTES],
            roster=bytes.fromhex(pull.roster)[:NAME_BYTES],
            rules=pull.rules,
            whole=whole.account_ids[:WHOLE_MAX],
            blocked=blocked.version if blocked else 0,
        )
        return Ask(PATH_LISTEN, listen, ListenAnswer)

    def listened(self, asked: Message, answer: Message) -> PullAnswer:
        """Return an answer as a pull's; what it says of accounts that are not here is asked for.

        The asking is durable before the cursor that passes over it, and until what it asked for
        is.
        """
        if isinstance(answer, PullAnswer):
            return answer
        assert isinstance(asked, Listen)
        assert isinstance(answer, ListenAnswer)
        cache = self._till.cache
        incarnation = self._till.journal.stream.head().incarnation
        holder = Holder(self._till.identity.till_id, incarnation, self._till.session)
        whole = lengthened(answer, epoch=asked.epoch, incarnation=incarnation, holder=holder)
        missing = set(whole.whole_left)
        changed = changed_accounts(answer)
        known = [row for account_id in changed for row in cache.rows_of(account_id)]
        rows = changed_rows(answer, known) if changed else ()
        if rows is None:
            missing.update(changed)
        self._ask_whole(missing)
        if not answer.again:
            self._told_whole = frozenset(asked.whole) - missing
        return msgspec.structs.replace(whole, accounts=(*whole.accounts, *(rows or ())))

    def _ask_whole(
        self, account_ids: Iterable[int] = (), *, without: frozenset[int] = frozenset()
    ) -> None:
        cache = self._till.cache
        before = cache.value("whole", Whole) or Whole()
        asked = tuple(sorted({*before.account_ids, *account_ids} - without))
        if asked != before.account_ids:
            cache.put_value("whole", Whole(asked))

    def pull_answered(self, answer: PullAnswer) -> None:
        """Store what has changed; the cursor last, so that a crash repeats and never skips."""
        till = self._till
        before = till.journal.stream.head().seq
        till.cache.put_accounts(answer.accounts, answer.applied)
        self._ask_whole(without=self._told_whole)
        if answer.blocked is not None:
            till.cache.blocked.take(answer.blocked)
        if (
            answer.grants
            or answer.recalls
            or answer.outcomes
            or till.journal.rights.expired(till.clock.now_ms())
            or till.journal.transfers.idle()
        ):
            with till.journal.transaction():
                for grant in answer.grants:
                    self._receive(grant)
                for grant_id in answer.recalls:
                    self._send_home(grant_id, "recalled")
                    allowances.send_home(till, grant_id, "recalled")
                for grant_id in till.journal.rights.expired(till.clock.now_ms()):
                    self._send_home(grant_id, "expired")
                for right_id in till.journal.transfers.idle():
                    self._send_home(right_id, "not needed here")
                for row in answer.outcomes:
                    till.journal.stream.note_outcome(row)
        if answer.roster is not None:
            with till.journal.transaction():
                till.journal.roster.write(answer.roster)
            till.neighbours.use_roster(answer.roster)
        if answer.manifest is not None:
            # What is refused here is no news, or the till would ask again without a pause.
            took = self._fetching.announce(answer.manifest, answer.delta)
            self.brought_news = self.brought_news or took
        till.books.confirm(answer.manifest)
        self._forgetting.hear(answer.erasures)
        self._comparing.must(if_said=answer.compare)
        # Rights and rules are told until they are taken: told again they are no news.
        news = (answer.accounts, answer.outcomes, answer.roster, answer.more)
        self.brought_news |= any(news) or till.journal.stream.head().seq != before
        till.cache.put_value("cursor", answer.cursor)

    def _receive(self, grant: Grant) -> None:
        till = self._till
        try:
            check_message(grant, till.identity.centre_key)
        except SignatureError:
            log.warning("grant_refused", grant=grant.grant_id, why="bad signature")
            return
        addressed = (
            grant.till_id == till.identity.till_id and grant.session == till.session != NO_SESSION
        )
        if not addressed or grant.incarnation != till.journal.stream.head().incarnation:
            return
        if till.journal.stream.has_record("grant_in", grant.grant_id):
            return
        till.journal.rights.receive(grant)
        till.journal.transfers.keep_paper(grant)
        till.journal.stream.append(
            GrantInRecord(at_ms=till.clock.now_ms(), grant_id=grant.grant_id)
        )

    def _send_home(self, right_id: str, why: str) -> None:
        points, lots = self._till.journal.rights.give_up(right_id)
        if points:
            grant_id, transfer_id = self._till.journal.transfers.origin(right_id)
            record = GrantReturnRecord(
                at_ms=self._till.clock.now_ms(),
                grant_id=grant_id,
                points=points,
                why=why,
                lots=lots,
                transfer_id=transfer_id,
            )
            self._till.journal.stream.append(record)

    def compare(self) -> Compare | None:
        """Say what is known of accounts where the feed cannot go on, and once a day."""
        return self._comparing.to_say()

    def compared(self, answer: CompareAnswer) -> None:
        """Take the buckets told; the cursor last, when they are the centre's."""
        if self._comparing.answered(answer):
            # A pull may have told of the new epoch before any HELLO did.
            with self._till.journal.transaction():
                self._tell_again()

    def forgotten(self) -> Forgotten | None:
        """Say how far erased customers are forgotten here, if the centre is to hear of it."""
        return self._forgetting.to_say()

    def forgotten_answered(self, answer: ForgottenAnswer) -> None:
        """Forget the customers told, then keep the number."""
        self._forgetting.take(answer)

    def has_report(self) -> bool:
        """Say whether the centre would learn something of the rules here, and takes it so."""
        return self._takes_reports and self.has_session() and self._till.books.has_news()

    def report(self) -> Report | None:
        """Say how the rules stand here, if the centre is to hear of it before the next HELLO."""
        books = self._till.books
        if not self.has_report():
            return None
        self._reports += 1
        return Report(number=self._reports, bundle=books.active.bundle_hash, rules=books.now())

    def report_kept(self, said: Report) -> None:
        """Remember what the centre has heard."""
        self._till.books.report_kept(said.bundle, said.rules)

    def wanted_piece(self) -> tuple[Manifest, int] | None:
        """Return the delta to the announced bundle, or the next piece that is not here yet."""
        return self._fetching.wanted_piece()

    @property
    def waits_for_rules(self) -> bool:
        """Whether an announced bundle is left to siblings for now, or rests."""
        return self._fetching.waits

    def rules_wait_is_over(self) -> bool:
        """Say, once, that it is not any more: it is here, or has to be fetched."""
        return self._fetching.wait_is_over()

    def piece_arrived(self, manifest: Manifest, piece: int, content: bytes) -> None:
        """Keep a piece; with the last one the bundle is tried."""
        self._fetching.piece_arrived(manifest, piece, content)

    def fetch_failed(self, error: LinkError) -> None:
        """Leave the bundle for a later conversation."""
        self._fetching.failed(error)

    @property
    def rules_not_fetched(self) -> str:
        """The announced bundle that could not be fetched last, and why; empty for none."""
        return self._fetching.trouble
