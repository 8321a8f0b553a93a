"""Pins: one release for a till or a store, whatever rings say."""

from dataclasses import dataclass
from typing import Literal

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError, NotFoundError
from central.programmes.registry import called, programme_of_store
from central.rules.releases import authorise, find_release
from central.rules.rings import till_number
from central.rules.unable import Unable, find_unable
from central.rules.ways import read_ways
from central.staff.audit import note
from central.staff.persons import APPROVER, Person
from central.system import System

_SQL = load_queries("central.rules", "queries.sql")

Scope = Literal["till", "store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A till or store that gets one release, whatever rings say.

    Attributes:
        counts: not while the release is halted or withdrawn; the rings say then.
    """

    scope: Scope
    name: str
    release: int
    pinned_by: str
    pinned_at_ms: int
    counts: bool


async def pin(
    connection: Connection, scope: Scope, name: str, version: int, *, by: Person | None,
    system: System,
) -> tuple[Unable, ...]:  # fmt: skip
    """Give a till or a store one release, whatever rings say; a till's own pin goes first.

    Returns:
        Those of its tills that cannot take it.

    Raises:
        BadRequestError: the release is halted, withdrawn or another programme's.
        ForbiddenError: the person is no approver.
        NotFoundError: there is no such release, store or till.
    """
    who = await authorise(connection, by, APPROVER)
    release = await find_release(connection, version)
    if release.state != "open":
        raise BadRequestError("release", f"{version} is {release.state}: {release.why}")
    if scope == "store":
        whose = await programme_of_store(connection, name)
    else:
        whose = await connection.fetchval(_SQL["programme_of_till"], till_number(name))
    if whose is None:
        raise NotFoundError(f"there is no {scope} {name}")
    if whose != release.programme:
        raise BadRequestError("release", f"{version} is for {called(release.programme)}")
    async with connection.transaction():
        await connection.execute(_SQL["put_pin"], scope, name, version, who, system.now_ms())
        await note(
            connection, person=who, action="rules.pin", subject=f"{scope}:{name}",
            detail={"release": version}, now_ms=system.now_ms(),
        )  # fmt: skip
    return await find_unable(connection, version, now_ms=system.now_ms(), scope=(scope, name))


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
        version = await connection.fetchval(_SQL["delete_pin"], scope, name, system.now_ms())
        if version is None:
            raise NotFoundError(f"{scope} {name} is not pinned")
        await note(
            connection, person=who, action="rules.unpin", subject=f"{scope}:{name}",
            detail={"release": version}, now_ms=system.now_ms(),
        )  # fmt: skip


async def list_pins(connection: Connection) -> tuple[Pin, ...]:
    """Return every pin."""
    counting = (await read_ways(connection)).pins
    return tuple(
        Pin(
            scope=row["scope"],
            name=row["name"],
            release=row["release"],
            pinned_by=row["pinned_by"],
            pinned_at_ms=row["pinned_at_ms"],
            counts=(row["scope"], row["name"]) in counting,
        )
        for row in await connection.fetch(_SQL["pins"])
    )
