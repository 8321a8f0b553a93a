"""The OpenAPI 3.1 document of the centre, made from the types the routes read and write.

Tills speak MessagePack maps of the same shape as the JSON schemas here; bytes are raw there. What
live records and short pulls say travels as arrays in the order of the fields.
"""

from functools import cache
from typing import Any

import msgspec

from central.api import (
    access_openapi,
    customer_openapi,
    ledger_openapi,
    operations_openapi,
    rule_openapi,
)
from central.api.office_routes import CalculateRequest
from central.api.open_routes import CentreHealth
from central.api.problems import ProblemDetails, problem_content
from central.ledger.verify import LedgerProof
from central.rights.exposure import Exposure
from loyalty.calculation import Calculation
from sync import (
    cycle,
    enrolling,
    forgetting,
    lines,
    listening,
    messages,
    neighbours,
    points,
    reporting,
)
from sync.codec import CONTENT_TYPE
from sync.short_header import HEADER_SHORT
from sync.signing import HEADER_NONCE, HEADER_SESSION, HEADER_SIGNATURE, HEADER_TILL

_TILL_CALLS: tuple[tuple[str, type[Any], type[Any], str], ...] = (
    (cycle.PATH_HELLO, messages.Hello, messages.HelloAnswer, "Compare streams, open a session"),
    (cycle.PATH_PUSH, messages.Push, messages.PushAnswer, "Hand in records"),
    (cycle.PATH_PULL, messages.Pull, messages.PullAnswer, "Ask for changes and rights"),
    (lines.PATH_LINES, lines.Lines, lines.LinesAnswer, "Hand in live records, packed"),
    (listening.PATH_LISTEN, listening.Listen, listening.ListenAnswer, "Ask for changes, in short"),
    (listening.PATH_FRESH, listening.Fresh, listening.FreshAnswer, "Ask if an account changed"),
    (cycle.PATH_COMPARE, messages.Compare, messages.CompareAnswer, "Compare accounts in buckets"),
    (
        neighbours.PATH_DELIVER,
        neighbours.Delivery,
        neighbours.DeliveryAnswer,
        "Hand in records of another till of the store",
    ),
    (cycle.PATH_SNAPSHOT, messages.SnapshotRequest, messages.SnapshotAnswer, "Ask for one account"),
    (
        cycle.PATH_AUTHORISE,
        messages.AuthoriseRequest,
        messages.AuthoriseAnswer,
        "Set points aside for a receipt",
    ),
    (points.PATH_POINTS, points.PointsRequest, points.PointsAnswer, "Set points aside, in short"),
    (
        cycle.PATH_COUNTERS,
        messages.CounterRequest,
        messages.CounterAnswer,
        "Set aside what is limited over all customers",
    ),
    (
        cycle.PATH_RECEIPT,
        messages.ReceiptRequest,
        messages.ReceiptAnswer,
        "Ask for a posted receipt",
    ),
    (
        forgetting.PATH_FORGOTTEN,
        forgetting.Forgotten,
        forgetting.ForgottenAnswer,
        "Say how far erased customers are forgotten, ask who is next",
    ),
    (
        reporting.PATH_REPORT,
        reporting.Report,
        reporting.ReportAnswer,
        "Say how the rules stand, between two HELLOs",
    ),
)
_OFFICE_CALLS: tuple[tuple[str, str, type[Any] | None, type[Any], str, tuple[int, ...]], ...] = (
    (
        "post",
        "/v1/calculate",
        CalculateRequest,
        Calculation,
        "Calculate a basket of a thin client",
        (400, 401, 404, 422),
    ),
    (
        "get",
        "/v1/receipts/{key}",
        None,
        Calculation,
        "The calculation of a posted receipt",
        (401, 404),
    ),
    (
        "get",
        "/v1/ledger/proof",
        None,
        LedgerProof,
        "Prove the ledger from its entries",
        (401, 422, 503),
    ),
    ("get", "/v1/exposure", None, Exposure, "The most that can be overdrawn this minute", (401,)),
)
_REFUSALS = {
    400: "The body is no message of this protocol, or too long",
    401: "The caller did not prove who it is",
    403: "The code does not make this caller a till; the message says why",
    404: "There is no such thing here",
    409: "The session or stream is not known; say HELLO",
    429: "This till calls too often; Retry-After says when to come again",
    422: "The request is readable and not valid; the message names the field",
    503: "It takes longer than a call may, or too much waits; the message says which",
}

