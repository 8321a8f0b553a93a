"""Which receipts a change can touch at all: the others come out as they did, to the byte.

The engine finds offers by what lines and codes bring in; an offer that nothing brings in is not
looked at. So the changed offers alone are indexed, as the engine indexes all of them, and a receipt
is left out when neither its lines nor its codes bring in any of them, without or with the change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from central.backtest.pairs import RulePair
from central.backtest.reading import own_attributes, spans_of
from loyalty.basket import BasketLine, Moment, Place
from loyalty.compilation import CompiledOffer, PlaceIndex
from loyalty.opening import days

_ANY_LINE: Final[Mapping[str, Any]] = {"line_id": "1", "quantity": 1_000, "gross_minor": 0}


@dataclass(slots=True)
class Touch:
    """What the change touches under one bundle where and when the same changed offers are valid.

    Attributes:
        always: every receipt; `never`: none.
        skus: what is known of products by now.
    """

    pair: RulePair
    indexes: tuple[PlaceIndex, ...]
    always: bool
    never: bool
    skus: dict[str, bool] = field(default_factory=dict)

    def by_sku(self, sku: str) -> bool:
        """Say whether a line that carries nothing but its SKU may bring a changed offer in."""
        found = self.skus.get(sku)
        if found is None:
            line = BasketLine(sku=sku, **_ANY_LINE)
            found = self.skus[sku] = sku in self.pair.changed_skus or self._by_line(line)
        return found

    def by_line(self, line: BasketLine) -> bool:
        """Say whether a line may bring a changed offer in."""
        return line.sku in self.pair.changed_skus or self._by_line(line)

    def _by_line(self, line: BasketLine) -> bool:
        for index in self.indexes:
            view = index.view(line)
            # An offer may ask for the line's price or quantity: those are not known here.
            if view.touching or view.by_line:
                return True
        return False

    def by_codes(self, codes: Sequence[str]) -> bool:
        """Say whether one of the codes brings a changed offer in."""
        return any(index.offers_for_codes(codes) for index in self.indexes)


def touch_of(pair: RulePair, place: Place, moment: Moment) -> Touch:
    """Return what the change touches here and then.

    Where and when the same of the changed offers are valid it is the same, for a product too.
    """
    on = days(moment)
    indexes = (pair.changed_without.on(place, *on), pair.changed_with.on(place, *on))
    valid = frozenset(id(compiled) for index in indexes for compiled in _offers_of(index))
    touch = pair.touches.get(valid)
    if touch is None:
        always = pair.is_all_changed or any(index.wholesale for index in indexes)
        never = not (always or valid or pair.changed_skus)
        touch = pair.touches[valid] = Touch(pair, indexes, always, never)
    return touch


def _offers_of(index: PlaceIndex) -> Iterator[CompiledOffer]:
    yield from index.wholesale
    yield from index.anywhere
    yield from index.coded
    for offers in index.by_key.values():
        yield from offers


class Lines:
    """The lines of a batch as far as offers are found by them."""

    def __init__(self, column: Any) -> None:  # noqa: ANN401 - pyarrow has no types
        """Take the column of lines."""
        rows = column.flatten()
        self._spans = spans_of(column)
        self._skus: list[str] = rows.field("sku").to_pylist()
        self._own = own_attributes(rows)

    def may_touch(self, at: int, touch: Touch) -> bool:
        """Say whether some line of a receipt may bring a changed offer in."""
        first, last = self._spans[at]
        if self._own:
            return any(self._line_touches(line, touch) for line in range(first, last))
        known = touch.skus
        for sku in self._skus[first:last]:
            found = known.get(sku)
            if found is None:
                found = touch.by_sku(sku)
            if found:
                return True
        return False

    def _line_touches(self, line: int, touch: Touch) -> bool:
        own = {name: found[line] for name, found in self._own.items() if found[line]}
        if not own:
            return touch.by_sku(self._skus[line])
        return touch.by_line(BasketLine(sku=self._skus[line], **_ANY_LINE, **own))
