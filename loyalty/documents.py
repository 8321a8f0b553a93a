"""Plain JSON values to the rules' dataclasses, strictly.

Unknown fields, wrong types and bad values are refused by their path. The rules may import nothing
but the standard library, so this small reader stands in for a schema library.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from loyalty.errors import AmountError, DocumentError
from loyalty.limits import CONDITION_DEPTH_MAX

T = TypeVar("T")


def decode(kind: type[T], value: object, path: str = "$") -> T:
    """Build `kind` from a plain JSON value.

    Args:
        kind: a dataclass of this package.
        value: what a JSON parser returns.
        path: where the value stands, for messages.

    Raises:
        DocumentError: a field is unknown, missing, of another type or out of bounds;
            the path says which.
    """
    made: T = _decode(kind, value, path, 0)
    return made


def encode(value: object) -> object:
    """Return the plain JSON value that `decode` reads back, without fields at their default."""
    if is_dataclass(value) and not isinstance(value, type):
        document: dict[str, object] = {}
        kind = getattr(type(value), "kind", None)
        if isinstance(kind, str):
            document["kind"] = kind
        for shape in _fields_of(type(value)).values():
            inner = getattr(value, shape.name)
            if shape.required or inner != shape.default():
                document[shape.name] = encode(inner)
        return document
    if isinstance(value, Mapping):
        return {key: encode(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [encode(inner) for inner in value]
    return value


@dataclass(frozen=True, slots=True)
class _Shape:
    name: str
    annotation: Any
    required: bool
    default: Any


@cache
def _fields_of(kind: type[Any]) -> dict[str, _Shape]:
    hints = get_type_hints(kind)
    shapes = {}
    for f in fields(kind):
        required = f.default is MISSING and f.default_factory is MISSING
        default = f.default_factory if f.default_factory is not MISSING else (lambda d=f.default: d)
        shapes[f.name] = _Shape(f.name, hints[f.name], required, default)
    return shapes


def _decode(
    annotation: Any,  # noqa: ANN401 - whatever may stand after a field's colon
    value: object,
    path: str,
    depth: int,
) -> Any:  # noqa: ANN401 - a value of the annotation's type
    if annotation in (int, str, bool):
        return _scalar(annotation, value, path)
    origin = get_origin(annotation)
    if origin is Literal:
        if value not in get_args(annotation):
            raise DocumentError(path, f"must be one of {', '.join(map(str, get_args(annotation)))}")
        return value
    if origin is tuple:
        return _sequence(get_args(annotation), value, path, depth)
    if origin in (Union, types.UnionType):
        if set(get_args(annotation)) <= set(_WORDS):
            return _one_scalar_of(get_args(annotation), value, path)
        return _tagged(get_args(annotation), value, path, depth)
    if not isinstance(value, dict):
        raise DocumentError(path, f"must be an object, not {_json_name(value)}")
    if origin is Mapping or origin is dict or getattr(origin, "__name__", "") == "Mapping":
        inner = get_args(annotation)[1]
        return {key: _decode(inner, item, f"{path}.{key}", depth) for key, item in value.items()}
    return _record(annotation, value, path, depth)


def _scalar(annotation: type[Any], value: object, path: str) -> object:
    if type(value) is not annotation:
        raise DocumentError(path, f"must be {_WORDS[annotation]}, not {_json_name(value)}")
    return value


def _one_scalar_of(kinds: tuple[type[Any], ...], value: object, path: str) -> object:
    if type(value) not in kinds:
        allowed = " or ".join(_WORDS[kind] for kind in kinds)
        raise DocumentError(path, f"must be {allowed}, not {_json_name(value)}")
    return value


_WORDS: dict[type[Any], str] = {
    int: "an integer",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


def _json_name(value: object) -> str:
    return {
        dict: "an object",
        list: "a list",
        float: "a number with a fraction",
    }.get(type(value), _WORDS.get(type(value), type(value).__name__))


def _sequence(items: tuple[Any, ...], value: object, path: str, depth: int) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise DocumentError(path, f"must be a list, not {_json_name(value)}")
    if items[-1] is Ellipsis:
        return tuple(_decode(items[0], item, f"{path}[{i}]", depth) for i, item in enumerate(value))
    if len(items) != len(value):
        raise DocumentError(path, f"must have {len(items)} items, not {len(value)}")
    return tuple(
        _decode(k, v, f"{path}[{i}]", depth)
        for i, (k, v) in enumerate(zip(items, value, strict=True))
    )


def _tagged(kinds: tuple[Any, ...], value: object, path: str, depth: int) -> object:
    # Only tagged values nest without end, so a level of nesting is a tagged value inside another.
    if depth >= CONDITION_DEPTH_MAX:
        raise DocumentError(path, f"is nested deeper than {CONDITION_DEPTH_MAX}")
    by_tag = {kind.kind: kind for kind in kinds}
    tag = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(tag, str) or tag not in by_tag:
        raise DocumentError(f"{path}.kind", f"must be one of {', '.join(sorted(by_tag))}")
    return _decode(by_tag[tag], value, path, depth + 1)


def _record(kind: type[Any], value: dict[str, object], path: str, depth: int) -> object:
    if not is_dataclass(kind):
        raise TypeError(f"{kind} is not a document type")
    shapes = _fields_of(kind)
    tag = getattr(kind, "kind", None)
    found = {}
    for name, inner in value.items():
        if name == "kind" and isinstance(tag, str):
            if inner != tag:
                raise DocumentError(f"{path}.kind", f"must be {tag}")
            continue
        if name not in shapes:
            raise DocumentError(
                f"{path}.{name}", f"is not a field here; known: {', '.join(sorted(shapes))}"
            )
        found[name] = _decode(shapes[name].annotation, inner, f"{path}.{name}", depth)
    for shape in shapes.values():
        if shape.required and shape.name not in found:
            raise DocumentError(f"{path}.{shape.name}", "is missing")
    try:
        return kind(**found)
    except AmountError as error:
        raise DocumentError(path, str(error)) from error
