"""From a basket to the offers that may act on it, and why the others may not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from loyalty import counters
from loyalty.basket import Basket
from loyalty.bundle import ReceiptTerms
from loyalty.calculation import Reason
from loyalty.compilation import CompiledOffer, DayIndex
from loyalty.conditions import Situation, names_codes, obstacle
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.matching import Line
from loyalty.offers import Offer, PartsSet, Stamps
from loyalty.reasons import ReasonCode
from loyalty.scene import Candidate, Scene

_BY_LINE_ID = attrgetter("line_id")


@dataclass(slots=True)
class Candidates:
    """The offers that may act, in acting order, and why the others may not."""

    prices: list[Candidate] = field(default_factory=list)
    points: list[Candidate] = field(default_factory=list)
    hand_outs: list[Candidate] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)


Touching = dict[CompiledOffer, list[int]]
"""Offers that lines bring in, with the indexes of these lines."""


def set_scene(basket: Basket, index: DayIndex, terms: ReceiptTerms) -> tuple[Scene, Touching]:
    """Return the basket's lines, completed from the catalogue, and the offers they bring in.

    The lines are ordered by id, so that the order of scanning cannot matter.
    """
    touching: Touching = {}
    lines: list[Line] = []
    gross: list[int] = []
    floors: list[int] = []
    barred = reduced = False
    for at, source in enumerate(sorted(basket.lines, key=_BY_LINE_ID)):
        view = index.view(source)
        product = view.product
        floor = 0
        if product.floor_minor_per_unit:
            floor = -(-product.floor_minor_per_unit * source.quantity // UNIT_THOUSANDTHS)
        pieces = 0 if source.by_weight else source.quantity // UNIT_THOUSANDTHS
        lines.append(Line(at, source, view, floor, pieces))
        gross.append(source.gross_minor)
        floors.append(min(max(floor, terms.line_left_minor_min), source.gross_minor))
        barred = barred or bool(product.barred)
        reduced = reduced or source.pos_reduced
        for compiled in view.touching:
            if compiled in touching:
                touching[compiled].append(at)
            else:
                touching[compiled] = [at]
    return Scene(lines, gross, floors, any_barred=barred, any_reduced=reduced), touching


def find_candidates(
    situation: Situation, index: DayIndex, scene: Scene, by_line: Touching
) -> Candidates:
    """Return the offers that may act on the basket.

    Args:
        by_line: the offers that its lines bring in.
    """
    result = Candidates()
    for compiled, lines in _touching(situation.basket, index, scene.lines, by_line):
        offer = compiled.offer
        gives_points = compiled.barred == "earn"
        if compiled.guarded:
            blocked = obstacle(offer, compiled.need, situation, gives_points=gives_points)
            if blocked:
                result.reasons.append(blocked)
                continue
        candidate = _candidate(compiled, lines, situation, scene)
        if candidate is None:
            result.reasons.append(Reason(offer_id=offer.offer_id, code=ReasonCode.LINES_EXCLUDED))
        elif gives_points:
            result.points.append(candidate)
        elif compiled.barred:
            result.prices.append(candidate)
        else:
            result.hand_outs.append(candidate)
    return result


def _touching(
    basket: Basket, index: DayIndex, lines: Sequence[Line], by_line: Touching
) -> list[tuple[CompiledOffer, Sequence[int]]]:
    """Return the offers that some line, a code or nothing at all brings in, in acting order."""
    every = range(len(lines))
    touching: list[tuple[CompiledOffer, Sequence[int]]] = list(by_line.items())
    touching += [(compiled, every) for compiled in index.wholesale]
    if basket.codes:
        touching += [
            (compiled, _lines_of(compiled, lines))
            for compiled in index.offers_for_codes(basket.codes)
        ]
    touching.sort(key=_rank_of)
    return touching


def _rank_of(found: tuple[CompiledOffer, Sequence[int]]) -> int:
    return found[0].rank


def _lines_of(compiled: CompiledOffer, lines: Sequence[Line]) -> list[int]:
    return [
        line.index
        for line in lines
        if compiled.match(line.seen()) or any(part(line.seen()) for part in compiled.parts)
    ]


def _candidate(
    compiled: CompiledOffer, found: Sequence[int], situation: Situation, scene: Scene
) -> Candidate | None:
    lines: Iterable[int] = found
    if scene.any_barred and compiled.barred:
        barred = compiled.barred
        lines = [at for at in lines if barred not in scene.lines[at].view.product.barred]
    if scene.any_reduced and not compiled.offer.combines.on_reduced:
        lines = [at for at in lines if not scene.lines[at].source.pos_reduced]
    taking_part = tuple(lines)
    if not taking_part:
        return None
    if not compiled.special:
        return Candidate(compiled, taking_part)
    return _special(compiled, taking_part, situation, scene)


def _special(
    compiled: CompiledOffer, lines: tuple[int, ...], situation: Situation, scene: Scene
) -> Candidate:
    """Return a candidate that asks for more than its lines."""
    offer = compiled.offer
    views = [line.seen() for line in scene.lines]
    parts = tuple(tuple(at for at in lines if part(views[at])) for part in compiled.parts)
    if isinstance(offer.gives, PartsSet):
        lines = tuple(sorted(frozenset().union(*parts)))
    elif parts:  # what is bought, beside what buy_get gives
        lines = tuple(at for at in lines if compiled.match(views[at]))
    counted = tuple(
        (tuple(line.index for line in scene.lines if match(line.seen())), amount)
        for match, amount in compiled.running
    )
    counter = 0
    if isinstance(offer.gives, Stamps):
        counter = situation.account.counters.get(counters.stamps(offer.gives.counter), 0)
    codes = _codes_presented(offer, situation.basket) if offer.limits.once_per_code else 0
    return Candidate(compiled, lines, parts, counted, counter, codes)


def _codes_presented(offer: Offer, basket: Basket) -> int:
    """Return how many of the presented codes the offer asks for; one shown twice counts once."""
    wanted = list(names_codes(offer.needs))
    return sum(any(need.accepts(code) for need in wanted) for code in set(basket.codes))
