"""What each kind of reward takes off, worked out by hand; amounts in minor units."""

from collections.abc import Mapping

import pytest

from loyalty.basket import BasketLine
from loyalty.calculate import calculate
from loyalty.offers import (
    AmountEach,
    AmountOff,
    CardPrice,
    Combines,
    EveryNth,
    FixedPrice,
    Limits,
    NeedsCode,
    Offer,
    Percent,
    PercentOff,
    PriceEach,
    PriceReward,
    Stamps,
    Step,
    Steps,
    UnitPrice,
    UnitRates,
    Units,
)
from tests.support.builders import account, basket, having, line, moment, offer, place, rules

NO_COUNTERS: Mapping[str, int] = {}
NONE: tuple[str, ...] = ()


def offs(
    *offers: Offer,
    lines: tuple[BasketLine, ...],
    counters: Mapping[str, int] = NO_COUNTERS,
    codes: tuple[str, ...] = NONE,
) -> list[int]:
    """Return what comes off each line."""
    result = calculate(
        basket(*lines, codes=codes),
        rules(*offers),
        moment=moment(),
        place=place(),
        account=account(counters=counters),
    )
    return [one.discount_minor for one in result.lines]


def lines(*prices_minor: int) -> tuple[BasketLine, ...]:
    """Return lines of one piece each."""
    return tuple(line(str(at), gross_minor=price) for at, price in enumerate(prices_minor))


def packs(*of: tuple[int, int]) -> tuple[BasketLine, ...]:
    """Return lines of (pieces, price of all of them)."""
    return tuple(
        line(str(at), pieces=pieces, gross_minor=price) for at, (pieces, price) in enumerate(of)
    )


def weighed(line_id: str, quantity: int, gross_minor: int) -> BasketLine:
    """Return a line by weight, in thousandths of a kilogram."""
    return line(line_id, quantity=quantity, gross_minor=gross_minor, by_weight=True)


def rate(share: int) -> int:
    """Return percents in millionths."""
    return share * 10_000


def cheapest(count: int) -> Units:
    """Return a selection of the cheapest units."""
    return Units(which="cheapest", count=count)


def dearest(count: int) -> Units:
    """Return a selection of the dearest units."""
    return Units(which="dearest", count=count)


HALF = PercentOff(rate_ppm=500_000)
FREE = PercentOff(rate_ppm=1_000_000)


@pytest.mark.parametrize(
    ("gives", "taken"),
    [
        # A share of 505 is 51 (50.5) for the offer; of each line 10, 20 and 21 (20.5).
        (Percent(rate_ppm=rate(10)), [10, 20, 21]),
        (Percent(rate_ppm=rate(10), rounding="line"), [10, 20, 21]),
        (Percent(rate_ppm=rate(1)), [1, 2, 2]),
        (Percent(rate_ppm=rate(50), units=cheapest(1)), [50, 0, 0]),
        (Percent(rate_ppm=rate(50), units=dearest(1)), [0, 0, 103]),
        (Percent(rate_ppm=rate(50), units=dearest(2)), [0, 100, 103]),
        (Percent(rate_ppm=rate(50), units=cheapest(9)), [50, 100, 103]),
        (AmountOff(amount_minor=101), [20, 40, 41]),
        (AmountOff(amount_minor=506), [100, 200, 205]),
        (AmountOff(amount_minor=150, per="line"), [100, 150, 150]),
        (AmountOff(amount_minor=150, per="unit"), [100, 150, 150]),
        (AmountOff(amount_minor=250, units=dearest(1)), [0, 0, 205]),
        (AmountOff(amount_minor=120, per="line", units=cheapest(2)), [100, 120, 0]),
        (AmountOff(amount_minor=120, per="unit", units=cheapest(2)), [100, 120, 0]),
        (FixedPrice(amount_minor=150), [0, 50, 55]),
        (FixedPrice(amount_minor=150, per="line"), [0, 50, 55]),
        (FixedPrice(amount_minor=404, per="receipt"), [20, 40, 41]),
        (FixedPrice(amount_minor=600, per="receipt"), [0, 0, 0]),
        (FixedPrice(amount_minor=150, units=dearest(1)), [0, 0, 55]),
        (FixedPrice(amount_minor=150, per="receipt", units=cheapest(2)), [50, 100, 0]),
    ],
)
def test_three_lines_of_100_200_and_205(gives: PriceReward, taken: list[int]) -> None:
    assert offs(offer(gives=gives), lines=lines(100, 200, 205)) == taken


