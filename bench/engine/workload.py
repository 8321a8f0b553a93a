"""Made-up products, offers and baskets under one seed, in a form every library can take.

20,000 SKUs in 1,000 categories and of 1,500 brands, some much more common than others. Of the
offers 70 % take a percentage off, 20 % are N for M and 10 % give a percentage from an amount spent
on; each is about a category, a brand or a list of SKUs, the last one about everything. They stack.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from random import Random
from typing import Literal

from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import Bundle, Product, Programme
from loyalty.offers import (
    Attribute,
    Combines,
    EveryLine,
    LineMatch,
    NeedsLines,
    NForM,
    Offer,
    Percent,
)

SKUS, CATEGORIES, BRANDS = 20_000, 1_000, 1_500
PLACE = Place(store="1")
MOMENT = Moment(local="2026-03-02T12:00:00")
_PRICES_MINOR = (40, 3_000)
_RATES_PPM = (50_000, 100_000, 150_000, 200_000, 250_000)
_SETS = ((2, 1), (3, 2), (3, 2), (4, 3), (5, 4))
_LIST_SKUS = (10, 40)
_SPEND_MINOR = (300, 2_000)
_SKEW_NAMES, _SKEW_SOLD, _SKEW_LISTED = 0.7, 0.8, 0.4
"""How unequal are categories and brands in size, SKUs in sales, SKUs in lists; 0 = equal."""

Kind = Literal["percent", "n_for_m", "threshold"]
By = Literal["category", "brand", "sku", "all"]
_BY: tuple[By, ...] = ("category", "brand", "sku")
_BY_WEIGHTS = (4, 3, 3)
"""How often offers name a category, a brand, a list of SKUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOffer:
    """An offer as every library can take it.

    Attributes:
        by: what `values` are; `all` has none and means every line.
        rate_ppm: of percentages and thresholds.
        units, pay: of N for M.
        spend_minor_min: of thresholds, on the matched lines.
    """

    offer_id: str
    kind: Kind
    by: By
    values: tuple[str, ...] = ()
    rate_ppm: int = 0
    units: int = 0
    pay: int = 0
    spend_minor_min: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainLine:
    """A line of whole pieces."""

    sku: str
    category: str
    brand: str
    units: int
    unit_minor: int


PlainBasket = tuple[PlainLine, ...]


