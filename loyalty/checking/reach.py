"""Which SKUs of the catalogue the lines of an offer can be of.

The catalogue's word is taken for what it knows: SKUs, departments, categories, brands, groups. What
it knows of no product at all (a size, a GTIN, everything where there is no catalogue) any line may
carry.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from loyalty.bundle import Bundle
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    BuyGet,
    CardPrice,
    EveryLine,
    LineMatch,
    NumberRange,
    Offer,
    PartsSet,
    SameLines,
)

_OF_PRODUCTS: Final = ("department", "category", "brand")


@dataclass(frozen=True, slots=True)
class SkuSet:
    """SKUs, or all but these; so that "everything but tobacco" costs as much as "tobacco"."""

    named: frozenset[str]
    all_but: bool = False

    def __contains__(self, sku: str) -> bool:
        """Say whether the SKU is in the set."""
        return (sku in self.named) != self.all_but

    def __and__(self, other: "SkuSet") -> "SkuSet":
        """Return what is in both."""
        if self.all_but and other.all_but:
            return SkuSet(self.named | other.named, all_but=True)
        if self.all_but:
            return SkuSet(other.named - self.named)
        if other.all_but:
            return SkuSet(self.named - other.named)
        return SkuSet(self.named & other.named)

    def __or__(self, other: "SkuSet") -> "SkuSet":
        """Return what is in one of both."""
        return ~(~self & ~other)

    def __invert__(self) -> "SkuSet":
        """Return what is not in it."""
        return SkuSet(self.named, all_but=not self.all_but)

    def __le__(self, other: "SkuSet") -> bool:
        """Say whether all of it is in the other one."""
        if self.all_but:
            return other.all_but and self.named >= other.named
        return self.named.isdisjoint(other.named) if other.all_but else self.named <= other.named

    def meets(self, other: "SkuSet") -> bool:
        """Say whether something is in both."""
        if self.all_but:
            return other.all_but or not other.named <= self.named
        return not (
            self.named <= other.named if other.all_but else self.named.isdisjoint(other.named)
        )

    @property
    def is_empty(self) -> bool:
        """Nothing is in it."""
        return not self.all_but and not self.named


NONE: Final = SkuSet(frozenset())
ALL: Final = ~NONE


@dataclass(frozen=True, slots=True)
class Reach:
    """SKUs whose lines always match, and those whose lines may match."""

    surely: SkuSet
    maybe: SkuSet

    def __and__(self, other: "Reach") -> "Reach":
        """Return the reach of both conditions."""
        return Reach(self.surely & other.surely, self.maybe & other.maybe)

    def __or__(self, other: "Reach") -> "Reach":
        """Return the reach of one of both conditions."""
        return Reach(self.surely | other.surely, self.maybe | other.maybe)

    def __invert__(self) -> "Reach":
        """Return the reach of the condition's contrary."""
        return Reach(~self.maybe, ~self.surely)


_EVERYTHING: Final = Reach(ALL, ALL)
_NOTHING: Final = Reach(NONE, NONE)
_UNKNOWN: Final = Reach(NONE, ALL)


