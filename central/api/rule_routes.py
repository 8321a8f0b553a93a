"""JSON calls about rules, the same as the commands': drafts, approval, releases, rings, pins.

Reading needs the office's token or a person's, writing a person's, with the role it asks for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.api.callers import office_or_person, read_json
from central.api.problems import NAMED, problem_response
from central.api.till_routes import read_body
from central.database.pool import Connection, Pool
from central.errors import BadRequestError
from central.keys import CentreKeys
from central.rules import drafts, pinning, releases
from central.rules.comparing import Difference, compare_rules
from central.rules.due import StaleReceipts, list_stale
from central.rules.finding import LIVE, find_rules, is_version
from central.rules.guards import GuardSettings, read_guards
from central.rules.library import load_bundle
from central.rules.publishing import day_of
from central.rules.release_file import read_file, write_file
from central.rules.rings import read_ring
from central.rules.roots import install_root, list_roots, release_keys
from central.rules.unable import Unable
from central.staff.audit import AuditRow, read_audit
from central.staff.persons import APPROVER, Person
from central.system import System
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.checking import Finding, check_bundle
from loyalty.documents import encode
from sync.roots import RootDocument

_DOCUMENT_BYTES_MAX: Final = 64 << 20

K = TypeVar("K", bound=msgspec.Struct)


class RingRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More tills for a release: `till:12`, `store:367`, `stores:5`, `share:1%`, `everywhere`."""

    ring: Annotated[str, Meta(max_length=10_000)]


class WhyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why something is done, for whoever reads it later."""

    why: Annotated[str, Meta(max_length=500)] = ""


class PinRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The release a till or store is to have, whatever rings say."""

    release: Annotated[int, Meta(ge=1, le=2**62)]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is done."""

    done: bool = True


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """It is done; and the tills it is for that cannot take the release."""

    unable: tuple[Unable, ...]
    done: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A call on its connection.

    Attributes:
        by: who calls; None for whoever has the office's token, and reads.
    """

    request: Request
    connection: Connection
    by: Person | None

    def person(self) -> Person:
        """Return who writes."""
        assert self.by is not None, "writes are refused before they come here without a person"
        return self.by


