"""Schemas and the reader of documents agree, on every kind of document and every type in it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from loyalty.canonical import canonical_bytes
from loyalty.cases import CaseDocument, read_case
from loyalty.documents import decode, encode
from loyalty.errors import DocumentError
from loyalty.schema_facts import FACTS
from loyalty.schemas import DOCUMENTS, schema_of
from tests.support.effort import examples
from tests.support.receipt_strategies import Receipt, receipts
from tests.support.schema_strategies import NUMBERS, TEXTS, documents_of

VALIDATORS = {name: jsonschema.Draft202012Validator(schema_of(name)) for name in DOCUMENTS}
DRAWN = {name: documents_of(schema_of(name)) for name in DOCUMENTS}

# What a schema can say; the rest is about two values that do not fit together.
SAID_BY_SCHEMAS = (
    "is not a field here", "is missing", "must be one of ", "must be an integer", "must be a text",
    "must be a list", "must be an object", "must be true or false", "must have ",
)  # fmt: skip

# Bounds of one field: what asks for them is to be told in `schema_facts`.
BOUND = re.compile(r"(be|have) \d+ to \d+\b|must be at least|must not be negative|be positive")

slow = settings(max_examples=examples(80), suppress_health_check=[HealthCheck.too_slow])


def refused(kind: type[object], document: object) -> DocumentError | None:
    """Return why the reader refuses a document; None when it reads it."""
    try:
        read_case(document) if kind is CaseDocument else decode(kind, document)
    except DocumentError as error:
        return error
    return None


@pytest.mark.parametrize("name", DOCUMENTS)
@slow
@given(data=st.data())
def test_what_fits_a_schema_is_read_or_contradicts_itself(name: str, data: st.DataObject) -> None:
    document = data.draw(DRAWN[name])
    assert VALIDATORS[name].is_valid(document)
    error = refused(DOCUMENTS[name], document)
    event("read" if error is None else error.problem[:30])
    if error is not None:
        assert not error.problem.startswith(SAID_BY_SCHEMAS), error
        assert not BOUND.search(error.problem), error


def places(document: object) -> list[tuple[dict[str, object] | list[object], str | int]]:
    """Return each container of the document with each of its keys or indexes."""
    found: list[tuple[dict[str, object] | list[object], str | int]] = []
    if isinstance(document, dict):
        for key, inner in document.items():
            found += [(document, key), *places(inner)]
    elif isinstance(document, list):
        for index, inner in enumerate(document):
            found += [(document, index), *places(inner)]
    return found


others = st.sampled_from([None, True, [], {}, ["a", "a", "a"], {"kind": "every"}, 1.5])
numbers, texts = st.sampled_from(NUMBERS), st.sampled_from(TEXTS)


def changed(document: object, data: st.DataObject) -> object:
    """Return the document with a value left out, added or replaced, often by one like it."""
    copied: object = json.loads(json.dumps(document))
    choices = places(copied)
    if not choices:
        return data.draw(others)
    container, key = data.draw(st.sampled_from(choices))
    how = data.draw(st.sampled_from(("alike", "alike", "alike", "any", "leave out", "add")))
    if how == "leave out":
        del container[key]  # type: ignore[arg-type] # a key of a dict, an index of a list
    elif how == "add" and isinstance(container, dict):
        container[data.draw(st.sampled_from(("kind", "points", "colour")))] = data.draw(others)
    elif how == "add" and isinstance(container, list):
        container.append(data.draw(st.sampled_from(container)))
    else:
        old = container[key]  # type: ignore[index] # as above
        alike = numbers if type(old) is int else texts if isinstance(old, str) else others
        container[key] = data.draw(alike if how == "alike" else others)  # type: ignore[index]
    return copied


@pytest.mark.parametrize("name", DOCUMENTS)
@slow
@given(data=st.data())
def test_what_is_read_fits_its_schema_and_what_it_can_say_it_refuses(
    name: str, data: st.DataObject
) -> None:
    document = changed(data.draw(DRAWN[name]), data)
    fits = VALIDATORS[name].is_valid(document)
    error = refused(DOCUMENTS[name], document)
    event(f"read: {error is None}, fits: {fits}")
    if error is None:
        assert fits
    elif error.problem.startswith(SAID_BY_SCHEMAS):
        assert not fits, error


def drawn_of(kind: type[object]) -> st.SearchStrategy[Any]:
    """Draw documents of a type that stands in one of the schemas."""
    for name, found in DOCUMENTS.items():
        if found is kind:
            return DRAWN[name]
        definitions = schema_of(name)["$defs"]
        if kind.__name__ in definitions:
            return documents_of({**definitions[kind.__name__], "$defs": definitions})
    raise AssertionError(f"{kind.__name__} stands in no schema")


BEYOND: Mapping[str, Callable[[int], object]] = {
    "minimum": lambda bound: bound - 1,
    "maximum": lambda bound: bound + 1,
    "minLength": lambda bound: "x" * (bound - 1),
    "maxLength": lambda bound: "x" * (bound + 1),
    "minItems": lambda _: [],
    "minProperties": lambda _: {},
}


def beyond_bounds(kind: type[object]) -> Iterator[tuple[str, object]]:
    """Yield fields with the value next to each of their bounds, outside."""
    for name, facts in FACTS[kind].items():
        for keyword, bound in facts.items():
            if keyword in BEYOND:
                yield name, BEYOND[keyword](bound)


@pytest.mark.parametrize("kind", FACTS)
@settings(max_examples=examples(5), suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_nothing_beyond_a_bound_is_read(kind: type[object], data: st.DataObject) -> None:
    document = data.draw(drawn_of(kind))
    assume(refused(kind, document) is None)
    for name, value in beyond_bounds(kind):
        assert refused(kind, {**document, name: value}), (name, value)


@settings(max_examples=examples(40))
@given(receipts)
def test_inputs_and_calculations_fit_their_schemas(receipt: Receipt) -> None:
    documents = {
        "bundle": encode(receipt.bundle),
        "basket": encode(receipt.basket),
        "account": encode(receipt.account),
        "programme": encode(receipt.bundle.programme),
        "calculation": json.loads(canonical_bytes(receipt.calculate())),
    }
    for name, document in documents.items():
        VALIDATORS[name].validate(document)
    for offer in receipt.bundle.offers:
        VALIDATORS["offer"].validate(encode(offer))
    case = {
        "moment": encode(receipt.moment),
        "place": encode(receipt.place),
        "basket": encode(receipt.basket),
        "account": {
            **encode_object(receipt.account),
            "identified": receipt.account.identified,
            "account_id": receipt.account.account_id,
        },
        "redeem": encode(receipt.request),
    }
    VALIDATORS["case"].validate(case)
    assert read_case(case).account == receipt.account


def encode_object(value: object) -> dict[str, object]:
    """Return the document of a dataclass."""
    found = encode(value)
    assert isinstance(found, dict)
    return found
