"""Who a request says it is from: four headers, or the short one in their place."""

from dataclasses import dataclass

from starlette.datastructures import Headers

from central.errors import AuthenticationError
from central.tills.desk import SessionUnknownError
from sync.short_header import HEADER_SHORT, TAG_BYTES, read_short
from sync.signing import HEADER_NONCE, HEADER_SESSION, HEADER_SIGNATURE, HEADER_TILL, NO_SESSION

_TILL_ID_MAX = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is said, and not proven yet.

    Attributes:
        till_id: of a till there may be.
        session: all of it, or its beginning only.
        is_short: the answer may be as short.
    """

    till_id: int
    nonce: bytes
    session: bytes
    signature: bytes
    is_short: bool

    def session_of(self, live: bytes) -> bytes:
        """Return the session that was signed.

        Args:
            live: the session of the till that is named.

        Raises:
            SessionUnknownError: only a beginning is said, and it is not the live one's.
        """
        if not self.is_short:
            return self.session
        if self.session == NO_SESSION[:TAG_BYTES]:
            return NO_SESSION
        if live[:TAG_BYTES] != self.session:
            raise SessionUnknownError
        return live


def nonce_of(headers: Headers) -> bytes:
    """Return what an answer has to be signed with, refusals too.

    Raises:
        AuthenticationError: the header is missing or wrong.
        MalformedMessageError: the short one is.
    """
    if text := headers.get(HEADER_SHORT):
        return read_short(text).nonce
    return _hex(headers, HEADER_NONCE, 16)


def claim_of(headers: Headers) -> Claim:
    """Return who a request says it is from.

    Raises:
        AuthenticationError: a header is missing or wrong.
        MalformedMessageError: the short one is.
    """
    if text := headers.get(HEADER_SHORT):
        said = read_short(text)
        till_id, nonce, session, signature = said.till_id, said.nonce, said.tag, said.signature
    else:
        nonce = _hex(headers, HEADER_NONCE, 16)
        till_id = _till_id(headers)
        session = _hex(headers, HEADER_SESSION, 16)
        signature = _hex(headers, HEADER_SIGNATURE, 64)
    if not 0 < till_id < _TILL_ID_MAX:
        raise AuthenticationError("there is no such till; enrol it")
    return Claim(
        till_id=till_id, nonce=nonce, session=session, signature=signature, is_short=bool(text)
    )


def _till_id(headers: Headers) -> int:
    try:
        return int(headers[HEADER_TILL])
    except (KeyError, ValueError) as error:
        raise AuthenticationError(f"the header {HEADER_TILL} is missing or no number") from error


def _hex(headers: Headers, name: str, size_bytes: int) -> bytes:
    try:
        value = bytes.fromhex(headers[name])
    except (KeyError, ValueError) as error:
        raise AuthenticationError(f"the header {name} is missing or not hexadecimal") from error
    if len(value) != size_bytes:
        raise AuthenticationError(f"the header {name} must have {size_bytes} bytes")
    return value
