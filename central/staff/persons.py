"""Persons with roles; each has a personal token, of which only a hash is kept.

A role is a word that a call asks for; `central.staff.roles` names them all.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import AuthenticationError, BadRequestError, ForbiddenError, NotFoundError
from central.staff.audit import note
from central.staff.roles import require_roles
from central.system import System

_SQL = load_queries("central.staff", "queries.sql")

AUTHOR: Final = "author"
"""Writes drafts of rules."""
APPROVER: Final = "approver"
"""Approves drafts of others, and moves releases to rings, halts and resumes them."""

COMMAND_LINE: Final = "command line"
"""Who did it where somebody at the centre's machine did, under no name."""

_NAME_CHARACTERS_MAX: Final = 64
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has shown a token."""

    person_id: int
    name: str
    roles: frozenset[str]

    def require(self, role: str) -> None:
        """Refuse who does not have a role.

        Raises:
            ForbiddenError: the person does not have it.
        """
        if role not in self.roles:
            raise ForbiddenError(f"{self.name} is no {role}; ask for the role {role}")


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person as listed."""

    name: str
    roles: tuple[str, ...]
    disabled: bool


def _hash(token: str) -> bytes:
    return hashlib.sha256(b"tillside-person/1" + token.strip().encode()).digest()


async def find_person(connection: Connection | Pool, token: str) -> Person:
    """Return whose token this is.

    Raises:
        AuthenticationError: nobody's.
    """
    row = (
        await connection.fetchrow(_SQL["person_of_token"], _hash(token)) if token.strip() else None
    )
    if row is None:
        raise AuthenticationError("this is no person's token; ask for one: tillside-central person")
    return Person(row["person_id"], row["name"], frozenset(row["roles"]))


async def are_there_people(connection: Connection) -> bool:
    """Say whether anybody is known by name; from then on nothing is published by nobody."""
    return bool(await connection.fetchval(_SQL["any_person"]))


async def add_person(
    connection: Connection, name: str, roles: Iterable[str], *, by: str, system: System
) -> str:
    """Add a person and return the token, which is shown once.

    Args:
        by: name of who adds, for the audit.

    Raises:
        BadRequestError: the name is taken, or is no name; or there is no such role.
    """
    roles = list(roles)
    require_roles(roles)
    if not 0 < len(name) <= _NAME_CHARACTERS_MAX or not name.isascii() or name != name.lower():
        raise BadRequestError("name", "a name is lower case letters, digits and . _ @ -")
    token, wanted = system.random_bytes(_TOKEN_BYTES).hex(), sorted(set(roles))
    now_ms = system.now_ms()
    async with connection.transaction():
        made = await connection.fetchval(_SQL["insert_person"], name, wanted, _hash(token), now_ms)
        if made is None:
            raise BadRequestError("name", f"there is a person {name!r} already")
        await note(
            connection, person=by, action="person.add", subject=f"person:{name}",
            detail={"roles": wanted}, now_ms=now_ms,
        )  # fmt: skip
    return token


async def renew_token(connection: Connection, name: str, *, by: str, system: System) -> str:
    """Give a person another token; the one before is worth nothing any more.

    Raises:
        NotFoundError: there is no such person.
    """
    token = system.random_bytes(_TOKEN_BYTES).hex()
    async with connection.transaction():
        if await connection.fetchval(_SQL["change_token"], name, _hash(token)) is None:
            raise NotFoundError(f"there is no person {name!r}")
        await note(
            connection, person=by, action="person.token", subject=f"person:{name}",
            detail={}, now_ms=system.now_ms(),
        )  # fmt: skip
    return token


async def give_roles(
    connection: Connection, name: str, roles: Iterable[str], *, by: str, system: System
) -> None:
    """Give a person these roles in place of those before.

    Raises:
        NotFoundError: there is no such person.
        BadRequestError: there is no such role.
    """
    wanted = sorted(set(roles))
    require_roles(wanted)
    async with connection.transaction():
        if await connection.fetchval(_SQL["change_roles"], name, wanted) is None:
            raise NotFoundError(f"there is no person {name!r}")
        await note(
            connection, person=by, action="person.roles", subject=f"person:{name}",
            detail={"roles": wanted}, now_ms=system.now_ms(),
        )  # fmt: skip


async def disable_person(connection: Connection, name: str, *, by: str, system: System) -> None:
    """Let a person in no more; what he did stays.

    Raises:
        NotFoundError: there is no such person.
    """
    async with connection.transaction():
        if await connection.fetchval(_SQL["disable"], name) is None:
            raise NotFoundError(f"there is no person {name!r}")
        await note(
            connection, person=by, action="person.disable", subject=f"person:{name}",
            detail={}, now_ms=system.now_ms(),
        )  # fmt: skip


async def list_people(connection: Connection) -> tuple[PersonRow, ...]:
    """Return everybody, by name."""
    rows = await connection.fetch(_SQL["people"])
    return tuple(PersonRow(row["name"], tuple(row["roles"]), row["disabled"]) for row in rows)
