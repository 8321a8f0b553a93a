"""The basket as the register reports it, and where and when it is sold (design: receipt 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from loyalty.errors import AmountError
from loyalty.limits import (
    AMOUNT_MINOR_MAX,
    BASKET_CODES_MAX,
    BASKET_LINES_MAX,
    LINE_ATTRIBUTES_MAX,
    MOMENT_YEAR_MAX,
    QUANTITY_THOUSANDTHS_MAX,
    TEXT_CHARACTERS_MAX,
    UNCERTAINTY_S_MAX,
    UNIT_THOUSANDTHS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketLine:
    """One line of the register's basket.

    Attributes:
        line_id: the register's name of the line, unique in the basket; fixes the line's place
            (`line_order`).
        quantity: thousandths of the selling unit, 1 to `QUANTITY_THOUSANDTHS_MAX`; 1 piece = 1000.
        gross_minor: what the register would charge for the line with no loyalty at all.
        by_weight: the quantity is a weight; only whole pieces count as units.
        pos_reduced: the register has already reduced the price by itself.
        attributes: anything else offers may ask for, by name.
    """

    line_id: str
    sku: str
    quantity: int
    gross_minor: int
    by_weight: bool = False
    pos_reduced: bool = False
    gtin: str = ""
    department: str = ""
    category: str = ""
    brand: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.quantity <= QUANTITY_THOUSANDTHS_MAX:
            raise AmountError(
                f"quantity of line {self.line_id!r}"
                f" must be 1 to {QUANTITY_THOUSANDTHS_MAX} thousandths"
            )
        if not 0 <= self.gross_minor <= AMOUNT_MINOR_MAX:
            raise AmountError(
                f"gross_minor of line {self.line_id!r} must be 0 to {AMOUNT_MINOR_MAX}"
            )
        if not self.by_weight and self.quantity % UNIT_THOUSANDTHS:
            raise AmountError(
                f"quantity of line {self.line_id!r} sold by piece"
                " must be whole pieces (multiples of 1000)"
            )
        if not 0 < len(self.line_id) <= TEXT_CHARACTERS_MAX:
            raise AmountError(f"line_id must have 1 to {TEXT_CHARACTERS_MAX} characters")
        if not 0 < len(self.sku) <= TEXT_CHARACTERS_MAX:
            raise AmountError(f"sku must have 1 to {TEXT_CHARACTERS_MAX} characters")
        # Most lines say nothing of their own, and a receipt's lines are made at each of its rings.
        if self.gtin or self.department or self.category or self.brand or self.attributes:
            self._check_own()

    def _check_own(self) -> None:
        texts = (self.gtin, self.department, self.category, self.brand)
        for text in (*texts, *self.attributes, *self.attributes.values()):
            if len(text) > TEXT_CHARACTERS_MAX:
                raise AmountError(
                    f"line {self.line_id!r}: a text has at most {TEXT_CHARACTERS_MAX} characters"
                )
        if len(self.attributes) > LINE_ATTRIBUTES_MAX:
            raise AmountError(
                f"line {self.line_id!r} has more than {LINE_ATTRIBUTES_MAX} attributes"
            )


def line_order(line_id: str) -> tuple[int, str]:
    """Return the key by which lines are ordered: shorter names first, so that 2 is before 10."""
    return len(line_id), line_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Basket:
    """The whole basket: full state, never a change.

    Attributes:
        lines: at most `BASKET_LINES_MAX`, ids unique.
        codes: coupons presented.
        tender: kind of payment the customer means to use, where an offer asks for it.
    """

    lines: tuple[BasketLine, ...]
    codes: tuple[str, ...] = ()
    tender: str = ""

    def __post_init__(self) -> None:
        if len(self.lines) > BASKET_LINES_MAX:
            raise AmountError(
                f"a basket has at most {BASKET_LINES_MAX} lines, this one {len(self.lines)}"
            )
        if len(self.codes) > BASKET_CODES_MAX:
            raise AmountError(
                f"a basket has at most {BASKET_CODES_MAX} codes, this one {len(self.codes)}"
            )
        if any(len(code) > TEXT_CHARACTERS_MAX for code in self.codes):
            raise AmountError(f"a code has at most {TEXT_CHARACTERS_MAX} characters")
        ids = [line.line_id for line in self.lines]
        if len(set(ids)) != len(ids):
            twice = min(i for i in ids if ids.count(i) > 1)
            raise AmountError(f"line id {twice!r} stands in the basket twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the basket is sold; every field may be asked for by an offer."""

    store: str
    region: str = ""
    banner: str = ""
    till: str = ""
    channel: str = "till"

    def __post_init__(self) -> None:
        if len(self.store) > TEXT_CHARACTERS_MAX:
            raise AmountError(f"a store has at most {TEXT_CHARACTERS_MAX} characters")


_YEAR_MIN = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When, in the store's local time.

    Attributes:
        local: `YYYY-MM-DDTHH:MM:SS`, no zone; such texts order like the times they name.
        uncertainty_s: how far the clock may be off, `UNCERTAINTY_S_MAX` at most; offers whose
            window may be open within it are open (`opening`).
    """

    local: str
    uncertainty_s: int = 0

    def __post_init__(self) -> None:
        try:
            parsed = datetime.fromisoformat(self.local)
        except ValueError as error:
            raise AmountError(f"moment {self.local!r} is not YYYY-MM-DDTHH:MM:SS") from error
        # Only some systems write years before 1000 with four digits.
        if parsed.year < _YEAR_MIN or parsed.strftime("%Y-%m-%dT%H:%M:%S") != self.local:
            raise AmountError(
                f"moment {self.local!r} is not YYYY-MM-DDTHH:MM:SS in the store's local time"
            )
        if parsed.year > MOMENT_YEAR_MAX:
            raise AmountError(f"moment {self.local!r} is after the year {MOMENT_YEAR_MAX}")
        if not 0 <= self.uncertainty_s <= UNCERTAINTY_S_MAX:
            raise AmountError(f"uncertainty_s must be 0 to {UNCERTAINTY_S_MAX}")

    @property
    def date(self) -> str:
        """The local day, `YYYY-MM-DD`."""
        return self.local[:10]
