"""JSON Schemas (draft 2020-12) of the documents, made from the types `documents` reads.

Fields, types, choices, defaults and descriptions come from the dataclasses themselves, bounds from
`schema_facts`. Whatever is read fits its schema. The other way round a few things are found on
reading only: two fields that do not fit together, conditions nested too deep, `1.0` for `1`.
"""

import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from textwrap import dedent
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from loyalty import limits
from loyalty.account import AccountSnapshot
from loyalty.basket import Basket
from loyalty.bundle import Bundle, Programme
from loyalty.calculation import Calculation
from loyalty.cases import CaseDocument
from loyalty.documents import encode
from loyalty.offers import LineMatch, Need, Off, Offer, Reward
from loyalty.returns import ReturnCalculation
from loyalty.schema_facts import FACTS, Keywords

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: Final[Mapping[str, type[Any]]] = {
    "account": AccountSnapshot,
    "basket": Basket,
    "bundle": Bundle,
    "calculation": Calculation,
    "case": CaseDocument,
    "offer": Offer,
    "programme": Programme,
    "return": ReturnCalculation,
}
"""The types that have a schema, by its name."""


def schema_of(name: str) -> Schema:
    """Return the schema of a document, a plain JSON value.

    Args:
        name: one of `DOCUMENTS`.
    """
    writer = _Writer()
    body = writer.record(DOCUMENTS[name])
    definitions = dict(sorted(writer.definitions.items()))
    return {"$schema": DIALECT, "title": name, **body, "$defs": definitions}


def summary(name: str) -> str:
    """Return what the document is, in one sentence."""
    return _described(DOCUMENTS[name])[0].partition(". ")[0].rstrip(".") + "."


# From types to schemas

_SCALARS: Final[Mapping[Any, str]] = {
    int: "integer",
    str: "string",
    bool: "boolean",
    type(None): "null",
}
_UNIONS: Final[Mapping[Any, str]] = {
    LineMatch: "LineMatch",
    Need: "Need",
    Off: "Off",
    Reward: "Reward",
}
"""Unions that are written once and referred to; others are written where they stand."""


class _Writer:
    """Writes schemas of types; `definitions` are those that are referred to by name."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def of(self, annotation: Any) -> Schema:  # noqa: ANN401 - whatever may stand after a colon
        """Return the schema of what a field holds."""
        if annotation in _SCALARS:
            return {"type": _SCALARS[annotation]}
        origin, inner = get_origin(annotation), get_args(annotation)
        if origin is Literal:
            return {"enum": list(inner)}
        if origin is tuple:
            return self._list(inner)
        if origin in (Union, types.UnionType):
            return self._choice(annotation, inner)
        if is_dataclass(annotation):
            name: str = annotation.__name__  # type: ignore[union-attr] # the class, not an instance
            return self._reference(name, lambda: self.record(annotation))
        return {"type": "object", "additionalProperties": self.of(inner[1])}

    def record(self, kind: Any, *, is_tagged: bool = False) -> Schema:  # noqa: ANN401 - a dataclass
        """Return the schema of a dataclass.

        Args:
            is_tagged: `kind` must be there, to tell it from others.
        """
        about, about_fields = _described(kind)
        hints = get_type_hints(kind)
        properties: dict[str, Schema] = {}
        required: list[str] = []
        if isinstance(tag := getattr(kind, "kind", None), str):
            properties["kind"] = {"const": tag}
            required += ["kind"] if is_tagged else []
        for each in fields(kind):
            found = self.of(hints[each.name])
            if each.name in about_fields:
                found = {"description": about_fields[each.name], **found}
            default = _default(each)
            if default is MISSING:
                required.append(each.name)
            else:
                found["default"] = encode(default)
            properties[each.name] = _with(found, _facts(kind, each.name))
        return {
            "description": about,
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }

    def _list(self, items: Sequence[Any]) -> Schema:
        found: Schema = {"type": "array", "items": self.of(items[0])}
        if items[-1] is Ellipsis:
            return found
        assert len(set(items)) == 1, "lists of a fixed length hold things of one type"
        return found | {"minItems": len(items), "maxItems": len(items)}

    def _choice(self, union: Any, kinds: Sequence[Any]) -> Schema:  # noqa: ANN401 - a union of types
        if set(kinds) <= set(_SCALARS):
            return {"type": [_SCALARS[kind] for kind in kinds]}
        if not all(isinstance(getattr(kind, "kind", None), str) for kind in kinds):
            return {"oneOf": [self.of(kind) for kind in kinds]}
        if union in _UNIONS:
            return self._reference(_UNIONS[union], lambda: self._tagged(kinds))
        return self._tagged(kinds)

    def _tagged(self, kinds: Sequence[Any]) -> Schema:
        def tagged(kind: Any) -> Schema:  # noqa: ANN401 - a dataclass
            return self._reference(kind.__name__, lambda: self.record(kind, is_tagged=True))

        return {"oneOf": [tagged(kind) for kind in kinds]}

    def _reference(self, name: str, write: Callable[[], Schema]) -> Schema:
        if name not in self.definitions:
            self.definitions[name] = {}  # conditions refer to themselves
            self.definitions[name] = write()
        return {"$ref": f"#/$defs/{name}"}


def _default(each: "Field[Any]") -> Any:  # noqa: ANN401 - a value of the field's type, or MISSING
    return each.default if each.default_factory is MISSING else each.default_factory()


def _facts(kind: type[Any], name: str) -> Keywords:
    for each in kind.__mro__:
        if name in FACTS.get(each, {}):
            return FACTS[each][name]
    return {}


def _with(found: Schema, facts: Keywords) -> Schema:
    joined = dict(found)
    for keyword, value in facts.items():
        known = joined.get(keyword)
        joined[keyword] = _with(known, value) if isinstance(known, dict) else value
    return joined


# From docstrings to descriptions

_FIELD = re.compile(r"^ {4}(\w+(?:, \w+)*):(?= )", re.MULTILINE)
_DESIGN = re.compile(r"\s+\(design: [^)]*\)")
_LIMIT = re.compile(r"`(\w+_MAX)`")


def _described(kind: type[Any]) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of a class, and of each of its fields."""
    about_fields: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        _, section = _sections(each)
        words = _FIELD.split(section)[1:]
        for names, text in zip(words[::2], words[1::2], strict=True):
            about_fields.update(dict.fromkeys(names.split(", "), _plain(text)))
    return _plain(_sections(kind)[0]), about_fields


def _sections(kind: type[Any]) -> tuple[str, str]:
    first, _, rest = (kind.__doc__ or "").partition("\n")
    about, _, section = f"{first}\n{dedent(rest)}".partition("\nAttributes:\n")
    return about, section


def _plain(text: str) -> str:
    """Return the text without what only readers of the code can follow."""
    text = _LIMIT.sub(lambda found: str(getattr(limits, found[1])), _DESIGN.sub("", text))
    return " ".join(text.split())
