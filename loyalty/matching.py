"""Which lines an offer is about: the tree of `lines` turned once into a function (receipt 3, 9)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loyalty.basket import BasketLine
from loyalty.bundle import Product
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.money import round_half_up
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    EveryLine,
    LineMatch,
    NumberRange,
)

Matcher = Callable[["LineView"], bool]


@dataclass(slots=True)
class LineView:
    """What offers see of a line; lines that say nothing of their own share their SKU's view.

    Attributes:
        attributes: every attribute offers may ask for, groups apart.
        groups: product groups of the SKU.
        source: the basket's line; None in a view shared by all lines of a SKU.
    """

    product: Product
    attributes: Mapping[str, str]
    groups: tuple[str, ...]
    source: BasketLine | None = None


def compile_match(match: LineMatch) -> Matcher:
    """Return a function that says whether a line belongs to the match."""
    if isinstance(match, EveryLine):
        return _every
    if isinstance(match, Attribute):
        return _attribute(match)
    if isinstance(match, NumberRange):
        return _in_range(match)
    parts = tuple(compile_match(part) for part in match.of)
    if isinstance(match, AllOf):
        return lambda view: all(part(view) for part in parts)
    if isinstance(match, AnyOf):
        return lambda view: any(part(view) for part in parts)
    return lambda view: not any(part(view) for part in parts)


def depends_on_line(match: LineMatch) -> bool:
    """Say whether two lines of one SKU may differ in it (a range of price, amount, quantity)."""
    if isinstance(match, NumberRange):
        return True
    return any(depends_on_line(part) for part in getattr(match, "of", ()))


def nodes_above(value: str) -> list[str]:
    """Return a node of a tree and all nodes it lies beneath: `a/b` -> `a`, `a/b`."""
    steps = value.split("/")
    return ["/".join(steps[:depth]) for depth in range(1, len(steps) + 1)]


def _every(_: LineView) -> bool:
    return True


def _attribute(match: Attribute) -> Matcher:
    name = match.name
    if name == "group":
        wanted = frozenset(match.one_of)
        return lambda view: not wanted.isdisjoint(view.groups)
    if match.one_of:
        values = frozenset(match.one_of)
        return lambda view: view.attributes.get(name, "") in values
    if match.prefix:
        prefix = match.prefix
        return lambda view: view.attributes.get(name, "").startswith(prefix)
    nodes = frozenset(match.beneath)
    return lambda view: not nodes.isdisjoint(nodes_above(view.attributes.get(name, "")))


def _in_range(match: NumberRange) -> Matcher:
    name, low, high = match.name, match.at_least, match.at_most

    def in_range(view: LineView) -> bool:
        number = _number(name, view)
        return number is not None and low <= number <= high

    return in_range


def _number(name: str, view: LineView) -> int | None:
    source = view.source
    if source is not None:
        if name == "gross_minor":
            return source.gross_minor
        if name == "quantity":
            return source.quantity
        if name == "unit_price_minor":
            return round_half_up(source.gross_minor * UNIT_THOUSANDTHS, source.quantity)
    text = view.attributes.get(name, "")
    digits = text.removeprefix("-")
    # Nothing but plain digits: what int() takes beside them differs from JSON and from people.
    return int(text) if digits.isascii() and digits.isdigit() else None


@dataclass(slots=True)
class Line:
    """A basket line with what the catalogue adds.

    Attributes:
        index: its place in the canonical order.
        floor_minor: the least that must stay to be paid because of a regulated price.
        pieces: whole pieces; 0 for a weighed line.
    """

    index: int
    source: BasketLine
    view: LineView
    floor_minor: int
    pieces: int

    def seen(self) -> LineView:
        """Return its view with its own numbers, which a range asks for."""
        view = self.view
        if view.source is not None:
            return view
        return LineView(view.product, view.attributes, view.groups, self.source)

    @property
    def product(self) -> Product:
        """The catalogue's product."""
        return self.view.product

    @property
    def units(self) -> int:
        """Whole pieces; a weighed line is one."""
        return self.pieces or 1