class Assortment:
    """The catalogue and the product groups, indexed once for all offers.

    Attributes:
        floors: regulated minimum price of a unit by SKU, where there is one.
        with_floor: the SKUs that have one.
        undiscounted: the SKUs barred from discounts.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Index a bundle's catalogue; costs one walk over its products."""
        self.catalogue = bundle.catalogue
        self._groups = {name: frozenset(skus) for name, skus in bundle.groups.items()}
        by_value: dict[str, dict[str, set[str]]] = {name: {} for name in _OF_PRODUCTS}
        barred: dict[str, set[str]] = {"discount": set(), "redeem": set(), "earn": set()}
        self.floors: dict[str, int] = {}
        for sku, product in bundle.catalogue.items():
            for name in _OF_PRODUCTS:
                if value := getattr(product, name):
                    by_value[name].setdefault(value, set()).add(sku)
            for what in product.barred:
                barred[what].add(sku)
            if product.floor_minor_per_unit:
                self.floors[sku] = product.floor_minor_per_unit
        self.with_floor = SkuSet(frozenset(self.floors))
        self._by_value = {
            name: {value: frozenset(skus) for value, skus in values.items()}
            for name, values in by_value.items()
            if values
        }
        self._barred = {what: SkuSet(frozenset(skus)) for what, skus in barred.items()}
        self.undiscounted = self._barred["discount"]
        self._sorted_skus = sorted(bundle.catalogue)
        self._reaches: dict[LineMatch, Reach] = {}
        self._taking_part: dict[tuple[LineMatch, str], Reach] = {}

    def has_none_of(self, skus: SkuSet) -> bool:
        """Say whether no product of the catalogue is in the set."""
        if skus.all_but:
            return len(self.catalogue) <= len(skus.named) and self.catalogue.keys() <= skus.named
        return self.catalogue.keys().isdisjoint(skus.named)

    def reach(self, match: LineMatch) -> Reach:
        """Return the SKUs whose lines match."""
        found = self._reaches.get(match)
        if found is None:
            found = self._reaches[match] = self._find(match)
        return found

    def taking_part(self, offer: Offer, barred: str) -> Reach:
        """Return the SKUs whose lines the offer gives something for.

        Args:
            barred: `discount` or `earn`, whose products take no part; empty = all do.
        """
        if isinstance(offer.gives, CardPrice | PartsSet | BuyGet):
            return self._but_barred(self._of_offer(offer), barred)
        key = (offer.lines, barred)
        found = self._taking_part.get(key)
        if found is None:
            found = self._but_barred(self.reach(offer.lines), barred)
            self._taking_part[key] = found
        return found

    def _but_barred(self, reach: Reach, what: str) -> Reach:
        barred = self._barred.get(what, NONE)
        if barred.is_empty:
            return reach
        return reach & Reach(~barred, ~barred)

    def _of_offer(self, offer: Offer) -> Reach:
        gives = offer.gives
        reach = self.reach(offer.lines)
        if isinstance(gives, CardPrice):
            return reach & _exactly(gives.prices)
        if isinstance(gives, PartsSet):
            return reach & _joined(self.reach(part.lines) for part in gives.parts)
        if isinstance(gives, BuyGet) and not isinstance(gives.get_lines, SameLines):
            return self.reach(gives.get_lines)
        return reach

    def _find(self, match: LineMatch) -> Reach:
        if isinstance(match, EveryLine):
            return _EVERYTHING
        if isinstance(match, NumberRange):
            return _UNKNOWN
        if isinstance(match, Attribute):
            return self._find_attribute(match)
        parts = [self.reach(part) for part in match.of]
        if isinstance(match, AllOf):
            reach = _EVERYTHING
            for part in parts:
                reach = reach & part
            return reach
        joined = _joined(parts)
        return joined if isinstance(match, AnyOf) else ~joined

    def _find_attribute(self, match: Attribute) -> Reach:
        if match.name == "group":
            return _exactly(sku for name in match.one_of for sku in self._groups.get(name, ()))
        if match.name == "sku" and match.one_of:
            return _exactly(match.one_of)
        if match.name == "sku" and self.catalogue:
            return _exactly(self._skus_beginning(match))
        values = self._by_value.get(match.name)
        if values is None:
            return _UNKNOWN
        if match.one_of:
            found = [values.get(value, frozenset()) for value in match.one_of]
        else:
            found = [skus for value, skus in values.items() if _begins(match, value)]
        return _exactly(frozenset().union(*found))

    def _skus_beginning(self, match: Attribute) -> Iterator[str]:
        for start in (match.prefix,) if match.prefix else match.beneath:
            at = bisect_left(self._sorted_skus, start)
            while at < len(self._sorted_skus) and self._sorted_skus[at].startswith(start):
                if _begins(match, self._sorted_skus[at]):
                    yield self._sorted_skus[at]
                at += 1


def _exactly(skus: Iterable[str] | Mapping[str, object]) -> Reach:
    found = SkuSet(frozenset(skus))
    return Reach(found, found)


def _joined(parts: Iterable[Reach]) -> Reach:
    parts = list(parts)
    if any(part.surely.all_but or part.maybe.all_but for part in parts):
        reach = _NOTHING
        for part in parts:
            reach = reach | part
        return reach
    return Reach(
        SkuSet(frozenset().union(*(part.surely.named for part in parts))),
        SkuSet(frozenset().union(*(part.maybe.named for part in parts))),
    )


def _begins(match: Attribute, value: str) -> bool:
    if match.prefix:
        return value.startswith(match.prefix)
    return any(value == node or value.startswith(f"{node}/") for node in match.beneath)
