"""Points that may not stand beside other points or money off; goods made cheaper that earn none."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest

from loyalty.basket import BasketLine
from loyalty.bundle import ReceiptTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.errors import RuleSetError
from loyalty.limits import RIVALS_WEIGHED_MAX
from loyalty.offers import (
    AmountOff,
    Combines,
    Gift,
    Offer,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
)
from tests.support.builders import (
    account,
    basket,
    combines,
    having,
    line,
    moment,
    offer,
    percent,
    place,
    programme,
    rules,
)

IN_BENEFIT = replace(programme(), points_in_benefit=True)


def receipt(
    *offers: Offer, lines: Iterable[BasketLine] = (), in_benefit: bool = False
) -> Calculation:
    return calculate(
        basket(*lines),
        rules(*offers, of=IN_BENEFIT if in_benefit else programme()),
        moment=moment(),
        place=place(),
        account=account(),
    )


def points(offer_id: str, number: int, *not_with: str, priority: int = 0) -> Offer:
    beside = Combines(not_with=not_with)
    return offer(offer_id, PointsPerReceipt(points=number), priority=priority, combines=beside)


def outcome(found: Calculation) -> dict[str, str]:
    """Return by offer `applied`, the offer it lost to, or the code of its reason."""
    return {each.offer_id: str(each.figures.get("to", each.code)) for each in found.reasons}


# Points beside points


def test_of_three_that_exclude_each_other_the_two_that_give_more_together_stand() -> None:
    found = receipt(points("a", 10, "b"), points("b", 15), points("c", 10, "b"))
    assert outcome(found) == {"a": "applied", "b": "a", "c": "applied"}
    alone = receipt(points("a", 4, "b"), points("b", 15), points("c", 10, "b"))
    assert outcome(alone) == {"a": "b", "b": "applied", "c": "b"}


def test_what_gives_nothing_excludes_nothing() -> None:
    none = offer(
        "none",
        PointsPerMoney(points=1, per_minor=100_000),
        priority=9,
        combines=Combines(not_with=("some",)),
    )
    assert outcome(receipt(none, points("some", 3))) == {
        "none": "nothing_to_give",
        "some": "applied",
    }


def test_a_multiplier_is_weighed_with_what_it_multiplies() -> None:
    more = PointsMultiplier(of=("base",), factor_ppm=3_000_000)
    triple = offer("triple", more, combines=Combines(not_with=("extra",)))
    base = points("base", 10)
    assert outcome(receipt(base, triple, points("extra", 19)))["extra"] == "triple"
    assert outcome(receipt(base, triple, points("extra", 21)))["triple"] == "extra"


def test_a_group_is_weighed_by_the_member_that_acts() -> None:
    grouped = [
        offer(name, PointsPerReceipt(points=number), combines=combines("g"))
        for name, number in (("small", 5), ("large", 9))
    ]
    rival = points("rival", 7, "large")
    assert outcome(receipt(*grouped, rival)) == {
        "small": "applied",
        "large": "rival",
        "rival": "applied",
    }


def most_points(offers: Collection[Offer]) -> int:
    """Return the most points of offers none of which excludes another, each way tried."""
    best = 0
    for count in range(len(offers) + 1):
        for chosen in combinations(offers, count):
            ids = {one.offer_id for one in chosen}
            if all(ids.isdisjoint(one.combines.not_with) for one in chosen):
                worth = [
                    one.gives.points for one in chosen if isinstance(one.gives, PointsPerReceipt)
                ]
                best = max(best, sum(worth))
    return best


@pytest.mark.parametrize("number", range(60))
def test_those_stand_that_give_most_together(number: int) -> None:
    draw = Random(number)
    ids = "abcdefgh"[: draw.randint(2, RIVALS_WEIGHED_MAX)]
    offers = [
        points(each, draw.randint(1, 30), *(o for o in ids if o != each and draw.random() < 0.3))
        for each in ids
    ]
    found = receipt(*offers, in_benefit=bool(number % 2))
    assert found.totals.earned_points == most_points(offers)
    assert found.proven


def many_rivals() -> list[Offer]:
    names = [f"p{at}" for at in range(RIVALS_WEIGHED_MAX + 2)]
    return [points(name, at + 1, *names[:at]) for at, name in enumerate(names)]


def test_of_very_many_the_larger_ones_are_taken_first() -> None:
    found = receipt(*many_rivals())
    assert found.totals.earned_points == RIVALS_WEIGHED_MAX + 2


def test_what_was_not_weighed_is_not_proven() -> None:
    found = receipt(*many_rivals(), in_benefit=True)
    assert not found.proven
    assert found.gap_minor >= 0
    assert receipt(*many_rivals()).proven


# Points beside money off


def test_points_give_way_to_money_off() -> None:
    sale = offer("sale", percent(10))
    assert outcome(receipt(sale, points("p", 900, "sale"))) == {"sale": "applied", "p": "sale"}


def test_where_points_are_benefit_the_choice_knows_which_points_it_costs() -> None:
    """The dearer discount would take the points away; 150 off and 100 points are worth more."""
    dear = offer("dear", AmountOff(amount_minor=200), combines=combines("g"))
    kind = offer("kind", AmountOff(amount_minor=150), combines=combines("g"))
    found = receipt(dear, kind, points("p", 100, "dear"), in_benefit=True)
    assert outcome(found) == {"dear": "kind", "kind": "applied", "p": "applied"}
    without = receipt(dear, kind, points("p", 40, "dear"), in_benefit=True)
    assert outcome(without) == {"dear": "applied", "kind": "dear", "p": "dear"}


# Goods made cheaper


def full_price(offer_id: str = "p", gives: PointsPerItem | None = None) -> Offer:
    return offer(
        offer_id, gives or PointsPerItem(points=10), combines=Combines(on_discounted=False)
    )


TWO = (line("1", "milk"), line("2", "tea"))
SALE = offer("sale", percent(10), lines=having("sku", "milk"))


def earned(found: Calculation) -> list[int]:
    return [one.earned_points for one in found.lines]


def test_lines_on_which_something_was_taken_off_earn_nothing() -> None:
    assert earned(receipt(SALE, full_price(), lines=TWO)) == [0, 10]
    assert earned(receipt(full_price(), lines=TWO)) == [10, 10]


def test_where_all_lines_are_cheaper_the_reason_says_so() -> None:
    found = receipt(offer("sale", percent(10)), full_price(), lines=TWO)
    assert outcome(found) == {"p": "lines_discounted", "sale": "applied"}


def test_a_discount_that_took_nothing_keeps_no_points_away() -> None:
    kept = replace(programme(), receipt=ReceiptTerms(discount_minor_max=1))
    first = offer("first", AmountOff(amount_minor=1), lines=having("sku", "tea"))
    found = calculate(
        basket(*TWO),
        rules(first, replace(SALE, combines=combines(order=200)), full_price(), of=kept),
        moment=moment(),
        place=place(),
        account=account(),
    )
    assert earned(found) == [10, 0]


def test_a_multiplier_may_leave_out_cheaper_goods() -> None:
    base = offer("base", PointsPerItem(points=10))
    double = offer(
        "double",
        PointsMultiplier(of=("base",), factor_ppm=2_000_000),
        combines=Combines(on_discounted=False),
    )
    assert earned(receipt(SALE, base, double, lines=TWO)) == [10, 20]


def test_the_best_per_line_is_found_among_those_that_want_the_line() -> None:
    per_line = {"group": "g", "mode": "best_per_line"}
    plenty = offer(
        "plenty",
        PointsPerItem(points=10),
        combines=Combines(on_discounted=False, **per_line),  # type: ignore[arg-type]
    )
    few = offer("few", PointsPerItem(points=1), combines=Combines(**per_line))  # type: ignore[arg-type]
    assert earned(receipt(SALE, plenty, few, lines=TWO)) == [1, 10]


def test_where_points_are_benefit_a_discount_costs_the_points_of_its_line() -> None:
    """Nine off would cost ten points: the offer for the other line is the better member."""
    here = offer("here", AmountOff(amount_minor=9), lines=having("sku", "milk"))
    there = offer("there", AmountOff(amount_minor=8), lines=having("sku", "rye"))
    group = [replace(one, combines=combines("g")) for one in (here, there)]
    earning = replace(full_price(), lines=having("sku", "milk"))
    bought = (line("1", "milk"), line("2", "rye"))
    found = receipt(*group, earning, lines=bought, in_benefit=True)
    assert outcome(found) == {"here": "there", "p": "applied", "there": "applied"}


@pytest.mark.parametrize("gives", [percent(10), Gift(sku="mug")], ids=["money off", "a gift"])
def test_only_points_can_leave_out_cheaper_goods(gives: Gift) -> None:
    with pytest.raises(RuleSetError, match="on_discounted"):
        rules(offer("o", gives, combines=Combines(on_discounted=False)))


# Goods the register has made cheaper


REDUCED: Mapping[bool, int] = {True: 100, False: 0}


@pytest.mark.parametrize("taking_part", REDUCED)
def test_a_programme_may_keep_all_discounts_off_reduced_prices(*, taking_part: bool) -> None:
    terms = replace(programme(), receipt=ReceiptTerms(on_reduced=taking_part))
    found = calculate(
        basket(line("1", pos_reduced=True), line("2")),
        rules(offer("sale", percent(10)), offer("p", PointsPerItem(points=1)), of=terms),
        moment=moment(),
        place=place(),
        account=account(),
    )
    assert [one.discount_minor for one in found.lines] == [REDUCED[taking_part], 100]
    assert earned(found) == [1, 1]