_SEALS = {
    "name": "seals",
    "in": "query",
    "required": False,
    "schema": {"enum": ["0", "1"], "default": "0"},
    "description": "1 = read all sealed entries again, too",
}


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document as a plain JSON value."""
    kinds: list[Any] = [kind for call in _TILL_CALLS for kind in call[1:3]]
    kinds += [kind for call in _OFFICE_CALLS for kind in call[2:4] if isinstance(kind, type)]
    kinds += [enrolling.EnrolRequest, enrolling.EnrolAnswer, messages.Problem, CentreHealth]
    kinds += [ProblemDetails]
    kinds += [*access_openapi.KINDS, *rule_openapi.KINDS, *ledger_openapi.KINDS]
    kinds += [*operations_openapi.KINDS, *customer_openapi.KINDS]
    _, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, Any] = {}
    for path, request, answer, summary in _TILL_CALLS:
        paths[path] = {"post": _till_operation(path, request, answer, summary)}
    paths[cycle.PATH_ENROL] = {
        "post": _operation(
            "enrol",
            enrolling.EnrolRequest,
            enrolling.EnrolAnswer,
            "Become a till",
            media=CONTENT_TYPE,
            refusals=(400, 403),
        )
        | {"security": []}
    }
    paths[cycle.PATH_BUNDLE + "{hash}"] = {"get": _bundle_operation()}
    for method, path, body, answer, summary, refusals in _OFFICE_CALLS:
        operation = _operation(
            path.split("/")[2], body, answer, summary, media="application/json", refusals=refusals
        )
        operation["parameters"] = _office_parameters(path)
        operation["security"] = [{"office": []}]
        paths[path] = {method: operation}
    paths["/v1/health"] = {"get": _health_operation()}
    paths |= access_openapi.access_paths()
    paths |= rule_openapi.rule_paths()
    paths |= ledger_openapi.ledger_paths()
    paths |= customer_openapi.customer_paths()
    paths |= operations_openapi.operations_paths()
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Tillside centre API", "version": "1", "description": __doc__},
        "servers": [{"url": "http://127.0.0.1:7700"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "office": {"type": "http", "scheme": "bearer"},
                "person": {"type": "http", "scheme": "bearer"},
                "app": {"type": "http", "scheme": "bearer"},
                **access_openapi.SECURITY,
                "till": {"type": "apiKey", "in": "header", "name": HEADER_SIGNATURE},
            },
        },
    }
    # Plain JSON all through: the types' defaults are tuples.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def _office_parameters(path: str) -> list[dict[str, Any]]:
    if path.endswith("/proof"):
        return [_SEALS]
    return [_path_parameter(path)] if "{" in path else []


def _till_operation(
    path: str, request: type[Any], answer: type[Any], summary: str
) -> dict[str, Any]:
    operation = _operation(
        path.rsplit("/", 1)[1],
        request,
        answer,
        summary,
        media=CONTENT_TYPE,
        refusals=(400, 401, 409, 429),
    )
    operation["security"] = [{"till": []}]
    operation["parameters"] = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in (HEADER_TILL, HEADER_SESSION, HEADER_NONCE, HEADER_SIGNATURE)
    ]
    operation["parameters"].append({
        "name": HEADER_SHORT,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "in place of the other four, once HELLO has said `short`",
    })  # fmt: skip
    return operation


def _operation(
    name: str,
    request: type[Any] | None,
    answer: type[Any],
    summary: str,
    *,
    media: str,
    refusals: tuple[int, ...],
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {
                "description": "The answer",
                "content": {media: {"schema": _reference(answer)}},
            },
            **{str(status): _problem(_REFUSALS[status], media) for status in refusals},
        },
    }
    if request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {media: {"schema": _reference(request)}},
        }
    return operation


def _health_operation() -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(CentreHealth)}}
    return {
        "operationId": "health",
        "summary": "State of the centre",
        "security": [],
        "responses": {
            "200": {"description": "It works", "content": content},
            "503": {"description": "It cannot do its work", "content": content},
        },
    }


def _bundle_operation() -> dict[str, Any]:
    content = {"application/zstd": {"schema": {"type": "string", "contentEncoding": "binary"}}}
    return {
        "operationId": "bundle",
        "summary": "Bytes of a rule bundle, compressed; ranges bytes=N- are served",
        "security": [],
        "parameters": [_path_parameter("{hash}")],
        "responses": {
            "200": {"description": "All of it", "content": content},
            "206": {"description": "The rest of it", "content": content},
            "404": {"description": "No such bundle", "content": problem_content()},
            "416": {"description": "The range is past the end", "content": problem_content()},
        },
    }


def _path_parameter(path: str) -> dict[str, Any]:
    name = path.split("{", 1)[1].split("}", 1)[0]
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _problem(description: str, media: str) -> dict[str, Any]:
    if media != CONTENT_TYPE:
        return {"description": description, "content": problem_content()}
    # Tills are told refusals in their own form, signed like any answer.
    return {
        "description": description,
        "content": {media: {"schema": _reference(messages.Problem)}},
    }


def _reference(kind: type[Any]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
