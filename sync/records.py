"""The records of a till's stream: what happened, in its order, as bytes never encoded again.

A record is JSON with the keys in the order written here; those bytes are hashed into the chain,
stored and sent (design: sync 4.0). Adding a field with a default at the end is compatible;
nothing else is.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loyalty.account import (
    NO_ALLOWANCE,
    NO_REDEMPTION,
    NO_RIGHT,
    AccountSnapshot,
    Allowance,
    RedeemRequest,
    SpendRight,
)
from loyalty.basket import Basket, Moment, Place
from loyalty.limits import POINTS_MAX
from loyalty.returns import ReturnItem
from sync.errors import MalformedMessageError
from sync.limits import RECORD_BYTES_MAX

Points = Annotated[int, Meta(ge=1, le=POINTS_MAX)]


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """Fields of every record.

    Attributes:
        at_ms: the till's trusted time, Unix milliseconds; hygiene only, decides no money.
    """

    at_ms: int


class LotTaken(msgspec.Struct, frozen=True):
    """Points taken out of one lot."""

    lot_id: int
    points: Points


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A right that redeemed points were taken from.

    Attributes:
        kind: a grant, a just-in-time authorisation, or the till's risk budget.
        grant_id: of the grant or authorisation; empty for risk.
        lots: the lots taken; empty for risk. Their points add up to `points`.
        transfer_id: by which these points of the grant came from another till.
    """

    kind: Literal["grant", "authorisation", "risk"]
    points: Points
    grant_id: str = ""
    lots: tuple[LotTaken, ...] = ()
    transfer_id: str = ""


class CounterDrawn(msgspec.Struct, frozen=True):
    """Uses, money or points taken out of one grant of a shared counter."""

    grant_id: str
    amount: Points


class CalculationInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the calculation is a function of, so that the centre can repeat it."""

    bundle: str
    basket: Basket
    moment: Moment
    place: Place
    account: AccountSnapshot
    request: RedeemRequest = NO_REDEMPTION
    right: SpendRight = NO_RIGHT
    allowance: Allowance = NO_ALLOWANCE


class OpenRecord(_Record, tag="open", frozen=True, kw_only=True):
    """First record of every stream: a new incarnation and why.

    Attributes:
        previous_head: last hash of the stream before, hexadecimal; empty if there is none.
    """

    incarnation_number: int
    reason: str
    previous_incarnation: str = ""
    previous_head: str = ""


class SaleRecord(_Record, tag="sale", frozen=True, kw_only=True):
    """A completed receipt, as printed.

    Attributes:
        key: the sale key, the receipt id the register minted before its first call.
        card: keyed hash of the card, hexadecimal; empty when none was presented.
        calculation: canonical bytes of the calculation.
        link_up: the till was in touch with the centre when the receipt was made.
        clock_q: whether the machine's clock could be right (design: sync 4.3); decides no money.
        drawn: which rights the shared counters in `calculation.counted` were taken from.
        code_age: how many steps before `at_ms` the one-time code is of that named the customer
            (`customer_code.step_of`); absent where a card did, or nobody was named.
    """

    key: str
    version: int
    inputs: CalculationInputs
    calculation: msgspec.Raw
    card: str = ""
    sources: tuple[Source, ...] = ()
    link_up: bool = False
    clock_q: Literal["good", "suspect"] = "good"
    drawn: tuple[CounterDrawn, ...] = ()
    code_age: int | None = None


class VoidRecord(_Record, tag="void", frozen=True, kw_only=True):
    """A receipt that was reserved and then given up; what was authorised for its key is free."""

    key: str
    why: str


class RefundRecord(_Record, tag="refund", frozen=True, kw_only=True):
    """Goods of a receipt brought back.

    Attributes:
        key: of the return itself, minted by the register.
        original_key: sale key of the receipt.
        lines: how much of which; quantity 0 = all that is left, where the till did not have the
            receipt.
        moment: its local day decides what is expired or pending.
        calculation: canonical bytes of the return's calculation, as shown;
            empty object where the till did not have the receipt.
        receipt_code: what the QR code of a receipt says that the till did not have.
    """

    key: str
    original_key: str
    lines: tuple[ReturnItem, ...]
    moment: Moment
    place: Place
    calculation: msgspec.Raw = msgspec.Raw(b"{}")
    receipt_code: str = ""


class GrantInRecord(_Record, tag="grant_in", frozen=True, kw_only=True):
    """A grant arrived and is durable on this till."""

    grant_id: str


class GrantReturnRecord(_Record, tag="grant_return", frozen=True, kw_only=True):
    """Points of a grant go home; they left the till's rights before this record was written.

    Attributes:
        points: the residue, stated, never computed by the reader (design: sync N8).
        transfer_id: by which these points of the grant had come from another till.
    """

    grant_id: str
    points: Points
    why: str
    lots: tuple[LotTaken, ...] = ()
    transfer_id: str = ""


class XferOutRecord(_Record, tag="xfer_out", frozen=True, kw_only=True):
    """Points of a grant were given to another till; they left the rights before this was sent.

    Attributes:
        to_incarnation: hexadecimal; the only one that may accept them (design: sync N15).
        nonce: of the request they answer, hexadecimal.
        lots: their points add up to `points`.
    """

    transfer_id: str
    grant_id: str
    account_id: int
    points: Points
    lots: tuple[LotTaken, ...]
    to_till: int
    to_incarnation: str
    nonce: str


class XferInRecord(_Record, tag="xfer_in", frozen=True, kw_only=True):
    """Points of a grant came from another till and are durable here.

    Attributes:
        nonce: of the request they answer, hexadecimal.
        signature: of the till that gave them, hexadecimal: proves the transfer where the giver's
            own record is lost.
    """

    transfer_id: str
    grant_id: str
    account_id: int
    points: Points
    lots: tuple[LotTaken, ...]
    from_till: int
    from_incarnation: str
    nonce: str
    signature: str


class CounterInRecord(_Record, tag="counter_in", frozen=True, kw_only=True):
    """A grant of a shared counter arrived and is durable on this till."""

    grant_id: str


class CounterReturnRecord(_Record, tag="counter_return", frozen=True, kw_only=True):
    """What a till has left of a grant of a shared counter goes home; it left the rights before.

    Attributes:
        amount: the residue, stated, never computed by the reader (design: sync N8).
    """

    grant_id: str
    amount: Points
    why: str


Record = (
    OpenRecord
    | SaleRecord
    | VoidRecord
    | RefundRecord
    | GrantInRecord
    | GrantReturnRecord
    | XferOutRecord
    | XferInRecord
    | CounterInRecord
    | CounterReturnRecord
)

FACTS = (SaleRecord, VoidRecord, RefundRecord)
"""Records that stay true in whatever stream they arrive.

The others move rights and count only in a contiguous stream.
"""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Return the bytes of a new record; call it once, keep the bytes."""
    return _encoder.encode(record)


def decode_record(body: bytes) -> Record:
    """Read a record.

    Raises:
        MalformedMessageError: the bytes are too long or not a record; the message names the field.
    """
    if len(body) > RECORD_BYTES_MAX:
        raise MalformedMessageError(
            f"a record has at most {RECORD_BYTES_MAX} bytes, this one {len(body)}"
        )
    try:
        record: Record = _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"not a record: {error}") from error
    return record
