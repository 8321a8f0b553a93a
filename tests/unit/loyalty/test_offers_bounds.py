"""The last value an offer or a bundle accepts, and the first one it refuses."""

from collections.abc import Callable

import pytest

from loyalty.basket import BasketLine
from loyalty.bundle import Programme, ReceiptTerms, RedemptionTerms, ReturnTerms
from loyalty.errors import AmountError
from loyalty.limits import AMOUNT_MINOR_MAX, LOT_DAYS_MAX, POINTS_MAX, PPM, SET_UNITS_MAX
from loyalty.offers import (
    AmountEach,
    AmountOff,
    BuyGet,
    EveryLine,
    EveryNth,
    FixedPrice,
    Gift,
    IssuedCoupon,
    Limits,
    LotTerms,
    NeedsCode,
    NForM,
    NumberRange,
    Part,
    PartnerPoints,
    PartsSet,
    Percent,
    PercentOff,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    PriceEach,
    SharedLimit,
    Stamps,
    Step,
    Steps,
    UnitPrice,
    UnitRates,
    Units,
    Who,
)
from tests.support.builders import line, offer

FREE = PercentOff(rate_ppm=PPM)
EVERY = EveryLine()


def parts(*sizes: int) -> PartsSet:
    """Return a set of parts of these sizes."""
    of = tuple(Part(name=str(at), lines=EVERY, units=size) for at, size in enumerate(sizes))
    return PartsSet(parts=of, off=FREE)


def steps(*starts: int) -> Steps:
    """Return steps from these amounts on."""
    return Steps(by="amount", steps=tuple(Step(at_least=start, off=FREE) for start in starts))


def partner(name: str, points: int, per_minor: int) -> PartnerPoints:
    """Return points of a partner."""
    return PartnerPoints(partner=name, points=points, per_minor=per_minor)


def programme(minor: int, points: int) -> Programme:
    """Return a programme where so many points are worth so much."""
    return Programme(
        programme_id="g", currency="EUR", point_value_minor=minor, point_value_points=points
    )


