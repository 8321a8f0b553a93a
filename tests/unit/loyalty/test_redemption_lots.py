"""Out of which lots points are redeemed, where some pay only for some goods; worked out by hand."""

import pytest

from loyalty.account import LotPart, RedeemRequest
from loyalty.basket import BasketLine
from loyalty.bundle import RedemptionTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from tests.support.builders import (
    account,
    basket,
    line,
    lot,
    moment,
    place,
    programme,
    right,
    rules,
)

GROUPS = {"dairy": ("milk", "cheese"), "milk": ("milk",), "tea": ("tea",)}
EVERYTHING = RedemptionTerms(
    receipt_share_max_ppm=1_000_000,
    line_share_max_ppm=1_000_000,
    left_to_pay_minor_min=0,
    line_left_minor_min=0,
)


def redeemed(
    *lots: LotPart,
    lines: tuple[BasketLine, ...],
    value: tuple[int, int] = (1, 1),
    terms: RedemptionTerms = EVERYTHING,
    points: int | None = None,
    unlotted: int = 0,
    today: int = 0,
) -> Calculation:
    """Redeem as much as possible; `value`: minor units for so many points."""
    minor, of_points = value
    request = (
        RedeemRequest(as_many_as_possible=True) if points is None else RedeemRequest(points=points)
    )
    return calculate(
        basket(*lines),
        rules(
            of=programme(point_value_minor=minor, point_value_points=of_points, redemption=terms),
            groups=GROUPS,
        ),
        moment=moment(),
        place=place(),
        account=account(counters={"redeemed@2025-03-05": today}),
        request=request,
        right=right(sum(each.points for each in lots) + unlotted, *lots),
    )


def by_lot(result: Calculation) -> dict[int, int]:
    """Return the points of each lot."""
    found: dict[int, int] = {}
    for part in result.redeemed:
        found[part.lot_id] = found.get(part.lot_id, 0) + part.points
    return found


def milk(gross_minor: int) -> BasketLine:
    """Return milk for so much."""
    return line("1", "milk", gross_minor=gross_minor)


def tea(gross_minor: int) -> BasketLine:
    """Return tea for so much."""
    return line("2", "tea", gross_minor=gross_minor)


def test_restricted_points_pay_for_their_goods_and_general_ones_for_the_rest() -> None:
    result = redeemed(lot(1, 100), lot(2, 100, restriction="milk"), lines=(milk(60), tea(90)))
    assert by_lot(result) == {2: 60, 1: 90}
    assert [one.redeemed_points for one in result.lines] == [60, 90]


def test_what_reaches_fewer_lines_is_spent_first() -> None:
    result = redeemed(
        lot(1, 50, restriction="dairy"),
        lot(2, 50, restriction="milk"),
        lines=(milk(70), line("3", "cheese", gross_minor=10)),
    )
    # Milk first: 50 of lot 2 on milk; of lot 1, 20 on milk and 10 on cheese.
    assert by_lot(result) == {2: 50, 1: 30}


def test_points_move_to_other_goods_where_they_make_room() -> None:
    """The special lot fills milk; what general points pay must not keep it out."""
    result = redeemed(
        lot(1, 100, restriction="dairy"),
        lot(2, 40, restriction="milk"),
        lines=(milk(40), line("3", "cheese", gross_minor=100)),
    )
    assert by_lot(result) == {2: 40, 1: 100}


def test_what_one_kind_of_points_has_paid_of_a_line_no_other_kind_pays_again() -> None:
    three = (milk(1), tea(1), line("3", "milk", gross_minor=1))
    result = redeemed(lot(1, 2), lot(2, 1, restriction="milk"), lines=three)
    assert [one.redeemed_minor for one in result.lines] == [1, 1, 1]


def test_of_lots_alike_in_reach_the_one_that_ends_sooner_is_spent_first() -> None:
    result = redeemed(
        lot(1, 5, restriction="milk", expires_on="2025-06-01"),
        lot(2, 5, restriction="dairy", expires_on="2025-05-01"),
        lot(3, 5, restriction="milk"),
        lines=(milk(12),),
    )
    assert by_lot(result) == {2: 5, 1: 5, 3: 2}


def test_parts_of_a_minor_unit_add_up_over_lots() -> None:
    """Three points are worth one minor unit: two restricted points alone are worth nothing."""
    result = redeemed(lot(1, 2, restriction="milk"), lot(2, 4), lines=(milk(10),), value=(1, 3))
    assert (result.totals.redeemed_points, result.totals.redeemed_minor) == (6, 2)
    assert by_lot(result) == {1: 2, 2: 4}