@pytest.mark.parametrize(
    ("gives", "taken"),
    [
        (AmountOff(amount_minor=40, per="unit"), [100, 80]),
        (AmountOff(amount_minor=10, per="unit"), [30, 20]),
        (AmountOff(amount_minor=10, per="line"), [10, 10]),
        (FixedPrice(amount_minor=30), [10, 140]),
        (FixedPrice(amount_minor=30, per="line"), [70, 170]),
        # Units are 100, 100, 34, 33, 33.
        (FixedPrice(amount_minor=30, units=cheapest(4)), [10, 70]),
        (AmountOff(amount_minor=34, per="unit", units=cheapest(3)), [100, 0]),
        (Percent(rate_ppm=rate(100), units=cheapest(1)), [33, 0]),
        (Percent(rate_ppm=rate(100), units=dearest(3)), [34, 200]),
        (FixedPrice(amount_minor=50, per="line", units=cheapest(2)), [16, 0]),
    ],
)
def test_units_of_three_pieces_for_100_and_two_for_200(
    gives: PriceReward, taken: list[int]
) -> None:
    assert offs(offer(gives=gives), lines=packs((3, 100), (2, 200))) == taken


def test_of_equal_units_those_of_the_earlier_line_are_chosen() -> None:
    for units in (cheapest(1), dearest(1)):
        taken = offs(offer(gives=Percent(rate_ppm=rate(50), units=units)), lines=lines(100, 100))
        assert taken == [50, 0]


def test_a_weighed_line_is_one_unit_among_the_chosen() -> None:
    gives = Percent(rate_ppm=rate(50), units=dearest(1))
    assert offs(offer(gives=gives), lines=(weighed("1", 2_500, 300), line("2"))) == [0, 500]
    bought = (weighed("1", 2_500, 1_300), line("2"))
    assert offs(offer(gives=gives), lines=bought) == [650, 0]


@pytest.mark.parametrize(
    ("gives", "taken"),
    [
        # 1.235 kg at 200 a kilogram are 247.
        (FixedPrice(amount_minor=200), 53),
        (FixedPrice(amount_minor=200, units=dearest(1)), 53),
        (FixedPrice(amount_minor=200, per="line"), 100),
        (AmountOff(amount_minor=40, per="unit"), 40),
    ],
)
def test_a_weighed_line_has_its_price_for_one_selling_unit(gives: PriceReward, taken: int) -> None:
    assert offs(offer(gives=gives), lines=(weighed("1", 1_235, 300),)) == [taken]


@pytest.mark.parametrize(
    ("limits", "taken"),
    [
        (Limits(units_max=1), [0, 50]),
        (Limits(units_max=3), [17, 100]),
        (Limits(units_max=4), [34, 100]),  # 67 at half is 33.5
        (Limits(units_max=9), [50, 100]),
        (Limits(units_per_line_max=1), [17, 50]),
        (Limits(units_per_line_max=2, units_max=3), [17, 100]),
        (Limits(units_per_line_max=1, units_max=1), [0, 50]),
    ],
)
def test_limits_in_units_take_the_dearest_of_34_33_33_and_100_100(
    limits: Limits, taken: list[int]
) -> None:
    half = Percent(rate_ppm=rate(50), rounding="line")
    assert offs(offer(gives=half, limits=limits), lines=packs((3, 100), (2, 200))) == taken


def test_a_limit_in_units_narrows_a_selection() -> None:
    gives = Percent(rate_ppm=rate(100), units=cheapest(2))
    limits = Limits(units_max=1)
    assert offs(offer(gives=gives, limits=limits), lines=lines(100, 200, 300)) == [100, 0, 0]


@pytest.mark.parametrize(
    ("codes", "limits", "taken"),
    [
        (("C-1",), Limits(once_per_code=True), [0, 0, 300]),
        (("C-1", "C-2"), Limits(once_per_code=True), [0, 200, 300]),
        (("C-1", "C-1"), Limits(once_per_code=True), [0, 0, 300]),
        (("C-1", "C-2"), Limits(once_per_code=True, units_max=1), [0, 0, 300]),
        (("C-1", "C-2", "X-1"), Limits(once_per_code=True, units_max=3), [0, 200, 300]),
        (("C-1",), Limits(), [100, 200, 300]),
    ],
)
def test_each_different_code_makes_one_unit_cheaper(
    codes: tuple[str, ...], limits: Limits, taken: list[int]
) -> None:
    free = offer(gives=Percent(rate_ppm=rate(100)), needs=NeedsCode(prefix="C-"), limits=limits)
    assert offs(free, lines=lines(100, 200, 300), codes=codes) == taken


