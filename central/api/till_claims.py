"""Who a request says it is from: four headers, or the short one in their place."""

from collections.abc import Mapping
from dataclasses import dataclass

from central.errors import AuthenticationError
from central.tills.caller import SessionUnknownError
from sync.session_key import MAC_BYTES
from sync.short_header import TAG_BYTES, read_short
from sync.signing import HEADER_NONCE, HEADER_SESSION, HEADER_SIGNATURE, HEADER_TILL, NO_SESSION

_TILL_ID_MAX = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is said, and not proven yet.

    Attributes:
        till_id: maybe of none there can be.
        session: all of it, or its beginning only.
        signature: the till's, or a MAC under the session's key.
        is_short: the answer may be as short.
    """

    till_id: int
    nonce: bytes
    session: bytes
    signature: bytes
    is_short: bool

    @property
    def is_mac(self) -> bool:
        """Whether the session's key is to prove it; only a short header can say so."""
        return len(self.signature) == MAC_BYTES

    def require_possible(self) -> None:
        """Refuse a number no till can have.

        Raises:
            AuthenticationError: it is one.
        """
        if not 0 < self.till_id < _TILL_ID_MAX:
            raise AuthenticationError("there is no such till; enrol it")

    def session_of(self, live: bytes) -> bytes:
        """Return the session that was signed.

        Args:
            live: the session of the till that is named.

        Raises:
            SessionUnknownError: only a beginning is said, and it is not the live one's; or there is
                no session, and so no key of one.
        """
        if not self.is_short:
            return self.session
        if self.session == NO_SESSION[:TAG_BYTES] and not self.is_mac:
            return NO_SESSION
        if live[:TAG_BYTES] != self.session or live == NO_SESSION:
            raise SessionUnknownError
        return live


def nonce_of(headers: Mapping[str, str]) -> bytes:
    """Return what an answer to long headers has to be signed with, refusals too.

    Raises:
        AuthenticationError: the header is missing or wrong.
    """
    return _hex(headers, HEADER_NONCE, 16)


def short_claim(text: str) -> Claim:
    """Return who a short header says the request is from.

    Raises:
        MalformedMessageError: it is none.
    """
    said = read_short(text)
    return Claim(
        till_id=said.till_id, nonce=said.nonce, session=said.tag, signature=said.signature,
        is_short=True,
    )  # fmt: skip


def long_claim(headers: Mapping[str, str], nonce: bytes) -> Claim:
    """Return who long headers say the request is from.

    Raises:
        AuthenticationError: a header is missing or wrong.
    """
    return Claim(
        till_id=_till_id(headers),
        nonce=nonce,
        session=_hex(headers, HEADER_SESSION, 16),
        signature=_hex(headers, HEADER_SIGNATURE, 64),
        is_short=False,
    )


def _till_id(headers: Mapping[str, str]) -> int:
    try:
        return int(headers[HEADER_TILL])
    except (KeyError, ValueError) as error:
        raise AuthenticationError(f"the header {HEADER_TILL} is missing or no number") from error


def _hex(headers: Mapping[str, str], name: str, size_bytes: int) -> bytes:
    try:
        value = bytes.fromhex(headers[name])
    except (KeyError, ValueError) as error:
        raise AuthenticationError(f"the header {name} is missing or not hexadecimal") from error
    if len(value) != size_bytes:
        raise AuthenticationError(f"the header {name} must have {size_bytes} bytes")
    return value
