"""How a multi-buy forms its sets from the units it holds: a rule of the offer, not a choice.

Which units an offer holds where several want them is the choice of `combination` (receipt 4). Units
are written as classes `(unit price, line index, count)`, dearest first, ties to the earlier line.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from loyalty.limits import PPM, SETS_WALKED_MAX
from loyalty.money import round_half_up
from loyalty.offers import (
    AmountEach,
    BuyGet,
    ClaimingReward,
    EveryNth,
    NForM,
    Off,
    PartsSet,
    PercentOff,
)

Unit = tuple[int, int, int]
"""Units that are alike: the price of one, their line, how many."""
Units = Sequence[Unit]


@dataclass(slots=True)
class Formed:
    """The sets an offer forms.

    Attributes:
        off_minor: what all sets together take off.
        rewarded: what the cheaper units cost, by line index.
        claimed: what all units of the sets cost, by line index.
        pieces: units of the sets, by line index.
    """

    off_minor: int = 0
    sets: int = 0
    rewarded: dict[int, int] = field(default_factory=dict)
    claimed: dict[int, int] = field(default_factory=dict)
    pieces: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cap:
    """The offer's own limits; 0 = none."""

    sets: int = 0
    units: int = 0
    units_per_line: int = 0


def units_of(price_minor: int, pieces: int, line: int, skip: int, count: int) -> Units:
    """Return `count` of a line's units as classes, dearer first, without its first `skip`.

    Args:
        price_minor: what all `pieces` of the line cost together.
    """
    each, dearer = divmod(price_minor, pieces)
    above = min(max(dearer - skip, 0), count)
    classes = []
    if above:
        classes.append((each + 1, line, above))
    if count > above:
        classes.append((each, line, count - above))
    return classes


def form(gives: ClaimingReward, held: Sequence[Units], cap: Cap) -> Formed:
    """Form the sets that take most off.

    Args:
        held: the units of the offer's lines; for `set` those of each part, for `buy_get` with
            other lines those of its lines and those of the other lines. A unit may stand in more
            than one of them and serves once.
    """
    if isinstance(gives, PartsSet):
        return _parts(gives, held, cap)
    if isinstance(gives, BuyGet) and len(held) > 1:
        return _other_lines(gives, held[0], held[1], cap)
    return _one_kind(gives, held[0], cap)


def taken_off(off: Off, units: Iterable[tuple[int, int, int]]) -> int:
    """Return what is taken off these units together; a percentage is rounded once."""
    if isinstance(off, PercentOff):
        return round_half_up(sum(p * count for p, _, count in units) * off.rate_ppm, PPM)
    amount = off.amount_minor
    if isinstance(off, AmountEach):
        return sum(min(amount, p) * count for p, _, count in units)
    return sum((p - amount) * count for p, _, count in units if p > amount)


_FREE = PercentOff(rate_ppm=PPM)


def shape(gives: NForM | EveryNth | BuyGet) -> tuple[int, int, Off, bool]:
    """Return what sets of one kind of goods look like.

    Returns:
        Units of a set, how many are paid in full, what comes off the others, whether the last set
        may be short of them.
    """
    if isinstance(gives, NForM):
        return gives.units, gives.pay, _FREE, False
    if isinstance(gives, EveryNth):
        return gives.every, gives.every - 1, gives.off, False
    return gives.buy_units + gives.get_units, gives.buy_units, gives.off, gives.partial


def _one_kind(gives: NForM | EveryNth | BuyGet, held: Units, cap: Cap) -> Formed:
    """Sets of `n` units of one kind, the cheapest `n - paid` of each are cheaper."""
    n, paid, off, partial = shape(gives)
    have = sum(count for _, _, count in held)
    sets, rest = divmod(have, n)
    if partial and rest > paid:
        sets, end = sets + 1, have
    else:
        end = sets * n
    if cap.sets and sets > cap.sets:
        sets, end = cap.sets, cap.sets * n
    if not sets:
        return Formed()
    claimed = first(held, end)
    if isinstance(gives, NForM) and gives.free == "cheapest_of_all":
        claimed = first(held, have)
        rewarded = _last(claimed, sets * (n - paid))
    else:
        rewarded = _cheapest_of_each(claimed, n, paid)
    return _formed(off, sets, rewarded, claimed, cap)


def first(units: Units, count: int) -> Units:
    """Return so many units, from the beginning."""
    taken = []
    for price, line, n in units:
        if count <= 0:
            break
        taken.append((price, line, min(n, count)))
        count -= n
    return taken


def _last(units: Units, count: int) -> Units:
    return list(reversed(first(list(reversed(units)), count)))


