"""The calls of the customers' app, of partners and of the token end point as OpenAPI has them."""

import re
from typing import Any, Final

from central.access.codes import ShownCode
from central.access.customers import (
    PAGE_ROWS,
    PAGE_ROWS_MAX,
    Balance,
    LotPage,
    ReceiptPage,
    ReceiptView,
)
from central.access.partner_statement import HandOuts, Statement
from central.access.partners import (
    REFERENCE_PATTERN,
    Accrual,
    AccrualRequest,
    Reversal,
    ReversalRequest,
)
from central.access.personal_offers import Activation, PersonalOffers
from central.api.app_routes import LANGUAGES, PATH_ACTIVATION, PATH_COURIER, CarryRequest
from central.api.oauth_routes import (
    FORM,
    PATH_REVOKE,
    PATH_TOKEN,
    Nothing,
    OauthRefusal,
    TokenAnswer,
)
from central.api.partner_routes import (
    CSV,
    PATH_ACCRUAL,
    PATH_HAND_OUTS,
    PATH_REVERSAL,
    PATH_STATEMENT,
)
from central.api.problems import problem_content
from central.rights.courier import Carried

KINDS: Final[tuple[type[Any], ...]] = (
    TokenAnswer, OauthRefusal, Nothing, Balance, LotPage, ReceiptPage, ReceiptView, Activation,
    PersonalOffers, CarryRequest, Carried, Accrual, AccrualRequest, Reversal, ReversalRequest,
    Statement, HandOuts, ShownCode,
)  # fmt: skip

SECURITY: Final[dict[str, Any]] = {
    "client": {"type": "http", "scheme": "basic"},
    "customer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "partner": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}

_Schema = dict[str, Any]
_JSON: Final = "application/json"
_REFUSALS: Final = {
    "400": "The body is too long",
    "401": "Nobody who is signed in",
    "403": "The token is not for that",
    "404": "There is no such thing for this caller",
    "408": "The body has not come in time",
    "409": "Something else stands there already",
    "422": "The request is readable and not valid; the message names the field",
    "429": "This partner calls too often; Retry-After says when to come again",
    "503": "More waits here than can be done soon; come again",
}
_TRIED: Final = "Too many secrets were tried for this name; Retry-After says when to come again"
_PARAMETERS: Final[dict[str, _Schema]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_ROWS_MAX, "default": PAGE_ROWS},
    "after": {"type": "string", "description": "`next` of the page before"},
    "before": {"type": "string", "description": "`next` of the page before"},
    "lang": {"type": "string", "enum": list(LANGUAGES)},
    "from": {"type": "string", "format": "date", "description": "first day, UTC; today"},
    "to": {"type": "string", "format": "date", "description": "last day, UTC; today"},
    "format": {"type": "string", "enum": ["json", "csv"]},
}
_FIELD: Final = {"type": "string"}
_TOKEN_FORM: Final[_Schema] = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "enum": ["client_credentials", "refresh_token"]},
        "scope": {"type": "string", "description": "some of the client's, spaces between"},
        "card": {"type": "string", "maxLength": 64, "description": "of the customer; apps alone"},
        "programme": {
            "type": "string",
            "description": "whose wallet, beside card; empty = the default one's",
        },
        "refresh_token": _FIELD,
        "client_id": _FIELD,
        "client_secret": _FIELD,
    },
}
_REVOKE_FORM: Final[_Schema] = {
    "type": "object",
    "required": ["token"],
    "properties": {"token": _FIELD, "client_id": _FIELD, "client_secret": _FIELD},
}

_CUSTOMER_CALLS: Final[tuple[tuple[str, str, str, type[Any], str, str], ...]] = (
    ("get", "/v1/app/account", "The balance", Balance, "", "401 403"),
    ("get", "/v1/app/lots", "Points by when they end", LotPage, "after limit", "401 403 422"),
    ("get", "/v1/app/receipts", "Receipts", ReceiptPage, "before limit", "401 403 422"),
    ("get", "/v1/app/receipts/{key}", "A receipt: lines, points, why and why not", ReceiptView,
     "lang", "401 403 404 422"),
    ("get", "/v1/app/offers", "Offers made to this customer", PersonalOffers, "lang",
     "401 403 422"),
    ("post", "/v1/app/code", "A one-time code for the till", ShownCode, "", "401 403 409"),
    ("put", PATH_ACTIVATION, "Switch an offer on", Activation, "", "401 403 404 409 422"),
    ("delete", PATH_ACTIVATION, "Switch an offer off again", Activation, "",
     "401 403 404 409 422"),
)  # fmt: skip


