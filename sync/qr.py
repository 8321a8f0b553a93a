"""What travels as a QR code: a till's ask, the centre's grant for it, a receipt's proof of itself.

Each is a signed document of few bytes as text for the alphanumeric mode of QR codes (design: sync
4.6, 4.9). Two bytes make three of 41 characters, none of which a scanner, an address or a form
changes; space, `%`, `+` and `$` are left out, which costs nothing. Layout: `docs/courier.md`.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeVar

import msgspec

from loyalty.account import LotPart
from loyalty.limits import AMOUNT_MINOR_MAX, POINTS_MAX
from sync.errors import QrTextError
from sync.limits import COUNT_MAX
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

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*-./:"
_DIGITS: Final = {character: value for value, character in enumerate(_ALPHABET)}
_BASE: Final = len(_ALPHABET)
_PAIRS: Final = [low + high for high in _ALPHABET for low in _ALPHABET]
_SIGNATURE_BYTES: Final = 64
_INCARNATION_BYTES: Final = 8
_UUID_BYTES: Final = 16
_BUNDLE_BYTES: Final = 8
_MINUTE_MS: Final = 60_000
_VARINT_BYTES_MAX: Final = 9
_DAY_MINUTES: Final = 1_440
_SEVEN_BITS: Final = 0x7F


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


Document = CourierAsk | CourierGrant | ReceiptProof
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
    return form.prefix + _to_text(payload + key.sign(form.context + payload))


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
    return form.prefix + _to_text(_payload(document) + document.signature)


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
    content = _from_text(text[len(form.prefix) :])
    payload, signature = content[:-_SIGNATURE_BYTES], content[-_SIGNATURE_BYTES:]
    if len(signature) != _SIGNATURE_BYTES:
        raise QrTextError("the code is cut short")
    fields = _Reader(payload)
    found = form.read(fields)
    fields.end()
    document = msgspec.structs.replace(found, signature=signature)
    if write(document) != text:
        raise QrTextError("the code is not written in the shortest form")
    return document  # type: ignore[return-value]


def is_receipt_code(text: str) -> bool:
    """Say whether a text claims to be a receipt's proof."""
    return text.strip().startswith(_FORMS[ReceiptProof].prefix)


def uuid_bytes(text: str) -> bytes:
    """Return the 16 bytes of a UUID in lower case.

    Raises:
        QrTextError: it is none.
    """
    try:
        content = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        content = b""
    if len(content) != _UUID_BYTES or _uuid_text(content) != text:
        raise QrTextError(f"{text!r} is not a UUID in lower case")
    return content


def _uuid_text(content: bytes) -> str:
    digits = content.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# Text


