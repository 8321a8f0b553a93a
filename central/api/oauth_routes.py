"""The token end point (RFC 6749): client credentials, refresh tokens, and their revocation.

Refusals have the bodies of RFC 6749, 5.2. With client credentials a partner gets a token for
itself, the service behind the app one for the customer it names by `card`, which it vouches for.
"""

import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.access.clients import Client, find_client
from central.access.sessions import GrantError, SignedIn, refresh, sign_in, sign_out
from central.access.tokens import ACCESS_S, Claims, make_token
from central.api.problems import NAMED, problem_response
from central.api.secret_tries import SecretTries
from central.api.till_routes import read_body
from central.api.traffic import PROVEN, address_of
from central.database.pool import Pool
from central.keys import CentreKeys
from central.system import System
from sync.errors import MalformedMessageError
from sync.signing import SigningKey, card_hash

PATH_TOKEN: Final = "/v1/oauth/token"  # noqa: S105 - a path
PATH_REVOKE: Final = "/v1/oauth/revoke"
FORM: Final = "application/x-www-form-urlencoded"

_BODY_BYTES_MAX: Final = 16_384
_FIELDS_MAX: Final = 20
_CARD_CHARACTERS_MAX: Final = 64
_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}

Form = Mapping[str, str]

OauthError = Literal[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
]


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens.

    Attributes:
        expires_in: of the access token, seconds.
        refresh_token: for the next ones; of customers' sessions alone.
    """

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - its kind
    expires_in: int
    scope: str
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class OauthRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal (RFC 6749, 5.2)."""

    error: OauthError
    error_description: str


class Nothing(msgspec.Struct, frozen=True):
    """It is done."""


_Call = Callable[[Client, Form], Awaitable[msgspec.Struct]]


class _RefusedError(Exception):
    """What is asked for is not given."""

    def __init__(self, error: OauthError, says: str) -> None:
        super().__init__(says)
        self.error = error


@dataclass(frozen=True, slots=True)
class OauthRoutes:
    """Routes of `/v1/oauth/`."""

    pool: Pool
    keys: CentreKeys
    token_key: SigningKey
    system: System
    secrets: SecretTries = field(default_factory=SecretTries)

    def routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route(PATH_TOKEN, self._endpoint(self._give), methods=["POST"]),
            Route(PATH_REVOKE, self._endpoint(self._revoke), methods=["POST"]),
        ]

    def _endpoint(self, call: _Call) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                form = await _form(request)
                found = await call(await self._client(request, form), form)
            except (_RefusedError, GrantError) as error:
                return _refused(error)
            except NAMED as error:
                return problem_response(error)
            return Response(msgspec.json.encode(found), 200, _NO_STORE, "application/json")

        return endpoint

    async def _give(self, client: Client, form: Form) -> TokenAnswer:
        match form.get("grant_type", ""):
            case "client_credentials":
                return await self._by_credentials(client, form)
            case "refresh_token":
                return await self._by_refresh(client, form)
            case "":
                raise _RefusedError("invalid_request", "grant_type is missing")
        raise _RefusedError(
            "unsupported_grant_type", "client_credentials and refresh_token are known"
        )

    async def _revoke(self, client: Client, form: Form) -> Nothing:
        """End the session of a refresh token; of one that is none nothing is to be ended."""
        if "token" not in form:
            raise _RefusedError("invalid_request", "token is missing")
        await sign_out(self.pool, client, form["token"])
        return Nothing()

    async def _client(self, request: Request, form: Form) -> Client:
        """Return who calls, by HTTP Basic or by fields of the form, never by both.

        Raises:
            TooManyRequestsError: too many secrets were tried for this name from there.
        """
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            if "client_secret" in form:
                raise _RefusedError("invalid_request", "prove yourself in one way alone")
            client_id, secret = _basic(given.strip())
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        client = None
        if client_id and secret and "\0" not in client_id:
            came_from = address_of(request.scope)
            at_ms = self.system.monotonic_ms()
            self.secrets.try_one(client_id, secret, came_from, now_ms=at_ms)
            client = await find_client(self.pool, client_id, secret, now_ms=self.system.now_ms())
            self.secrets.note(client_id, secret, is_right=client is not None)
        if client is None:
            raise _RefusedError("invalid_client", "no client has this name and secret")
        request.scope[PROVEN] = True
        return client

    async def _by_credentials(self, client: Client, form: Form) -> TokenAnswer:
        scopes = _scopes(form)
        scopes = client.scopes if scopes is None else scopes
        if not scopes <= client.scopes:
            raise _RefusedError("invalid_scope", f"known: {' '.join(sorted(client.scopes))}")
        if client.kind == "partner":
            return self._answer(SignedIn(Claims(client_id=client.client_id, scopes=scopes), ""))
        card = form.get("card", "").strip()
        if not card or len(card) > _CARD_CHARACTERS_MAX:
            raise _RefusedError("invalid_request", "say whose token it is to be: card=NUMBER")
        hashed = card_hash(self.keys.card_key, card)
        return self._answer(await sign_in(self.pool, client, hashed, scopes, self.system))

    async def _by_refresh(self, client: Client, form: Form) -> TokenAnswer:
        token = form.get("refresh_token", "")
        if not token:
            raise _RefusedError("invalid_request", "refresh_token is missing")
        scopes, now_ms = _scopes(form), self.system.now_ms()
        return self._answer(
            await refresh(self.pool, client, token, scopes, key=self.token_key, now_ms=now_ms)
        )

    def _answer(self, signed_in: SignedIn) -> TokenAnswer:
        token = make_token(
            signed_in.claims,
            self.token_key,
            now_ms=self.system.now_ms(),
            token_id=str(self.system.new_uuid7()),
        )
        return TokenAnswer(
            access_token=token,
            expires_in=ACCESS_S,
            scope=" ".join(sorted(signed_in.claims.scopes)),
            refresh_token=signed_in.refresh_token or msgspec.UNSET,
        )


async def _form(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise _RefusedError("invalid_request", f"send a body of {FORM}")
    try:
        body = await read_body(request, bytes_max=_BODY_BYTES_MAX)
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except (ValueError, MalformedMessageError) as error:
        raise _RefusedError("invalid_request", "the form cannot be read") from error
    form = dict(fields)
    if len(form) != len(fields):
        raise _RefusedError("invalid_request", "a field stands in the form twice")
    return form


def _basic(given: str) -> tuple[str, str]:
    """Return name and secret, each form-encoded before they were joined (RFC 6749, 2.3.1)."""
    try:
        text = base64.b64decode(given, validate=True).decode()
    except ValueError:
        return "", ""
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def _scopes(form: Form) -> frozenset[str] | None:
    if "scope" not in form:
        return None
    scopes = frozenset(form["scope"].split())
    if not scopes:
        raise _RefusedError("invalid_scope", "leave scope out, or name one")
    return scopes


def _refused(error: _RefusedError | GrantError) -> Response:
    name: OauthError = error.error if isinstance(error, _RefusedError) else "invalid_grant"
    body = OauthRefusal(error=name, error_description=str(error))
    headers = dict(_NO_STORE)
    status = 400
    if name == "invalid_client":
        status = 401
        headers["www-authenticate"] = 'Basic realm="tillside"'
    return Response(msgspec.json.encode(body), status, headers, "application/json")
