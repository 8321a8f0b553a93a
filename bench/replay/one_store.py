"""THE MAIN PATH: one store's bundle is made, then each of its baskets is calculated twice.

First with the card prices read from all its baskets, then, where others support them, with prices
read from the other baskets alone.
"""

from dataclasses import dataclass, replace
from hashlib import sha256
from time import perf_counter

from bench.grocery.compare import cause_of, price_minor
from bench.grocery.coupons import CouponsFound
from bench.grocery.data import RealBasket, Selection
from bench.grocery.offers import Derived, build_bundle, derive
from bench.grocery.prices import lines_by_window
from bench.replay.checks import Sale, calculated, check_order, sale_of
from bench.replay.figures import Figures, Prices, Slowest, Tally
from bench.replay.foretelling import (
    Foretold,
    bundle_of_one,
    foretell,
    is_card_priced,
    prices_rest_on,
)
from loyalty.bundle import Bundle
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.compilation import Rules, compile_bundle

REORDERED_EVERY = 50
"""One basket in so many is calculated again with its lines in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTask:
    """What a process needs to replay one store."""

    selection: Selection
    coupons: CouponsFound
    seed: int


def tasks_of(selection: Selection, coupons: CouponsFound, *, seed: int) -> list[StoreTask]:
    """Return one task a store, with what that store needs of the chain's tables alone.

    Args:
        coupons: found in the whole selection, so that a coupon is handed in at one store.
    """
    by_store: dict[str, list[RealBasket]] = {store: [] for store in selection.stores}
    for basket in selection.baskets:
        by_store[basket.store_id].append(basket)
    tasks = []
    for store, baskets in by_store.items():
        here = replace(
            selection,
            stores=(store,),
            baskets=tuple(baskets),
            redemptions=(),
            coupon_lines=(),
        )
        sold = {line.sku for basket in baskets for line in basket.lines}
        known = {sku: here.product(sku) for sku in sorted(sold)}
        products = {product.sku: product for product in known.values() if product.sku}
        tasks.append(
            StoreTask(selection=replace(here, products=products), coupons=coupons, seed=seed)
        )
    return tasks


def replay_store(task: StoreTask) -> Figures:
    """Replay one store and return what was counted."""
    begun = perf_counter()
    selection = task.selection
    derived = derive(selection, coupons=task.coupons)
    bundle = build_bundle(selection, version=1, derived=derived)
    rules = _compiled(bundle)
    lines = lines_by_window(selection)
    figures = Figures(stores=selection.stores, offers=len(bundle.offers))
    days = set[str]()
    for place, real in enumerate(selection.baskets):
        figures.lines += len(real.lines)
        sale = sale_of(real, selection, derived)
        found, took_ms = calculated(sale, rules, figures.checks)
        if found is None:
            continue
        first = real.day not in days
        days.add(real.day)
        slow = Slowest(took_ms, real.store_id, real.basket_id, len(real.lines), first)
        figures.slowest = max(figures.slowest, slow)
        if place % REORDERED_EVERY == 0:
            check_order(sale, found, rules, figures.checks, seed=task.seed)
        foretold = foretell(real, lines, selection, derived)
        prices = prices_rest_on(real, foretold.supported)
        tallies = [figures.with_store_prices, figures.by_prices[prices]]
        if sale.basket.codes:
            tallies.append(figures.with_codes)
        _compare(real, found, selection, derived, tallies)
        _count_lines(real, foretold, selection, figures)
        _foretold(real, sale, foretold, selection, figures)
    figures.seconds = perf_counter() - begun
    return figures


def _compiled(bundle: Bundle) -> Rules:
    return compile_bundle(bundle, sha256(canonical_bytes(bundle)).hexdigest())


def _compare(
    real: RealBasket,
    found: Calculation,
    selection: Selection,
    derived: Derived,
    tallies: list[Tally],
) -> None:
    difference = found.totals.paid_minor - real.paid_minor
    cause = cause_of(real, difference, selection, derived) if difference else None
    for tally in tallies:
        tally.count(real.paid_minor, difference, cause)


def _count_lines(
    real: RealBasket, foretold: Foretold, selection: Selection, figures: Figures
) -> None:
    for line in real.lines:
        lines = figures.card_lines if is_card_priced(line) else figures.regular_lines
        price = price_minor(line, real, selection, foretold.derived)
        lines.count(supported=line.sku in foretold.supported, foretold=price == line.card_minor)


def _foretold(
    real: RealBasket, sale: Sale, foretold: Foretold, selection: Selection, figures: Figures
) -> None:
    """Calculate the basket with what the others show, unless it alone shows what it cost."""
    prices = prices_rest_on(real, foretold.supported)
    if prices is Prices.ITSELF:
        figures.not_foretold["card_price_shown_by_this_basket_alone"] += 1
        return
    if not foretold.knows_coupons:
        figures.not_foretold["coupon_value_shown_by_this_basket_alone"] += 1
        return
    rules = _compiled(bundle_of_one(real, foretold, selection))
    found, _ = calculated(sale, rules, figures.checks)
    if found is None:
        return
    tallies = [figures.foretold[prices]]
    has_fuel = any(selection.product(line.sku).is_fuel for line in real.lines)
    if prices is Prices.OTHERS and not has_fuel:
        tallies.append(figures.foretold_but_fuel)
    if len(foretold.supported) == len(real.lines):
        tallies.append(figures.foretold_wholly)
    _compare(real, found, selection, foretold.derived, tallies)
