"""THE MAIN PATH of the rules: basket, account, bundle, moment, spend right -> calculation.

The result depends on the final state alone, never on the order in which the cashier did things
(design: receipt 2). What must always be true is asserted here, in production too.
"""

from collections.abc import Sequence

from loyalty.account import (
    NO_ALLOWANCE,
    NO_REDEMPTION,
    NO_RIGHT,
    NOBODY,
    AccountSnapshot,
    Allowance,
    RedeemRequest,
    SpendRight,
)
from loyalty.assembling import Decided, assemble
from loyalty.basket import Basket, Moment, Place
from loyalty.bundle import Programme
from loyalty.calculation import Calculation
from loyalty.candidates import Candidates, find_candidates, set_scene
from loyalty.combination import Combination, best_combination
from loyalty.compilation import Rules
from loyalty.conditions import Situation
from loyalty.counting import drawn_by
from loyalty.earning import Earning, Spent, earn, points_by_offer, points_most
from loyalty.excluding import Earners, Worth, that_may_stand
from loyalty.handing_out import HandedOut, hand_out
from loyalty.limits import COMBINATION_NODES_MAX
from loyalty.opening import days
from loyalty.redemption import Redemption, redeem, redeemed_today, value_minor
from loyalty.scene import Candidate, Scene, State
from loyalty.sharing import Beside


def calculate(  # noqa: PLR0913 - each of them decides something
    basket: Basket,
    rules: Rules,
    *,
    moment: Moment,
    place: Place,
    account: AccountSnapshot = NOBODY,
    request: RedeemRequest = NO_REDEMPTION,
    right: SpendRight = NO_RIGHT,
    allowance: Allowance = NO_ALLOWANCE,
    nodes_max: int = COMBINATION_NODES_MAX,
) -> Calculation:
    """Calculate a receipt.

    Args:
        right: points set aside for this receipt; redemption never exceeds it.
        allowance: what this till may still give of what is limited over all customers.
        nodes_max: what the search for the best combination may look at; both sides use the same.

    Returns:
        The calculation; equal inputs give equal bytes on every machine.
    """
    programme = rules.bundle.programme
    index = rules.on(place, *days(moment))
    scene, by_line = set_scene(basket, index, programme.receipt)
    situation = Situation(
        basket, scene.lines, sum(scene.gross), account, moment, place.store, allowance
    )
    found = find_candidates(situation, index, scene, by_line)
    earners = Earners(found.points)
    combination = best_combination(
        found.prices,
        scene,
        programme.receipt,
        beside=_worth_of_points(found.points, earners, scene, programme),
        nodes_max=nodes_max,
    )
    if programme.points_in_benefit and not earners.is_exact:
        combination.proven = False
        combination.gap_minor += value_minor(_points_most(found.points, scene), programme)
    left = combination.left
    none = [0] * len(left)
    redemption = Redemption(0, 0, none, none, (), 0)
    if account.identified and programme.redemption.accepts(place.banner):
        redemption = redeem(
            scene.lines,
            left,
            programme=programme,
            request=request,
            right=right,
            redeemed_today=redeemed_today(account, moment),
        )
    paid = [owed - redeemed for owed, redeemed in zip(left, redemption.minor_by_line, strict=True)]
    spent = Spent(scene.gross, left, paid)
    beside = _beside_money(found, combination, earners, spent, scene, moment)
    decided = Decided(situation, scene, found, combination, redemption, paid, *beside)
    result = assemble(decided, rules, moment=moment, place=place, account=account, right=right)
    _assert_sound(result, scene, redemption, right, programme.redemption.mode)
    return result


def _beside_money(
    found: Candidates,
    combination: Combination,
    earners: Earners,
    spent: Spent,
    scene: Scene,
    moment: Moment,
) -> tuple[Earning, Earning, HandedOut]:
    """Return what offers give beside money off; what comes later gives way.

    Returns:
        Points, points that only qualify, and what is handed out.
    """
    acted = [c for c in found.prices if c.offer_id in combination.discounts]
    drawn: dict[str, int] = {}
    drawn_by(acted, combination.discounts, drawn)
    spent.drawn = drawn.copy()
    lost_to: dict[str, str] = {}
    earning = earn(earners.beside(acted, _points(spent, scene), lost_to), spent, scene, moment)
    acted += [c for c in found.points if c.offer_id in earning.by_offer]
    drawn_by(found.points, earning.by_offer, drawn)
    qualifying = Earning()
    if found.qualifying:
        spent.drawn = drawn.copy()
        standing = that_may_stand(found.qualifying, acted, lost_to)
        qualifying.by_offer = points_by_offer(standing, spent, scene, qualifying)
        acted += [c for c in found.qualifying if c.offer_id in qualifying.by_offer]
        drawn_by(found.qualifying, qualifying.by_offer, drawn)
        qualifying.lost_to |= lost_to
    given = hand_out(that_may_stand(found.hand_outs, acted, lost_to), spent.paid, scene, drawn)
    earning.lost_to |= lost_to
    return earning, qualifying, given


def _points(spent: Spent, scene: Scene) -> Worth:
    def points(candidates: Sequence[Candidate]) -> int:
        earned = points_by_offer(candidates, spent, scene)
        return sum(sum(by_line.values()) for by_line in earned.values())

    return points


def _worth_of_points(
    points: Sequence[Candidate], earners: Earners, scene: Scene, programme: Programme
) -> Beside | None:
    """Return what points earned are worth, where the programme counts them as benefit."""
    if not (programme.points_in_benefit and points):
        return None

    def worth(state: State) -> int:
        spent = Spent(scene.gross, state.left, state.left, state.drawn)
        given = _points(spent, scene)
        return value_minor(given(earners.beside(state.excluding, given)), programme)

    return Beside(worth, value_minor(_points_most(points, scene), programme))


def _points_most(points: Sequence[Candidate], scene: Scene) -> int:
    gross = scene.gross
    return points_most(points, Spent(gross, gross, gross), scene)


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
