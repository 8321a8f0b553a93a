"""What the offers that acted needed, frozen for returns that break it (design: receipt 7).

`standing` asks it again of the goods that stay.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise, product

from loyalty.acting import takes
from loyalty.combination import Combination
from loyalty.compilation import CLAIMING
from loyalty.conditions import Situation, compile_need
from loyalty.frozen import Condition, Counts, LowerStep, Threshold, UnitRule, UnitsSeen
from loyalty.limits import ALTERNATIVES_MAX
from loyalty.matching import compile_match
from loyalty.multibuy import shape
from loyalty.offers import (
    AmountEach,
    BuyGet,
    EveryLine,
    EveryNth,
    LineMatch,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsLines,
    NForM,
    Off,
    PartsSet,
    PercentOff,
    PointsMultiplier,
    PointsPerMoney,
    Stamps,
    Steps,
    UnitRates,
)
from loyalty.rewards import stamps_on, step_reached, units_held
from loyalty.scene import Candidate, Scene, State, begin

_COUNTS: Mapping[str, Counts] = {"paid": "paid", "discounted": "discounted", "gross": "amount"}


@dataclass(slots=True)
class Frozen:
    """What a receipt keeps for its returns."""

    conditions: list[Condition] = field(default_factory=list)
    unit_rules: list[UnitRule] = field(default_factory=list)
    _matched: dict[LineMatch, list[int]] = field(default_factory=dict)

    def matched(self, match: LineMatch, scene: Scene) -> list[int]:
        """Return the indexes of the lines that match; many offers ask for the same ones."""
        if match not in self._matched:
            matches = compile_match(match)
            self._matched[match] = [line.index for line in scene.lines if matches(line.seen())]
        return self._matched[match]


def freeze(
    combination: Combination,
    situation: Situation,
    scene: Scene,
    points: Sequence[Candidate],
    earned: Mapping[str, Mapping[int, int]],
) -> Frozen:
    """Return what the offers that acted needed.

    Args:
        points: points offers, in acting order.
        earned: offer id -> line index -> points.
    """
    frozen = Frozen()
    state = begin(scene)
    acted: list[str] = []
    for candidate, _ in combination.acted:
        members = candidate.members or (candidate,)
        acting = [one for one in members if one.offer_id in combination.discounts]
        for actor in acting:
            freezer = _Freezer(actor, situation, scene, frozen, tuple(acted))
            freezer.needs()
            freezer.price(state, combination)
        for actor in acting:
            offs = combination.discounts[actor.offer_id]
            for line, off in offs.items():
                state.left[line] -= off
                if actor.compiled.claiming:
                    state.claimed_off[line] += off
            acted.append(actor.offer_id)
    for candidate in points:
        if candidate.offer_id in earned:
            freezer = _Freezer(candidate, situation, scene, frozen)
            freezer.needs()
            freezer.points(earned[candidate.offer_id], combination.left)
    return frozen


@dataclass(slots=True)
class _Freezer:
    """Freezes what one offer needed.

    Attributes:
        before: price offers that acted before it.
    """

    actor: Candidate
    situation: Situation
    scene: Scene
    frozen: Frozen
    before: tuple[str, ...] = ()

    def _named(self, lines: Sequence[int]) -> tuple[str, ...]:
        """Return the ids of lines; none when it is all of them."""
        if len(lines) == len(self.scene.lines):
            return ()
        return tuple(self.scene.lines[at].source.line_id for at in lines)

    # Needs

    def needs(self) -> None:
        """Freeze the thresholds that must hold, in `needs` or wherever in it they stand."""
        for first, *others in self._clauses(self.actor.compiled.offer.needs):
            self.frozen.conditions.append(
                Condition(
                    offer_id=self.actor.offer_id,
                    counts=first.counts,
                    at_least=first.at_least,
                    lines=first.lines,
                    offers=first.offers,
                    or_else=tuple(others),
                )
            )

    def _clauses(self, need: Need) -> list[list[Threshold]]:
        """Return thresholds: of each list one must hold. What returns cannot break has none."""
        if isinstance(need, NeedsLines):
            return [[one] for one in self._thresholds(need)]
        if isinstance(need, NeedsAll):
            return [clause for part in need.of for clause in self._clauses(part)]
        if isinstance(need, NeedsAny):
            # What did not hold when the receipt was made holds with fewer goods no more.
            holding = [part for part in need.of if compile_need(part)(self.situation, ()) is None]
            ways = [self._clauses(part) for part in holding]
            joined = islice(product(*ways), ALTERNATIVES_MAX)
            return [[one for clause in choice for one in clause] for choice in joined]
        return []

    def _thresholds(self, need: NeedsLines) -> Iterator[Threshold]:
        counts: Counts = "amount"
        offers: tuple[str, ...] = ()
        if need.basis == "running" and self.before:
            counts, offers = "running", self.before
        asked: tuple[tuple[Counts, int, tuple[str, ...]], ...] = (
            ("quantity", need.quantity_min, ()),
            (counts, need.amount_minor_min, offers),
            ("distinct", need.distinct_min, ()),
        )
        lines: tuple[str, ...] = ()
        if not isinstance(need.match, EveryLine):
            lines = self._named(self.frozen.matched(need.match, self.scene))
        for counts, at_least, offers in asked:
            if at_least:
                yield Threshold(counts=counts, at_least=at_least, lines=lines, offers=offers)

    # Rewards that ask for goods themselves

    def price(self, state: State, combination: Combination) -> None:
        """Freeze steps, stamps, sets and rates.

        Args:
            state: as the offer met it.
        """
        gives = self.actor.compiled.offer.gives
        if isinstance(gives, Steps):
            self._steps(gives, state)
        elif isinstance(gives, Stamps):
            self._stamps(gives)
        elif isinstance(gives, CLAIMING):
            self.frozen.unit_rules.append(self._sets(gives, state, combination))
        elif isinstance(gives, UnitRates) and any(a < b for a, b in pairwise(gives.rates_ppm)):
            self.frozen.unit_rules.append(self._rates(gives, state))

    def _steps(self, gives: Steps, state: State) -> None:
        actor = self.actor
        _, reached = step_reached(actor, gives, state)
        counts: Counts = "quantity"
        if gives.by == "amount":
            counts = "running" if gives.basis == "running" and self.before else "amount"
        lower = []
        for number in range(1, reached):
            below = replace(actor.offer, gives=replace(gives, steps=gives.steps[:number]))
            offs = takes(
                Candidate(replace(actor.compiled, offer=below), actor.lines, counted=actor.counted),
                state,
            )
            lower.append(
                LowerStep(
                    at_least=gives.steps[number - 1].at_least,
                    off_minor=tuple(offs.get(line, 0) for line in actor.lines),
                )
            )
        self.frozen.conditions.append(
            Condition(
                offer_id=actor.offer_id,
                counts=counts,
                at_least=gives.steps[reached - 1].at_least,
                lines=self._named(actor.lines),
                offers=self.before if counts == "running" else (),
                lower=tuple(lower),
            )
        )

    def _stamps(self, gives: Stamps) -> None:
        had = self.actor.counter % gives.every
        rewards = (had + stamps_on(self.actor, self.scene)) // gives.every
        most = self.actor.compiled.offer.limits.units_max
        self.frozen.conditions.append(
            Condition(
                offer_id=self.actor.offer_id,
                counts="units",
                at_least=gives.every,
                lines=self._named(self.actor.lines),
                sets=min(rewards, most) if most else rewards,
                had=had,
            )
        )

    def _sets(self, gives: object, state: State, combination: Combination) -> UnitRule:
        held = units_held(self.actor, state, combination.held.get(self.actor.offer_id))
        goods = tuple(self._seen(units) for units in held)
        limits = self.actor.compiled.offer.limits
        sets = limits.sets_max
        if limits.once_per_code:
            sets = min(sets, self.actor.codes) if sets else self.actor.codes
        rule = UnitRule(
            offer_id=self.actor.offer_id,
            kind="parts",
            numbers=(),
            sets_max=sets,
            units_max=limits.units_max,
            units_per_line_max=limits.units_per_line_max,
            goods=goods,
        )
        if isinstance(gives, PartsSet):
            numbers = tuple(part.units for part in gives.parts)
            return _with_off(replace(rule, numbers=numbers), gives.off)
        assert isinstance(gives, NForM | EveryNth | BuyGet)
        units, paid, off, partial = shape(gives)
        return _with_off(
            replace(
                rule,
                kind="other_goods"
                if isinstance(gives, BuyGet) and len(goods) > 1
                else "same_goods",
                numbers=(paid, units - paid),
                partial=partial,
                cheapest_of_all=isinstance(gives, NForM) and gives.free == "cheapest_of_all",
            ),
            off,
        )

    def _seen(self, units: Iterable[tuple[int, int, int]]) -> tuple[UnitsSeen, ...]:
        found: dict[int, tuple[int, int]] = {}
        for price, line, count in units:
            number, cost = found.get(line, (0, 0))
            found[line] = (number + count, cost + price * count)
        return tuple(
            UnitsSeen(line_id=self.scene.lines[line].source.line_id, units=number, price_minor=cost)
            for line, (number, cost) in sorted(found.items())
        )

    def _rates(self, gives: UnitRates, state: State) -> UnitRule:
        scene, initial = self.scene, self.actor.compiled.offer.combines.base == "initial"
        seen = tuple(
            UnitsSeen(
                line_id=scene.lines[line].source.line_id,
                units=scene.lines[line].units,
                price_minor=scene.gross[line]
                if initial
                else state.left[line] + state.claimed_off[line],
            )
            for line in self.actor.lines
        )
        return UnitRule(
            offer_id=self.actor.offer_id,
            kind="rates",
            numbers=gives.rates_ppm,
            cheapest_first=gives.first == "cheapest",
            each_line=gives.per == "line",
            goods=(seen,),
        )

    # Points

    def points(self, by_line: Mapping[int, int], left_minor: Sequence[int]) -> None:
        """Freeze whole steps of money, and which offers a multiplier multiplies."""
        offer = self.actor.compiled.offer
        gives = offer.gives
        if isinstance(gives, PointsMultiplier):
            asking = {one.offer_id for one in self.frozen.conditions}
            if asking.intersection(gives.of):
                self.frozen.conditions.append(
                    Condition(offer_id=offer.offer_id, counts="points", at_least=1, offers=gives.of)
                )
        if not (isinstance(gives, PointsPerMoney) and gives.counting == "whole_steps"):
            return
        gross = self.scene.gross
        lines = [
            at
            for at in self.actor.lines
            if offer.combines.on_discounted or left_minor[at] == gross[at]
        ]
        each_line = offer.combines.group != "" and offer.combines.mode == "best_per_line"
        for own in [[at] for at in by_line] if each_line else [lines]:
            given = sum(by_line.get(at, 0) for at in own)
            self.frozen.conditions.append(
                Condition(
                    offer_id=offer.offer_id,
                    counts=_COUNTS[gives.basis],
                    at_least=gives.per_minor,
                    lines=self._named(own),
                    sets=-(-given // gives.points),
                    each_line=each_line,
                )
            )


def _with_off(rule: UnitRule, off: Off) -> UnitRule:
    if isinstance(off, PercentOff):
        return replace(rule, off="percent", amount=off.rate_ppm)
    if isinstance(off, AmountEach):
        return replace(rule, off="amount", amount=off.amount_minor)
    return replace(rule, off="price", amount=off.amount_minor)
