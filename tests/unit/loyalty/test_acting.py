"""What stands in the way of an offer: floors, its own limits, the receipt's maximum."""

from collections.abc import Mapping

import pytest

from loyalty.basket import BasketLine
from loyalty.bundle import Product, Programme, ReceiptTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import (
    AmountOff,
    Combines,
    EveryNth,
    FixedPrice,
    Limits,
    NeedsAll,
    NeedsLines,
    NForM,
    Offer,
    Percent,
    PercentOff,
    UnitRates,
)
from tests.support.builders import basket, having, line, moment, offer, percent, place, rules

NO_PRODUCTS: Mapping[str, Product] = {}
NO_TERMS = ReceiptTerms()
FREE = PercentOff(rate_ppm=1_000_000)


def calculated(
    *offers: Offer,
    lines: tuple[BasketLine, ...],
    catalogue: Mapping[str, Product] = NO_PRODUCTS,
    terms: ReceiptTerms = NO_TERMS,
) -> Calculation:
    """Calculate these lines under these terms of the receipt."""
    programme = Programme(programme_id="green", currency="EUR", receipt=terms)
    compiled = rules(*offers, of=programme, catalogue=catalogue)
    return calculate(basket(*lines), compiled, moment=moment(), place=place())


def off(result: Calculation) -> list[int]:
    """Return the discount of each line."""
    return [one.discount_minor for one in result.lines]


def by_offer(result: Calculation) -> dict[str, list[int]]:
    """Return what each offer takes off, line by line, where it takes anything."""
    found: dict[str, list[int]] = {}
    for at, one in enumerate(result.lines):
        for effect in one.effects:
            found.setdefault(effect.offer_id, [0] * len(result.lines))[at] += effect.discount_minor
    return found


def codes(result: Calculation) -> dict[str, str]:
    """Return the code of each offer's reason."""
    return {reason.offer_id: reason.code for reason in result.reasons}


def lines(*prices_minor: int) -> tuple[BasketLine, ...]:
    """Return lines of one piece each, of SKUs `s0`, `s1`, ..."""
    return tuple(line(str(at), f"s{at}", gross_minor=p) for at, p in enumerate(prices_minor))


def floor(minor: int) -> Product:
    """Return a product with a regulated price."""
    return Product(floor_minor_per_unit=minor)


def test_the_floor_of_a_part_of_a_unit_is_rounded_up() -> None:
    bought = (line("1", "s0", quantity=333, gross_minor=1_000, by_weight=True),)
    result = calculated(offer(gives=percent(100)), lines=bought, catalogue={"s0": floor(1_001)})
    assert off(result) == [1_000 - 334]  # 333.3


def test_the_floor_holds_for_each_piece() -> None:
    bought = (line("1", "s0", pieces=3, gross_minor=1_000),)
    result = calculated(offer(gives=percent(100)), lines=bought, catalogue={"s0": floor(200)})
    assert off(result) == [400]


def test_discounts_leave_on_each_line_what_the_receipt_asks_for() -> None:
    terms = ReceiptTerms(line_left_minor_min=3)
    assert off(calculated(offer(gives=percent(100)), lines=lines(10, 3, 2, 0), terms=terms)) == [
        7,
        0,
        0,
        0,
    ]


def test_the_higher_of_two_floors_holds() -> None:
    terms = ReceiptTerms(line_left_minor_min=30)
    result = calculated(
        offer(gives=percent(100)),
        lines=lines(100, 100),
        catalogue={"s0": floor(20), "s1": floor(40)},
        terms=terms,
    )
    assert off(result) == [70, 60]


def test_an_offer_has_a_price_of_its_own_below_which_it_takes_nothing() -> None:
    bought = (line("1", "s0", pieces=3, gross_minor=300), line("2", "s1", gross_minor=50))
    limits = Limits(unit_price_minor_min=60)
    whole = offer(gives=Percent(rate_ppm=1_000_000, rounding="line"), limits=limits)
    assert off(calculated(whole, lines=bought)) == [120, 0]


def test_an_offers_own_price_counts_parts_of_a_unit_rounded_up() -> None:
    bought = (line("1", "s0", quantity=333, gross_minor=100, by_weight=True),)
    whole = offer(gives=percent(100), limits=Limits(unit_price_minor_min=100))
    assert off(calculated(whole, lines=bought)) == [66]  # 33.3 stay


