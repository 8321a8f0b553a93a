"""What must hold for every calculation: it comes to an end, its sums agree, order does not matter.

The sums are worked out here from lines and effects, without a rule of the product's.
"""

from dataclasses import dataclass, replace
from time import process_time

from bench.grocery.data import RealBasket, Selection
from bench.grocery.draws import Draws
from bench.grocery.offers import Derived, segment
from bench.replay.figures import Checks
from loyalty.account import AccountSnapshot
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.compilation import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A real visit as the engine is given it: with the household's card and its coupons."""

    basket_id: int
    basket: Basket
    moment: Moment
    place: Place
    account: AccountSnapshot


def sale_of(real: RealBasket, selection: Selection, derived: Derived) -> Sale:
    """Return a basket as a sale; all its households hold a card of the chain."""
    issues = derived.coupons.by_basket.get(real.basket_id, ())
    audience = selection.audiences.get(real.household_id, ())
    return Sale(
        basket_id=real.basket_id,
        basket=Basket(
            lines=tuple(
                BasketLine(
                    line_id=f"{number:03d}",
                    sku=line.sku,
                    quantity=line.quantity,
                    gross_minor=line.gross_minor,
                    by_weight=line.by_weight,
                )
                for number, line in enumerate(real.lines, start=1)
            ),
            codes=tuple(dict.fromkeys(str(issue.upc) for issue in issues)),
        ),
        moment=Moment(local=real.moment),
        place=Place(store=real.store_id),
        account=AccountSnapshot(
            identified=True,
            account_id=real.household_id,
            segments=tuple(segment(campaign) for campaign in audience),
            version=1,
        ),
    )


def calculated(sale: Sale, rules: Rules, checks: Checks) -> tuple[Calculation | None, float]:
    """Calculate a sale and check it; None when the engine raised.

    Returns:
        The calculation and the milliseconds of processor time it took: other work on the machine
        does not make a basket slow.
    """
    checks.calculations += 1
    begun = process_time()
    try:
        found = calculate(
            sale.basket, rules, moment=sale.moment, place=sale.place, account=sale.account
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, that it was raised is the finding
        checks.raised.append(f"{_named(sale)}: {type(error).__name__}: {error}")
        return None, 0.0
    took_ms = (process_time() - begun) * 1e3
    checks.unproven += not found.proven
    if wrong := wrong_sum(found, sale.basket):
        checks.unsound.append(f"{_named(sale)}: {wrong}")
    return found, took_ms


def wrong_sum(found: Calculation, basket: Basket) -> str:
    """Return the first sum that does not hold, empty when all do."""
    if {line.line_id: line.gross_minor for line in found.lines} != {
        line.line_id: line.gross_minor for line in basket.lines
    }:
        return "lines or gross amounts are not the basket's"
    for line in found.lines:
        parts = (line.discount_minor, line.redeemed_minor, line.paid_minor)
        if min(parts) < 0 or sum(parts) != line.gross_minor:
            return f"line {line.line_id}: discount, redeemed and paid are not its gross amount"
        if sum(effect.discount_minor for effect in line.effects) != line.discount_minor:
            return f"line {line.line_id}: its effects are not its discount"
        if sum(effect.points for effect in line.effects) != line.earned_points:
            return f"line {line.line_id}: its effects are not its points"
    for name in ("gross_minor", "discount_minor", "redeemed_minor", "paid_minor", "earned_points"):
        if sum(getattr(line, name) for line in found.lines) != getattr(found.totals, name):
            return f"the lines' {name} are not the total"
    if sum(lot.points for lot in found.earned) != found.totals.earned_points:
        return "the lots earned are not the points earned"
    return ""


def check_order(sale: Sale, first: Calculation, rules: Rules, checks: Checks, *, seed: int) -> None:
    """Calculate the same sale with its lines and codes in another order and compare the bytes."""
    draws = Draws(seed, "order", sale.basket_id)
    lines = sorted(sale.basket.lines, key=lambda _: draws.bits(64))
    if tuple(lines) == sale.basket.lines:
        lines.reverse()
    other = Basket(lines=tuple(lines), codes=sale.basket.codes[::-1])
    again, _ = calculated(replace(sale, basket=other), rules, checks)
    checks.reordered += 1
    if again is not None and canonical_bytes(again) != canonical_bytes(first):
        checks.order_matters.append(_named(sale))


def _named(sale: Sale) -> str:
    return f"store {sale.place.store}, basket {sale.basket_id}"
