"""What travels as a QR code: asks, grants, customers, proofs of receipts.

Each is a signed document of few bytes as text for the alphanumeric mode of QR codes (design: sync
4.6, 4.9), as `sync.qr_text` writes it. Layout: `docs/courier.md`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from loyalty.account import LotPart
from loyalty.limits import AMOUNT_MINOR_MAX, POINTS_MAX
from sync.customer_code import CustomerCode, code_bytes, read_code
from sync.errors import QrTextError
from sync.limits import COUNT_MAX
from sync.qr_text import (
    FieldReader,
    day_bytes,
    fixed_bytes,
    from_text,
    minute_bytes,
    number_bytes,
    short_bytes,
    to_text,
    uuid_bytes,
    uuid_text,
)
from sync.signing import SigningKey, check

TEXT_CHARACTERS_MAX: Final = 1_200
"""More than the largest document has; a longer text is refused unread."""
LOTS_MAX: Final = 12
"""Of one grant by courier, so that its code stays one a telephone can show."""
STORE_BYTES_MAX: Final = 40
TIER_BYTES_MAX: Final = 20
RESTRICTION_BYTES_MAX: Final = 40
NONCE_BYTES: Final = 8
CARD_BYTES: Final = 8
"""Of a card's keyed hash: enough to tell a customer's few cards from all others."""

_SIGNATURE_BYTES: Final = 64
_INCARNATION_BYTES: Final = 8
_UUID_BYTES: Final = 16
_BUNDLE_BYTES: Final = 8
_MINUTE_MS: Final = 60_000


class CourierAsk(msgspec.Struct, frozen=True, kw_only=True):
    """A till without a line asks for points of a customer; signed by the till.

    Attributes:
        number: which of all asks of the till's journal this is, from 1.
        nonce: fresh and random; the till takes one grant for it (rule R2).
        store: for the customer to read; empty where its name is too long.
        card: first bytes of the keyed hash of the card on the receipt.
    """

    till_id: int
    incarnation: bytes
    number: int
    nonce: bytes
    store: str
    card: bytes
    points: int
    signature: bytes = b""


class CourierGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Points set aside for one ask of one incarnation of one till; signed by the centre.

    Attributes:
        not_after_ms: whole minutes.
        tier: of the account, which the till may never have heard of.
    """

    grant_id: str
    account_id: int
    till_id: int
    incarnation: bytes
    nonce: bytes
    points: int
    lots: tuple[LotPart, ...]
    not_after_ms: int
    tier: str = ""
    signature: bytes = b""