Call = Callable[[Asked], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class RuleRoutes:
    """Routes of `/v1/rules/` and `/v1/audit`."""

    pool: Pool
    keys: CentreKeys
    system: System

    def routes(self) -> list[Route]:
        """Return every route."""
        calls: tuple[tuple[str, str, Call], ...] = (
            ("GET", "/v1/rules/drafts", self._drafts),
            ("POST", "/v1/rules/drafts/{name}", self._save),
            ("GET", "/v1/rules/drafts/{name}", self._draft),
            ("GET", "/v1/rules/drafts/{name}/findings", self._findings),
            ("GET", "/v1/rules/drafts/{name}/difference", self._difference),
            ("POST", "/v1/rules/drafts/{name}/approval", self._approve),
            ("GET", "/v1/rules/drafts/{name}/release", self._build),
            ("GET", "/v1/rules/releases", self._releases),
            ("POST", "/v1/rules/releases", self._publish),
            ("GET", "/v1/rules/releases/{version}", self._release),
            ("GET", "/v1/rules/releases/{version}/document", self._document),
            ("POST", "/v1/rules/releases/{version}/rings", self._ring),
            ("POST", "/v1/rules/releases/{version}/halt", self._halt),
            ("POST", "/v1/rules/releases/{version}/resume", self._resume),
            ("POST", "/v1/rules/releases/{version}/roll-back", self._roll_back),
            ("GET", "/v1/rules/difference", self._difference_of_two),
            ("GET", "/v1/rules/stale", self._stale),
            ("GET", "/v1/rules/roots", self._roots),
            ("POST", "/v1/rules/roots", self._install),
            ("GET", "/v1/rules/pins", self._pins),
            ("PUT", "/v1/rules/pins/{scope}/{name}", self._pin),
            ("DELETE", "/v1/rules/pins/{scope}/{name}", self._unpin),
            ("GET", "/v1/audit", self._audit),
        )
        return [Route(path, self._endpoint(call), methods=[method]) for method, path, call in calls]

    def _endpoint(self, call: Call) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                async with self.pool.acquire() as connection:
                    by = await office_or_person(request, self.keys, connection)
                    found = await call(Asked(request, connection, by))
            except NAMED as error:
                return problem_response(error)
            if isinstance(found, bytes):
                return Response(found, media_type="application/octet-stream")
            return Response(msgspec.json.encode(found), media_type="application/json")

        return endpoint

    # Drafts

    async def _drafts(self, asked: Asked) -> tuple[drafts.DraftRow, ...]:
        return await drafts.list_drafts(asked.connection)

    async def _save(self, asked: Asked) -> drafts.DraftRow:
        return await drafts.save_draft(
            asked.connection,
            asked.request.path_params["name"],
            await read_body(asked.request, bytes_max=_DOCUMENT_BYTES_MAX),
            author=asked.person(),
            note_text=asked.request.query_params.get("note", "")[:500],
            system=self.system,
        )

    async def _draft(self, asked: Asked) -> msgspec.Raw:
        draft = await drafts.load_draft(asked.connection, asked.request.path_params["name"])
        return await asyncio.to_thread(_written, draft.bundle)

    async def _findings(self, asked: Asked) -> tuple[Finding, ...]:
        draft = await drafts.load_draft(asked.connection, asked.request.path_params["name"])
        today = day_of(self.system.now_ms())
        return await asyncio.to_thread(check_bundle, draft.bundle, today=today)

    async def _difference(self, asked: Asked) -> Difference:
        draft = await drafts.load_draft(asked.connection, asked.request.path_params["name"])
        before = Bundle(version=1, programme=draft.bundle.programme)
        if draft.base_hash:
            before = await load_bundle(asked.connection, draft.base_hash)
        return await asyncio.to_thread(compare_rules, before, draft.bundle)

    async def _approve(self, asked: Asked) -> drafts.DraftRow:
        return await drafts.approve_draft(
            asked.connection,
            asked.request.path_params["name"],
            approver=asked.person(),
            system=self.system,
        )

    # Releases

    async def _build(self, asked: Asked) -> bytes:
        made = await releases.build_release(
            asked.connection,
            asked.request.path_params["name"],
            activate_at=asked.request.query_params.get("activate_at", ""),
            system=self.system,
        )
        return write_file(made)

    async def _releases(self, asked: Asked) -> tuple[releases.Release, ...]:
        return await releases.list_releases(asked.connection)

    async def _publish(self, asked: Asked) -> releases.Release:
        return await releases.publish_release(
            asked.connection,
            read_file(await read_body(asked.request, bytes_max=_DOCUMENT_BYTES_MAX)),
            keys=await release_keys(asked.connection, self.keys.rule_public),
            rings=[read_ring(each) for each in asked.request.query_params.getlist("ring")],
            by=asked.person(),
            system=self.system,
            guards=_guards(asked.request),
        )

    async def _release(self, asked: Asked) -> releases.Release:
        version = _version(asked.request)
        return await releases.look_closely(asked.connection, version, system=self.system)

    async def _document(self, asked: Asked) -> msgspec.Raw:
        name = asked.request.path_params["version"]
        if name != LIVE and not is_version(name):
            raise BadRequestError("version", "is a number, or live")
        return await asyncio.to_thread(_written, await find_rules(asked.connection, name))

    async def _difference_of_two(self, asked: Asked) -> Difference:
        names = asked.request.query_params
        before, after = [
            await find_rules(asked.connection, names.get(each, LIVE))
            for each in ("before", "after")
        ]
        return await asyncio.to_thread(compare_rules, before, after)

    async def _stale(self, asked: Asked) -> tuple[StaleReceipts, ...]:
        return await list_stale(asked.connection)

    async def _ring(self, asked: Asked) -> releases.Release:
        wanted = read_ring((await read_json(asked.request, RingRequest)).ring)
        return await releases.add_ring(
            asked.connection, _version(asked.request), wanted, by=asked.person(), system=self.system
        )

    async def _halt(self, asked: Asked) -> releases.Release:
        person = asked.person()
        person.require(APPROVER)
        why = (await read_json(asked.request, WhyRequest)).why
        return await releases.halt(
            asked.connection, _version(asked.request), why=why, by=person.name, system=self.system
        )

    async def _resume(self, asked: Asked) -> releases.Release:
        why = (await read_json(asked.request, WhyRequest)).why
        return await releases.resume(
            asked.connection,
            _version(asked.request),
            why=why,
            by=asked.person(),
            system=self.system,
        )

    async def _roll_back(self, asked: Asked) -> releases.Release:
        why = (await read_json(asked.request, WhyRequest)).why
        return await releases.roll_back(
            asked.connection,
            _version(asked.request),
            why=why,
            by=asked.person(),
            system=self.system,
        )

    # Which keys may sign

    async def _roots(self, asked: Asked) -> tuple[msgspec.Raw, ...]:
        return tuple(map(msgspec.Raw, await list_roots(asked.connection)))

    async def _install(self, asked: Asked) -> RootDocument:
        person = asked.person()
        person.require(APPROVER)
        content = await read_body(asked.request)
        return await install_root(asked.connection, content, by=person.name, system=self.system)

    # Pins and who did what

    async def _pins(self, asked: Asked) -> tuple[pinning.Pin, ...]:
        return await pinning.list_pins(asked.connection)

    async def _pin(self, asked: Asked) -> Pinned:
        version = (await read_json(asked.request, PinRequest)).release
        scope, name = _scope(asked.request), asked.request.path_params["name"]
        unable = await pinning.pin(
            asked.connection, scope, name, version, by=asked.person(), system=self.system
        )
        return Pinned(unable=unable)

    async def _unpin(self, asked: Asked) -> Done:
        name = asked.request.path_params["name"]
        await pinning.unpin(
            asked.connection, _scope(asked.request), name, by=asked.person(), system=self.system
        )
        return Done()

    async def _audit(self, asked: Asked) -> tuple[AuditRow, ...]:
        return await read_audit(
            asked.connection, subject=asked.request.query_params.get("subject", "")
        )


def _written(bundle: Bundle) -> msgspec.Raw:
    return msgspec.Raw(canonical_bytes(encode(bundle)))


def _version(request: Request) -> int:
    text = request.path_params["version"]
    if not is_version(text):
        raise BadRequestError("version", "is a number")
    return int(text)


def _guards(request: Request) -> GuardSettings | None:
    text = request.query_params.get("guards", "")
    return read_guards(text) if text else None


def _scope(request: Request) -> pinning.Scope:
    match request.path_params["scope"]:
        case "till":
            return "till"
        case "store":
            return "store"
    raise BadRequestError("scope", "is till or store")
