"""What two rule documents do not have in common, by offer and part."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loyalty.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Difference:
    """Ids of offers, SKUs and names of groups.

    Attributes:
        programme: its terms differ.
    """

    offers_added: tuple[str, ...]
    offers_changed: tuple[str, ...]
    offers_removed: tuple[str, ...]
    products: tuple[str, ...]
    groups: tuple[str, ...]
    programme: bool

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        for sign, ids in (
            ("+", self.offers_added),
            ("~", self.offers_changed),
            ("-", self.offers_removed),
        ):
            yield from (f"{sign} offer {offer_id}" for offer_id in ids)
        yield from (f"~ product {sku}" for sku in self.products)
        yield from (f"~ group {name}" for name in self.groups)
        if self.programme:
            yield "~ programme"


def compare_rules(before: Bundle, after: Bundle) -> Difference:
    """Return what differs; the version says nothing."""
    old = {offer.offer_id: offer for offer in before.offers}
    new = {offer.offer_id: offer for offer in after.offers}
    return Difference(
        offers_added=tuple(sorted(new.keys() - old.keys())),
        offers_changed=tuple(
            sorted(each for each in new.keys() & old.keys() if new[each] != old[each])
        ),
        offers_removed=tuple(sorted(old.keys() - new.keys())),
        products=_differing(before.catalogue, after.catalogue),
        groups=_differing(before.groups, after.groups),
        programme=before.programme != after.programme,
    )


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    names = before.keys() | after.keys()
    return tuple(sorted(name for name in names if before.get(name) != after.get(name)))
