"""What a bundle may say of its programme and products."""

import pytest

from loyalty.bundle import Product, RedemptionTerms
from loyalty.errors import AmountError
from tests.support.builders import bundle, programme


@pytest.mark.parametrize(("minor", "points"), [(0, 1), (1, 0), (-1, 1)])
def test_a_point_without_value_is_refused(minor: int, points: int) -> None:
    with pytest.raises(AmountError, match="point_value"):
        programme(point_value_minor=minor, point_value_points=points)


@pytest.mark.parametrize(
    "terms",
    [
        {"receipt_share_max_ppm": 1_000_001},
        {"line_share_max_ppm": -1},
        {"left_to_pay_minor_min": -1},
        {"line_left_minor_min": -1},
        {"points_min": 0},
    ],
)
def test_redemption_terms_out_of_bounds_are_refused(terms: dict[str, int]) -> None:
    with pytest.raises(AmountError):
        RedemptionTerms(**terms)  # type: ignore[arg-type]


def test_a_floor_price_below_zero_is_refused() -> None:
    with pytest.raises(AmountError, match="floor_minor_per_unit"):
        Product(floor_minor_per_unit=-1)


def test_versions_begin_at_one() -> None:
    with pytest.raises(AmountError, match="version"):
        bundle(version=0)