@pytest.mark.parametrize(
    ("limits", "taken"),
    [
        (Limits(), 40),  # 100 - 60
        (Limits(units_max=1), 14),  # 34 - 20
        (Limits(units_per_line_max=2), 27),  # 34 + 33 - 40
    ],
)
def test_chosen_pieces_cost_their_card_price(limits: Limits, taken: int) -> None:
    card = CardPrice(prices={"milk": UnitPrice(amount_minor=20)})
    assert offs(offer(gives=card, limits=limits), lines=packs((3, 100))) == [taken]


def test_a_card_price_is_for_the_skus_it_names() -> None:
    card = CardPrice(prices={"tea": UnitPrice(amount_minor=10)})
    assert offs(offer(gives=card), lines=(line("1", "milk"), line("2", "tea"))) == [0, 990]


def test_a_card_price_holds_by_weight() -> None:
    card = CardPrice(prices={"milk": UnitPrice(amount_minor=199)})
    limits = Limits(units_max=1)
    for narrowed in (Limits(), limits):  # 199 * 1.235 = 245.8
        taken = offs(offer(gives=card, limits=narrowed), lines=(weighed("1", 1_235, 300),))
        assert taken == [54]


@pytest.mark.parametrize(
    ("gives", "taken"),
    [
        # Units are 300, 200, 100.
        (UnitRates(rates_ppm=(0, rate(50))), [50, 100, 0]),
        (UnitRates(rates_ppm=(0, rate(10), rate(50))), [50, 20, 0]),
        (UnitRates(rates_ppm=(rate(50), 0)), [0, 0, 150]),
        (UnitRates(rates_ppm=(0, rate(50)), first="cheapest"), [0, 100, 150]),
        (UnitRates(rates_ppm=(rate(10), 0), first="cheapest"), [10, 0, 0]),
        (UnitRates(rates_ppm=(rate(10), rate(50)), per="line"), [10, 20, 30]),
        (UnitRates(rates_ppm=(rate(10),)), [10, 20, 30]),
    ],
)
def test_rates_by_the_number_of_the_unit(gives: UnitRates, taken: list[int]) -> None:
    assert offs(offer(gives=gives), lines=lines(100, 200, 300)) == taken


@pytest.mark.parametrize(("pieces", "taken"), [(1, 0), (2, 10), (3, 60), (4, 110), (5, 160)])
def test_the_last_rate_holds_for_all_further_units(pieces: int, taken: int) -> None:
    gives = UnitRates(rates_ppm=(0, rate(10), rate(50)), per="line")
    assert offs(offer(gives=gives), lines=packs((pieces, pieces * 100))) == [taken]


def test_rates_are_rounded_once_for_the_offer_or_once_a_line() -> None:
    half = UnitRates(rates_ppm=(rate(50),))
    assert offs(offer(gives=half), lines=lines(1, 1, 1)) == [1, 1, 0]  # 1.5
    by_line = UnitRates(rates_ppm=(rate(50),), per="line")
    assert offs(offer(gives=by_line), lines=lines(1, 1, 1)) == [1, 1, 1]


def by_quantity(*of: tuple[int, PercentOff | AmountEach | PriceEach]) -> Steps:
    """Return steps by pieces."""
    steps = tuple(Step(at_least=pieces * 1_000, off=off) for pieces, off in of)
    return Steps(by="quantity", steps=steps)


@pytest.mark.parametrize(
    ("pieces", "taken"), [(1, 0), (2, 20), (3, 50), (4, 50), (5, 100), (6, 120)]
)
def test_the_highest_step_reached_counts(pieces: int, taken: int) -> None:
    steps = by_quantity(
        (2, PercentOff(rate_ppm=rate(10))),
        (3, AmountEach(amount_minor=50)),
        (5, PriceEach(amount_minor=80)),
    )
    assert offs(offer(gives=steps), lines=packs((pieces, pieces * 100))) == [taken]


