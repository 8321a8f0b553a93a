"""Which lines an offer is about: a tree of `all / any / not` over what a line carries."""

from dataclasses import dataclass
from typing import ClassVar

from loyalty.errors import AmountError
from loyalty.limits import AMOUNT_MINOR_MAX

COMPUTED_NUMBERS = ("unit_price_minor", "gross_minor", "quantity")
"""Numbers of a line itself that a range may ask for; others are attributes that hold a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryLine:
    """Every line of the basket."""

    kind: ClassVar[str] = "every"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """Lines whose attribute is one of some values, begins with a prefix or lies beneath a node.

    Attributes:
        name: `sku`, `gtin`, `department`, `category`, `brand`, `group` (a product group of the
            bundle) or any named attribute.
        beneath: nodes of a tree written with slashes: `food/dairy` holds itself and
            `food/dairy/milk`.
    """

    kind: ClassVar[str] = "attribute"
    name: str
    one_of: tuple[str, ...] = ()
    prefix: str = ""
    beneath: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if [bool(self.one_of), bool(self.prefix), bool(self.beneath)].count(True) != 1:
            raise AmountError(f"attribute {self.name!r} needs one of one_of, prefix and beneath")
        if not self.name or "" in self.one_of or "" in self.beneath:
            raise AmountError("an attribute needs a name, and each of its values a text")
        if self.name == "group" and not self.one_of:
            raise AmountError("product groups have no prefix and no tree; name them in one_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRange:
    """Lines with a number between two bounds, both inside.

    Attributes:
        name: `unit_price_minor` (of one unit, rounded), `gross_minor`, `quantity` (thousandths)
            or a named attribute whose text is a whole number.
    """

    kind: ClassVar[str] = "range"
    name: str
    at_least: int = 0
    at_most: int = AMOUNT_MINOR_MAX

    def __post_init__(self) -> None:
        if not self.name or self.at_least > self.at_most:
            raise AmountError("a range needs a name, and at_least may not exceed at_most")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """Lines that match every part."""

    kind: ClassVar[str] = "all"
    of: tuple["LineMatch", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """Lines that match at least one part."""

    kind: ClassVar[str] = "any"
    of: tuple["LineMatch", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoneOf:
    """Lines that match no part."""

    kind: ClassVar[str] = "not"
    of: tuple["LineMatch", ...]


LineMatch = EveryLine | Attribute | NumberRange | AllOf | AnyOf | NoneOf
