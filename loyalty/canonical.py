"""One byte form for values that are hashed or compared.

JSON with keys sorted, no spaces, ASCII, integers only.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from loyalty.errors import DocumentError


def canonical_bytes(value: object) -> bytes:
    """Return the canonical bytes of dataclasses, mappings, sequences, strings, integers, booleans.

    Raises:
        DocumentError: the value holds a float or a type that has no canonical form.
    """
    return json.dumps(
        _plain(value, "$"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode("ascii")


_SCALARS = frozenset({int, str, bool, type(None)})


_Shape = tuple[tuple[str, ...], str]
_shapes: dict[type, _Shape | None] = {}


def _shape(kind: type) -> _Shape | None:
    """Field names and tag of a dataclass; None for any other type."""
    if kind not in _shapes:
        tag = getattr(kind, "kind", "")
        names = tuple(f.name for f in fields(kind)) if is_dataclass(kind) else None
        _shapes[kind] = None if names is None else (names, tag if isinstance(tag, str) else "")
    return _shapes[kind]


def _plain(value: object, path: str) -> object:
    kind = type(value)
    if kind in _SCALARS or isinstance(value, str):
        return value
    if (shape := _shape(kind)) is not None:
        names, tag = shape
        plain = {name: _plain(getattr(value, name), path) for name in names}
        if tag:
            # "all of" and "none of" have the same fields: without the tag they had the same bytes.
            plain["kind"] = tag
        return plain
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{path}.{key}") for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner, path) for inner in value]
    raise DocumentError(path, f"{kind.__name__} has no canonical form")