@pytest.mark.parametrize(("price", "taken"), [(999, 0), (1_000, 100)])
def test_a_step_of_an_amount_is_reached_to_the_minor_unit(price: int, taken: int) -> None:
    steps = Steps(by="amount", steps=(Step(at_least=1_000, off=AmountEach(amount_minor=100)),))
    assert offs(offer(gives=steps), lines=lines(price)) == [taken]


@pytest.mark.parametrize(("basis", "taken"), [("gross", 200), ("running", 100)])
def test_a_step_counts_the_registers_prices_or_what_earlier_offers_left(
    basis: str, taken: int
) -> None:
    steps = Steps(
        by="amount",
        steps=(Step(at_least=1_000, off=AmountEach(amount_minor=100)),),
        basis="running" if basis == "running" else "gross",
    )
    earlier = offer("a", AmountOff(amount_minor=100), combines=Combines(order=1))
    assert offs(earlier, offer("b", steps), lines=lines(1_000)) == [taken]


@pytest.mark.parametrize(
    ("held", "taken"),
    [
        (0, [0, 0]),
        (2, [0, 0]),
        (3, [0, 100]),  # the sixth is on this receipt
        (4, [0, 100]),
        (6, [0, 0]),
        (9, [0, 100]),  # 3 in the second round
    ],
)
def test_the_sixth_one_is_free_counted_over_receipts(held: int, taken: list[int]) -> None:
    card = Stamps(counter="coffee", every=6, off=FREE)
    bought = packs((2, 100), (1, 100))
    assert offs(offer(gives=card), lines=bought, counters={"stamps:coffee": held}) == taken


@pytest.mark.parametrize(("which", "taken"), [("dearest", [0, 0, 150]), ("cheapest", [50, 0, 0])])
def test_a_full_card_makes_the_dearest_or_the_cheapest_one_cheaper(
    which: str, taken: list[int]
) -> None:
    card = Stamps(
        counter="coffee", every=3, off=HALF, which="cheapest" if which == "cheapest" else "dearest"
    )
    assert offs(offer(gives=card), lines=lines(100, 200, 300)) == taken


@pytest.mark.parametrize(
    "gives",
    [
        Stamps(counter="coffee", every=1, off=PriceEach(amount_minor=1_000)),
        FixedPrice(amount_minor=1_000),
        Steps(by="quantity", steps=(Step(at_least=1, off=PriceEach(amount_minor=1_000)),)),
    ],
)
def test_a_price_on_a_weighed_line_is_for_one_selling_unit(gives: PriceReward) -> None:
    cheese = line("1", "cheese", quantity=232, by_weight=True, gross_minor=464)
    assert offs(offer(gives=gives), lines=(cheese,)) == [232]


def test_a_receipt_may_fill_a_card_more_than_once() -> None:
    card = Stamps(counter="coffee", every=2, off=AmountEach(amount_minor=30))
    # 30 for each of the two dearest, together booked by their price.
    assert offs(offer(gives=card), lines=lines(100, 200, 300, 400)) == [0, 0, 26, 34]


def test_the_initial_price_is_the_base_where_the_offer_says_so() -> None:
    earlier = offer("a", AmountOff(amount_minor=50, per="line"), combines=Combines(order=1))
    initial = Combines(base="initial")
    for gives, left in (
        (Percent(rate_ppm=rate(10)), [10, 20]),
        (Percent(rate_ppm=rate(10), units=dearest(1)), [0, 20]),
        # The 100 of the register is free; 50 of it are left, the other 50 move to the set's 200.
        (EveryNth(every=2, off=FREE, spread="rewarded"), [50, 50]),
    ):
        taken = offs(earlier, offer("b", gives, combines=initial), lines=lines(100, 200))
        assert [all_off - 50 for all_off in taken] == left


def test_a_multi_buy_counts_prices_before_what_other_multi_buys_took() -> None:
    """The second one sees units of 100, though the first has already halved one of them."""
    first = offer("a", EveryNth(every=2, off=HALF), combines=Combines(order=1, shares_units=True))
    second = offer("b", EveryNth(every=2, off=PercentOff(rate_ppm=rate(20))))
    assert offs(first, second, lines=packs((2, 200))) == [70]


def test_a_card_price_may_be_narrowed_to_some_lines() -> None:
    card = offer(
        gives=CardPrice(prices={sku: UnitPrice(amount_minor=1) for sku in ("milk", "tea")}),
        lines=having("sku", "tea"),
    )
    assert offs(card, lines=lines(100)) == [0]