def test_the_higher_of_the_floor_and_the_offers_own_price_holds() -> None:
    bought = lines(100, 100)
    whole = offer(
        gives=Percent(rate_ppm=1_000_000, rounding="line"), limits=Limits(unit_price_minor_min=30)
    )
    result = calculated(whole, lines=bought, catalogue={"s0": floor(50), "s1": floor(10)})
    assert off(result) == [50, 70]


@pytest.mark.parametrize(
    "gives",
    [
        Percent(rate_ppm=500_000),
        AmountOff(amount_minor=100),
        FixedPrice(amount_minor=100, per="receipt"),
        UnitRates(rates_ppm=(500_000,)),
    ],
)
def test_what_a_line_refuses_moves_where_the_total_is_the_offers(
    gives: Percent | AmountOff | FixedPrice | UnitRates,
) -> None:
    result = calculated(offer(gives=gives), lines=lines(100, 100), catalogue={"s0": floor(80)})
    assert off(result) == [20, 80]


@pytest.mark.parametrize(
    "gives",
    [
        Percent(rate_ppm=500_000, rounding="line"),
        AmountOff(amount_minor=50, per="line"),
        AmountOff(amount_minor=50, per="unit"),
        FixedPrice(amount_minor=50),
        UnitRates(rates_ppm=(500_000,), per="line"),
    ],
)
def test_what_a_line_refuses_is_lost_where_each_line_has_its_own(
    gives: Percent | AmountOff | FixedPrice | UnitRates,
) -> None:
    result = calculated(offer(gives=gives), lines=lines(100, 100), catalogue={"s0": floor(80)})
    assert off(result) == [20, 50]


def test_what_the_rewarded_line_of_a_set_refuses_moves_to_the_sets_other_lines() -> None:
    result = calculated(
        offer(gives=NForM(units=3, pay=2, spread="rewarded")),
        lines=lines(300, 100, 90),
        catalogue={"s2": floor(70)},
    )
    # 90 come off; the cheapest line has room for 20, the others share 70 by 300 and 100.
    assert off(result) == [53, 17, 20]


def test_a_set_booked_on_all_its_units_moves_what_one_refuses() -> None:
    result = calculated(
        offer(gives=NForM(units=2, pay=1, spread="set")),
        lines=lines(100, 100),
        catalogue={"s0": floor(90)},
    )
    assert off(result) == [10, 90]


def test_lines_too_cheap_for_a_share_of_their_own_take_what_the_others_refuse() -> None:
    result = calculated(
        offer(gives=AmountOff(amount_minor=1)), lines=lines(10, 10), catalogue={"s0": floor(10)}
    )
    assert off(result) == [0, 1]


@pytest.mark.parametrize(
    ("most", "taken"),
    [(0, [60, 40]), (200, [60, 40]), (100, [60, 40]), (99, [59, 40]), (5, [3, 2])],
)
def test_an_offers_maximum_is_shared_as_the_whole_would_have_been(
    most: int, taken: list[int]
) -> None:
    half = offer(gives=percent(50), discount_minor_max=most)
    assert off(calculated(half, lines=lines(120, 80))) == taken


def test_an_offers_maximum_and_a_floor_hold_together() -> None:
    whole = offer(gives=AmountOff(amount_minor=80, per="line"), discount_minor_max=90)
    result = calculated(whole, lines=lines(100, 100), catalogue={"s0": floor(90)})
    assert off(result) == [10, 80]
    less = offer(gives=AmountOff(amount_minor=80, per="line"), discount_minor_max=45)
    result = calculated(less, lines=lines(100, 100), catalogue={"s0": floor(90)})
    assert off(result) == [5, 40]


def test_an_offers_maximum_holds_for_multi_buys() -> None:
    capped = offer(gives=EveryNth(every=2, off=FREE), discount_minor_max=30)
    assert off(calculated(capped, lines=lines(100, 50))) == [20, 10]


