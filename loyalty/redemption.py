"""How many points pay for this receipt, on which lines, out of which lots (design: receipt 5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from loyalty import counters
from loyalty.account import AccountSnapshot, LotPart, RedeemRequest, SpendRight
from loyalty.basket import Moment
from loyalty.bundle import Programme
from loyalty.calculation import RedeemedPart
from loyalty.limits import PPM, PURSES_WEIGHED_MAX
from loyalty.matching import Line
from loyalty.money import split


@dataclass(frozen=True, slots=True)
class Redemption:
    """Points and money redeemed, by line index; empty lists when nothing is."""

    points: int
    minor: int
    points_by_line: list[int]
    minor_by_line: list[int]
    parts: tuple[RedeemedPart, ...]
    points_max: int


def value_minor(points: int, programme: Programme) -> int:
    """Return what points are worth, rounded down to whole minor units."""
    return points * programme.point_value_minor // programme.point_value_points


def points_worth(minor: int, programme: Programme) -> int:
    """Return the most points whose value is at most `minor`."""
    # Largest p with p * minor_per // points_per <= minor.
    return ((minor + 1) * programme.point_value_points - 1) // programme.point_value_minor


def redeem(
    lines: Sequence[Line],
    left_minor: Sequence[int],
    *,
    programme: Programme,
    request: RedeemRequest,
    right: SpendRight,
    redeemed_today: int = 0,
) -> Redemption:
    """Decide a redemption within the caps and the spend right.

    Args:
        left_minor: what is left to pay on each line after discounts.
        right: points somebody has set aside; never a balance.
        redeemed_today: points the account has redeemed on this local day, where a cap asks.

    Returns:
        The points really used; `points_max` is what the caps allow whatever the right.
    """
    none = [0] * len(lines)
    terms = programme.redemption
    left = sum(left_minor)
    cap_minor = min(
        left * terms.receipt_share_max_ppm // PPM, max(0, left - terms.left_to_pay_minor_min)
    )
    rooms = _rooms(lines, left_minor, programme) if cap_minor else none
    cap_minor = min(cap_minor, sum(rooms))
    points_max = points_worth(cap_minor, programme) if cap_minor else 0
    if terms.points_per_day_max:
        points_max = min(points_max, max(0, terms.points_per_day_max - redeemed_today))
    # Points that buy nothing are not taken: step down to the fewest points of the same value.
    points_max = _fewest_for(value_minor(points_max, programme), programme) if points_max else 0
    if points_max < terms.points_min:
        points_max = 0
    wanted = points_max if request.as_many_as_possible else min(request.points, points_max)
    wanted = min(wanted, right.points)
    if not wanted:
        return Redemption(0, 0, none, none, (), points_max)
    plan = _best_plan(lines, rooms, programme, right, wanted=wanted, cap_minor=cap_minor)
    if plan.points < terms.points_min:
        return Redemption(0, 0, none, none, (), points_max)
    return plan.result(points_max)


def redeemed_today(account: AccountSnapshot, moment: Moment) -> int:
    """Return the points the account has redeemed on this local day, as far as is known here."""
    return account.counters.get(counters.redeemed(moment.date), 0)


def spending_order(lots: Sequence[LotPart]) -> list[LotPart]:
    """Return lots as they are spent: restricted before general, sooner ending first, then by id."""
    return sorted(lots, key=lambda lot: (not lot.restriction, lot.expires_on or "9999", lot.lot_id))


def _fewest_for(minor: int, programme: Programme) -> int:
    return -(-minor * programme.point_value_points // programme.point_value_minor)


def _rooms(lines: Sequence[Line], left_minor: Sequence[int], programme: Programme) -> list[int]:
    terms = programme.redemption
    rooms = []
    for line, left in zip(lines, left_minor, strict=True):
        if "redeem" in line.view.product.barred:
            rooms.append(0)
            continue
        # A payment does not lower a price: floors and fiscal minimums hold for discounts.
        lowers = terms.mode == "discount"
        least = max(line.floor_minor, terms.line_left_minor_min) if lowers else 0
        rooms.append(max(0, min(left - least, left * terms.line_share_max_ppm // PPM)))
    return rooms


# Lots, most special first


@dataclass(slots=True)
class _Purse:
    """Lots that may pay for the same lines.

    Attributes:
        reach: indexes of the lines they may pay for.
        lots: (lot id, points) as they are spent; lot 0 = covered by the risk budget.
    """

    reach: tuple[int, ...]
    lots: list[tuple[int, int]]

    @property
    def points(self) -> int:
        """What is in it."""
        return sum(points for _, points in self.lots)


def _purses(right: SpendRight, lines: Sequence[Line], rooms: Sequence[int]) -> list[_Purse]:
    """Return what may be spent, the most special first: what reaches fewest lines (receipt 5)."""
    payable = [i for i, room in enumerate(rooms) if room]
    reaches = {"": tuple(payable)}
    for lot in right.lots:
        if lot.restriction not in reaches:
            reaches[lot.restriction] = tuple(
                i for i in payable if lot.restriction in lines[i].view.groups
            )
    in_order = sorted(
        spending_order(right.lots),
        key=lambda lot: (not lot.restriction, len(reaches[lot.restriction])),
    )
    purses: list[_Purse] = []
    last = None
    for lot in in_order:
        if lot.restriction != last:
            purses.append(_Purse(reaches[lot.restriction], []))
            last = lot.restriction
        purses[-1].lots.append((lot.lot_id, lot.points))
    unlotted = right.points - sum(lot.points for lot in right.lots)
    if unlotted > 0:
        if last != "":
            purses.append(_Purse(reaches[""], []))
        purses[-1].lots.append((0, unlotted))
    return [purse for purse in purses if purse.reach]


def _best_plan(
    lines: Sequence[Line],
    rooms: list[int],
    programme: Programme,
    right: SpendRight,
    *,
    wanted: int,
    cap_minor: int,
) -> "_Plan":
    """Return the plan that redeems most, and of these the one that spends the most special lots.

    Purses that pay as much as they can, one after the other, redeem most in money. In points they
    may fall short where a point is worth more than the room of a line it has to share: then each
    of the other purses wastes less than a point, and leaving out fewer points than there are
    purses, at the right places, is enough to use what they waste.
    """
    purses = _purses(right, lines, rooms)

    def planned(less: Sequence[int]) -> _Plan:
        plan = _Plan(lines, rooms, programme, wanted=wanted, cap_minor=cap_minor)
        for purse, points in zip(purses, less, strict=True):
            plan.spend(purse, points)
        plan.drop_idle_points()
        return plan

    best = planned([0] * len(purses))
    if best.points >= wanted or not best.wasted or len(purses) > PURSES_WEIGHED_MAX:
        return best
    for less in product(range(len(purses)), repeat=len(purses)):
        if 0 < sum(less) < len(purses):
            other = planned(less)
            if other.points > best.points:
                best = other
    return best


@dataclass(slots=True)
class _Plan:
    """Who pays how much for which line.

    Purses come one after the other and each pays as much as it can. Where earlier purses have
    filled its lines they move to others they reach as well: so all that can be redeemed is
    redeemed, and out of the most special lots that allow it (a transport problem, solved exactly
    by augmenting paths).
    """

    lines: Sequence[Line]
    rooms: list[int]
    programme: Programme
    wanted: int
    cap_minor: int
    points: int = 0
    wasted: bool = False
    used: dict[int, int] = field(default_factory=dict)
    paid: list[tuple[_Purse, int, dict[int, int]]] = field(default_factory=list)

    def spend(self, purse: _Purse, less: int = 0) -> None:
        """Let a purse pay as much as it may, but for `less` points."""
        points = min(purse.points, self.wanted - self.points) - less
        # Rounded over all purses together, so that no purse loses a part of a minor unit.
        before = value_minor(self.points, self.programme)
        minor = value_minor(self.points + points, self.programme) - before
        minor = min(minor, self.cap_minor - before)
        if points <= 0 or minor < 0:
            return
        by_line: dict[int, int] = {}
        self.paid.append((purse, 0, by_line))
        free = {line: self._free(line) for line in purse.reach}
        direct = min(minor, sum(free.values()))
        shares = split(direct, list(free.values()), list(free.values()))
        for line, share in zip(free, shares, strict=True):
            if share:
                by_line[line] = share
                self.used[line] = self.used.get(line, 0) + share
        moved = direct
        while moved < minor and (step := self._augment(len(self.paid) - 1, minor - moved)):
            moved += step
        most = points_worth(before + moved, self.programme) - self.points
        self.wasted = self.wasted or most < points
        points = min(points, most)
        gained = value_minor(self.points + points, self.programme) - before
        self._take_back(by_line, moved - gained)
        self.paid[-1] = (purse, points, by_line)
        self.points += points

    def drop_idle_points(self) -> None:
        """Give back points that buy nothing, the most general ones first."""
        fewest = _fewest_for(value_minor(self.points, self.programme), self.programme)
        idle = self.points - fewest
        self.points = fewest
        for at in reversed(range(len(self.paid))):
            purse, points, by_line = self.paid[at]
            step = min(idle, points)
            self.paid[at] = (purse, points - step, by_line)
            idle -= step

    def _free(self, line: int) -> int:
        return self.rooms[line] - self.used.get(line, 0)

    def _augment(self, at: int, most: int) -> int:
        """Make room for purse `at` on lines it reaches by moving others; return how much."""
        # From a purse to a line it reaches, from a line to a purse that pays for some of it.
        came: dict[int, tuple[int, int] | None] = {at: None}
        queue = [at]
        for purse_at in queue:
            for line in self.paid[purse_at][0].reach:
                if free := self._free(line):
                    return self._move(came, purse_at, line, min(most, free))
                for other, (_, _, by_line) in enumerate(self.paid):
                    if other not in came and by_line.get(line):
                        came[other] = (purse_at, line)
                        queue.append(other)
        return 0

    def _move(
        self, came: dict[int, tuple[int, int] | None], purse_at: int, line: int, most: int
    ) -> int:
        steps: list[tuple[int, int, int]] = []  # (purse, line it leaves, line it takes)
        at, takes = purse_at, line
        while (step := came[at]) is not None:
            source, leaves = step
            most = min(most, self.paid[at][2][leaves])
            steps.append((at, leaves, takes))
            at, takes = source, leaves
        first = self.paid[at][2]
        for mover, leaves, taken in steps:
            by_line = self.paid[mover][2]
            by_line[leaves] -= most
            by_line[taken] = by_line.get(taken, 0) + most
        first[takes] = first.get(takes, 0) + most
        self.used[line] = self.used.get(line, 0) + most
        return most

    def _take_back(self, by_line: dict[int, int], minor: int) -> None:
        for line in reversed(list(by_line)):
            step = min(minor, by_line[line])
            by_line[line] -= step
            self.used[line] -= step
            minor -= step

    def result(self, points_max: int) -> Redemption:
        """Return the points and the money of each line, and the lots they come from."""
        minor_by_line = [0] * len(self.lines)
        points_by_line = [0] * len(self.lines)
        parts: list[RedeemedPart] = []
        for purse, points, by_line in self.paid:
            in_order = sorted(line for line, minor in by_line.items() if minor)
            weights = [by_line[line] for line in in_order]
            if not in_order and points:
                # Their value stands in what another purse pays: parts of a minor unit add up.
                in_order, weights = [purse.reach[0]], [1]
            shares = split(points, weights)
            for line, share in zip(in_order, shares, strict=True):
                minor_by_line[line] += by_line.get(line, 0)
                points_by_line[line] += share
            parts += _parts(self.lines, in_order, shares, purse.lots)
        return Redemption(
            self.points,
            sum(minor_by_line),
            points_by_line,
            minor_by_line,
            tuple(parts),
            points_max,
        )


def _parts(
    lines: Sequence[Line],
    in_order: Sequence[int],
    points_by_line: Sequence[int],
    lots: Sequence[tuple[int, int]],
) -> list[RedeemedPart]:
    """Take the lots of a purse one after the other, line by line."""
    parts: list[RedeemedPart] = []
    waiting = iter(lots)
    lot_id, lot_left = next(waiting)
    for line, line_points in zip(in_order, points_by_line, strict=True):
        points = line_points
        while points:
            if not lot_left:
                lot_id, lot_left = next(waiting)
            taken = min(points, lot_left)
            parts.append(
                RedeemedPart(line_id=lines[line].source.line_id, lot_id=lot_id, points=taken)
            )
            points -= taken
            lot_left -= taken
    return parts
