"""From a basket to the offers that may act on it, and why the others may not."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from loyalty import counters
from loyalty.basket import Basket, BasketLine, line_order
from loyalty.bundle import ReceiptTerms
from loyalty.calculation import Reason
from loyalty.compilation import CompiledOffer, PlaceIndex
from loyalty.conditions import Situation, names_codes, obstacle
from loyalty.coupons import usable
from loyalty.drawing import Draw, draws_of
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.matching import Line
from loyalty.offers import Offer, PartsSet, Stamps
from loyalty.reasons import ReasonCode
from loyalty.scene import Candidate, Scene

_BY_RANK = attrgetter("rank")


def _line_order(source: BasketLine) -> tuple[int, str]:
    return line_order(source.line_id)


@dataclass(slots=True)
class Candidates:
    """The offers that may act, in acting order, and why the others may not.

    Attributes:
        qualifying: those whose points count to the tier alone; not among `points`.
    """

    prices: list[Candidate] = field(default_factory=list)
    points: list[Candidate] = field(default_factory=list)
    qualifying: list[Candidate] = field(default_factory=list)
    hand_outs: list[Candidate] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)


Touching = dict[CompiledOffer, list[int]]
"""Offers that lines bring in, with the indexes of these lines."""


def set_scene(basket: Basket, index: PlaceIndex, terms: ReceiptTerms) -> tuple[Scene, Touching]:
    """Return the basket's lines, completed from the catalogue, and the offers they bring in.

    The lines are in the order of their ids, so that the order of scanning cannot matter.
    """
    touching: Touching = defaultdict(list)
    lines: list[Line] = []
    gross: list[int] = []
    floors: list[int] = []
    left_min = terms.line_left_minor_min
    barred = reduced = False
    for at, source in enumerate(sorted(basket.lines, key=_line_order)):
        view = index.view(source)
        product, price = view.product, source.gross_minor
        floor = 0
        if product.floor_minor_per_unit:
            floor = -(-product.floor_minor_per_unit * source.quantity // UNIT_THOUSANDTHS)
        pieces = 0 if source.by_weight else source.quantity // UNIT_THOUSANDTHS
        lines.append(Line(at, source, view, floor, pieces))
        gross.append(price)
        floors.append(min(max(floor, left_min), price) if floor or left_min else 0)
        barred = barred or bool(product.barred)
        reduced = reduced or source.pos_reduced
        for compiled in view.touching:
            touching[compiled].append(at)
    return Scene(lines, gross, floors, any_barred=barred, any_reduced=reduced), touching


def find_candidates(
    situation: Situation, index: PlaceIndex, scene: Scene, by_line: Touching
) -> Candidates:
    """Return the offers that may act on the basket.

    Args:
        by_line: the offers that its lines bring in.
    """
    result = Candidates()
    touching = _touching(situation.basket, index, scene.lines, by_line)
    some_may_not = scene.any_barred or scene.any_reduced
    for compiled in sorted(touching, key=_BY_RANK):
        lines = touching[compiled]
        gives_points = compiled.barred == "earn"
        if compiled.guarded:
            blocked = obstacle(
                compiled.offer, compiled.need, situation, lines, gives_points=gives_points
            )
            if blocked:
                result.reasons.append(blocked)
                continue
        if some_may_not:
            lines = _taking_part(compiled, lines, scene)
        if not lines:
            result.reasons.append(_excluded(compiled, touching[compiled], scene))
            continue
        candidate = (
            _special(compiled, tuple(lines), situation, scene)
            if compiled.special
            else Candidate(compiled, tuple(lines))
        )
        if compiled.qualifies:
            result.qualifying.append(candidate)
        elif gives_points:
            result.points.append(candidate)
        elif compiled.barred:
            result.prices.append(candidate)
        else:
            result.hand_outs.append(candidate)
    return result


def _touching(
    basket: Basket, index: PlaceIndex, lines: Sequence[Line], by_line: Touching
) -> dict[CompiledOffer, Sequence[int]]:
    """Return the offers that some line, a code or nothing at all brings in."""
    touching: dict[CompiledOffer, Sequence[int]] = {**by_line}
    every = range(len(lines))
    for compiled in index.wholesale:
        touching[compiled] = every
    if basket.codes:
        for compiled in index.offers_for_codes(basket.codes):
            touching[compiled] = _lines_of(compiled, lines)
    return touching


def _lines_of(compiled: CompiledOffer, lines: Sequence[Line]) -> list[int]:
    return [
        line.index
        for line in lines
        if compiled.match(line.seen()) or any(part(line.seen()) for part in compiled.parts)
    ]


def _taking_part(compiled: CompiledOffer, lines: Sequence[int], scene: Scene) -> Sequence[int]:
    """Leave out lines the offer may not act on."""
    if scene.any_barred and compiled.barred:
        barred = compiled.barred
        lines = [at for at in lines if barred not in scene.lines[at].view.product.barred]
    if scene.any_reduced and not compiled.on_reduced:
        lines = [at for at in lines if not scene.lines[at].source.pos_reduced]
    return lines


def _excluded(compiled: CompiledOffer, lines: Sequence[int], scene: Scene) -> Reason:
    """Return how many lines the offer is about take no part, and how many the register reduced."""
    figures: dict[str, int | str] = {"lines": len(lines)} if lines else {}
    if not compiled.on_reduced and (
        reduced := sum(scene.lines[at].source.pos_reduced for at in lines)
    ):
        figures["reduced"] = reduced
    return Reason(compiled.offer.offer_id, ReasonCode.LINES_EXCLUDED, figures)


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
    codes = _codes_presented(offer, situation)
    draws: tuple[Draw, ...] = ()
    if compiled.shared:
        day = situation.moment.date
        account_id = situation.account.account_id
        draws = draws_of(offer, situation.store, day, situation.allowance, account_id)
    return Candidate(
        compiled, lines, parts, counted, counter, len(codes), presented=codes, draws=draws
    )


def _codes_presented(offer: Offer, situation: Situation) -> tuple[str, ...]:
    """Return the presented codes that the offer asks for and that may be used, each once."""
    wanted = list(names_codes(offer.needs))
    if not (wanted and situation.basket.codes):
        return ()
    return usable(wanted, situation.basket.codes, situation.account, situation.allowance)
