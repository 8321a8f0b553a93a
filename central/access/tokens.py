"""Access tokens: JSON Web Tokens for ten minutes, signed with Ed25519 (RFC 7519, 8037, 9068).

The centre alone makes and reads them, so the header is one constant: no other one is looked at.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from central.errors import AuthenticationError, ForbiddenError
from sync.errors import SignatureError
from sync.limits import COUNT_MAX
from sync.signing import SigningKey, check

ACCESS_S: Final = 600
_ISSUER: Final = "tillside"
_TOKEN_CHARACTERS_MAX: Final = 2_000


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


_HEADER: Final = _base64(b'{"alg":"EdDSA","typ":"at+jwt"}')


class _Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    iss: str
    sub: str
    client_id: str
    scope: str
    iat: int
    exp: int
    jti: str
    sid: str = ""
    account: Annotated[int, Meta(ge=0, le=COUNT_MAX)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says.

    Attributes:
        account_id: the customer who is signed in; 0 = the program calls for itself.
        session_id: what the customer is signed in by.
    """

    client_id: str
    scopes: frozenset[str]
    account_id: int = 0
    session_id: str = ""

    def require(self, scope: str) -> None:
        """Refuse what the token was not made for.

        Raises:
            ForbiddenError: the scope is not in it.
        """
        if scope not in self.scopes:
            raise ForbiddenError(f"this token is not for that: it lacks the scope {scope}")


def token_key(centre: SigningKey) -> SigningKey:
    """Return the key of tokens: made of the centre's, and good for nothing a till believes."""
    return SigningKey(
        hashlib.blake2b(key=centre.seed(), digest_size=32, person=b"tillside-tokens").digest()
    )


def make_token(claims: Claims, key: SigningKey, *, now_ms: int, token_id: str) -> str:
    """Return a token good for `ACCESS_S`."""
    now_s = now_ms // 1000
    content = _Content(
        iss=_ISSUER,
        sub=f"account:{claims.account_id}" if claims.account_id else f"client:{claims.client_id}",
        client_id=claims.client_id,
        scope=" ".join(sorted(claims.scopes)),
        iat=now_s,
        exp=now_s + ACCESS_S,
        jti=token_id,
        sid=claims.session_id,
        account=claims.account_id,
    )
    signed = f"{_HEADER}.{_base64(msgspec.json.encode(content))}"
    return f"{signed}.{_base64(key.sign(signed.encode('ascii')))}"


def read_token(token: str, public: bytes, *, now_ms: int) -> Claims:
    """Return what a token says.

    Raises:
        AuthenticationError: it is none of this centre, or its time is over.
    """
    signed, _, signature = token.rpartition(".")
    header, _, body = signed.partition(".")
    if header != _HEADER or len(token) > _TOKEN_CHARACTERS_MAX:
        raise AuthenticationError("send the header Authorization: Bearer TOKEN, of /v1/oauth/token")
    try:
        check(public, _bytes(signature), signed.encode("ascii"))
        content = msgspec.json.decode(_bytes(body), type=_Content)
    except (SignatureError, ValueError) as error:
        raise AuthenticationError("this is no token of this centre") from error
    if content.exp <= now_ms // 1000:
        raise AuthenticationError("this token is over; ask for another one")
    return Claims(
        client_id=content.client_id,
        scopes=frozenset(content.scope.split()),
        account_id=content.account,
        session_id=content.sid,
    )


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
