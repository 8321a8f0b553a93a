"""Forgets what the centre keeps durably, some weeks later; what it has not is never forgotten.

A record goes when the durable mark has passed it and `RECORD_DAYS` are over; the link of the last
one stays, so that chains can be compared from there on. A receipt, with its counts, goes when its
record is gone and nobody will bring its goods back. Whether something may go is decided by the
mark; the clock only keeps it longer (design: sync 4.2, till 5).
"""

from typing import TYPE_CHECKING, Final

import msgspec

from agent.journal.database import Database
from agent.journal.stream import body_of

if TYPE_CHECKING:
    from agent.journal.journal import Journal

RECORD_DAYS: Final = 14
RECEIPT_DAYS: Final = 90
"""For returns without the centre, and for registers that repeat an old call."""
RECORDS_AT_ONCE: Final = 200
"""Fewer than so many that are due are left for later: most calls cost two look-ups."""
_DAY_MS: Final = 86_400_000


class Pruned(msgspec.Struct, frozen=True):
    """What a step took out."""

    records: int = 0
    receipts: int = 0


class _Dated(msgspec.Struct):
    at_ms: int


_dated = msgspec.json.Decoder(_Dated)


def prune(database: Database, journal: "Journal", now_ms: int) -> Pruned:
    """Take out the oldest records and receipts that are due, a bounded number of each.

    Raises:
        JournalUnavailableError: the disk refuses.
    """
    streams = database.rows("select incarnation, durable_seq from stream")
    due = next((found for each in streams if (found := _due_records(database, each, now_ms))), None)
    receipts = _due_receipts(database, now_ms)
    if due is None and not receipts:
        return Pruned()
    if due is not None:
        # The anchor may name one of them: it moves to the head before they go.
        journal.drop_anchor()
        if journal.rights.are_suspended:
            return Pruned()
    with journal.transaction():
        if due is not None:
            incarnation, seq, link = due
            database.run("insert or replace into pruned values (?, ?, ?)", incarnation, seq, link)
            database.run("delete from record where incarnation = ? and seq <= ?", incarnation, seq)
        for receipt_id in receipts:
            database.run("delete from receipt where receipt_id = ?", receipt_id)
            database.run("delete from own_count where subject = ?", receipt_id)
    return Pruned(records=RECORDS_AT_ONCE if due else 0, receipts=len(receipts))


def _due_records(
    database: Database, stream: tuple[object, ...], now_ms: int
) -> tuple[bytes, int, bytes] | None:
    """Return the last of the oldest records if all of them are due, with stream and link."""
    incarnation, durable_seq = stream
    assert isinstance(incarnation, bytes)
    row = database.row(
        "select seq, hash, body from record where incarnation = ? order by seq limit 1 offset ?",
        incarnation, RECORDS_AT_ONCE - 1,
    )  # fmt: skip
    if row is None:
        return None
    seq, link, body = row
    assert isinstance(seq, int)
    assert isinstance(durable_seq, int)
    assert isinstance(link, bytes)
    if seq > durable_seq or _is_young(_dated.decode(body_of(body)).at_ms, now_ms, RECORD_DAYS):
        return None
    return incarnation, seq, link


def _due_receipts(database: Database, now_ms: int) -> list[str]:
    """Return the oldest finished receipts if they are due, each without a record here."""
    found: list[str] = []
    for state in ("recorded", "cancelled"):
        rows = database.rows(
            "select receipt_id from receipt where state = ? and updated_at_ms <= ?"
            " and not exists (select 1 from record where subject = receipt_id)"
            " order by updated_at_ms limit ?",
            state, now_ms - RECEIPT_DAYS * _DAY_MS, RECORDS_AT_ONCE,
        )  # fmt: skip
        if len(rows) == RECORDS_AT_ONCE:
            found += [str(receipt_id) for (receipt_id,) in rows]
    return found


def _is_young(at_ms: int, now_ms: int, days: int) -> bool:
    return now_ms - at_ms < days * _DAY_MS
