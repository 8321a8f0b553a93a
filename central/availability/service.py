"""How the customer of one receipt was served.

Decided when the receipt is posted, by what the till knew and had then and by what the centre comes
to now. A till without a line that gives everything that is due serves in full (design: centre 4).
"""

from enum import StrEnum

from loyalty.calculation import Calculation
from loyalty.reasons import ReasonCode
from sync.records import Record, SaleRecord


class Service(StrEnum):
    """How well; names are stored and never renamed.

    Attributes:
        FULL: with a line, everything that was due.
        OFFLINE_FULL: without a line, everything that was due all the same.
        DEGRADED: there were rules, and something of what was due was missing: the customer of the
            card was known at the centre and not to the till, points he had could not be redeemed
            for want of rights, an offer that is limited over all customers could not be given
            without a line, or the centre calculates otherwise.
        NONE: the till had no rules: nothing was given.
    """

    FULL = "full"
    OFFLINE_FULL = "offline_full"
    DEGRADED = "degraded"
    NONE = "none"


def service_of(
    sale: SaleRecord, printed: Calculation, *, is_equal: bool, was_nobodys: bool = False
) -> Service:
    """Return how a receipt was served.

    Whether a till could have known the customer of a card the centre says, and not the till's line:
    one that is up to a centre too busy to answer leaves the till as ignorant as none.

    Args:
        printed: what `sale.calculation` says.
        is_equal: the centre calculates the same.
        was_nobodys: when the receipt came, the centre knew nobody by its card either: nothing more
            was due.
    """
    if not sale.inputs.bundle:
        return Service.NONE
    if (
        not is_equal
        or (is_strangers(sale) and not was_nobodys)
        or _is_short_of_rights(sale, printed)
        or (not sale.link_up and _is_short_of_allowance(printed))
    ):
        return Service.DEGRADED
    return Service.FULL if sale.link_up else Service.OFFLINE_FULL


def posted_before(*, bundle: str, is_equal: bool, link_up: bool) -> Service:
    """Return it for a receipt a release posted that did not say: by less, and so more kindly."""
    if not bundle:
        return Service.NONE
    if not is_equal:
        return Service.DEGRADED
    return Service.FULL if link_up else Service.OFFLINE_FULL


def is_strangers(record: Record | None) -> bool:
    """Say whether a record is a receipt with a card that its till knew nobody by."""
    if not isinstance(record, SaleRecord):
        return False
    return record.inputs.account.identified and not record.inputs.account.account_id


def _is_short_of_rights(sale: SaleRecord, printed: Calculation) -> bool:
    """Say whether points were asked for that the account had, rules allow and the till lacked."""
    request = sale.inputs.request
    if not (request.points or request.as_many_as_possible):
        return False
    due = min(printed.redeemable_points_max, max(sale.inputs.account.points, 0))
    if not request.as_many_as_possible:
        due = min(due, request.points)
    # What the till had for the receipt and did not need was not missing.
    return printed.totals.redeemed_points < due and sale.inputs.right.points < due


def _is_short_of_allowance(printed: Calculation) -> bool:
    return any(reason.code == ReasonCode.NO_ALLOWANCE for reason in printed.reasons)
