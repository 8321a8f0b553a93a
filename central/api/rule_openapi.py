"""The calls about rules as the OpenAPI document describes them."""

import re
from typing import Any, Final

from central.api.problems import problem_content
from central.api.rule_routes import Done, Pinned, PinRequest, RingRequest, WhyRequest
from central.rules.comparing import Difference
from central.rules.drafts import DraftRow
from central.rules.due import StaleReceipts
from central.rules.guards import GuardSettings
from central.rules.pinning import Pin
from central.rules.releases import Release
from central.staff.audit import AuditRow
from loyalty.checking import Finding
from sync.roots import RootDocument, SignedRoot

KINDS: Final[tuple[type[Any], ...]] = (
    DraftRow, Release, Pin, AuditRow, Difference, Finding, GuardSettings,
    RingRequest, WhyRequest, PinRequest, Pinned, Done, StaleReceipts, SignedRoot, RootDocument,
)  # fmt: skip

_JSON: Final = "application/json"
_FILE: Final = "application/octet-stream"
_BINARY: Final = {"type": "string", "contentEncoding": "binary"}
_REFUSALS: Final = {
    "400": "The body is too long",
    "401": "The caller did not prove who it is",
    "403": "This person may not; the message names the role",
    "404": "There is no such thing here",
    "422": "The request is readable and not valid; the message names the field",
}


def _reference(kind: type[Any]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _list(kind: type[Any]) -> dict[str, Any]:
    return {"type": "array", "items": _reference(kind)}


_Schema = dict[str, Any]
_DRAFT: Final = "/v1/rules/drafts/{name}"
_RELEASE: Final = "/v1/rules/releases/{version}"
_PIN: Final = "/v1/rules/pins/{scope}/{name}"

_CALLS: Final[tuple[tuple[str, str, str, _Schema | None, _Schema], ...]] = (
    ("get", "/v1/rules/drafts", "List drafts", None, _list(DraftRow)),
    ("post", _DRAFT, "Keep a rule document as a draft's next version", {"type": "object"},
     _reference(DraftRow)),
    ("get", _DRAFT, "The rule document of a draft", None, {"type": "object"}),
    ("get", f"{_DRAFT}/findings", "What is wrong with a draft", None, _list(Finding)),
    ("get", f"{_DRAFT}/difference", "What a draft changes", None, _reference(Difference)),
    ("post", f"{_DRAFT}/approval", "Approve what somebody else has drafted", None,
     _reference(DraftRow)),
    ("get", f"{_DRAFT}/release", "The file that is signed where the key is", None, _BINARY),
    ("get", "/v1/rules/releases", "List releases", None, _list(Release)),
    ("post", "/v1/rules/releases", "Publish a signed file", _BINARY, _reference(Release)),
    ("get", _RELEASE, "A release", None, _reference(Release)),
    ("get", f"{_RELEASE}/document", "A release's rule document; `live` is what all tills have",
     None, {"type": "object"}),
    ("post", f"{_RELEASE}/rings", "Announce a release to more tills", _reference(RingRequest),
     _reference(Release)),
    ("post", f"{_RELEASE}/halt", "Take a release away until somebody resumes it",
     _reference(WhyRequest), _reference(Release)),
    ("post", f"{_RELEASE}/resume", "Give a halted release back to its rings",
     _reference(WhyRequest), _reference(Release)),
    ("post", f"{_RELEASE}/roll-back", "Withdraw a release for good", _reference(WhyRequest),
     _reference(Release)),
    ("get", "/v1/rules/difference", "What two rule documents do not have in common", None,
     _reference(Difference)),
    ("get", "/v1/rules/stale",
     "Receipts with older rules than were due, by release, the newest thousand", None,
     _list(StaleReceipts)),
    ("get", "/v1/rules/roots", "Root documents: which keys may sign, the first one first", None,
     _list(SignedRoot)),
    ("post", "/v1/rules/roots", "Install the next root document, signed", _reference(SignedRoot),
     _reference(RootDocument)),
    ("get", "/v1/rules/pins", "List pins", None, _list(Pin)),
    ("put", _PIN, "Give one till or store one release", _reference(PinRequest), _reference(Pinned)),
    ("delete", _PIN, "Let a till or store follow its rings again", None, _reference(Done)),
    ("get", "/v1/audit", "Who did what, the newest first", None, _list(AuditRow)),
)  # fmt: skip

_TEXT: Final = {"type": "string"}
_ASKED: Final[dict[tuple[str, str], dict[str, tuple[str, _Schema]]]] = {
    ("post", _DRAFT): {"note": ("For whoever reads it later", _TEXT)},
    ("get", f"{_DRAFT}/release"): {
        "activate_at": ("Local time of each store, YYYY-MM-DDTHH:MM:SS; else at once", _TEXT),
    },
    ("post", "/v1/rules/releases"): {
        "ring": (
            "Who gets it first, as POST .../rings takes it; repeat. Without one nobody does yet",
            {"type": "array", "items": _TEXT},
        ),
        "guards": ("What the release may show: a JSON object, GuardSettings", _TEXT),
    },
    ("get", "/v1/rules/difference"): {
        "before": ("A draft, `summer@2`, the version of a release, or `live` (default)", _TEXT),
        "after": ("The same", _TEXT),
    },
    ("get", "/v1/audit"): {"subject": ("Of this alone, `release:12`", _TEXT)},
}  # fmt: skip
"""What stands behind the question mark, by call: what it means, and its schema."""


def rule_paths() -> dict[str, dict[str, Any]]:
    """Return the paths of the document."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, summary, body, answer in _CALLS:
        paths.setdefault(path, {})[method] = _operation(method, path, summary, body, answer)
    return paths


def _operation(
    method: str, path: str, summary: str, body: _Schema | None, answer: _Schema
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": method + "".join(part.title() for part in re.findall(r"[a-z]+", path[3:])),
        "summary": summary,
        "security": [{"person": []}] if method != "get" else [{"person": []}, {"office": []}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{([a-z]+)}", path)
        ]
        + [
            {"name": name, "in": "query", "description": says, "schema": schema}
            for name, (says, schema) in _ASKED.get((method, path), {}).items()
        ],
        "responses": {
            "200": {"description": "The answer", "content": {_media(answer): {"schema": answer}}},
            **{
                status: {"description": says, "content": problem_content()}
                for status, says in _REFUSALS.items()
            },
        },
    }
    if body is not None:
        content = {_media(body): {"schema": body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _media(schema: _Schema) -> str:
    return _FILE if schema is _BINARY else _JSON
