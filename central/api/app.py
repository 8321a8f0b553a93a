"""The ASGI application: every route of the centre."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Lifespan, Receive, Scope, Send

from central.api.openapi import openapi_document
from central.api.problems import problem_json, problem_response
from central.api.till_routes import TillCall


class Part(Protocol):
    """Calls that belong together."""

    def routes(self) -> list[Route]:
        """Return every route."""
        ...


class CentreApp(Starlette):
    """Starlette, with a straight way to the tills' calls: they are most of what there is."""

    _calls: Mapping[str, TillCall] = MappingProxyType({})

    def lead_straight_to(self, routes: Iterable[Route]) -> None:
        """Pass by the router what is posted to these routes that are tills' calls."""
        self._calls = {
            route.path: route.endpoint for route in routes if isinstance(route.endpoint, TillCall)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            call = self._calls.get(scope["path"])
            if call is not None:
                scope["endpoint"] = call
                await call(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def make_app(*parts: Part, lifespan: Lifespan[Starlette] | None = None) -> CentreApp:
    """Join the routes of all parts."""
    routes = [
        *(route for part in parts for route in part.routes()),
        Route("/v1/openapi.json", _openapi, methods=["GET"]),
    ]
    app = CentreApp(
        routes=routes,
        exception_handlers={HTTPException: _no_such_call, Exception: _failed},
        lifespan=lifespan,
    )
    app.lead_straight_to(routes)
    return app


async def _openapi(request: Request) -> Response:  # noqa: ARG001 - Starlette passes it
    return Response(msgspec.json.encode(openapi_document()), media_type="application/json")


async def _no_such_call(request: Request, error: Exception) -> Response:
    """Answer what no route takes: another path, or another method on it."""
    assert isinstance(error, HTTPException)
    name = (
        "method_not_allowed" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "not_found"
    )
    answer = problem_json(
        error.status_code, name, f"{request.method} is no call here; see /v1/openapi.json"
    )
    answer.headers.update(error.headers or {})
    return answer


async def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's
    """Answer what is our bug; the frame logs it."""
    return problem_response(error)