def _cheapest_of_each(units: Units, n: int, paid: int) -> Units:
    """Return what stands at places `paid` to `n - 1` of each run of `n`."""
    found = []
    at = 0
    for price, line, count in units:
        end = at + count
        before = at // n * (n - paid) + max(0, at % n - paid)
        until = end // n * (n - paid) + max(0, end % n - paid)
        if until > before:
            found.append((price, line, until - before))
        at = end
    return found


def _formed(off: Off, sets: int, rewarded: Units, claimed: Units, cap: Cap) -> Formed:
    rewarded = _within(rewarded, cap)
    return Formed(taken_off(off, rewarded), sets, _cost(rewarded), _cost(claimed), _count(claimed))


def _within(rewarded: Units, cap: Cap) -> Units:
    if not (cap.units or cap.units_per_line):
        return rewarded
    left = cap.units or sum(count for _, _, count in rewarded)
    by_line: dict[int, int] = {}
    kept = []
    for price, line, count in rewarded:
        most = min(count, left)
        if cap.units_per_line:
            most = min(most, cap.units_per_line - by_line.get(line, 0))
        if most > 0:
            kept.append((price, line, most))
            by_line[line] = by_line.get(line, 0) + most
            left -= most
    return kept


def _cost(units: Units) -> dict[int, int]:
    by_line: dict[int, int] = {}
    for price, line, count in units:
        by_line[line] = by_line.get(line, 0) + price * count
    return by_line


def _count(units: Units) -> dict[int, int]:
    by_line: dict[int, int] = {}
    for _, line, count in units:
        by_line[line] = by_line.get(line, 0) + count
    return by_line


def _place_of(unit: Unit) -> tuple[int, int]:
    """Return where in the order of units, the dearest first, it stands."""
    return -unit[0], unit[1]


def _without(units: Units, given: Units) -> Units:
    gone = {(price, line): count for price, line, count in given}
    left = ((price, line, count - gone.get((price, line), 0)) for price, line, count in units)
    return [unit for unit in left if unit[2]]


def pieces(units: Units) -> int:
    """Return how many units there are."""
    return sum(count for _, _, count in units)


def _other_lines(gives: BuyGet, buy: Units, get: Units, cap: Cap) -> Formed:
    buys, gets = set(buy), set(get)
    shared = [unit for unit in get if unit in buys]
    buy_only = [unit for unit in buy if unit not in gets]
    shared.reverse()
    only, both, able = pieces(buy_only), pieces(shared), pieces(get)

    def chosen(sets: int) -> tuple[Units, Units] | None:
        """Return what so many sets make cheaper, and what is bought for it."""
        needed, most = gives.buy_units * sets, gives.get_units * sets
        given = max(0, needed - only)
        least = most - gives.get_units + 1 if gives.partial else most
        if given > both or able - given < least:
            return None
        bought, got = first(buy_only, needed), first(get, most)
        if given:
            # Of those that could be both the cheapest are bought.
            cheapest = first(shared, given)
            bought = [*bought, *cheapest]
            if _place_of(got[-1]) >= _place_of(cheapest[-1]):
                got = first(_without(get, cheapest), most)
        return got, bought

    def saved(sets: int) -> int | None:
        found = chosen(sets)
        return None if found is None else _off_ppm(gives.off, _within(found[0], cap))

    most = pieces(buy) // gives.buy_units
    if cap.sets:
        most = min(most, cap.sets)
    sets = _walked(most, saved) if cap.units_per_line else _fewest(best_sets(most, saved), saved)
    found = chosen(sets)
    if not sets or found is None:
        return Formed()
    rewarded, bought = found
    claimed = [*rewarded, *bought]
    return _formed(gives.off, sets, rewarded, claimed, cap)


def _off_ppm(off: Off, units: Units) -> int:
    """Return what is taken off these units together, in millionths: nothing is rounded."""
    if isinstance(off, PercentOff):
        return sum(price * count for price, _, count in units) * off.rate_ppm
    return taken_off(off, units) * PPM


def _walked(most: int, saved: Callable[[int], int | None]) -> int:
    """Return the best number of sets where one that adds nothing may precede one that does."""
    best = best_minor = 0
    for sets in range(1, min(most, SETS_WALKED_MAX) + 1):
        saved_ppm = saved(sets)
        if saved_ppm is None or round_half_up(saved_ppm, PPM) < best_minor:
            break
        if round_half_up(saved_ppm, PPM) > best_minor:
            best, best_minor = sets, round_half_up(saved_ppm, PPM)
    return best


