"""From what was decided to the calculation that is shown, recorded and repeated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from loyalty.account import AccountSnapshot, SpendRight
from loyalty.basket import Moment, Place
from loyalty.bundle import Programme
from loyalty.calculation import (
    CalculatedLine,
    Calculation,
    Effect,
    FrozenTerms,
    Reason,
    RedeemedPart,
    Totals,
)
from loyalty.candidates import Candidates
from loyalty.combination import Combination
from loyalty.compilation import Rules
from loyalty.conditions import Situation
from loyalty.counting import counted
from loyalty.earning import Earning
from loyalty.explaining import (
    hand_out_reasons,
    hints,
    points_reasons,
    why_nothing_off,
)
from loyalty.freezing import Frozen, freeze
from loyalty.handing_out import HandedOut
from loyalty.money import ROUNDING_RULE
from loyalty.reasons import ReasonCode
from loyalty.redemption import Redemption
from loyalty.scene import Scene

_BY_OFFER = attrgetter("offer_id")


@dataclass(slots=True)
class Decided:
    """What each step decided.

    Attributes:
        paid: what is left to pay in money, by line index.
        qualifying: points that count to the tier alone.
    """

    situation: Situation
    scene: Scene
    found: Candidates
    combination: Combination
    redemption: Redemption
    paid: list[int]
    earning: Earning
    qualifying: Earning
    given: HandedOut


def assemble(
    decided: Decided,
    rules: Rules,
    *,
    moment: Moment,
    place: Place,
    account: AccountSnapshot,
    right: SpendRight,
) -> Calculation:
    """Return the calculation."""
    programme = rules.bundle.programme
    scene, combination = decided.scene, decided.combination
    redemption, earning = decided.redemption, decided.earning
    effects, applied = _effects(decided)
    reasons = _reasons(decided, applied)
    lines = _lines(decided, effects)
    frozen = Frozen()
    if programme.returns.broken_condition == "charge_back":
        points, earned = decided.found.points, decided.earning.by_offer
        frozen = freeze(combination, decided.situation, scene, points, earned)
    capped = bool(programme.redemption.points_per_day_max)
    return Calculation(
        bundle=rules.bundle_hash,
        rounding=ROUNDING_RULE,
        account_id=account.account_id,
        moment=moment.local,
        store=place.store,
        lines=lines,
        totals=_totals(lines),
        earned=tuple(earning.lots),
        redeemed=_with_ends(redemption.parts, right),
        redeemable_points_max=redemption.points_max if account.identified else 0,
        redemption_proven=redemption.proven,
        hand_outs=tuple(decided.given.given),
        counted=counted(
            decided.found,
            combination,
            earning,
            decided.given.given,
            qualifying=decided.qualifying,
            scene=scene,
            moment=moment,
            identified=account.identified,
            redeemed=redemption.points if capped else 0,
        ),
        conditions=tuple(frozen.conditions),
        unit_rules=tuple(frozen.unit_rules),
        reasons=tuple(reasons),
        hints=tuple(hints(reasons, combination)),
        proven=combination.proven,
        gap_minor=combination.gap_minor,
        terms=_frozen(programme),
    )


def _reasons(decided: Decided, applied: Sequence[Reason]) -> list[Reason]:
    """Return a reason for each offer that lines or codes brought in, by its id.

    Args:
        applied: those of the offers that took something off.
    """
    found, combination = decided.found, decided.combination
    discounts = combination.discounts
    without_effect = [c for c in found.prices if c.offer_id not in discounts]
    reasons = [
        *found.reasons,
        *applied,
        *why_nothing_off(without_effect, combination, decided.scene),
        *points_reasons(found.points, decided.earning),
        *points_reasons(found.qualifying, decided.qualifying, figure="qualifying_points"),
        *hand_out_reasons(found.hand_outs, decided.given, decided.earning.lost_to),
    ]
    reasons.sort(key=_BY_OFFER)  # each offer has one
    return reasons


def _effects(decided: Decided) -> tuple[list[list[Effect]], list[Reason]]:
    """Return what offers do to each line, in acting order, points last.

    Returns:
        Also the reasons that say how much each of them took off.
    """
    discounts, points = decided.combination.discounts, decided.earning.by_offer
    effects: list[list[Effect]] = [[] for _ in decided.scene.lines]
    applied = []
    for candidate in decided.found.prices:
        offer_id = candidate.offer_id
        if offer_id in discounts:
            total = 0
            for line, off in discounts[offer_id].items():
                effects[line].append(Effect(offer_id, off))
                total += off
            applied.append(Reason(offer_id, ReasonCode.APPLIED, {"discount_minor": total}))
    for candidate in decided.found.points:
        offer_id = candidate.offer_id
        if offer_id in points:
            for line, earned in points[offer_id].items():
                effects[line].append(Effect(offer_id, points=earned))
    return effects, applied


def _earned(decided: Decided) -> list[int]:
    """Return the points earned on each line."""
    earned = [0] * len(decided.scene.lines)
    for by_line in decided.earning.by_offer.values():
        for line, points in by_line.items():
            earned[line] += points
    return earned


def _lines(decided: Decided, effects: Sequence[list[Effect]]) -> tuple[CalculatedLine, ...]:
    left, redemption, paid = decided.combination.left, decided.redemption, decided.paid
    earned = _earned(decided)
    calculated = []
    for line in decided.scene.lines:
        at, source = line.index, line.source
        calculated.append(
            CalculatedLine(
                line_id=source.line_id,
                sku=source.sku,
                quantity=source.quantity,
                gross_minor=source.gross_minor,
                discount_minor=source.gross_minor - left[at],
                redeemed_minor=redemption.minor_by_line[at],
                redeemed_points=redemption.points_by_line[at],
                paid_minor=paid[at],
                earned_points=earned[at],
                effects=tuple(effects[at]),
                by_weight=source.by_weight,
            )
        )
    return tuple(calculated)


def _totals(lines: Sequence[CalculatedLine]) -> Totals:
    return Totals(
        gross_minor=sum([line.gross_minor for line in lines]),
        discount_minor=sum([line.discount_minor for line in lines]),
        redeemed_minor=sum([line.redeemed_minor for line in lines]),
        redeemed_points=sum([line.redeemed_points for line in lines]),
        paid_minor=sum([line.paid_minor for line in lines]),
        earned_points=sum([line.earned_points for line in lines]),
    )


def _with_ends(parts: Iterable[RedeemedPart], right: SpendRight) -> tuple[RedeemedPart, ...]:
    """Name the end of each part's lot, which decides whether a return needs the grace."""
    ends = {lot.lot_id: lot.expires_on for lot in right.lots if lot.expires_on}
    return tuple(
        replace(part, expires_on=ends[part.lot_id]) if part.lot_id in ends else part
        for part in parts
    )


def _frozen(programme: Programme) -> FrozenTerms:
    """Return what a return or a print needs when this programme may be gone."""
    return FrozenTerms(
        point_value_minor=programme.point_value_minor,
        point_value_points=programme.point_value_points,
        mode=programme.redemption.mode,
        returns=programme.returns,
    )
