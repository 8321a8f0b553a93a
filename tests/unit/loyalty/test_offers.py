"""Offers that could never work, or would fail at a till, are refused as documents."""

from collections.abc import Callable

import pytest

from loyalty.errors import AmountError
from loyalty.limits import LOT_DAYS_MAX
from loyalty.offers import (
    AmountOff,
    LotTerms,
    NeedsAny,
    NeedsCode,
    NeedsTender,
    Percent,
    PointsPerItem,
    PointsPerMoney,
    UnitPrice,
    When,
)
from tests.support.builders import having, offer

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "attribute without a test": (
        lambda: having("brand"),
        "needs one of one_of, prefix and beneath",
    ),
    "attribute with two tests": (lambda: having("brand", "a", prefix="b"), "needs one of one_of"),
    "attribute without a name": (lambda: having("", "a"), "needs a name"),
    "attribute of no text": (lambda: having("brand", ""), "a text"),
    "group by prefix": (lambda: having("group", prefix="d"), "name them in one_of"),
    "no code": (lambda: NeedsCode(one_of=()), "either one_of or prefix"),
    "no payment": (lambda: NeedsTender(one_of=()), "at least one kind of payment"),
    "any of nothing": (lambda: NeedsAny(of=()), "at least one part"),
    "percent of nothing": (lambda: Percent(rate_ppm=0), "rate_ppm must be 1 to"),
    "more than all": (lambda: Percent(rate_ppm=1_000_001), "rate_ppm must be 1 to"),
    "amount of nothing": (lambda: AmountOff(amount_minor=0), "amount_minor must be 1"),
    "price below zero": (lambda: UnitPrice(amount_minor=-1), "amount_minor >= 0"),
    "price per nothing": (lambda: UnitPrice(amount_minor=1, per_quantity=0), "per_quantity >= 1"),
    "no points for money": (lambda: PointsPerMoney(points=0, per_minor=1), "must be positive"),
    "points for no money": (lambda: PointsPerMoney(points=1, per_minor=0), "must be positive"),
    "no points for items": (lambda: PointsPerItem(points=0), "points must be positive"),
    "points that run backwards": (lambda: LotTerms(delay_days=-1), "delay_days must be 0 to"),
    "points beyond the calendar": (
        lambda: LotTerms(lifetime_days=LOT_DAYS_MAX + 1),
        "lifetime_days must be 0 to",
    ),
    "no id": (lambda: offer(""), "offer_id must have"),
    "maximum below zero": (lambda: offer(discount_minor_max=-1), "must not be negative"),
    "points maximum below zero": (lambda: offer(points_max=-1), "must not be negative"),
    "start that is no day": (lambda: When(starts="1.5.2025"), "starts '1.5.2025' is neither"),
    "day that is not there": (lambda: When(until="2025-02-30"), "until '2025-02-30' is neither"),
    "moment without seconds": (lambda: When(starts="2025-01-01T10:00"), "neither"),
    "moment with a zone": (lambda: When(starts="2025-01-01T10:00:00Z"), "neither"),
    "eighth day of the week": (lambda: When(weekdays=(8,)), "weekdays must be 1"),
    "hours over midnight": (lambda: When(hours=(("22:00", "06:00"),)), "two pairs"),
    "hours of one digit": (lambda: When(hours=(("9:00", "10:00"),)), "not HH:MM"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_what_to_do(name: str) -> None:
    make, problem = REFUSED[name]
    with pytest.raises(AmountError, match=problem):
        make()


def test_hours_may_last_until_midnight() -> None:
    assert When(hours=(("22:00", "24:00"), ("00:00", "06:00"))).hours[0][1] == "24:00"
