"""The real centre over a real PostgreSQL, called through its ASGI application.

Only its clock and its randomness are simulated.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from central.bootstrap import Centre, join_centre
from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.keys import CentreKeys
from central.people.loading import load_lines
from central.rights.courier import CourierDesk
from central.rights.issuing import RightsSettings
from central.rights.tending import tend
from central.rules.publishing import publish
from central.streams.apply import Applier
from central.system import System
from central.tills.enrolment import make_code
from loyalty.bundle import Bundle
from loyalty.documents import encode as encode_document
from sync.codec import CONTENT_TYPE, decode, encode
from sync.cycle import PATH_ENROL
from sync.enrolling import EnrolAnswer, EnrolRequest
from sync.signing import SigningKey, enrol_content
from tests.simulation.kernel import Kernel

BEGINNING_MS = 1_740_787_200_000
"""Midnight of 2025-03-01 in UTC: where virtual time begins."""

RIGHTS = RightsSettings(
    grant_points_max=120,
    risk_points_per_till=60,
    grant_days=1,
    grants_per_pull_max=20,
    till_points_max=400,
    offline_points_max=150,
    loss_days=1,
)
"""Tight and short-lived, so that rights run out, expire and are asked back within days."""


class CentralClock(System):
    """Virtual time and seeded randomness for the centre."""

    def __init__(self, kernel: Kernel, draws: random.Random) -> None:
        self._kernel = kernel
        self._draws = draws

    def now_ms(self) -> int:
        """Return virtual time since 1970."""
        return BEGINNING_MS + self._kernel.now_ms

    def monotonic_ms(self) -> int:
        """Return virtual time since the beginning."""
        return self._kernel.now_ms

    def random_bytes(self, count: int) -> bytes:
        """Return bytes out of the seed."""
        return self._draws.randbytes(count)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it travels; repeating it is sending the very same bytes."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as it travels."""

    status: int
    headers: dict[str, str]
    body: bytes


class SimulatedCentre:
    """The centre of a world."""

    def __init__(self, pool: Pool, kernel: Kernel, draws: random.Random) -> None:
        self.system = CentralClock(kernel, draws)
        self._rule_key = SigningKey(draws.randbytes(32))
        keys = CentreKeys(
            centre=SigningKey(draws.randbytes(32)),
            rule_public=(self._rule_key.public,),
            card_key=draws.randbytes(32),
            office_token=draws.randbytes(16).hex(),
        )
        self.joined: Centre = join_centre(pool, keys, self.system, RIGHTS)
        self.courier = CourierDesk(pool, self.system, keys.centre, RIGHTS)
        self.pool = pool
        self.refused = 0
        self._may_wait = True
        self.newest_version = 0
        self.applier: Applier = self.joined.applier
        self.after: Callable[[Request, Response], Awaitable[None]] | None = None

    async def handle(self, request: Request) -> Response:
        """Answer a request; an error that the application does not name is raised.

        `after`, if there is one, is called with request and answer: a place for planted bugs.
        """
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in request.headers],
            "server": ("centre", 80),
            "client": ("till", 1),
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's messages
            sent.append(message)

        await self.joined.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        response = Response(sent[0]["status"], headers, body)
        if self.after is not None:
            await self.after(request, response)
        return response

    async def load(self, lines: Iterable[dict[str, Any]]) -> None:
        """Load stores and accounts."""
        self._may_wait = True
        await load_lines(
            self.pool,
            map(msgspec.json.encode, lines),
            card_key=self.joined.keys.card_key,
            system=self.system,
        )

    async def fund_pool(self, points: int) -> None:
        """Put points into the risk pool."""
        sql = load_queries("central.rights", "queries.sql")["fund_pool"]
        await self.pool.fetchrow(sql, points)

    async def apply(self, applier: Applier, records_max: int) -> None:
        """Apply what waits; unless something came, or ended last time, nothing does."""
        ingested = self.joined.ingested
        if not ingested.is_set() and not self._may_wait:
            return
        ingested.clear()
        self._may_wait = await applier.apply_pending(records_max) > 0

    async def tend(self) -> None:
        """Do what is due about rights by time alone; look whether records wait, too."""
        self._may_wait = True
        tended = await tend(self.pool, now_ms=self.system.now_ms(), settings=RIGHTS)
        self.refused += tended.written_off.refused

    async def publish(self, bundle: Bundle) -> str:
        """Publish a bundle; returns its hash."""
        content = msgspec.json.encode(encode_document(bundle))
        async with self.pool.acquire() as connection:
            published = await publish(connection, content, self._rule_key, self.system)
        self.newest_version = max(self.newest_version, bundle.version)
        return published.manifest.bundle

    async def enrol(self, store: str, slot: str, *, is_vault: bool, key: SigningKey) -> EnrolAnswer:
        """Enrol a till through the application."""
        async with self.pool.acquire() as connection:
            code = await make_code(connection, store, slot, is_vault=is_vault, system=self.system)
        nonce = self.system.random_bytes(16)
        bare = EnrolRequest(
            code=code.code, public_key=key.public, hardware="simulated", nonce=nonce, signature=b""
        )
        request = msgspec.structs.replace(bare, signature=key.sign(enrol_content(bare)))
        response = await self.handle(
            Request("POST", PATH_ENROL, (("content-type", CONTENT_TYPE),), encode(request))
        )
        assert response.status == 200, response.body
        return decode(EnrolAnswer, response.body)

    async def revoke(self, till_id: int) -> None:
        """Revoke a till."""
        await self.pool.execute(load_queries("central.tills", "queries.sql")["revoke"], till_id)
