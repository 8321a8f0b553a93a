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
from loyalty.basket import Basket, Moment, Place
from loyalty.calculation import CalculatedLine, Calculation, Effect, Reason, Totals
from loyalty.combination import Candidate, Combination, best_combination
from loyalty.compilation import EVERYWHERE, Rules
from loyalty.earning import earn
from loyalty.matching import Line, Situation, canonical_lines, matches, obstacle
from loyalty.money import ROUNDING_RULE
from loyalty.offers import CardPrice, Offer, PointsPerItem, PointsPerMoney
from loyalty.reasons import HINTS, ReasonCode
from loyalty.redemption import Redemption, redeem


def calculate(
    basket: Basket,
    rules: Rules,
    *,
    moment: Moment,
    place: Place,
    account: AccountSnapshot = NOBODY,
    request: RedeemRequest = NO_REDEMPTION,
    right: SpendRight = NO_RIGHT,
) -> Calculation:
    """Calculate a receipt.

    Args:
        right: points set aside for this receipt; redemption never exceeds it.

    Returns:
        The calculation; equal inputs give equal bytes on every machine.
    """
    lines = canonical_lines(basket, rules)
    situation = Situation(basket, lines, account, moment)
    reasons: list[Reason] = []
    prices, points = _candidates(_touching(rules, situation, place), situation, reasons)
    combination = best_combination(prices)
    discount_by_line = _by_line(combination.discounts, len(lines))
    left = _less([line.source.gross_minor for line in lines], discount_by_line)
    redemption = redeem(
        lines,
        left,
        programme=rules.bundle.programme,
        request=request if account.identified else NO_REDEMPTION,
        right=right,
    )
    paid = _less(left, redemption.minor_by_line)
    lots, points_by_offer = earn(points, paid, moment)
    reasons += _price_reasons(prices, combination)
    reasons += _points_reasons(points, points_by_offer)
    effects = _effects(lines, [*prices, *points], combination.discounts, points_by_offer)
    calculated = _lines(lines, discount_by_line, redemption, effects)
    reasons.sort(key=lambda reason: (reason.offer_id, reason.code))
    result = Calculation(
        bundle=rules.bundle_hash,
        rounding=ROUNDING_RULE,
        account_id=account.account_id,
        moment=moment.local,
        store=place.store,
        lines=calculated,
        totals=_totals(calculated),
        earned=tuple(lots),
        redeemed=redemption.parts,
        redeemable_points_max=redemption.points_max if account.identified else 0,
        reasons=tuple(reasons),
        hints=tuple(reason for reason in reasons if reason.code in HINTS),
        proven=combination.proven,
        gap_minor=combination.gap_minor,
    )
    _assert_sound(result, lines, redemption, right)
    return result


def _less(amounts: Sequence[int], off: Sequence[int]) -> list[int]:
    """Subtract line by line."""
    return [amount - taken for amount, taken in zip(amounts, off, strict=True)]


def _by_line(by_offer: dict[str, dict[int, int]], lines_count: int) -> list[int]:
    """Sum amounts by offer and line index over the offers."""
    totals = [0] * lines_count
    for amounts in by_offer.values():
        for index, amount in amounts.items():
            totals[index] += amount
    return totals


def _touching(rules: Rules, situation: Situation, place: Place) -> list[Offer]:
    """Return the offers the index says could act, each once, in a total order."""
    index = rules.offers_on(place, situation.moment.date)
    found: dict[str, Offer] = {offer.offer_id: offer for offer in index.get(EVERYWHERE, ())}
    for line in situation.lines:
        for key in (*line.attributes.items(), *(("group", group) for group in line.groups)):
            for offer in index.get(key, ()):
                found[offer.offer_id] = offer
    for code in situation.basket.codes:
        for offer in index.get(("code", code), ()):
            found[offer.offer_id] = offer
    return sorted(found.values(), key=lambda o: (o.combines.order, -o.priority, o.offer_id))


def _candidates(
    offers: Iterable[Offer], situation: Situation, reasons: list[Reason]
) -> tuple[list[Candidate], list[Candidate]]:
    prices: list[Candidate] = []
    points: list[Candidate] = []
    for offer in offers:
        if blocked := obstacle(offer, situation):
            reasons.append(blocked)
            continue
        gives_points = isinstance(offer.gives, PointsPerMoney | PointsPerItem)
        barred = "earn" if gives_points else "discount"
        lines = tuple(
            line for line in _lines_of(offer, situation.lines) if barred not in line.product.barred
        )
        if not offer.combines.on_reduced:
            lines = tuple(line for line in lines if not line.source.pos_reduced)
        if not lines:
            reasons.append(Reason(offer_id=offer.offer_id, code=ReasonCode.LINES_EXCLUDED))
        else:
            (points if gives_points else prices).append(Candidate(offer, lines))
    return prices, points


