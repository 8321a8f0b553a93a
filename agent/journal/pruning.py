"""Forgets what the centre keeps durably, some weeks later; what it has not is never forgotten.

A record goes when the durable mark has passed it and `RECORD_DAYS` are over; the link of the last
one stays, so that chains can be compared from there on. A receipt, with its counts and those of its
returns, goes when their records are gone and nobody will bring its goods back. Whether something
may go is decided by the mark; the clock only keeps it longer (design: sync 4.2, till 5).
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from agent.journal.database import Database
from agent.journal.stream import body_of

RECORD_DAYS: Final = 14
RECEIPT_DAYS: Final = 90
"""For returns without the centre, and for registers that repeat an old call."""
RECORDS_AT_ONCE: Final = 200
"""Fewer than so many that are due are left for later: most calls cost two look-ups."""
OVERDUE_DAYS: Final = 7
"""So much later the oldest waits for no others: nothing stays for ever at a quiet till."""
_DAY_MS: Final = 86_400_000

_MARKS: Final = """
with newest as (
    select incarnation, durable_seq from stream order by incarnation_number desc limit 1)
select s.incarnation, case when s.incarnation <> n.incarnation and n.durable_seq > 0
    then s.acked_seq else s.durable_seq end
from stream s join newest n
"""
"""A stream's mark. The centre tells the newest one's alone: what holds the first record of that
holds all the centre had acknowledged before; what it had not is repeated there, and stays there."""
_OLDEST: Final = """
select seq, hash, body from record where incarnation = ? and seq <= ? order by seq limit ? offset ?
"""
_RECEIPTS: Final = """
select receipt_id, updated_at_ms from receipt where state = ? and updated_at_ms <= ?
    and not exists (select 1 from record where subject = receipt_id)
    and not exists (select 1 from return_document join record on subject = return_id
        where original_key = receipt_id)
order by updated_at_ms limit ?
"""
_COUNTS: Final = """
delete from own_count where subject in (
    select ?1 union all select return_id from return_document where original_key = ?1)
"""


@dataclass(frozen=True, slots=True)
class Due:
    """What may be taken out in one step.

    Attributes:
        records: stream, seq and link of the last of its oldest records; None for none.
        receipts: their ids.
    """

    records: tuple[bytes, int, bytes] | None
    receipts: tuple[str, ...]


class _Dated(msgspec.Struct):
    at_ms: int


_dated = msgspec.json.Decoder(_Dated)


def find_due(database: Database, now_ms: int) -> Due:
    """Return the oldest records and receipts that may go, a bounded number of each."""
    found = (_due_records(database, stream, now_ms) for stream in database.rows(_MARKS))
    return Due(next((one for one in found if one), None), _due_receipts(database, now_ms))


def remove(database: Database, due: Due) -> None:
    """Take them out, inside a transaction of the journal."""
    if due.records is not None:
        incarnation, seq, link = due.records
        database.run("insert or replace into pruned values (?, ?, ?)", incarnation, seq, link)
        database.run("delete from record where incarnation = ? and seq <= ?", incarnation, seq)
    for receipt_id in due.receipts:
        database.run("delete from receipt where receipt_id = ?", receipt_id)
        database.run(_COUNTS, receipt_id)


def _due_records(
    database: Database, stream: tuple[object, ...], now_ms: int
) -> tuple[bytes, int, bytes] | None:
    """Return the last of a stream's oldest records that are due, with stream and link.

    Of all at once the last one is looked at; of fewer, each, and only when the first is overdue.
    """
    incarnation, durable_seq = stream
    assert isinstance(incarnation, bytes)
    assert isinstance(durable_seq, int)

    def due(count: int, first: int, days: int) -> list[tuple[int, bytes]]:
        rows = database.rows(_OLDEST, incarnation, durable_seq, count, first)
        return [
            (seq, link)  # type: ignore[misc]
            for seq, link, body in rows
            if not _is_young(_dated.decode(body_of(body)).at_ms, now_ms, days)
        ]

    others = RECORDS_AT_ONCE - 1
    found = due(1, others, RECORD_DAYS)
    if not found and due(1, 0, RECORD_DAYS + OVERDUE_DAYS):
        found = due(others, 0, RECORD_DAYS)
    return (incarnation, *found[-1]) if found else None


def _due_receipts(database: Database, now_ms: int) -> tuple[str, ...]:
    """Return the oldest finished receipts if they are due, each without a record here."""
    found: list[str] = []
    for state in ("recorded", "cancelled"):
        latest_ms = now_ms - RECEIPT_DAYS * _DAY_MS
        rows = database.rows(_RECEIPTS, state, latest_ms, RECORDS_AT_ONCE)
        is_overdue = rows and not _is_young(rows[0][1], now_ms, RECEIPT_DAYS + OVERDUE_DAYS)  # type: ignore[arg-type]
        if is_overdue or len(rows) == RECORDS_AT_ONCE:
            found += [str(receipt_id) for receipt_id, _ in rows]
    return tuple(found)


def _is_young(at_ms: int, now_ms: int, days: int) -> bool:
    return now_ms - at_ms < days * _DAY_MS
