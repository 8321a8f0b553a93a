"""The till's outbox: hash-chained records, sent until acknowledged, and kept even then."""

from dataclasses import dataclass, replace
from typing import Final

from agent.errors import JournalDamagedError, JournalUnavailableError
from agent.journal.anchor import Mark
from agent.journal.database import Database
from sync.chain import first_link, next_link
from sync.errors import MalformedMessageError
from sync.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, PREVIOUS_MAX, RECORD_BYTES_MAX
from sync.messages import OutcomeRow, Push
from sync.packing import pack, unpack
from sync.records import (
    FACTS,
    CounterInRecord,
    CounterReturnRecord,
    GrantInRecord,
    GrantReturnRecord,
    OpenRecord,
    Record,
    SaleRecord,
    XferInRecord,
    XferOutRecord,
    decode_record,
    encode_record,
)

REPEATED_AT_ONCE: Final = 64
"""Facts of earlier streams in one transaction: no sale waits long for it."""


@dataclass(frozen=True, slots=True)
class StreamHead:
    """Where a stream stands.

    Attributes:
        durable_seq: the durable mark, as the centre told it last.
    """

    incarnation: bytes
    incarnation_number: int
    seq: int
    head: bytes
    acked_seq: int
    acked_hash: bytes
    durable_seq: int


