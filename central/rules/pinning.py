"""Pins: one release for a till or a store, whatever rings say."""

from dataclasses import dataclass
from typing import Literal

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError, NotFoundError
from central.programmes.registry import called, programme_of_store
from central.rules.releases import authorise, find_release
from central.staff.audit import note
from central.staff.persons import APPROVER, Person
from central.system import System

_SQL = load_queries("central.rules", "queries.sql")

Scope = Literal["till", "store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A till or store that gets one release, whatever rings say."""

    scope: Scope
    name: str
    release: int
    pinned_by: str
    pinned_at_ms: int


async def pin(
    connection: Connection, scope: Scope, name: str, version: int, *, by: Person | None,
    system: System,
) -> None:  # fmt: skip
    """Give a till or a store one release, whatever rings say; a till's own pin goes first.

    Raises:
        BadRequestError: the release is another programme's.
        ForbiddenError: the person is no approver.
        NotFoundError: there is no such release.
    """
    who = await authorise(connection, by, APPROVER)
    release = await find_release(connection, version)
    if scope == "store":
        whose = await programme_of_store(connection, name)
    else:
        till_id = int(name) if name.isdecimal() else 0
        whose = await connection.fetchval(_SQL["programme_of_till"], till_id)
    if whose not in (None, release.programme):
        raise BadRequestError("release", f"{version} is for {called(release.programme)}")
    async with connection.transaction():
        await connection.execute(_SQL["put_pin"], scope, name, version, who, system.now_ms())
        await note(
            connection, person=who, action="rules.pin", subject=f"{scope}:{name}",
            detail={"release": version}, now_ms=system.now_ms(),
        )  # fmt: skip


async def unpin(
    connection: Connection, scope: Scope, name: str, *, by: Person | None, system: System
) -> None:
    """Let a till or a store follow its rings again.

    Raises:
        ForbiddenError: the person is no approver.
        NotFoundError: it is not pinned.
    """
    who = await authorise(connection, by, APPROVER)
    async with connection.transaction():
        version = await connection.fetchval(_SQL["delete_pin"], scope, name)
        if version is None:
            raise NotFoundError(f"{scope} {name} is not pinned")
        await note(
            connection, person=who, action="rules.unpin", subject=f"{scope}:{name}",
            detail={"release": version}, now_ms=system.now_ms(),
        )  # fmt: skip


async def list_pins(connection: Connection) -> tuple[Pin, ...]:
    """Return every pin."""
    return tuple(
        Pin(
            scope=row["scope"],
            name=row["name"],
            release=row["release"],
            pinned_by=row["pinned_by"],
            pinned_at_ms=row["pinned_at_ms"],
        )
        for row in await connection.fetch(_SQL["pins"])
    )
