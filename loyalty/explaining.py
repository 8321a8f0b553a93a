"""Why each offer did what it did, and what the customer could still do (design: receipt 8)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from loyalty.calculation import Condition, HandOut, Reason
from loyalty.combination import Combination
from loyalty.compilation import CLAIMING
from loyalty.conditions import line_needs
from loyalty.earning import Earning
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.matching import compile_match
from loyalty.multibuy import shape
from loyalty.offers import BuyGet, EveryNth, NForM, PartsSet, Stamps, Steps
from loyalty.reasons import HINTS, ReasonCode
from loyalty.rewards import formed, stamps_on, step_reached
from loyalty.scene import Candidate, Scene, State, begin


def price_reasons(
    candidates: Sequence[Candidate], combination: Combination, scene: Scene
) -> Iterator[Reason]:
    """Yield one reason for each price offer that might have acted."""
    discounts = combination.discounts
    states: dict[int, tuple[Candidate, State]] | None = None
    for candidate in candidates:
        offer_id = candidate.compiled.offer.offer_id
        if offer_id in discounts:
            off = sum(discounts[offer_id].values())
            yield Reason(
                offer_id=offer_id, code=ReasonCode.APPLIED, figures={"discount_minor": off}
            )
            continue
        winner = combination.lost_to.get(offer_id)
        if winner in discounts or winner in combination.cut:
            yield Reason(offer_id=offer_id, code=ReasonCode.LOST_TO, figures={"to": winner})
        elif offer_id in combination.cut:
            yield Reason(offer_id=offer_id, code=ReasonCode.RECEIPT_LIMIT)
        else:
            if states is None:
                states = {c.rank: (c, state) for c, state in combination.acted}
            found = states.get(candidate.rank)
            yield _shortfall(candidate, found[1] if found else begin(scene), combination)


def points_reasons(candidates: Sequence[Candidate], earning: Earning) -> Iterator[Reason]:
    """Yield one reason for each points offer that might have acted."""
    for candidate in candidates:
        offer_id = candidate.compiled.offer.offer_id
        if offer_id in earning.by_offer:
            points = sum(earning.by_offer[offer_id].values())
            yield Reason(offer_id=offer_id, code=ReasonCode.APPLIED, figures={"points": points})
        elif offer_id in earning.lost_to:
            winner = earning.lost_to[offer_id]
            yield Reason(offer_id=offer_id, code=ReasonCode.LOST_TO, figures={"to": winner})
        else:
            yield Reason(offer_id=offer_id, code=ReasonCode.NOTHING_TO_GIVE)


def hand_out_reasons(
    candidates: Sequence[Candidate], given: Iterable[HandOut], lost_to: Mapping[str, str]
) -> Iterator[Reason]:
    """Yield one reason for each offer that hands something out."""
    by_offer = {hand_out.offer_id: hand_out for hand_out in given}
    for candidate in candidates:
        offer_id = candidate.offer_id
        hand_out = by_offer.get(offer_id)
        if hand_out is not None:
            figures: dict[str, int | str] = {"quantity": hand_out.quantity, "kind": hand_out.kind}
            if hand_out.what:
                figures["what"] = hand_out.what
            yield Reason(offer_id=offer_id, code=ReasonCode.APPLIED, figures=figures)
        elif offer_id in lost_to:
            winner = lost_to[offer_id]
            yield Reason(offer_id=offer_id, code=ReasonCode.LOST_TO, figures={"to": winner})
        else:
            yield Reason(offer_id=offer_id, code=ReasonCode.NOTHING_TO_GIVE)


def hints(reasons: Iterable[Reason], combination: Combination) -> list[Reason]:
    """Return what the customer can still do: what is missing, and what more there would be."""
    found = [reason for reason in reasons if reason.code in HINTS]
    for candidate, state in combination.acted:
        if candidate.offer_id in combination.discounts and (
            more := _more(candidate, state, combination)
        ):
            found.append(more)
    found.sort(key=lambda reason: (reason.offer_id, reason.code))
    return found


def conditions(combination: Combination, scene: Scene) -> tuple[Condition, ...]:
    """Return what the offers that acted needed, for returns that break it (design: receipt 7)."""
    found: list[Condition] = []
    for candidate, state in combination.acted:
        for actor in candidate.members or (candidate,):
            if actor.offer_id in combination.discounts:
                found += _needed(actor, scene)
                if isinstance(actor.compiled.offer.gives, CLAIMING):
                    found += _sets_needed(actor, state, scene, combination)
    return tuple(found)


def _reason(candidate: Candidate, code: ReasonCode, have: int, need: int) -> Reason:
    return Reason(
        offer_id=candidate.offer_id,
        code=code,
        figures={"have": have, "need": need, "missing": need - have},
    )


def _shortfall(candidate: Candidate, state: State, combination: Combination) -> Reason:
    """Return why an offer that acted took nothing off."""
    gives = candidate.compiled.offer.gives
    if candidate.compiled.offer.limits.once_per_code and not candidate.codes:
        return Reason(offer_id=candidate.offer_id, code=ReasonCode.CODE_MISSING)
    for lines, amount in candidate.counted:
        if (have := sum(state.left[line] for line in lines)) < amount:
            return _reason(candidate, ReasonCode.AMOUNT_MISSING, have, amount)
    if isinstance(gives, CLAIMING):
        missing = _units_missing(candidate, state.scene)
        return missing or _units_taken(candidate, combination)
    if isinstance(gives, Steps) and (more := _more(candidate, state, combination)):
        return more
    if isinstance(gives, Stamps):
        stamps = candidate.counter % gives.every + stamps_on(candidate, state.scene)
        if stamps < gives.every:
            return Reason(
                offer_id=candidate.offer_id,
                code=ReasonCode.STAMPS_MISSING,
                figures={"stamps": stamps, "missing": gives.every - stamps},
            )
    return Reason(offer_id=candidate.offer_id, code=ReasonCode.NOTHING_TO_GIVE)


def _pieces(lines: Iterable[int], scene: Scene) -> int:
    return sum(scene.lines[line].pieces for line in lines)


def _units_missing(candidate: Candidate, scene: Scene) -> Reason | None:
    """Return how many units the basket lacks for the first set."""
    gives = candidate.compiled.offer.gives
    if isinstance(gives, PartsSet):
        for part, lines in zip(gives.parts, candidate.parts, strict=True):
            if (have := _pieces(lines, scene)) < part.units:
                return Reason(
                    offer_id=candidate.offer_id,
                    code=ReasonCode.PART_MISSING,
                    figures={
                        "part": part.name,
                        "have": have * UNIT_THOUSANDTHS,
                        "missing": (part.units - have) * UNIT_THOUSANDTHS,
                    },
                )
        reach, needed = candidate.reach, sum(part.units for part in gives.parts)
    elif candidate.parts:
        assert isinstance(gives, BuyGet)
        return _side_missing(candidate, gives, scene)
    else:
        reach, needed = frozenset(candidate.lines), _set_units(candidate)
    have = _pieces(reach, scene)
    if have >= needed:
        return None
    return _reason(
        candidate,
        ReasonCode.QUANTITY_MISSING,
        have * UNIT_THOUSANDTHS,
        needed * UNIT_THOUSANDTHS,
    )


def _side_missing(candidate: Candidate, gives: BuyGet, scene: Scene) -> Reason | None:
    """Return what is missing of the goods to buy, or else of the goods to get."""
    get_lines = frozenset(candidate.parts[0])
    bought = _pieces(candidate.lines, scene)
    buy_only = _pieces(frozenset(candidate.lines) - get_lines, scene)
    got = _pieces(get_lines, scene) - max(0, gives.buy_units - buy_only)
    least = 1 if gives.partial else gives.get_units
    for have, need in ((bought, gives.buy_units), (max(0, got), least)):
        if have < need:
            return _reason(
                candidate,
                ReasonCode.QUANTITY_MISSING,
                have * UNIT_THOUSANDTHS,
                need * UNIT_THOUSANDTHS,
            )
    return None


def _set_units(candidate: Candidate) -> int:
    gives = candidate.compiled.offer.gives
    if isinstance(gives, NForM):
        return gives.units
    if isinstance(gives, EveryNth):
        return gives.every
    assert isinstance(gives, BuyGet)
    return gives.buy_units + (1 if gives.partial else gives.get_units)


def _units_taken(candidate: Candidate, combination: Combination) -> Reason:
    """Return which other multi-buy holds the units this one would have used."""
    reach = candidate.reach
    if candidate.claims:
        for other, _ in combination.acted:
            taken = combination.discounts.get(other.offer_id)
            if taken and other.claims and not reach.isdisjoint(other.reach):
                return Reason(
                    offer_id=candidate.offer_id,
                    code=ReasonCode.LOST_TO,
                    figures={"to": other.offer_id},
                )
    return Reason(offer_id=candidate.offer_id, code=ReasonCode.NOTHING_TO_GIVE)


def _more(candidate: Candidate, state: State, combination: Combination) -> Reason | None:
    """Return what is missing for the next step, or for the next set of a begun one."""
    gives = candidate.compiled.offer.gives
    if isinstance(gives, Steps):
        have, reached = step_reached(candidate, gives, state)
        if reached == len(gives.steps):
            return None
        code = ReasonCode.QUANTITY_MISSING if gives.by == "quantity" else ReasonCode.AMOUNT_MISSING
        return _reason(candidate, code, have, gives.steps[reached].at_least)
    if not isinstance(gives, CLAIMING) or isinstance(gives, PartsSet) or candidate.parts:
        return None
    held = combination.held.get(candidate.offer_id)
    have = (
        _pieces(candidate.lines, state.scene)
        if held is None
        else sum(count for _, count in held.values())
    )
    limit = candidate.compiled.offer.limits.sets_max
    need = _next_set(gives, have, limit)
    if not need:
        return None
    return _reason(
        candidate,
        ReasonCode.QUANTITY_MISSING,
        have * UNIT_THOUSANDTHS,
        need * UNIT_THOUSANDTHS,
    )


def _next_set(gives: NForM | EveryNth | BuyGet, have: int, sets_max: int) -> int:
    """Return how many units a set more takes, where one is begun; else 0."""
    size, paid, _, partial = shape(gives)
    sets, begun = divmod(have, size)
    if not begun or (sets_max and sets >= sets_max):
        return 0
    if not partial:
        return (sets + 1) * size
    return have + 1 if begun > paid else sets * size + paid + 1


def _needed(actor: Candidate, scene: Scene) -> Iterator[Condition]:
    for need in line_needs(actor.compiled.offer.needs):
        match = compile_match(need.match)
        lines = tuple(line.source.line_id for line in scene.lines if match(line.seen()))
        for counts, at_least in (
            ("quantity", need.quantity_min),
            ("amount", need.amount_minor_min),
            ("distinct", need.distinct_min),
        ):
            if at_least:
                yield Condition(
                    offer_id=actor.offer_id, counts=counts, at_least=at_least, lines=lines
                )


def _sets_needed(
    actor: Candidate, state: State, scene: Scene, combination: Combination
) -> Iterator[Condition]:
    """Yield what each kind of units of the sets must amount to."""
    gives = actor.compiled.offer.gives
    sets = formed(actor, state, combination.held.get(actor.offer_id))
    kinds: list[tuple[int, Sequence[int]]] = [(sets.set_units, sorted(sets.pieces))]
    if isinstance(gives, PartsSet):
        kinds = [(part.units, lines) for part, lines in zip(gives.parts, actor.parts, strict=True)]
    elif isinstance(gives, BuyGet) and actor.parts:
        kinds = [(gives.buy_units, actor.lines), (gives.get_units, actor.parts[0])]
    for units, lines in kinds:
        yield Condition(
            offer_id=actor.offer_id,
            counts="quantity",
            at_least=units * UNIT_THOUSANDTHS,
            lines=tuple(scene.lines[at].source.line_id for at in lines if at in sets.pieces),
            sets=sets.sets,
        )
