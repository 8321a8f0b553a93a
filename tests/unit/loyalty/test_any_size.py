"""However much is bought under however many offers: an answer, and the truth about its proof."""

from dataclasses import replace
from itertools import pairwise

import pytest

from loyalty.basket import BasketLine
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.errors import RuleSetError
from loyalty.limits import CHOICES_SEARCHED_MAX
from loyalty.offers import (
    AmountOff,
    BuyGet,
    Combines,
    EveryLine,
    EveryNth,
    Limits,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsTender,
    NForM,
    NumberRange,
    Offer,
    Part,
    PartsSet,
    Percent,
    PercentOff,
    PriceEach,
)
from tests.support.builders import basket, having, line, moment, offer, place, rules

MANY = CHOICES_SEARCHED_MAX + 1_000


def priced(*offers: Offer, lines: tuple[BasketLine, ...], **bought: object) -> Calculation:
    """Return the receipt."""
    return calculate(
        basket(*lines, **bought),  # type: ignore[arg-type]
        rules(*offers),
        moment=moment(),
        place=place(),
    )


def percent(rate_ppm: int, name: str, combines: Combines) -> Offer:
    """Return a small percentage off everything."""
    return offer(name, Percent(rate_ppm=rate_ppm), combines=combines)


def test_more_groups_than_can_be_searched_are_answered_with_a_bound() -> None:
    offers = [
        percent(rate, f"{number}-{rate}", Combines(group=f"g{number}"))
        for number in range(MANY)
        for rate in (1_000, 2_000)
    ]
    result = priced(*offers, lines=(line(gross_minor=100_000),))
    assert not result.proven
    assert (
        0
        < result.totals.discount_minor
        <= 100_000
        < result.totals.discount_minor + (result.gap_minor + 1)
    )


def test_a_long_chain_of_offers_that_exclude_each_other_is_answered() -> None:
    offers = [
        percent(
            1_000,
            f"{number:04}",
            Combines(not_with=(f"{number + 1:04}",) if number + 1 < MANY else ()),
        )
        for number in range(MANY)
    ]
    offers.append(percent(1_000, f"{MANY:04}", Combines()))
    result = priced(*offers, lines=(line(gross_minor=100_000),))
    acting = sorted(int(effect.offer_id) for effect in result.lines[0].effects)
    assert acting
    assert all(later - earlier > 1 for earlier, later in pairwise(acting))


@pytest.mark.parametrize("pieces", [100, 1_000, 9_000, 1_000_000])
def test_multibuys_over_many_pieces_are_answered(pieces: int) -> None:
    sizes = (3, 4, 5)
    offers = [offer(f"n{size}", NForM(units=size, pay=2)) for size in sizes]
    lines = tuple(line(f"{n}", pieces=pieces, gross_minor=pieces * 100) for n in range(3))
    result = priced(*offers, lines=lines)
    # Five for two frees three of five, and of four left over four for two frees two.
    fives, rest = divmod(3 * pieces, 5)
    assert result.totals.discount_minor == 300 * fives + {0: 0, 1: 0, 2: 0, 3: 100, 4: 200}[rest]
    assert result.proven


@pytest.mark.parametrize("pieces", [999, 9_000, 1_000_000])
def test_two_multibuys_on_one_line_of_many_pieces_are_proven(pieces: int) -> None:
    """Three for two saves a third, every second at half price a quarter: pieces left over."""
    half = EveryNth(every=2, off=PercentOff(rate_ppm=500_000))
    bought = line(pieces=pieces, gross_minor=pieces * 100)
    result = priced(offer("a", NForM(units=3, pay=2)), offer("b", half), lines=(bought,))
    threes, rest = divmod(pieces, 3)
    assert result.totals.discount_minor == 100 * threes + (50 if rest == 2 else 0)
    assert result.proven


