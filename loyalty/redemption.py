"""How many points pay for this receipt, on which lines, out of which lots (design: receipt 5)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loyalty import counters
from loyalty.account import AccountSnapshot, LotPart, RedeemRequest, SpendRight
from loyalty.basket import Moment
from loyalty.bundle import Programme
from loyalty.calculation import RedeemedPart
from loyalty.limits import PPM, SPENDING_WORK_MAX
from loyalty.matching import Line
from loyalty.money import split
from loyalty.spending import Flow, Purse, spend


@dataclass(frozen=True, slots=True)
class Redemption:
    """Points and money redeemed, by line index.

    Attributes:
        points_max: what the caps allow whatever the right.
        proven: no other way to spend the lots redeems more points, or as many and more of the
            special ones.
    """

    points: int
    minor: int
    points_by_line: list[int]
    minor_by_line: list[int]
    parts: tuple[RedeemedPart, ...]
    points_max: int
    proven: bool = True


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
    found = _spend(lines, rooms, programme, right, wanted=wanted, points_max=points_max)
    if found.points < terms.points_min:
        return Redemption(0, 0, none, none, (), points_max, found.proven)
    return found


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
class _Kinds:
    """Lots by what they may pay for, and lines by what may pay for them.

    Attributes:
        classes: indexes of the lines of each class; only lines that points may pay for.
        room_minor: what points may pay of each class.
        of: kind of each restriction.
        reach: by kind, its classes as bits.
    """

    classes: list[list[int]]
    room_minor: list[int]
    of: dict[str, int]
    reach: list[int]


def _kinds(right: SpendRight, lines: Sequence[Line], rooms: Sequence[int]) -> _Kinds:
    restrictions = {lot.restriction for lot in right.lots} - {""}
    by_groups: dict[tuple[str, ...], list[int]] = {}
    for at, room in enumerate(rooms):
        if room:
            groups = lines[at].view.groups
            admitted = tuple(g for g in groups if g in restrictions) if restrictions else ()
            by_groups.setdefault(admitted, []).append(at)
    reach_of = dict.fromkeys(restrictions, 0) | {"": (1 << len(by_groups)) - 1}
    for number, groups in enumerate(by_groups):
        for group in groups:
            reach_of[group] |= 1 << number
    reach = sorted(set(reach_of.values()) - {0})
    return _Kinds(
        list(by_groups.values()),
        [sum(rooms[at] for at in of_class) for of_class in by_groups.values()],
        {name: reach.index(mask) for name, mask in reach_of.items() if mask},
        reach,
    )


def _lots_in_order(right: SpendRight, kinds: _Kinds) -> list[tuple[int, int, int]]:
    """Return (kind, lot id, points), the most special first: what reaches fewest lines."""
    lines_of = {
        kind: sum(len(of_class) for at, of_class in enumerate(kinds.classes) if mask >> at & 1)
        for kind, mask in enumerate(kinds.reach)
    }
    lots = [
        (kinds.of[lot.restriction], lot.lot_id, lot.points, not lot.restriction)
        for lot in spending_order(right.lots)
        if lot.restriction in kinds.of
    ]
    lots.sort(key=lambda lot: (lot[3], lines_of[lot[0]]))
    unlotted = right.points - sum(lot.points for lot in right.lots)
    found = [(kind, lot_id, points) for kind, lot_id, points, _ in lots]
    return [*found, (kinds.of[""], 0, unlotted)] if unlotted > 0 else found


# How much each lot pays, and where


def _spend(
    lines: Sequence[Line],
    rooms: Sequence[int],
    programme: Programme,
    right: SpendRight,
    *,
    wanted: int,
    points_max: int,
) -> Redemption:
    """Let lots pay: as much as they can, the most special first, spread over their lines."""
    kinds = _kinds(right, lines, rooms)
    lots = _lots_in_order(right, kinds)
    purses: list[Purse] = []
    for kind, _, held in lots:
        if purses and purses[-1].kind == kind:
            purses[-1] = Purse(kind, purses[-1].points + held)
        else:
            purses.append(Purse(kind, held))
    # Parts of a minor unit add up over all lots: together they may lack less than one.
    parts, worth = programme.point_value_points, programme.point_value_minor
    whole = 1 << len(kinds.classes)
    flow = Flow(
        [mask | whole for mask in kinds.reach],
        [*(room * parts for room in kinds.room_minor), parts - 1],
    )
    found = spend(purses, flow, wanted=wanted, worth=worth, work_max=SPENDING_WORK_MAX)
    by_kind: dict[int, int] = {}
    for purse, given in zip(purses, _without_idle(found.points, programme), strict=True):
        if given:
            by_kind[purse.kind] = by_kind.get(purse.kind, 0) + given
    minor = _paid(kinds, rooms, by_kind, programme)
    points = {kind: _points_of(minor[kind], given, kinds, kind) for kind, given in by_kind.items()}
    return Redemption(
        sum(by_kind.values()),
        sum(sum(by_line.values()) for by_line in minor.values()),
        _by_line(points.values(), len(lines)),
        _by_line(minor.values(), len(lines)),
        _parts(lines, points, lots),
        points_max,
        found.proven,
    )


def _without_idle(points: Sequence[int], programme: Programme) -> list[int]:
    """Give back points that buy nothing, the most general ones first."""
    given = list(points)
    idle = sum(given) - _fewest_for(value_minor(sum(given), programme), programme)
    for at in reversed(range(len(given))):
        step = min(idle, given[at])
        given[at] -= step
        idle -= step
    return given


def _paid(
    kinds: _Kinds, rooms: Sequence[int], points: Mapping[int, int], programme: Programme
) -> dict[int, dict[int, int]]:
    """Return by kind and line index what its points pay, in whole minor units.

    Each kind pays what its points are worth, rounded down; the minor units that parts of all kinds
    make together are paid by the first kinds that have a part and room.
    """
    flow = Flow(kinds.reach, kinds.room_minor[:])
    for kind, given in points.items():
        flow.push(kind, value_minor(given, programme))
    missing = value_minor(sum(points.values()), programme) - sum(
        sum(paid.values()) for paid in flow.paid
    )
    for kind, given in points.items():
        if missing and given * programme.point_value_minor % programme.point_value_points:
            missing -= flow.push(kind, 1)
    left = list(rooms)
    minor: dict[int, dict[int, int]] = {kind: {} for kind in points}
    for kind, by_line in minor.items():
        for number in sorted(flow.paid[kind]):
            of_class = kinds.classes[number]
            free = [left[at] for at in of_class]
            shares = split(flow.paid[kind][number], free, free)
            for at, share in zip(of_class, shares, strict=True):
                if share:
                    by_line[at] = share
                    left[at] -= share
    return minor


def _points_of(minor: Mapping[int, int], points: int, kinds: _Kinds, kind: int) -> dict[int, int]:
    """Return by line index where the points of a kind are booked: by what they pay there."""
    in_order = sorted(minor)
    if not in_order:
        # Their value stands in what others pay: parts of a minor unit add up.
        reached = [of for at, of in enumerate(kinds.classes) if kinds.reach[kind] >> at & 1]
        return {min(of_class[0] for of_class in reached): points}
    shares = split(points, [minor[at] for at in in_order])
    return dict(zip(in_order, shares, strict=True))


def _by_line(each: Iterable[Mapping[int, int]], lines: int) -> list[int]:
    total = [0] * lines
    for by_line in each:
        for at, amount in by_line.items():
            total[at] += amount
    return total


def _parts(
    lines: Sequence[Line],
    points: Mapping[int, Mapping[int, int]],
    lots: Sequence[tuple[int, int, int]],
) -> tuple[RedeemedPart, ...]:
    """Take the lots of each kind one after the other, line by line; in the order of the lots."""
    parts: list[tuple[int, int, int]] = []
    for kind, by_line in points.items():
        waiting = ((at, lot[2]) for at, lot in enumerate(lots) if lot[0] == kind)
        lot, lot_left = next(waiting)
        for line, wanted in by_line.items():
            missing = wanted
            while missing:
                if not lot_left:
                    lot, lot_left = next(waiting)
                taken = min(missing, lot_left)
                parts.append((lot, line, taken))
                missing -= taken
                lot_left -= taken
    return tuple(
        RedeemedPart(line_id=lines[line].source.line_id, lot_id=lots[lot][1], points=taken)
        for lot, line, taken in sorted(parts)
    )
