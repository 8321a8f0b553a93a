"""Points of every kind, groups of points offers, multipliers; worked out by hand."""

from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine
from loyalty.bundle import Product, RedemptionTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import (
    AmountOff,
    Combines,
    LotTerms,
    Offer,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
)
from tests.support.builders import (
    account,
    basket,
    having,
    line,
    moment,
    offer,
    place,
    programme,
    right,
    rules,
)

NO_PRODUCTS: Mapping[str, Product] = {}
MILK, TEA = having("sku", "milk"), having("sku", "tea")
LINES = (line("1", "milk", pieces=2, gross_minor=390), line("2", "tea", gross_minor=250))


def calculated(
    *offers: Offer,
    lines: Sequence[BasketLine] = LINES,
    redeem: int = 0,
    catalogue: Mapping[str, Product] = NO_PRODUCTS,
) -> Calculation:
    """Calculate two milk for 3.90 and tea for 2.50."""
    terms = RedemptionTerms(
        receipt_share_max_ppm=1_000_000,
        line_share_max_ppm=1_000_000,
        left_to_pay_minor_min=0,
        line_left_minor_min=0,
    )
    return calculate(
        basket(*lines),
        rules(*offers, of=programme(redemption=terms), catalogue=catalogue),
        moment=moment(),
        place=place(),
        account=account(),
        request=RedeemRequest(points=redeem),
        right=right(redeem),
    )


def points(result: Calculation) -> dict[str, list[int]]:
    """Return the points of each offer, line by line."""
    found: dict[str, list[int]] = {}
    for at, one in enumerate(result.lines):
        for effect in one.effects:
            if effect.points:
                found.setdefault(effect.offer_id, [0] * len(result.lines))[at] += effect.points
    return found


def lost(result: Calculation) -> dict[str, object]:
    """Return who was taken instead, by the offer that lost."""
    return {r.offer_id: r.figures["to"] for r in result.reasons if r.code == "lost_to"}


def group(mode: Literal["best", "first", "best_per_line"]) -> Combines:
    """Return a group."""
    return Combines(group="g", mode=mode)


@pytest.mark.parametrize(
    ("gives", "each"),
    [
        (PointsPerMoney(points=1, per_minor=100), [4, 2]),  # 6.40 together
        (PointsPerMoney(points=5, per_minor=64), [30, 20]),  # 50 by 390 and 250
        (PointsPerMoney(points=5, per_minor=100, counting="whole_steps"), [18, 12]),
        (PointsPerMoney(points=1, per_minor=640), [1, 0]),
        (PointsPerMoney(points=1, per_minor=641), [0, 0]),
        (PointsPerItem(points=7), [14, 7]),
        (PointsPerReceipt(points=64), [39, 25]),
    ],
)
def test_points_are_counted_once_and_booked_on_the_lines(
    gives: PointsPerMoney | PointsPerItem | PointsPerReceipt, each: list[int]
) -> None:
    assert points(calculated(offer(gives=gives))).get("offer", [0, 0]) == each


@pytest.mark.parametrize(("basis", "earned"), [("gross", 640), ("discounted", 600), ("paid", 500)])
def test_points_count_the_price_what_is_left_of_it_or_what_is_paid(
    basis: Literal["gross", "discounted", "paid"], earned: int
) -> None:
    result = calculated(
        offer("d", AmountOff(amount_minor=40)),
        offer("p", PointsPerMoney(points=1, per_minor=1, basis=basis)),
        redeem=100,
    )
    assert result.totals.earned_points == earned


def test_a_line_that_is_paid_with_points_alone_earns_no_items() -> None:
    catalogue = {"tea": Product(barred=("redeem",))}
    result = calculated(
        offer("i", PointsPerItem(points=1)),
        offer("r", PointsPerReceipt(points=10)),
        redeem=390,
        catalogue=catalogue,
    )
    assert points(result) == {"i": [0, 1], "r": [0, 10]}


@pytest.mark.parametrize(
    ("most", "each"), [(49, [30, 19]), (50, [30, 20]), (51, [30, 20]), (1, [1, 0])]
)
def test_a_maximum_of_points_cuts(most: int, each: list[int]) -> None:
    result = calculated(offer(gives=PointsPerMoney(points=5, per_minor=64), points_max=most))
    assert points(result)["offer"] == each


def test_of_a_group_the_member_that_gives_most_earns() -> None:
    result = calculated(
        offer("a", PointsPerItem(points=2), combines=group("best")),
        offer("b", PointsPerReceipt(points=7), combines=group("best")),
        offer("c", PointsPerItem(points=1), combines=group("best")),
    )
    assert points(result) == {"b": [4, 3]}
    assert lost(result) == {"a": "b", "c": "b"}


def test_of_equal_members_the_larger_priority_earns_then_the_smaller_id() -> None:
    same = PointsPerItem(points=2)
    result = calculated(
        offer("a", same, combines=group("best")), offer("b", same, combines=group("best"))
    )
    assert list(points(result)) == ["a"]
    result = calculated(
        offer("a", same, combines=group("best")),
        offer("b", same, combines=group("best"), priority=1),
    )
    assert list(points(result)) == ["b"]


