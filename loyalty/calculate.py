"""THE MAIN PATH of the rules: basket, account, bundle, moment, spend right -> calculation.

The result depends on the final state alone, never on the order in which the cashier did things
(design: receipt 2). What must always be true is asserted here, in production too.
"""

from collections.abc import Iterable, Sequence

from loyalty.account import (
    NO_REDEMPTION,
    NO_RIGHT,
    NOBODY,
    AccountSnapshot,
    RedeemRequest,
    SpendRight,
)
from loyalty.assembling import Decided, assemble
from loyalty.basket import Basket, Moment, Place
from loyalty.calculation import Calculation, HandOut
from loyalty.candidates import find_candidates, set_scene
from loyalty.combination import best_combination
from loyalty.compilation import Rules
from loyalty.conditions import Situation
from loyalty.earning import Spent, earn, points_by_offer, points_most
from loyalty.excluding import that_may_stand
from loyalty.limits import COMBINATION_NODES_MAX
from loyalty.offers import Gift, IssuedCoupon, Message, PartnerPoints
from loyalty.redemption import Redemption, redeem, redeemed_today, value_minor
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
    acted = [c for c in found.prices if c.offer_id in combination.discounts]
    lost_to: dict[str, str] = {}
    earners = that_may_stand(found.points, acted, lost_to)
    earning = earn(earners, Spent(scene.gross, left, paid), scene, moment)
    acted += [c for c in earners if c.offer_id in earning.by_offer]
    given = _handed_out(that_may_stand(found.hand_outs, acted, lost_to), paid, scene)
    earning.lost_to |= lost_to
    decided = Decided(scene, found, combination, redemption, paid, earning, given)
    result = assemble(decided, rules, moment=moment, place=place, account=account, right=right)
    _assert_sound(result, scene, redemption, right, programme.redemption.mode)
    return result


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
