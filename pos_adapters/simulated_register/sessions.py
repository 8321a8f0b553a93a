"""The steps of a sale as a register makes them, one small value a step."""

from dataclasses import dataclass, field

from pos_adapters.ports import GoodsBack, Redeem, ScannedLine

__all__ = [
    "BackToSale",
    "CancelSale",
    "Complete",
    "GoToPayment",
    "GoodsBack",  # nor a return without these
    "PresentCard",
    "PresentCode",
    "ReturnLines",
    "Scan",
    "ScannedLine",  # a step is not written without it
    "Step",
    "VoidLine",
]


@dataclass(frozen=True, slots=True)
class Scan:
    """A line is added to the sale."""

    line: ScannedLine


@dataclass(frozen=True, slots=True)
class VoidLine:
    """A line is taken out of the sale."""

    line_id: str


@dataclass(frozen=True, slots=True)
class PresentCard:
    """The customer shows a card."""

    card_number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PresentCode:
    """The customer shows a coupon."""

    code: str


@dataclass(frozen=True, slots=True)
class GoToPayment:
    """The sale goes to payment, redeeming so many points, as many as possible (`max`), or none."""

    redeem: Redeem = 0


@dataclass(frozen=True, slots=True)
class BackToSale:
    """The cashier leaves payment, so that the sale may change again."""


@dataclass(frozen=True, slots=True)
class Complete:
    """The customer has paid."""


@dataclass(frozen=True, slots=True)
class CancelSale:
    """The cashier gives the sale up."""


@dataclass(frozen=True, slots=True)
class ReturnLines:
    """Goods of an earlier receipt come back: lines, or a part of their quantity."""

    receipt_id: str
    lines: tuple[GoodsBack, ...]


Step = (
    Scan
    | VoidLine
    | PresentCard
    | PresentCode
    | GoToPayment
    | BackToSale
    | Complete
    | CancelSale
    | ReturnLines
)
