"""The whole interface of the adapters: what a register needs of its devices and of its agent.

Money is in minor units, quantities in thousandths of the selling unit; a moment is the store's
local time as `YYYY-MM-DDTHH:MM:SS`. Methods block, are called by one thread, and raise only what
`errors.py` names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

# What a register tells the till's agent, and hears from it


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedLine:
    """One line as the register knows it.

    Attributes:
        line_id: the register's name of the line, unique in the sale, not used again after a void.
            It stays with its goods: lines are ordered by it, shorter names first (2 before 10), and
            where amounts do not divide, the odd minor unit goes to the earlier line. A register
            that numbers its lines anew hears other amounts.
        quantity: thousandths of the selling unit; 1 piece = 1000.
        gross_minor: what the register charges for the line with no loyalty at all.
        by_weight: the quantity is a weight.
        pos_reduced: the register has already reduced the price by itself.
        attributes: anything else the register says of the line, by name.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The whole receipt as it stands at the register.

    Attributes:
        version: from 1, rises with every change.
        card: as scanned or typed; empty for nobody.
        tender: kind of payment the customer means to use.
        training: calculated like any other and never recorded.
    """

    version: int
    moment: str
    lines: tuple[ScannedLine, ...]
    codes: tuple[str, ...] = ()
    card: str = field(default="", repr=False)
    tender: str = ""
    training: bool = False


@dataclass(frozen=True, slots=True)
class GoodsBack:
    """A line that comes back, or a part of it.

    Attributes:
        quantity: thousandths of the selling unit; 0 = all that is left of the line.
    """

    line_id: str
    quantity: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesReturned:
    """Goods of an earlier receipt that come back; each line once.

    Attributes:
        receipt_code: what the receipt's QR code says; empty where it was not scanned.
    """

    original_receipt_id: str
    lines: tuple[GoodsBack, ...]
    moment: str
    receipt_code: str = ""


@dataclass(frozen=True, slots=True)
class CashierMessage:
    """A line for the cashier; the code is stable, the text is in the till's language."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerSeen:
    """What a cashier may see of the customer.

    Attributes:
        known: the till knows the account.
        points: last known balance; informs, decides nothing.
    """

    known: bool
    masked_name: str = ""
    tier: str = ""
    points: int = 0
    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FiscalLine:
    """A line to print: of goods sold by piece `amount = unit price x pieces`, exactly.

    Attributes:
        source_line_id: the register's line this is all or a part of.
        unit_price_minor: of a weighed line before loyalty; there the amount alone counts.
    """

    line_id: str
    source_line_id: str
    quantity: int
    unit_price_minor: int
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TillAnswer:
    """What became of a call about a receipt or a return.

    Attributes:
        raw: the body as it came.
        status: of HTTP.
        outcome: a name of `docs/pos-api.md`.
        subject_id: the receipt or the return this is about.
        version: of the receipt as the till knows it; 0 for a return.
        link: whether the till hears the centre; empty for a return.
        field: which field of the request the outcome is about.
        calculation: absent where there is nothing to calculate.
        fiscal_lines: the lines as a fiscal printer wants them.
        paid_by_points_minor: paid by points beside money, where points are a kind of payment.
        reserved_points: set aside for this receipt.
        pending: of a return: the centre works the points out.
        receipt_code: of a recorded receipt, to be printed as a QR code.
        claim: of a return: what the receipt's code says of a receipt that is not known.
    """

    # Before the attribute `field`, which hides the function from then on.
    raw: bytes = field(default=b"", repr=False)
    status: int
    outcome: str
    subject_id: str
    version: int = 0
    link: str = ""
    field: str = ""
    calculation: Mapping[str, Any] | None = None
    fiscal_lines: tuple[FiscalLine, ...] = ()
    paid_by_points_minor: int = 0
    reserved_points: int = 0
    customer: CustomerSeen | None = None
    messages: tuple[CashierMessage, ...] = ()
    pending: bool = False
    receipt_code: str = ""
    claim: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierAnswer:
    """What became of asking for points by the customer's telephone, or of what it brought.

    Attributes:
        code: for the customer to scan.
        points: asked for, or brought.
    """

    status: int
    outcome: str
    receipt_id: str = ""
    code: str = ""
    points: int = 0
    messages: tuple[CashierMessage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TillHealth:
    """State of a till.

    Attributes:
        records_waiting: records the centre has not acknowledged.
        figures: the whole report by name.
    """

    till_id: int
    store: str
    link: str
    records_waiting: int
    figures: Mapping[str, Any]


Redeem = int | Literal["max"]
"""So many points, or as many as possible."""


class PosClient(Protocol):
    """The till's agent as a register calls it; to repeat a call with the same content is safe.

    Every method raises `TillUnreachableError` when no answer came and `TillRefusedError` when the
    answer is not about the receipt.
    """

    def update(self, receipt_id: str, receipt: Receipt) -> TillAnswer:
        """Calculate the receipt as it stands; nothing is durable."""
        ...

    def reserve(self, receipt_id: str, receipt: Receipt, *, redeem: Redeem) -> TillAnswer:
        """Set points aside for the receipt, durably; 0 gives back what was set aside."""
        ...

    def complete(self, receipt_id: str, receipt: Receipt, *, paid_minor: int) -> TillAnswer:
        """Record the receipt, durably; print on `recorded`."""
        ...

    def cancel(self, receipt_id: str) -> TillAnswer:
        """Give the receipt up, durably; what was set aside for it is free."""
        ...

    def return_lines(
        self,
        return_id: str,
        lines: LinesReturned,
        *,
        confirm: bool,
        money_back_minor: int | None = None,
    ) -> TillAnswer:
        """Show what returning the goods would post; with `confirm` post exactly that, durably.

        Args:
            money_back_minor: about to be handed out; if the till calculates otherwise it records
                nothing.
        """
        ...

    def health(self) -> TillHealth:
        """Return the state of the till."""
        ...


# What is printed


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedReceipt:
    """What the customer holds after a sale; of the totals `gross = discount + redeemed + paid`.

    Attributes:
        kind: `without_loyalty` when the agent did not answer: the figures are the register's own.
        till: the register's name.
        version: of the receipt that was recorded.
        link: whether the till heard the centre; empty without loyalty.
        receipt_code: printed as a QR code; empty without loyalty.
    """

    kind: Literal["sale", "without_loyalty"]
    receipt_id: str
    till: str
    version: int
    moment: str
    gross_minor: int
    discount_minor: int = 0
    redeemed_minor: int = 0
    paid_minor: int
    redeemed_points: int = 0
    earned_points: int = 0
    link: str = ""
    receipt_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedReturn:
    """What the customer holds after a return.

    Attributes:
        kind: `reversal` takes back a receipt that was recorded after the register had stopped
            waiting for it and sold without loyalty: no money moves.
        pending: the till does not know the original; figures are 0 here and the centre works
            them out.
    """

    kind: Literal["return", "reversal"]
    return_id: str
    original_receipt_id: str
    till: str
    moment: str
    lines: tuple[GoodsBack, ...]
    money_back_minor: int = 0
    points_back: int = 0
    points_taken_back: int = 0
    pending: bool = False


class ReceiptPrinter(Protocol):
    """Puts a document into the customer's hand."""

    def print_document(self, document: PrintedReceipt | PrintedReturn) -> None:
        """Print it; on return the paper is out.

        Raises:
            DeviceError: it may or may not have been printed.
        """
        ...


# What is read and shown


@dataclass(frozen=True, slots=True)
class ScannedCode:
    """A code as the scanner read it, without the scanner's own framing.

    Attributes:
        symbology: AIM identifier such as `]C1`; empty when the scanner does not send one.
    """

    text: str
    symbology: str = ""


class CodeScanner(Protocol):
    """Reads goods, coupons and cards with a printed code."""

    def next_code(self, *, wait_ms_max: int) -> ScannedCode | None:
        """Return the next code in the order of scanning, None when none came in time."""
        ...


@dataclass(frozen=True, slots=True)
class PresentedCard:
    """A loyalty card that was swiped, inserted or held to the reader; never a bank card."""

    number: str = field(repr=False)


class CardReader(Protocol):
    """Reads loyalty cards."""

    def next_card(self, *, wait_ms_max: int) -> PresentedCard | None:
        """Return the next card, None when none came in time."""
        ...


class CustomerDisplay(Protocol):
    """Two short lines the customer sees; the latest wins."""

    def show(self, top: str, bottom: str) -> None:
        """Show the lines, cut to the display's width."""
        ...
