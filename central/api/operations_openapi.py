"""The calls of those who operate the centre, as the OpenAPI document describes them."""

from typing import Any, Final

from central.alerts.incidents import Incident
from central.api.operations_routes import PATH_AVAILABILITY, PATH_INCIDENTS
from central.api.problems import problem_content
from central.availability.report import Availability

KINDS: Final[tuple[type[Any], ...]] = (Availability, Incident)
_REFUSALS: Final = {
    "401": "The caller did not prove who it is",
    "404": "There is no such store",
    "422": "The request is readable and not valid; the message names the field",
}
_ASKED: Final = (
    ("from", "Begin, `2026-03-05T12:00Z`; an hour before the end without it"),
    ("to", "End, not in it; now without it"),
    ("by", "Step of a row: `minute`, `hour` or `day`, UTC"),
    ("store", "Of this store"),
    ("banner", "Of this banner"),
    ("region", "Of this region"),
)


def operations_paths() -> dict[str, Any]:
    """Return the paths."""
    refusals = {
        status: {"description": says, "content": problem_content()}
        for status, says in _REFUSALS.items()
    }
    answer = {"schema": {"$ref": f"#/components/schemas/{Availability.__name__}"}}
    operation = {
        "operationId": "availability",
        "summary": "How customers were served, as receipts say",
        "security": [{"office": []}],
        "parameters": [
            {"name": name, "in": "query", "description": says, "schema": {"type": "string"}}
            for name, says in _ASKED
        ],
        "responses": {
            "200": {"description": "Done", "content": {"application/json": answer}},
            **refusals,
        },
    }
    incidents = {
        "operationId": "incidents",
        "summary": "What is wrong or was, the newest, those that go on first",
        "security": [{"office": []}],
        "responses": {
            "200": {
                "description": "Done",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "array",
                            "items": {"$ref": f"#/components/schemas/{Incident.__name__}"},
                        }
                    }
                },
            },
            "401": refusals["401"],
        },
    }
    return {PATH_AVAILABILITY: {"get": operation}, PATH_INCIDENTS: {"get": incidents}}