class ReceiptProof(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt says that it exists, in which place of which stream; signed by its till.

    Attributes:
        card: first bytes of the card's keyed hash; empty for nobody's receipt.
        moment: local time, to the minute, `YYYY-MM-DDTHH:MM`.
        bundle: first bytes of the hash of the rules it was calculated with.
    """

    key: str
    till_id: int
    incarnation: bytes
    seq: int
    card: bytes
    earned_points: int
    redeemed_points: int
    paid_minor: int
    moment: str
    bundle: bytes
    signature: bytes = b""


Document = CourierAsk | CourierGrant | CustomerCode | ReceiptProof
D = TypeVar("D", bound=Document)


def seal(document: D, key: SigningKey) -> D:
    """Return the document with its signature."""
    return msgspec.structs.replace(document, signature=key.sign(_signed_content(document)))


def sealed_text(document: Document, key: SigningKey) -> str:
    """Return what `write` returns of the sealed document, in one go.

    Raises:
        QrTextError: a field has no place in the form.
    """
    form, payload = _FORMS[type(document)], _payload(document)
    return form.prefix + to_text(payload + key.sign(form.context + payload))


def check_seal(document: Document, public: bytes) -> None:
    """Check a document's signature.

    Raises:
        SignatureError: it is not by this key.
    """
    check(public, document.signature, _signed_content(document))


def write(document: Document) -> str:
    """Return a sealed document as the text of its QR code.

    Raises:
        QrTextError: a field has no place in the form.
    """
    form = _FORMS[type(document)]
    return form.prefix + to_text(_payload(document) + document.signature)


def read(kind: type[D], text: str) -> D:
    """Read a document; its signature is not checked yet.

    Raises:
        QrTextError: the text is not exactly what `write` returns for some document of this kind.
    """
    form = _FORMS[kind]
    text = text.strip()
    if len(text) > TEXT_CHARACTERS_MAX:
        raise QrTextError(f"a code has at most {TEXT_CHARACTERS_MAX} characters")
    if not text.startswith(form.prefix):
        raise QrTextError(f"the code of {form.says} begins with {form.prefix}")
    content = from_text(text[len(form.prefix) :])
    payload, signature = content[:-_SIGNATURE_BYTES], content[-_SIGNATURE_BYTES:]
    if len(signature) != _SIGNATURE_BYTES:
        raise QrTextError("the code is cut short")
    fields = FieldReader(payload)
    found = form.read(fields)
    fields.end()
    document = msgspec.structs.replace(found, signature=signature)
    if write(document) != text:
        raise QrTextError("the code is not written in the shortest form")
    return document  # type: ignore[return-value]


def read_any(text: str) -> Document:
    """Read a document of whichever kind its text says; its signature is not checked yet.

    Raises:
        QrTextError: the text is not exactly what `write` returns for some document.
    """
    for kind, form in _FORMS.items():
        if text.strip().startswith(form.prefix):
            found: Document = read(kind, text)  # type: ignore[type-var, assignment]
            return found
    known = ", ".join(f"{form.prefix} ({form.says})" for form in _FORMS.values())
    raise QrTextError(f"a code begins with one of: {known}")


def is_code(text: str) -> bool:
    """Say whether a text claims to be a document of any kind."""
    return text.strip().startswith(tuple(form.prefix for form in _FORMS.values()))


def is_customer_code(text: str) -> bool:
    """Say whether a text claims to be a customer's code."""
    return text.strip().startswith(_FORMS[CustomerCode].prefix)


# Forms


def _ask_bytes(ask: CourierAsk) -> bytes:
    return b"".join(
        (
            number_bytes(ask.till_id),
            fixed_bytes(ask.incarnation, _INCARNATION_BYTES),
            number_bytes(ask.number),
            fixed_bytes(ask.nonce, NONCE_BYTES),
            fixed_bytes(ask.card, CARD_BYTES),
            number_bytes(ask.points, POINTS_MAX),
            short_bytes(ask.store.encode(), STORE_BYTES_MAX),
        )
    )


def _read_ask(fields: FieldReader) -> CourierAsk:
    return CourierAsk(
        till_id=fields.positive(),
        incarnation=fields.fixed(_INCARNATION_BYTES),
        number=fields.positive(),
        nonce=fields.fixed(NONCE_BYTES),
        card=fields.fixed(CARD_BYTES),
        points=fields.positive(POINTS_MAX),
        store=fields.text(STORE_BYTES_MAX),
    )


def _grant_bytes(grant: CourierGrant) -> bytes:
    if not 0 < len(grant.lots) <= LOTS_MAX:
        raise QrTextError(f"a grant by courier has 1 to {LOTS_MAX} lots, not {len(grant.lots)}")
    lots = b"".join(
        number_bytes(lot.lot_id)
        + number_bytes(lot.points, POINTS_MAX)
        + day_bytes(lot.expires_on)
        + short_bytes(lot.restriction.encode(), RESTRICTION_BYTES_MAX)
        for lot in grant.lots
    )
    minutes, rest_ms = divmod(grant.not_after_ms, _MINUTE_MS)
    if rest_ms:
        raise QrTextError("a grant by courier ends on a whole minute")
    return b"".join(
        (
            uuid_bytes(grant.grant_id),
            number_bytes(grant.account_id),
            number_bytes(grant.till_id),
            fixed_bytes(grant.incarnation, _INCARNATION_BYTES),
            fixed_bytes(grant.nonce, NONCE_BYTES),
            number_bytes(grant.points, POINTS_MAX),
            number_bytes(minutes),
            short_bytes(grant.tier.encode(), TIER_BYTES_MAX),
            number_bytes(len(grant.lots)),
            lots,
        )
    )


def _read_grant(fields: FieldReader) -> CourierGrant:
    grant = CourierGrant(
        grant_id=uuid_text(fields.fixed(_UUID_BYTES)),
        account_id=fields.positive(),
        till_id=fields.positive(),
        incarnation=fields.fixed(_INCARNATION_BYTES),
        nonce=fields.fixed(NONCE_BYTES),
        points=fields.positive(POINTS_MAX),
        not_after_ms=fields.number(COUNT_MAX // _MINUTE_MS) * _MINUTE_MS,
        tier=fields.text(TIER_BYTES_MAX),
        lots=tuple(_read_lot(fields) for _ in range(fields.positive(LOTS_MAX))),
    )
    if sum(lot.points for lot in grant.lots) != grant.points:
        raise QrTextError("the lots of the grant do not add up to its points")
    return grant


def _read_lot(fields: FieldReader) -> LotPart:
    return LotPart(
        lot_id=fields.positive(),
        points=fields.positive(POINTS_MAX),
        expires_on=fields.day(),
        restriction=fields.text(RESTRICTION_BYTES_MAX),
    )


def _proof_bytes(proof: ReceiptProof) -> bytes:
    return b"".join(
        (
            uuid_bytes(proof.key),
            number_bytes(proof.till_id),
            fixed_bytes(proof.incarnation, _INCARNATION_BYTES),
            number_bytes(proof.seq),
            short_bytes(proof.card, CARD_BYTES),
            number_bytes(proof.earned_points, POINTS_MAX),
            number_bytes(proof.redeemed_points, POINTS_MAX),
            number_bytes(proof.paid_minor, AMOUNT_MINOR_MAX),
            minute_bytes(proof.moment),
            fixed_bytes(proof.bundle, _BUNDLE_BYTES),
        )
    )


def _read_proof(fields: FieldReader) -> ReceiptProof:
    proof = ReceiptProof(
        key=uuid_text(fields.fixed(_UUID_BYTES)),
        till_id=fields.positive(),
        incarnation=fields.fixed(_INCARNATION_BYTES),
        seq=fields.positive(),
        card=fields.short(CARD_BYTES),
        earned_points=fields.number(POINTS_MAX),
        redeemed_points=fields.number(POINTS_MAX),
        paid_minor=fields.number(AMOUNT_MINOR_MAX),
        moment=fields.minute(),
        bundle=fields.fixed(_BUNDLE_BYTES),
    )
    if len(proof.card) not in (0, CARD_BYTES):
        raise QrTextError(f"a card in the code has {CARD_BYTES} bytes or none")
    return proof


@dataclass(frozen=True, slots=True)
class _Form:
    prefix: str
    says: str
    context: bytes
    write: Callable[..., bytes]
    read: Callable[[FieldReader], Document]


_FORMS: Final[dict[type[msgspec.Struct], _Form]] = {
    CourierAsk: _Form("TSA1:", "a till's ask", b"tillside-courier-ask/1\n", _ask_bytes, _read_ask),
    CourierGrant: _Form(
        "TSG1:", "a grant", b"tillside-courier-grant/1\n", _grant_bytes, _read_grant
    ),
    CustomerCode: _Form(
        "TSC1:", "a customer", b"tillside-customer-code/1\n", code_bytes, read_code
    ),
    ReceiptProof: _Form("TSR1:", "a receipt", b"tillside-receipt/1\n", _proof_bytes, _read_proof),
}


def _payload(document: Document) -> bytes:
    content: bytes = _FORMS[type(document)].write(document)
    return content


def _signed_content(document: Document) -> bytes:
    return _FORMS[type(document)].context + _payload(document)
