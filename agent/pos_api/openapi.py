"""The OpenAPI 3.1 document of the loopback API, made from the types the routes read and write."""

from functools import cache
from typing import Any

import msgspec

from agent.health import HealthReport
from agent.till_service.messages import (
    CompleteRequest,
    CourierAnswer,
    CourierRequest,
    GrantRequest,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
    ReturnAnswer,
    ReturnRequest,
)
from agent.till_service.receipt_codes import RecordedCode
from loyalty.calculation import Calculation
from loyalty.returns import ReturnCalculation


class Nothing(msgspec.Struct, frozen=True):
    """An answer that says no more than that the call was taken."""


_CALLS: tuple[tuple[str, str, str, type[Any] | None, type[Any], str], ...] = (
    (
        "put",
        "/v1/receipts/{receipt_id}",
        "update",
        ReceiptRequest,
        ReceiptAnswer,
        "Calculate a receipt as it stands",
    ),
    (
        "post",
        "/v1/receipts/{receipt_id}/reserve",
        "reserve",
        ReserveRequest,
        ReceiptAnswer,
        "Set points aside",
    ),
    (
        "post",
        "/v1/receipts/{receipt_id}/complete",
        "complete",
        CompleteRequest,
        ReceiptAnswer,
        "Record the receipt durably; print after it",
    ),
    (
        "post",
        "/v1/receipts/{receipt_id}/cancel",
        "cancel",
        None,
        ReceiptAnswer,
        "Give the receipt up",
    ),
    (
        "post",
        "/v1/receipts/{receipt_id}/courier",
        "askCourier",
        CourierRequest,
        CourierAnswer,
        "Ask for points by the customer's telephone",
    ),
    (
        "get",
        "/v1/receipts/{receipt_id}/code",
        "code",
        None,
        RecordedCode,
        "The code of a recorded receipt, to print it once more",
    ),
    (
        "post",
        "/v1/courier",
        "takeGrant",
        GrantRequest,
        CourierAnswer,
        "Take what the customer's telephone brought",
    ),
    (
        "post",
        "/v1/returns/{return_id}",
        "return",
        ReturnRequest,
        ReturnAnswer,
        "Preview or confirm a return of lines or parts of them",
    ),
    ("get", "/v1/health", "health", None, HealthReport, "State of the till"),
    ("post", "/v1/link/talk", "talk", None, Nothing, "Talk to the centre now; 202, not waited for"),
)


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document as a plain JSON value."""
    kinds = [kind for call in _CALLS for kind in call[3:5] if isinstance(kind, type)]
    kinds += [Calculation, ReturnCalculation]
    (*_,), components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    # In the types a calculation is raw JSON, encoded once; here stands what it holds.
    for name, inner in (("ReceiptAnswer", "Calculation"), ("ReturnAnswer", "ReturnCalculation")):
        components[name]["properties"]["calculation"] = {"$ref": f"#/components/schemas/{inner}"}
    components["Problem"] = {
        "type": "object",
        "required": ["error", "message"],
        "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
    }
    paths: dict[str, Any] = {}
    for method, path, name, request, answer, summary in _CALLS:
        paths.setdefault(path, {})[method] = _operation(path, name, request, answer, summary)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tillside till API",
            "version": "1",
            "description": "What a register's program calls"
            " on the loopback address of its own till.",
        },
        "servers": [{"url": "http://127.0.0.1:7710"}],
        "security": [{"register": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"register": {"type": "http", "scheme": "bearer"}},
        },
    }
    # Plain JSON all through: the types' defaults are tuples.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def _operation(
    path: str, name: str, request: type[Any] | None, answer: type[Any], summary: str
) -> dict[str, Any]:
    said, problem = _content(answer.__name__), _content("Problem")
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {
            "202" if answer is Nothing else "200": {
                "description": "The answer; its outcome says what happened",
                **said,
            },
            "401": {"description": "The token is missing or wrong", **problem},
            "422": {
                "description": "The request is readable and not valid; the message names the field",
                **problem,
            },
            "503": {
                "description": "The journal cannot be written; sell without loyalty",
                **problem,
            },
            "default": {"description": "The message says what to do", **problem},
        },
    }
    if "{" in path:
        parameter = path.split("{", 1)[1].split("}", 1)[0]
        operation["parameters"] = [
            {
                "name": parameter,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "format": "uuid"},
            }
        ]
        responses = operation["responses"]
        responses["409"] = {"description": "Another version or content is already known", **said}
        responses["503"] |= _content(answer.__name__, "Problem")
    if answer in (ReturnAnswer, CourierAnswer):
        operation["responses"]["422"] |= _content(answer.__name__, "Problem")
    if answer is CourierAnswer:
        operation["responses"]["409"] = {"description": "It is not, or no longer, awaited", **said}
        operation["responses"]["503"] |= _content(answer.__name__, "Problem")
    if answer is ReturnAnswer:
        operation["responses"]["404"] = {
            "description": "The receipt is not known here; it may be returned all the same",
            **_content("ReturnAnswer", "Problem"),
        }
    if request is not None:
        operation["requestBody"] = {"required": True, **_content(request.__name__)}
    return operation


def _content(*names: str) -> dict[str, Any]:
    """Return the JSON content that is one of the named schemas."""
    schemas = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"content": {"application/json": {"schema": schema}}}
