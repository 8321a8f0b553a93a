"""The judge's own rounding and splitting; nothing here comes from the engine."""

from collections.abc import Sequence

MILLION = 1_000_000


def halves_up(above: int, below: int) -> int:
    """Return above/below to the nearest integer, halves up."""
    whole, rest = divmod(above, below)
    return whole + (2 * rest >= below)


def whole_up(above: int, below: int) -> int:
    """Return above/below, anything over a whole rounded up."""
    whole, rest = divmod(above, below)
    return whole + (rest > 0)


def share_out(total: int, weights: Sequence[int], rooms: Sequence[int] | None = None) -> list[int]:
    """Split by largest remainder; full places leave, the others share what is left.

    Args:
        total: at most what the places with a weight have room for.
        weights: one a place; exact, they may be far larger than the total.
        rooms: the most of each place; none = no limit.
    """
    given = [0] * len(weights)
    open_to = {i: total if rooms is None else rooms[i] for i, w in enumerate(weights) if w > 0}
    asking = [i for i, room in open_to.items() if room > 0]
    while total > 0:
        whole = sum(weights[i] for i in asking)
        part: dict[int, int] = {}
        rest: dict[int, int] = {}
        for i in asking:
            part[i], rest[i] = divmod(total * weights[i], whole)
        for i in sorted(asking, key=lambda i: (-rest[i], i))[: total - sum(part.values())]:
            part[i] += 1
        too_much = any(part[i] > open_to[i] for i in asking)
        settled = [i for i in asking if not too_much or part[i] >= open_to[i]]
        for i in settled:
            step = min(part[i], open_to[i])
            given[i] += step
            open_to[i] -= step
            total -= step
        asking = [i for i in asking if i not in settled]
    return given