class World:
    """The products of one seed, and offers and baskets drawn from them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        draw = Random(f"products/{seed}")
        categories = _Skewed([f"c{number}" for number in range(CATEGORIES)], _SKEW_NAMES)
        brands = _Skewed([f"b{number}" for number in range(BRANDS)], _SKEW_NAMES)
        self._products = {
            f"s{number}": PlainLine(
                sku=f"s{number}",
                category=categories.draw(draw),
                brand=brands.draw(draw),
                units=1,
                unit_minor=draw.randint(*_PRICES_MINOR),
            )
            for number in range(SKUS)
        }
        self._sold = _Skewed(list(self._products), _SKEW_SOLD)
        self._listed = _Skewed(list(self._products), _SKEW_LISTED)
        self._named: dict[By, _Skewed] = {"category": categories, "brand": brands}

    def catalogue(self) -> dict[str, Product]:
        """Return the products as a bundle holds them."""
        return {
            sku: Product(category=line.category, brand=line.brand)
            for sku, line in self._products.items()
        }

    def offers(self, count: int) -> tuple[PlainOffer, ...]:
        """Return so many offers, the last one on everything.

        A category or brand comes back only when all had their turn.
        """
        draw = Random(f"offers/{self.seed}/{count}")
        targets = {by: named.each_once(draw) for by, named in self._named.items()}
        return tuple(
            self._offer(
                f"o{number:05}", _kind(number, count), draw, targets, everywhere=number == count - 1
            )
            for number in range(count)
        )

    def _offer(
        self,
        offer_id: str,
        kind: Kind,
        draw: Random,
        targets: dict[By, Iterator[str]],
        *,
        everywhere: bool,
    ) -> PlainOffer:
        by: By = draw.choices(_BY, weights=_BY_WEIGHTS)[0]
        values: tuple[str, ...] = ()
        if everywhere:
            by = "all"
        elif by == "sku":
            values = tuple(self._listed.some(draw, draw.randint(*_LIST_SKUS)))
        else:
            values = (next(targets[by]),)
        rate_ppm = draw.choice(_RATES_PPM)
        if kind == "n_for_m":
            units, pay = draw.choice(_SETS)
            return PlainOffer(
                offer_id=offer_id, kind=kind, by=by, values=values, units=units, pay=pay
            )
        spend = draw.randrange(*_SPEND_MINOR, 100) if kind == "threshold" else 0
        return PlainOffer(
            offer_id=offer_id,
            kind=kind,
            by=by,
            values=values,
            rate_ppm=rate_ppm,
            spend_minor_min=spend,
        )

    def baskets(self, count: int, lines: int) -> tuple[PlainBasket, ...]:
        """Return so many baskets of so many different SKUs."""
        draw = Random(f"baskets/{self.seed}/{lines}")
        return tuple(
            tuple(self._line(sku, draw) for sku in self._sold.some(draw, lines))
            for _ in range(count)
        )

    def _line(self, sku: str, draw: Random) -> PlainLine:
        product = self._products[sku]
        units = draw.choices((1, 2, 3, 4, 6), weights=(70, 17, 7, 4, 2))[0]
        return PlainLine(
            sku=sku,
            category=product.category,
            brand=product.brand,
            units=units,
            unit_minor=product.unit_minor,
        )


def _kind(number: int, count: int) -> Kind:
    """Return the kind of one of so many offers: percentages first, then sets, then thresholds."""
    if number < count * 7 // 10:
        return "percent"
    return "n_for_m" if number < count * 9 // 10 else "threshold"


class _Skewed:
    """Values of which the first is drawn most often, the n-th n**-skew as often (Zipf's law)."""

    def __init__(self, values: Sequence[str], skew: float) -> None:
        self._values = values
        self._weights = [place**-skew for place in range(1, len(values) + 1)]
        self._sums = list(accumulate(self._weights))

    def draw(self, draw: Random) -> str:
        return draw.choices(self._values, cum_weights=self._sums)[0]

    def some(self, draw: Random, count: int) -> list[str]:
        """Return so many different values, in the order in which they were drawn."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.draw(draw)] = None
        return list(found)

    def each_once(self, draw: Random) -> Iterator[str]:
        """Yield all values, those drawn oftener sooner, and then all again, without end."""
        while True:
            keys = [draw.random() ** (1 / weight) for weight in self._weights]
            order = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)
            yield from (self._values[place] for place in order)


Base = Literal["initial", "running"]


def bundle_of(world: World, offers: Sequence[PlainOffer], *, base: Base = "initial") -> Bundle:
    """Return the offers as a bundle with the whole catalogue.

    Args:
        base: the price that rates are of; the peers know the register's only.
    """
    return Bundle(
        version=1,
        programme=Programme(programme_id="bench", currency="USD"),
        offers=tuple(offer_of(offer, base=base) for offer in offers),
        catalogue=world.catalogue(),
    )


def offer_of(plain: PlainOffer, *, base: Base = "initial") -> Offer:
    """Return the offer as the engine takes it."""
    match: LineMatch = EveryLine()
    if plain.by != "all":
        match = Attribute(name=plain.by, one_of=plain.values)
    combines = Combines(base=base)
    if plain.kind == "n_for_m":
        gives = NForM(units=plain.units, pay=plain.pay)
        return Offer(offer_id=plain.offer_id, lines=match, gives=gives, combines=combines)
    reward = Percent(rate_ppm=plain.rate_ppm)
    if plain.kind == "percent":
        return Offer(offer_id=plain.offer_id, lines=match, gives=reward, combines=combines)
    needs = NeedsLines(match=match, amount_minor_min=plain.spend_minor_min)
    return Offer(offer_id=plain.offer_id, lines=match, needs=needs, gives=reward, combines=combines)


def basket_of(plain: PlainBasket) -> Basket:
    """Return the basket as a register reports it; the catalogue knows the rest."""
    return Basket(
        lines=tuple(
            BasketLine(
                line_id=f"{number:03}",
                sku=line.sku,
                quantity=1000 * line.units,
                gross_minor=line.units * line.unit_minor,
            )
            for number, line in enumerate(plain)
        )
    )


def plain_json(offers: Sequence[PlainOffer], baskets: Sequence[PlainBasket]) -> dict[str, object]:
    """Return offers and baskets as the peers read them."""
    return {
        "offers": [asdict(offer) for offer in offers],
        "baskets": [[asdict(line) for line in basket] for basket in baskets],
    }


def keys_of(line: PlainLine) -> tuple[tuple[str, str], ...]:
    """Return the keys by which an offer can touch the line."""
    return (
        ("category", line.category),
        ("brand", line.brand),
        ("sku", line.sku),
        ("all", ""),
    )


def touching(offers: Sequence[PlainOffer], basket: PlainBasket) -> int:
    """Return how many of the offers match a line of the basket."""
    keys = {key for line in basket for key in keys_of(line)}
    return sum(
        any((offer.by, value) in keys for value in offer.values or ("",)) for offer in offers
    )