class Stream:
    """The current stream of a till; every change happens inside a transaction of the journal.

    Attributes:
        moved_rights: a record was appended that moves rights, and the anchor is not told yet.
    """

    def __init__(self, database: Database, till_id: int) -> None:
        self.moved_rights = False
        self._database = database
        self._till_id = till_id
        self._head: StreamHead | None = None

    def head(self) -> StreamHead:
        """Return where the current stream stands.

        Raises:
            LookupError: no stream has been opened yet.
        """
        if self._head is None:
            row = self._database.row(
                "select incarnation, incarnation_number, last_seq, head, acked_seq, acked_hash,"
                " durable_seq from stream order by incarnation_number desc limit 1"
            )
            if row is None:
                raise LookupError("no stream yet")
            self._head = StreamHead(*row)  # type: ignore[arg-type]
        return self._head

    def previous(self) -> tuple[bytes, ...]:
        """Return the incarnations before the current one, the last ones first."""
        rows = self._database.rows(
            "select incarnation from stream order by incarnation_number desc limit ? offset 1",
            PREVIOUS_MAX,
        )
        return tuple(bytes(row[0]) for row in rows)  # type: ignore[arg-type]

    def is_open(self) -> bool:
        """Say whether the journal has a stream at all."""
        return self._database.row("select 1 from stream") is not None

    def is_sound(self) -> bool:
        """Say whether the records the centre does not have are the chain that ends in the head."""
        head = self.head()
        seq, link = head.acked_seq, head.acked_hash
        if self.hash_at(seq) != link:
            return False
        while rows := self._database.rows(
            "select body, hash from record where incarnation = ? and seq > ? order by seq limit ?",
            head.incarnation, seq, BATCH_RECORDS_MAX,
        ):  # fmt: skip
            for body, kept in rows:
                try:
                    seq, link = seq + 1, next_link(link, body_of(body))
                except JournalDamagedError:
                    return False
                if link != kept:
                    return False
        return (seq, link) == (head.seq, head.head)

    def start(self, incarnation: bytes, *, number_min: int, reason: str, at_ms: int) -> None:
        """Open a new incarnation and repeat in it every fact the centre has not acknowledged.

        Rights do not move over: they were given to the old incarnation (design: sync R2).

        Args:
            number_min: the incarnation's number is at least this and above every stream here.
        """
        old = self.head() if self.is_open() else None
        number = max(number_min, old.incarnation_number + 1 if old else 1)
        link = first_link(self._till_id, incarnation)
        self._database.run(
            "insert into stream values (?, ?, 0, ?, 0, ?, 0, ?)",
            incarnation,
            number,
            link,
            link,
            at_ms,
        )
        self._head = None
        opening = OpenRecord(
            at_ms=at_ms,
            incarnation_number=number,
            reason=reason,
            previous_incarnation=old.incarnation.hex() if old else "",
            previous_head=old.head.hex() if old else "",
        )
        self.append(opening)
        if old:
            self._repeat_facts(old)

    def _repeat_facts(self, old: StreamHead) -> None:
        unacked = self._database.rows(
            "select body from record where incarnation = ? and seq > ? order by seq",
            old.incarnation,
            old.acked_seq,
        )
        for (kept,) in unacked:
            body = body_of(kept)
            record = decode_record(body)
            if isinstance(record, FACTS):
                self._append_bytes(record, body)
        self._leave(old.incarnation, old.seq)

    # Streams before the current one

    def _leave(self, incarnation: bytes, seq: int) -> None:
        """Note that the facts of an earlier stream are in the current one, up to `seq`.

        Its mark stands: it goes with the current stream's (`agent.journal.pruning`).
        """
        self._database.run(
            "update stream set acked_seq = ? where incarnation = ?", seq, incarnation
        )  # fmt: skip

    def doubt_earlier(self) -> None:
        """Have the facts of earlier streams told again; call it inside a transaction.

        The centre went back to an older state of itself, and may have lost them (design: sync N17).
        """
        self._database.run(
            "update stream set acked_seq = 0, durable_seq = 0 where incarnation <> ?",
            self.head().incarnation,
        )

    def has_earlier(self) -> bool:
        """Say whether `repeat_earlier` has anything to do."""
        return self._earlier() is not None

    def repeat_earlier(self) -> None:
        """Repeat the next facts of earlier streams in this one; call it inside a transaction."""
        found = self._earlier()
        if found is None:
            return
        incarnation, acked_seq, last_seq = found
        rows = self._database.rows(
            "select seq, body from record where incarnation = ? and seq > ? order by seq limit ?",
            incarnation, acked_seq, REPEATED_AT_ONCE,
        )  # fmt: skip
        for _, kept in rows:
            body = body_of(kept)
            record = decode_record(body)
            kind = str(type(record).__struct_config__.tag)
            if isinstance(record, FACTS) and not self.has_record(kind, subject_of(record)):
                self._append_bytes(record, body)
        is_last = len(rows) < REPEATED_AT_ONCE
        self._leave(incarnation, last_seq if is_last else rows[-1][0])  # type: ignore[arg-type]

    def _earlier(self) -> tuple[bytes, int, int] | None:
        """Return a stream before this one whose facts are to be repeated, and between what."""
        return self._database.row(  # type: ignore[return-value]
            "select incarnation, acked_seq, last_seq from stream"
            " where incarnation <> ? and acked_seq < last_seq order by incarnation_number limit 1",
            self.head().incarnation,
        )

    def append(self, record: Record, body: bytes = b"") -> int:
        """Append a record to the chain; call it inside a transaction.

        Args:
            body: the record's bytes, where they are made already.

        Returns:
            Its seq.
        """
        return self._append_bytes(record, body or encode_record(record))

    @staticmethod
    def check_size(body: bytes) -> None:
        """Refuse a record that nobody could ever read: what is behind it would never leave.

        Raises:
            JournalUnavailableError: it is too long.
        """
        if len(body) > RECORD_BYTES_MAX:
            raise JournalUnavailableError(
                f"a record has at most {RECORD_BYTES_MAX} bytes, this one {len(body)};"
                " sell without loyalty or split the receipt"
            )

    def _append_bytes(self, record: Record, body: bytes) -> int:
        self.check_size(body)
        head = self.head()
        seq, link = head.seq + 1, next_link(head.head, body)
        kind = str(type(record).__struct_config__.tag)
        self._database.run(
            "insert into record (incarnation, seq, kind, subject, body, hash)"
            " values (?, ?, ?, ?, ?, ?)",
            head.incarnation, seq, kind, subject_of(record), pack(body), link,
        )  # fmt: skip
        self._database.run(
            "update stream set last_seq = ?, head = ? where incarnation = ?",
            seq,
            link,
            head.incarnation,
        )
        self._head = replace(head, seq=seq, head=link)
        self.moved_rights = self.moved_rights or _moves_rights(record)
        return seq

    def mark(self) -> Mark:
        """Return where the stream stands, for the anchor."""
        head = self.head()
        return Mark(head.incarnation, head.incarnation_number, head.seq, head.head)

    def forget_cached_head(self) -> None:
        """Read the head from the file again; needed after a transaction was rolled back."""
        self._head = None

    def next_push(self, bytes_max: int = BATCH_BYTES_MAX) -> Push | None:
        """Return the next unacknowledged records, or None.

        Args:
            bytes_max: of all records together; a longer one travels alone.
        """
        head = self.head()
        if head.acked_seq == head.seq:
            return None
        rows = self._database.rows(
            "select body from record where incarnation = ? and seq > ? order by seq limit ?",
            head.incarnation, head.acked_seq, BATCH_RECORDS_MAX,
        )  # fmt: skip
        bodies: list[bytes] = []
        size_bytes = 0
        for (kept,) in rows:
            body = body_of(kept)
            size_bytes += len(body)
            if bodies and size_bytes > bytes_max:
                break
            bodies.append(body)
        return Push(
            incarnation=head.incarnation,
            from_seq=head.acked_seq + 1,
            previous_hash=head.acked_hash,
            records=tuple(bodies),
        )

    def bodies_after(self, seq: int, count: int) -> list[bytes]:
        """Return the bytes of up to `count` records of the current stream that follow `seq`."""
        rows = self._database.rows(
            "select body from record where incarnation = ? and seq > ? order by seq limit ?",
            self.head().incarnation, seq, count,
        )  # fmt: skip
        return [body_of(row[0]) for row in rows]

    def hash_at(self, seq: int) -> bytes | None:
        """Return the link of a record of the current stream; None if it is not here (any more)."""
        head = self.head()
        if seq <= (pruned := self.pruned(head.incarnation)).seq:
            return pruned.hash if seq == pruned.seq else None
        row = self._database.row(
            "select hash from record where incarnation = ? and seq = ?", head.incarnation, seq
        )
        return row[0] if row else None  # type: ignore[return-value]

    def pruned(self, incarnation: bytes) -> Mark:
        """Return up to where a stream's records are no longer here; its beginning if all are."""
        row = self._database.row("select seq, hash from pruned where incarnation = ?", incarnation)
        seq, link = row or (0, first_link(self._till_id, incarnation))
        return Mark(incarnation, 0, seq, link)  # type: ignore[arg-type]

    def doubt_acks(self) -> None:
        """Count everything that is still here as not acknowledged; call it inside a transaction.

        For a centre that has lost what it had called durable: the stream cannot go on with it, but
        every fact that is here is to be told again.
        """
        seq = self.pruned(self.head().incarnation).seq
        self.move_acked(seq, durable_seq=seq)

    def move_acked(self, seq: int, *, durable_seq: int) -> None:
        """Set the acknowledged pointer, forward or (rewind) back; call it inside a transaction."""
        head = self.head()
        link = self.hash_at(seq)
        assert link is not None, "acknowledged beyond the stream"
        self._database.run(
            "update stream set acked_seq = ?, acked_hash = ?, durable_seq = min(?, ?)"
            " where incarnation = ?",
            seq, link, durable_seq, seq, head.incarnation,
        )  # fmt: skip
        self._head = None

    def note_outcome(self, row: OutcomeRow) -> None:
        """Keep what became of a record; for support, it changes nothing else."""
        self._database.run(
            "update record set outcome = ?, reason = ? where incarnation = ? and seq = ?",
            row.outcome, row.reason, row.incarnation, row.seq,
        )  # fmt: skip

    def has_record(self, kind: str, subject: str) -> bool:
        """Say whether the current stream holds a record of this kind about this subject."""
        return (
            self._database.row(
                "select 1 from record where subject = ? and kind = ? and incarnation = ?",
                subject, kind, self.head().incarnation,
            )
            is not None
        )  # fmt: skip

    def waiting_count(self) -> int:
        """Return how many records the centre has not acknowledged."""
        head = self.head()
        return head.seq - head.acked_seq


def body_of(kept: object) -> bytes:
    """Return a record's bytes as they were hashed, from what the file holds.

    Raises:
        JournalDamagedError: they cannot be read.
    """
    assert isinstance(kept, bytes)
    try:
        return unpack(kept, bytes_max=RECORD_BYTES_MAX)
    except MalformedMessageError as error:
        raise JournalDamagedError(f"a record: {error}") from error


def _moves_rights(record: Record) -> bool:
    """Say whether a journal without this record would hold rights it must not spend."""
    if isinstance(record, SaleRecord):
        spent = any(source.kind != "authorisation" for source in record.sources)
        return spent or bool(record.drawn)
    return not isinstance(record, FACTS)


def subject_of(record: Record) -> str:
    """Return what a record is about: id of a sale, return, grant, transfer; none of an opening."""
    if isinstance(
        record, GrantInRecord | GrantReturnRecord | CounterInRecord | CounterReturnRecord
    ):
        return record.grant_id
    if isinstance(record, XferOutRecord | XferInRecord):
        return record.transfer_id
    if isinstance(record, OpenRecord):
        return ""
    return record.key
