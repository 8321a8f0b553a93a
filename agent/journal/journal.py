"""The journal as one thing: stream, rights, receipts and counts; one file, one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
import structlog

from agent.errors import JournalDamagedError, JournalUnavailableError
from agent.journal.anchor import Anchor
from agent.journal.counter_rights import CounterRights
from agent.journal.courier_asks import CourierAsks
from agent.journal.database import LOG_PAGES_TIDY, Database
from agent.journal.noted_sales import NotedSale, NotedSales, record_of, row_of
from agent.journal.own_counts import OwnCountRows, Sold
from agent.journal.pruning import find_due, remove
from agent.journal.receipts import ReceiptRow, Receipts
from agent.journal.rights import Rights
from agent.journal.roster import RosterRow
from agent.journal.rule_trust import RuleTrust
from agent.journal.schema import migration_files
from agent.journal.shown_codes import ShownCodes
from agent.journal.stream import Stream, StreamHead
from agent.journal.told_time import ToldTimes
from agent.journal.transfers import Transfers
from agent.journal.witness_store import WitnessStore

log = structlog.get_logger()


class Journal:
    """Everything of a till that must be atomic with a sale."""

    def __init__(self, database: Database, till_id: int, anchor: Anchor) -> None:
        """Use an open file, bringing its schema up to date.

        Args:
            anchor: is told where the stream stands whenever a right has moved.

        Raises:
            JournalDamagedError: the records are not the chain they should be.
        """
        self._database = database
        self._anchor = anchor
        self.stream = Stream(database, till_id)
        self.rights = Rights(database)
        self.counter_rights = CounterRights(database)
        self.transfers = Transfers(database, self.rights)
        self.witness = WitnessStore(database)
        self.roster = RosterRow(database)
        self.rule_trust = RuleTrust(database)
        self.receipts = Receipts(database)
        self.own_counts = OwnCountRows(database)
        self.courier = CourierAsks(database)
        self.shown_codes = ShownCodes(database)
        self.told_times = ToldTimes(database)
        self._noted = NotedSales(database)
        try:
            database.migrate(migration_files())
            self._enter_what_was_left()
            self._check_chain()
        except JournalDamagedError:
            database.leave()
            raise

    def _enter_what_was_left(self) -> None:
        """Enter what was noted before a crash; a disk that refuses does not keep a till down."""
        left = self._noted.find()
        if left is None:
            return
        try:
            self._enter(left)
        except JournalUnavailableError:
            self._database.postpone(partial(self._enter, left))
            self._database.is_behind = True

    def _check_chain(self) -> None:
        if self.stream.is_open() and not self.stream.is_sound():
            raise JournalDamagedError("the records are not the chain they should be")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block durably, or not at all."""
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self.stream.forget_cached_head()
            raise
        if self.stream.moved_rights or self.rights.are_suspended:
            self.drop_anchor()

    def note_sale(self, sale: NotedSale, *, follows: StreamHead) -> None:
        """Make a plain sale durable, on one page; on return it is recorded for whoever asks.

        It is entered into records, receipts and counts before anything else reads or writes: by
        `tidy` after the answer, by the next call, or when the journal is opened after a crash.

        Args:
            sale: of a receipt this journal has nothing of.
            follows: the stream's head as its code says it.

        Raises:
            JournalUnavailableError: the disk refuses; nothing was recorded.
        """
        self.stream.check_size(sale.record)
        with self._database.transaction():
            if self.stream.head() != follows:
                # The disk had refused to enter the sale before, and has just done it after all.
                raise JournalUnavailableError("the journal was behind; repeat the call")
            self._noted.put(sale)
        self.stream.forget_cached_head()
        self._database.postpone(partial(self._enter, sale))

    def _enter(self, sale: NotedSale) -> None:
        record = record_of(sale)
        with self.transaction():
            if not self._noted.is_there():
                return  # it was entered, and only what follows failed
            seq = self.stream.append(record, sale.record)
            self.own_counts.add_sale(
                record.key,
                msgspec.json.decode(record.calculation, type=Sold),
                card=bytes.fromhex(record.card),
                incarnation=self.stream.head().incarnation,
                seq=seq,
            )
            self.receipts.put(row_of(sale, record))
            self._noted.clear()

    def receipt(self, receipt_id: str) -> ReceiptRow | None:
        """Return what the journal has of a receipt, noted or entered."""
        row = self.receipts.find(receipt_id)
        if row is None and self._database.is_behind:
            sale = self._noted.find()
            if sale is not None and sale.receipt_id == receipt_id:
                return row_of(sale, record_of(sale))
        return row

    def edition(self) -> tuple[int, int]:
        """Return what changes with every write: while it is the same, what was read is true."""
        return self._database.edition()

    def drop_anchor(self) -> None:
        """Write down where the stream stands; until that is done no right is spent.

        What was just committed stays: it is durable, only a later journal that came back without
        it would not be known by the anchor.
        """
        try:
            self._anchor.write(self.stream.mark())
        except JournalUnavailableError as error:
            log.warning("anchor_not_written", why=str(error), now="no points are redeemed offline")
            self.rights.are_suspended = True
            return
        self.stream.moved_rights = False
        self.rights.are_suspended = False

    def doubt(self) -> str:
        """Say why rights in this journal may be spent already; empty if nothing speaks for it."""
        mark = self._anchor.read()
        if mark is None:
            held = self.rights.points_held() + self.rights.risk_points_left()
            held = held or self.counter_rights.is_held()
            # An open ask is as good as a right: a grant for it may have been taken and spent.
            return "no anchor" if held or self.courier.open_nonces() else ""
        head = self.stream.head()
        if mark.incarnation != head.incarnation:
            # A newer journal: the power went after a stream was begun and before the anchor heard.
            return "" if mark.incarnation_number < head.incarnation_number else "behind the anchor"
        return "" if self.stream.hash_at(mark.seq) == mark.hash else "behind the anchor"

    def numbers_used(self) -> int:
        """Return the highest incarnation number the anchor knows; 0 where it knows none."""
        mark = self._anchor.read()
        return mark.incarnation_number if mark else 0

    def prune(self, now_ms: int) -> bool:
        """Forget a bounded part of what the centre keeps durably and nobody asks for here any more.

        Returns:
            Whether anything was forgotten; then there may be more.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        due = find_due(self._database, now_ms)
        if due.records is not None:
            # The anchor may name one of them: it moves to the head before they go.
            self.drop_anchor()
            if self.rights.are_suspended:
                return False
        if due.records is None and not due.receipts:
            return False
        with self.transaction():
            remove(self._database, due)
        return True

    def catch_up(self) -> None:
        """Enter a sale that is noted; call it after an answer.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        self._database.do_postponed()

    def tidy(self, log_pages_min: int = LOG_PAGES_TIDY) -> bool:
        """Do what a sale should not wait for; call it after an answer.

        Args:
            log_pages_min: of the log; a shorter one is left alone.

        Returns:
            Whether the log was moved into the file.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        return self._database.checkpoint(log_pages_min)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
