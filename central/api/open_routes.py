"""Calls that carry their own proof or need none: enrolment by code, bundles by hash, health."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.api.problems import NAMED, problem_json, problem_of, problem_response
from central.api.till_routes import read_body
from central.api.traffic import retry_after_s
from central.database.asking import Asking
from central.database.doors import Door, strangers_door
from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.errors import BadRequestError
from central.keys import CentreKeys
from central.rules.directory import RuleDirectory
from central.system import System
from central.tills.enrolment import enrol
from sync.codec import CONTENT_TYPE, decode, encode
from sync.cycle import PATH_BUNDLE, PATH_ENROL
from sync.enrolling import EnrolRequest
from sync.limits import COUNT_MAX
from sync.roots import read_root

_SQL = load_queries("central.observability", "figures.sql")

COUNTED_MAX: Final = 10_000
"""Health counts no further: it asks through no door, so it has to be short."""
_HEALTH_S_MAX = 5.0
_BODY_BYTES_MAX = 16_384
_PARTIAL, _RANGE_WRONG, _COME_AGAIN = 206, 416, 503


class CentreHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the centre can do its work.

    Attributes:
        waiting: records kept and not applied yet, up to `COUNTED_MAX`.
        parked: records that wait for another one, up to there, too.
    """

    status: str
    database: str
    waiting: int
    parked: int


_DOWN = CentreHealth(status="failing", database="down", waiting=0, parked=0)


@dataclass(frozen=True, slots=True)
class OpenRoutes:
    """Routes without a till's signature.

    Attributes:
        door: of whatever needs a connection; nobody holds a place who is slow to send or to read.
        reading: files on their way into memory, by name.
    """

    pool: Pool
    keys: CentreKeys
    system: System
    directory: RuleDirectory
    door: Door = field(default_factory=strangers_door)
    reading: dict[str, asyncio.Task[bytes | None]] = field(default_factory=dict)

    def routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route(PATH_ENROL, self._enrol, methods=["POST"]),
            Route(PATH_BUNDLE + "{hash}", self._bundle, methods=["GET"]),
            Route("/v1/health", partial(self._health, Asking(self._look)), methods=["GET"]),
        ]

    async def _enrol(self, request: Request) -> Response:
        try:
            message = decode(EnrolRequest, await read_body(request, bytes_max=_BODY_BYTES_MAX))
            async with self.door:
                answer = await enrol(self.pool, message, keys=self.keys, system=self.system)
                await self.directory.refresh()
            if root := self.directory.newest_root():
                keys = tuple(read_root(root).root().generations())
                answer = msgspec.structs.replace(answer, root=root, rule_keys=keys)
        except NAMED as error:
            status, problem = problem_of(error)
            refused = Response(encode(problem), status_code=status, media_type=CONTENT_TYPE)
            return _saying_when(refused, error)
        return Response(encode(answer), media_type=CONTENT_TYPE)

    async def _bundle(self, request: Request) -> Response:
        """Serve a bundle or a delta to it, zstd; a range goes on where a download broke."""
        try:
            content = await self._file(request.path_params["hash"])
        except NAMED as error:
            return _saying_when(problem_response(error), error)
        if content is None:
            return problem_json(404, "not_found", "no bundle has this hash")
        headers = {"accept-ranges": "bytes", "cache-control": "public, max-age=31536000, immutable"}
        try:
            start, end = _range(request.headers.get("range", ""), len(content))
        except BadRequestError:
            refused = problem_json(_RANGE_WRONG, "range_wrong", "nothing of the bundle is there")
            refused.headers["content-range"] = f"bytes */{len(content)}"
            return refused
        is_whole = (start, end) == (0, len(content))
        if not is_whole:
            headers["content-range"] = f"bytes {start}-{end - 1}/{len(content)}"
        return Response(
            content[start:end],
            status_code=200 if is_whole else _PARTIAL,
            media_type="application/zstd",
            headers=headers,
        )

    async def _file(self, name: str) -> bytes | None:
        """Return a file; what is in memory has no door: a flood of other names is not in its way.

        A fleet that is told of new rules asks for the same file at once: it is read for all.

        Raises:
            CrowdedError: too much is asked for that is not in memory.
        """
        if (kept := self.directory.kept_file(name)) is not None:
            return kept
        reading = self.reading.get(name)
        if reading is None:
            reading = self.reading[name] = asyncio.create_task(self._read(name))
        return await asyncio.shield(reading)

    async def _read(self, name: str) -> bytes | None:
        try:
            async with self.door:
                return await self.directory.file(name)
        finally:
            del self.reading[name]

    async def _health(
        self,
        looking: Asking[CentreHealth],
        request: Request,  # noqa: ARG002 - Starlette passes it
    ) -> Response:
        health = await looking.answer(wait_s=_HEALTH_S_MAX) or _DOWN
        return Response(
            msgspec.json.encode(health),
            status_code=200 if health.status == "ok" else 503,
            media_type="application/json",
        )

    async def _look(self) -> CentreHealth:
        try:
            row = await self.pool.fetchrow(_SQL["unapplied"], COUNTED_MAX)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return _DOWN
        assert row is not None
        return CentreHealth(
            status="ok", database="up", waiting=row["waiting"], parked=row["parked"]
        )


def _saying_when(refused: Response, error: Exception) -> Response:
    """Return a refusal that says when to come again, where that helps."""
    if refused.status_code == _COME_AGAIN:
        refused.headers["retry-after"] = str(retry_after_s(error))
    return refused


def _range(header: str, size_bytes: int) -> tuple[int, int]:
    """Return where a range begins and where it ends, the end not in it."""
    if not header:
        return 0, size_bytes
    unit, _, numbers = header.partition("=")
    first, dash, last = numbers.partition("-")
    if unit != "bytes" or not dash or not _is_place(first) or not (not last or _is_place(last)):
        raise BadRequestError("range", "only bytes=N- and bytes=N-M are served")
    start, end = int(first), min(int(last) + 1 if last else size_bytes, size_bytes)
    if start >= end:
        raise BadRequestError("range", "nothing is there")
    return start, end


def _is_place(text: str) -> bool:
    # Of more digits Python makes no number.
    return text.isdecimal() and len(text) <= len(str(COUNT_MAX))
