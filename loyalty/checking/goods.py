"""What the catalogue says about offers: products they miss, may not touch, may not make cheaper."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from loyalty.bundle import Bundle
from loyalty.checking.finding import Code, Finding
from loyalty.checking.kinds import POINTS, reward_kind
from loyalty.checking.meeting import Actor
from loyalty.checking.reach import Assortment, SkuSet
from loyalty.checking.structure import matches_of, needs_lines_of
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.offers import (
    Attribute,
    CardPrice,
    FixedPrice,
    LineMatch,
    Offer,
    UnitPrice,
)

_EXAMPLES: Final = 3


def check_goods(
    bundle: Bundle, actors: Sequence[Actor], assortment: Assortment
) -> Iterator[Finding]:
    """Yield what does not go with the catalogue; nothing where there is none."""
    if not bundle.catalogue:
        return
    known = bundle.catalogue.keys()
    for name in sorted(bundle.groups):
        if unknown := [sku for sku in bundle.groups[name] if sku not in known]:
            figures = {"group": name, **_counted(unknown)}
            yield Finding(code=Code.SKU_UNKNOWN, path=f"groups.{name}", figures=figures)
    yield from _floors_of_all(actors, assortment)
    yield from _barred_counted(actors, assortment)
    for actor in actors:
        yield from _unknown_skus(actor.offer, bundle)
        yield from _nothing(actor, assortment)
        if reward_kind(actor.offer) == "price" and not actor.reach.maybe.all_but:
            yield from _floors(actor, assortment)
        elif isinstance(actor.offer.gives, POINTS):
            yield from _lot(actor.offer, bundle)


def _counted(skus: Iterable[str]) -> dict[str, int | str]:
    found = sorted(set(skus))
    return {"products": len(found), "skus": ", ".join(found[:_EXAMPLES])}


# Named, and not there


def _unknown_skus(offer: Offer, bundle: Bundle) -> Iterator[Finding]:
    for path, skus in _skus_named(offer):
        if unknown := [sku for sku in skus if sku not in bundle.catalogue]:
            yield Finding(
                code=Code.SKU_UNKNOWN,
                offers=(offer.offer_id,),
                path=path,
                figures=_counted(unknown),
            )


def _skus_named(offer: Offer) -> Iterator[tuple[str, Iterable[str]]]:
    for path, match in matches_of(offer):
        yield from _skus_in(match, path)
    for path, need in needs_lines_of(offer.needs):
        yield from _skus_in(need.match, f"{path}.match")
    if isinstance(offer.gives, CardPrice):
        yield "gives.prices", offer.gives.prices


def _skus_in(match: LineMatch, path: str) -> Iterator[tuple[str, Iterable[str]]]:
    if isinstance(match, Attribute):
        if match.name == "sku":
            yield path, match.one_of
    else:
        for number, part in enumerate(getattr(match, "of", ())):
            yield from _skus_in(part, f"{path}.of[{number}]")


# Reached by nothing


def _nothing(actor: Actor, assortment: Assortment) -> Iterator[Finding]:
    offer = actor.offer
    offers = (offer.offer_id,)
    missed = False
    for path, match in matches_of(offer):
        skus = assortment.reach(match).maybe
        if path.startswith("gives.parts"):
            skus = skus & assortment.reach(offer.lines).maybe
        if assortment.has_none_of(skus):
            missed = True
            yield Finding(code=Code.NO_PRODUCT, offers=offers, path=path)
    if isinstance(offer.gives, CardPrice):
        reached = assortment.reach(offer.lines).maybe & SkuSet(frozenset(offer.gives.prices))
        if not missed and assortment.has_none_of(reached):
            missed = True
            yield Finding(code=Code.NO_PRODUCT, offers=offers, path="gives.prices")
    if not missed and assortment.has_none_of(actor.reach.maybe):
        barred = "earn" if isinstance(offer.gives, POINTS) else "discount"
        yield Finding(code=Code.ALL_BARRED, offers=offers, path="lines", figures={"barred": barred})


def _lot(offer: Offer, bundle: Bundle) -> Iterator[Finding]:
    gives = offer.gives
    group = gives.lot.restriction if isinstance(gives, POINTS) else ""
    skus = bundle.groups.get(group)
    if group and skus is not None and all(_is_barred(sku, bundle) for sku in skus):
        yield Finding(
            code=Code.LOT_UNSPENDABLE,
            offers=(offer.offer_id,),
            path="gives.lot.restriction",
            figures={"group": group},
        )


def _is_barred(sku: str, bundle: Bundle) -> bool:
    product = bundle.catalogue.get(sku)
    return product is not None and "redeem" in product.barred


def _barred_counted(actors: Iterable[Actor], assortment: Assortment) -> Iterator[Finding]:
    """Yield one finding for all offers that a purchase of goods without discounts opens."""
    if assortment.undiscounted.is_empty:
        return
    counted: set[str] = set()
    offers = 0
    for actor in actors:
        if reward_kind(actor.offer) != "price":
            continue
        skus: set[str] = set()
        for _, need in needs_lines_of(actor.offer.needs):
            if need.amount_minor_min and need.basis == "gross":
                skus |= (assortment.reach(need.match).maybe & assortment.undiscounted).named
        offers += bool(skus)
        counted |= skus
    if offers:
        figures = {"count": offers, **_counted(counted)}
        yield Finding(code=Code.NEED_COUNTS_BARRED, path="offers", figures=figures)


# Regulated minimum prices


def _floors_of_all(actors: Iterable[Actor], assortment: Assortment) -> Iterator[Finding]:
    """Yield one finding for all offers on everything, or everything but something."""
    cut: set[str] = set()
    offers = []
    for actor in actors:
        if actor.reach.maybe.all_but and reward_kind(actor.offer) == "price":
            reached = (actor.reach.maybe & assortment.with_floor).named
            prices = _prices(actor.offer, reached)
            if prices is not None:
                reached = frozenset(sku for sku in reached if prices[sku] < assortment.floors[sku])
            if reached:
                cut |= reached
                offers.append(actor.offer_id)
    if offers:
        figures = {"count": len(offers), **_counted(cut)}
        yield Finding(code=Code.FLOOR_CUTS, path="offers", figures=figures)


def _floors(actor: Actor, assortment: Assortment) -> Iterator[Finding]:
    reached = (actor.reach.maybe & assortment.with_floor).named
    if not reached:
        return
    floors = assortment.floors
    offer = actor.offer
    prices = _prices(offer, reached)
    if prices is None:
        yield Finding(
            code=Code.FLOOR_CUTS,
            offers=(offer.offer_id,),
            path="lines",
            figures=_counted(reached),
        )
    elif below := sorted(sku for sku, minor in prices.items() if minor < floors[sku]):
        yield Finding(
            code=Code.PRICE_BELOW_FLOOR,
            offers=(offer.offer_id,),
            path="gives",
            figures={
                "sku": below[0],
                "price_minor": prices[below[0]],
                "floor_minor": floors[below[0]],
                "products": len(below),
            },
        )


def _prices(offer: Offer, skus: Iterable[str]) -> Mapping[str, int] | None:
    """Return what one unit of each SKU will cost, None where the offer does not say."""
    gives = offer.gives
    if isinstance(gives, CardPrice):
        return {sku: _of_unit(gives.prices[sku]) for sku in skus}
    if isinstance(gives, FixedPrice) and gives.per == "unit":
        return dict.fromkeys(skus, gives.amount_minor)
    return None


def _of_unit(price: UnitPrice) -> int:
    return price.amount_minor * UNIT_THOUSANDTHS // price.per_quantity