def _parts(gives: PartsSet, held: Sequence[Units], cap: Cap) -> Formed:
    of_unit = parts_of(held)
    units = sorted(of_unit, key=lambda unit: (-unit[0], unit[1]))
    classes = [(unit[2], of_unit[unit]) for unit in units]
    sizes = [part.units for part in gives.parts]
    off = gives.off

    filled: dict[int, list[int] | None] = {}

    def saved(sets: int) -> int | None:
        if sets not in filled:
            filled[sets] = filling(classes, sizes, sets)
        taken = filled[sets]
        if taken is None:
            return None
        cost = sum(unit[0] * count for unit, count in zip(units, taken, strict=True))
        if isinstance(off, PercentOff):
            return cost * off.rate_ppm
        if isinstance(off, AmountEach):
            return min(cost, off.amount_minor * sets) * PPM
        return (cost - off.amount_minor * sets) * PPM

    most = pieces(units) // sum(sizes)
    sets = _fewest(best_sets(min(most, cap.sets) if cap.sets else most, saved), saved)
    taken = filled.get(sets)
    if not sets or taken is None:
        return Formed()
    claimed = [
        (price, line, count) for (price, line, _), count in zip(units, taken, strict=True) if count
    ]
    by_line = _cost(claimed)
    off_minor = round_half_up(saved(sets) or 0, PPM)
    return Formed(off_minor, sets, by_line, by_line, _count(claimed))


def parts_of(held: Sequence[Units]) -> dict[Unit, list[int]]:
    """Return which parts each class of units can fill."""
    found: dict[Unit, list[int]] = {}
    for part, units in enumerate(held):
        for unit in units:
            found.setdefault(unit, []).append(part)
    return found


def best_sets(most: int, saved: Callable[[int], int | None]) -> int:
    """Return how many sets save most, the fewest where several numbers save as much.

    Args:
        most: there are no more sets.
        saved: by so many sets, in millionths; None = the units do not suffice. It is concave: the
            first set that adds nothing is followed by none that does.
    """
    known: dict[int, int | None] = {0: 0}

    def at(sets: int) -> int | None:
        if sets not in known:
            known[sets] = saved(sets)
        return known[sets]

    def adds(sets: int) -> bool:
        now = at(sets)
        return now is not None and now > (at(sets - 1) or 0)

    low, step = 0, 1
    while low + step <= most and adds(low + step):
        low, step = low + step, 2 * step
    high = min(most, low + step - 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if adds(middle) else (low, middle - 1)
    return low


def _fewest(sets: int, saved: Callable[[int], int | None]) -> int:
    """Return the least number of sets that save as much when it is rounded."""

    def minor(number: int) -> int:
        return round_half_up(saved(number) or 0, PPM)

    if not sets or minor(sets - 1) < minor(sets):
        return sets
    return bisect_left(range(sets), minor(sets), key=minor)


def filling(
    classes: Sequence[tuple[int, Sequence[int]]], sizes: Sequence[int], sets: int
) -> list[int] | None:
    """Return how many units of each class fill all parts so many times best; None = too few.

    Units that can fill parts together form a matroid: taking them in order, moving others from
    part to part where that makes room, is exact.

    Args:
        classes: the best units first: how many there are, and the parts they can fill.
        sizes: units of each part in one set.
    """
    room = [size * sets for size in sizes]
    missing = sum(room)
    taken = [0] * len(classes)
    inside: list[dict[int, int]] = [{} for _ in sizes]
    closed: set[int] = set()
    for at, (count, parts) in enumerate(classes):
        left = count
        for part in parts:
            if free := room[part]:
                moved = min(left, free)
                room[part] = free - moved
                inside[part][at] = moved
                left -= moved
                if not left:
                    break
        while left and not closed.issuperset(parts):
            left -= _make_room(at, left, classes, room, inside, closed)
        if count != left:
            taken[at] = count - left
            missing -= count - left
            if not missing:
                return taken
    return None if missing else taken


def _make_room(
    at: int,
    count: int,
    classes: Sequence[tuple[int, Sequence[int]]],
    room: list[int],
    inside: list[dict[int, int]],
    closed: set[int],
) -> int:
    """Move others from part to part to put units of a class into a full one; return how many.

    Args:
        closed: takes the parts that no moving makes room in, now or later.
    """
    came_from: dict[int, tuple[int, int] | None] = dict.fromkeys(classes[at][1])
    queue = list(came_from)
    for part in queue:
        if room[part]:
            break
        for other in inside[part]:
            for target in classes[other][1]:
                if target not in came_from:
                    came_from[target] = (part, other)
                    queue.append(target)
    else:
        closed.update(queue)
        return 0
    path: list[tuple[int, int, int]] = []
    moved = min(count, room[part])
    end = part
    while (step := came_from[end]) is not None:
        path.append((step[0], end, step[1]))
        moved = min(moved, inside[step[0]][step[1]])
        end = step[0]
    room[part] -= moved
    inside[end][at] = inside[end].get(at, 0) + moved
    for source, target, other in path:
        inside[target][other] = inside[target].get(other, 0) + moved
        inside[source][other] -= moved
        if not inside[source][other]:
            del inside[source][other]
    return moved
