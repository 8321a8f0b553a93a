"""Whether a process should be given work: what a balancer and an orchestrator ask.

Health says whether the centre can do its work; readiness whether this process should get any. A
process that was told to end says no while it still answers what it has (design: till and centre are
ended by SIGTERM and lose nothing).
"""

from dataclasses import dataclass, field
from typing import Final

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.database.asking import Asking
from central.database.pool import Pool

PATH: Final = "/v1/ready"
_ASK_S_MAX: Final = 2.0


class ReadyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to send work here.

    Attributes:
        why: empty, or what stands against it: `ending`, `database`.
        role: which part of the centre the process is.
    """

    ready: bool
    why: str
    role: str


@dataclass(slots=True)
class Readiness:
    """`GET /v1/ready`: 200, or 503 with the cause.

    Attributes:
        is_ending: set when the process was told to end.
        wait_s: so long the database has to answer.
    """

    pool: Pool
    role: str
    is_ending: bool = False
    wait_s: float = _ASK_S_MAX
    _asking: Asking[bool] = field(init=False)

    def __post_init__(self) -> None:
        self._asking = Asking(self._ask)

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route(PATH, self._ready, methods=["GET"])]

    async def look(self) -> ReadyAnswer:
        """Say whether to send work here, now."""
        answers = await self._asking.answer(wait_s=self.wait_s)
        why = "ending" if self.is_ending else "" if answers else "database"
        return ReadyAnswer(ready=not why, why=why, role=self.role)

    async def _ask(self) -> bool:
        try:
            return await self.pool.fetchval("select true") is True
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False

    async def _ready(self, request: Request) -> Response:  # noqa: ARG002 - Starlette passes it
        answer = await self.look()
        return Response(
            msgspec.json.encode(answer),
            status_code=200 if answer.ready else 503,
            media_type="application/json",
        )
