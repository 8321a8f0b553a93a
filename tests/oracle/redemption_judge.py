"""The judge of redemption: every way to take points out of the lots, tried one by one.

A way is feasible when the money of any lots together fits into the lines they may pay for (Hall's
condition), so that no line has to be looked at by itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

from loyalty.account import LotPart, RedeemRequest, SpendRight
from loyalty.bundle import Bundle
from loyalty.calculation import Calculation
from tests.oracle.judge_arithmetic import MILLION, whole_up
from tests.oracle.judge_state import PIECE

UNLOTTED = 0
NEVER = "9999"


@dataclass(frozen=True)
class Till:
    """What a redemption is decided on: the receipt after discounts, the lots, the wish."""

    bundle: Bundle
    sold: Calculation
    right: SpendRight
    request: RedeemRequest
    redeemed_today: int = 0

    def left(self) -> dict[str, int]:
        """Return what is left to pay on each line before points."""
        return {one.line_id: one.gross_minor - one.discount_minor for one in self.sold.lines}

    def worth(self, points: int) -> int:
        """Return what points are worth."""
        terms = self.bundle.programme
        return points * terms.point_value_minor // terms.point_value_points

    def rooms(self) -> dict[str, int]:
        """Return what points may pay of each line."""
        programme = self.bundle.programme
        terms = programme.redemption
        rooms = {}
        for one in self.sold.lines:
            product_of = self.bundle.catalogue.get(one.sku)
            left = one.gross_minor - one.discount_minor
            least = 0
            if terms.mode == "discount":
                per_unit = product_of.floor_minor_per_unit if product_of else 0
                regulated = whole_up(per_unit * one.quantity, PIECE)
                least = max(regulated, terms.line_left_minor_min)
            room = max(0, min(left - least, left * terms.line_share_max_ppm // MILLION))
            rooms[one.line_id] = 0 if product_of and "redeem" in product_of.barred else room
        return rooms

    def money_max(self) -> int:
        """Return what points may pay of the whole receipt."""
        terms = self.bundle.programme.redemption
        left = sum(self.left().values())
        return min(
            sum(self.rooms().values()),
            left * terms.receipt_share_max_ppm // MILLION,
            max(0, left - terms.left_to_pay_minor_min),
        )

    def wanted(self) -> int:
        """Return how many points are asked for at most, whatever the lines allow."""
        most = self.right.points
        if not self.request.as_many_as_possible:
            most = min(most, self.request.points)
        per_day = self.bundle.programme.redemption.points_per_day_max
        if per_day:
            most = min(most, max(0, per_day - self.redeemed_today))
        # Of all that fits the caps, no point that buys nothing.
        while most and self.worth(most) > self.money_max():
            most -= 1
        return self.fewest(most) if most == self.allowed() else most

    def allowed(self) -> int:
        """Return the most points that the caps allow, whatever the request and the lots."""
        terms = self.bundle.programme
        points = self.money_max() * terms.point_value_points // terms.point_value_minor
        while self.worth(points + 1) <= self.money_max():
            points += 1
        return points

    def fewest(self, points: int) -> int:
        """Return the fewest points that are worth as much."""
        return next(fewer for fewer in range(points + 1) if self.worth(fewer) == self.worth(points))


def reaches(till: Till, lot: LotPart) -> frozenset[str]:
    """Return the lines a lot may pay for, those without room left out."""
    group = till.bundle.groups.get(lot.restriction, ())
    sku_of = {one.line_id: one.sku for one in till.sold.lines}
    return frozenset(
        line_id
        for line_id, room in till.rooms().items()
        if room and (not lot.restriction or sku_of[line_id] in group)
    )


def most_special_first(till: Till) -> list[LotPart]:
    """Return all lots as they are to be spent; what has no lot comes last."""
    lots = sorted(
        till.right.lots,
        key=lambda lot: (
            not lot.restriction,
            len(reaches(till, lot)) if lot.restriction else 0,
            lot.expires_on or NEVER,
            lot.lot_id,
        ),
    )
    without = till.right.points - sum(lot.points for lot in lots)
    return [*lots, LotPart(lot_id=UNLOTTED, points=without)] if without else lots


def best_spending(till: Till) -> Mapping[int, int]:
    """Return the points each lot gives: as many as possible, the most special lots first."""
    lots = most_special_first(till)
    feasible = _Feasible(till, lots)
    best: tuple[int, tuple[int, ...]] = (0, ())
    wanted = till.wanted()
    most = [min(lot.points, wanted) if reaches(till, lot) else 0 for lot in lots]
    for points in product(*[range(points + 1) for points in most]):
        if (sum(points), points) > best and feasible.allows(points):
            best = (sum(points), points)
    total, points = best
    given = list(points)
    idle = total - till.fewest(total)
    for at in reversed(range(len(given))):
        # What buys nothing is given back, the most general points first.
        step = min(idle, given[at])
        given[at] -= step
        idle -= step
    if sum(given) < till.bundle.programme.redemption.points_min:
        return {}
    return {lot.lot_id: n for lot, n in zip(lots, given, strict=False) if n}


class _Feasible:
    """Whether the lots may give so many points each."""

    def __init__(self, till: Till, lots: Sequence[LotPart]) -> None:
        self.till = till
        self.restrictions = sorted({lot.restriction for lot in lots})
        self.of_lot = [self.restrictions.index(lot.restriction) for lot in lots]
        reach = [
            next(reaches(till, lot) for lot in lots if lot.restriction == name)
            for name in self.restrictions
        ]
        rooms = till.rooms()
        self.space = {
            chosen: sum(
                rooms[line_id] for line_id in frozenset[str]().union(*[reach[i] for i in chosen])
            )
            for chosen in _parts(range(len(reach)))
        }
        self.money_max = till.money_max()
        self.wanted = till.wanted()

    def allows(self, points: Sequence[int]) -> bool:
        """Say whether the points can be spent together."""
        if sum(points) > self.wanted:
            return False
        by_restriction = [0] * len(self.restrictions)
        for at, n in zip(self.of_lot, points, strict=True):
            by_restriction[at] += n
        worth = self.till.worth
        return worth(sum(points)) <= self.money_max and all(
            worth(sum(by_restriction[i] for i in chosen)) <= space
            for chosen, space in self.space.items()
        )


def _parts(of: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(of, size) for size in range(1, len(of) + 1))
