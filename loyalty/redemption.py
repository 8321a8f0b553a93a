"""How many points pay for this receipt, on which lines, out of which lots (design: receipt 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from loyalty.account import LotPart, RedeemRequest, SpendRight
from loyalty.bundle import Programme
from loyalty.calculation import RedeemedPart
from loyalty.limits import PPM
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
) -> Redemption:
    """Decide a redemption within the caps and the spend right.

    Args:
        left_minor: what is left to pay on each line after discounts.
        right: points somebody has set aside; never a balance.

    Returns:
        The points really used; `points_max` is what the caps allow whatever the right.
    """
    rooms = _rooms(lines, left_minor, programme)
    terms = programme.redemption
    left = sum(left_minor)
    cap_minor = min(
        sum(rooms),
        left * terms.receipt_share_max_ppm // PPM,
        max(0, left - terms.left_to_pay_minor_min),
    )
    points_max = points_worth(cap_minor, programme) if cap_minor else 0
    # Points that buy nothing are not taken: step down to the fewest points of the same value.
    points_max = _fewest_for(value_minor(points_max, programme), programme) if points_max else 0
    if points_max < terms.points_min:
        points_max = 0
    wanted = points_max if request.as_many_as_possible else min(request.points, points_max)
    points = min(wanted, right.points - sum(lot.points for lot in right.lots if lot.restriction))
    points = _fewest_for(value_minor(points, programme), programme) if points else 0
    none = [0] * len(lines)
    if points < terms.points_min:
        return Redemption(0, 0, none, none, (), points_max)
    minor = value_minor(points, programme)
    minor_by_line = split(
        minor, [min(room, left) for room, left in zip(rooms, left_minor, strict=True)], rooms
    )
    points_by_line = split(points, minor_by_line)
    return Redemption(
        points,
        minor,
        points_by_line,
        minor_by_line,
        _parts(lines, points_by_line, right),
        points_max,
    )


def _fewest_for(minor: int, programme: Programme) -> int:
    return -(-minor * programme.point_value_points // programme.point_value_minor)


def _rooms(lines: Sequence[Line], left_minor: Sequence[int], programme: Programme) -> list[int]:
    terms = programme.redemption
    rooms = []
    for line, left in zip(lines, left_minor, strict=True):
        if "redeem" in line.product.barred:
            rooms.append(0)
            continue
        least = max(line.floor_minor, terms.line_left_minor_min)
        rooms.append(max(0, min(left - least, left * terms.line_share_max_ppm // PPM)))
    return rooms


def spending_order(lots: Sequence[LotPart]) -> list[LotPart]:
    """Return lots as they are spent: restricted before general, sooner ending first, then by id."""
    return sorted(lots, key=lambda lot: (not lot.restriction, lot.expires_on or "9999", lot.lot_id))


def _parts(
    lines: Sequence[Line], points_by_line: Sequence[int], right: SpendRight
) -> tuple[RedeemedPart, ...]:
    # General lots only: restricted ones come with the engine's transport problem.
    lots = [(lot.lot_id, lot.points) for lot in spending_order(right.lots) if not lot.restriction]
    unlotted = right.points - sum(lot.points for lot in right.lots)
    if unlotted > 0:
        lots.append((0, unlotted))
    parts: list[RedeemedPart] = []
    lot_at, lot_left = 0, lots[0][1] if lots else 0
    for line, line_points in zip(lines, points_by_line, strict=True):
        points = line_points
        while points:
            taken = min(points, lot_left)
            if taken:
                parts.append(
                    RedeemedPart(line_id=line.source.line_id, lot_id=lots[lot_at][0], points=taken)
                )
                points -= taken
                lot_left -= taken
            if not lot_left and points:
                lot_at += 1
                lot_left = lots[lot_at][1]
    return tuple(parts)
