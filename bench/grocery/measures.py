"""What is sold by weight: the data gives no unit, so it is read from how often lines cost the same.

A piece costs the same next time, a weighed line does not. The two kinds lie far apart: where a SKU
has eight lines or more, 98 of 100 packed goods have at least 20 % of their pairs of lines at one
price, and weighed ones mostly under 4 %.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LINES_MIN = 4
"""A SKU with fewer lines is taken for what most decided SKUs of its type (else department) are."""
_EQUAL_PAIRS_PERCENT_MIN = 10
_FUEL = "GASOLINE"


@dataclass(frozen=True, slots=True)
class RealProduct:
    """A row of the products table; empty texts where the data says nothing."""

    sku: str
    department: str
    category: str
    product_type: str
    brand: str

    @property
    def is_fuel(self) -> bool:
        """Sold in thousandths of a gallon."""
        return _FUEL in self.product_type


UNKNOWN = RealProduct("", "", "", "", "")


def weighed_skus(
    lines: Iterable[tuple[str, int, int]], products: Mapping[str, RealProduct]
) -> frozenset[str]:
    """Return the SKUs sold by weight (or at an open price, such as gift cards).

    Args:
        lines: SKU, pieces and gross minor units of each line sold; the more weeks the better.
        products: by SKU.
    """
    prices: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for sku, pieces, gross_minor in lines:
        prices[sku][divmod(gross_minor, pieces)] += 1
    decided = {
        sku: _repeats_seldom(found)
        for sku, found in prices.items()
        if sum(found.values()) >= _LINES_MIN
    }
    votes: dict[tuple[str, ...], list[bool]] = defaultdict(list)
    for sku, weighed in decided.items():
        for kind in _kinds(products.get(sku, UNKNOWN)):
            votes[kind].append(weighed)
    found = set()
    for sku in prices:
        kinds = (votes[kind] for kind in _kinds(products.get(sku, UNKNOWN)) if kind in votes)
        most = next(kinds, [])
        if decided.get(sku, 2 * sum(most) > len(most)):
            found.add(sku)
    return frozenset(found)


def _repeats_seldom(prices: Counter[tuple[int, int]]) -> bool:
    lines = sum(prices.values())
    equal_pairs = sum(count * (count - 1) for count in prices.values())
    return 100 * equal_pairs < _EQUAL_PAIRS_PERCENT_MIN * lines * (lines - 1)


def _kinds(product: RealProduct) -> tuple[tuple[str, ...], ...]:
    if not product.sku:
        return ()
    return (product.department, product.product_type), (product.department,)
