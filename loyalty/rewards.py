"""What a reward asks for on the state that earlier offers left (receipt 3, 4)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from loyalty import multibuy
from loyalty.compilation import CLAIMING
from loyalty.limits import PPM, UNIT_THOUSANDTHS
from loyalty.money import round_half_up, split
from loyalty.offers import (
    AmountOff,
    BuyGet,
    CardPrice,
    ClaimingReward,
    EveryNth,
    FixedPrice,
    NForM,
    PartsSet,
    Percent,
    PercentOff,
    PriceEach,
    Stamps,
    Step,
    Steps,
    UnitRates,
)
from loyalty.scene import Candidate, Held, Scene, State


@dataclass(slots=True)
class Wish:
    """What an offer would take off if nothing stood in its way.

    Attributes:
        by_line: by line index; sums up to `total`.
        moves: what a line refuses moves to the others: the total belongs to the offer as a whole.
        others: weights of further lines that take what all of these refuse; None = there are none.
    """

    total: int
    by_line: dict[int, int]
    moves: bool = False
    others: dict[int, int] | None = None


_NOTHING = Wish(0, {})
_ONE_KIND = (NForM, EveryNth, BuyGet)
_NO_CAP = multibuy.Cap()


def wishes(candidate: Candidate, state: State, held: Held | None) -> Wish:
    """Return what the reward asks for on this state."""
    compiled = candidate.compiled
    if compiled.claiming:
        return _multibuy(candidate, state, held)
    gives = compiled.offer.gives
    return _REWARDS[type(gives)](candidate, gives, state)


def formed(
    candidate: Candidate,
    state: State,
    held: Held | None = None,
    instead: ClaimingReward | None = None,
) -> multibuy.Formed:
    """Return the sets a multi-buy forms on this state.

    Args:
        instead: stands in for the reward, without the limits in units: for a bound.
    """
    offer = candidate.compiled.offer
    gives = instead or offer.gives
    assert isinstance(gives, CLAIMING)
    units = units_held(candidate, state, held)
    limits = offer.limits
    sets = limits.sets_max
    if limits.once_per_code:
        if not candidate.codes:
            return multibuy.Formed()
        sets = min(sets, candidate.codes) if sets else candidate.codes
    if instead is not None:
        cap = multibuy.Cap(sets)
    elif sets or candidate.compiled.selects:
        cap = multibuy.Cap(sets, limits.units_max, limits.units_per_line_max)
    else:
        cap = _NO_CAP
    return multibuy.form(gives, units, cap)


def could_form_a_set(candidate: Candidate, scene: Scene) -> bool:
    """Say whether the basket has the units of one set, if nobody else used them."""
    gives = candidate.compiled.offer.gives
    lines = scene.lines
    if isinstance(gives, PartsSet):
        return all(
            sum(lines[at].pieces for at in of_part) >= part.units
            for part, of_part in zip(gives.parts, candidate.parts, strict=True)
        )
    have = sum([lines[at].pieces for at in candidate.lines])
    if candidate.parts:
        assert isinstance(gives, BuyGet)
        return have >= gives.buy_units and any(lines[at].pieces for at in candidate.parts[0])
    assert isinstance(gives, _ONE_KIND)
    units, paid, _, partial = multibuy.shape(gives)
    return have >= (paid + 1 if partial else units)


def units_held(candidate: Candidate, state: State, held: Held | None) -> list[multibuy.Units]:
    """Return the units a multi-buy holds, apart for each part of a set and each kind of goods."""
    whole = isinstance(candidate.compiled.offer.gives, PartsSet)
    groups = candidate.parts if whole else (candidate.lines, *candidate.parts)
    return [_held_units(lines, candidate, state, held) for lines in groups]


def _held_units(
    lines: Sequence[int], candidate: Candidate, state: State, held: Held | None
) -> multibuy.Units:
    initial = candidate.compiled.on_initial
    scene = state.scene
    classes: list[tuple[int, int, int]] = []
    for line in lines:
        pieces = scene.lines[line].pieces
        if not pieces:
            continue
        skip, count = held.get(line, (0, 0)) if held is not None else (0, pieces)
        if count:
            price = scene.gross[line] if initial else state.left[line] + state.claimed_off[line]
            classes += multibuy.units_of(price, pieces, line, skip, count)
    if len(lines) > 1:
        classes.sort(key=lambda unit: (-unit[0], unit[1]))
    return classes


def _multibuy(candidate: Candidate, state: State, held: Held | None) -> Wish:
    sets = formed(candidate, state, held)
    if not sets.off_minor:
        return _NOTHING
    gives = candidate.compiled.offer.gives
    assert isinstance(gives, CLAIMING)
    if gives.spread == "set" or isinstance(gives, PartsSet):
        return _shared(sets.off_minor, _sorted(sets.claimed), moves=True)
    wish = _shared(sets.off_minor, _sorted(sets.rewarded), moves=True)
    if len(sets.claimed) > len(sets.rewarded):
        rest = {line: cost for line, cost in sets.claimed.items() if line not in sets.rewarded}
        # In the order of lines: of equal ones the earlier line takes what is refused.
        wish.others = _sorted((wish.others or {}) | rest)
    return wish


def _sorted(by_line: Mapping[int, int]) -> dict[int, int]:
    if len(by_line) == 1:
        return dict(by_line)
    return {line: by_line[line] for line in sorted(by_line)}


# Rewards on lines

_Reward = Callable[[Candidate, object, State], Wish]


def _selected(
    candidate: Candidate, state: State, which: str = "all", count: int = 0
) -> list[tuple[int, int, int]] | None:
    """Return the units to make cheaper, in the order they are chosen; None = all of all lines."""
    if which == "all" and not candidate.compiled.selects:
        return None
    limits = candidate.compiled.offer.limits
    most = limits.units_max
    if limits.once_per_code:
        if not candidate.codes:
            return []
        most = min(most, candidate.codes) if most else candidate.codes
    units = _line_units(candidate, state, candidate.lines)
    if which == "cheapest":
        units.sort(key=lambda unit: (unit[0], unit[1]))
    if which != "all":
        most = min(most, count) if most else count
    by_line: dict[int, int] = {}
    chosen = []
    left = most or sum(n for _, _, n in units)
    for price, line, n in units:
        taken = min(n, left)
        if limits.units_per_line_max:
            taken = min(taken, limits.units_per_line_max - by_line.get(line, 0))
        if taken > 0:
            chosen.append((price, line, taken))
            by_line[line] = by_line.get(line, 0) + taken
            left -= taken
    return chosen


def _line_units(
    candidate: Candidate, state: State, lines: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Return all units of the lines, dearest first; a weighed line is one."""
    initial = candidate.compiled.on_initial
    scene = state.scene
    units: list[tuple[int, int, int]] = []
    for line in lines:
        price = scene.gross[line] if initial else state.left[line] + state.claimed_off[line]
        pieces = scene.lines[line].units
        units += multibuy.units_of(price, pieces, line, 0, pieces)
    units.sort(key=lambda unit: (-unit[0], unit[1]))
    return units


