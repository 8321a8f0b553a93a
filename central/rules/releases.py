"""Releases: content for tills, moved from ring to ring; halted, resumed, taken back.

A till gets the newest open release of its programme of which one ring holds it. Taking a
release away sends its tills to the newest release that is left to them; the manifests for that
were signed with it (`central.rules.release_file`): no key is needed, and no version goes back.
"""

import asyncio
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import asyncpg
import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError, ForbiddenError, NotFoundError
from central.outreach import outbox
from central.outreach.events import RULES_KEY, Event, RulesReleased, RulesStateChanged
from central.programmes.registry import DEFAULT, called, programme_of_rules
from central.rules.deltas import insert_deltas, make_deltas
from central.rules.drafts import DraftRow, load_draft
from central.rules.guards import GUARD, GuardSettings
from central.rules.left_behind import NOBODY, LeftBehind, find_left_behind
from central.rules.moments import is_moment
from central.rules.publishing import base_hash, bundle_content, check_rules, day_of, pack_bundle
from central.rules.release_file import ReleaseFile, check_file, spare_manifests
from central.rules.rings import Ring, SomeStores
from central.rules.unable import Unable, find_unable
from central.rules.ways import read_ways, ring_of
from central.staff.audit import note
from central.staff.persons import APPROVER, COMMAND_LINE, Person, are_there_people
from central.system import System
from loyalty.bundle import Bundle
from sync.messages import Manifest

log = structlog.get_logger()
_SQL = load_queries("central.rules", "queries.sql")

