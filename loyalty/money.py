"""Money, points and quantities are integers; here are the rounding and the splitting rule."""

from collections.abc import Sequence
from operator import le
from typing import Final

from loyalty.errors import AmountError

ROUNDING_RULE: Final = "half-up/largest-remainder/1"
"""Name and version of the rule; it stands in every calculation (design: receipt 1)."""


def round_half_up(numerator: int, denominator: int) -> int:
    """Return numerator/denominator to the nearest integer, halves up.

    Args:
        numerator: zero or positive.
        denominator: positive.

    Raises:
        AmountError: the numerator is negative or the denominator is not positive.
    """
    if numerator < 0 or denominator <= 0:
        raise AmountError(f"cannot round {numerator}/{denominator}")
    return (2 * numerator + denominator) // (2 * denominator)


def split(total: int, weights: Sequence[int], ceilings: Sequence[int] | None = None) -> list[int]:
    """Split `total` over the weights by largest remainder; ties go to the earlier place.

    A share above its ceiling is cut there and the rest moves to the other places, again by weight.

    Args:
        total: zero or positive.
        weights: zero or positive, one a place.
        ceilings: the most each place may take; none means no ceiling.

    Returns:
        One share a place; their sum is `total`.

    Raises:
        AmountError: the places with a weight cannot take `total`.
    """
    if len(weights) == 1 and weights[0] > 0 <= total and (ceilings is None or total <= ceilings[0]):
        return [total]
    if ceilings is None:
        if total > 0 < sum(weights):
            return _largest_remainder(total, weights)
        ceilings = [total] * len(weights)
    room = [c if w > 0 else 0 for w, c in zip(weights, ceilings, strict=True)]
    if total < 0 or sum(room) < total:
        raise AmountError(f"cannot split {total}: the places take at most {sum(room)}")
    shares = [0] * len(weights)
    rest = total
    while rest:
        places = [i for i, r in enumerate(room) if r]
        wanted = _largest_remainder(rest, [weights[i] for i in places])
        most = [room[i] for i in places]
        all_fit = all(map(le, wanted, most))
        for i, share, limit in zip(places, wanted, most, strict=True):
            # A full place is settled first; what it refuses is shared among the others.
            if all_fit or share >= limit:
                taken = min(share, limit)
                shares[i] += taken
                room[i] -= taken
                rest -= taken
    return shares


def _largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    if total == whole:
        return list(weights)
    shares = [total * w // whole for w in weights]
    missing = total - sum(shares)
    if not missing:
        return shares
    # Sorting is stable: of equal remainders the earlier place comes first.
    remainders = [total * w % whole for w in weights]
    for i in sorted(range(len(shares)), key=remainders.__getitem__, reverse=True)[:missing]:
        shares[i] += 1
    return shares
