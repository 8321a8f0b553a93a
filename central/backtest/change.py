"""What a draft changes about a bundle, so that it can be made to any bundle of the past."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from loyalty.bundle import Bundle, Product, Programme
from loyalty.offers import Offer

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """Offers put in, put in another's place or taken away; the same of groups and products.

    Attributes:
        offers: put in; in the place of the one with the same id, where there is one.
        removed_offers: ids; one that a bundle has not changes nothing.
        programme: put in the place of the bundle's own; None = that one stays.
        rules_of: whose rules it is made to, `programme_id`; empty = everybody's. Receipts of other
            programmes are left out.
    """

    offers: tuple[Offer, ...] = ()
    removed_offers: frozenset[str] = frozenset()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    removed_groups: frozenset[str] = frozenset()
    products: Mapping[str, Product] = field(default_factory=dict)
    removed_products: frozenset[str] = frozenset()
    programme: Programme | None = None
    rules_of: str = ""

    @property
    def is_empty(self) -> bool:
        """It changes nothing."""
        return self == NO_CHANGE

    def made_to(self, bundle: Bundle) -> Bundle:
        """Return the bundle with the change."""
        put = {offer.offer_id: offer for offer in self.offers}
        kept = [
            put.pop(offer.offer_id, offer)
            for offer in bundle.offers
            if offer.offer_id not in self.removed_offers
        ]
        return replace(
            bundle,
            programme=self.programme or bundle.programme,
            offers=(*kept, *put.values()),
            groups=_changed(bundle.groups, self.groups, self.removed_groups),
            catalogue=_changed(bundle.catalogue, self.products, self.removed_products),
        )

    def without_offers(self, offer_ids: Iterable[str]) -> "RuleChange":
        """Return the change that also takes these offers away."""
        gone = frozenset(offer_ids)
        return replace(
            self,
            offers=tuple(offer for offer in self.offers if offer.offer_id not in gone),
            removed_offers=self.removed_offers | gone,
        )


NO_CHANGE = RuleChange()


def change_between(base: Bundle, draft: Bundle) -> RuleChange:
    """Return what makes the draft of its base; versions are no part of it."""
    offers = {offer.offer_id: offer for offer in base.offers}
    put, gone = _difference(offers, {offer.offer_id: offer for offer in draft.offers})
    groups, groups_gone = _difference(base.groups, draft.groups)
    products, products_gone = _difference(base.catalogue, draft.catalogue)
    return RuleChange(
        offers=tuple(put.values()),
        removed_offers=gone,
        groups=groups,
        removed_groups=groups_gone,
        products=products,
        removed_products=products_gone,
        programme=draft.programme if draft.programme != base.programme else None,
    )


def _difference(
    base: Mapping[str, T], draft: Mapping[str, T]
) -> tuple[dict[str, T], frozenset[str]]:
    put = {name: value for name, value in draft.items() if base.get(name) != value}
    return put, frozenset(base.keys() - draft.keys())


def _changed(base: Mapping[str, T], put: Mapping[str, T], gone: frozenset[str]) -> Mapping[str, T]:
    if not put and not gone:
        return base
    return {**{name: value for name, value in base.items() if name not in gone}, **put}
