"""THE MAIN PATH of the rules: basket, account, bundle, moment, spend right -> calculation.

The result depends on the final state alone, never on the order in which the cashier did things
(design: receipt 2). What must always be true is asserted here, in production too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from loyalty import counters
from loyalty.account import (
    NO_REDEMPTION,
    NO_RIGHT,
    NOBODY,
    AccountSnapshot,
    RedeemRequest,
    SpendRight,
)
from loyalty.basket import Basket, Moment, Place
from loyalty.bundle import Programme
from loyalty.calculation import (
    CalculatedLine,
    Calculation,
    Counted,
    Effect,
    FrozenTerms,
    HandOut,
    RedeemedPart,
    Totals,
)
from loyalty.candidates import Candidates, find_candidates, set_scene
from loyalty.combination import Combination, best_combination
from loyalty.compilation import Rules
from loyalty.conditions import Situation
from loyalty.earning import Spent, earn, points_by_offer, points_most
from loyalty.explaining import (
    conditions,
    hand_out_reasons,
    hints,
    points_reasons,
    price_reasons,
)
from loyalty.limits import COMBINATION_NODES_MAX
from loyalty.money import ROUNDING_RULE
from loyalty.offers import Gift, IssuedCoupon, Message, PartnerPoints, Stamps
from loyalty.redemption import Redemption, redeem, redeemed_today, value_minor
from loyalty.rewards import stamps_on
from loyalty.scene import Candidate, Scene
from loyalty.search import Beside


def calculate(
    basket: Basket,
    rules: Rules,
    *,
    moment: Moment,
    place: Place,
    account: AccountSnapshot = NOBODY,
    request: RedeemRequest = NO_REDEMPTION,
    right: SpendRight = NO_RIGHT,
    nodes_max: int = COMBINATION_NODES_MAX,
) -> Calculation:
    """Calculate a receipt.

    Args:
        right: points set aside for this receipt; redemption never exceeds it.
        nodes_max: what the search for the best combination may look at; both sides use the same.

    Returns:
        The calculation; equal inputs give equal bytes on every machine.
    """
    programme = rules.bundle.programme
    index = rules.on(place, moment.date)
    scene, by_line = set_scene(basket, index, programme.receipt)
    situation = Situation(basket, scene.lines, sum(scene.gross), account, moment)
    found = find_candidates(situation, index, scene, by_line)
    combination = best_combination(
        found.prices,
        scene,
        programme.receipt,
        beside=_worth_of_points(found.points, scene, rules),
        nodes_max=nodes_max,
    )
    left = combination.left
    redemption = redeem(
        scene.lines,
        left,
        programme=programme,
        request=request if account.identified else NO_REDEMPTION,
        right=right,
        redeemed_today=redeemed_today(account, moment),
    )
    paid = [owed - redeemed for owed, redeemed in zip(left, redemption.minor_by_line, strict=True)]
    earning = earn(found.points, Spent(scene.gross, left, paid), scene, moment)
    given = _handed_out(found.hand_outs, paid, scene)
    reasons = found.reasons
    reasons += price_reasons(found.prices, combination, scene)
    reasons += points_reasons(found.points, earning)
    reasons += hand_out_reasons(found.hand_outs, given)
    reasons.sort(key=lambda reason: (reason.offer_id, reason.code))
    effects = _effects(scene, [*found.prices, *found.points], combination, earning.by_offer)
    calculated = _lines(scene, left, redemption, paid, effects)
    counted: tuple[Counted, ...] = ()
    if account.identified:
        acted = {*combination.discounts, *earning.by_offer, *(each.offer_id for each in given)}
        capped = programme.redemption.points_per_day_max
        counted = _counted(found, acted, scene, moment, redemption.points if capped else 0)
    charges_back = programme.returns.broken_condition == "charge_back"
    result = Calculation(
        bundle=rules.bundle_hash,
        rounding=ROUNDING_RULE,
        account_id=account.account_id,
        moment=moment.local,
        store=place.store,
        lines=calculated,
        totals=_totals(calculated),
        earned=tuple(earning.lots),
        redeemed=_with_ends(redemption.parts, right),
        redeemable_points_max=redemption.points_max if account.identified else 0,
        hand_outs=given,
        counted=counted,
        conditions=conditions(combination, scene) if charges_back else (),
        reasons=tuple(reasons),
        hints=tuple(hints(reasons, combination)),
        proven=combination.proven,
        gap_minor=combination.gap_minor,
        terms=_frozen(programme),
    )
    _assert_sound(result, scene, redemption, right, programme.redemption.mode)
    return result


def _frozen(programme: Programme) -> FrozenTerms:
    """Return what a return or a print needs when this programme may be gone."""
    return FrozenTerms(
        point_value_minor=programme.point_value_minor,
        point_value_points=programme.point_value_points,
        mode=programme.redemption.mode,
        returns=programme.returns,
    )


def _with_ends(parts: Iterable[RedeemedPart], right: SpendRight) -> tuple[RedeemedPart, ...]:
    """Name the end of each part's lot, which decides whether a return needs the grace."""
    ends = {lot.lot_id: lot.expires_on for lot in right.lots if lot.expires_on}
    return tuple(
        replace(part, expires_on=ends[part.lot_id]) if part.lot_id in ends else part
        for part in parts
    )


