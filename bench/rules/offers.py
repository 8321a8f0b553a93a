"""Ten thousand offers on twenty thousand products, made up from numbers, one of them changed."""

from dataclasses import replace
from random import Random

from loyalty.bundle import Bundle, Product, Programme
from loyalty.offers import Attribute, Offer, Percent, PointsPerMoney, When, Who


def rules(offers: int, products: int) -> Bundle:
    """Return a rule document."""
    return Bundle(
        version=1,
        programme=Programme(programme_id="bench", currency="USD"),
        offers=(_points(), *(_offer(number, products) for number in range(offers))),
        catalogue={
            f"{number:08}": Product(
                department=f"d{number % 20}", category=f"c{number % 300}", brand=f"b{number % 900}"
            )
            for number in range(products)
        },
    )


def with_one_changed(before: Bundle) -> Bundle:
    """Return the document with another rate in one offer in the middle."""
    offers = list(before.offers)
    place = len(offers) // 2
    offers[place] = replace(offers[place], gives=Percent(rate_ppm=123_400))
    return replace(before, offers=tuple(offers))


def _points() -> Offer:
    return Offer(
        offer_id="base", gives=PointsPerMoney(points=1, per_minor=100), who=Who(identified=True)
    )


def _offer(number: int, products: int) -> Offer:
    draws = Random(number)
    skus = tuple(f"{draws.randrange(products):08}" for _ in range(draws.randrange(1, 6)))
    rate = draws.randrange(3, 60)
    return Offer(
        offer_id=f"offer-{number:05}",
        gives=Percent(rate_ppm=rate * 10_000),
        title={"en": f"{rate} % off", "ru": f"Скидка {rate} %"},
        when=When(starts="2026-01-01", until=f"2027-{draws.randrange(1, 13):02}-01"),
        lines=Attribute(name="sku", one_of=skus),
    )
