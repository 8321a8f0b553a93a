"""The offers of a world: a few of everyday kinds, and those given so many times."""

import random

from loyalty.bundle import Bundle, Product, Programme, RedemptionTerms, ReturnTerms
from loyalty.offers import (
    AmountOff,
    Attribute,
    Combines,
    Limits,
    LotTerms,
    NeedsLines,
    Offer,
    Percent,
    PercentOff,
    PointsPerItem,
    PointsPerMoney,
    SharedLimit,
    Stamps,
    Who,
)

SKUS = tuple(f"sku-{number}" for number in range(12))

SHORT_LIVED = LotTerms(name="short", lifetime_days=3)
"""Points that are over before the world is."""

DAILY_USES_MAX = 12
"""Of the offer `of-the-day` by all customers together, on each day."""

CAMPAIGN_USES_MAX = 60
"""Of the offer `first-sixty` by all customers together, in all versions of the rules."""


def _limited_offers() -> tuple[Offer, ...]:
    """Return offers that are given so many times: to an account, to all, on a day."""
    return (
        Offer(
            offer_id="welcome",
            gives=Percent(rate_ppm=20_000),
            limits=Limits(uses_per_account_max=2),
        ),
        Offer(
            offer_id="first-sixty",
            gives=AmountOff(amount_minor=50),
            limits=Limits(campaign=SharedLimit(uses_max=CAMPAIGN_USES_MAX)),
        ),
        Offer(
            offer_id="three-each",
            gives=AmountOff(amount_minor=30),
            who=Who(identified=True),
            limits=Limits(account=SharedLimit(uses_max=3)),
        ),
        Offer(
            offer_id="of-the-day",
            gives=AmountOff(amount_minor=10),
            limits=Limits(campaign=SharedLimit(uses_max=DAILY_USES_MAX, period="day")),
        ),
    )


def make_bundle(draws: random.Random, version: int) -> Bundle:
    """Return some offers of everyday kinds."""
    offers = (
        Offer(
            offer_id="points",
            gives=PointsPerMoney(points=draws.randint(2, 6), per_minor=100),
            who=Who(identified=True),
        ),
        Offer(offer_id="ten-percent", gives=Percent(rate_ppm=draws.randint(1, 15) * 10_000)),
        Offer(
            offer_id="with-card",
            gives=Percent(rate_ppm=50_000),
            who=Who(identified=True),
            needs=NeedsLines(amount_minor_min=draws.randint(500, 4_000)),
            combines=Combines(order=200),
        ),
        Offer(
            offer_id="each",
            gives=PointsPerItem(points=draws.randint(1, 4), lot=SHORT_LIVED),
            who=Who(identified=True),
        ),
        *_limited_offers(),
        Offer(
            offer_id="third",
            gives=Stamps(counter="third", every=3, off=PercentOff(rate_ppm=100_000)),
            who=Who(identified=True),
            lines=Attribute(name="sku", one_of=SKUS[:3]),
        ),
    )
    return Bundle(
        version=version,
        programme=Programme(
            programme_id="green",
            currency="EUR",
            point_value_minor=10,
            redemption=RedemptionTerms(receipt_share_max_ppm=700_000),
            returns=ReturnTerms(
                broken_condition=draws.choice(("keep", "charge_back")),
            ),
        ),
        offers=offers,
        catalogue={sku: Product(department=f"department-{i % 3}") for i, sku in enumerate(SKUS)},
    )
