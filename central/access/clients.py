"""Programs that call from outside: made by a command, known by a secret of which a hash is kept.

A program is the service behind the customers' app or a partner's. Its scopes bound what its tokens
may say. A secret is shown once; while a new one is brought out, the one before lives on.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, ConflictError, ForbiddenError, NotFoundError
from central.programmes.registry import DEFAULT, require_programme
from central.staff.audit import note
from central.system import System

_SQL = load_queries("central.access", "clients.sql")

Kind = Literal["app", "partner"]

READ: Final = "account:read"
ACTIVATE: Final = "offers:activate"
SHOW_CODE: Final = "code:show"
CARRY: Final = "points:carry"
ACCRUE: Final = "points:accrue"
REVERSE: Final = "points:reverse"
STATEMENT: Final = "statement:read"

SCOPES: Final[dict[Kind, tuple[str, ...]]] = {
    "app": (READ, ACTIVATE, SHOW_CODE, CARRY),
    "partner": (ACCRUE, REVERSE, STATEMENT),
}
"""All there are; what a client has of them is chosen when it is made."""

ROTATION_HOURS: Final = 24
_SECRET_BYTES: Final = 32
_HOUR_MS: Final = 3_600_000
_TITLE_CHARACTERS_MAX: Final = 200
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Client:
    """A program that has shown its secret.

    Attributes:
        programme: whose wallets its customers are known by.
    """

    client_id: str
    kind: Kind
    scopes: frozenset[str]
    programme: str = DEFAULT


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A program as listed.

    Attributes:
        secrets: how many count now; two while a new one is brought out.
    """

    client_id: str
    title: str
    programme: str
    scopes: tuple[str, ...]
    disabled: bool
    secrets: int
    made_at_ms: int


def _hash(client_id: str, secret: str) -> bytes:
    return hashlib.sha256(f"tillside-client/1\n{client_id}\n{secret}".encode()).digest()


async def add_client(
    connection: Connection,
    client_id: str,
    kind: Kind,
    *,
    title: str = "",
    programme: str = DEFAULT,
    scopes: Iterable[str] = (),
    by: str,
    system: System,
) -> str:
    """Add a program and return its secret, which is shown once.

    Args:
        programme: whose wallets its customers are known by.
        scopes: what its tokens may say; none = everything its kind can.
        by: name of who adds, for the audit.

    Raises:
        BadRequestError: the name is no name, or a scope is none of its kind.
        ConflictError: the name is taken.
        NotFoundError: there is no such programme.
    """
    if not _NAME.fullmatch(client_id):
        raise BadRequestError("name", "a name is lower case letters, digits and . _ -, at most 64")
    if len(title) > _TITLE_CHARACTERS_MAX:
        raise BadRequestError("title", f"a title has at most {_TITLE_CHARACTERS_MAX} characters")
    wanted = sorted(set(scopes) or SCOPES[kind])
    if strange := set(wanted) - set(SCOPES[kind]):
        raise BadRequestError("scopes", f"{min(strange)!r} is none of: {', '.join(SCOPES[kind])}")
    secret, now_ms = system.random_bytes(_SECRET_BYTES).hex(), system.now_ms()
    async with connection.transaction():
        await require_programme(connection, programme)
        made = await connection.fetchval(
            _SQL["insert_client"], client_id, kind, title, wanted, now_ms, programme
        )
        if made is None:
            raise ConflictError(f"there is a client {client_id!r} already")
        await connection.execute(_SQL["insert_secret"], client_id, _hash(client_id, secret), now_ms)
        await note(
            connection, person=by, action=f"{kind}.add", subject=f"client:{client_id}",
            detail={"title": title, "programme": programme, "scopes": wanted}, now_ms=now_ms,
        )  # fmt: skip
    return secret


async def rotate_secret(
    connection: Connection,
    client_id: str,
    kind: Kind,
    *,
    keep_hours: int = ROTATION_HOURS,
    by: str,
    system: System,
) -> str:
    """Give a program a further secret and return it; the one before ends `keep_hours` later.

    Raises:
        NotFoundError: there is no such program of this kind.
        ForbiddenError: it was revoked.
    """
    secret, now_ms = system.random_bytes(_SECRET_BYTES).hex(), system.now_ms()
    async with connection.transaction():
        await _lock(connection, client_id, kind)
        await connection.execute(_SQL["drop_secrets"], client_id, now_ms)
        ends_at_ms = now_ms + keep_hours * _HOUR_MS
        await connection.execute(_SQL["end_secrets"], client_id, ends_at_ms)
        await connection.execute(_SQL["insert_secret"], client_id, _hash(client_id, secret), now_ms)
        await note(
            connection, person=by, action=f"{kind}.rotate", subject=f"client:{client_id}",
            detail={"keep_hours": keep_hours}, now_ms=now_ms,
        )  # fmt: skip
    return secret


async def revoke_client(
    connection: Connection, client_id: str, kind: Kind, *, by: str, system: System
) -> None:
    """Let a program in no more, nor anybody signed in by it, from the next call on.

    Raises:
        NotFoundError: there is no such program of this kind.
        ForbiddenError: it was revoked before.
    """
    async with connection.transaction():
        await _lock(connection, client_id, kind)
        await connection.execute(_SQL["disable"], client_id)
        await note(
            connection, person=by, action=f"{kind}.revoke", subject=f"client:{client_id}",
            detail={}, now_ms=system.now_ms(),
        )  # fmt: skip


async def _lock(connection: Connection, client_id: str, kind: Kind) -> None:
    row = await connection.fetchrow(_SQL["lock_client"], client_id)
    if row is None or row["kind"] != kind:
        raise NotFoundError(f"there is no {kind} {client_id!r}")
    if row["disabled"]:
        raise ForbiddenError(f"{client_id} was revoked; add another one")


async def find_client(pool: Pool, client_id: str, secret: str, *, now_ms: int) -> Client | None:
    """Return the program whose secret this is."""
    row = await pool.fetchrow(_SQL["client_of_secret"], client_id, _hash(client_id, secret), now_ms)
    if row is None:
        return None
    return Client(row["client_id"], row["kind"], frozenset(row["scopes"]), row["programme"])


async def programme_of(pool: Pool, client_id: str) -> str | None:
    """Return whose wallets a program's customers are known by; None where it was revoked."""
    programme: str | None = await pool.fetchval(_SQL["programme_of"], client_id)
    return programme


async def require_client(connection: Connection, client_id: str, kind: Kind) -> None:
    """Refuse a name no program of a kind has; one that was revoked is still known.

    Raises:
        NotFoundError: there is no such program of this kind.
    """
    rows = await connection.fetch(_SQL["clients"], kind, 0)
    if client_id not in (row["client_id"] for row in rows):
        raise NotFoundError(f"there is no {kind} {client_id!r}; {kind}s list shows them")


async def list_clients(connection: Connection, kind: Kind, *, now_ms: int) -> list[ClientRow]:
    """Return all programs of a kind, by name."""
    rows = await connection.fetch(_SQL["clients"], kind, now_ms)
    return [
        ClientRow(
            row["client_id"], row["title"], row["programme"], tuple(row["scopes"]), row["disabled"],
            0 if row["disabled"] else row["secrets"], row["made_at_ms"],
        )
        for row in rows
    ]  # fmt: skip
