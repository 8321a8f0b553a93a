"""One byte form for values that are hashed or compared.

JSON with keys sorted, no spaces, ASCII, integers only.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from loyalty.errors import DocumentError


def canonical_bytes(value: object) -> bytes:
    """Return the canonical bytes of dataclasses, mappings, sequences, strings, integers, booleans.

    Raises:
        DocumentError: the value holds a float or a type that has no canonical form.
    """
    return json.dumps(
        _plain(value, "$"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode("ascii")


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def _plain(value: object, path: str) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        plain = {name: _plain(getattr(value, name), path) for name in _field_names(type(value))}
        # "all of" and "none of" have the same fields: without the tag they had the same bytes.
        kind = getattr(type(value), "kind", None)
        return {**plain, "kind": kind} if isinstance(kind, str) else plain
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{path}.{key}") for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner, path) for inner in value]
    raise DocumentError(path, f"{type(value).__name__} has no canonical form")
