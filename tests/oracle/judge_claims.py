"""What the judge lets an offer take off the units it holds: multi-buys and sets of parts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from loyalty.offers import (
    AmountEach,
    BuyGet,
    EveryNth,
    NForM,
    Off,
    Offer,
    PartsSet,
    PercentOff,
    SameLines,
)
from tests.oracle.judge_arithmetic import MILLION, halves_up
from tests.oracle.judge_plain import Scene, Wish, codes_held, off_units
from tests.oracle.judge_state import Sold, Unit, dearest_first, matched


@dataclass
class Sets:
    """Sets an offer has formed: what they save, on which units, out of which units."""

    saving: int
    rewarded: list[Unit]
    members: list[Unit]


NO_SETS = Sets(0, [], [])


def claimed(scene: Scene, held: list[Unit]) -> Wish:
    """Return what the offer would take off each line with the units it holds."""
    gives = scene.offer.gives
    assert isinstance(gives, NForM | EveryNth | BuyGet | PartsSet), gives
    sets = formed(scene, sorted(held, key=dearest_first))
    members = [sum(u.price for u in sets.members if u.line == line.index) for line in scene.lines]
    if gives.spread == "set":
        return scene.split(sets.saving, members)
    wish = scene.split(
        sets.saving,
        [sum(u.price for u in sets.rewarded if u.line == line.index) for line in scene.lines],
    )
    for at, line in enumerate(scene.lines):
        if all(unit.line != line.index for unit in sets.rewarded):
            wish.others[at] = members[at]
    return wish


def could_form_a_set(offer: Offer, lines: list[Sold]) -> bool:
    """Say whether the basket has units enough for one set, were they all the offer's.

    Parts are looked at one by one, though a unit serves in one part only.
    """
    gives = offer.gives
    if isinstance(gives, NForM | EveryNth):
        size = gives.units if isinstance(gives, NForM) else gives.every
        return pieces(matched(offer, lines)) >= size
    if isinstance(gives, PartsSet):
        return all(pieces(matched(offer, lines, p.lines)) >= p.units for p in gives.parts)
    assert isinstance(gives, BuyGet), gives
    if isinstance(gives.get_lines, SameLines):
        size = gives.buy_units + (1 if gives.partial else gives.get_units)
        return pieces(matched(offer, lines)) >= size
    gets = matched(offer, lines, gives.get_lines)
    return pieces(matched(offer, lines)) >= gives.buy_units and pieces(gets) > 0


def pieces(lines: list[Sold]) -> int:
    """Return the units that multi-buys may claim."""
    return sum(line.pieces for line in lines)


def formed(scene: Scene, held: list[Unit]) -> Sets:
    """Return the sets formed of the units held, the dearest first."""
    gives = scene.offer.gives
    if isinstance(gives, NForM):
        return n_for_m(scene, gives, held)
    if isinstance(gives, EveryNth):
        rewarded, members = in_rows(scene, held, gives.every, 1)
        return rewarding(scene, gives.off, rewarded, members)
    if isinstance(gives, BuyGet):
        if isinstance(gives.get_lines, SameLines):
            return buy_get_same(scene, gives, held)
        return buy_get_other(scene, gives, held)
    assert isinstance(gives, PartsSet), gives
    return parts_set(scene, gives, held)


def sets_max(scene: Scene) -> int:
    """Return how many sets the offer's limits allow."""
    limits = scene.offer.limits
    most = limits.sets_max or len(scene.case.basket.lines) * MILLION
    return min(most, codes_held(scene.case, scene.offer)) if limits.once_per_code else most


def rewarding(scene: Scene, off: Off, rewarded: list[Unit], members: list[Unit]) -> Sets:
    """Return sets whose rewarded units are made cheaper, as many of them as the limits allow."""
    kept = within_unit_limits(scene.offer, rewarded)
    return Sets(off_units(off, [unit.price for unit in kept]), kept, members)


def within_unit_limits(offer: Offer, rewarded: list[Unit]) -> list[Unit]:
    """Return of these units the dearest that may be made cheaper."""
    limits = offer.limits
    kept: list[Unit] = []
    on_line: Counter[int] = Counter()
    for unit in sorted(rewarded, key=dearest_first):
        if not limits.units_per_line_max or on_line[unit.line] < limits.units_per_line_max:
            on_line[unit.line] += 1
            kept.append(unit)
    return kept[: limits.units_max] if limits.units_max else kept


