"""One short header in place of four, for what tills say most (`docs/wire-protocol.md`).

Bytes in base64: nonce, beginning of the session, signature, till id without leading zeros. What is
signed is the same as with long headers: the centre knows the session's other bytes. In a session
that has a key (`sync.session_key`) a MAC stands where the signature would, told by the length.
"""

from base64 import urlsafe_b64encode
from binascii import a2b_base64
from dataclasses import dataclass
from typing import Final

from sync.errors import MalformedMessageError
from sync.session_key import MAC_BYTES

HEADER_SHORT: Final = "tillside"
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 4
"""Of the session: tells the live one from others; the signature proves it."""
_SIGNATURE_BYTES: Final = 64
_TILL_BYTES_MAX: Final = 8
_BEFORE_SIGNATURE: Final = NONCE_BYTES + TAG_BYTES
_PLAIN: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortHeader:
    """What a short header says.

    Attributes:
        tag: the beginning of the session.
        signature: 64 bytes, or the 16 of a MAC.
    """

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
    for signature_bytes in (MAC_BYTES, _SIGNATURE_BYTES):
        till_at = _BEFORE_SIGNATURE + signature_bytes
        if 0 < len(said) - till_at <= _TILL_BYTES_MAX:
            return ShortHeader(
                till_id=int.from_bytes(said[till_at:], "big"),
                nonce=said[:NONCE_BYTES],
                tag=said[NONCE_BYTES:_BEFORE_SIGNATURE],
                signature=said[_BEFORE_SIGNATURE:till_at],
            )
    raise MalformedMessageError(f"the header {HEADER_SHORT} has not the bytes it should")


def write_signature(signature: bytes) -> str:
    """Return the text of an answer's signature or MAC."""
    return _text(signature)


def read_signature(text: str) -> bytes:
    """Read an answer's signature or MAC.

    Raises:
        MalformedMessageError: it is none.
    """
    signature = _bytes(text)
    if len(signature) not in (MAC_BYTES, _SIGNATURE_BYTES):
        raise MalformedMessageError(f"the header {HEADER_SHORT} of an answer is no signature")
    return signature


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        plain = text.encode("ascii").translate(_PLAIN) + b"=" * (-len(text) % 4)
        return a2b_base64(plain, strict_mode=True)
    except ValueError as error:
        raise MalformedMessageError(f"the header {HEADER_SHORT} is not base64: {error}") from error