def _by_line(units: Sequence[tuple[int, int, int]]) -> dict[int, int]:
    """Return what units cost by line index, rising: ties of a split go to the earlier line."""
    found: dict[int, int] = {}
    for price, line, count in units:
        found[line] = found.get(line, 0) + price * count
    return _sorted(found)


def _pieces_of(units: Sequence[tuple[int, int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for _, line, count in units:
        found[line] = found.get(line, 0) + count
    return found


def _shared(total: int, weights: Mapping[int, int], *, moves: bool = False) -> Wish:
    if not total:
        return _NOTHING
    shares = split(total, list(weights.values()))
    wish = Wish(total, dict(zip(weights, shares, strict=True)), moves)
    if moves and 0 in shares:
        wish.others = {line: weights[line] for line, share in wish.by_line.items() if not share}
    return wish


def _summed(by_line: dict[int, int]) -> Wish:
    return Wish(sum(by_line.values()), by_line)


def _base_by_line(
    candidate: Candidate, state: State, which: str, count: int
) -> tuple[dict[int, int], Sequence[tuple[int, int, int]] | None]:
    units = _selected(candidate, state, which, count)
    if units is None:
        prices = state.scene.gross if candidate.compiled.on_initial else state.left
        return {line: prices[line] for line in candidate.lines}, None
    return _by_line(units), units


def _percent(candidate: Candidate, gives: Percent, state: State) -> Wish:
    bases, _ = _base_by_line(candidate, state, gives.units.which, gives.units.count)
    if gives.rounding == "line":
        return _summed(
            {line: round_half_up(base * gives.rate_ppm, PPM) for line, base in bases.items()}
        )
    return _shared(round_half_up(sum(bases.values()) * gives.rate_ppm, PPM), bases, moves=True)


def _amount(candidate: Candidate, gives: AmountOff, state: State) -> Wish:
    bases, units = _base_by_line(candidate, state, gives.units.which, gives.units.count)
    amount = gives.amount_minor
    if gives.per == "receipt":
        return _shared(min(amount, sum(bases.values())), bases, moves=True)
    if gives.per == "line":
        return _summed({line: min(amount, base) for line, base in bases.items()})
    if units is None:
        lines = state.scene.lines
        return _summed(
            {line: min(amount * lines[line].units, base) for line, base in bases.items()}
        )
    return _summed(_by_line([(min(amount, price), line, count) for price, line, count in units]))


def _price(candidate: Candidate, gives: FixedPrice, state: State) -> Wish:
    bases, units = _base_by_line(candidate, state, gives.units.which, gives.units.count)
    amount = gives.amount_minor
    if gives.per == "receipt":
        return _shared(max(0, sum(bases.values()) - amount), bases, moves=True)
    if gives.per == "line":
        return _summed({line: max(0, base - amount) for line, base in bases.items()})
    scene = state.scene
    if units is not None:
        return _summed(_by_line(_above_price(amount, units, scene)))
    return _summed(
        {line: max(0, base - _for_quantity(amount, line, scene)) for line, base in bases.items()}
    )


def _for_quantity(amount_minor: int, line: int, scene: Scene) -> int:
    return round_half_up(amount_minor * scene.lines[line].source.quantity, UNIT_THOUSANDTHS)


def _above_price(
    amount_minor: int, units: Iterable[tuple[int, int, int]], scene: Scene
) -> list[tuple[int, int, int]]:
    """Return what units cost above a price; a weighed line has it for one selling unit."""
    found = []
    for price, line, count in units:
        pieces = scene.lines[line].pieces
        own = amount_minor if pieces else _for_quantity(amount_minor, line, scene)
        found.append((max(0, price - own), line, count))
    return found


def _card_price(candidate: Candidate, gives: CardPrice, state: State) -> Wish:
    lines, prices = state.scene.lines, gives.prices
    bases, units = _base_by_line(candidate, state, "all", 0)
    chosen = {} if units is None else _pieces_of(units)
    found = {}
    for line, base in bases.items():
        source = lines[line].source
        price = prices[source.sku]
        # Chosen pieces cost their part of the price; a weighed line is chosen whole.
        whole = units is None or not lines[line].pieces
        quantity = source.quantity if whole else chosen[line] * UNIT_THOUSANDTHS
        off = base - round_half_up(price.amount_minor * quantity, price.per_quantity)
        if off > 0:
            found[line] = off
    return _summed(found)


def _unit_rates(candidate: Candidate, gives: UnitRates, state: State) -> Wish:
    whole = gives.per == "receipt"
    found: dict[int, int] = {}
    for lines in [candidate.lines] if whole else [(line,) for line in candidate.lines]:
        units = _line_units(candidate, state, lines)
        if gives.first == "cheapest":
            units.sort(key=lambda unit: (unit[0], unit[1]))
        exact: dict[int, int] = dict.fromkeys(lines, 0)
        at = 0
        last = len(gives.rates_ppm) - 1
        for price, line, count in units:
            step = at
            while step < at + count:
                # Beyond the last rate all units are alike.
                alike = 1 if step < last else at + count - step
                exact[line] += price * alike * gives.rates_ppm[min(step, last)]
                step += alike
            at += count
        wish = _shared(round_half_up(sum(exact.values()), PPM), exact, moves=whole)
        if whole:
            return wish
        found.update(wish.by_line)
    return _summed(found)


def step_reached(candidate: Candidate, gives: Steps, state: State) -> tuple[int, int]:
    """Return what counts for the steps, and how many steps it reaches."""
    if gives.by == "quantity":
        counts = sum(state.scene.lines[line].source.quantity for line in candidate.lines)
    else:
        amounts = state.left if gives.basis == "running" else state.scene.gross
        counts = sum(amounts[line] for line in candidate.lines)
    return counts, sum(step.at_least <= counts for step in gives.steps)


def _steps(candidate: Candidate, gives: Steps, state: State) -> Wish:
    _, reached = step_reached(candidate, gives, state)
    return step_wish(candidate, gives.steps[reached - 1], state) if reached else _NOTHING


def step_wish(candidate: Candidate, step: Step, state: State) -> Wish:
    """Return what one step takes off."""
    off = step.off
    if isinstance(off, PercentOff):
        return _percent(candidate, Percent(rate_ppm=off.rate_ppm), state)
    if isinstance(off, PriceEach):
        return _price(candidate, FixedPrice(amount_minor=off.amount_minor), state)
    return _amount(candidate, AmountOff(amount_minor=off.amount_minor), state)


def units_served(candidate: Candidate, state: State, held: Held | None) -> int:
    """Return how many units, or sets, an offer makes cheaper where each takes a code."""
    gives = candidate.compiled.offer.gives
    if isinstance(gives, CLAIMING):
        return formed(candidate, state, held).sets
    which, count = "all", 0
    if isinstance(gives, Percent | AmountOff | FixedPrice):
        which, count = gives.units.which, gives.units.count
    elif isinstance(gives, Stamps):
        which, count = gives.which, _stamp_rewards(candidate, gives, state.scene)
    return sum(units for _, _, units in _selected(candidate, state, which, count) or ())


def stamps_on(candidate: Candidate, scene: Scene) -> int:
    """Return how many stamps this receipt adds."""
    return sum(scene.lines[line].units for line in candidate.lines)


def _stamp_rewards(candidate: Candidate, gives: Stamps, scene: Scene) -> int:
    return (candidate.counter % gives.every + stamps_on(candidate, scene)) // gives.every


def _stamps(candidate: Candidate, gives: Stamps, state: State) -> Wish:
    rewards = _stamp_rewards(candidate, gives, state.scene)
    if not rewards:
        return _NOTHING
    units = _selected(candidate, state, gives.which, rewards) or []
    if isinstance(gives.off, PriceEach):
        above = _above_price(gives.off.amount_minor, units, state.scene)
        off_minor = sum(price * count for price, _, count in above)
    else:
        off_minor = multibuy.taken_off(gives.off, units)
    return _shared(off_minor, _by_line(units), moves=True)


_REWARDS: dict[type, _Reward] = {
    Percent: _percent,  # type: ignore[dict-item]
    AmountOff: _amount,  # type: ignore[dict-item]
    FixedPrice: _price,  # type: ignore[dict-item]
    CardPrice: _card_price,  # type: ignore[dict-item]
    UnitRates: _unit_rates,  # type: ignore[dict-item]
    Steps: _steps,  # type: ignore[dict-item]
    Stamps: _stamps,  # type: ignore[dict-item]
}
