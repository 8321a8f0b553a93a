"""The codes of reasons, in order of precedence; texts for people are in `wording`."""

from enum import StrEnum


class ReasonCode(StrEnum):
    """Why an offer did or did not act; names are sent and stored, never renamed."""

    APPLIED = "applied"
    LOST_TO = "lost_to"
    NOT_IDENTIFIED = "not_identified"
    NOT_IN_TIER = "not_in_tier"
    NOT_IN_SEGMENT = "not_in_segment"
    NOT_BIRTHDAY = "not_birthday"
    NOT_PERSONAL = "not_personal"
    NOT_THIS_PURCHASE = "not_this_purchase"
    LIMIT_USED = "limit_used"
    NO_ALLOWANCE = "no_allowance"
    NOT_TODAY = "not_today"
    NOT_THIS_HOUR = "not_this_hour"
    CODE_MISSING = "code_missing"
    CODE_USED = "code_used"
    TENDER_MISSING = "tender_missing"
    QUANTITY_MISSING = "quantity_missing"
    AMOUNT_MISSING = "amount_missing"
    DISTINCT_MISSING = "distinct_missing"
    PART_MISSING = "part_missing"
    STAMPS_MISSING = "stamps_missing"
    CONDITION_NOT_MET = "condition_not_met"
    LINES_EXCLUDED = "lines_excluded"
    LINES_DISCOUNTED = "lines_discounted"
    RECEIPT_LIMIT = "receipt_limit"
    PRICE_FLOOR = "price_floor"
    NOTHING_TO_GIVE = "nothing_to_give"


HINTS = frozenset(
    {
        ReasonCode.QUANTITY_MISSING,
        ReasonCode.AMOUNT_MISSING,
        ReasonCode.DISTINCT_MISSING,
        ReasonCode.PART_MISSING,
        ReasonCode.STAMPS_MISSING,
    }
)
"""Reasons the customer can still do something about."""
