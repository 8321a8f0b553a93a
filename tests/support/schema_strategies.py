"""Documents drawn from a JSON Schema, for as much of the language as our schemas use."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]
Documents = st.SearchStrategy[Any]

# Among them is a text for every pattern; the longest is one too long for a name.
TEXTS = (
    "a", "b", "", "2025-03-05", "2025-03-05T12:00:00", "2025-03-06", "09:00", "24:00", "max",
    "group", "sku", "x" * 200, "x" * 201,
)  # fmt: skip
NUMBERS = (0, 1, 2, 5, 7, 8, 99, 100, 101, 1_000, 1_000_000, 10**12, -1)
ITEMS_MAX = 2


def documents_of(schema: Schema) -> Documents:
    """Draw small documents that fit the schema; not every field that may be left out is there."""
    known: dict[str, Documents] = {}

    def drawn(part: Schema) -> Documents:
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            if name not in known:
                known[name] = st.deferred(lambda: drawn(schema["$defs"][name]))
            return known[name]
        if "oneOf" in part:
            others = {keyword: value for keyword, value in part.items() if keyword != "oneOf"}
            return st.one_of(*(drawn({**others, **choice}) for choice in part["oneOf"]))
        if "const" in part:
            return st.just(part["const"])
        if "enum" in part:
            return st.sampled_from(part["enum"])
        if isinstance(part["type"], list):
            return st.one_of(*(drawn({**part, "type": each}) for each in part["type"]))
        return _BY_TYPE[part["type"]](part, drawn)

    return drawn(schema)


Draw = Callable[[Schema], Documents]


def _text(part: Schema, _: Draw) -> Documents:
    return st.sampled_from([text for text in TEXTS if _fits(text, part)])


def _fits(text: str, part: Schema) -> bool:
    return part.get("minLength", 0) <= len(text) <= part.get("maxLength", len(text)) and bool(
        re.search(part.get("pattern", ""), text)
    )


def _number(part: Schema, _: Draw) -> Documents:
    least, most = part.get("minimum", -(10**20)), part.get("maximum", 10**20)
    found = [number for number in NUMBERS if least <= number <= most]
    bounds = [part[name] for name in ("minimum", "maximum") if name in part]
    return st.one_of(st.sampled_from(found + bounds), st.integers(least, min(most, least + 10**6)))


def _list(part: Schema, drawn: Draw) -> Documents:
    least = part.get("minItems", 0)
    most = min(part.get("maxItems", ITEMS_MAX), max(least, ITEMS_MAX))
    return st.lists(drawn(part["items"]), min_size=least, max_size=most)


def _object(part: Schema, drawn: Draw) -> Documents:
    if "properties" not in part:
        return st.dictionaries(
            _text(part.get("propertyNames", {}), drawn),
            drawn(part["additionalProperties"]),
            min_size=part.get("minProperties", 0),
            max_size=ITEMS_MAX,
        )
    required = set(part.get("required", ()))
    found = {name: drawn(inner) for name, inner in part["properties"].items()}
    return st.fixed_dictionaries(
        {name: inner for name, inner in found.items() if name in required},
        optional={name: inner for name, inner in found.items() if name not in required},
    )


_BY_TYPE: dict[str, Callable[[Schema, Draw], Documents]] = {
    "string": _text,
    "integer": _number,
    "boolean": lambda _, __: st.booleans(),
    "null": lambda _, __: st.none(),
    "array": _list,
    "object": _object,
}
