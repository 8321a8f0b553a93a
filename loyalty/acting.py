"""What one offer takes off each line, within what stands in its way (receipt 3, 4)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import le

from loyalty.compilation import CLAIMING
from loyalty.drawing import most_allowed
from loyalty.limits import PPM, UNIT_THOUSANDTHS
from loyalty.money import round_half_up, split
from loyalty.offers import NForM, Steps
from loyalty.rewards import Wish, formed, step_reached, step_wish, wishes
from loyalty.scene import Candidate, Held, State


def act(
    candidate: Candidate, state: State, held: Held | None = None, most_minor: int = -1
) -> dict[int, int]:
    """Let an offer act on the state.

    Args:
        held: the units a multi-buy holds; None = all.
        most_minor: what the receipt still allows; below 0 = no maximum.

    Returns:
        What it takes off, by line index; only what is above zero.
    """
    offs = takes(candidate, state, held, most_minor)
    state.take(candidate, offs)
    return offs


def takes(
    candidate: Candidate, state: State, held: Held | None = None, most_minor: int = -1
) -> dict[int, int]:
    """Return what the offer would take off, by line index; the state stays as it is."""
    if candidate.counted and not _has_what_it_counts(candidate, state):
        return {}
    if candidate.members:
        return _best_per_line(candidate.members, state, most_minor)
    if candidate.draws:
        allowed = most_allowed(candidate.draws, state.drawn, "minor")
        if not allowed:
            return {}
        if allowed > 0 and (most_minor < 0 or allowed < most_minor):
            most_minor = allowed
    if most_minor < 0 and candidate.compiled.plain_rate_ppm and len(candidate.lines) == 1:
        return _rate_on_one_line(candidate, state)
    wish = wishes(candidate, state, held)
    return _cut(candidate, wish, state, most_minor) if wish.total else {}


def _rate_on_one_line(candidate: Candidate, state: State) -> dict[int, int]:
    """Return what a mere rate takes off the offer's only line: most offers on most receipts."""
    compiled, line = candidate.compiled, candidate.lines[0]
    left = state.left[line]
    price = state.scene.gross[line] if compiled.on_initial else left
    off = round_half_up(price * compiled.plain_rate_ppm, PPM)
    off = min(off, left - state.scene.floor_minor[line])
    return {line: off} if off else {}


def _has_what_it_counts(candidate: Candidate, state: State) -> bool:
    left = state.left
    return all(sum(left[at] for at in lines) >= amount for lines, amount in candidate.counted)


def most_taken(candidate: Candidate, state: State, held: Held | None = None) -> int:
    """Return a bound: on no lower prices and with no fewer units the offer takes off more.

    Floors are left out of it: a set they make worthless gives way to another.
    """
    if not _has_what_it_counts(candidate, state):
        return 0
    if candidate.members:
        return sum(_best_per_line(candidate.members, state, -1).values())
    gives, limit = candidate.compiled.offer.gives, candidate.compiled.offer.limits
    if isinstance(gives, CLAIMING):
        if isinstance(gives, NForM) and gives.free == "cheapest_of_all":
            gives = replace(gives, free="cheapest_of_set")
        # Of fewer units other ones may be the cheapest, and stay within the limits.
        most = formed(candidate, state, held, gives).off_minor
    elif isinstance(gives, Steps):
        _, reached = step_reached(candidate, gives, state)
        tried = [step_wish(candidate, step, state).total for step in gives.steps[:reached]]
        most = max(tried, default=0)
    else:
        most = wishes(candidate, state, held).total
    if candidate.draws:
        allowed = most_allowed(candidate.draws, state.drawn, "minor")
        most = most if allowed < 0 else min(most, allowed)
    return min(most, limit.discount_minor_max) if limit.discount_minor_max else most


# What stands in the way


def is_at_floor(candidate: Candidate, state: State, held: Held | None) -> bool:
    """Say whether floors refuse all the offer would take off."""
    wish = wishes(candidate, state, held)
    return bool(wish.total) and not _cut(candidate, wish, state, -1)


def _rooms(candidate: Candidate, lines: Iterable[int], state: State) -> dict[int, int]:
    """Return what may still be taken off each of the lines."""
    scene, left, floor = state.scene, state.left, state.scene.floor_minor
    own = candidate.compiled.offer.limits.unit_price_minor_min
    if not own:
        return {line: left[line] - floor[line] for line in lines}
    rooms = {}
    for line in lines:
        least = -(-own * scene.lines[line].source.quantity // UNIT_THOUSANDTHS)
        rooms[line] = max(0, left[line] - max(least, floor[line]))
    return rooms


def _cut(candidate: Candidate, wish: Wish, state: State, most_minor: int) -> dict[int, int]:
    """Return what is left of a wish; a line never stands below its floor before."""
    by_line, total = wish.by_line, wish.total
    if candidate.compiled.limited:
        limit = candidate.compiled.offer.limits.discount_minor_max
        if limit and (most_minor < 0 or limit < most_minor):
            most_minor = limit
    elif most_minor < 0 and _fits(by_line, state):
        return _without_zeros(by_line)  # most offers on most receipts: nothing stands in the way
    if 0 <= most_minor < total:
        total = most_minor
    rooms = _rooms(candidate, by_line, state)
    if total == wish.total and all(map(le, by_line.values(), rooms.values())):
        return _without_zeros(by_line)
    if not wish.moves:
        cut = {line: min(off, rooms[line]) for line, off in by_line.items()}
        return _split_over(min(total, sum(cut.values())), cut, cut)
    offs = _split_over(total, by_line, rooms)
    if wish.others and (refused := total - sum(offs.values())):
        offs |= _split_over(refused, wish.others, _rooms(candidate, wish.others, state))
    return offs


def _fits(by_line: Mapping[int, int], state: State) -> bool:
    left, floor = state.left, state.scene.floor_minor
    return all(off <= left[line] - floor[line] for line, off in by_line.items())


def _without_zeros(by_line: dict[int, int]) -> dict[int, int]:
    if 0 in by_line.values():
        return {line: off for line, off in by_line.items() if off}
    return by_line


def _split_over(total: int, weights: Mapping[int, int], rooms: Mapping[int, int]) -> dict[int, int]:
    """Split over the lines with a weight what they have room for."""
    able = [rooms[line] if weight else 0 for line, weight in weights.items()]
    total = min(total, sum(able))
    if not total:
        return {}
    shares = split(total, list(weights.values()), able)
    return {line: off for line, off in zip(weights, shares, strict=True) if off}


def _best_per_line(members: Sequence[Candidate], state: State, most_minor: int) -> dict[int, int]:
    best: dict[int, int] = {}
    for member in members:
        for line, off in member_takes(member, state).items():
            best[line] = max(best.get(line, 0), off)
    if 0 <= most_minor < sum(best.values()):
        shares = split(most_minor, list(best.values()))
        best = dict(zip(best, shares, strict=True))
    return {line: best[line] for line in sorted(best) if best[line]}


def member_takes(member: Candidate, state: State) -> dict[int, int]:
    """Return what a member of a group that is best per line takes off, each line by itself."""
    found: dict[int, int] = {}
    if not _has_what_it_counts(member, state):
        return found
    for line in member.lines:
        alone = Candidate(member.compiled, (line,), counter=member.counter, codes=member.codes)
        found.update(_cut(alone, wishes(alone, state, None), state, -1))
    return found