State = Literal["open", "halted", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release as people see it.

    Attributes:
        draft: title of the draft it was made of; empty for a trial, or for content that went out
            before.
        state: `open`; `halted` by a guard or a person until somebody resumes it; `withdrawn` for
            good.
        why: of the last change of its state.
        tills: that have its content now, as they said last.
        programme: whose tills it is for; empty = the default one's.
        left_behind: tills that have its content though it was taken away, and that nothing signed
            can bring back; `remedy` says what does.
        unable: tills that should have it and cannot take it, where that was asked: when it is
            published, moved or resumed, and of one release.
    """

    version: int
    bundle: str
    kind: str
    draft: str
    author: str
    approver: str
    offers: int
    activate_at: str
    state: State
    why: str
    rings: tuple[str, ...]
    published_by: str
    published_at_ms: int
    changed_at_ms: int
    tills: int
    programme: str = DEFAULT
    left_behind: int = 0
    remedy: str = ""
    unable: tuple[Unable, ...] = ()


async def authorise(connection: Connection, by: Person | None, role: str) -> str:
    """Return the name of who does something.

    Raises:
        ForbiddenError: the person may not; or nobody is named though people are known here.
    """
    if by is not None:
        by.require(role)
        return by.name
    if await are_there_people(connection):
        raise ForbiddenError("say who you are: give a file with your token, --token-file FILE")
    return COMMAND_LINE


# Making


async def build_release(
    connection: Connection, title: str, *, activate_at: str, system: System
) -> ReleaseFile:
    """Return what is to be signed: a draft that is approved, or a release to go out again.

    Args:
        title: `summer@2` of a draft, or the version of a release, `12`.
        activate_at: local moment at each store, `YYYY-MM-DDTHH:MM:SS`; empty = at once.

    Raises:
        BadRequestError: the draft is not approved, or contradicts itself.
        NotFoundError: there is no such draft or release.
    """
    if activate_at and not is_moment(activate_at):
        raise BadRequestError("activate_at", "is a local time, YYYY-MM-DDTHH:MM:SS")
    version = await connection.fetchval(_SQL["version_used"]) + 1
    if title.isdecimal():
        again = await find_release(connection, int(title))
        spare = await _to_go_back_to(connection, again.programme, system.now_ms())
        content = await bundle_content(connection, again.bundle)
        assert content is not None
        before = await _manifest_of(connection, again.bundle)
        announced = msgspec.structs.replace(before, version=version, activate_at=activate_at)
        return ReleaseFile(
            kind="again", draft="", author=again.author, approver=again.approver, content=content,
            manifests=tuple(spare_manifests(announced, spare)),
        )  # fmt: skip
    draft = await load_draft(connection, title)
    _require_approval(draft)
    whose = await programme_of_rules(connection, draft.bundle.programme.programme_id)
    spare = await _to_go_back_to(connection, whose, system.now_ms())
    await asyncio.to_thread(check_rules, draft.bundle, day_of(system.now_ms()))
    packed = await asyncio.to_thread(
        pack_bundle,
        replace(draft.bundle, version=version),
        version=version,
        activate_at=activate_at,
    )
    return ReleaseFile(
        kind="draft", draft=draft.title, author=draft.author, approver=draft.approver,
        content=packed.content, manifests=tuple(spare_manifests(packed.manifest, spare)),
    )  # fmt: skip


async def _to_go_back_to(connection: Connection, programme: str, now_ms: int) -> list[Manifest]:
    good = (await read_ways(connection, now_ms)).to_go_back_to(programme, now_ms)
    manifests = [(await _manifest_of(connection, each.bundle), each) for each in good]
    return [msgspec.structs.replace(own, activate_at=it.activate_at) for own, it in manifests]


async def _manifest_of(connection: Connection, bundle_hash: str) -> Manifest:
    content = await connection.fetchval(_SQL["manifest_of_bundle"], bundle_hash)
    return msgspec.msgpack.decode(content, type=Manifest)


def _require_approval(draft: DraftRow) -> None:
    if not draft.approver:
        raise BadRequestError(
            "draft", f"{draft.title} is not approved; somebody else than {draft.author} approves it"
        )


async def publish_release(
    connection: Connection,
    file: ReleaseFile,
    *,
    keys: Mapping[bytes, int],
    rings: Iterable[Ring | SomeStores],
    by: Person | None,
    system: System,
    guards: GuardSettings | None = None,
) -> Release:
    """Keep a signed release and announce it to its rings; without rings it waits for `rules ring`.

    Args:
        keys: that may sign now, with their generations.

    Raises:
        ForbiddenError: the person is no approver.
        BadRequestError: it is not signed, not what was approved, or another came first.
    """
    name = await authorise(connection, by, APPROVER)
    generation = check_file(file, keys)
    bundle = await asyncio.to_thread(file.bundle)
    base = await asyncio.to_thread(base_hash, bundle)
    draft, draft_version = await _approved(connection, file, bundle)
    announced, now_ms = file.announced, system.now_ms()
    programme = await _whose(connection, announced.bundle, bundle)
    deltas = await make_deltas(connection, file.content, announced.bundle, programme)
    async with connection.transaction():
        await connection.execute(_SQL["lock_releases"])
        used = await connection.fetchval(_SQL["version_used"])
        if used >= announced.version:
            raise BadRequestError(
                "version", f"{announced.version} is used by now; build and sign the release again"
            )
        await connection.execute(
            _SQL["insert_bundle"], announced.bundle, announced.version,
            msgspec.msgpack.encode(announced), file.content, len(bundle.offers), now_ms,
            base, programme,
        )  # fmt: skip
        await connection.execute(
            _SQL["insert_release"], announced.version, announced.bundle, file.kind, draft,
            draft_version, announced.activate_at,
            msgspec.json.encode(guards or GuardSettings()).decode(), name, now_ms,
        )  # fmt: skip
        await _insert_manifests(connection, file, generation)
        await insert_deltas(connection, announced.bundle, deltas)
        await note(
            connection, person=name, action="rules.publish", subject=f"release:{announced.version}",
            detail={"bundle": announced.bundle, "draft": file.draft}, now_ms=now_ms,
        )  # fmt: skip
        event = RulesReleased(
            release=announced.version, bundle=announced.bundle, kind=file.kind, draft=file.draft,
            activate_at=announced.activate_at,
        )  # fmt: skip
        await outbox.write(connection, [Event(RULES_KEY, event)], now_ms=now_ms)
        for ring in rings:
            await _add_ring(
                connection, announced.version, ring, programme=programme, by=name, now_ms=now_ms
            )
    return await look_closely(connection, announced.version, system=system)


async def _insert_manifests(connection: Connection, file: ReleaseFile, generation: int) -> None:
    for each in file.manifests:
        await connection.execute(
            _SQL["insert_manifest"], generation, each.version, each.bundle, file.announced.version,
            msgspec.msgpack.encode(each),
        )  # fmt: skip


async def _whose(connection: Connection, bundle_hash: str, bundle: Bundle) -> str:
    """Return the programme of content; what went out before stays the programme's it was."""
    known: str | None = await connection.fetchval(_SQL["programme_of_bundle"], bundle_hash)
    if known is not None:
        return known
    return await programme_of_rules(connection, bundle.programme.programme_id)


async def _approved(
    connection: Connection, file: ReleaseFile, bundle: Bundle
) -> tuple[str | None, int | None]:
    """Return name and version of the draft a file is made of, having compared the two."""
    if file.kind == "again":
        if await bundle_content(connection, file.announced.bundle) is None:
            raise BadRequestError("bundle", "was never published here")
        return None, None
    draft = await load_draft(connection, file.draft)
    _require_approval(draft)
    same = replace(bundle, version=draft.bundle.version)
    if await asyncio.to_thread(operator.ne, same, draft.bundle):
        raise BadRequestError("content", f"is not what was approved as {draft.title}")
    return draft.name, draft.version


# Moving


async def add_ring(
    connection: Connection, version: int, ring: Ring | SomeStores, *, by: Person | None,
    system: System,
) -> Release:  # fmt: skip
    """Announce a release to more tills.

    Raises:
        ForbiddenError: the person is no approver.
        BadRequestError: it was halted or withdrawn, or a till, store or region is unknown.
        NotFoundError: there is no such release.
    """
    name = await authorise(connection, by, APPROVER)
    release = await find_release(connection, version)
    if release.state != "open":
        raise BadRequestError("release", f"{version} is {release.state}: {release.why}")
    async with connection.transaction():
        await _add_ring(
            connection, version, ring,
            programme=release.programme, by=name, now_ms=system.now_ms(),
        )  # fmt: skip
    return await look_closely(connection, version, system=system)


async def _add_ring(
    connection: Connection,
    version: int,
    ring: Ring | SomeStores,
    *,
    programme: str,
    by: str,
    now_ms: int,
) -> None:
    ring = await _looked_up(connection, version, ring, programme)
    await connection.execute(
        _SQL["insert_ring"], version, ring.kind, list(ring.names), ring.basis_points, by, now_ms
    )
    await note(
        connection, person=by, action="rules.ring", subject=f"release:{version}",
        detail={"ring": str(ring)}, now_ms=now_ms,
    )  # fmt: skip


async def _looked_up(
    connection: Connection, version: int, ring: Ring | SomeStores, programme: str
) -> Ring:
    """Return a ring whose stores, tills and regions are all there, of this programme."""
    if isinstance(ring, SomeStores):
        rows = await connection.fetch(_SQL["some_stores"], str(version), ring.count, programme)
        if len(rows) < ring.count:
            raise BadRequestError(
                "ring", f"there are {len(rows)} stores of {called(programme)}, not {ring.count}"
            )
        return Ring("stores", tuple(sorted(row["store_id"] for row in rows)))
    if ring.kind == "stores":
        rows = await connection.fetch(_SQL["stores_by_name"], list(ring.names))
        _refuse_strangers("store", ring, rows, programme)
    elif ring.kind == "tills":
        rows = await connection.fetch(_SQL["tills_by_number"], [int(name) for name in ring.names])
        _refuse_strangers("till", ring, rows, programme)
    elif ring.kind == "regions":
        rows = await connection.fetch(_SQL["regions_by_name"], list(ring.names), programme)
        _refuse_strangers("region", ring, rows, programme)
    return ring


def _refuse_strangers(
    what: str, ring: Ring, rows: Iterable[asyncpg.Record], programme: str
) -> None:
    """Refuse names nobody has, and those of another programme."""
    found = {str(row["name"]): row["programme"] for row in rows}
    if unknown := ", ".join(name for name in ring.names if name not in found):
        raise BadRequestError("ring", f"there is no {what} {unknown}")
    if others := ", ".join(name for name in ring.names if found[name] != programme):
        raise BadRequestError("ring", f"{what} {others} is not of {called(programme)}")


async def halt(
    connection: Connection, version: int, *, why: str, by: str, system: System
) -> Release:
    """Take a release away from all its tills until somebody resumes it.

    Args:
        by: name of who halts, a person or the guard.

    Raises:
        BadRequestError: it is not open.
        NotFoundError: there is no such release.
    """
    return await _change(
        connection, version, ("open",), "halted", why=why, by=by, action="rules.halt",
        system=system,
    )  # fmt: skip


async def resume(
    connection: Connection, version: int, *, why: str, by: Person | None, system: System
) -> Release:
    """Give a halted release back to its rings; a person alone does so.

    Raises:
        ForbiddenError: the person is no approver.
        BadRequestError: it is not halted.
    """
    name = await authorise(connection, by, APPROVER)
    await _change(
        connection, version, ("halted",), "open", why=why, by=name, action="rules.resume",
        system=system,
    )  # fmt: skip
    return await look_closely(connection, version, system=system)


async def roll_back(
    connection: Connection, version: int, *, why: str, by: Person | None, system: System
) -> Release:
    """Withdraw a release for good: its tills get what they would have without it.

    Raises:
        ForbiddenError: the person is no approver.
        BadRequestError: it is withdrawn already, or nothing would be left.
    """
    name = await authorise(connection, by, APPROVER)
    release = await find_release(connection, version)
    ways, now_ms = await read_ways(connection), system.now_ms()
    good = ways.to_go_back_to(release.programme, now_ms)
    if {each.bundle for each in good} <= {release.bundle}:
        raise BadRequestError("release", f"there is nothing before {version} to go back to")
    return await _change(
        connection, version, ("open", "halted"), "withdrawn", why=why, by=name,
        action="rules.roll-back", system=system,
    )  # fmt: skip


async def _change(
    connection: Connection,
    version: int,
    before: tuple[State, ...],
    after: State,
    *,
    why: str,
    by: str,
    action: str,
    system: System,
) -> Release:
    now_ms = system.now_ms()
    release = await find_release(connection, version)
    async with connection.transaction():
        is_changed = await connection.fetchval(
            _SQL["change_state"], version, after, why, now_ms, list(before)
        )
        if is_changed is None:
            raise BadRequestError("release", f"{version} is {release.state}")
        await note(
            connection, person=by, action=action, subject=f"release:{version}",
            detail={"why": why}, now_ms=now_ms,
        )  # fmt: skip
        event = RulesStateChanged(
            release=version, bundle=release.bundle, state=after, by_guard=by == GUARD
        )
        await outbox.write(connection, [Event(RULES_KEY, event)], now_ms=now_ms)
    changed = await find_release(connection, version)
    if changed.left_behind:
        log.error(
            "tills_left_behind", release=version, tills=changed.left_behind, remedy=changed.remedy
        )
    return changed


# Looking


async def find_release(connection: Connection, version: int) -> Release:
    """Return a release.

    Raises:
        NotFoundError: there is none.
    """
    found = [each for each in await list_releases(connection) if each.version == version]
    if not found:
        raise NotFoundError(
            f"there is no release {version}; tillside-central rules list shows them"
        )
    return found[0]


async def look_closely(connection: Connection, version: int, *, system: System) -> Release:
    """Return a release, with the tills that cannot take it.

    Raises:
        NotFoundError: there is none.
    """
    unable = await find_unable(connection, version, now_ms=system.now_ms())
    return replace(await find_release(connection, version), unable=unable)


async def list_releases(connection: Connection) -> tuple[Release, ...]:
    """Return every release, the newest first."""
    rings: dict[int, list[str]] = {}
    for row in await connection.fetch(_SQL["rings"]):
        rings.setdefault(row["release"], []).append(str(ring_of(row)))
    tills = {row["bundle"]: row["tills"] for row in await connection.fetch(_SQL["holders"])}
    left = await find_left_behind(connection)
    return tuple(
        _release(
            row,
            tuple(rings.get(row["version"], ())),
            tills.get(row["bundle"], 0),
            NOBODY if row["state"] == "open" else left.get(row["bundle"], NOBODY),
        )
        for row in await connection.fetch(_SQL["releases"])
    )


def _release(row: asyncpg.Record, rings: tuple[str, ...], tills: int, left: LeftBehind) -> Release:
    draft = f"{row['draft']}@{row['draft_version']}" if row["draft"] else ""
    return Release(
        version=row["version"],
        bundle=row["bundle"],
        kind=row["kind"],
        draft=draft,
        author=row["author"] or "",
        approver=row["approver"] or "",
        offers=row["offers"],
        activate_at=row["activate_at"],
        state=row["state"],
        why=row["why"],
        rings=rings,
        published_by=row["published_by"],
        published_at_ms=row["published_at_ms"],
        changed_at_ms=row["changed_at_ms"],
        tills=tills,
        programme=row["programme"],
        left_behind=left.tills,
        remedy=left.remedy() if left.tills else "",
    )
