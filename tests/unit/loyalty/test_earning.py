"""Points are earned on what was really paid."""

from collections.abc import Mapping, Sequence

import pytest

from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine, Moment
from loyalty.bundle import Product, RedemptionTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.limits import LOT_DAYS_MAX, MOMENT_YEAR_MAX
from loyalty.offers import LotTerms, Offer, PointsPerItem, PointsPerMoney
from tests.support.builders import (
    account,
    basket,
    having,
    line,
    moment,
    offer,
    percent,
    place,
    programme,
    right,
    rules,
)

ONE_PERCENT = PointsPerMoney(points=1, per_minor=100)
NO_PRODUCTS: Mapping[str, Product] = {}


def earned(
    *offers: Offer,
    lines: Sequence[BasketLine] = (),
    catalogue: Mapping[str, Product] = NO_PRODUCTS,
    redeem: int = 0,
    when: Moment | None = None,
) -> Calculation:
    """Calculate a line of 10.00, or the lines given."""
    everything = programme(redemption=RedemptionTerms(receipt_share_max_ppm=1_000_000))
    return calculate(
        basket(*lines),
        rules(*offers, of=everything, catalogue=catalogue),
        moment=when or moment(),
        place=place(),
        account=account(),
        request=RedeemRequest(points=redeem),
        right=right(redeem),
    )


def by_line(result: Calculation) -> list[int]:
    """Return the points of each line."""
    return [one.earned_points for one in result.lines]


def test_points_per_money_are_rounded_down_once() -> None:
    lines = [line(str(i), gross_minor=199) for i in range(3)]
    result = earned(offer(gives=ONE_PERCENT), lines=lines)
    assert result.totals.earned_points == 5
    assert by_line(result) == [2, 2, 1]


def test_nothing_is_earned_on_discounts() -> None:
    result = earned(offer("a", percent(50)), offer("b", ONE_PERCENT))
    assert result.totals.earned_points == 5


def test_nothing_is_earned_on_redeemed_points() -> None:
    assert earned(offer(gives=ONE_PERCENT), redeem=300).totals.earned_points == 7


def test_a_barred_product_earns_nothing() -> None:
    lines = [line("1", "tobacco"), line("2", "bread")]
    barred = {"tobacco": Product(barred=("earn",))}
    result = earned(offer(gives=ONE_PERCENT), lines=lines, catalogue=barred)
    assert by_line(result) == [0, 10]


def test_only_matched_lines_earn() -> None:
    lines = [line("1", "milk"), line("2", "bread")]
    result = earned(offer(gives=ONE_PERCENT, lines=having("sku", "milk")), lines=lines)
    assert by_line(result) == [10, 0]


def test_points_per_item_count_whole_pieces_and_a_weighed_line_once() -> None:
    lines = [line("1", pieces=3), line("2", quantity=2_500, by_weight=True)]
    assert by_line(earned(offer(gives=PointsPerItem(points=5)), lines=lines)) == [15, 5]


def test_an_item_that_costs_nothing_earns_nothing() -> None:
    lines = [line("1", gross_minor=0), line("2")]
    assert by_line(earned(offer(gives=PointsPerItem(points=5)), lines=lines)) == [0, 5]


def test_a_maximum_is_spread_over_the_lines() -> None:
    lines = [line("1", gross_minor=3_000), line("2")]
    result = earned(offer(gives=ONE_PERCENT, points_max=8), lines=lines)
    assert by_line(result) == [6, 2]


def test_offers_earn_beside_each_other_each_its_own_lot() -> None:
    result = earned(offer("a", ONE_PERCENT), offer("b", PointsPerItem(points=3)))
    assert [(one.offer_id, one.points) for one in result.earned] == [("a", 10), ("b", 3)]
    assert by_line(result) == [13]


def test_a_lot_begins_after_its_delay_and_ends_after_its_lifetime() -> None:
    terms = LotTerms(name="bonus", delay_days=14, lifetime_days=30)
    lot = earned(offer(gives=PointsPerItem(points=1, lot=terms))).earned[0]
    assert (lot.name, lot.active_from, lot.expires_on) == ("bonus", "2025-03-19", "2025-04-18")


def test_a_lot_with_no_lifetime_never_ends() -> None:
    terms = LotTerms(lifetime_days=0)
    lot = earned(offer(gives=PointsPerItem(points=1, lot=terms))).earned[0]
    assert (lot.active_from, lot.expires_on) == ("2025-03-05", "")


def test_a_year_over_a_leap_day_has_its_days() -> None:
    lot = earned(offer(gives=ONE_PERCENT), when=moment("2024-02-29T23:59:59")).earned[0]
    assert (lot.active_from, lot.expires_on) == ("2024-02-29", "2025-02-28")


def test_the_longest_lot_on_the_last_day_stays_within_the_calendar() -> None:
    terms = LotTerms(delay_days=LOT_DAYS_MAX, lifetime_days=LOT_DAYS_MAX)
    last = moment(f"{MOMENT_YEAR_MAX}-12-31T23:59:59")
    lot = earned(offer(gives=PointsPerItem(points=1, lot=terms)), when=last).earned[0]
    assert lot.expires_on > lot.active_from > last.local


@pytest.mark.parametrize("gross_minor", [0, 99])
def test_an_offer_that_earns_nothing_makes_no_lot(gross_minor: int) -> None:
    result = earned(offer("o", ONE_PERCENT), lines=[line(gross_minor=gross_minor)])
    assert result.earned == ()
    assert [(one.offer_id, one.code) for one in result.reasons] == [("o", "nothing_to_give")]
