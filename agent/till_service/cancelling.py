"""Gives up a receipt that is reserved: what was set aside for it is free again, durably."""

from dataclasses import replace

from agent.journal.receipts import ReceiptRow
from agent.till_service.till import Till
from sync.records import VoidRecord

ABANDONED_MS = 24 * 3_600_000
"""A receipt reserved longer ago was forgotten by its register; one that completes it after all is
told that it is closed and sells at its own prices."""


def cancel_reserved(till: Till, row: ReceiptRow, *, why: str) -> None:
    """Release what a receipt has taken and close it, in one transaction.

    Where the centre may have set something aside for it, a void record tells it.
    """
    journal, at_ms = till.journal, till.clock.now_ms()
    with journal.transaction():
        journal.rights.release(row.receipt_id)
        journal.counter_rights.release(row.receipt_id)
        if row.authorisation_asked:
            journal.stream.append(VoidRecord(at_ms=at_ms, key=row.receipt_id, why=why))
        journal.receipts.put(replace(row, state="cancelled", updated_at_ms=at_ms))


def cancel_abandoned(till: Till) -> None:
    """Close receipts their registers have forgotten; nothing stays set aside for ever."""
    before_ms = till.clock.now_ms() - ABANDONED_MS
    for row in till.journal.receipts.reserved_before(before_ms):
        cancel_reserved(till, row, why="abandoned at the till")
    for receipt_id in till.journal.counter_rights.open_before(before_ms):
        with till.journal.transaction():
            till.journal.counter_rights.release(receipt_id)
