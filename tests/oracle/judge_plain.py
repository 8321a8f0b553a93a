"""What the judge lets an offer take off that claims no units."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from loyalty.offers import (
    AmountEach,
    AmountOff,
    CardPrice,
    FixedPrice,
    Off,
    Offer,
    Percent,
    PercentOff,
    PriceEach,
    Stamps,
    Steps,
    UnitRates,
    Units,
)
from tests.oracle.judge_arithmetic import MILLION, halves_up, share_out
from tests.oracle.judge_state import (
    PIECE,
    Case,
    Sold,
    State,
    Unit,
    cheapest_first,
    codes_needed,
    dearest_first,
)


@dataclass
class Wish:
    """What an offer would take off its lines, were there no floors and no maximum.

    Attributes:
        moves: the offer has one total, so that what a line refuses goes to the others.
        others: weights of further lines, which take what all these refuse: first of all lines
            whose share is rounded to nothing.
    """

    shares: list[int]
    moves: bool = False
    others: list[int] = field(default_factory=list)


@dataclass
class Scene:
    """One offer about to act on its lines."""

    case: Case
    offer: Offer
    lines: list[Sold]
    state: State

    def split(self, total: int, weights: list[int]) -> Wish:
        """Return a wish of one total for the whole offer, split by the weights."""
        shares = share_out(total, weights)
        others = [0 if share else w for share, w in zip(shares, weights, strict=True)]
        return Wish(shares, moves=True, others=others)

    def settled(self, wish: Wish, most: int) -> dict[int, int]:
        """Return what the offer takes off each line, within floors and maximums."""
        if self.offer.limits.discount_minor_max:
            most = min(most, self.offer.limits.discount_minor_max)
        rooms = [self.state.room(self.case, self.offer, line) for line in self.lines]
        if not wish.moves:
            shares = [min(share, room) for share, room in zip(wish.shares, rooms, strict=True)]
            if sum(shares) > most:
                shares = share_out(most, shares)
        else:
            total = min(sum(wish.shares), most)
            shares = fitting(total, wish.shares, rooms)
            more = fitting(total - sum(shares), wish.others or [0] * len(rooms), rooms)
            shares = [share + extra for share, extra in zip(shares, more, strict=True)]
        return {line.index: share for line, share in zip(self.lines, shares, strict=True)}

    def each(self, off: Callable[["Part"], int], units: Units) -> Wish:
        """Return a wish found line by line."""
        return Wish([off(part) for part in self.parts(units)])

    def parts(self, units: Units) -> list["Part"]:
        """Return of each line what the offer works on: all of it, or some of its units."""
        if units.which == "all" and not self.unit_limits():
            whole = self.state.base
            return [
                Part(line, whole(self.offer, line), line.quantity, self.prices(line))
                for line in self.lines
            ]
        everything = [unit for line in self.lines for unit in self.state.units(self.offer, line)]
        order = cheapest_first if units.which == "cheapest" else dearest_first
        chosen = self.limited(sorted(everything, key=order), units.count)
        return [
            Part(line, sum(prices), line.quantity if line.weighed else PIECE * len(prices), prices)
            for line in self.lines
            for prices in [[unit.price for unit in chosen if unit.line == line.index]]
        ]

    def prices(self, line: Sold) -> list[int]:
        """Return the prices of all units of a line."""
        return [unit.price for unit in self.state.units(self.offer, line)]

    def unit_limits(self) -> bool:
        """Say whether only so many units may be made cheaper."""
        limits = self.offer.limits
        return bool(limits.units_max or limits.units_per_line_max or limits.once_per_code)

    def limited(self, units: list[Unit], count: int) -> list[Unit]:
        """Return the first of these units that the offer's limits let it make cheaper.

        Args:
            count: how many at most; 0 = no such limit.
        """
        limits = self.offer.limits
        most = min(count or len(units), limits.units_max or len(units))
        if limits.once_per_code:
            most = min(most, codes_held(self.case, self.offer))
        kept: list[Unit] = []
        on_line: Counter[int] = Counter()
        for unit in units:
            if not limits.units_per_line_max or on_line[unit.line] < limits.units_per_line_max:
                on_line[unit.line] += 1
                kept.append(unit)
        return kept[:most]


@dataclass
class Part:
    """What of one line an offer works on: its price, its quantity, the prices of its units."""

    line: Sold
    price: int
    quantity: int
    prices: list[int]


def fitting(total: int, weights: list[int], rooms: list[int]) -> list[int]:
    """Split as much of the total as the places with a weight have room for."""
    able = sum(room for room, weight in zip(rooms, weights, strict=True) if weight)
    return share_out(min(total, able), weights, rooms)


def codes_held(case: Case, offer: Offer) -> int:
    """Return how many of the codes the offer needs were presented."""
    return len(codes_needed(offer.needs) & set(case.basket.codes))


def off_units(off: Off, prices: Sequence[int]) -> int:
    """Return what is taken off some units together."""
    if isinstance(off, PercentOff):
        return halves_up(sum(prices) * off.rate_ppm, MILLION)
    if isinstance(off, AmountEach):
        return sum(min(off.amount_minor, price) for price in prices)
    return sum(max(0, price - off.amount_minor) for price in prices)


def wished(scene: Scene) -> Wish:
    """Return what the offer would take off its lines."""
    gives = scene.offer.gives
    if isinstance(gives, Percent):
        return percent(scene, gives)
    if isinstance(gives, AmountOff):
        return amount(scene, gives)
    if isinstance(gives, FixedPrice):
        return fixed_price(scene, gives)
    if isinstance(gives, CardPrice):
        return card_price(scene, gives)
    if isinstance(gives, UnitRates):
        return unit_rates(scene, gives)
    if isinstance(gives, Steps):
        return steps(scene, gives)
    assert isinstance(gives, Stamps), gives
    return stamps(scene, gives)


def percent(scene: Scene, gives: Percent) -> Wish:
    prices = [part.price for part in scene.parts(gives.units)]
    if gives.rounding == "line":
        shares = [halves_up(price * gives.rate_ppm, MILLION) for price in prices]
        return Wish(shares)
    return scene.split(halves_up(sum(prices) * gives.rate_ppm, MILLION), prices)


def amount(scene: Scene, gives: AmountOff) -> Wish:
    parts = scene.parts(gives.units)
    if gives.per == "receipt":
        prices = [part.price for part in parts]
        return scene.split(min(gives.amount_minor, sum(prices)), prices)
    if gives.per == "line":
        return scene.each(lambda part: min(gives.amount_minor, part.price), gives.units)
    each = AmountEach(amount_minor=gives.amount_minor)
    return scene.each(lambda part: off_units(each, part.prices), gives.units)


def fixed_price(scene: Scene, gives: FixedPrice) -> Wish:
    if gives.per == "receipt":
        prices = [part.price for part in scene.parts(gives.units)]
        return scene.split(max(0, sum(prices) - gives.amount_minor), prices)
    if gives.per == "line":
        return scene.each(lambda part: max(0, part.price - gives.amount_minor), gives.units)
    whole = gives.units.which == "all" and not scene.unit_limits()

    def off(part: Part) -> int:
        if whole or part.line.weighed:
            return max(0, part.price - halves_up(gives.amount_minor * part.quantity, PIECE))
        return off_units(PriceEach(amount_minor=gives.amount_minor), part.prices)

    return scene.each(off, gives.units)


def card_price(scene: Scene, gives: CardPrice) -> Wish:
    def off(part: Part) -> int:
        price = gives.prices[part.line.sku]
        return max(
            0, part.price - halves_up(price.amount_minor * part.quantity, price.per_quantity)
        )

    return scene.each(off, Units())


def unit_rates(scene: Scene, gives: UnitRates) -> Wish:
    order = dearest_first if gives.first == "dearest" else cheapest_first
    by_line = [scene.state.units(scene.offer, line) for line in scene.lines]
    counts = by_line if gives.per == "line" else [[u for units in by_line for u in units]]
    rated = {
        unit: gives.rates_ppm[min(place, len(gives.rates_ppm) - 1)]
        for units in counts
        for place, unit in enumerate(sorted(units, key=order))
    }
    weights = [sum(unit.price * rated[unit] for unit in units) for units in by_line]
    if gives.per == "line":
        shares = [halves_up(weight, MILLION) for weight in weights]
        return Wish(shares)
    return scene.split(halves_up(sum(weights), MILLION), weights)


def steps(scene: Scene, gives: Steps) -> Wish:
    if gives.by == "quantity":
        count = sum(line.quantity for line in scene.lines)
    elif gives.basis == "running":
        count = sum(scene.state.left[line.index] for line in scene.lines)
    else:
        count = sum(line.gross for line in scene.lines)
    reached = [step.off for step in gives.steps if step.at_least <= count]
    if not reached:
        return Wish([0] * len(scene.lines))
    off = reached[-1]
    if isinstance(off, PercentOff):
        return percent(scene, Percent(rate_ppm=off.rate_ppm))
    if isinstance(off, AmountEach):
        return amount(scene, AmountOff(amount_minor=off.amount_minor))
    return fixed_price(scene, FixedPrice(amount_minor=off.amount_minor))


def stamps(scene: Scene, gives: Stamps) -> Wish:
    units = [unit for line in scene.lines for unit in scene.state.units(scene.offer, line)]
    held = scene.case.account.counters.get(f"stamps:{gives.counter}", 0)
    rewards = (held % gives.every + len(units)) // gives.every
    order = dearest_first if gives.which == "dearest" else cheapest_first
    rewarded = scene.limited(sorted(units, key=order), rewards) if rewards else []
    of_line = [[u.price for u in rewarded if u.line == line.index] for line in scene.lines]
    total = off_units(gives.off, [unit.price for unit in rewarded])
    if isinstance(gives.off, PriceEach):
        # A weighed line has its price for one selling unit.
        amount_of = {line.index: gives.off.amount_minor for line in scene.lines}
        for line in scene.lines:
            if line.weighed:
                amount_of[line.index] = halves_up(gives.off.amount_minor * line.quantity, PIECE)
        total = sum(max(0, unit.price - amount_of[unit.line]) for unit in rewarded)
    return scene.split(total, [sum(prices) for prices in of_line])
