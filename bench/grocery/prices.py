"""The card prices a store must have had in a week, read from what its customers paid.

For each SKU the price is taken that reproduces most of the week's lines to the cent; ties go to the
lower price. What was measured on packed goods of the whole chain decides what else is tried:

- The week is the smallest window. Where a product has two lines in a store's week, they fall on
  one day nearly as often when their prices differ (12 %) as when they agree (14 %); and of 132
  weeks with two prices, twice each or more, 40 have one wholly before the other where chance makes
  30. So a price seldom changes within the week: the other one is a customer's own. Only fuel is
  priced by day.
- Where lines with and without a card price have different quantities, those without have the
  smaller ones 273 times and the larger ones 101 times: some card prices begin at a quantity ("buy
  one, get one"), and are read as such when that explains all lines.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from bench.grocery.data import RealBasket, RealLine, Selection
from loyalty.money import round_half_up
from loyalty.offers import UnitPrice

_UNIT = 1000


@dataclass(frozen=True, slots=True)
class PriceWindow:
    """Where and when a card price holds: a store's week, or for fuel a day of it."""

    store_id: str
    week: int
    day: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPriceFound:
    """A card price with what it rests on.

    Attributes:
        quantity_min: thousandths; below it the regular price holds.
        lines: lines of the SKU in the window.
        lines_reproduced: of these, to the cent.
    """

    unit: UnitPrice
    quantity_min: int
    lines: int
    lines_reproduced: int

    def price_minor(self, line: RealLine) -> int:
        """Return what the line costs the holder of a card; never more than the regular price."""
        if line.quantity < self.quantity_min:
            return line.gross_minor
        minor = round_half_up(self.unit.amount_minor * line.quantity, self.unit.per_quantity)
        return min(line.gross_minor, minor)


PriceTable = Mapping[PriceWindow, Mapping[str, CardPriceFound]]


def find_card_prices(selection: Selection) -> PriceTable:
    """Return the card prices by window and SKU, in the order of windows and SKUs."""
    lines = lines_by_window(selection)
    table: dict[PriceWindow, dict[str, CardPriceFound]] = {}
    for window in sorted(lines, key=lambda w: (w.store_id, w.week, w.day)):
        found = {sku: find_card_price(of_sku) for sku, of_sku in sorted(lines[window].items())}
        prices = {sku: price for sku, price in found.items() if price is not None}
        if prices:
            table[window] = prices
    return table


def lines_by_window(selection: Selection) -> Mapping[PriceWindow, Mapping[str, list[RealLine]]]:
    """Return all lines by window and SKU, in time order."""
    lines: dict[PriceWindow, dict[str, list[RealLine]]] = defaultdict(lambda: defaultdict(list))
    for basket in selection.baskets:
        for line in basket.lines:
            lines[window_of(selection, basket, line)][line.sku].append(line)
    return lines


def window_of(selection: Selection, basket: RealBasket, line: RealLine) -> PriceWindow:
    """Return the window whose price a line of the basket has."""
    is_daily = selection.product(line.sku).is_fuel
    return PriceWindow(basket.store_id, basket.week, basket.day if is_daily else "")


def find_card_price(lines: Sequence[RealLine]) -> CardPriceFound | None:
    """Return the card price that some lines of one SKU and window show, None for the regular one.

    Args:
        lines: at least one.
    """
    if all(line.card_minor == line.gross_minor for line in lines):
        return None
    price, reproduced = _best_price(lines)
    quantity_min = 0
    if reproduced < len(lines) and (begins := _begins_at(lines)):
        quantity_min, price = begins
        reproduced = len(lines)
    if price is None:
        return None
    return CardPriceFound(
        unit=price, quantity_min=quantity_min, lines=len(lines), lines_reproduced=reproduced
    )


def _begins_at(lines: Sequence[RealLine]) -> tuple[int, UnitPrice] | None:
    """Return the quantity from which one price explains every line, if there is one."""
    if lines[0].by_weight:
        return None
    for quantity in sorted({line.quantity for line in lines})[1:]:
        below = [line for line in lines if line.quantity < quantity]
        others = [line for line in lines if line.quantity >= quantity]
        if any(line.card_minor < line.gross_minor for line in below):
            return None
        price, reproduced = _best_price(others)
        if price is not None and reproduced == len(others):
            return quantity, price
    return None


def _best_price(lines: Sequence[RealLine]) -> tuple[UnitPrice | None, int]:
    """Return the price that reproduces most lines, None for the regular one, and how many."""
    if len(lines) == 1:
        line = lines[0]
        return _unit_price(Fraction(line.card_minor * _UNIT, line.quantity)), 1
    spans = [_span(line) for line in lines]
    best, most, end = Fraction(0), 0, None
    for start in sorted({low for low, _ in spans}):
        ends = [high for low, high in spans if low <= start and (high is None or start < high)]
        if len(ends) > most:
            best, most = start, len(ends)
            end = min((high for high in ends if high is not None), default=None)
    if end is None:
        return None, most
    seen = sorted(
        {Fraction(line.card_minor * _UNIT, line.quantity) for line in lines},
        key=lambda price: (price.denominator, price),
    )
    inside = (price for price in seen if best <= price < end)
    return _unit_price(next(inside, None) or _simplest(best, end)), most


def _span(line: RealLine) -> tuple[Fraction, Fraction | None]:
    """Return which prices a piece round to what was paid: from the first to before the second."""
    low = Fraction(max(0, 2 * line.card_minor - 1) * _UNIT, 2 * line.quantity)
    if line.card_minor == line.gross_minor:
        return low, None  # a dearer card price changes nothing
    return low, Fraction((2 * line.card_minor + 1) * _UNIT, 2 * line.quantity)


def _unit_price(per_piece: Fraction) -> UnitPrice:
    return UnitPrice(amount_minor=per_piece.numerator, per_quantity=per_piece.denominator * _UNIT)


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    """Return the fraction with the smallest denominator from `low` to before `high`."""
    denominator = 1
    while True:
        numerator = -(-low.numerator * denominator // low.denominator)
        if Fraction(numerator, denominator) < high:
            return Fraction(numerator, denominator)
        denominator += 1


def prices_counted(table: PriceTable) -> dict[str, int]:
    """Return how many prices there are and how many lines they rest on."""
    found = [p for prices in table.values() for p in prices.values()]
    return {
        "prices": len(found),
        "from_a_quantity_on": sum(1 for p in found if p.quantity_min),
        "resting_on_one_line": sum(1 for p in found if p.lines == 1),
        "lines": sum(p.lines for p in found),
        "lines_reproduced": sum(p.lines_reproduced for p in found),
        "lines_sharing_a_price": sum(p.lines for p in found if p.lines > 1),
        "lines_sharing_reproduced": sum(p.lines_reproduced for p in found if p.lines > 1),
    }
