"""The till's half of the conversation with the centre, over its journal and cache."""

import msgspec
import structlog

from agent.reference_data.rule_books import BundleRefusedError
from agent.till_service import allowances
from agent.till_service.cancelling import cancel_abandoned
from agent.till_service.till import Till
from sync.blobs import check_piece, pieces_of, unpack
from sync.errors import MalformedMessageError, SignatureError
from sync.limits import PULL_BYTES_DEFAULT
from sync.messages import (
    Compare,
    CompareAnswer,
    Grant,
    Hello,
    HelloAnswer,
    Manifest,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
)
from sync.push_pace import PushPace
from sync.records import GrantInRecord, GrantReturnRecord
from sync.signing import NO_SESSION, check_message

log = structlog.get_logger()

_COMPARE_MS = 86_400_000


class Compared(msgspec.Struct, frozen=True):
    """When the accounts were last compared with the centre's; hygiene, so the clock will do."""

    at_ms: int


class JournalTillSide:
    """Implements `sync.cycle.TillSide`; runs on the till's thread.

    Attributes:
        brought_news: something was pushed or pulled since this was last set to False.
    """

    def __init__(self, till: Till, *, software: str) -> None:
        self.brought_news = False
        self._till = till
        self._software = software
        self._announced: Manifest | None = None
        self._must_compare = False
        self._pace = PushPace()

    def hello(self) -> Hello:
        """Say where the stream stands; from now on no session is live (rule R2)."""
        till = self._till
        till.session = NO_SESSION
        till.neighbours.requests.close_all()
        till.clock.asking()
        cancel_abandoned(till)
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
            asks_made=till.journal.courier.made(),
            asks_open=till.journal.courier.open_nonces(),
            bus_address=till.bus_address,
            feed_epoch=till.cache.cursor().epoch,
        )

    def hello_answered(self, answer: HelloAnswer) -> None:
        """Take the centre's verdict."""
        till = self._till
        self._take_time(answer.server_time_ms)
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
        self._must_compare = self._must_compare or answer.verdict == "epoch"
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

    def _take_time(self, server_time_ms: int) -> None:
        till = self._till
        told, head = till.clock.adjust(server_time_ms), till.journal.stream.head()
        with till.journal.transaction():
            till.journal.told_times.keep(told, incarnation=head.incarnation, seq=head.seq)

    def _give_up_rights(self) -> None:
        """The centre lost records, so it may have lost grants too and given their points again."""
        for grant_id in self._till.journal.rights.held_grants():
            self._send_home(grant_id, "the centre went back")
        self._till.journal.rights.withdraw()
        allowances.send_all_home(self._till, "the centre went back")

    def _restart(self, why: str, number_min: int) -> None:
        """Begin a new incarnation; the session was for the old one."""
        log.warning("stream_restarted", why=why)
        self._till.session = NO_SESSION
        self._till.start_incarnation(why, number_min=number_min)

    def has_session(self) -> bool:
        """Say whether a session is live."""
        return self._till.session != NO_SESSION

    def next_push(self) -> Push | None:
        """Return the next batch, as long as the line lets through."""
        push = self._till.journal.stream.next_push(self._pace.begin())
        if push is None:
            self._pace.end(0)
        return push

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
                self._give_up_rights()

    def pull(self) -> Pull:
        """Ask for changes since the stored cursor."""
        till = self._till
        newest = self._announced.bundle if self._announced else till.books.active.bundle_hash
        return Pull(
            incarnation=till.journal.stream.head().incarnation,
            cursor=till.cache.cursor(),
            bundle=newest,
            bytes_max=PULL_BYTES_DEFAULT,
            seq=till.journal.stream.head().seq,
            roster=till.neighbours.roster.version if till.neighbours.roster else "",
        )

    def pull_answered(self, answer: PullAnswer) -> None:
        """Store what has changed; the cursor last, so that a crash repeats and never skips."""
        till = self._till
        news = (answer.accounts, answer.grants, answer.recalls, answer.outcomes, answer.manifest)
        self.brought_news = self.brought_news or any(news) or answer.more
        till.cache.put_accounts(answer.accounts, answer.applied)
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
            self._announce(answer.manifest)
        self._must_compare = self._must_compare or answer.compare
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

    def _announce(self, manifest: Manifest) -> None:
        try:
            if self._till.books.wants(manifest):
                self._announced = manifest
        except SignatureError as error:
            log.error("bundle_refused", why=str(error))  # noqa: TRY400 - the bundle is at fault

    def compare(self) -> Compare | None:
        """Say what is known of accounts where the feed cannot go on, and once a day."""
        till = self._till
        now_ms = till.clock.now_ms()
        last = till.cache.value("compared", Compared)
        if last is None:
            till.cache.put_value("compared", Compared(at_ms=now_ms))
        elif not 0 <= now_ms - last.at_ms < _COMPARE_MS:
            self._must_compare = True
        if not self._must_compare:
            return None
        return Compare(sums=till.cache.sums(), bytes_max=PULL_BYTES_DEFAULT)

    def compared(self, answer: CompareAnswer) -> None:
        """Take the buckets told; the cursor last, when they are the centre's."""
        till = self._till
        till.cache.put_buckets(answer.buckets, answer.accounts, answer.applied)
        if answer.buckets:
            log.info("accounts_compared", buckets=len(answer.buckets), rows=len(answer.accounts))
        if not answer.more:
            self._must_compare = False
            till.cache.put_value("cursor", answer.cursor)
            till.cache.put_value("compared", Compared(at_ms=till.clock.now_ms()))

    def wanted_piece(self) -> tuple[Manifest, int] | None:
        """Return the next piece of the announced bundle that is not here yet."""
        if self._announced is None:
            return None
        return self._announced, self._till.cache.pieces_here(self._announced.bundle)

    def piece_arrived(self, manifest: Manifest, piece: int, content: bytes) -> None:
        """Keep a piece; with the last one the bundle is tried."""
        cache = self._till.cache
        try:
            check_piece(manifest, piece, content)
            if piece + 1 < pieces_of(manifest):
                cache.put_piece(manifest.bundle, piece, content)
                return
            whole = unpack([*cache.take_pieces(manifest.bundle), content])
        except MalformedMessageError as error:
            # Damaged on its way: the next conversation asks again.
            self._announced = None
            log.warning("bundle_damaged", why=str(error))
            return
        self._bundle_arrived(manifest, whole)

    def _bundle_arrived(self, manifest: Manifest, content: bytes) -> None:
        """Try the bundle; a bad one is kept out and the last good one stays."""
        self._announced = None
        try:
            self._till.books.take(manifest, content, self._till.identity.place)
        except (BundleRefusedError, SignatureError) as error:
            log.error("bundle_refused", why=str(error))  # noqa: TRY400 - the bundle is at fault
        else:
            log.info("bundle_active", bundle=manifest.bundle[:8], version=manifest.version)
