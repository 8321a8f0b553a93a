"""A bundle compiled once into an index from line attributes to the offers that could match.

The cost of a receipt then grows with the offers that touch it, not with the offers that exist
(design: receipt 9).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from loyalty.basket import Place
from loyalty.bundle import Bundle, Product
from loyalty.errors import RuleSetError
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    CardPrice,
    LineMatch,
    Need,
    NeedsAll,
    NeedsCode,
    NeedsLines,
    Offer,
    PointsPerItem,
    PointsPerMoney,
)

Key = tuple[str, str]
EVERYWHERE: Key = ("", "")
"""The key of offers no line attribute can rule out."""

_DAYS_CACHED_MAX = 4
_NO_PRODUCT = Product()


@dataclass(slots=True)
class Rules:
    """A compiled bundle. Build it with `compile_bundle`; it is not changed by calculating.

    Attributes:
        bundle_hash: hexadecimal SHA-256 of the bundle's bytes.
        groups_of: product groups of each SKU.
    """

    bundle: Bundle
    bundle_hash: str
    groups_of: dict[str, tuple[str, ...]]
    offers_by_id: dict[str, Offer]
    _days: dict[tuple[Place, str], dict[Key, tuple[Offer, ...]]] = field(default_factory=dict)

    def product(self, sku: str) -> Product:
        """Return the catalogue's product, or an empty one for an unknown SKU."""
        return self.bundle.catalogue.get(sku, _NO_PRODUCT)

    def offers_on(self, place: Place, date: str) -> dict[Key, tuple[Offer, ...]]:
        """Return the index of offers that can apply at this place on this local day.

        The last few days are kept, so that a till builds it once a day.
        """
        key = (place, date)
        index = self._days.get(key)
        if index is None:
            index = _index(o for o in self.bundle.offers if _is_here(o, place) and _is_on(o, date))
            if len(self._days) >= _DAYS_CACHED_MAX:
                self._days.pop(next(iter(self._days)))
            self._days[key] = index
        return index


def compile_bundle(bundle: Bundle, bundle_hash: str) -> Rules:
    """Compile a bundle.

    Raises:
        RuleSetError: the offers contradict each other or name something the bundle lacks; a
            compiled bundle never fails at a till.
    """
    _check(bundle)
    groups_of: dict[str, list[str]] = {}
    for name in sorted(bundle.groups):
        for sku in bundle.groups[name]:
            groups_of.setdefault(sku, []).append(name)
    return Rules(
        bundle,
        bundle_hash,
        {sku: tuple(names) for sku, names in groups_of.items()},
        {offer.offer_id: offer for offer in bundle.offers},
    )


def _check(bundle: Bundle) -> None:
    seen: set[str] = set()
    modes: dict[str, tuple[str, str]] = {}
    for offer in bundle.offers:
        if offer.offer_id in seen:
            raise RuleSetError(
                f"offer {offer.offer_id!r} stands in the bundle twice; give each offer its own id"
            )
        seen.add(offer.offer_id)
        for group in _groups_of_offer(offer):
            if group not in bundle.groups:
                raise RuleSetError(
                    f"offer {offer.offer_id!r} names product group {group!r},"
                    " which the bundle lacks; add it to groups"
                )
        if offer.when.starts and offer.when.until and offer.when.starts >= offer.when.until:
            raise RuleSetError(
                f"offer {offer.offer_id!r} ends before it starts; swap when.starts and when.until"
            )
        if offer.combines.group and isinstance(offer.gives, PointsPerMoney | PointsPerItem):
            raise RuleSetError(
                f"offer {offer.offer_id!r} gives points and names group {offer.combines.group!r};"
                " groups hold for price offers only, leave combines.group out"
            )
        if offer.combines.group:
            mode, by = modes.setdefault(offer.combines.group, (offer.combines.mode, offer.offer_id))
            if mode != offer.combines.mode:
                raise RuleSetError(
                    f"offers {by!r} and {offer.offer_id!r} give group"
                    f" {offer.combines.group!r} two modes; choose one"
                )


def _groups_of_offer(offer: Offer) -> Iterable[str]:
    yield from _groups_named(offer.lines)
    yield from _groups_needed(offer.needs)
    if isinstance(offer.gives, PointsPerMoney | PointsPerItem) and offer.gives.lot.restriction:
        yield offer.gives.lot.restriction


def _groups_needed(need: Need) -> Iterable[str]:
    if isinstance(need, NeedsLines):
        yield from _groups_named(need.match)
    elif hasattr(need, "of"):
        for part in need.of:
            yield from _groups_needed(part)


def _groups_named(match: LineMatch) -> Iterable[str]:
    if isinstance(match, Attribute):
        if match.name == "group":
            yield from match.one_of
    elif hasattr(match, "of"):
        for part in match.of:
            yield from _groups_named(part)


def _is_here(offer: Offer, place: Place) -> bool:
    where = offer.where
    return (
        (not where.stores or place.store in where.stores)
        and (not where.regions or place.region in where.regions)
        and (not where.banners or place.banner in where.banners)
        and (not where.tills or place.till in where.tills)
        and (not where.channels or place.channel in where.channels)
    )


def _is_on(offer: Offer, date: str) -> bool:
    # Texts of days and moments order like the times they name;
    # a day is touched unless wholly outside.
    return (not offer.when.starts or offer.when.starts[:10] <= date) and (
        not offer.when.until or offer.when.until > f"{date}T00:00:00"
    )


def _index(offers: Iterable[Offer]) -> dict[Key, tuple[Offer, ...]]:
    lists: dict[Key, list[Offer]] = {}
    for offer in offers:
        for key in _keys(offer):
            lists.setdefault(key, []).append(offer)
    return {key: tuple(found) for key, found in lists.items()}


def _keys(offer: Offer) -> set[Key]:
    codes = _codes_needed(offer.needs)
    if codes:
        return {("code", code) for code in codes}
    if isinstance(offer.gives, CardPrice):
        return {("sku", sku) for sku in offer.gives.prices}
    return _line_keys(offer.lines) or {EVERYWHERE}


def _codes_needed(need: Need) -> tuple[str, ...]:
    if isinstance(need, NeedsCode):
        return need.one_of
    if isinstance(need, NeedsAll):
        for part in need.of:
            if found := _codes_needed(part):
                return found
    return ()


def _line_keys(match: LineMatch) -> set[Key]:
    """Return keys one of which every matching line carries; an empty set means there are none."""
    if isinstance(match, Attribute):
        return {(match.name, value) for value in match.one_of}
    if isinstance(match, AllOf):
        choices = [keys for part in match.of if (keys := _line_keys(part))]
        return min(choices, key=lambda keys: (len(keys), sorted(keys)), default=set())
    if isinstance(match, AnyOf):
        parts = [_line_keys(part) for part in match.of]
        return set().union(*parts) if all(parts) else set()
    return set()
