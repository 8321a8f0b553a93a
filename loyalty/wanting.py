"""What a multi-buy would hold if units had prices: its part of the search in `packing`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

_NEVER = -(10**30)
_STATES_A_STEP = 4


@dataclass(slots=True)
class Claimant:
    """A multi-buy and the units it could use, dearest first.

    Attributes:
        units: as classes (unit price, line, count): of each part of a set, of both kinds of
            `buy_get` with other lines, else of its lines alone.
        most_minor: the most the offer takes off; 0 = no maximum.
        size: how much work it is to choose among them.
    """

    rank: int
    gives: ClaimingReward
    units: Sequence[multibuy.Units]
    most_minor: int = 0
    size: int = 0

    def __post_init__(self) -> None:
        units = sum(count for units in self.units for _, _, count in units)
        several = isinstance(self.gives, PartsSet) or len(self.units) > 1
        states = _STATES_A_STEP * _STATES_A_STEP if several else multibuy.shape(self.gives)[0]  # type: ignore[arg-type]
        self.size = units * max(1, states // _STATES_A_STEP)

    @property
    def rounds(self) -> bool:
        """A percentage of what it saves is rounded: up to half a minor unit is not in the bound."""
        off = getattr(self.gives, "off", None)
        return isinstance(off, PercentOff) and off.rate_ppm != PPM


@dataclass(slots=True)
class Wanted:
    """What an offer would hold at given prices, and what it gains, in millionths."""

    gain: int
    units: dict[int, int]


def want(claimant: Claimant, most: Mapping[int, int], prices: Mapping[int, int]) -> Wanted:
    """Return the units that gain the offer most after their prices, or a bound of that gain.

    Limits of the offer are left out: they only lower what it gains.

    Args:
        most: by line, how many of its units the offer may hold.
        prices: by line, of one unit, in millionths; a line that is not named is free.
    """
    gives = claimant.gives
    if isinstance(gives, PartsSet):
        return _want_parts(gives, claimant.units, most, prices)
    if isinstance(gives, BuyGet) and len(claimant.units) > 1:
        return _want_other_lines(gives, claimant.units, most, prices)
    return _want_one_kind(gives, claimant.units[0], most, prices)


def _gain(off: Off, price_minor: int) -> int:
    if isinstance(off, PercentOff):
        return price_minor * off.rate_ppm
    if isinstance(off, AmountEach):
        return min(off.amount_minor, price_minor) * PPM
    return max(0, price_minor - off.amount_minor) * PPM


def _want_one_kind(
    gives: NForM | EveryNth | BuyGet,
    units: multibuy.Units,
    most: Mapping[int, int],
    prices: Mapping[int, int],
) -> Wanted:
    """Walk the units, dearest first; what matters is how many stand in the set begun."""
    n, paid, off, partial = multibuy.shape(gives)
    best = [0] + [_NEVER] * (n - 1)
    trail: list[tuple[int, list[int]]] = []
    left = dict(most)
    for price_minor, line, count in units:
        cost, reward = prices.get(line, 0), _gain(off, price_minor)
        taken = min(count, left[line])
        left[line] -= taken
        for _ in range(taken):
            after = best[:]
            came = []
            for at, value in enumerate(best):
                if value > _NEVER:
                    gained = value - cost + (reward if at >= paid else 0)
                    to = at + 1 if at + 1 < n else 0
                    if gained > after[to]:
                        after[to] = gained
                        came.append(to)
            best = after
            trail.append((line, came))
    ends = [0, *range(paid + 1, n)] if partial else [0]
    at = max(ends, key=lambda end: best[end])
    gain = best[at]
    held: dict[int, int] = {}
    for line, came in reversed(trail):
        if at in came:
            held[line] = held.get(line, 0) + 1
            at = at - 1 if at else n - 1
    return Wanted(gain, held)


def _priced(
    units: multibuy.Units, most: Mapping[int, int], prices: Mapping[int, int]
) -> list[tuple[int, int, int, int]]:
    """Return single units as (unit price, line, number on its line, cost)."""
    found = []
    numbers: dict[int, int] = {}
    for price_minor, line, count in units:
        start = numbers.get(line, 0)
        end = min(start + count, most[line])
        cost = prices.get(line, 0)
        found += [(price_minor, line, number, cost) for number in range(start, end)]
        numbers[line] = max(start, end)
    return found


def _want_other_lines(
    gives: BuyGet,
    units: Sequence[multibuy.Units],
    most: Mapping[int, int],
    prices: Mapping[int, int],
) -> Wanted:
    """A bound: a unit that could be bought and could be got may do both."""
    bought = sorted((cost, line) for _, line, _, cost in _priced(units[0], most, prices))
    got = sorted(
        (cost - _gain(gives.off, price), line)
        for price, line, _, cost in _priced(units[1], most, prices)
    )
    best = total = sets = 0
    held: dict[int, int] = {}
    best_held: dict[int, int] = {}
    while len(bought) >= (sets + 1) * gives.buy_units:
        more_got = got[sets * gives.get_units : (sets + 1) * gives.get_units]
        if len(more_got) < (1 if gives.partial else gives.get_units):
            break
        if gives.partial:
            more_got = [more_got[0], *(each for each in more_got[1:] if each[0] < 0)]
        more = bought[sets * gives.buy_units : (sets + 1) * gives.buy_units] + more_got
        total -= sum(cost for cost, _ in more)
        for _, line in more:
            held[line] = min(held.get(line, 0) + 1, most[line])
        if total <= best:
            break
        best, best_held = total, dict(held)
        sets += 1
    return Wanted(best, best_held)


def _want_parts(
    gives: PartsSet,
    units: Sequence[multibuy.Units],
    most: Mapping[int, int],
    prices: Mapping[int, int],
) -> Wanted:
    worth: dict[tuple[int, int, int], int] = {}
    parts_of: dict[tuple[int, int, int], list[int]] = {}
    off = gives.off
    for part, of_part in enumerate(units):
        for price, line, number, cost in _priced(of_part, most, prices):
            unit = (price, line, number)
            rate = off.rate_ppm if isinstance(off, PercentOff) else PPM
            worth[unit] = (0 if isinstance(off, AmountEach) else price * rate) - cost
            parts_of.setdefault(unit, []).append(part)
    each_set = 0
    if isinstance(off, AmountEach):
        each_set = off.amount_minor * PPM
    elif not isinstance(off, PercentOff):
        each_set = -off.amount_minor * PPM
    in_order = sorted(parts_of, key=lambda unit: (-worth[unit], unit))
    sizes = [part.units for part in gives.parts]
    best = 0
    best_held: dict[int, int] = {}
    for sets, chosen in enumerate(multibuy.fillings(in_order, parts_of, sizes), start=1):
        total = sum(worth[unit] for unit in chosen) + each_set * sets
        if total <= best:
            break
        best, best_held = total, {}
        for _, line, _ in chosen:
            best_held[line] = best_held.get(line, 0) + 1
    return Wanted(best, best_held)