def _reference(kind: type[Any]) -> _Schema:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _json(kind: type[Any]) -> _Schema:
    return {"content": {_JSON: {"schema": _reference(kind)}}}


def refusals(statuses: str) -> dict[str, Any]:
    """Return responses that are refusals; 503 may come always."""
    return {
        status: {"description": _REFUSALS[status], "content": problem_content()}
        for status in [*statuses.split(), "503"]
    }


def operation(
    method: str, path: str, summary: str, answer: type[Any], *, asks: str, refused: str
) -> dict[str, Any]:
    """Return one call.

    Args:
        asks: names of query parameters, spaces between.
        refused: statuses of refusals, spaces between.
    """
    return {
        "operationId": method + "".join(part.title() for part in re.findall(r"[a-z]+", path[3:])),
        "summary": summary,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": _path_part(name)}
                for name in re.findall(r"{([a-z]+)}", path)
            ),
            *(
                {"name": name, "in": "query", "required": False, "schema": _PARAMETERS[name]}
                for name in asks.split()
            ),
        ],
        "responses": {
            "200": {
                "description": "The answer",
                "content": {_JSON: {"schema": _reference(answer)}},
            },
            **refusals(refused),
        },
    }


def body_of(kind: type[Any]) -> _Schema:
    """Return a JSON body."""
    return {"required": True, **_json(kind)}


def access_paths() -> dict[str, dict[str, Any]]:
    """Return the paths of the document."""
    paths: dict[str, dict[str, Any]] = {
        PATH_TOKEN: {"post": _oauth("token", "Get a token", _TOKEN_FORM, TokenAnswer)},
        PATH_REVOKE: {"post": _oauth("revoke", "Sign a customer out", _REVOKE_FORM, Nothing)},
    }
    for method, path, summary, answer, asks, refused in _CUSTOMER_CALLS:
        call = operation(method, path, summary, answer, asks=asks, refused=refused)
        paths.setdefault(path, {})[method] = call | {"security": [{"customer": []}]}
    courier = operation(
        "post", PATH_COURIER, "Carry points to a till without a line", Carried,
        asks="", refused="400 401 403 404 408 422",
    )  # fmt: skip
    paths[PATH_COURIER] = {
        "post": courier
        | {"security": [{"customer": []}, {"app": []}], "requestBody": body_of(CarryRequest)}
    }
    for path, calls in _partner_paths().items():
        paths[path] = {
            method: call | {"security": [{"partner": []}]} for method, call in calls.items()
        }
    return paths


def _partner_paths() -> dict[str, dict[str, Any]]:
    refused = "400 401 403 404 408 409 422 429"
    accrue = operation("put", PATH_ACCRUAL, "Give points", Accrual, asks="", refused=refused)
    reverse = operation(
        "put", PATH_REVERSAL, "Take points back", Reversal, asks="", refused=refused
    )
    read = operation(
        "get", PATH_ACCRUAL, "An accrual", Accrual, asks="", refused="401 403 404 422 429"
    )
    statements = {
        path: operation(
            "get", path, summary, answer,
            asks="from to after limit format", refused="401 403 422 429",
        )
        for path, summary, answer in (
            (PATH_STATEMENT, "What was given and taken back", Statement),
            (PATH_HAND_OUTS, "What tills handed out of the partner's own points", HandOuts),
        )
    }  # fmt: skip
    for one in statements.values():
        said = one["responses"]["200"]
        said["content"][CSV] = {"schema": {"type": "string"}}
        link = {"schema": {"type": "string"}, "description": "more lines (CSV)"}
        said["headers"] = {"link": link}
    return {
        PATH_ACCRUAL: {"put": accrue | {"requestBody": body_of(AccrualRequest)}, "get": read},
        PATH_REVERSAL: {"put": reverse | {"requestBody": body_of(ReversalRequest)}},
        **{path: {"get": one} for path, one in statements.items()},
    }


def _path_part(name: str) -> _Schema:
    if name in ("reference", "reversal"):
        return {"type": "string", "pattern": REFERENCE_PATTERN}
    return {"type": "string"}


def _oauth(name: str, summary: str, form: _Schema, answer: type[Any]) -> dict[str, Any]:
    refused = _json(OauthRefusal)
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"client": []}, {}],
        "requestBody": {"required": True, "content": {FORM: {"schema": form}}},
        "responses": {
            "200": {
                "description": "The answer",
                "content": {_JSON: {"schema": _reference(answer)}},
            },
            "400": {"description": "RFC 6749, 5.2", **refused},
            "401": {"description": "No client has this name and secret", **refused},
            "429": {"description": _TRIED, "content": problem_content()},
            **refusals("408"),
        },
    }