def _lines_of(offer: Offer, lines: Sequence[Line]) -> Iterable[Line]:
    found = (line for line in lines if matches(offer.lines, line))
    if isinstance(offer.gives, CardPrice):
        prices = offer.gives.prices
        return (line for line in found if line.source.sku in prices)
    return found


def _price_reasons(candidates: Sequence[Candidate], combination: Combination) -> Iterable[Reason]:
    for candidate in candidates:
        offer_id = candidate.offer.offer_id
        if offer_id in combination.discounts:
            off = sum(combination.discounts[offer_id].values())
            yield Reason(
                offer_id=offer_id, code=ReasonCode.APPLIED, figures={"discount_minor": off}
            )
        elif offer_id in combination.lost_to:
            yield Reason(
                offer_id=offer_id,
                code=ReasonCode.LOST_TO,
                figures={"to": combination.lost_to[offer_id]},
            )
        else:
            yield Reason(offer_id=offer_id, code=ReasonCode.NOTHING_TO_GIVE)


def _points_reasons(
    candidates: Sequence[Candidate], by_offer: dict[str, dict[int, int]]
) -> Iterable[Reason]:
    for candidate in candidates:
        offer_id = candidate.offer.offer_id
        if offer_id in by_offer:
            points = sum(by_offer[offer_id].values())
            yield Reason(offer_id=offer_id, code=ReasonCode.APPLIED, figures={"points": points})
        else:
            yield Reason(offer_id=offer_id, code=ReasonCode.NOTHING_TO_GIVE)


def _effects(
    lines: Sequence[Line],
    candidates: Sequence[Candidate],
    discounts: dict[str, dict[int, int]],
    points: dict[str, dict[int, int]],
) -> list[list[Effect]]:
    effects: list[list[Effect]] = [[] for _ in lines]
    for candidate in candidates:
        offer_id = candidate.offer.offer_id
        for index, off in discounts.get(offer_id, {}).items():
            effects[index].append(Effect(offer_id=offer_id, discount_minor=off))
        for index, earned in points.get(offer_id, {}).items():
            effects[index].append(Effect(offer_id=offer_id, points=earned))
    return effects


def _lines(
    lines: Sequence[Line],
    discounts: Sequence[int],
    redemption: Redemption,
    effects: Sequence[Sequence[Effect]],
) -> tuple[CalculatedLine, ...]:
    calculated = []
    for line, off, own in zip(lines, discounts, effects, strict=True):
        redeemed = redemption.minor_by_line[line.index]
        calculated.append(
            CalculatedLine(
                line_id=line.source.line_id,
                source_line_id=line.source.line_id,
                sku=line.source.sku,
                quantity=line.source.quantity,
                gross_minor=line.source.gross_minor,
                discount_minor=off,
                redeemed_minor=redeemed,
                redeemed_points=redemption.points_by_line[line.index],
                paid_minor=line.source.gross_minor - off - redeemed,
                earned_points=sum(effect.points for effect in own),
                effects=tuple(own),
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
    result: Calculation, lines: Sequence[Line], redemption: Redemption, right: SpendRight
) -> None:
    """What must always hold (design: receipt 1); a breach is our bug, and reaches no receipt."""
    for calculated, line in zip(result.lines, lines, strict=True):
        floor = min(line.floor_minor, line.source.gross_minor)
        assert calculated.paid_minor >= floor, f"line {calculated.line_id} below its floor"
        assert (
            min(calculated.discount_minor, calculated.redeemed_minor, calculated.earned_points) >= 0
        )
    totals = result.totals
    assert totals.gross_minor == totals.discount_minor + totals.redeemed_minor + totals.paid_minor
    assert (
        totals.redeemed_points == redemption.points == sum(part.points for part in result.redeemed)
    )
    assert totals.redeemed_points <= right.points, "more redeemed than set aside"
    assert totals.redeemed_minor == redemption.minor
    assert totals.earned_points == sum(lot.points for lot in result.earned)
