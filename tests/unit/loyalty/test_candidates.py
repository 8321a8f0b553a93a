"""Which lines an offer is about, and which of them take part."""

from collections.abc import Mapping

import pytest

from loyalty.account import AccountSnapshot
from loyalty.basket import Basket
from loyalty.bundle import Product
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import (
    AllOf,
    AmountEach,
    AmountOff,
    AnyOf,
    BuyGet,
    Combines,
    Gift,
    Limits,
    NeedsCode,
    NeedsLines,
    NForM,
    NumberRange,
    Offer,
    Part,
    PartsSet,
    Percent,
    PercentOff,
    PointsPerItem,
    Stamps,
)
from tests.support.builders import (
    account,
    basket,
    having,
    line,
    moment,
    offer,
    percent,
    place,
    rules,
)

NO_PRODUCTS: Mapping[str, Product] = {}
FREE = PercentOff(rate_ppm=1_000_000)
BARRED = {"book": Product(barred=("discount",)), "card": Product(barred=("earn",))}


def calculated(
    *offers: Offer,
    bought: Basket,
    catalogue: Mapping[str, Product] = NO_PRODUCTS,
    who: AccountSnapshot | None = None,
) -> Calculation:
    """Calculate a basket for a known customer."""
    return calculate(
        bought,
        rules(*offers, catalogue=catalogue),
        moment=moment(),
        place=place(),
        account=who or account(),
    )


def off(result: Calculation) -> list[int]:
    """Return the discount of each line."""
    return [one.discount_minor for one in result.lines]


def test_lines_stand_in_the_order_of_their_ids_however_they_were_scanned() -> None:
    bought = basket(line("b", gross_minor=1), line("a", gross_minor=1), line("c", gross_minor=1))
    result = calculated(offer(gives=AmountOff(amount_minor=2)), bought=bought)
    assert [(one.line_id, one.discount_minor) for one in result.lines] == [
        ("a", 1),
        ("b", 1),
        ("c", 0),
    ]


def test_two_lines_of_one_sku_are_told_apart_by_a_range_anywhere_in_the_tree() -> None:
    cheap = NumberRange(name="gross_minor", at_most=100)
    bought = basket(line("1", gross_minor=100), line("2", gross_minor=101))
    for match in (cheap, AnyOf(of=(cheap,)), AllOf(of=(having("sku", "milk"), AnyOf(of=(cheap,))))):
        assert off(calculated(offer(lines=match), bought=bought)) == [10, 0]


def test_parts_of_a_set_are_among_the_offers_own_lines() -> None:
    gives = PartsSet(
        parts=(
            Part(name="a", lines=having("sku", "soup")),
            Part(name="b", lines=having("sku", "tea")),
        ),
        off=AmountEach(amount_minor=50),
    )
    soup, tea = line("1", "soup", brand="own"), line("2", "tea", brand="other")
    assert off(calculated(offer(gives=gives), bought=basket(soup, tea))) == [25, 25]
    own = offer(gives=gives, lines=having("brand", "own"))
    assert off(calculated(own, bought=basket(soup, tea))) == [0, 0]
    own_tea = line("2", "tea", brand="own")
    assert off(calculated(own, bought=basket(soup, own_tea))) == [25, 25]


def test_what_is_bought_and_what_is_given_are_told_apart() -> None:
    cake_free = having("sku", "cake")
    gives = BuyGet(buy_units=1, get_units=1, off=FREE, get_lines=cake_free, spread="rewarded")
    one = offer(gives=gives, lines=having("sku", "coffee"))
    coffee, cake, tea = line("1", "coffee"), line("2", "cake"), line("3", "tea")
    assert off(calculated(one, bought=basket(coffee, cake, tea))) == [0, 1_000, 0]
    assert off(calculated(one, bought=basket(cake, tea))) == [0, 0]


@pytest.mark.parametrize(
    ("gives", "sku", "code"),
    [
        (percent(10), "book", "lines_excluded"),
        (percent(10), "card", "applied"),
        (PointsPerItem(points=1), "book", "applied"),
        (PointsPerItem(points=1), "card", "lines_excluded"),
        (Gift(sku="cup"), "book", "applied"),
        (Gift(sku="cup"), "card", "applied"),
    ],
)
def test_a_product_is_barred_from_what_it_says(
    gives: Percent | PointsPerItem | Gift, sku: str, code: str
) -> None:
    result = calculated(offer(gives=gives), bought=basket(line("1", sku)), catalogue=BARRED)
    assert [reason.code for reason in result.reasons] == [code]


def test_barred_lines_count_for_needs_and_take_nothing_off() -> None:
    needs = NeedsLines(amount_minor_min=1_500)
    bought = basket(line("1", "book"), line("2", "tea"))
    assert off(calculated(offer(needs=needs), bought=bought, catalogue=BARRED)) == [0, 100]


def test_barred_lines_are_no_units_of_a_set() -> None:
    bought = basket(line("1", "book"), line("2", "tea"))
    result = calculated(offer(gives=NForM(units=2, pay=1)), bought=bought, catalogue=BARRED)
    assert off(result) == [0, 0]


def test_lines_the_register_reduced_are_left_out_of_sets_too() -> None:
    bought = basket(line("1", pos_reduced=True), line("2"), line("3"))
    one = offer(gives=NForM(units=2, pay=1), combines=Combines(on_reduced=False))
    assert off(calculated(one, bought=bought))[0] == 0
    assert sum(off(calculated(one, bought=bought))) == 1_000


def test_a_code_opens_an_offer_for_its_lines_only() -> None:
    one = offer(needs=NeedsCode(one_of=("A",)), lines=having("sku", "tea"))
    bought = basket(line("1", "milk"), line("2", "tea"), codes=("A", "B"))
    assert off(calculated(one, bought=bought)) == [0, 100]


def test_each_code_counts_for_one_set() -> None:
    one = offer(
        gives=NForM(units=2, pay=1),
        needs=NeedsCode(prefix="C-"),
        limits=Limits(once_per_code=True),
    )
    for codes, taken in ((("C-1",), 100), (("C-1", "C-2"), 200), (("C-1", "C-2", "C-3"), 200)):
        bought = basket(line("1", pieces=4, gross_minor=400), codes=codes)
        assert off(calculated(one, bought=bought)) == [taken]


def test_what_a_receipt_adds_to_the_accounts_counters() -> None:
    card = offer("card", Stamps(counter="coffee", every=10, off=FREE))
    again = offer("again", Stamps(counter="coffee", every=10, off=FREE), lines=having("sku", "tea"))
    once = offer("once", percent(10), limits=Limits(uses_per_account_max=3, period="month"))
    idle = offer("idle", NForM(units=9, pay=8), limits=Limits(uses_per_account_max=1))
    bought = basket(line("1", "milk", pieces=2), line("2", "tea"))
    result = calculated(card, again, once, idle, bought=bought)
    assert {(each.counter, each.plus) for each in result.counted} == {
        ("stamps:coffee", 3),
        ("uses:once@2025-03", 1),
    }


def test_nothing_is_counted_for_nobody() -> None:
    card = rules(offer(gives=Stamps(counter="coffee", every=10, off=FREE)))
    result = calculate(basket(), card, moment=moment(), place=place())
    assert result.counted == ()
    known = calculate(basket(), card, moment=moment(), place=place(), account=account())
    assert [(each.counter, each.plus) for each in known.counted] == [("stamps:coffee", 1)]
