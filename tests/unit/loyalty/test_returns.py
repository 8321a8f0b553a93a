"""A return gives back exactly what was recorded."""

import pytest

from loyalty.account import RedeemRequest
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import AmountOff, PointsPerItem, PointsPerMoney
from loyalty.outcomes import Outcome
from loyalty.returns import EarnedBack, ReturnCalculation, calculate_return
from tests.support.builders import (
    account,
    basket,
    line,
    lot,
    moment,
    offer,
    place,
    right,
    rules,
)


@pytest.fixture
def sold() -> Calculation:
    """A receipt of three lines with a discount, redeemed points of two lots and two earned lots."""
    return calculate(
        basket(line("1", gross_minor=999), line("2", gross_minor=501), line("3", gross_minor=77)),
        rules(
            offer("off", AmountOff(amount_minor=100)),
            offer("money", PointsPerMoney(points=7, per_minor=100)),
            offer("items", PointsPerItem(points=3)),
        ),
        moment=moment(),
        place=place(),
        account=account(),
        request=RedeemRequest(points=333),
        right=right(400, lot(1, 100), lot(2, 200)),
    )


def returned(sold: Calculation, *line_ids: str, already: tuple[str, ...] = ()) -> ReturnCalculation:
    """Return the lines; they can be returned."""
    back = calculate_return(sold, line_ids, already)
    assert isinstance(back, ReturnCalculation)
    return back


def test_everything_returned_at_once_restores_everything(sold: Calculation) -> None:
    back = returned(sold, "1", "2", "3")
    assert back.money_back_minor == sold.totals.paid_minor
    assert sorted(back.points_back, key=str) == sorted(sold.redeemed, key=str)
    assert {one.offer_id: one.points for one in back.taken_back} == {
        one.offer_id: one.points for one in sold.earned
    }


@pytest.mark.parametrize(
    "parts",
    [
        [("1",), ("2",), ("3",)],
        [("3",), ("2",), ("1",)],
        [("1", "3"), ("2",)],
        [("2",), ("3", "1")],
    ],
)
def test_everything_returned_in_parts_restores_everything(
    sold: Calculation, parts: list[tuple[str, ...]]
) -> None:
    already: tuple[str, ...] = ()
    backs = []
    for part in parts:
        backs.append(returned(sold, *part, already=already))
        already += part
    assert sum(back.money_back_minor for back in backs) == sold.totals.paid_minor
    assert sum(back.points_back_total for back in backs) == sold.totals.redeemed_points
    assert sum(back.taken_back_total for back in backs) == sold.totals.earned_points
    points_back = [part for back in backs for part in back.points_back]
    assert sorted(points_back, key=str) == sorted(sold.redeemed, key=str)


def test_points_go_back_to_the_lots_they_came_from(sold: Calculation) -> None:
    back = returned(sold, "2")
    assert back.points_back == tuple(part for part in sold.redeemed if part.line_id == "2")
    assert back.points_back_total == sold.lines[1].redeemed_points > 0


def test_earned_points_are_taken_back_by_offer(sold: Calculation) -> None:
    by_offer = {effect.offer_id: effect.points for effect in sold.lines[0].effects if effect.points}
    assert returned(sold, "1").taken_back == (
        EarnedBack(offer_id="items", points=3),
        EarnedBack(offer_id="money", points=by_offer["money"]),
    )


def test_the_order_of_lines_and_repeats_change_nothing(sold: Calculation) -> None:
    assert returned(sold, "3", "1", "3") == returned(sold, "1", "3")


@pytest.mark.parametrize("line_ids", [[], ["4"], ["1", "4"], [""]])
def test_a_line_the_receipt_lacks_is_unknown(sold: Calculation, line_ids: list[str]) -> None:
    assert calculate_return(sold, line_ids) is Outcome.LINE_UNKNOWN


def test_a_line_is_returned_once(sold: Calculation) -> None:
    assert calculate_return(sold, ["1", "2"], {"2"}) is Outcome.LINE_ALREADY_RETURNED


def test_a_return_names_the_bundle_and_the_account(sold: Calculation) -> None:
    back = returned(sold, "1")
    assert (back.bundle, back.account_id) == (sold.bundle, 7)
