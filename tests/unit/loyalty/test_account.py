"""What a till may know and spend."""

import pytest

from loyalty.account import NO_RIGHT, NOBODY, LotPart, RedeemRequest, SpendRight
from loyalty.errors import AmountError
from loyalty.limits import POINTS_MAX
from tests.support.builders import lot


def test_nobody_is_not_identified() -> None:
    assert not NOBODY.identified


def test_no_right_spends_nothing() -> None:
    assert NO_RIGHT.points == 0


@pytest.mark.parametrize("points", [-1, 0, POINTS_MAX + 1])
def test_a_lot_part_out_of_bounds_is_refused(points: int) -> None:
    with pytest.raises(AmountError, match="points of a lot part"):
        LotPart(lot_id=1, points=points)


def test_a_right_smaller_than_its_lots_is_refused() -> None:
    with pytest.raises(AmountError, match="covers at least its lots"):
        SpendRight(points=150, lots=(lot(1, 100), lot(2, 100)))


@pytest.mark.parametrize("points", [-1, POINTS_MAX + 1])
def test_a_right_out_of_bounds_is_refused(points: int) -> None:
    with pytest.raises(AmountError, match="spend right"):
        SpendRight(points=points)


@pytest.mark.parametrize("points", [-1, POINTS_MAX + 1])
def test_a_request_out_of_bounds_is_refused(points: int) -> None:
    with pytest.raises(AmountError, match="points to redeem"):
        RedeemRequest(points=points)