@pytest.mark.parametrize(
    ("terms", "taken"),
    [
        (ReceiptTerms(), {"a": [300], "b": [200]}),
        (ReceiptTerms(discount_minor_max=1_000), {"a": [300], "b": [200]}),
        (ReceiptTerms(discount_minor_max=500), {"a": [300], "b": [200]}),
        (ReceiptTerms(discount_minor_max=400), {"a": [300], "b": [100]}),
        (ReceiptTerms(discount_minor_max=300), {"a": [300]}),
        (ReceiptTerms(discount_minor_max=1), {"a": [1]}),
        (ReceiptTerms(discount_share_max_ppm=350_000), {"a": [300], "b": [50]}),
        (ReceiptTerms(discount_share_max_ppm=999), {}),  # 0.999
        (
            ReceiptTerms(discount_share_max_ppm=350_000, discount_minor_max=310),
            {"a": [300], "b": [10]},
        ),
    ],
)
def test_later_offers_get_what_is_left_under_the_receipts_maximum(
    terms: ReceiptTerms, taken: dict[str, list[int]]
) -> None:
    result = calculated(
        offer("a", AmountOff(amount_minor=300)),
        offer("b", AmountOff(amount_minor=200)),
        lines=lines(1_000),
        terms=terms,
    )
    assert by_offer(result) == taken
    cut = {"a", "b"} - taken.keys()
    assert {one for one, code in codes(result).items() if code == "receipt_limit"} == cut


def test_an_offer_that_had_nothing_to_give_is_not_cut_by_the_receipt() -> None:
    result = calculated(
        offer("a", AmountOff(amount_minor=300)),
        offer("b", NForM(units=2, pay=1)),
        lines=lines(1_000),
        terms=ReceiptTerms(discount_minor_max=300),
    )
    assert codes(result) == {"a": "applied", "b": "quantity_missing"}


def test_best_per_line_takes_the_better_one_on_each_line() -> None:
    group = Combines(group="g", mode="best_per_line")
    result = calculated(
        offer("a", Percent(rate_ppm=200_000), combines=group),
        offer("b", AmountOff(amount_minor=30, per="line"), combines=group),
        lines=lines(100, 200, 150),
    )
    # 20, 40, 30 against 30 each: on the third the earlier one has it.
    assert by_offer(result) == {"a": [0, 40, 30], "b": [30, 0, 0]}
    assert codes(result) == {"a": "applied", "b": "applied"}


def test_best_per_line_says_which_member_beat_the_one_that_is_nowhere_best() -> None:
    group = Combines(group="g", mode="best_per_line")
    result = calculated(
        offer("a", percent(10), combines=group),
        offer("b", percent(20), combines=group),
        lines=lines(100, 200),
    )
    assert by_offer(result) == {"b": [20, 40]}
    assert codes(result) == {"a": "lost_to", "b": "applied"}


def test_best_per_line_rounds_each_line_by_itself() -> None:
    group = Combines(group="g", mode="best_per_line")
    result = calculated(offer("a", percent(10), combines=group), lines=lines(5, 4, 5))
    assert off(result) == [1, 0, 1]


def test_best_per_line_keeps_under_the_receipts_maximum() -> None:
    group = Combines(group="g", mode="best_per_line")
    result = calculated(
        offer("a", percent(50), combines=group),
        lines=lines(100, 200),
        terms=ReceiptTerms(discount_minor_max=75),
    )
    assert off(result) == [25, 50]


@pytest.mark.parametrize(("least", "taken"), [(700, 70), (701, 0)])
def test_a_running_need_counts_what_earlier_offers_left(least: int, taken: int) -> None:
    result = calculated(
        offer(
            "a", AmountOff(amount_minor=300), combines=Combines(order=1), lines=having("sku", "s0")
        ),
        offer(
            "b",
            percent(10),
            lines=having("sku", "s1"),
            needs=NeedsAll(
                of=(NeedsLines(match=having("sku", "s0"), amount_minor_min=least, basis="running"),)
            ),
        ),
        lines=lines(1_000, 700),
    )
    assert by_offer(result).get("b", [0, 0])[1] == taken
    assert codes(result)["b"] == ("applied" if taken else "amount_missing")


def test_a_line_that_gets_no_share_is_told_of_no_effect() -> None:
    result = calculated(offer(gives=percent(1)), lines=lines(1, 100))
    assert [len(one.effects) for one in result.lines] == [0, 1]


def test_what_is_refused_reaches_lines_whose_own_share_was_nothing() -> None:
    result = calculated(
        offer(gives=AmountOff(amount_minor=2)), lines=lines(10, 1), catalogue={"s0": floor(10)}
    )
    assert off(result) == [0, 1]
