"""Redemption against every way to spend the lots there is, on small random receipts."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from loyalty.account import LotPart, RedeemRequest
from loyalty.bundle import Product, ReceiptTerms, RedemptionTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import compile_bundle
from tests.oracle.random_cases import Draw
from tests.oracle.redemption_judge import Till, best_spending, most_special_first, reaches
from tests.support import builders
from tests.support.builders import line, lot, moment, offer, percent, place, right

RECEIPTS_PER_SEED = 250
GROUPS = {
    "dairy": ("a", "b"),
    "fresh": ("b", "c"),
    "drinks": ("a", "c"),
    "milk": ("a",),
    "none": (),
}


class Redeeming(Draw):
    """Random receipts with lots to spend."""

    def terms(self) -> RedemptionTerms:
        """Return the programme's caps."""
        return RedemptionTerms(
            receipt_share_max_ppm=self.one(1_000_000, 1_000_000, 500_000, self.rate()),
            line_share_max_ppm=self.one(1_000_000, 990_000, self.rate()),
            left_to_pay_minor_min=self.number(0, 3),
            line_left_minor_min=self.number(0, 2),
            points_min=self.one(1, 1, 3),
            points_per_day_max=self.seldom(self.number(1, 20), 0),
            mode=self.one("discount", "discount", "tender"),
        )

    def lots(self) -> tuple[LotPart, ...]:
        """Return a few small lots, most of them restricted."""
        return tuple(
            lot(
                number,
                self.number(1, 7),
                expires_on=self.one("", "2025-04-01", "2025-05-01"),
                restriction=self.one("", *GROUPS),
            )
            for number in range(1, 1 + self.number(1, 4))
        )

    def till(self, point_value_minor: int, point_value_points: int = 1) -> Till:
        """Return a receipt with discounts, and the calculation with points redeemed."""
        terms = replace(
            builders.programme(
                point_value_minor=point_value_minor,
                point_value_points=point_value_points,
                redemption=self.terms(),
            ),
            receipt=ReceiptTerms(line_left_minor_min=self.seldom(1, 0)),
        )
        catalogue = {
            sku: Product(
                floor_minor_per_unit=self.seldom(self.number(1, 5), 0),
                barred=self.one((), (), (), ("redeem",)),
            )
            for sku in "abc"
        }
        bundle = builders.bundle(
            offer("ten", percent(10)), of=terms, catalogue=catalogue, groups=GROUPS
        )
        lines = [
            line(
                str(number),
                self.one("a", "b", "c"),
                gross_minor=self.number(0, self.one(3, 9) * point_value_minor),
            )
            for number in range(self.number(1, 4))
        ]
        lots = self.lots()
        spend = right(sum(one.points for one in lots) + self.one(0, 0, 3), *lots)
        request = RedeemRequest(
            points=self.number(1, 20),
            as_many_as_possible=self.one(True, False),  # noqa: FBT003
        )
        today = self.number(0, 10)
        account = builders.account(counters={"redeemed@2025-03-05": today})
        sold = calculate(
            builders.basket(*lines),
            compile_bundle(bundle, "00"),
            moment=moment(),
            place=place(),
            account=account,
            request=request,
            right=spend,
        )
        return Till(bundle, sold, spend, request, today)


def spent(sold: Calculation) -> Counter[int]:
    """Return points by lot."""
    points: Counter[int] = Counter()
    for part in sold.redeemed:
        points[part.lot_id] += part.points
    return points


@pytest.mark.parametrize(("minor", "points"), [(1, 1), (10, 1), (1, 3), (3, 2)])
def test_lots_give_as_much_as_they_can_the_most_special_first(
    seed: int, minor: int, points: int
) -> None:
    draw = Redeeming(random.Random(seed))
    for number in range(RECEIPTS_PER_SEED):
        till = draw.till(minor, points)
        assert spent(till.sold) == best_spending(till), f"receipt {number}: {till}"
        assert till.sold.redemption_proven


@pytest.mark.parametrize("point_value_minor", [1, 10])
def test_points_pay_only_for_what_they_may(seed: int, point_value_minor: int) -> None:
    draw = Redeeming(random.Random(seed))
    for _ in range(RECEIPTS_PER_SEED):
        till = draw.till(point_value_minor)
        rooms = till.rooms()
        reach = {one.lot_id: reaches(till, one) for one in most_special_first(till)}
        for part in till.sold.redeemed:
            assert part.line_id in reach[part.lot_id], till
        for one in till.sold.lines:
            assert one.redeemed_minor <= rooms[one.line_id], till
            of_line = [part.points for part in till.sold.redeemed if part.line_id == one.line_id]
            assert one.redeemed_points == sum(of_line), till
        assert till.sold.totals.redeemed_minor == till.worth(till.sold.totals.redeemed_points)
