"""The floor: the least any calculation with an index must do, in the same language.

For each line its keys are looked up in a dictionary, and for each offer found a percentage of the
line is computed and added. No condition, no set, no limit, no splitting, no reason, no result but
one number: what the engine takes above it is what all these cost.
"""

from collections.abc import Sequence

from bench.engine.workload import PlainBasket, PlainOffer, keys_of
from loyalty.limits import PPM

Index = dict[tuple[str, str], list[tuple[str, int]]]
_ANY_RATE_PPM = 100_000
"""An N for M has no rate; the floor computes one all the same."""


def index_of(offers: Sequence[PlainOffer]) -> Index:
    """Return the offers' ids and rates by the keys of the lines they touch."""
    index: Index = {}
    for offer in offers:
        for value in offer.values or ("",):
            index.setdefault((offer.by, value), []).append(
                (offer.offer_id, offer.rate_ppm or _ANY_RATE_PPM)
            )
    return index


FloorLine = tuple[int, tuple[tuple[str, str], ...]]


def lines_of(basket: PlainBasket) -> list[FloorLine]:
    """Return what the loop reads of a basket: gross minor units and keys of each line."""
    return [(line.units * line.unit_minor, keys_of(line)) for line in basket]


def floor(index: Index, lines: Sequence[FloorLine]) -> int:
    """Look up, multiply, add; return the sum in minor units."""
    total = 0
    nothing: list[tuple[str, int]] = []
    for gross_minor, keys in lines:
        for key in keys:
            for _, rate_ppm in index.get(key, nothing):
                total += gross_minor * rate_ppm // PPM
    return total
