"""Which shared counters a receipt may draw on: what a till needs an allowance for (sync 4.8)."""

from collections.abc import Collection

from loyalty.basket import Moment, Place
from loyalty.compilation import Rules
from loyalty.counters import SharedCounter, shared, shared_of_code
from loyalty.coupons import counted_needs
from loyalty.opening import days


def counters_asked(
    rules: Rules,
    *,
    place: Place,
    moment: Moment,
    codes: Collection[str] = (),
    account_id: int = 0,
) -> tuple[SharedCounter, ...]:
    """Return the shared counters that receipts may draw on here and now, by name.

    A calculation reads no others of its allowance. Without codes it is what a till sets aside in
    advance; codes are only known when somebody shows them.

    Args:
        codes: those presented.
        account_id: of the customer, if known; nobody has counters of an account.
    """
    index = rules.on(place, *days(moment))
    found: dict[str, SharedCounter] = {}
    for compiled in index.shared:
        for counter in shared(compiled.offer, place.store, moment.date, account_id):
            if account_id or counter.scope != "account":
                found[counter.name] = counter
    for compiled in index.offers_for_codes(codes):
        for need in counted_needs(compiled.offer.needs):
            for code in codes:
                if counter_of_code := shared_of_code(need, code):
                    found[counter_of_code.name] = counter_of_code
    return tuple(found[name] for name in sorted(found))