def test_a_set_finds_its_cheaper_part_beside_very_many_dearer_goods() -> None:
    parts = (Part(name="a", lines=having("sku", "a")), Part(name="b", lines=having("sku", "b")))
    lunch = offer("lunch", PartsSet(parts=parts, off=PriceEach(amount_minor=9)))
    lines = (
        line("1", "a", pieces=1_000, gross_minor=7_000),
        line("2", "b", pieces=1_000, gross_minor=5_000),
    )
    assert priced(lunch, lines=lines).totals.discount_minor == 3_000


def test_goods_to_get_are_found_among_very_many() -> None:
    gives = BuyGet(
        buy_units=1,
        get_units=1,
        off=PercentOff(rate_ppm=1_000_000),
        get_lines=having("sku", "b"),
    )
    lines = (
        line("1", "a", pieces=900, gross_minor=900),
        line("2", "b", pieces=1_000_000, gross_minor=5_000_000),
    )
    one = offer("one", gives, lines=having("sku", "a"))
    assert priced(one, lines=lines).totals.discount_minor == 900 * 5


def test_a_need_may_ask_for_numbers_of_lines_that_say_nothing_else() -> None:
    dear = NeedsLines(match=NumberRange(name="gross_minor", at_least=500), quantity_min=1_000)
    ten = offer("ten", Percent(rate_ppm=100_000), needs=dear)
    assert priced(ten, lines=(line(gross_minor=1_000),)).totals.discount_minor == 100
    assert priced(ten, lines=(line(gross_minor=499),)).totals.discount_minor == 0


def test_lines_opened_by_a_code_may_be_asked_for_their_numbers() -> None:
    coupon = offer(
        "coupon",
        Percent(rate_ppm=100_000),
        lines=NumberRange(name="unit_price_minor", at_most=300),
        needs=NeedsCode(one_of=("C",)),
    )
    lines = (line("1", gross_minor=300), line("2", gross_minor=301))
    result = priced(coupon, lines=lines, codes=["C"])
    assert [one.discount_minor for one in result.lines] == [30, 0]


def test_an_offer_limited_by_codes_that_needs_none_is_refused() -> None:
    needs = NeedsAny(of=(NeedsCode(one_of=("C",)), NeedsTender(one_of=("card",))))
    once = Limits(once_per_code=True)
    unit = offer("unit", AmountOff(amount_minor=100, per="unit"), needs=needs, limits=once)
    with pytest.raises(RuleSetError, match="once per code"):
        rules(unit)


@pytest.mark.parametrize("pieces", [1_000, 5_000, 1_000_000])
def test_sets_of_very_many_goods_are_all_formed(pieces: int) -> None:
    lines = (
        line("1", "a", pieces=pieces, gross_minor=7 * pieces),
        line("2", "b", pieces=pieces, gross_minor=5 * pieces),
    )
    a, b = (Part(name=name, lines=having("sku", name)) for name in "ab")
    free = PercentOff(rate_ppm=1_000_000)
    for gives, saved in (
        (PartsSet(parts=(a, b), off=PriceEach(amount_minor=9)), 3),
        (PartsSet(parts=(a, replace(b, lines=EveryLine())), off=PriceEach(amount_minor=9)), 3),
        (BuyGet(buy_units=1, get_units=1, off=free, get_lines=EveryLine()), 7),
    ):
        result = priced(offer("one", gives), lines=lines)
        assert (result.totals.discount_minor, result.proven) == (saved * pieces, True)


def test_sets_that_are_not_looked_at_are_admitted() -> None:
    gives = BuyGet(
        buy_units=1,
        get_units=1,
        off=PercentOff(rate_ppm=1_000_000),
        get_lines=having("sku", "b", "c"),
    )
    one = offer("one", gives, lines=having("sku", "a"), limits=Limits(units_per_line_max=1))
    lines = tuple(
        line(sku, sku, pieces=5_000, gross_minor=5_000 * price)
        for sku, price in (("a", 3), ("b", 7), ("c", 5))
    )
    result = priced(one, lines=lines)
    # With more than 5,000 sets one of `c` would be free too; there are not so many.
    assert result.totals.discount_minor == 7
    assert not result.proven
