"""One short header in place of four, for what tills say most (`docs/wire-protocol.md`).

Bytes in base64: nonce, beginning of the session, signature, till id without leading zeros. What is
signed is the same as with long headers: the centre knows the session's other bytes.
"""

from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from sync.errors import MalformedMessageError

HEADER_SHORT: Final = "tillside"
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 4
"""Of the session: tells the live one from others; the signature proves it."""
_SIGNATURE_BYTES: Final = 64
_TILL_BYTES_MAX: Final = 8
_BEFORE_TILL: Final = NONCE_BYTES + TAG_BYTES + _SIGNATURE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortHeader:
    """What a short header says; `tag` is the beginning of the session."""

    till_id: int
    nonce: bytes
    tag: bytes
    signature: bytes


def write_short(header: ShortHeader) -> str:
    """Return a header's text."""
    till = header.till_id.to_bytes((header.till_id.bit_length() + 7) // 8, "big")
    return _text(header.nonce + header.tag + header.signature + till)


def read_short(text: str) -> ShortHeader:
    """Read a header's text.

    Raises:
        MalformedMessageError: it is none.
    """
    said = _bytes(text)
    if not 0 < len(said) - _BEFORE_TILL <= _TILL_BYTES_MAX:
        raise MalformedMessageError(f"the header {HEADER_SHORT} has not the bytes it should")
    return ShortHeader(
        till_id=int.from_bytes(said[_BEFORE_TILL:], "big"),
        nonce=said[:NONCE_BYTES],
        tag=said[NONCE_BYTES : NONCE_BYTES + TAG_BYTES],
        signature=said[NONCE_BYTES + TAG_BYTES : _BEFORE_TILL],
    )


def write_signature(signature: bytes) -> str:
    """Return the text of an answer's signature."""
    return _text(signature)


def read_signature(text: str) -> bytes:
    """Read an answer's signature.

    Raises:
        MalformedMessageError: it is none.
    """
    signature = _bytes(text)
    if len(signature) != _SIGNATURE_BYTES:
        raise MalformedMessageError(f"the header {HEADER_SHORT} of an answer is no signature")
    return signature


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise MalformedMessageError(f"the header {HEADER_SHORT} is not base64: {error}") from error