def test_points_that_buy_nothing_are_not_taken() -> None:
    result = redeemed(lot(1, 8), lines=(milk(100),), value=(1, 3))
    assert (result.totals.redeemed_points, result.totals.redeemed_minor) == (6, 2)


def test_lots_without_goods_for_them_stay_as_they_are() -> None:
    result = redeemed(lot(1, 100, restriction="tea"), lines=(milk(50),))
    assert (by_lot(result), result.totals.redeemed_minor) == ({}, 0)
    assert result.redeemable_points_max == 50


def test_what_no_lot_covers_comes_after_all_lots() -> None:
    result = redeemed(lot(3, 10), lines=(milk(25),), unlotted=30)
    assert by_lot(result) == {3: 10, 0: 15}


@pytest.mark.parametrize(("today", "points"), [(0, 80), (30, 50), (79, 1), (80, 0), (90, 0)])
def test_a_day_has_its_maximum_of_points(today: int, points: int) -> None:
    terms = RedemptionTerms(
        receipt_share_max_ppm=1_000_000,
        line_share_max_ppm=1_000_000,
        left_to_pay_minor_min=0,
        line_left_minor_min=0,
        points_per_day_max=80,
    )
    result = redeemed(lot(1, 500), lines=(milk(200),), terms=terms, today=today)
    assert result.totals.redeemed_points == result.redeemable_points_max == points
    counted = [(each.counter, each.plus) for each in result.counted]
    assert counted == ([("redeemed@2025-03-05", points)] if points else [])


@pytest.mark.parametrize(("points", "taken"), [(49, 0), (50, 50), (51, 51)])
def test_fewer_points_than_the_minimum_buy_nothing_whatever_the_lots(
    points: int, taken: int
) -> None:
    terms = RedemptionTerms(
        receipt_share_max_ppm=1_000_000, line_share_max_ppm=1_000_000, points_min=50
    )
    result = redeemed(lot(1, 200), lines=(milk(200),), terms=terms, points=points)
    assert result.totals.redeemed_points == taken


def test_a_minimum_is_asked_of_what_the_lots_can_really_pay() -> None:
    terms = RedemptionTerms(
        receipt_share_max_ppm=1_000_000, line_share_max_ppm=1_000_000, points_min=50
    )
    result = redeemed(lot(1, 200, restriction="milk"), lines=(milk(40), tea(100)), terms=terms)
    assert result.totals.redeemed_points == 0


def test_points_as_a_payment_lower_no_price() -> None:
    terms = RedemptionTerms(
        receipt_share_max_ppm=1_000_000,
        line_share_max_ppm=1_000_000,
        left_to_pay_minor_min=0,
        line_left_minor_min=10,
        mode="tender",
    )
    assert redeemed(lot(1, 500), lines=(milk(200),), terms=terms).totals.paid_minor == 0


def test_a_part_says_when_its_lot_ends() -> None:
    result = redeemed(lot(1, 10, expires_on="2025-04-01"), lot(2, 10), lines=(milk(15),))
    assert [(part.lot_id, part.points, part.expires_on) for part in result.redeemed] == [
        (1, 10, "2025-04-01"),
        (2, 5, ""),
    ]


def test_where_so_many_kinds_of_lots_overlap_that_the_best_is_not_proven_it_says_so() -> None:
    """Twenty restrictions overlap, and a point is worth more than most lines have room for."""
    lines = [line(str(at), f"s{at}", gross_minor=150 + at * 37 % 900) for at in range(60)]
    groups = {
        f"g{kind}": tuple(f"s{(kind * 3 + at * 5) % 60}" for at in range(4)) for kind in range(20)
    }
    lots = [lot(kind + 1, 1 + kind % 4, restriction=f"g{kind}") for kind in range(20)]
    result = calculate(
        basket(*lines),
        rules(of=programme(point_value_minor=1_000, redemption=EVERYTHING), groups=groups),
        moment=moment(),
        place=place(),
        account=account(),
        request=RedeemRequest(as_many_as_possible=True),
        right=right(None, *lots),
    )
    assert not result.redemption_proven
    assert 0 < result.totals.redeemed_points <= result.redeemable_points_max


def test_of_lots_that_alternate_each_is_spent_in_its_turn() -> None:
    result = redeemed(
        lot(1, 3, restriction="milk", expires_on="2025-05-01"),
        lot(2, 3, restriction="tea", expires_on="2025-05-02"),
        lot(3, 3, restriction="milk", expires_on="2025-05-03"),
        lot(4, 3, restriction="tea", expires_on="2025-05-04"),
        lines=(milk(100), tea(100)),
        points=10,
    )
    assert [(part.lot_id, part.points) for part in result.redeemed] == [
        (1, 3),
        (2, 3),
        (3, 3),
        (4, 1),
    ]
    assert result.redemption_proven