BOUNDS: dict[str, tuple[Callable[[int], object], list[int], list[int]]] = {
    "rate": (lambda n: Percent(rate_ppm=n), [1, PPM], [0, PPM + 1]),
    "rate of a unit": (lambda n: PercentOff(rate_ppm=n), [1, PPM], [0, PPM + 1]),
    "amount": (
        lambda n: AmountOff(amount_minor=n),
        [1, AMOUNT_MINOR_MAX],
        [0, AMOUNT_MINOR_MAX + 1],
    ),
    "amount of a unit": (lambda n: AmountEach(amount_minor=n), [1, AMOUNT_MINOR_MAX], [0]),
    "price": (lambda n: FixedPrice(amount_minor=n), [0, AMOUNT_MINOR_MAX], [-1]),
    "price of a unit": (lambda n: PriceEach(amount_minor=n), [0], [-1, AMOUNT_MINOR_MAX + 1]),
    "card price": (
        lambda n: UnitPrice(amount_minor=n),
        [0, AMOUNT_MINOR_MAX],
        [-1, AMOUNT_MINOR_MAX + 1],
    ),
    "quantity of a price": (lambda n: UnitPrice(amount_minor=1, per_quantity=n), [1], [0]),
    "cheapest": (lambda n: Units(which="cheapest", count=n), [1], [0, -1]),
    "all": (lambda n: Units(count=n), [0], [1, -1]),
    "rates": (lambda n: UnitRates(rates_ppm=(n, PPM)), [0, PPM], [-1, PPM + 1]),
    "only rates": (lambda n: UnitRates(rates_ppm=(0,) * n + (1,)), [0, 5], []),
    "no rate above zero": (lambda n: UnitRates(rates_ppm=(0,) * n), [], [0, 1, 2]),
    "first step": (steps, [1], [0, -1]),
    "second step": (lambda n: steps(5, n), [6], [5, 4]),
    "number of steps": (lambda n: steps(*range(1, n + 1)), [1, 2], [0]),
    "stamps": (lambda n: Stamps(counter="c", every=n, off=FREE), [1], [0]),
    "stamp counter": (lambda n: Stamps(counter="c" * n, every=1, off=FREE), [1], [0]),
    "units of n for m": (
        lambda n: NForM(units=n, pay=2),
        [3, SET_UNITS_MAX],
        [2, SET_UNITS_MAX + 1],
    ),
    "paid of n for m": (lambda n: NForM(units=3, pay=n), [1, 2], [0, 3]),
    "every nth": (
        lambda n: EveryNth(every=n, off=FREE),
        [2, SET_UNITS_MAX],
        [1, SET_UNITS_MAX + 1],
    ),
    "units to buy": (
        lambda n: BuyGet(buy_units=n, get_units=1, off=FREE),
        [1, SET_UNITS_MAX - 1],
        [0, SET_UNITS_MAX],
    ),
    "units to get": (lambda n: BuyGet(buy_units=1, get_units=n, off=FREE), [1], [0, SET_UNITS_MAX]),
    "units of a part": (parts, [1, SET_UNITS_MAX], [0, SET_UNITS_MAX + 1]),
    "units of two parts": (lambda n: parts(1, n), [SET_UNITS_MAX - 1], [SET_UNITS_MAX]),
    "uses of a code": (
        lambda n: NeedsCode(one_of=("x",), uses_max=n),
        [0, AMOUNT_MINOR_MAX],
        [-1, AMOUNT_MINOR_MAX + 1],
    ),
    "uses of a code by one": (
        lambda n: NeedsCode(one_of=("x",), uses_per_account_max=n),
        [0, AMOUNT_MINOR_MAX],
        [-1, AMOUNT_MINOR_MAX + 1],
    ),
    "uses all customers share": (
        lambda n: SharedLimit(uses_max=n),
        [0, AMOUNT_MINOR_MAX],
        [-1, AMOUNT_MINOR_MAX + 1],
    ),
    "money all customers share": (
        lambda n: SharedLimit(discount_minor_max=n),
        [0, AMOUNT_MINOR_MAX],
        [-1, AMOUNT_MINOR_MAX + 1],
    ),
    "name of a part": (lambda n: Part(name="x" * n, lines=EVERY), [1], [0]),
    "number of parts": (lambda n: parts(*[1] * n), [1, 3], [0]),
    "points per item": (lambda n: PointsPerItem(points=n), [1, POINTS_MAX], [0, POINTS_MAX + 1]),
    "points per receipt": (
        lambda n: PointsPerReceipt(points=n),
        [1, POINTS_MAX],
        [0, POINTS_MAX + 1],
    ),
    "points per money": (
        lambda n: PointsPerMoney(points=n, per_minor=1),
        [1, POINTS_MAX],
        [0, POINTS_MAX + 1],
    ),
    "money per points": (lambda n: PointsPerMoney(points=1, per_minor=n), [1], [0]),
    "multiplier": (
        lambda n: PointsMultiplier(of=("p",), factor_ppm=n),
        [PPM + 1, 1_000 * PPM],
        [PPM, 1_000 * PPM + 1],
    ),
    "multiplied": (lambda n: PointsMultiplier(of=("p",) * n, factor_ppm=2 * PPM), [1], [0]),
    "delay": (lambda n: LotTerms(delay_days=n), [0, LOT_DAYS_MAX], [-1, LOT_DAYS_MAX + 1]),
    "lifetime": (lambda n: LotTerms(lifetime_days=n), [0, LOT_DAYS_MAX], [-1, LOT_DAYS_MAX + 1]),
    "gift": (lambda n: Gift(sku="cup", units=n), [1], [0]),
    "sku of a gift": (lambda n: Gift(sku="x" * n), [1], [0]),
    "gift for units": (lambda n: Gift(sku="cup", for_each_units=n), [0], [-1]),
    "coupon": (lambda n: IssuedCoupon(coupon="x" * n), [1, 200], [0, 201]),
    "partner": (lambda n: partner("x" * n, 1, 1), [1], [0]),
    "partner points": (lambda n: partner("x", n, 1), [1, POINTS_MAX], [0, POINTS_MAX + 1]),
    "money per partner point": (lambda n: partner("x", 1, n), [1], [0]),
    "limits": (lambda n: Limits(units_max=n), [0], [-1]),
    "purchases": (lambda n: Who(purchases=(n,)), [1], [0]),
    "every purchase": (lambda n: Who(every_purchases=n), [0], [-1]),
    "range": (lambda n: NumberRange(name="quantity", at_least=5, at_most=n), [5], [4]),
    "offer id": (lambda n: offer("x" * n), [1, 200], [0, 201]),
    "share of a receipt": (
        lambda n: ReceiptTerms(discount_share_max_ppm=n),
        [0, PPM],
        [-1, PPM + 1],
    ),
    "maximum of a receipt": (lambda n: ReceiptTerms(discount_minor_max=n), [0], [-1]),
    "left on a line": (lambda n: ReceiptTerms(line_left_minor_min=n), [0], [-1]),
    "grace": (lambda n: ReturnTerms(grace_days=n), [0, LOT_DAYS_MAX], [-1, LOT_DAYS_MAX + 1]),
    "share points may pay": (
        lambda n: RedemptionTerms(receipt_share_max_ppm=n),
        [0, PPM],
        [-1, PPM + 1],
    ),
    "share of a line": (lambda n: RedemptionTerms(line_share_max_ppm=n), [0, PPM], [-1, PPM + 1]),
    "points a day": (lambda n: RedemptionTerms(points_per_day_max=n), [0], [-1]),
    "fewest points": (lambda n: RedemptionTerms(points_min=n), [1], [0]),
    "value of points": (lambda n: programme(n, 1), [1], [0]),
    "points of a value": (lambda n: programme(1, n), [1], [0]),
    "price of a line": (
        lambda n: line(gross_minor=n),
        [0, AMOUNT_MINOR_MAX],
        [-1, AMOUNT_MINOR_MAX + 1],
    ),
    "quantity of a line": (
        lambda n: line(quantity=n, by_weight=True),
        [1, 10**9],
        [0, 10**9 + 1],
    ),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_first_and_the_last_allowed_value_are_allowed(name: str) -> None:
    make, allowed, refused = BOUNDS[name]
    for value in allowed:
        make(value)
    for value in refused:
        with pytest.raises(AmountError):
            make(value)


def test_a_line_is_sold_by_piece_at_the_register_s_price_unless_it_says_otherwise() -> None:
    plain = BasketLine(line_id="1", sku="milk", quantity=1_000, gross_minor=1)
    assert (plain.by_weight, plain.pos_reduced) == (False, False)


def test_points_pay_half_of_a_receipt_and_never_a_whole_line_unless_it_says_otherwise() -> None:
    assert RedemptionTerms() == RedemptionTerms(
        receipt_share_max_ppm=500_000,
        line_share_max_ppm=990_000,
        left_to_pay_minor_min=1,
        line_left_minor_min=1,
        points_min=1,
        points_per_day_max=0,
        mode="discount",
    )


def test_all_that_is_earned_is_taken_back_and_no_condition_charged_unless_it_says_otherwise() -> (
    None
):
    assert ReturnTerms() == ReturnTerms(earned="unlimited", grace_days=14, broken_condition="keep")


def test_earned_points_live_a_year_from_the_day_they_are_earned_unless_it_says_otherwise() -> None:
    assert LotTerms() == LotTerms(name="regular", delay_days=0, lifetime_days=365, restriction="")