def in_rows(
    scene: Scene, held: list[Unit], size: int, cheaper: int
) -> tuple[list[Unit], list[Unit]]:
    """Return the cheapest units of each complete row of so many, and all units of the rows."""
    count = min(len(held) // size, sets_max(scene))
    rows = [held[size * row : size * (row + 1)] for row in range(count)]
    return [u for row in rows for u in row[size - cheaper :]], [u for row in rows for u in row]


def n_for_m(scene: Scene, gives: NForM, held: list[Unit]) -> Sets:
    free = gives.units - gives.pay
    rewarded, members = in_rows(scene, held, gives.units, free)
    if gives.free == "cheapest_of_all":
        rewarded = held[len(held) - len(rewarded) :]
        members = held if rewarded else []
    return rewarding(scene, PercentOff(rate_ppm=MILLION), rewarded, members)


def buy_get_same(scene: Scene, gives: BuyGet, held: list[Unit]) -> Sets:
    size = gives.buy_units + gives.get_units
    rewarded, members = in_rows(scene, held, size, gives.get_units)
    rest = held[len(members) :]
    if gives.partial and len(members) // size < sets_max(scene) and len(rest) < size:
        more = rest[gives.buy_units :]
        if more:
            rewarded, members = [*rewarded, *more], [*members, *rest]
    return rewarding(scene, gives.off, rewarded, members)


def buy_get_other(scene: Scene, gives: BuyGet, held: list[Unit]) -> Sets:
    assert not isinstance(gives.get_lines, SameLines)
    buys = {line.index for line in matched(scene.offer, scene.lines)}
    gets = {line.index for line in matched(scene.offer, scene.lines, gives.get_lines)}
    buy_only = [u for u in held if u.line in buys and u.line not in gets]
    both = [u for u in held if u.line in buys and u.line in gets]
    best = NO_SETS
    for count in range(1, min(len(held), sets_max(scene)) + 1):
        needed = gives.buy_units * count
        bought = buy_only[:needed]
        # The cheapest of what could be either are bought.
        missing = needed - len(bought)
        if missing > len(both):
            break
        bought += both[len(both) - missing :]
        free = [u for u in held if u.line in gets and u not in bought]
        got = free[: gives.get_units * count]
        least = gives.get_units * (count - 1) + 1 if gives.partial else gives.get_units * count
        if len(got) < least:
            break
        sets = rewarding(scene, gives.off, got, [*bought, *got])
        if sets.saving > best.saving:
            best = sets
    return best


def parts_set(scene: Scene, gives: PartsSet, held: list[Unit]) -> Sets:
    serves = [
        {line.index for line in matched(scene.offer, scene.lines, p.lines)} for p in gives.parts
    ]
    size = sum(part.units for part in gives.parts)
    best = NO_SETS
    for count in range(1, min(len(held) // size, sets_max(scene)) + 1):
        needs = [part.units * count for part in gives.parts]
        chosen = dearest_that_serve(held, needs, serves)
        if chosen is None:
            break
        price = sum(unit.price for unit in chosen)
        saving = off_sets(gives.off, price, count)
        if saving > best.saving:
            best = Sets(saving, chosen, chosen)
    return best


def off_sets(off: Off, price: int, count: int) -> int:
    """Return what is taken off so many sets of this price together."""
    if isinstance(off, PercentOff):
        return halves_up(price * off.rate_ppm, MILLION)
    if isinstance(off, AmountEach):
        return min(price, off.amount_minor * count)
    return max(0, price - off.amount_minor * count)


def dearest_that_serve(
    held: list[Unit], needs: Sequence[int], serves: Sequence[set[int]]
) -> list[Unit] | None:
    """Return the dearest units that fill every part; on a tie the ones that come first.

    Every choice of units is tried, the ones that come first before the others.
    """
    found = list(ways_to_serve(held, sum(needs), needs, serves))
    return max(found, key=lambda units: sum(unit.price for unit in units), default=None)


def ways_to_serve(
    held: list[Unit], count: int, needs: Sequence[int], serves: Sequence[set[int]]
) -> Iterator[list[Unit]]:
    seen: set[tuple[int, ...]] = set()
    for chosen in combinations(held, count):
        lines = tuple(unit.line for unit in chosen)
        key = (sum(unit.price for unit in chosen), *lines)
        if key not in seen and can_fill(list(needs), lines, serves):
            seen.add(key)
            yield list(chosen)


def can_fill(needs: list[int], lines: Sequence[int], serves: Sequence[set[int]]) -> bool:
    """Say whether the units of these lines fill the parts, each unit one place."""
    if not lines:
        return not any(needs)
    for part, able in enumerate(serves):
        if needs[part] and lines[0] in able:
            needs[part] -= 1
            if can_fill(needs, lines[1:], serves):
                return True
            needs[part] += 1
    return False
