"""An ASGI application around another one that measures each request."""

import asyncio
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from starlette.routing import BaseRoute, Route

from central.api.traffic import AsgiApp, Receive, Scope, Send, kind_of
from central.observability.meters import REQUEST_S, REQUESTS, RUNNING

NO_ROUTE: Final = "none"
"""Of a request no route answered: refused at the door, or of a path nobody knows."""
GONE: Final = 499
"""Status of a request whose caller went away before its answer."""


class Measured:
    """Measures requests by traffic class and route; paths that name things count as their route."""

    def __init__(self, app: AsgiApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._paths = {
            id(route.endpoint): route.path for route in routes if isinstance(route, Route)
        }
        # Found once each: a family looks its members up under a lock.
        self._running: dict[str, Gauge] = {}
        self._of: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and measure it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = kind_of(scope["path"])
        status = GONE

        async def sending(message: Scope) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        running, clock = self._running.get(kind), asyncio.get_running_loop().time
        if running is None:
            running = self._running[kind] = RUNNING.labels(kind)
        running.inc()
        began_s = clock()
        try:
            await self._app(scope, receive, sending)
        except Exception:
            status = 500
            raise
        finally:
            running.dec()
            route = self._paths.get(id(scope.get("endpoint")), NO_ROUTE)
            counted, timed = self._of.get((kind, route, status)) or self._find(kind, route, status)
            counted.inc()
            timed.observe(clock() - began_s)

    def _find(self, kind: str, route: str, status: int) -> tuple[Counter, Histogram]:
        found = REQUESTS.labels(kind, route, str(status)), REQUEST_S.labels(kind, route)
        self._of[kind, route, status] = found
        return found
