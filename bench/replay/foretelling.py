"""A basket's prices as only the other baskets of its store and week show them.

The store's prices are read from the very lines that are calculated with them; a price here is read
without the line it is for, as if that customer came last. Coupons likewise: worth what they took
off for everybody else. A bundle of one basket holds these prices, the store's bundle none of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.grocery.coupons import CouponsFound
from bench.grocery.data import RealBasket, RealLine, Selection
from bench.grocery.offers import Derived, build_bundle
from bench.grocery.prices import CardPriceFound, PriceWindow, find_card_price, window_of
from bench.replay.figures import Prices
from loyalty.bundle import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What other baskets say about one.

    Attributes:
        derived: the prices, coupon values and coupons of this basket.
        supported: SKUs of the basket that another basket of the window holds.
        knows_coupons: somebody else shows the value of every coupon handed in.
    """

    derived: Derived
    supported: frozenset[str]
    knows_coupons: bool


def foretell(
    basket: RealBasket,
    lines: Mapping[PriceWindow, Mapping[str, Sequence[RealLine]]],
    selection: Selection,
    derived: Derived,
) -> Foretold:
    """Return what the others say.

    Args:
        lines: all lines of the store by window and SKU, those of the basket among them.
        derived: the store's.
    """
    prices: dict[PriceWindow, dict[str, CardPriceFound]] = {}
    supported = set()
    for line in basket.lines:
        window = window_of(selection, basket, line)
        # A product stands in a basket at most once, so without this line all are other baskets'.
        others = list(lines[window][line.sku])
        others.remove(line)
        if others:
            supported.add(line.sku)
            if price := find_card_price(others):
                prices.setdefault(window, {})[line.sku] = price
    issues = derived.coupons.by_basket.get(basket.basket_id, ())
    upcs = {issue.upc for issue in issues} & derived.coupons.value_minor.keys()
    values = {
        upc: value
        for upc in sorted(upcs)
        if (value := derived.coupons.value_without(upc, basket.household_id, basket.day))
        is not None
    }
    skus = {line.sku for line in basket.lines}
    return Foretold(
        derived=Derived(
            prices=prices,
            coupons=CouponsFound(
                value_minor=values,
                by_basket={basket.basket_id: issues} if issues else {},
                without_value=0,
                redemptions_elsewhere=0,
            ),
            # An offer of a coupon that was not handed in cannot act.
            issues=tuple(
                issue
                for issue in (derived.issues if values else ())
                if issue.upc in values and not skus.isdisjoint(selection.coupons[issue])
            ),
        ),
        supported=frozenset(supported),
        knows_coupons=len(values) == len(upcs),
    )


def prices_rest_on(basket: RealBasket, supported: frozenset[str]) -> Prices:
    """Return what the basket's card prices rest on."""
    card_priced = {line.sku for line in basket.lines if is_card_priced(line)}
    if not card_priced:
        return Prices.REGULAR
    return Prices.OTHERS if card_priced <= supported else Prices.ITSELF


def is_card_priced(line: RealLine) -> bool:
    """Whether the holder of the card paid less than the regular price, coupons aside."""
    return line.card_minor < line.gross_minor


def bundle_of_one(basket: RealBasket, foretold: Foretold, selection: Selection) -> Bundle:
    """Return the bundle with what was foretold for the basket, made as the store's is."""
    alone = replace(selection, baskets=(basket,))
    return build_bundle(alone, version=1, derived=foretold.derived)
