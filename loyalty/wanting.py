"""What a multi-buy would hold if units had prices: its part of the search in `packing`."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loyalty import multibuy
from loyalty.limits import PPM
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

_NEVER = -(10**40)
_PLACES_MAX = 60
"""Places of all sets that are told apart, where the number of sets is limited."""
_EXCHANGED_MAX = 200
"""Units of goods to buy and to get up to which each serves as one of them."""
_PARTS_STATES = 12
_TWO_KINDS_STATES = 6
"""Choosing units for sets of parts, or of two kinds, takes about as long as so many places."""
_STATES_A_STEP = 80
_HALVINGS = 3

Prices = Mapping[int, int]
"""By line, of one unit, in millionths; a line that is not named is free."""
Bounds = Mapping[int, tuple[int, int]]
"""By line: units the offer holds in any case, and units it may hold; all of a line not named."""
_Goods = tuple[int, int, int, tuple[int, ...]]
"""Units that are alike: line, how many, what one gains in millionths, the parts it can fill."""
_Cell = tuple[int, int, int, int, tuple[int, ...]]
"""The same at prices: line, how many, gain, cost, parts."""


@dataclass(slots=True)
class Claimant:
    """A multi-buy and the units it could use, dearest first.

    Attributes:
        units: as classes (unit price, line, count): of each part of a set, of both kinds of
            `buy_get` with other lines, else of its lines alone.
        cap: the offer's limits in sets and units.
        most_minor: the most the offer takes off; 0 = no maximum.
        goods: `units` as they are wanted; those of a set together.
        steps: what it costs to choose among them.
    """

    rank: int
    gives: ClaimingReward
    units: Sequence[multibuy.Units]
    cap: multibuy.Cap = field(default_factory=multibuy.Cap)
    most_minor: int = 0
    goods: list[list[_Goods]] = field(init=False)
    lines: frozenset[int] = field(init=False)
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        gives = self.gives
        if isinstance(gives, PartsSet):
            of_unit, rate = multibuy.parts_of(self.units), _rate(gives.off)
            self.goods = [
                [
                    (line, count, price * rate, tuple(parts))
                    for (price, line, count), parts in of_unit.items()
                ]
            ]
            states = _PARTS_STATES
        else:
            self.goods = [
                [(line, count, _gain(gives, price), ()) for price, line, count in units]
                for units in self.units
            ]
            states = _TWO_KINDS_STATES if len(self.units) > 1 else multibuy.shape(gives)[0]
        self.lines = frozenset(goods[0] for kind in self.goods for goods in kind)
        units = sum(min(goods[1], 2 * states) for kind in self.goods for goods in kind)
        self.steps = 1 + units * states // _STATES_A_STEP

    @property
    def slack(self) -> int:
        """What rounding can add to all it takes off, in millionths."""
        off = getattr(self.gives, "off", None)
        if not isinstance(off, PercentOff):
            return 0
        prices = {price for units in self.units for price, _, _ in units}
        return PPM // 2 if any(price * off.rate_ppm % PPM for price in prices) else 0

    def saved(self, have: Mapping[int, int]) -> multibuy.Formed:
        """Return the sets it forms of so many units of each line; of a line not named all."""
        formed = multibuy.form(self.gives, [_no_more(u, have) for u in self.units], self.cap)
        if self.most_minor:
            formed.off_minor = min(formed.off_minor, self.most_minor)
        return formed


def _no_more(units: multibuy.Units, have: Mapping[int, int]) -> multibuy.Units:
    left = dict(have)
    found = []
    for price, line, count in units:
        taken = min(count, left.get(line, count))
        if line in left:
            left[line] -= taken
        if taken:
            found.append((price, line, taken))
    return found


@dataclass(slots=True)
class Wanted:
    """What an offer would hold at given prices, and what it gains, in millionths."""

    gain: int
    units: dict[int, int]


def want(claimant: Claimant, bounds: Bounds, prices: Prices) -> Wanted:
    """Return the units that gain the offer most after their prices, or a bound of that gain.

    Units it holds in any case cost nothing. Limits in units are left out: they only lower what it
    gains.
    """
    wanted = _want(claimant, bounds, prices, PPM)
    most = claimant.most_minor * PPM
    if not most or _saved(wanted, bounds, prices, PPM) <= most:
        return wanted
    # The lesser of saving and maximum is at most any share of the one and the rest of the other.
    gain, low, high = min(wanted.gain, most), 0, PPM
    for _ in range(_HALVINGS):
        share = (low + high) // 2
        wanted = _want(claimant, bounds, prices, share)
        gain = min(gain, wanted.gain + most * (PPM - share) // PPM + 1)
        if _saved(wanted, bounds, prices, share) > most:
            high = share
        else:
            low = share
    return Wanted(gain, wanted.units)


def _saved(wanted: Wanted, bounds: Bounds, prices: Prices, share: int) -> int:
    """Return what the units save when that share of it is what the offer gains."""
    cost = 0
    for line, count in wanted.units.items():
        cost += prices.get(line, 0) * max(0, count - (bounds[line][0] if line in bounds else 0))
    return (wanted.gain + cost) * PPM // max(1, share)


def _want(claimant: Claimant, bounds: Bounds, prices: Prices, share: int) -> Wanted:
    gives = claimant.gives
    kinds = [_cells(goods, bounds, prices, share) for goods in claimant.goods]
    if isinstance(gives, PartsSet):
        return _want_parts(gives, kinds[0], claimant.cap.sets, share)
    if isinstance(gives, BuyGet) and len(kinds) > 1:
        return _want_other_lines(gives, kinds[0], kinds[1], claimant.cap.sets)
    return _want_one_kind(gives, kinds[0], claimant.cap.sets)


def _cells(goods: Sequence[_Goods], bounds: Bounds, prices: Prices, share: int) -> list[_Cell]:
    """Return the units with what they gain and cost now."""
    get = prices.get
    if not bounds and share == PPM:
        return [(line, count, gain, get(line, 0), parts) for line, count, gain, parts in goods]
    cells: list[_Cell] = []
    seen: dict[int, int] = {}
    for line, count, gain, parts in goods:
        own = gain if share == PPM else -(-gain * share // PPM)
        if line not in bounds:
            cells.append((line, count, own, get(line, 0), parts))
            continue
        least, most = bounds[line]
        before = seen.get(line, 0)
        seen[line] = before + count
        free = min(count, max(0, least - before))
        if free:
            cells.append((line, free, own, 0, parts))
        paid = min(count, max(0, most - before)) - free
        if paid > 0:
            cells.append((line, paid, own, get(line, 0), parts))
    return cells


def _rate(off: Off) -> int:
    """Return what a unit adds to what is taken off a set, by minor unit of its price."""
    return (
        off.rate_ppm if isinstance(off, PercentOff) else 0 if isinstance(off, AmountEach) else PPM
    )


def _gain(gives: NForM | EveryNth | BuyGet, price_minor: int) -> int:
    off = multibuy.shape(gives)[2]
    if isinstance(off, PercentOff):
        return price_minor * off.rate_ppm
    if isinstance(off, AmountEach):
        return min(off.amount_minor, price_minor) * PPM
    return max(0, price_minor - off.amount_minor) * PPM


def _want_one_kind(
    gives: NForM | EveryNth | BuyGet, cells: Sequence[_Cell], sets_max: int
) -> Wanted:
    """Walk the units, dearest first; what matters is how many stand in the set begun."""
    n, paid, _, partial = multibuy.shape(gives)
    # Where sets are few, all their places are told apart.
    places = n * sets_max if n * sets_max <= _PLACES_MAX else 0
    last = places or n - 1
    best = [0] + [_NEVER] * last
    cheaper = [(at, (at - 1) % n >= paid) for at in range(last, 0, -1)]
    held: dict[int, int] = {}
    trail: list[tuple[int, int]] = []
    # A set with a unit that costs as much as a set can gain is better not formed.
    dear = (n - paid) * max((cell[2] for cell in cells), default=0)
    for line, count, gain, cost, _ in cells:
        if cost >= dear:
            continue
        if count >= 2 * n:
            # Whole sets of units that are alike change no place.
            sets = 0 if places else count // n - 1
            singles = min(count - sets * n, places or count)
            if (more := sets * ((n - paid) * gain - n * cost)) > 0:
                best = [value + more for value in best]
                held[line] = held.get(line, 0) + sets * n
        else:
            singles = count
        up = gain - cost
        for _ in range(singles):
            came = 0
            end = best[last]
            for at, is_cheaper in cheaper:
                value = best[at - 1] + up if is_cheaper else best[at - 1] - cost
                if value > best[at]:
                    best[at] = value
                    came |= 1 << at
            if not places and end + up > best[0]:
                best[0] = end + up
                came |= 1
            trail.append((line, came))
    ends = [at for at in range(last + 1) if at % n == 0 or (partial and at % n > paid)]
    at = max(ends, key=lambda end: best[end])
    gain = best[at]
    _walk_back(trail, at, last, held)
    return Wanted(gain, held)


def _walk_back(trail: Sequence[tuple[int, int]], at: int, last: int, held: dict[int, int]) -> None:
    """Find the units that led to a place, from the cheapest on."""
    for line, came in reversed(trail):
        if came >> at & 1:
            held[line] = held.get(line, 0) + 1
            at = at - 1 if at else last


def _want_other_lines(
    gives: BuyGet, buy: Sequence[_Cell], get: Sequence[_Cell], sets_max: int
) -> Wanted:
    """Beyond some units a bound: one that could be bought and could be got may do both."""
    names, there, bought, got = _rows(buy, get)
    buying, getting = _sums(bought), _sums(got)
    gaining = multibuy.pieces([unit for unit in got if unit[0] < 0])

    def number_got(sets: int) -> int:
        most = gives.get_units * sets
        return max(most - gives.get_units + 1, min(most, gaining)) if gives.partial else most

    def saved(sets: int) -> int | None:
        if number_got(sets) > getting[-1][0]:
            return None
        return -_sum(buying, bought, gives.buy_units * sets) - _sum(getting, got, number_got(sets))

    most = buying[-1][0] // gives.buy_units
    sets = multibuy.best_sets(min(most, sets_max) if sets_max else most, saved)
    if not sets:
        return Wanted(0, {})
    used = [0] * len(there)
    units = multibuy.first(bought, gives.buy_units * sets)
    for _, name, count in (*units, *multibuy.first(got, number_got(sets))):
        used[name] += count
    held: dict[int, int] = {}
    for (line, _, _), has, count in zip(names, there, used, strict=True):
        if count > has and max(buying[-1][0], getting[-1][0]) <= _EXCHANGED_MAX:
            return _Exchange(gives, buy, get).wanted(sets_max)
        if count:
            held[line] = held.get(line, 0) + min(count, has)
    return Wanted(saved(sets) or 0, held)


def _rows(
    buy: Sequence[_Cell], get: Sequence[_Cell]
) -> tuple[dict["_Alike", int], list[int], list[multibuy.Unit], list[multibuy.Unit]]:
    """Return names of units that are alike, how many there are, and both kinds by cost."""
    names: dict[_Alike, int] = {}
    there: list[int] = []
    rows: list[list[multibuy.Unit]] = [[], []]
    for kind, cells in enumerate((buy, get)):
        for line, count, gain, cost, _ in cells:
            name = names.setdefault((line, gain, cost), len(names))
            if name == len(there):
                there.append(0)
            there[name] = max(there[name], count)
            rows[kind].append((cost - kind * gain, name, count))
    return names, there, sorted(rows[0]), sorted(rows[1])


_Alike = tuple[int, int, int]
"""Units that are alike: line, gain, cost."""


class _Exchange:
    """Units of which some can be bought or got, taken one by one.

    One more is bought, or got, in the best way there is: a unit that is free, or one of the other
    kind, for which a free one takes its place. That way each number of them is served best.
    """

    def __init__(self, gives: BuyGet, buy: Sequence[_Cell], get: Sequence[_Cell]) -> None:
        self._gives = gives
        self._free: dict[_Alike, int] = {}
        self._best: list[list[_Alike]] = []
        self._used: tuple[dict[_Alike, int], dict[_Alike, int]] = ({}, {})
        for kind, cells in enumerate((buy, get)):
            there: dict[_Alike, int] = {}
            for line, count, gain, cost, _ in cells:
                there[line, gain, cost] = there.get((line, gain, cost), 0) + count
            # Only what is got gains; both cost. The best one stands last.
            self._best.append(sorted(there, key=lambda u, k=kind: (k * u[1] - u[2], u)))  # type: ignore[misc]
            self._free |= there
        self._both = set(self._best[0]) & set(self._best[1])

    def wanted(self, sets_max: int) -> Wanted:
        """Form sets for as long as one more gains something."""
        gives, sets, gain, got = self._gives, 0, 0, 0
        best = Wanted(0, {})
        while not sets_max or sets < sets_max:
            sets += 1
            steps = [self._one_more(0) for _ in range(gives.buy_units)]
            while got < gives.get_units * sets:
                must = not gives.partial or got <= gives.get_units * (sets - 1)
                step = self._one_more(1, only_gaining=not must)
                if step is None and not must:
                    break
                steps.append(step)
                got += 1
            if None in steps:
                break
            gain += sum(step for step in steps if step)
            if gain <= best.gain:
                break
            best = Wanted(gain, self._held())
        return best

    def _held(self) -> dict[int, int]:
        held: dict[int, int] = {}
        for used in self._used:
            for (line, _, _), count in used.items():
                held[line] = held.get(line, 0) + count
        return held

    def _best_free(self, kind: int) -> _Alike | None:
        best = self._best[kind]
        while best and not self._free[best[-1]]:
            best.pop()
        return best[-1] if best else None

    def _one_more(self, kind: int, *, only_gaining: bool = False) -> int | None:
        """Buy (0) or get (1) one unit more; return what it gains, None if there is none."""
        own, instead = self._best_free(kind), self._best_free(1 - kind)
        step = None if own is None else kind * own[1] - own[2]
        moved, sign = None, 2 * kind - 1
        if instead is not None:
            able = [u for u in self._used[1 - kind] if u in self._both]
            moved = max(able, key=lambda u: sign * u[1], default=None)
        if moved is not None and instead is not None:
            by_moving = sign * moved[1] + (1 - kind) * instead[1] - instead[2]
            if step is None or by_moving > step:
                step = by_moving
            else:
                moved = None
        if step is None or (only_gaining and step <= 0):
            return None
        if moved is not None and instead is not None:
            self._use(1 - kind, moved, -1)
            self._use(kind, moved, 1)
            kind, own = 1 - kind, instead
        if own is not None:
            self._use(kind, own, 1)
            self._free[own] -= 1
        return step

    def _use(self, kind: int, unit: _Alike, more: int) -> None:
        used = self._used[kind]
        used[unit] = used.get(unit, 0) + more
        if not used[unit]:
            del used[unit]


def _sums(units: multibuy.Units) -> list[tuple[int, int]]:
    """Return how many units there are to the end of each class, and what these cost."""
    count = cost = 0
    sums = [(0, 0)]
    for each, _, alike in units:
        count += alike
        cost += each * alike
        sums.append((count, cost))
    return sums


def _sum(sums: Sequence[tuple[int, int]], units: multibuy.Units, count: int) -> int:
    """Return what the first units cost."""
    if not count:
        return 0
    at = bisect_left(sums, (count, _NEVER))
    return sums[at][1] - (sums[at][0] - count) * units[at - 1][0]


def _want_parts(gives: PartsSet, cells: Sequence[_Cell], sets_max: int, share: int) -> Wanted:
    in_order = sorted(cells, key=lambda cell: cell[3] - cell[2])
    classes = [(count, parts) for _, count, _, _, parts in in_order]
    worth = [gain - cost for _, _, gain, cost, _ in in_order]
    sizes = [part.units for part in gives.parts]
    each_set = 0
    if isinstance(gives.off, AmountEach):
        each_set = gives.off.amount_minor * share
    elif not isinstance(gives.off, PercentOff):
        each_set = -gives.off.amount_minor * share

    filled: dict[int, list[int] | None] = {}

    def saved(sets: int) -> int | None:
        filled[sets] = taken = multibuy.filling(classes, sizes, sets)
        if taken is None:
            return None
        return each_set * sets + sum(w * n for w, n in zip(worth, taken, strict=True) if n)

    most = sum(count for count, _ in classes) // sum(sizes)
    sets = multibuy.best_sets(min(most, sets_max) if sets_max else most, saved)
    if not sets:
        return Wanted(0, {})
    held: dict[int, int] = {}
    taken = filled[sets] or []
    for cell, count in zip(in_order, taken, strict=True):
        if count:
            held[cell[0]] = held.get(cell[0], 0) + count
    gain = each_set * sets + sum(w * n for w, n in zip(worth, taken, strict=True))
    return Wanted(gain, held)
