"""How many points pay, where, and out of which lots."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from loyalty.account import NO_RIGHT, LotPart, RedeemRequest, SpendRight
from loyalty.basket import BasketLine
from loyalty.bundle import Product, Programme, RedemptionTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import AmountOff
from loyalty.redemption import points_worth, spending_order, value_minor
from tests.support.builders import (
    account,
    basket,
    line,
    lot,
    moment,
    offer,
    place,
    programme,
    right,
    rules,
)

ALL = RedeemRequest(as_many_as_possible=True)
NO_PRODUCTS: Mapping[str, Product] = {}


def terms(
    *, receipt: int = 100, line: int = 100, left: int = 0, line_left: int = 0, points_min: int = 1
) -> RedemptionTerms:
    """Return terms that forbid nothing; shares in percent."""
    return RedemptionTerms(
        receipt_share_max_ppm=receipt * 10_000,
        line_share_max_ppm=line * 10_000,
        left_to_pay_minor_min=left,
        line_left_minor_min=line_left,
        points_min=points_min,
    )


def redeemed(
    request: RedeemRequest = ALL,
    given: SpendRight | None = None,
    *,
    of: Programme | None = None,
    lines: Sequence[BasketLine] = (),
    catalogue: Mapping[str, Product] = NO_PRODUCTS,
) -> Calculation:
    """Redeem from a line of 10.00, or the lines given, with a right that is large enough."""
    return calculate(
        basket(*lines),
        rules(of=of or programme(redemption=terms()), catalogue=catalogue),
        moment=moment(),
        place=place(),
        account=account(),
        request=request,
        right=right(10**9) if given is None else given,
    )


def minor(result: Calculation) -> list[int]:
    """Return what points pay of each line."""
    return [one.redeemed_minor for one in result.lines]


def parts(result: Calculation) -> list[tuple[str, int, int]]:
    """Return line, lot and points of each part."""
    return [(part.line_id, part.lot_id, part.points) for part in result.redeemed]


def test_nothing_is_redeemed_unasked() -> None:
    assert redeemed(RedeemRequest()).totals.redeemed_points == 0


def test_an_amount_asked_for_is_redeemed() -> None:
    result = redeemed(RedeemRequest(points=123))
    assert (result.totals.redeemed_points, result.totals.redeemed_minor) == (123, 123)
    assert result.totals.paid_minor == 877


def test_more_than_the_caps_allow_is_not_redeemed() -> None:
    of = programme(redemption=terms(receipt=50))
    assert redeemed(RedeemRequest(points=900), of=of).totals.redeemed_points == 500


def test_the_share_of_the_receipt_counts_what_is_left_after_discounts() -> None:
    result = calculate(
        basket(),
        rules(offer(gives=AmountOff(amount_minor=200)), of=programme(redemption=terms(receipt=50))),
        moment=moment(),
        place=place(),
        account=account(),
        request=ALL,
        right=right(10_000),
    )
    assert result.totals.redeemed_minor == 400


def test_the_share_of_a_line_is_kept() -> None:
    of = programme(redemption=terms(line=30))
    lines = (line("1", gross_minor=1_001), line("2", gross_minor=10))
    assert minor(redeemed(of=of, lines=lines)) == [300, 3]


def test_what_must_be_left_to_pay_is_left() -> None:
    of = programme(redemption=terms(left=250))
    assert redeemed(of=of).totals.paid_minor == 250


def test_what_must_be_left_on_each_line_is_left() -> None:
    of = programme(redemption=terms(line_left=1))
    lines = (line("1", gross_minor=500), line("2", gross_minor=1))
    assert minor(redeemed(of=of, lines=lines)) == [499, 0]


def test_points_take_no_line_below_its_floor() -> None:
    lines = (line("1", "vodka"), line("2", "bread"))
    catalogue = {"vodka": Product(floor_minor_per_unit=900)}
    assert minor(redeemed(lines=lines, catalogue=catalogue)) == [100, 1_000]


def test_a_barred_product_is_not_paid_with_points() -> None:
    lines = (line("1", "card"), line("2", "bread"))
    catalogue = {"card": Product(barred=("redeem",))}
    assert minor(redeemed(lines=lines, catalogue=catalogue)) == [0, 1_000]


def test_fewer_points_than_the_minimum_are_not_redeemed() -> None:
    of = programme(redemption=terms(points_min=100))
    assert redeemed(RedeemRequest(points=99), of=of).totals.redeemed_points == 0
    assert redeemed(RedeemRequest(points=100), of=of).totals.redeemed_points == 100


def test_a_receipt_too_small_for_the_minimum_offers_nothing() -> None:
    of = programme(redemption=terms(points_min=1_001))
    result = redeemed(of=of)
    assert (result.redeemable_points_max, result.totals.redeemed_points) == (0, 0)


@pytest.mark.parametrize("points", [0, 1, 77, 999])
def test_the_right_is_never_exceeded(points: int) -> None:
    result = redeemed(given=right(points))
    assert result.totals.redeemed_points == points


def test_what_the_caps_allow_is_told_whatever_the_right() -> None:
    result = redeemed(given=NO_RIGHT, of=programme(redemption=terms(receipt=50)))
    assert (result.redeemable_points_max, result.totals.redeemed_points) == (500, 0)


def test_a_customer_who_is_not_identified_redeems_nothing() -> None:
    result = calculate(
        basket(), rules(), moment=moment(), place=place(), request=ALL, right=right(100)
    )
    assert (result.redeemable_points_max, result.totals.redeemed_points) == (0, 0)


def test_points_are_spread_by_what_each_line_may_take() -> None:
    lines = (line("1", gross_minor=300), line("2", gross_minor=100))
    result = redeemed(RedeemRequest(points=100), lines=lines)
    assert minor(result) == [75, 25]
    assert [one.redeemed_points for one in result.lines] == [75, 25]


def test_lots_that_end_sooner_are_spent_first() -> None:
    lots = (lot(1, 50), lot(2, 50, expires_on="2025-12-31"), lot(3, 50, expires_on="2025-06-30"))
    result = redeemed(RedeemRequest(points=120), right(None, *lots))
    assert parts(result) == [("1", 3, 50), ("1", 2, 50), ("1", 1, 20)]


def test_of_lots_that_end_together_the_older_is_spent_first() -> None:
    result = redeemed(RedeemRequest(points=60), right(None, lot(9, 50), lot(4, 50)))
    assert parts(result) == [("1", 4, 50), ("1", 9, 10)]


def test_what_no_lot_covers_is_spent_last_and_has_no_lot() -> None:
    result = redeemed(RedeemRequest(points=70), right(100, lot(5, 50)))
    assert parts(result) == [("1", 5, 50), ("1", 0, 20)]


def test_each_part_says_line_and_lot() -> None:
    lines = (line("1", gross_minor=500), line("2", gross_minor=500))
    result = redeemed(RedeemRequest(points=100), right(None, lot(1, 30), lot(2, 70)), lines=lines)
    assert parts(result) == [("1", 1, 30), ("1", 2, 20), ("2", 2, 50)]


def test_points_for_a_product_group_do_not_pay_for_everything() -> None:
    given = right(150, lot(1, 100, restriction="dairy"), lot(2, 30))
    result = redeemed(given=given)
    assert parts(result) == [("1", 2, 30), ("1", 0, 20)]


def test_restricted_lots_stand_before_general_ones() -> None:
    general, soon, narrow = (
        lot(1, expires_on="2025-01-01"),
        lot(3, expires_on="2025-01-01", restriction="dairy"),
        lot(2, restriction="dairy"),
    )
    assert spending_order([general, narrow, soon]) == [soon, narrow, general]


TEN_FOR_ONE = programme(point_value_minor=100, point_value_points=10, redemption=terms())
THREE_FOR_A_CENT = programme(point_value_minor=1, point_value_points=3, redemption=terms())
ONE_FOR_A_WHOLE = programme(point_value_minor=100, point_value_points=1, redemption=terms())


@pytest.mark.parametrize(
    ("of", "asked", "points", "worth"),
    [
        (TEN_FOR_ONE, 7, 7, 70),
        (TEN_FOR_ONE, 10_000, 100, 1_000),
        (THREE_FOR_A_CENT, 2, 0, 0),
        (THREE_FOR_A_CENT, 3, 3, 1),
        (THREE_FOR_A_CENT, 8, 6, 2),
        (THREE_FOR_A_CENT, 10_000, 3_000, 1_000),
        (ONE_FOR_A_WHOLE, 3, 3, 300),
        (ONE_FOR_A_WHOLE, 11, 10, 1_000),
    ],
)
def test_the_fewest_points_of_the_same_value_are_taken(
    of: Programme, asked: int, points: int, worth: int
) -> None:
    result = redeemed(RedeemRequest(points=asked), of=of)
    assert (result.totals.redeemed_points, result.totals.redeemed_minor) == (points, worth)


def test_a_right_that_ends_within_a_cent_leaves_the_rest() -> None:
    result = redeemed(given=right(None, lot(1, 5)), of=THREE_FOR_A_CENT)
    assert (result.totals.redeemed_points, result.totals.redeemed_minor) == (3, 1)


def test_points_worth_more_than_the_receipt_are_not_taken() -> None:
    result = redeemed(of=ONE_FOR_A_WHOLE, lines=[line(gross_minor=99)])
    assert result.totals.redeemed_points == 0


@pytest.mark.parametrize("of", [TEN_FOR_ONE, THREE_FOR_A_CENT, ONE_FOR_A_WHOLE])
@pytest.mark.parametrize("amount", [0, 1, 2, 9, 10, 99, 100, 101, 12_345])
def test_points_worth_is_the_most_that_stays_within_the_amount(of: Programme, amount: int) -> None:
    points = points_worth(amount, of)
    assert value_minor(points, of) <= amount < value_minor(points + 1, of)


def test_a_lot_larger_than_needed_is_spent_in_part() -> None:
    many = LotPart(lot_id=1, points=10**9)
    assert parts(redeemed(RedeemRequest(points=1), right(None, many))) == [("1", 1, 1)]


@pytest.mark.parametrize(
    ("banners", "points"), [((), 1_000), (("blue", "green"), 1_000), (("blue",), 0)]
)
def test_points_pay_under_the_banners_that_are_named(banners: tuple[str, ...], points: int) -> None:
    of = programme(redemption=replace(terms(), banners=banners))
    result = redeemed(of=of)
    assert (result.totals.redeemed_points, result.redeemable_points_max) == (points, points)
