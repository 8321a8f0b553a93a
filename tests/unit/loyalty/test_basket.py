"""What a register may report."""

from dataclasses import asdict
from typing import Any

import pytest

from loyalty.basket import Basket, BasketLine, line_order
from loyalty.errors import AmountError
from loyalty.limits import (
    AMOUNT_MINOR_MAX,
    BASKET_CODES_MAX,
    BASKET_LINES_MAX,
    LINE_ATTRIBUTES_MAX,
    QUANTITY_THOUSANDTHS_MAX,
    TEXT_CHARACTERS_MAX,
)
from tests.support.builders import basket, line, moment


@pytest.mark.parametrize("quantity", [-1000, 0, QUANTITY_THOUSANDTHS_MAX + 1000])
def test_a_quantity_out_of_bounds_is_refused(quantity: int) -> None:
    with pytest.raises(AmountError, match="quantity of line '7' must be 1 to"):
        line("7", quantity=quantity)


def test_a_piece_cannot_be_sold_in_part() -> None:
    with pytest.raises(AmountError, match="whole pieces"):
        line(quantity=1500)


def test_a_weight_can_be_any_thousandth() -> None:
    assert line(quantity=1, by_weight=True).quantity == 1


@pytest.mark.parametrize("gross_minor", [-1, AMOUNT_MINOR_MAX + 1])
def test_a_gross_amount_out_of_bounds_is_refused(gross_minor: int) -> None:
    with pytest.raises(AmountError, match="gross_minor of line '7' must be 0 to"):
        line("7", gross_minor=gross_minor)


def test_a_line_may_cost_nothing() -> None:
    assert line(gross_minor=0).gross_minor == 0


@pytest.mark.parametrize("text", ["", "x" * (TEXT_CHARACTERS_MAX + 1)])
def test_a_line_needs_an_id_and_a_sku_of_bounded_length(text: str) -> None:
    with pytest.raises(AmountError, match="line_id must have"):
        line(text)
    with pytest.raises(AmountError, match="sku must have"):
        line(sku=text)


def test_a_line_with_too_many_attributes_is_refused() -> None:
    attributes = {f"a{i}": "x" for i in range(LINE_ATTRIBUTES_MAX + 1)}
    with pytest.raises(AmountError, match="attributes"):
        line(attributes=attributes)


def test_ten_thousand_lines_are_refused() -> None:
    lines = tuple(line(str(i)) for i in range(10_000))
    with pytest.raises(AmountError, match=f"at most {BASKET_LINES_MAX} lines, this one 10000"):
        Basket(lines=lines)


def test_the_longest_basket_is_taken() -> None:
    assert len(basket(*(line(str(i)) for i in range(BASKET_LINES_MAX))).lines) == BASKET_LINES_MAX


def test_an_empty_basket_is_a_basket() -> None:
    assert Basket(lines=()).lines == ()


def test_a_line_id_that_stands_twice_is_named() -> None:
    with pytest.raises(AmountError, match="line id '5' stands in the basket twice"):
        basket(line("4"), line("5"), line("5"))


def test_too_many_codes_are_refused() -> None:
    with pytest.raises(AmountError, match="codes"):
        basket(codes=[str(i) for i in range(BASKET_CODES_MAX + 1)])


@pytest.mark.parametrize(
    "local",
    [
        "",
        "yesterday",
        "2025-03-05",
        "2025-03-05 12:00:00",
        "2025-03-05T12:00",
        "2025-03-05T12:00:00Z",
        "2025-03-05T12:00:00+03:00",
        "2025-03-05T12:00:00.5",
        "2025-02-30T12:00:00",
        "2025-03-05T25:00:00",
        "9999-12-31T23:59:59",
    ],
)
def test_a_bad_moment_is_refused(local: str) -> None:
    with pytest.raises(AmountError, match="moment"):
        moment(local)


def test_a_moment_knows_its_day() -> None:
    assert moment("2024-02-29T23:59:59").date == "2024-02-29"


@pytest.mark.parametrize("field", ["gtin", "department", "category", "brand"])
def test_a_text_of_a_line_is_bounded(field: str) -> None:
    plain: dict[str, Any] = asdict(line("1"))
    with pytest.raises(AmountError, match="at most 200 characters"):
        BasketLine(**{**plain, field: "x" * 201})


def test_an_attribute_of_a_line_is_bounded() -> None:
    for attributes in ({"x" * 201: "1"}, {"size": "x" * 201}):
        with pytest.raises(AmountError, match="at most 200 characters"):
            line("1", attributes=attributes)


def test_lines_with_numbers_for_names_are_ordered_as_numbers() -> None:
    names = ["10", "2", "1", "b", "a", "12", "line-10", "line-9"]
    assert sorted(names, key=line_order) == ["1", "2", "a", "b", "10", "12", "line-9", "line-10"]
