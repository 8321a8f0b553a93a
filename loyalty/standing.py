"""What of discounts and points still stands when goods have come back (design: receipt 7).

What an offer gave on goods that stay is its frozen part of them. So much of it stands as the
conditions kept with the receipt justify: thresholds that are still reached, the step that still is,
the sets that the units that stay still form.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from loyalty.calculation import CalculatedLine, Calculation
from loyalty.frozen import Condition, Threshold, UnitRule, UnitsSeen
from loyalty.limits import PPM, UNIT_THOUSANDTHS
from loyalty.money import round_half_up
from loyalty.multibuy import Cap, Units, form, units_of
from loyalty.offers import (
    AmountEach,
    BuyGet,
    ClaimingReward,
    EveryLine,
    NForM,
    Off,
    Part,
    PartsSet,
    PercentOff,
    PriceEach,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Of what an offer gave: its part of the goods that stay, and how much of that stands.

    Attributes:
        justified: what its conditions justify, whatever has come back; never grows by a return.
    """

    stays: int
    stands: int
    justified: int
    of_points: bool = False


def first(total: int, part: int, whole: int) -> int:
    """Return what the first `part` of `whole` thousandths carry, rounded up."""
    return -(-total * part // whole)


def units_of_line(line: CalculatedLine, quantity: int) -> int:
    """Return the units in so much of a line; a weighed line is one, and comes back whole."""
    return int(quantity == line.quantity) if line.by_weight else quantity // UNIT_THOUSANDTHS


def what_stands(original: Calculation, returned: Mapping[str, int]) -> dict[str, Standing]:
    """Return, by id, what stands of the offers that had a condition.

    Args:
        returned: thousandths that have come back, by line id.
    """
    rules: dict[str, list[Condition | UnitRule]] = {}
    for condition in original.conditions:
        own = rules.setdefault(condition.offer_id, [])
        if condition.counts != "points":
            own.append(condition)
    for unit_rule in original.unit_rules:
        rules.setdefault(unit_rule.offer_id, []).append(unit_rule)
    if not rules or not any(returned.values()):
        return {}
    multiplied = [one for one in original.conditions if one.counts == "points"]
    for rule in multiplied:
        for offer_id in rule.offers:
            rules.setdefault(offer_id, [])
    goods = _Goods(original.lines, returned)
    given = _given(goods, rules)
    last = {rule.offer_id for rule in multiplied}
    found: dict[str, Standing] = {}
    for offer_id in sorted(given, key=last.__contains__):
        lost = sum(
            _lost_by_multiplying(rule, given, found)
            for rule in multiplied
            if rule.offer_id == offer_id
        )
        found[offer_id] = _standing(given[offer_id], rules[offer_id], goods, lost)
    return found


def _standing(
    gave: "_Gave", rules: Iterable[Condition | UnitRule], goods: "_Goods", lost: int
) -> Standing:
    """Weigh the conditions of one offer.

    Args:
        lost: points that are lost because others are that they multiply.
    """
    on_lines: dict[str, int] = {}
    whole = justified = sum(gave.whole.values())
    for rule in rules:
        stands: int | None
        if isinstance(rule, UnitRule):
            stands = _units_stand(rule, gave, goods)
        elif rule.each_line:
            _judge_lines(rule, gave, goods, on_lines)
            continue
        else:
            stands = _threshold_stands(rule, gave, goods, goods.count(rule))
        justified = justified if stands is None else min(justified, stands)
    stays = sum(gave.stays.values())
    left = stays - sum(max(0, gave.stays[name] - own) for name, own in on_lines.items())
    left = left * (whole - lost) // whole if lost else left
    justified -= sum(gave.whole[name] - own for name, own in on_lines.items())
    return Standing(stays, max(0, min(left, justified)), max(0, justified), gave.of_points)


@dataclass(slots=True)
class _Gave:
    """What an offer gave, and what of it is on goods that stay, by line id."""

    of_points: bool
    whole: dict[str, int] = field(default_factory=dict)
    stays: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Goods:
    """The lines of a receipt, and what has come back of each."""

    lines: Sequence[CalculatedLine]
    returned: Mapping[str, int]
    by_id: dict[str, CalculatedLine] = field(init=False)
    places: dict[str, int] = field(init=False)
    _counted: dict[Threshold, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_id = {line.line_id: line for line in self.lines}
        self.places = {line.line_id: at for at, line in enumerate(self.lines)}

    def count(self, asked: Threshold) -> int:
        """Return what a threshold still counts; many ask for the same."""
        key = Threshold(counts=asked.counts, at_least=0, lines=asked.lines, offers=asked.offers)
        if key not in self._counted:
            self._counted[key] = self.count_on(key, self.lines_of(key))
        return self._counted[key]

    def lines_of(self, asked: Threshold) -> Iterable[CalculatedLine]:
        """Return the lines a threshold counts."""
        return [self.by_id[name] for name in asked.lines] if asked.lines else self.lines

    def count_on(self, asked: Threshold, lines: Iterable[CalculatedLine]) -> int:
        """Return the same on some lines."""
        returned, counts = self.returned, asked.counts
        if counts == "distinct":
            return len({line.sku for line in lines if returned[line.line_id] < line.quantity})
        if counts == "quantity":
            return sum(line.quantity - returned[line.line_id] for line in lines)
        if counts == "units":
            return sum(
                units_of_line(line, line.quantity) - units_of_line(line, returned[line.line_id])
                for line in lines
            )
        before = frozenset(asked.offers)
        total = 0
        for line in lines:
            amount = _amount(line, counts, before)
            total += amount - first(amount, returned[line.line_id], line.quantity)
        return total


def _amount(line: CalculatedLine, counts: str, before: frozenset[str]) -> int:
    if counts == "paid":
        return line.paid_minor
    if counts == "discounted":
        return line.gross_minor - line.discount_minor
    if not before:
        return line.gross_minor
    taken = (effect.discount_minor for effect in line.effects if effect.offer_id in before)
    return line.gross_minor - sum(taken)


def _given(goods: _Goods, rules: Mapping[str, object]) -> dict[str, _Gave]:
    given: dict[str, _Gave] = {}
    for line in goods.lines:
        for effect in line.effects:
            if effect.offer_id not in rules:
                continue
            gave = given.setdefault(effect.offer_id, _Gave(bool(effect.points)))
            gone, name = goods.returned[line.line_id], line.line_id
            if effect.points:
                gave.whole[name] = effect.points
                gave.stays[name] = effect.points - first(effect.points, gone, line.quantity)
            else:
                gave.whole[name] = effect.discount_minor
                off = effect.discount_minor
                gave.stays[name] = off - off * gone // line.quantity
    return given


def _judge_lines(rule: Condition, gave: _Gave, goods: _Goods, on_lines: dict[str, int]) -> None:
    """Note what stands on lines that are counted one by one and have lost something."""
    for name in rule.lines or list(gave.whole):
        if name in gave.whole:
            count = goods.count_on(rule, [goods.by_id[name]])
            one = _Gave(gave.of_points, {name: gave.whole[name]})
            stands = _threshold_stands(rule, one, goods, count)
            if stands is not None:
                on_lines[name] = min(on_lines.get(name, gave.whole[name]), stands)


def _threshold_stands(rule: Condition, gave: _Gave, goods: _Goods, count: int) -> int | None:
    """Return what stands where a threshold is broken; None where it is not."""
    sets = (count + rule.had) // rule.at_least
    if sets >= rule.sets or any(goods.count(one) >= one.at_least for one in rule.or_else):
        return None
    if not rule.lower:
        return sum(gave.whole.values()) * sets // rule.sets
    reached = [step for step in rule.lower if step.at_least <= count]
    if not reached:
        return 0
    return sum(
        off - off * goods.returned[line.line_id] // line.quantity
        for line, off in zip(goods.lines_of(rule), reached[-1].off_minor, strict=True)
    )


def _lost_by_multiplying(
    rule: Condition, given: Mapping[str, _Gave], found: Mapping[str, Standing]
) -> int:
    """Return the points that are lost because those are that they multiply, in the same share."""
    gave = given[rule.offer_id]
    bases = [offer_id for offer_id in rule.offers if offer_id in found]
    weights = {
        offer_id: sum(given[offer_id].whole.get(name, 0) for name in gave.whole)
        for offer_id in bases
    }
    points, of = sum(gave.whole.values()), sum(weights.values())
    lost = 0
    for offer_id, weight in weights.items():
        whole = sum(given[offer_id].whole.values())
        broken = whole - found[offer_id].justified
        lost += -(-points * weight * broken // (of * whole)) if weight else 0
    return min(points, lost)


# Sets of units, and rates for one after the other


def _units_stand(rule: UnitRule, gave: _Gave, goods: _Goods) -> int | None:
    """Return what the units that stay are worth by their rule; None where all are there."""
    kinds = [[_Kept.of(seen, goods) for seen in kind] for kind in rule.goods]
    if all(kept.all_there for kind in kinds for kept in kind):
        return None
    if rule.kind != "rates":
        held = [_classes(kind) for kind in kinds]
        cap = Cap(rule.sets_max, rule.units_max, rule.units_per_line_max)
        return form(_reward(rule), held, cap).off_minor
    if not rule.each_line:
        return _rated(rule, _classes(kinds[0]))
    stands = sum(gave.stays.values())
    for kept in kinds[0]:
        own = gave.stays.get(kept.line_id, 0)
        stands -= own - min(own, own if kept.all_there else _rated(rule, _classes([kept])))
    return stands


@dataclass(frozen=True, slots=True)
class _Kept:
    """Units of a line that stay, as classes (`multibuy`)."""

    line_id: str
    at: int
    units: Units
    all_there: bool

    @staticmethod
    def of(seen: UnitsSeen, goods: _Goods) -> "_Kept":
        """Take away what has come back; first units that the offer did not have."""
        line, gone = goods.by_id[seen.line_id], goods.returned[seen.line_id]
        at = goods.places[seen.line_id]
        if line.by_weight:
            price = seen.price_minor - first(seen.price_minor, gone, line.quantity)
            units: Units = [(price, at, 1)] if gone < line.quantity else []
            return _Kept(seen.line_id, at, units, not gone)
        kept = min(seen.units, (line.quantity - gone) // UNIT_THOUSANDTHS)
        units = units_of(seen.price_minor, seen.units, at, 0, kept) if kept else []
        return _Kept(seen.line_id, at, units, kept == seen.units)


def _classes(kept: Iterable[_Kept]) -> Units:
    found = [units for one in kept for units in one.units]
    return sorted(found, key=lambda units: (-units[0], units[1]))


def _reward(rule: UnitRule) -> ClaimingReward:
    """Return a reward that forms the same sets; its own lines play no part in that."""
    off, numbers = _off(rule), rule.numbers
    if rule.kind == "parts":
        parts = [
            Part(name=str(at), lines=EveryLine(), units=units) for at, units in enumerate(numbers)
        ]
        return PartsSet(parts=tuple(parts), off=off)
    buy, get = numbers
    if rule.cheapest_of_all:
        return NForM(units=buy + get, pay=buy, free="cheapest_of_all")
    return BuyGet(buy_units=buy, get_units=get, off=off, partial=rule.partial)


def _off(rule: UnitRule) -> Off:
    if rule.off == "percent":
        return PercentOff(rate_ppm=rule.amount)
    if rule.off == "amount":
        return AmountEach(amount_minor=rule.amount)
    return PriceEach(amount_minor=rule.amount)


def _rated(rule: UnitRule, units: Units) -> int:
    """Return what the first unit's rate takes off, the second's and so on; the last goes on."""
    in_order = sorted(units, key=lambda unit: (unit[0], unit[1])) if rule.cheapest_first else units
    last = len(rule.numbers) - 1
    exact = at = 0
    for price, _, count in in_order:
        own = [rule.numbers[min(at + i, last)] for i in range(min(count, max(0, last - at) + 1))]
        exact += price * (sum(own) + (count - len(own)) * rule.numbers[-1])
        at += count
    return round_half_up(exact, PPM)
