"""What the register says and hears: the types of the POS API (documented in `docs/pos-api.md`)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine
from loyalty.fiscal import FiscalLine
from loyalty.limits import AMOUNT_MINOR_MAX, BASKET_CODES_MAX, BASKET_LINES_MAX, POINTS_MAX
from loyalty.returns import ReturnItem
from sync.qr import TEXT_CHARACTERS_MAX

Code = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]

ReceiptId = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        description="UUID, lower case, minted by the register before its first call",
    ),
]


class ReceiptRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole receipt as it stands at the register; sent in full with every call.

    Attributes:
        version: rises with every change the cashier makes;
            going back to add a bag is the next version.
        moment: the register's local time of the receipt, `YYYY-MM-DDTHH:MM:SS`.
        card: what was scanned or typed, a card's number or the app's one-time code; empty for
            nobody.
        training: calculated like any other and never recorded.
    """

    version: Annotated[int, Meta(ge=1, le=1_000_000)]
    moment: str
    lines: Annotated[tuple[BasketLine, ...], Meta(max_length=BASKET_LINES_MAX)]
    codes: Annotated[tuple[str, ...], Meta(max_length=BASKET_CODES_MAX)] = ()
    card: Code = ""
    tender: Annotated[str, Meta(max_length=40)] = ""
    training: bool = False


class ReserveRequest(ReceiptRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The receipt, and how many points the customer wants to redeem on it."""

    redeem: RedeemRequest


class CompleteRequest(ReceiptRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The receipt as it is about to be printed.

    Attributes:
        paid_minor: what the register is about to print as the total to pay;
            it must be what was calculated.
    """

    paid_minor: Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX)]


class ReturnRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods of an earlier receipt come back: lines, or a part of their quantity.

    Attributes:
        confirm: false shows what would be posted, true posts exactly that.
        money_back_minor: with `confirm`, what the register is about to hand out; if it is not what
            was calculated, nothing is recorded.
        receipt_code: what the receipt's QR code says; it proves a receipt nobody here knows yet.
    """

    original_receipt_id: ReceiptId
    lines: Annotated[tuple[ReturnItem, ...], Meta(min_length=1, max_length=BASKET_LINES_MAX)]
    moment: str
    confirm: bool = False
    money_back_minor: Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX)] | None = None
    receipt_code: Code = ""


class CourierRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points are missing and the centre does not answer: the customer's telephone may ask it.

    Attributes:
        points: how many are missing, as a reservation has shown.
    """

    card: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
    points: Annotated[int, Meta(ge=1, le=POINTS_MAX)]


class GrantRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the customer's telephone shows after it has asked the centre."""

    code: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]


class CustomerView(msgspec.Struct, frozen=True, kw_only=True):
    """What a cashier may see of the customer.

    Attributes:
        known: the till knows the account; otherwise the receipt is recorded and the centre finds
            out.
        points: last known balance, may be old; informs, decides nothing.
    """

    known: bool
    masked_name: str = ""
    tier: str = ""
    points: int = 0
    blocked: bool = False


class CashierMessage(msgspec.Struct, frozen=True):
    """A line for the cashier's screen; the code is stable, the text is in the till's language."""

    code: str
    text: str


class ReceiptAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a call about a receipt.

    Attributes:
        outcome: a name of `loyalty.outcomes`.
        calculation: every line with its effects and every considered offer with its reason.
        fiscal_lines: the same lines as a fiscal printer wants them, unit price x pieces = amount.
        paid_by_points_minor: what the register books as paid by points, where the programme has
            points as a kind of payment; the fiscal lines then add up to this and `paid_minor`.
        reserved_points: set aside for this receipt.
        field: which field of the request the outcome is about.
        receipt_code: of a recorded receipt, to be printed on it as a QR code.
    """

    outcome: str
    receipt_id: str
    version: int
    link: Literal["up", "down"] = "down"
    calculation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    fiscal_lines: tuple[FiscalLine, ...] = ()
    paid_by_points_minor: int = 0
    reserved_points: int = 0
    customer: CustomerView | None = None
    field: str = ""
    messages: tuple[CashierMessage, ...] = ()
    receipt_code: str = ""


class CourierAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of asking by courier, or of what it brought.

    Attributes:
        receipt_id: the receipt the points are for; empty where the code does not say.
        code: for the customer to scan.
        points: asked for, or brought.
    """

    outcome: str
    receipt_id: str = ""
    code: str = ""
    points: int = 0
    messages: tuple[CashierMessage, ...] = ()


class ReceiptClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt's code says of it, where the receipt itself is not known.

    Attributes:
        is_proven: the signature of its till was checked; false where nobody could be asked.
    """

    is_proven: bool
    till_id: int
    moment: str
    paid_minor: int
    earned_points: int
    redeemed_points: int


class ReturnAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a return.

    Attributes:
        calculation: money and points that go back; absent while the original is not known here.
        fiscal_lines: the lines for a fiscal printer; they add up to `money_back_minor`.
        paid_by_points_minor: what the register gives back of a payment by points; the fiscal lines
            then add up to this and `money_back_minor`.
        pending: the centre will work the points out from the original, when that has come.
        claim: what the receipt's code says of a receipt that is not known.
    """

    outcome: str
    return_id: str
    calculation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    fiscal_lines: tuple[FiscalLine, ...] = ()
    paid_by_points_minor: int = 0
    pending: bool = False
    field: str = ""
    messages: tuple[CashierMessage, ...] = ()
    claim: ReceiptClaim | None = None
