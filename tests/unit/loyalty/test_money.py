"""One rounding rule and one splitting rule."""

import pytest

from loyalty.errors import AmountError
from loyalty.money import round_half_up, split


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded"),
    [
        (0, 7, 0),
        (1, 2, 1),
        (3, 2, 2),
        (149, 100, 1),
        (150, 100, 2),
        (5, 1, 5),
        (10**30, 3, 10**30 // 3),
    ],
)
def test_halves_are_rounded_up(numerator: int, denominator: int, rounded: int) -> None:
    assert round_half_up(numerator, denominator) == rounded


@pytest.mark.parametrize(("numerator", "denominator"), [(-1, 2), (1, 0), (1, -2)])
def test_what_cannot_be_rounded_is_refused(numerator: int, denominator: int) -> None:
    with pytest.raises(AmountError, match=f"{numerator}/{denominator}"):
        round_half_up(numerator, denominator)


def test_shares_add_up_to_the_total() -> None:
    shares = split(100, [1, 1, 1])
    assert sum(shares) == 100


def test_tied_remainders_go_to_the_earlier_place() -> None:
    assert split(2, [1, 1, 1]) == [1, 1, 0]


def test_the_largest_remainder_gets_the_missing_unit() -> None:
    assert split(10, [33, 33, 34]) == [3, 3, 4]


def test_a_place_without_weight_gets_nothing() -> None:
    assert split(9, [0, 3, 0]) == [0, 9, 0]


def test_what_a_ceiling_refuses_moves_to_the_others_by_weight() -> None:
    assert split(90, [1, 1, 2], [10, 90, 90]) == [10, 27, 53]


def test_ceilings_that_fill_one_after_another_are_all_kept() -> None:
    assert split(100, [10, 5, 1, 1], [20, 30, 40, 40]) == [20, 30, 25, 25]


def test_a_total_equal_to_all_ceilings_fills_them() -> None:
    assert split(60, [1, 1000, 7], [10, 20, 30]) == [10, 20, 30]


def test_nothing_is_split_into_nothing() -> None:
    assert split(0, [0, 5]) == [0, 0]
    assert split(0, []) == []


@pytest.mark.parametrize(
    ("total", "weights", "ceilings"),
    [(1, [], None), (1, [0, 0], None), (5, [1, 1], [2, 2]), (-1, [1], None), (3, [0, 1], [9, 2])],
)
def test_a_total_the_places_cannot_take_is_refused(
    total: int, weights: list[int], ceilings: list[int] | None
) -> None:
    with pytest.raises(AmountError, match=f"cannot split {total}"):
        split(total, weights, ceilings)
