"""From what was decided to the calculation that is shown, recorded and repeated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from loyalty import counters
from loyalty.account import AccountSnapshot, SpendRight
from loyalty.basket import Moment, Place
from loyalty.bundle import Programme
from loyalty.calculation import (
    CalculatedLine,
    Calculation,
    Counted,
    Effect,
    FrozenTerms,
    HandOut,
    Reason,
    RedeemedPart,
    Totals,
)
from loyalty.candidates import Candidates
from loyalty.combination import Combination
from loyalty.compilation import Rules
from loyalty.earning import Earning
from loyalty.explaining import (
    conditions,
    hand_out_reasons,
    hints,
    points_reasons,
    price_reasons,
)
from loyalty.money import ROUNDING_RULE
from loyalty.offers import Stamps
from loyalty.redemption import Redemption
from loyalty.rewards import stamps_on
from loyalty.scene import Scene


@dataclass(slots=True)
class Decided:
    """What each step decided.

    Attributes:
        paid: what is left to pay in money, by line index.
    """

    scene: Scene
    found: Candidates
    combination: Combination
    redemption: Redemption
    paid: list[int]
    earning: Earning
    given: tuple[HandOut, ...]


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
    reasons = _reasons(decided)
    lines = _lines(decided)
    charges_back = programme.returns.broken_condition == "charge_back"
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
        hand_outs=decided.given,
        counted=_counted(decided, moment, redemption.points if capped else 0)
        if account.identified
        else (),
        conditions=conditions(combination, scene) if charges_back else (),
        reasons=tuple(reasons),
        hints=tuple(hints(reasons, combination)),
        proven=combination.proven,
        gap_minor=combination.gap_minor,
        terms=_frozen(programme),
    )


def _reasons(decided: Decided) -> list[Reason]:
    found, combination = decided.found, decided.combination
    reasons = [
        *found.reasons,
        *price_reasons(found.prices, combination, decided.scene),
        *points_reasons(found.points, decided.earning),
        *hand_out_reasons(found.hand_outs, decided.given, decided.earning.lost_to),
    ]
    reasons.sort(key=lambda reason: (reason.offer_id, reason.code))
    return reasons


def _counted(
    decided: Decided,
    moment: Moment,
    redeemed: int,
) -> tuple[Counted, ...]:
    """Return what posting the receipt adds to the account's counters.

    Args:
        redeemed: points, where the programme limits them a day; else 0.
    """
    found, scene = decided.found, decided.scene
    given = (each.offer_id for each in decided.given)
    acted = {*decided.combination.discounts, *decided.earning.by_offer, *given}
    plus: dict[str, Counted] = {}
    for candidate in (*found.prices, *found.points, *found.hand_outs):
        offer = candidate.compiled.offer
        if offer.limits.uses_per_account_max and offer.offer_id in acted:
            name = counters.uses(offer, moment.date)
            plus[name] = Counted(counter=name, plus=1)
        if isinstance(offer.gives, Stamps):
            # Offers that share a card see the same units: a unit is stamped once.
            name = counters.stamps(offer.gives.counter)
            stamped = stamps_on(candidate, scene)
            if offer.offer_id not in acted:
                # A reward that was due and could not be given stays due.
                before = offer.gives.every - 1 - candidate.counter % offer.gives.every
                stamped = min(stamped, before)
            if name not in plus or stamped > plus[name].plus:
                lines = tuple(scene.lines[line].source.line_id for line in candidate.lines)
                plus[name] = Counted(counter=name, plus=stamped, lines=lines)
    if redeemed:
        name = counters.redeemed(moment.date)
        plus[name] = Counted(counter=name, plus=redeemed)
    return tuple(plus[name] for name in sorted(plus) if plus[name].plus)


def _effects(decided: Decided) -> list[list[Effect]]:
    candidates = (*decided.found.prices, *decided.found.points)
    discounts, points = decided.combination.discounts, decided.earning.by_offer
    effects: list[list[Effect]] = [[] for _ in decided.scene.lines]
    for candidate in candidates:
        offer_id = candidate.compiled.offer.offer_id
        if offer_id in discounts:
            for line, off in discounts[offer_id].items():
                effects[line].append(Effect(offer_id=offer_id, discount_minor=off))
        if offer_id in points:
            for line, earned in points[offer_id].items():
                effects[line].append(Effect(offer_id=offer_id, points=earned))
    return effects


def _lines(decided: Decided) -> tuple[CalculatedLine, ...]:
    left, redemption, paid = decided.combination.left, decided.redemption, decided.paid
    effects = _effects(decided)
    calculated = []
    for line in decided.scene.lines:
        at, source = line.index, line.source
        own = effects[at]
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
                earned_points=sum(effect.points for effect in own),
                effects=tuple(own),
                by_weight=source.by_weight,
            )
        )
    return tuple(calculated)


def _totals(lines: Sequence[CalculatedLine]) -> Totals:
    return Totals(
        gross_minor=sum(line.gross_minor for line in lines),
        discount_minor=sum(line.discount_minor for line in lines),
        redeemed_minor=sum(line.redeemed_minor for line in lines),
        redeemed_points=sum(line.redeemed_points for line in lines),
        paid_minor=sum(line.paid_minor for line in lines),
        earned_points=sum(line.earned_points for line in lines),
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
