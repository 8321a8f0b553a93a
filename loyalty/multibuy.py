"""How a multi-buy forms its sets from the units it holds: a rule of the offer, not a choice.

Which units an offer holds where several want them is the choice of `combination` (receipt 4). Units
are written as classes `(unit price, line index, count)`, dearest first, ties to the earlier line.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from loyalty.limits import PPM, UNITS_HELD_MAX
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

Units = Sequence[tuple[int, int, int]]
Unit = tuple[int, int, int]
"""A single unit: its price, its line, its number on the line."""


@dataclass(slots=True)
class Formed:
    """The sets an offer forms.

    Attributes:
        off_minor: what all sets together take off.
        set_units: units of one full set.
        rewarded: what the cheaper units cost, by line index.
        claimed: what all units of the sets cost, by line index.
        pieces: units of the sets, by line index.
    """

    off_minor: int = 0
    sets: int = 0
    set_units: int = 0
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
    claimed = _first(held, end)
    if isinstance(gives, NForM) and gives.free == "cheapest_of_all":
        claimed = _first(held, have)
        rewarded = _last(claimed, sets * (n - paid))
    else:
        rewarded = _cheapest_of_each(claimed, n, paid)
    return _formed(off, sets, n, rewarded, claimed, cap)


def _first(units: Units, count: int) -> Units:
    taken = []
    for price, line, n in units:
        if count <= 0:
            break
        taken.append((price, line, min(n, count)))
        count -= n
    return taken


def _last(units: Units, count: int) -> Units:
    return list(reversed(_first(list(reversed(units)), count)))


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


def _formed(off: Off, sets: int, n: int, rewarded: Units, claimed: Units, cap: Cap) -> Formed:
    rewarded = _within(rewarded, cap)
    return Formed(
        taken_off(off, rewarded), sets, n, _cost(rewarded), _cost(claimed), _count(claimed)
    )


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


def _single(units: Units) -> list[tuple[int, int, int]]:
    """Return units one by one, each with its number on its line, the dearest ones first."""
    singles: list[tuple[int, int, int]] = []
    numbers: dict[int, int] = {}
    for price, line, count in units:
        take = min(count, UNITS_HELD_MAX - len(singles))
        start = numbers.get(line, 0)
        singles += [(price, line, start + i) for i in range(take)]
        numbers[line] = start + take
    return singles


def _other_lines(gives: BuyGet, buy: Units, get: Units, cap: Cap) -> Formed:
    buys, gets = _single(buy), _single(get)
    shared = set(buys) & set(gets)
    buy_only = [unit for unit in buys if unit not in shared]
    best = Formed()
    sets = 0
    while not cap.sets or sets < cap.sets:
        sets += 1
        from_shared = gives.buy_units * sets - len(buy_only)
        bought = buy_only[: gives.buy_units * sets]
        candidates = gets
        if from_shared > 0:
            if from_shared > len(shared):
                break
            cheapest = [unit for unit in gets if unit in shared][-from_shared:]
            bought = bought + cheapest
            given_up = set(cheapest)
            candidates = [unit for unit in gets if unit not in given_up]
        most = gives.get_units * sets
        least = most - gives.get_units + 1 if gives.partial else most
        if len(candidates) < least:
            break
        rewarded = [(price, line, 1) for price, line, _ in candidates[:most]]
        claimed = rewarded + [(price, line, 1) for price, line, _ in bought]
        size = gives.buy_units + gives.get_units
        formed = _formed(gives.off, sets, size, rewarded, claimed, cap)
        if formed.off_minor < best.off_minor:
            break  # what k sets save at most is concave in k
        if formed.off_minor > best.off_minor:
            best = formed
    return best


def _parts(gives: PartsSet, held: Sequence[Units], cap: Cap) -> Formed:
    parts_of: dict[Unit, list[int]] = {}
    for part, units in enumerate(held):
        for unit in _single(units):
            parts_of.setdefault(unit, []).append(part)
    in_order = sorted(parts_of, key=lambda unit: (-unit[0], unit[1], unit[2]))
    sizes = [part.units for part in gives.parts]
    best = Formed()
    for sets, chosen in enumerate(fillings(in_order, parts_of, sizes), start=1):
        if cap.sets and sets > cap.sets:
            break
        cost = sum(price for price, _, _ in chosen)
        if isinstance(gives.off, PercentOff):
            off_minor = round_half_up(cost * gives.off.rate_ppm, PPM)
        elif isinstance(gives.off, AmountEach):
            off_minor = min(cost, gives.off.amount_minor * sets)
        else:
            off_minor = max(0, cost - gives.off.amount_minor * sets)
        if off_minor < best.off_minor:
            break  # what k sets save at most is concave in k
        if off_minor == best.off_minor:
            continue
        units = [(price, line, 1) for price, line, _ in chosen]
        by_line = _cost(units)
        best = Formed(off_minor, sets, sum(sizes), by_line, by_line, _count(units))
    return best


def fillings(
    in_order: Sequence[Unit], parts_of: Mapping[Unit, Sequence[int]], sizes: Sequence[int]
) -> Iterator[Sequence[Unit]]:
    """Yield the best units to fill every part once, twice and so on, for as long as they suffice.

    Units that can fill parts together form a matroid: taking them in order, moving others from
    part to part where that makes room, is exact, and what is taken once stays taken.

    Args:
        in_order: the best units first.
        sizes: units of each part in one set.
    """
    if all(len(parts) == 1 for parts in parts_of.values()):
        yield from _fillings_apart(in_order, parts_of, sizes)
        return
    inside: list[list[Unit]] = [[] for _ in sizes]
    waiting = list(in_order)
    sets = 0
    while True:
        sets += 1
        most = [size * sets for size in sizes]
        missing = sum(most) - sum(len(part) for part in inside)
        passed = []
        for at, unit in enumerate(waiting):
            if not missing:
                passed += waiting[at:]
                break
            if _place(unit, parts_of, inside, most):
                missing -= 1
            else:
                passed.append(unit)
        if missing:
            return
        waiting = passed
        yield [unit for part in inside for unit in part]


def _fillings_apart(
    in_order: Sequence[Unit], parts_of: Mapping[Unit, Sequence[int]], sizes: Sequence[int]
) -> Iterator[Sequence[Unit]]:
    """No unit fits two parts: each part takes its best ones."""
    of_part: list[list[Unit]] = [[] for _ in sizes]
    for unit in in_order:
        of_part[parts_of[unit][0]].append(unit)
    taken: list[Unit] = []
    for sets in range(min(len(u) // size for u, size in zip(of_part, sizes, strict=True))):
        for units, size in zip(of_part, sizes, strict=True):
            taken += units[sets * size : (sets + 1) * size]
        yield taken


def _place(
    unit: Unit,
    parts_of: Mapping[Unit, Sequence[int]],
    inside: list[list[Unit]],
    sizes: Sequence[int],
) -> bool:
    came_from: dict[int, tuple[int, Unit] | None] = dict.fromkeys(parts_of[unit])
    queue = list(came_from)
    for part in queue:
        if len(inside[part]) < sizes[part]:
            while (step := came_from[part]) is not None:
                source, moved = step
                inside[source].remove(moved)
                inside[part].append(moved)
                part = source  # noqa: PLW2901 - walks the chain of moves back to its start
            inside[part].append(unit)
            return True
        for other in inside[part]:
            for target in parts_of[other]:
                if target not in came_from:
                    came_from[target] = (part, other)
                    queue.append(target)
    return False
