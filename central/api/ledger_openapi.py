"""The calls about accounts and the ledger as the OpenAPI document describes them."""

import re
from typing import Any, Final

from central.api.ledger_routes import (
    BannerRequest,
    GiveUpRequest,
    MergeRequest,
    MoveRequest,
    ProgrammeRequest,
)
from central.api.problems import problem_content
from central.ledger.adjustments import Adjusted, Adjustment, AdjustmentTerms
from central.ledger.card_moves import CardMoved
from central.ledger.liability import Liability
from central.ledger.merging import Merged, MergeRow, Restored
from central.ledger.sealing import InclusionProof, Seal
from central.people.tiers import TierState, TierTerms
from central.programmes.registry import ProgrammeRow
from central.programmes.wallets import Wallet
from central.streams.parked_queue import ParkedQueue, ParkedRecord
from central.streams.used_codes import CodeTwice

KINDS: Final[tuple[type[Any], ...]] = (
    MergeRequest, MoveRequest, Adjusted, Adjustment, AdjustmentTerms, Liability,
    CardMoved, Merged, MergeRow, Restored, InclusionProof, Seal, TierState, TierTerms,
    ProgrammeRequest, BannerRequest, ProgrammeRow, Wallet, GiveUpRequest, ParkedQueue, ParkedRecord,
    CodeTwice,
)  # fmt: skip

_Schema = dict[str, Any]
_JSON: Final = "application/json"
_REFUSALS: Final = {
    "400": "The body is too long",
    "401": "The caller did not prove who it is",
    "403": "This person may not; the message says why",
    "404": "There is no such thing here",
    "409": "It is not so that this can be done; the message says why",
    "422": "The request is readable and not valid; the message names the field",
    "503": "It takes longer than a call may, or too much waits; the message says which",
}


def _reference(kind: type[Any]) -> _Schema:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _list(kind: type[Any]) -> _Schema:
    return {"type": "array", "items": _reference(kind)}


_ASKED: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "/v1/codes": (("account", "Of this account; of all without it"),),
    "/v1/parked": (
        ("store", "Of this store's tills"),
        ("days", "Those that have waited so long at least"),
        ("rows", "At most so many, 100 without it"),
    ),
}
_CALLS: Final[tuple[tuple[str, str, str, _Schema | None, _Schema], ...]] = (
    ("get", "/v1/ledger/liability", "Points owed at the end of a day", None, _reference(Liability)),
    ("get", "/v1/ledger/seals", "The newest sealed days", None, _list(Seal)),
    ("get", "/v1/ledger/inclusion/{subject}", "Prove that entries stand in sealed days", None,
     _reference(InclusionProof)),
    ("get", "/v1/accounts/{account}/merges", "Merges of an account", None, _list(MergeRow)),
    ("post", "/v1/accounts/{account}/merge", "Move everything of an account to another one",
     _reference(MergeRequest), _reference(Merged)),
    ("post", "/v1/merges/{merge}/undo", "Make two accounts of one again", None,
     _reference(Restored)),
    ("post", "/v1/card-moves", "Give a card to another account", _reference(MoveRequest),
     _reference(CardMoved)),
    ("post", "/v1/card-moves/{move}/undo", "Give a card back", None, _reference(CardMoved)),
    ("get", "/v1/adjustments/terms", "Why points may be given or taken, and how many a day", None,
     _reference(AdjustmentTerms)),
    ("post", "/v1/adjustments", "Give points to an account or take them", _reference(Adjustment),
     _reference(Adjusted)),
    ("get", "/v1/accounts/{account}/wallets", "Accounts of all programmes its cards lead to", None,
     _list(Wallet)),
    ("get", "/v1/accounts/{account}/tier", "Where an account stands", None, _reference(TierState)),
    ("get", "/v1/tiers/terms", "How tiers are reached and lost", None, _reference(TierTerms)),
    ("put", "/v1/tiers/terms", "Put other terms of tiers in force", _reference(TierTerms),
     _reference(TierTerms)),
    ("get", "/v1/programmes", "Programmes and the banners that have them", None,
     _list(ProgrammeRow)),
    ("post", "/v1/programmes", "Add a programme", _reference(ProgrammeRequest),
     _reference(ProgrammeRow)),
    ("post", "/v1/banners", "Give a banner a programme", _reference(BannerRequest),
     _reference(ProgrammeRow)),
    ("get", "/v1/codes", "Receipts with a one-time code that another one had been shown", None,
     _list(CodeTwice)),
    ("get", "/v1/parked", "Records that wait, the oldest first", None, _reference(ParkedQueue)),
    ("post", "/v1/parked/{record}/give-up", "End a record that waits: kept, told, never posted",
     _reference(GiveUpRequest), _reference(ParkedRecord)),
)  # fmt: skip


def ledger_paths() -> dict[str, dict[str, Any]]:
    """Return the paths of the document."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, summary, body, answer in _CALLS:
        paths.setdefault(path, {})[method] = _operation(method, path, summary, body, answer)
    return paths


def _operation(
    method: str, path: str, summary: str, body: _Schema | None, answer: _Schema
) -> dict[str, Any]:
    text = {"type": "string"}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"{([a-z]+)}", path)
    ]
    for name, says in _ASKED.get(path, ()):
        asked: dict[str, Any] = {"name": name, "in": "query", "required": False, "schema": text}
        parameters.append({**asked, "description": says})
    if path.endswith("liability"):
        parameters.append({"name": "day", "in": "query", "required": False, "schema": text})
    if method == "get" and path.endswith(("liability", "tiers/terms")):
        parameters.append({"name": "programme", "in": "query", "required": False, "schema": text})
    operation: dict[str, Any] = {
        "operationId": method + "".join(part.title() for part in re.findall(r"[a-z]+", path[3:])),
        "summary": summary,
        "security": [{"person": []}] if method != "get" else [{"person": []}, {"office": []}],
        "parameters": parameters,
        "responses": {
            "200": {"description": "The answer", "content": {_JSON: {"schema": answer}}},
            **{
                status: {"description": says, "content": problem_content()}
                for status, says in _REFUSALS.items()
            },
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    return operation
