"""Card prices and what is sold by weight, read from made-up lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.grocery.data import RealBasket, RealLine, Selection
from bench.grocery.measures import RealProduct, weighed_skus
from bench.grocery.prices import CardPriceFound, PriceWindow, find_card_prices
from loyalty.money import round_half_up
from loyalty.offers import UnitPrice

MILK = RealProduct("1", "GROCERY", "FLUID MILK", "MILK", "Private")
FUEL = RealProduct("2", "FUEL", "FUEL", "GASOLINE-REG UNLEADED", "National")


def line(
    pieces: int, regular_minor: int, card_minor: int, *, sku: str = "1", by_weight: bool = False
) -> RealLine:
    return RealLine(
        sku=sku,
        quantity=pieces if by_weight else pieces * 1000,
        by_weight=by_weight,
        gross_minor=regular_minor,
        card_minor=card_minor,
    )


def selection(*lines: RealLine, days: tuple[str, ...] = ()) -> Selection:
    return Selection(
        stores=("7",),
        first_week=1,
        last_week=1,
        shift_days=0,
        baskets=tuple(
            RealBasket(
                basket_id=number,
                household_id=1,
                store_id="7",
                week=1,
                moment=f"{days[number] if days else '2016-12-30'}T10:00:00",
                lines=(one,),
            )
            for number, one in enumerate(lines)
        ),
        left_out={},
        products={"1": MILK, "2": FUEL},
        campaigns={},
        audiences={},
        coupons={},
        redemptions=(),
        coupon_lines=(),
    )


def found(*lines: RealLine) -> CardPriceFound | None:
    table = find_card_prices(selection(*lines))
    return table.get(PriceWindow("7", 1), {}).get("1")


def unit(*lines: RealLine) -> UnitPrice | None:
    price = found(*lines)
    return price.unit if price else None


def test_a_single_line_gives_the_price_of_its_pieces() -> None:
    assert unit(line(3, 600, 500)) == UnitPrice(amount_minor=500, per_quantity=3000)


def test_three_for_five_is_read_from_one_and_three_pieces() -> None:
    assert unit(line(1, 199, 167), line(3, 597, 500)) == UnitPrice(
        amount_minor=500, per_quantity=3000
    )


def test_the_simplest_price_is_taken_when_no_line_has_the_exact_one() -> None:
    price = unit(line(1, 199, 166), line(2, 398, 333))
    assert price is not None
    assert [round_half_up(price.amount_minor * n, price.per_quantity) for n in (1000, 2000)] == [
        166,
        333,
    ]


def test_most_lines_decide_and_the_lower_price_wins_a_tie() -> None:
    assert unit(line(1, 200, 150), line(1, 200, 150), line(1, 200, 120)) == UnitPrice(
        amount_minor=150
    )
    assert unit(line(1, 200, 150), line(1, 200, 120)) == UnitPrice(amount_minor=120)


def test_there_is_no_card_price_when_most_lines_paid_the_regular_one() -> None:
    regular = line(1, 200, 200)
    assert found(regular, regular, line(1, 200, 150)) is None
    assert found(regular) is None


def test_buy_one_get_one_begins_at_two_pieces() -> None:
    price = found(line(1, 299, 299), line(2, 598, 299), line(1, 299, 299))
    assert price is not None
    assert (price.quantity_min, price.lines, price.lines_reproduced) == (2000, 3, 3)
    assert price.price_minor(line(1, 299, 299)) == 299
    assert price.price_minor(line(2, 598, 299)) == 299


def test_weighed_lines_share_a_price_by_their_notional_weight() -> None:
    weighed = [
        line(regular, regular, round_half_up(regular * 7, 9), by_weight=True)
        for regular in (131, 272, 455)
    ]
    price = found(*weighed)
    assert price is not None
    assert price.lines_reproduced == 3


def test_fuel_is_priced_by_day() -> None:
    days = ("2016-12-29", "2016-12-30")
    fuel = [line(9000, 2205, 2115, sku="2", by_weight=True) for _ in days]
    assert list(find_card_prices(selection(*fuel, days=days))) == [
        PriceWindow("7", 1, day) for day in days
    ]


@given(
    amount=st.integers(1, 2000),
    pieces_of_price=st.integers(1, 5),
    pieces=st.lists(st.integers(1, 12), min_size=1, max_size=8),
)
def test_one_price_for_all_lines_is_always_found(
    amount: int, pieces_of_price: int, pieces: list[int]
) -> None:
    lines = []
    for count in pieces:
        card = round_half_up(amount * count, pieces_of_price)
        lines.append(line(count, card + 50, card))
    price = found(*lines)
    assert price is not None
    assert [price.price_minor(one) for one in lines] == [one.card_minor for one in lines]


def test_what_never_costs_the_same_twice_is_sold_by_weight() -> None:
    weighed = [("1", 1, cents) for cents in (131, 97, 155, 240)]
    by_piece = [("2", pieces, pieces * 99) for pieces in (1, 2, 1, 3)]
    assert weighed_skus([*weighed, *by_piece], {"1": MILK, "2": FUEL}) == {"1"}


@pytest.mark.parametrize(("neighbour_cents", "expected"), [((1, 2, 3, 4), True), ((9,) * 4, False)])
def test_a_sku_with_few_lines_is_taken_for_what_its_type_is(
    neighbour_cents: tuple[int, ...], expected: bool
) -> None:
    cousin = RealProduct("3", MILK.department, MILK.category, MILK.product_type, "")
    lines = [("3", 1, cents) for cents in neighbour_cents]
    found_skus = weighed_skus([*lines, ("1", 1, 50)], {"1": MILK, "3": cousin})
    assert ("1" in found_skus) is expected
