"""The calls about customers as persons as the OpenAPI document describes them."""

import re
from typing import Any, Final

from central.api.customer_routes import CustomersFound, ErasureRequest, FindRequest
from central.api.problems import problem_content
from central.privacy.customers import Consent, CustomerData, CustomerView
from central.privacy.erasing import Erasures, ErasureState
from central.privacy.exporting import CustomerExport

KINDS: Final[tuple[type[Any], ...]] = (
    CustomersFound, ErasureRequest, FindRequest, Consent, CustomerData, CustomerView, Erasures,
    ErasureState, CustomerExport,
)  # fmt: skip

_JSON: Final = "application/json"
_REFUSALS: Final = {
    "400": "The body is too long",
    "401": "The caller did not prove who it is",
    "403": "This person may not; the message says why",
    "404": "There is no such customer, or it was erased",
    "422": "The request is readable and not valid; the message names the field",
}
_CALLS: Final[tuple[tuple[str, str, str, type[Any] | None, type[Any]], ...]] = (
    ("post", "/v1/customers/find", "Find customers by telephone or mail", FindRequest,
     CustomersFound),
    ("get", "/v1/customers/{account}", "What is known of a customer as a person", None,
     CustomerView),
    ("put", "/v1/customers/{account}", "Keep what is known of a customer", CustomerData,
     CustomerView),
    ("post", "/v1/customers/{account}/consents", "Write down what a customer agrees to", Consent,
     CustomerView),
    ("get", "/v1/customers/{account}/export", "Everything that is kept about a customer", None,
     CustomerExport),
    ("post", "/v1/customers/{account}/erasure", "Forget a customer, here and at every till",
     ErasureRequest, ErasureState),
    ("get", "/v1/erasures", "The newest erasures", None, Erasures),
    ("get", "/v1/erasures/{erasure}", "How far an erasure has come, tills that are missing", None,
     ErasureState),
)  # fmt: skip


def customer_paths() -> dict[str, dict[str, Any]]:
    """Return the paths of the document."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, summary, body, answer in _CALLS:
        paths.setdefault(path, {})[method] = _operation(method, path, summary, body, answer)
    return paths


def _operation(
    method: str, path: str, summary: str, body: type[Any] | None, answer: type[Any]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": method + "".join(part.title() for part in re.findall(r"[a-z]+", path[3:])),
        "summary": summary,
        "security": [{"person": []}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{([a-z]+)}", path)
        ],
        "responses": {
            "200": {"description": "The answer", "content": _content(answer)},
            **{
                status: {"description": says, "content": problem_content()}
                for status, says in _REFUSALS.items()
            },
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    return operation


def _content(kind: type[Any]) -> dict[str, Any]:
    return {_JSON: {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
