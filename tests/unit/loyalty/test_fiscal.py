"""Fiscal lines: whole minor units, amount = unit price x pieces, and not a cent lost."""

from dataclasses import replace

import pytest

from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine
from loyalty.bundle import RedemptionTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.fiscal import FiscalLine, Mode, fiscal_lines, fiscal_return_lines, paid_by_points_minor
from loyalty.offers import AmountOff
from loyalty.returns import ReturnCalculation, ReturnItem, calculate_return
from tests.support.builders import (
    account,
    basket,
    items,
    line,
    moment,
    offer,
    pieces,
    place,
    programme,
    right,
    rules,
)


def sold(
    *lines: BasketLine, off_minor: int = 0, points: int = 0, mode: Mode = "discount"
) -> Calculation:
    """Return a receipt with so much off and so many points, each worth one minor unit."""
    offers = [offer("off", AmountOff(amount_minor=off_minor))] if off_minor else []
    return calculate(
        basket(*lines),
        rules(*offers, of=programme(redemption=RedemptionTerms(mode=mode))),
        moment=moment(),
        place=place(),
        account=account(),
        request=RedeemRequest(points=points),
        right=right(points),
    )


def returned(calculation: Calculation, *lines: str | ReturnItem) -> ReturnCalculation:
    found = calculate_return(calculation, items(*lines), date="2025-03-06")
    assert isinstance(found, ReturnCalculation)
    return found


def printed(lines: tuple[FiscalLine, ...]) -> list[tuple[str, str, int, int, int]]:
    return [
        (
            one.line_id,
            one.source_line_id,
            one.quantity,
            one.unit_price_minor,
            one.amount_minor,
        )
        for one in lines
    ]


def test_three_pieces_at_29_become_two_lines() -> None:
    lines = fiscal_lines(sold(line("1", pieces=3, gross_minor=3_000), off_minor=100), "discount")
    assert printed(lines) == [("1", "1", 2_000, 967, 1_934), ("1/2", "1", 1_000, 966, 966)]


def test_a_line_that_divides_stays_one() -> None:
    lines = fiscal_lines(sold(line("a", pieces=3, gross_minor=3_000), off_minor=300), "discount")
    assert printed(lines) == [("a", "a", 3_000, 900, 2_700)]


def test_a_weighed_line_keeps_its_price_and_changes_its_sum() -> None:
    cheese = line("1", quantity=742, gross_minor=14_099, by_weight=True)
    lines = fiscal_lines(sold(cheese, off_minor=100), "discount")
    assert printed(lines) == [("1", "1", 742, 19_001, 13_999)]


def test_the_name_of_a_part_is_no_other_lines_name() -> None:
    both = sold(
        line("1", pieces=3, gross_minor=3_000), line("1/2", "bread", gross_minor=500), off_minor=100
    )
    names = [one.line_id for one in fiscal_lines(both, "discount")]
    assert names == ["1", "1/2'", "1/2"]


def test_redeemed_points_lower_the_prices_or_pay_beside_them() -> None:
    by_mode = {}
    for mode in ("discount", "tender"):
        receipt = sold(line("1", pieces=2, gross_minor=2_000), points=501, mode=mode)
        assert receipt.terms.mode == mode
        lines = fiscal_lines(receipt, mode)
        apart = paid_by_points_minor(receipt.lines, mode)
        assert sum(one.amount_minor for one in lines) == receipt.totals.paid_minor + apart
        by_mode[mode] = ([one.unit_price_minor for one in lines], apart)
    assert by_mode == {"discount": ([750, 749], 0), "tender": ([1_000], 501)}


@pytest.mark.parametrize("mode", ["discount", "tender"])
def test_a_line_that_costs_nothing_is_one_line_of_zero(mode: Mode) -> None:
    lines = fiscal_lines(sold(line("1", pieces=3, gross_minor=0)), mode)
    assert printed(lines) == [("1", "1", 3_000, 0, 0)]


def test_a_return_is_printed_at_the_prices_of_the_receipt() -> None:
    receipt = sold(line("1", pieces=3, gross_minor=3_000), off_minor=100)
    sale_prices = {one.unit_price_minor for one in fiscal_lines(receipt, "discount")}
    two = returned(receipt, pieces("1", 2))
    lines = fiscal_return_lines(two, "discount")
    assert sum(one.amount_minor for one in lines) == two.money_back_minor
    assert {one.unit_price_minor for one in lines} <= sale_prices


def test_a_return_gives_back_a_payment_by_points_beside_the_money() -> None:
    receipt = sold(line("1", pieces=2, gross_minor=2_000), points=501, mode="tender")
    one = returned(receipt, pieces("1", 1))
    lines = fiscal_return_lines(one, "tender")
    apart = paid_by_points_minor(one.lines, "tender")
    assert printed(lines) == [("1", "1", 1_000, 1_000, 1_000)]
    assert (one.money_back_minor, apart) == (750, 250)


def test_money_that_is_charged_back_lowers_the_prices_of_the_return() -> None:
    one = returned(sold(line("1", pieces=2, gross_minor=2_000)), "1")
    charged = replace(
        one,
        money_back_minor=1_501,
        lines=tuple(replace(each, money_back_minor=1_501) for each in one.lines),
    )
    assert printed(fiscal_return_lines(charged, "discount")) == [
        ("1", "1", 1_000, 751, 751),
        ("1/2", "1", 1_000, 750, 750),
    ]
