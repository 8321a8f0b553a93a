"""The calls of those who operate the centre, as the OpenAPI document describes them."""

from typing import Any, Final

from central.alerts.incidents import Incident
from central.api.operations_routes import PATH_AVAILABILITY, PATH_INCIDENTS, PATH_UNEQUAL
from central.api.problems import problem_content
from central.availability.report import Availability
from central.streams.unequal import ROWS_DEFAULT, ROWS_MAX, UnequalPage

KINDS: Final[tuple[type[Any], ...]] = (Availability, Incident, UnequalPage)
_REFUSALS: Final = {
    "401": "The caller did not prove who it is",
    "404": "There is no such store, or receipt to go on from",
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
_PAGED: Final = (
    ("before", "`next` of the page before"),
    ("rows", f"At most so many, up to {ROWS_MAX}; {ROWS_DEFAULT} without it"),
)


def operations_paths() -> dict[str, Any]:
    """Return the paths."""
    refusals = {
        status: {"description": says, "content": problem_content()}
        for status, says in _REFUSALS.items()
    }
    operation = _asking(
        "availability", "How customers were served, as receipts say", _ASKED, Availability, refusals
    )
    unequal = _asking(
        "unequal", "Receipts the centre calculates otherwise, newest first, both calculations",
        _PAGED, UnequalPage, refusals,
    )  # fmt: skip
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
    return {
        PATH_AVAILABILITY: {"get": operation},
        PATH_INCIDENTS: {"get": incidents},
        PATH_UNEQUAL: {"get": unequal},
    }


def _asking(
    name: str,
    summary: str,
    asked: tuple[tuple[str, str], ...],
    found: type[Any],
    refusals: dict[str, Any],
) -> dict[str, Any]:
    answer = {"schema": {"$ref": f"#/components/schemas/{found.__name__}"}}
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"office": []}],
        "parameters": [
            {"name": name, "in": "query", "description": says, "schema": {"type": "string"}}
            for name, says in asked
        ],
        "responses": {
            "200": {"description": "Done", "content": {"application/json": answer}},
            **refusals,
        },
    }
