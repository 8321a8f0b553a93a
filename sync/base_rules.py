"""The base rules of a bundle: plain points for money, when its offers may be too old to be trusted.

A till that has heard of no rules for two weeks falls back to them (design: sync 4.4); both sides
derive them from the bundle, so that the centre knows the receipts by their hash.
"""

from dataclasses import replace

from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.documents import encode
from loyalty.offers import NeedsAll, Offer, PointsPerMoney


def base_of(bundle: Bundle) -> Bundle:
    """Return a bundle of those offers alone that give points for money, always, for nothing."""
    return replace(
        bundle,
        offers=tuple(
            replace(offer, combines=replace(offer.combines, not_with=()))
            for offer in bundle.offers
            if _is_base(offer)
        ),
    )


def base_bytes(bundle: Bundle) -> bytes:
    """Return the bytes that the base rules of a bundle are named by."""
    return canonical_bytes(encode(base_of(bundle)))


def _is_base(offer: Offer) -> bool:
    when = offer.when
    return (
        isinstance(offer.gives, PointsPerMoney)
        and not (when.until or when.weekdays or when.hours)
        and offer.needs == NeedsAll()
        and not offer.limits.are_shared
    )
