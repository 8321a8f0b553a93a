"""Customers who are signed in: by a program that vouches for them once, then by tokens.

A session is of one account. Its refresh token is used once and gives the next one; used again later
it ends the session, because then two have it (RFC 9700, 4.14). What was lost on its way back may be
asked for again at once, and is the same: each token is made of the one before.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

import structlog

from central.access.clients import Client
from central.access.tokens import Claims
from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import AuthenticationError
from central.ledger.books import lock_account
from central.system import System
from sync.limits import COUNT_MAX
from sync.signing import SigningKey

log = structlog.get_logger()

_SQL = load_queries("central.access", "sessions.sql")

SESSION_DAYS: Final = 60
"""A session nobody refreshes for so long is over."""
REPEAT_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_ID_BYTES: Final = 16
_SECRET_BYTES: Final = 32
_TOKEN_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session as it is given out."""

    claims: Claims
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Customer:
    """Who calls.

    Attributes:
        account_id: as it is now: of an account that was merged the other one.
        card: keyed hash of a card of the account; empty where it has none.
        programme: whose wallet the account is; empty = the default one's.
    """

    account_id: int
    card: bytes
    blocked: bool
    programme: str = ""


class GrantError(Exception):
    """There is nothing to be had for what was shown (`invalid_grant`)."""


def _hash(secret: str) -> bytes:
    return hashlib.sha256(b"tillside-refresh/1\n" + secret.encode()).digest()


def _next(secret: str, session_id: str, key: SigningKey) -> str:
    """Return the secret that follows one: nobody without the key can know it."""
    return hashlib.blake2b(
        f"{session_id}.{secret}".encode(),
        key=key.seed(),
        digest_size=_SECRET_BYTES,
        person=b"tillside-refresh",
    ).hexdigest()


async def sign_in(
    pool: Pool, client: Client, card: bytes, scopes: frozenset[str], system: System
) -> SignedIn:
    """Begin a session of the customer with this card, on the wallet of the client's programme.

    Args:
        card: keyed hash.

    Raises:
        GrantError: nobody is known by the card there.
    """
    now_ms = system.now_ms()
    session_id = system.random_bytes(_ID_BYTES).hex()
    secret = system.random_bytes(_SECRET_BYTES).hex()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_SQL["forget_over"], now_ms)
        account_id = await _lock_owner(connection, card, client.programme)
        await connection.execute(
            _SQL["insert_session"], account_id, session_id, client.client_id, card,
            sorted(scopes), _hash(secret), now_ms, now_ms + SESSION_DAYS * _DAY_MS,
        )  # fmt: skip
    return _signed_in(client, scopes, account_id, session_id, secret)


async def _lock_owner(connection: Connection, card: bytes, programme: str) -> int:
    """Lock the account a card leads to: who takes the card from it next ends the session, too."""
    which = (card, programme)
    found = await connection.fetchval(_SQL["account_of_card"], *which)
    while found is not None:
        account, before = await lock_account(connection, found), found
        found = await connection.fetchval(_SQL["account_of_card"], *which)
        if found == before:
            return account.account_id
    raise GrantError("nobody is known by this card")


async def refresh(
    pool: Pool,
    client: Client,
    token: str,
    scopes: frozenset[str] | None,
    *,
    key: SigningKey,
    now_ms: int,
) -> SignedIn:
    """Go on with a session; the token shown is used up.

    Args:
        scopes: of the next access token; None = those of the session.
        key: of tokens.

    Raises:
        GrantError: the token is none of this client's, is over, or was used before.
    """
    account_id, session_id, shown = _parts(token)
    secret = _next(shown, session_id, key)
    async with pool.acquire() as connection:
        async with connection.transaction():
            row = await connection.fetchrow(_SQL["lock_session"], account_id, session_id)
            if row is None or row["ended"] or row["client_id"] != client.client_id:
                raise GrantError("this refresh token is over; sign the customer in again")
            if row["ends_at_ms"] <= now_ms:
                raise GrantError("this refresh token is over; sign the customer in again")
            known = frozenset(row["scopes"]) & client.scopes
            given = known if scopes is None else scopes
            if not given <= known:
                raise GrantError("the session has fewer scopes")
            is_current = hmac.compare_digest(_hash(shown), row["refresh_hash"])
            is_repeat = (
                hmac.compare_digest(_hash(shown), row["previous_hash"])
                and now_ms - row["refreshed_at_ms"] <= REPEAT_MS
            )
            if is_current:
                await connection.execute(
                    _SQL["refresh"], account_id, session_id, _hash(secret), _hash(shown), now_ms,
                    now_ms + SESSION_DAYS * _DAY_MS,
                )  # fmt: skip
            if is_current or is_repeat:
                return _signed_in(client, given, account_id, session_id, secret)
        # Outside the transaction above, which an error would undo.
        log.warning("refresh_token_reused", client=client.client_id, session=session_id)
        await connection.execute(_SQL["end_session"], account_id, session_id)
    raise GrantError("this refresh token was used before; the customer is signed out")


async def sign_out(pool: Pool, client: Client, token: str) -> None:
    """End the session a refresh token is of; one that is none, or another's, ends nothing."""
    try:
        account_id, session_id, shown = _parts(token)
    except GrantError:
        return
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_SQL["lock_session"], account_id, session_id)
        known = (row["refresh_hash"], row["previous_hash"]) if row else ()
        if row is not None and row["client_id"] == client.client_id and _hash(shown) in known:
            await connection.execute(_SQL["end_session"], account_id, session_id)


async def find_customer(pool: Pool, claims: Claims, *, now_ms: int) -> Customer:
    """Return the customer a token speaks for, as long as the session and its program stand.

    Raises:
        AuthenticationError: the customer was signed out, or the program revoked.
    """
    row = await pool.fetchrow(
        _SQL["session"], claims.account_id, claims.session_id, claims.client_id, now_ms
    )
    if row is None:
        raise AuthenticationError("the customer is signed out; sign in again")
    row = await pool.fetchrow(_SQL["customer"], row["account_id"], row["card"])
    assert row is not None
    return Customer(row["account_id"], bytes(row["card"]), row["blocked"], row["programme"])


def _signed_in(
    client: Client, scopes: frozenset[str], account_id: int, session_id: str, secret: str
) -> SignedIn:
    claims = Claims(
        client_id=client.client_id, scopes=scopes, account_id=account_id, session_id=session_id
    )
    return SignedIn(claims, f"{account_id}.{session_id}.{secret}")


def _parts(token: str) -> tuple[int, str, str]:
    number, _, rest = token.partition(".")
    session_id, dot, secret = rest.partition(".")
    digits_max = len(str(COUNT_MAX))
    if len(token) > _TOKEN_CHARACTERS_MAX or not (number.isascii() and number.isdecimal() and dot):
        raise GrantError("this is no refresh token")
    if len(number) > digits_max or int(number) > COUNT_MAX or "\0" in session_id:
        raise GrantError("this is no refresh token")
    return int(number), session_id, secret
