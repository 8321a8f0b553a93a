"""The bundle behind the real baskets: card prices and coupons as the chain had them, points on top.

No price reward is added to what the chain gave: here is to be paid what was paid there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from bench.grocery.catalogue import catalogue, coupon_groups, group_name
from bench.grocery.coupons import CouponsFound, find_coupons
from bench.grocery.data import CouponIssue, Selection
from bench.grocery.prices import CardPriceFound, PriceTable, PriceWindow, find_card_prices
from loyalty.bundle import Bundle, Programme, RedemptionTerms
from loyalty.offers import (
    AmountOff,
    Attribute,
    CardPrice,
    Combines,
    LotTerms,
    NeedsCode,
    NeedsLines,
    Offer,
    PointsPerItem,
    PointsPerMoney,
    When,
    Where,
    Who,
)

PROGRAMME_ID = "grocery"
PRIVATE_LABEL = "Private"
_CARD_ORDER, _COUPON_ORDER = 10, 20
_LOT = LotTerms(name="regular", lifetime_days=365)
_HOLDERS = Who(identified=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What the bundle is made from, kept for the comparison."""

    prices: PriceTable
    coupons: CouponsFound
    issues: tuple[CouponIssue, ...]


def derive(selection: Selection, *, coupons: CouponsFound | None = None) -> Derived:
    """Read card prices and coupons from the selection.

    Args:
        coupons: what was found in a selection that holds this one; read anew when not given.
    """
    coupons = coupons or find_coupons(selection)
    first_day, _ = selection.window(selection.first_week)
    _, after = selection.window(selection.last_week)
    sold = {line.sku for basket in selection.baskets for line in basket.lines}
    issues = tuple(
        issue
        for issue in sorted(selection.coupons, key=lambda i: (i.upc, i.campaign_id))
        if issue.upc in coupons.value_minor
        and selection.campaigns[issue.campaign_id].starts < after[:10]
        and selection.campaigns[issue.campaign_id].until > first_day[:10]
        and not sold.isdisjoint(selection.coupons[issue])
    )
    return Derived(prices=find_card_prices(selection), coupons=coupons, issues=issues)


def build_bundle(
    selection: Selection,
    *,
    version: int,
    derived: Derived | None = None,
    all_products: bool = False,
) -> Bundle:
    """Return the bundle of a selection.

    Args:
        version: of the bundle, at least 1.
        derived: what `derive` returned, when it is there already.
        all_products: the catalogue holds the whole chain's products.
    """
    derived = derived or derive(selection)
    products = catalogue(selection, all_products=all_products)
    return Bundle(
        version=version,
        programme=Programme(
            programme_id=PROGRAMME_ID,
            currency="USD",
            point_value_minor=1,
            point_value_points=1,
            redemption=RedemptionTerms(receipt_share_max_ppm=500_000),
        ),
        offers=(
            *_card_offers(selection, derived.prices),
            *_coupon_offers(selection, derived),
            *_points_offers(),
        ),
        catalogue=products,
        groups=coupon_groups(selection, derived.issues, products.keys()),
    )


def with_one_offer_more(bundle: Bundle, *, version: int) -> Bundle:
    """Return the next version of a bundle: points for fresh produce on top; no price changes."""
    more = Offer(
        offer_id="points-produce",
        title={
            "en": "A point more per 1.00 of fresh produce",
            "ru": "Ещё балл за каждую 1.00 овощей и фруктов",
        },
        who=_HOLDERS,
        lines=Attribute(name="department", one_of=("PRODUCE",)),
        gives=PointsPerMoney(points=1, per_minor=100, lot=_LOT),
    )
    return replace(bundle, version=version, offers=(*bundle.offers, more))


def _card_offers(selection: Selection, table: PriceTable) -> list[Offer]:
    offers = []
    for window, prices in table.items():
        plain = {sku: price for sku, price in prices.items() if not price.quantity_min}
        if plain:
            offers.append(_card_offer(selection, window, plain, ends=""))
        for sku, price in prices.items():
            if price.quantity_min:
                pieces = price.quantity_min // 1000
                offers.append(
                    _card_offer(selection, window, {sku: price}, ends=f"-from-{pieces}-{sku}")
                )
    return offers


def _card_offer(
    selection: Selection, window: PriceWindow, prices: Mapping[str, CardPriceFound], *, ends: str
) -> Offer:
    """One offer for a window's prices, or for one price that begins at a quantity."""
    offer = Offer(
        offer_id=f"card-{window.store_id}-{window.week}{window.day and f'-{window.day}'}{ends}",
        title={"en": "Card price", "ru": "Цена по карте"},
        when=_when(selection, window),
        where=Where(stores=(window.store_id,)),
        who=_HOLDERS,
        combines=Combines(order=_CARD_ORDER),
        gives=CardPrice(prices={sku: price.unit for sku, price in prices.items()}),
    )
    if not ends:
        return offer
    ((sku, price),) = prices.items()
    match = Attribute(name="sku", one_of=(sku,))
    return replace(
        offer, lines=match, needs=NeedsLines(match=match, quantity_min=price.quantity_min)
    )


def _when(selection: Selection, window: PriceWindow) -> When:
    if window.day:
        next_day = date.fromisoformat(window.day) + timedelta(days=1)
        return When(starts=f"{window.day}T00:00:00", until=f"{next_day}T00:00:00")
    starts, until = selection.window(window.week)
    return When(starts=starts, until=until)


def _coupon_offers(selection: Selection, derived: Derived) -> list[Offer]:
    offers = []
    for issue in derived.issues:
        campaign = selection.campaigns[issue.campaign_id]
        offers.append(
            Offer(
                offer_id=group_name(issue),
                title={"en": "Coupon", "ru": "Купон"},
                when=When(starts=f"{campaign.starts}T00:00:00", until=f"{campaign.until}T00:00:00"),
                who=Who(segments=(segment(issue.campaign_id),)),
                lines=Attribute(name="group", one_of=(group_name(issue),)),
                needs=NeedsCode(one_of=(str(issue.upc),)),
                # One paper, whatever campaigns it was sent with: it takes its value off once.
                combines=Combines(group=f"coupon-{issue.upc}", order=_COUPON_ORDER),
                gives=AmountOff(amount_minor=derived.coupons.value_minor[issue.upc]),
            )
        )
    return offers


def segment(campaign_id: int) -> str:
    """Return the segment of the customers a campaign was sent to."""
    return f"campaign-{campaign_id}"


def _points_offers() -> tuple[Offer, ...]:
    return (
        Offer(
            offer_id="points-base",
            title={"en": "1 point per 1.00", "ru": "1 балл за каждую 1.00"},
            who=_HOLDERS,
            gives=PointsPerMoney(points=1, per_minor=100, lot=_LOT),
        ),
        Offer(
            offer_id="points-private-label",
            title={
                "en": "2 points for each item of our own brand",
                "ru": "2 балла за каждый товар нашей марки",
            },
            who=_HOLDERS,
            lines=Attribute(name="brand", one_of=(PRIVATE_LABEL,)),
            gives=PointsPerItem(points=2, lot=_LOT),
        ),
    )