def _to_text(content: bytes) -> str:
    # Two bytes at a time: the lowest character, then the two above it as one.
    pairs = len(content) // 2
    values = struct.unpack_from(f">{pairs}H", content)
    text = "".join([_ALPHABET[value % _BASE] + _PAIRS[value // _BASE] for value in values])
    if len(content) % 2:
        text += _ALPHABET[content[-1] % _BASE] + _ALPHABET[content[-1] // _BASE]
    return text


def _from_text(text: str) -> bytes:
    content = bytearray()
    for at in range(0, len(text), 3):
        part = text[at : at + 3]
        size_bytes = len(part) - 1
        if not size_bytes:
            raise QrTextError("the code is cut short")
        try:
            value = sum(_DIGITS[character] * _BASE**place for place, character in enumerate(part))
        except KeyError as error:
            raise QrTextError(f"a code has no character {error.args[0]!r}") from error
        if value >= 1 << 8 * size_bytes:
            raise QrTextError("the code was misread: three characters make more than two bytes")
        content += value.to_bytes(size_bytes, "big")
    return bytes(content)


# Fields


def _number(value: int, most: int = COUNT_MAX) -> bytes:
    """Return seven bits a byte, the lowest first; the last byte has its high bit clear."""
    if not 0 <= value <= most:
        raise QrTextError(f"{value} is not a number from 0 to {most}")
    content = bytearray()
    while value > _SEVEN_BITS:
        content.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)


def _fixed(value: bytes, size_bytes: int) -> bytes:
    if len(value) != size_bytes:
        raise QrTextError(f"{size_bytes} bytes are needed here, not {len(value)}")
    return value


def _short(value: bytes, most_bytes: int) -> bytes:
    if len(value) > most_bytes:
        raise QrTextError(f"at most {most_bytes} bytes fit here, not {len(value)}")
    return bytes([len(value)]) + value


def _day(text: str) -> bytes:
    """Return a day's number, 0 for none."""
    try:
        number = date.fromisoformat(text).toordinal() if text else 0
    except ValueError as error:
        raise QrTextError(f"{text!r} is no day") from error
    return _number(number)


def _minute(text: str) -> bytes:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise QrTextError(f"{text!r} is no local time") from error
    return _number(at.toordinal() * _DAY_MINUTES + at.hour * 60 + at.minute)


class _Reader:
    """Takes fields off the front of a payload; whatever is wrong is a `QrTextError`."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def fixed(self, size_bytes: int) -> bytes:
        found = self._content[self._at : self._at + size_bytes]
        if len(found) != size_bytes:
            raise QrTextError("the code is cut short")
        self._at += size_bytes
        return found

    def number(self, most: int = COUNT_MAX) -> int:
        value = 0
        for place in range(_VARINT_BYTES_MAX):
            byte = self.fixed(1)[0]
            value |= (byte & _SEVEN_BITS) << 7 * place
            if byte <= _SEVEN_BITS:
                if value > most:
                    raise QrTextError(f"{value} is more than {most}")
                return value
        raise QrTextError("a number in the code has no end")

    def positive(self, most: int = COUNT_MAX) -> int:
        if value := self.number(most):
            return value
        raise QrTextError("a number in the code is zero")

    def short(self, most_bytes: int) -> bytes:
        size_bytes = self.fixed(1)[0]
        if size_bytes > most_bytes:
            raise QrTextError(f"a field of the code has {size_bytes} bytes, not {most_bytes}")
        return self.fixed(size_bytes)

    def text(self, most_bytes: int) -> str:
        try:
            return self.short(most_bytes).decode()
        except UnicodeDecodeError as error:
            raise QrTextError("a text in the code is not UTF-8") from error

    def day(self) -> str:
        number = self.number(date.max.toordinal())
        return date.fromordinal(number).isoformat() if number else ""

    def minute(self) -> str:
        day, minutes = divmod(self.number(), _DAY_MINUTES)
        if not 0 < day <= date.max.toordinal():
            raise QrTextError("a local time in the code is none")
        hour, minute = divmod(minutes, 60)
        return f"{date.fromordinal(day).isoformat()}T{hour:02}:{minute:02}"

    def end(self) -> None:
        if self._at != len(self._content):
            raise QrTextError("the code goes on after its end")


# Forms


def _ask_bytes(ask: CourierAsk) -> bytes:
    return b"".join(
        (
            _number(ask.till_id),
            _fixed(ask.incarnation, _INCARNATION_BYTES),
            _number(ask.number),
            _fixed(ask.nonce, NONCE_BYTES),
            _fixed(ask.card, CARD_BYTES),
            _number(ask.points, POINTS_MAX),
            _short(ask.store.encode(), STORE_BYTES_MAX),
        )
    )


def _read_ask(fields: _Reader) -> CourierAsk:
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
        _number(lot.lot_id)
        + _number(lot.points, POINTS_MAX)
        + _day(lot.expires_on)
        + _short(lot.restriction.encode(), RESTRICTION_BYTES_MAX)
        for lot in grant.lots
    )
    minutes, rest_ms = divmod(grant.not_after_ms, _MINUTE_MS)
    if rest_ms:
        raise QrTextError("a grant by courier ends on a whole minute")
    return b"".join(
        (
            uuid_bytes(grant.grant_id),
            _number(grant.account_id),
            _number(grant.till_id),
            _fixed(grant.incarnation, _INCARNATION_BYTES),
            _fixed(grant.nonce, NONCE_BYTES),
            _number(grant.points, POINTS_MAX),
            _number(minutes),
            _short(grant.tier.encode(), TIER_BYTES_MAX),
            _number(len(grant.lots)),
            lots,
        )
    )


def _read_grant(fields: _Reader) -> CourierGrant:
    grant = CourierGrant(
        grant_id=_uuid_text(fields.fixed(_UUID_BYTES)),
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


def _read_lot(fields: _Reader) -> LotPart:
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
            _number(proof.till_id),
            _fixed(proof.incarnation, _INCARNATION_BYTES),
            _number(proof.seq),
            _short(proof.card, CARD_BYTES),
            _number(proof.earned_points, POINTS_MAX),
            _number(proof.redeemed_points, POINTS_MAX),
            _number(proof.paid_minor, AMOUNT_MINOR_MAX),
            _minute(proof.moment),
            _fixed(proof.bundle, _BUNDLE_BYTES),
        )
    )


def _read_proof(fields: _Reader) -> ReceiptProof:
    proof = ReceiptProof(
        key=_uuid_text(fields.fixed(_UUID_BYTES)),
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
    read: Callable[[_Reader], Document]


_FORMS: Final[dict[type[msgspec.Struct], _Form]] = {
    CourierAsk: _Form("TSA1:", "a till's ask", b"tillside-courier-ask/1\n", _ask_bytes, _read_ask),
    CourierGrant: _Form(
        "TSG1:", "a grant", b"tillside-courier-grant/1\n", _grant_bytes, _read_grant
    ),
    ReceiptProof: _Form("TSR1:", "a receipt", b"tillside-receipt/1\n", _proof_bytes, _read_proof),
}


def _payload(document: Document) -> bytes:
    content: bytes = _FORMS[type(document)].write(document)
    return content


def _signed_content(document: Document) -> bytes:
    return _FORMS[type(document)].context + _payload(document)
