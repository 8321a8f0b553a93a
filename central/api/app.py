"""The ASGI application: every route of the centre."""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Lifespan

from central.api.app_routes import AppRoutes
from central.api.ledger_routes import LedgerRoutes
from central.api.office_routes import OfficeRoutes
from central.api.open_routes import OpenRoutes
from central.api.openapi import openapi_document
from central.api.rule_routes import RuleRoutes
from central.api.till_routes import TillRoutes
from central.console.status_page import StatusPage


def make_app(
    *,
    tills: TillRoutes,
    opened: OpenRoutes,
    office: OfficeRoutes,
    customers: AppRoutes,
    rules: RuleRoutes,
    ledger: LedgerRoutes,
    status: StatusPage,
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """Join the routes."""
    return Starlette(
        routes=[
            *tills.routes(),
            *opened.routes(),
            *office.routes(),
            *customers.routes(),
            *rules.routes(),
            *ledger.routes(),
            Route("/v1/openapi.json", _openapi, methods=["GET"]),
            *status.routes(),
        ],
        lifespan=lifespan,
    )


async def _openapi(request: Request) -> Response:  # noqa: ARG001 - Starlette passes it
    return Response(msgspec.json.encode(openapi_document()), media_type="application/json")