def _worth_of_points(points: Sequence[Candidate], scene: Scene, rules: Rules) -> Beside | None:
    """Return what points earned are worth, where the programme counts them as benefit."""
    programme = rules.bundle.programme
    if not (programme.points_in_benefit and points):
        return None

    def worth(left: Sequence[int]) -> int:
        earned = points_by_offer(points, Spent(scene.gross, left, left), scene)
        total = sum(sum(by_line.values()) for by_line in earned.values())
        return value_minor(total, programme)

    gross = scene.gross
    most = value_minor(points_most(points, Spent(gross, gross, gross), scene), programme)
    return Beside(worth, most)


def _handed_out(
    candidates: Iterable[Candidate], paid: Sequence[int], scene: Scene
) -> tuple[HandOut, ...]:
    given: list[HandOut] = []
    for candidate in candidates:
        gives, offer_id = candidate.compiled.offer.gives, candidate.offer_id
        if isinstance(gives, Gift):
            times = 1
            if gives.for_each_units:
                units = sum(scene.lines[line].units for line in candidate.lines)
                times = units // gives.for_each_units
            if times:
                given.append(
                    HandOut(
                        offer_id=offer_id, kind="gift", what=gives.sku, quantity=gives.units * times
                    )
                )
        elif isinstance(gives, IssuedCoupon):
            given.append(HandOut(offer_id=offer_id, kind="coupon", what=gives.coupon))
        elif isinstance(gives, Message):
            given.append(HandOut(offer_id=offer_id, kind="message", what=""))
        elif isinstance(gives, PartnerPoints):
            spent = sum(paid[line] for line in candidate.lines)
            if points := spent * gives.points // gives.per_minor:
                given.append(
                    HandOut(
                        offer_id=offer_id,
                        kind="partner_points",
                        what=gives.partner,
                        quantity=points,
                    )
                )
    return tuple(given)


def _counted(
    found: Candidates,
    acted: set[str],
    scene: Scene,
    moment: Moment,
    redeemed: int,
) -> tuple[Counted, ...]:
    """Return what posting the receipt adds to the account's counters.

    Args:
        acted: ids of the offers that gave something.
        redeemed: points, where the programme limits them a day; else 0.
    """
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
            if name not in plus or stamped > plus[name].plus:
                lines = tuple(scene.lines[line].source.line_id for line in candidate.lines)
                plus[name] = Counted(counter=name, plus=stamped, lines=lines)
    if redeemed:
        name = counters.redeemed(moment.date)
        plus[name] = Counted(counter=name, plus=redeemed)
    return tuple(plus[name] for name in sorted(plus) if plus[name].plus)


def _effects(
    scene: Scene,
    candidates: Sequence[Candidate],
    combination: Combination,
    points: dict[str, dict[int, int]],
) -> list[list[Effect]]:
    effects: list[list[Effect]] = [[] for _ in scene.lines]
    discounts = combination.discounts
    for candidate in candidates:
        offer_id = candidate.compiled.offer.offer_id
        if offer_id in discounts:
            for line, off in discounts[offer_id].items():
                effects[line].append(Effect(offer_id=offer_id, discount_minor=off))
        if offer_id in points:
            for line, earned in points[offer_id].items():
                effects[line].append(Effect(offer_id=offer_id, points=earned))
    return effects


def _lines(
    scene: Scene,
    left: Sequence[int],
    redemption: Redemption,
    paid: Sequence[int],
    effects: Sequence[Sequence[Effect]],
) -> tuple[CalculatedLine, ...]:
    calculated = []
    for line in scene.lines:
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


def _assert_sound(
    result: Calculation, scene: Scene, redemption: Redemption, right: SpendRight, mode: str
) -> None:
    """What must always hold (design: receipt 1); a breach is our bug, and reaches no receipt."""
    for calculated, line in zip(result.lines, scene.lines, strict=True):
        floor = min(line.floor_minor, calculated.gross_minor)
        # Points as a tender lower no price.
        price = calculated.paid_minor
        if mode == "tender":
            price += calculated.redeemed_minor
        assert price >= floor, f"line {calculated.line_id} below its floor"
        assert calculated.discount_minor >= 0
        assert calculated.redeemed_minor >= 0
        assert calculated.paid_minor >= 0
        assert calculated.earned_points >= 0
    totals = result.totals
    assert totals.gross_minor == totals.discount_minor + totals.redeemed_minor + totals.paid_minor
    assert (
        totals.redeemed_points == redemption.points == sum(part.points for part in result.redeemed)
    )
    assert totals.redeemed_points <= right.points, "more redeemed than set aside"
    assert totals.redeemed_minor == redemption.minor
    assert totals.earned_points == sum(lot.points for lot in result.earned)
