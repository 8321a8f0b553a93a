"""Named results of business operations, in order of precedence.

They are sent over the wire by name and never renamed. An outcome is a value, not an error: a sale
goes on whatever it says (design: README, decision 3).
"""

from enum import StrEnum


class Outcome(StrEnum):
    """What became of a request at the till or of a record at the centre."""

    # At the till
    CALCULATED = "calculated"
    RESERVED = "reserved"
    RECORDED = "recorded"
    ALREADY_RECORDED = "already_recorded"
    CANCELLED = "cancelled"
    PREVIEWED = "previewed"
    ALREADY_RECORDED_DIFFERENTLY = "already_recorded_differently"
    STALE_VERSION = "stale_version"
    STALE_CALCULATION = "stale_calculation"
    RECEIPT_UNKNOWN = "receipt_unknown"
    RECEIPT_CLOSED = "receipt_closed"
    LINE_UNKNOWN = "line_unknown"
    LINE_ALREADY_RETURNED = "line_already_returned"
    NOT_WHOLE_PIECES = "not_whole_pieces"
    QUANTITY_NOT_LEFT = "quantity_not_left"
    NOT_IDENTIFIED = "not_identified"
    POINTS_INSUFFICIENT = "points_insufficient"
    POINTS_HELD_ELSEWHERE = "points_held_elsewhere"
    RIGHTS_EXHAUSTED = "rights_exhausted"
    COURIER_ASKED = "courier_asked"
    GRANT_TAKEN = "grant_taken"
    GRANT_NOT_AWAITED = "grant_not_awaited"
    CODE_WRONG = "code_wrong"
    CUSTOMER_CODE_USED = "customer_code_used"
    CUSTOMER_CODE_OVER = "customer_code_over"
    RULES_MISSING = "rules_missing"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    # At the centre: every ingested record gets exactly one of these
    ACCEPTED = "accepted"
    ACCEPTED_STALE = "accepted_stale"
    ADJUSTED = "adjusted"
    PARKED = "parked"
    REJECTED_KEPT = "rejected_kept"

    @property
    def is_transient(self) -> bool:
        """Repeating the very same request later may give another outcome."""
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {
        Outcome.PARKED,
        Outcome.RULES_MISSING,
        Outcome.JOURNAL_UNAVAILABLE,
        Outcome.POINTS_HELD_ELSEWHERE,
    }
)
