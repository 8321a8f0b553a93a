"""What the journal knows of the time: what the centre told last, and what was written since.

Only for `TrustedClock`; changes happen inside a transaction of the journal.
"""

from dataclasses import dataclass

from agent.journal.database import Database
from agent.journal.stream import body_of


@dataclass(frozen=True, slots=True)
class ToldTime:
    """Time as told by the centre, and the machine's clocks at that moment.

    Attributes:
        monotonic_ms: of the machine's boot `boot_id`.
        off_by_ms: how far what was told may be off: half of the round trip.
    """

    told_ms: int
    monotonic_ms: int
    boot_id: str
    off_by_ms: int


class ToldTimes:
    """The one row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, told: ToldTime, *, incarnation: bytes, seq: int) -> None:
        """Keep what was told in place of what was told before.

        Args:
            incarnation: of the stream whose record `seq` is the last one older than this.
            seq: see `incarnation`.
        """
        self._database.run(
            "insert or replace into told_time values (1, ?, ?, ?, ?, ?, ?)",
            told.told_ms, told.monotonic_ms, told.boot_id, told.off_by_ms, incarnation, seq,
        )  # fmt: skip

    def last(self) -> ToldTime | None:
        """Return what was told last; None where nothing ever was."""
        row = self._database.row("select told_ms, monotonic_ms, boot_id, off_by_ms from told_time")
        return ToldTime(*row) if row else None  # type: ignore[arg-type]

    def record_since(self) -> bytes | None:
        """Return the bytes of the newest record that was written after the last telling."""
        row = self._database.row(
            "select r.body from stream s"
            " join record r on r.incarnation = s.incarnation and r.seq = s.last_seq"
            " left join told_time t on t.incarnation = s.incarnation"
            " where s.last_seq > coalesce(t.seq, 0)"
            " order by s.incarnation_number desc limit 1"
        )
        return body_of(row[0]) if row else None
