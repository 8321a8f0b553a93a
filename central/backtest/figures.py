"""What is counted: partial sums that can be added up in any order, and sent from anywhere.

Money in minor units. `without` and `with_change` cover all receipts: those that the change cannot
touch count as printed on both sides. Lines at their floor, offers and times are of the receipts
that it may touch alone; the difference between the sides is exact all the same.
"""

from typing import Final, TypeVar

import msgspec

K = TypeVar("K")

_STEPS: Final = (1, 2, 5)


class OfferFigures(msgspec.Struct, omit_defaults=True):
    """What an offer did to the receipts that the change may touch, on one side.

    Attributes:
        receipts: on which it did something.
        handed_out: pieces or points of what the cashier, the printer or a partner gives.
    """

    receipts: int = 0
    discount_minor: int = 0
    points: int = 0
    handed_out: int = 0

    def count(self, discount_minor: int, points: int, handed_out: int) -> None:
        """Count one receipt."""
        self.receipts += 1
        self.discount_minor += discount_minor
        self.points += points
        self.handed_out += handed_out


class Side(msgspec.Struct, omit_defaults=True):
    """Sums over receipts as they come out on one side.

    Attributes:
        lines_at_floor: discounted lines that cannot become any cheaper.
        unproven: receipts whose search for the best combination ended before it was proven.
        calculated, calculated_ms: calculations made, and their time.
    """

    discount_minor: int = 0
    redeemed_minor: int = 0
    redeemed_points: int = 0
    paid_minor: int = 0
    earned_points: int = 0
    lines_at_floor: int = 0
    unproven: int = 0
    calculated: int = 0
    calculated_ms: int = 0
    offers: dict[str, OfferFigures] = msgspec.field(default_factory=dict)

    def offer(self, offer_id: str) -> OfferFigures:
        """Return the figures of an offer, to count in."""
        found = self.offers.get(offer_id)
        if found is None:
            found = self.offers[offer_id] = OfferFigures()
        return found

    def add(self, other: "Side") -> None:
        """Add another's."""
        _add(self, other)
        for offer_id, figures in other.offers.items():
            _add(self.offer(offer_id), figures)


class StoreFigures(msgspec.Struct, omit_defaults=True):
    """What the change does in one store, or in several together.

    Attributes:
        touched: receipts the change may touch; these were calculated with it.
        changed: receipts that come out otherwise in money, points or what is handed out.
        winners: receipts with less to pay after discounts, `won_minor` less in all; losers: more.
        more_points, fewer_points: receipts that earn more or fewer points.
        checked: receipts calculated without the change though the centre had confirmed them.
        printed_otherwise: of these, those that come out otherwise than printed.
        distribution: receipts by how much more there is to pay (`bucket_of`).
        left_out: receipts that could not be calculated, by reason; they count nowhere else.
    """

    receipts: int = 0
    touched: int = 0
    changed: int = 0
    gross_minor: int = 0
    winners: int = 0
    won_minor: int = 0
    losers: int = 0
    lost_minor: int = 0
    more_points: int = 0
    fewer_points: int = 0
    checked: int = 0
    printed_otherwise: int = 0
    without: Side = msgspec.field(default_factory=Side)
    with_change: Side = msgspec.field(default_factory=Side)
    distribution: dict[int, int] = msgspec.field(default_factory=dict)
    left_out: dict[str, int] = msgspec.field(default_factory=dict)

    def add(self, other: "StoreFigures") -> None:
        """Add another's."""
        _add(self, other)
        self.without.add(other.without)
        self.with_change.add(other.with_change)
        _count_all(self.distribution, other.distribution)
        _count_all(self.left_out, other.left_out)


class Figures(msgspec.Struct):
    """The figures of some receipts, by store."""

    stores: dict[str, StoreFigures] = msgspec.field(default_factory=dict)

    def store(self, store: str) -> StoreFigures:
        """Return the figures of a store, to count in."""
        found = self.stores.get(store)
        if found is None:
            found = self.stores[store] = StoreFigures()
        return found

    def add(self, other: "Figures") -> None:
        """Add another's."""
        for store, figures in other.stores.items():
            self.store(store).add(figures)

    def total(self) -> StoreFigures:
        """Return all stores added up."""
        total = StoreFigures()
        for figures in self.stores.values():
            total.add(figures)
        return total

    def without_times(self) -> "Figures":
        """Return a copy without what depends on the machine."""
        copy = decode_figures(encode_figures(self))
        for figures in copy.stores.values():
            figures.without.calculated_ms = figures.with_change.calculated_ms = 0
        return copy


def encode_figures(figures: Figures) -> bytes:
    """Return figures as bytes, for another process."""
    return msgspec.json.encode(figures)


def decode_figures(content: bytes) -> Figures:
    """Read what `encode_figures` wrote."""
    return msgspec.json.decode(content, type=Figures)


def bucket_of(difference_minor: int) -> int:
    """Return the bucket of a difference: the largest of 0, 1, 2, 5, 10, 20, 50, ... within it.

    Buckets below zero mirror those above: -7 is in bucket -5.
    """
    rest, decade = abs(difference_minor), 1
    if not rest:
        return 0
    while rest >= 10 * decade:
        decade *= 10
    bucket = max(step * decade for step in _STEPS if step * decade <= rest)
    return bucket if difference_minor > 0 else -bucket


def _add(own: msgspec.Struct, other: msgspec.Struct) -> None:
    for name in own.__struct_fields__:
        value = getattr(other, name)
        if isinstance(value, int):
            setattr(own, name, getattr(own, name) + value)


def _count_all(own: dict[K, int], others: dict[K, int]) -> None:
    for key, count in others.items():
        own[key] = own.get(key, 0) + count
