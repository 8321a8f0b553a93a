"""JSON calls of those who operate the centre: availability, incidents, unequal receipts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.alerts.incidents import list_incidents
from central.api.callers import require_office
from central.api.problems import NAMED, problem_response
from central.availability.counting import MINUTE_MS
from central.availability.report import STEP_MINUTES, Wanted, read_availability, read_minute
from central.database.pool import Pool
from central.errors import BadRequestError
from central.keys import CentreKeys
from central.streams.unequal import ROWS_DEFAULT, ROWS_MAX, list_unequal
from central.system import System

PATH_AVAILABILITY: Final = "/v1/availability"
PATH_INCIDENTS: Final = "/v1/incidents"
PATH_UNEQUAL: Final = "/v1/receipts/unequal"
_HOUR_MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class OperationsRoutes:
    """Routes that need `Authorization: Bearer OFFICE-TOKEN`."""

    pool: Pool
    keys: CentreKeys
    system: System

    def routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route(PATH_AVAILABILITY, self._endpoint(self._availability), methods=["GET"]),
            Route(PATH_INCIDENTS, self._endpoint(self._incidents), methods=["GET"]),
            Route(PATH_UNEQUAL, self._endpoint(self._unequal), methods=["GET"]),
        ]

    def _endpoint(
        self, call: Callable[[Request], Awaitable[Any]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                require_office(request, self.keys)
                found = await call(request)
            except NAMED as error:
                return problem_response(error)
            return Response(msgspec.json.encode(found), media_type="application/json")

        return endpoint

    async def _availability(self, request: Request) -> object:
        """Say how customers were served: of the last hour where no time is given."""
        now_ms = self.system.now_ms()
        asked = request.query_params
        end = now_ms // MINUTE_MS + 1
        if "to" in asked:
            end = read_minute(asked["to"], name="to")
        begin = end - _HOUR_MINUTES
        if "from" in asked:
            begin = read_minute(asked["from"], name="from")
        step = asked.get("by", "minute")
        if step not in STEP_MINUTES:
            raise BadRequestError("by", "has to be minute, hour or day")
        wanted = Wanted(
            begin_minute=begin,
            end_minute=end,
            step=step,
            store=asked.get("store", ""),
            banner=asked.get("banner", ""),
            region=asked.get("region", ""),
        )
        async with self.pool.acquire() as connection:
            return await read_availability(connection, wanted, now_ms=now_ms)

    async def _incidents(self, request: Request) -> object:  # noqa: ARG002 - Starlette passes it
        """Tell the newest incidents, those that go on first."""
        async with self.pool.acquire() as connection:
            return await list_incidents(connection)

    async def _unequal(self, request: Request) -> object:
        """Tell a page of the receipts the centre calculates otherwise, the newest first."""
        asked = request.query_params
        rows = asked.get("rows", str(ROWS_DEFAULT))
        is_number = rows.isascii() and rows.isdigit() and len(rows) <= len(str(ROWS_MAX))
        if not is_number or not 1 <= int(rows) <= ROWS_MAX:
            raise BadRequestError("rows", f"has to be a whole number from 1 to {ROWS_MAX}")
        async with self.pool.acquire() as connection:
            return await list_unequal(
                connection, before=asked.get("before", ""), rows_max=int(rows)
            )
