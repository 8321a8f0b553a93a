"""Why each offer did what it did, and what the customer could still do (design: receipt 8)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from loyalty.acting import is_at_floor
from loyalty.calculation import Reason
from loyalty.combination import Combination
from loyalty.compilation import CLAIMING
from loyalty.drawing import used_up
from loyalty.earning import Earning
from loyalty.handing_out import HandedOut
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.multibuy import shape
from loyalty.offers import BuyGet, EveryNth, NForM, PartsSet, Stamps, Steps
from loyalty.reasons import HINTS, ReasonCode
from loyalty.rewards import stamps_on, step_reached
from loyalty.scene import Candidate, Scene, State, begin

_APPLIED = ReasonCode.APPLIED
_BY_OFFER_AND_CODE = attrgetter("offer_id", "code")


def why_nothing_off(
    candidates: Sequence[Candidate], combination: Combination, scene: Scene
) -> Iterator[Reason]:
    """Yield one reason for each price offer that might have acted and took nothing off."""
    if candidates:
        met = {candidate.rank: state for candidate, state in combination.acted}
        start = begin(scene)
        holding = [
            actor
            for actor, _ in combination.acted
            if actor.claims and actor.offer_id in combination.discounts
        ]
        for candidate in candidates:
            state = met.get(candidate.rank, start)
            yield _why_not(candidate, state, combination, holding)


def _why_not(
    candidate: Candidate, state: State, combination: Combination, holding: Iterable[Candidate]
) -> Reason:
    """Return why an offer took nothing off.

    Args:
        state: what it met when it acted, or the state before any offer.
        holding: multi-buys that took something off with units that are theirs alone.
    """
    offer_id = candidate.offer_id
    winner = combination.lost_to.get(offer_id)
    if winner in combination.discounts or winner in combination.cut:
        return Reason(offer_id, ReasonCode.LOST_TO, {"to": winner})
    if offer_id in combination.cut:
        return Reason(offer_id, ReasonCode.RECEIPT_LIMIT, {"limit_minor": combination.most_minor})
    return _shortfall(candidate, state, combination, holding)


def points_reasons(
    candidates: Sequence[Candidate], earning: Earning, *, figure: str = "points"
) -> Iterator[Reason]:
    """Yield one reason for each points offer that might have acted.

    Args:
        figure: what the points are called.
    """
    for candidate in candidates:
        offer_id = candidate.compiled.offer.offer_id
        if offer_id in earning.by_offer:
            points = sum(earning.by_offer[offer_id].values())
            yield Reason(offer_id=offer_id, code=ReasonCode.APPLIED, figures={figure: points})
        elif offer_id in earning.refused:
            yield Reason(offer_id, *earning.refused[offer_id])
        elif offer_id in earning.lost_to:
            winner = earning.lost_to[offer_id]
            yield Reason(offer_id=offer_id, code=ReasonCode.LOST_TO, figures={"to": winner})
        else:
            yield Reason(offer_id=offer_id, code=ReasonCode.NOTHING_TO_GIVE)


def hand_out_reasons(
    candidates: Sequence[Candidate], handed: HandedOut, lost_to: Mapping[str, str]
) -> Iterator[Reason]:
    """Yield one reason for each offer that hands something out."""
    by_offer = {hand_out.offer_id: hand_out for hand_out in handed.given}
    for candidate in candidates:
        offer_id = candidate.offer_id
        hand_out = by_offer.get(offer_id)
        if hand_out is not None:
            figures: dict[str, int | str] = {"quantity": hand_out.quantity, "kind": hand_out.kind}
            if hand_out.what:
                figures["what"] = hand_out.what
            yield Reason(offer_id=offer_id, code=ReasonCode.APPLIED, figures=figures)
        elif offer_id in handed.refused:
            yield Reason(offer_id, *handed.refused[offer_id])
        elif offer_id in lost_to:
            winner = lost_to[offer_id]
            yield Reason(offer_id=offer_id, code=ReasonCode.LOST_TO, figures={"to": winner})
        else:
            yield Reason(offer_id=offer_id, code=ReasonCode.NOTHING_TO_GIVE)


def hints(reasons: Iterable[Reason], combination: Combination) -> list[Reason]:
    """Return what the customer can still do: what is missing, and what more there would be."""
    found = [reason for reason in reasons if reason.code is not _APPLIED and reason.code in HINTS]
    for candidate, state in combination.acted:
        if (
            candidate.compiled.keeps_state
            and candidate.offer_id in combination.discounts
            and (more := _more(candidate, state, combination))
        ):
            found.append(more)
    found.sort(key=_BY_OFFER_AND_CODE)
    return found


def _reason(candidate: Candidate, code: ReasonCode, have: int, need: int) -> Reason:
    return Reason(candidate.offer_id, code, {"have": have, "need": need, "missing": need - have})


def _shortfall(
    candidate: Candidate, state: State, combination: Combination, holding: Iterable[Candidate]
) -> Reason:
    """Return why an offer that acted took nothing off."""
    compiled, offer_id = candidate.compiled, candidate.offer_id
    gives = compiled.offer.gives
    if candidate.draws and (refused := used_up(candidate.draws, state.drawn)):
        return Reason(offer_id, *refused)
    if compiled.offer.limits.once_per_code and not candidate.codes:
        return Reason(offer_id, ReasonCode.CODE_MISSING)
    for lines, amount in candidate.counted:
        if (have := sum(state.left[line] for line in lines)) < amount:
            return _reason(candidate, ReasonCode.AMOUNT_MISSING, have, amount)
    if compiled.claiming:
        found = _units_missing(candidate, state.scene) or _units_taken(candidate, holding)
        if found:
            return found
    if isinstance(gives, Steps) and (more := _more(candidate, state, combination)):
        return more
    if isinstance(gives, Stamps) and (found := _stamps_missing(candidate, gives, state.scene)):
        return found
    if is_at_floor(candidate, state, combination.held.get(offer_id)):
        left = sum([state.left[line] for line in candidate.reach])
        return Reason(offer_id, ReasonCode.PRICE_FLOOR, {"left_minor": left})
    return Reason(offer_id, ReasonCode.NOTHING_TO_GIVE)


def _stamps_missing(candidate: Candidate, gives: Stamps, scene: Scene) -> Reason | None:
    stamps = candidate.counter % gives.every + stamps_on(candidate, scene)
    if stamps >= gives.every:
        return None
    figures = {"stamps": stamps, "missing": gives.every - stamps}
    return Reason(candidate.offer_id, ReasonCode.STAMPS_MISSING, figures)


def _pieces(lines: Iterable[int], scene: Scene) -> int:
    of = scene.lines
    return sum([of[line].pieces for line in lines])


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
        have, needed = _pieces(candidate.reach, scene), sum(part.units for part in gives.parts)
    elif candidate.parts:
        assert isinstance(gives, BuyGet)
        return _side_missing(candidate, gives, scene)
    else:
        have, needed = _pieces(candidate.lines, scene), _set_units(candidate)
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


def _units_taken(candidate: Candidate, holding: Iterable[Candidate]) -> Reason | None:
    """Return which other multi-buy holds the units this one would have used."""
    offer_id, reach = candidate.offer_id, candidate.reach
    if candidate.claims:
        for other in holding:
            if not reach.isdisjoint(other.reach):
                return Reason(offer_id, ReasonCode.LOST_TO, {"to": other.offer_id})
    return None


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