def test_of_mode_first_the_highest_priority_that_gives_any_earns() -> None:
    none = PointsPerMoney(points=1, per_minor=10_000)
    result = calculated(
        offer("a", PointsPerItem(points=9), combines=group("first")),
        offer("b", PointsPerItem(points=1), combines=group("first"), priority=1),
        offer("c", none, combines=group("first"), priority=2),
    )
    assert points(result) == {"b": [2, 1]}
    assert lost(result) == {"a": "b", "c": "b"}


@pytest.mark.parametrize("mode", ["best", "first", "best_per_line"])
def test_a_group_in_which_nobody_gives_anything_has_no_winner(
    mode: Literal["best", "first", "best_per_line"],
) -> None:
    none = PointsPerMoney(points=1, per_minor=10_000)
    result = calculated(offer("a", none, combines=group(mode)))
    assert (points(result), lost(result), result.earned) == ({}, {}, ())
    assert [reason.code for reason in result.reasons] == ["nothing_to_give"]


def test_per_line_the_member_that_gives_most_for_it_earns() -> None:
    result = calculated(
        offer("a", PointsPerItem(points=3), combines=group("best_per_line")),
        offer("b", PointsPerMoney(points=1, per_minor=50), combines=group("best_per_line")),
        offer("c", PointsPerItem(points=1), combines=group("best_per_line")),
    )
    # 6 or 7 (3.90 / 0.50 = 7.8) on milk, 3 or 5 on tea.
    assert points(result) == {"b": [7, 5]}
    assert lost(result) == {"a": "b", "c": "b"}


def test_per_line_each_line_may_have_another_winner() -> None:
    result = calculated(
        offer("a", PointsPerItem(points=4), combines=group("best_per_line")),
        offer("b", PointsPerMoney(points=1, per_minor=50), combines=group("best_per_line")),
    )
    assert points(result) == {"a": [8, 0], "b": [0, 5]}
    assert lost(result) == {}


def test_per_line_a_member_for_other_lines_lost_to_nobody() -> None:
    none = PointsPerMoney(points=1, per_minor=10_000)
    result = calculated(
        offer("a", PointsPerItem(points=4), lines=MILK, combines=group("best_per_line")),
        offer("b", none, lines=TEA, combines=group("best_per_line")),
    )
    assert (points(result), lost(result)) == ({"a": [8, 0]}, {})


@pytest.mark.parametrize(
    ("factor_ppm", "more"), [(2_000_000, [10, 7]), (1_500_000, [5, 3]), (3_000_000, [20, 14])]
)
def test_a_multiplier_gives_what_exceeds_the_points_it_multiplies(
    factor_ppm: int, more: list[int]
) -> None:
    result = calculated(
        offer("p", PointsPerReceipt(points=11), combines=Combines(order=2)),
        offer("q", PointsPerItem(points=2), combines=Combines(order=3)),
        offer("x", PointsMultiplier(of=("p", "q"), factor_ppm=factor_ppm)),
    )
    # 11 by 390 and 250 are 7 and 4; 4 and 2 for the items: 11 and 6.
    assert points(result)["p"] == [7, 4]
    assert points(result)["q"] == [4, 2]
    assert sum(points(result)["x"]) == 17 * (factor_ppm - 1_000_000) // 1_000_000
    assert sum(more) == sum(points(result)["x"])


def test_a_multiplier_counts_its_own_lines_and_the_offers_it_names() -> None:
    result = calculated(
        offer("p", PointsPerItem(points=2)),
        offer("q", PointsPerItem(points=5)),
        offer("x", PointsMultiplier(of=("p",), factor_ppm=3_000_000), lines=TEA),
    )
    assert points(result)["x"] == [0, 4]


def test_a_multiplier_multiplies_the_winner_of_a_group() -> None:
    result = calculated(
        offer("a", PointsPerItem(points=1), combines=group("best")),
        offer("b", PointsPerItem(points=2), combines=group("best")),
        offer("x", PointsMultiplier(of=("a", "b"), factor_ppm=2_000_000)),
    )
    assert points(result) == {"b": [4, 2], "x": [4, 2]}


def test_a_lot_says_what_it_is() -> None:
    terms = LotTerms(name="spring", delay_days=14, lifetime_days=30, restriction="dairy")
    result = calculate(
        basket(*LINES),
        rules(offer("p", PointsPerItem(points=1, lot=terms)), groups={"dairy": ("milk",)}),
        moment=moment("2025-02-20T10:00:00"),
        place=place(),
        account=account(),
    )
    (lot,) = result.earned
    assert (lot.offer_id, lot.points, lot.name, lot.restriction) == ("p", 3, "spring", "dairy")
    assert (lot.active_from, lot.expires_on) == ("2025-03-06", "2025-04-05")


@pytest.mark.parametrize(
    ("mode", "priority", "added"),
    [("best", 0, {"x3": 6}), ("first", 1, {"x2": 3}), ("first", -1, {"x3": 6})],
)
def test_of_a_group_of_multipliers_one_multiplies(
    mode: Literal["best", "first"], priority: int, added: Mapping[str, int]
) -> None:
    result = calculated(
        offer("base", PointsPerItem(points=1)),
        offer(
            "x2",
            PointsMultiplier(of=("base",), factor_ppm=2_000_000),
            combines=group(mode),
            priority=priority,
        ),
        offer("x3", PointsMultiplier(of=("base",), factor_ppm=3_000_000), combines=group(mode)),
    )
    given = {offer_id: sum(each) for offer_id, each in points(result).items()}
    assert given == {"base": 3, **added}
