"""Whatever comes in as a document is read, or refused with a named error; nothing else happens."""

import json
from dataclasses import replace

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from loyalty.account import AccountSnapshot, RedeemRequest, SpendRight
from loyalty.basket import Basket, Moment, Place
from loyalty.bundle import Bundle
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.documents import decode, encode
from loyalty.errors import DocumentError, RuleSetError
from tests.support.effort import examples
from tests.support.receipt_strategies import Receipt, receipts

KINDS = (Basket, Bundle, AccountSnapshot, SpendRight, RedeemRequest, Moment, Place, Calculation)
WORDS = ("kind", "lines", "offers", "gives", "of", "percent", "all", "every", "", "2025-03-05", "1")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=5),
)
garbage = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), inner, max_size=3),
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(40))
@given(document=garbage)
def test_garbage_raises_a_document_error_that_names_a_path(
    kind: type[object], document: object
) -> None:
    try:
        made = decode(kind, document)
    except DocumentError as error:
        assert error.path.startswith("$")  # noqa: PT017 - most garbage raises, some is a document
        assert error.problem  # noqa: PT017
    else:
        assert decode(kind, encode(made)) == made


def places(document: object) -> list[tuple[object, str | int]]:
    """Return each container of the document with each of its keys or indexes."""
    found: list[tuple[object, str | int]] = []
    if isinstance(document, dict):
        for key, inner in document.items():
            found += [(document, key), *places(inner)]
    elif isinstance(document, list):
        for index, inner in enumerate(document):
            found += [(document, index), *places(inner)]
    return found


def spoilt(document: object, data: st.DataObject) -> object:
    """Return the document with one value left out, put elsewhere or replaced by garbage."""
    copied = json.loads(json.dumps(document))
    choices = places(copied)
    if not choices:
        return data.draw(garbage)
    at = data.draw(st.integers(0, len(choices) - 1))
    container, key = choices[at]
    assert isinstance(container, dict | list)
    if data.draw(st.booleans()):
        container[key] = data.draw(garbage)  # type: ignore[index]
    else:
        del container[key]  # type: ignore[arg-type]
    return copied


@settings(max_examples=examples(100))
@given(receipts, st.data())
def test_a_spoilt_bundle_is_refused_or_calculates(receipt: Receipt, data: st.DataObject) -> None:
    try:
        bundle = decode(Bundle, spoilt(encode(receipt.bundle), data))
        result = replace(receipt, bundle=bundle).calculate()
    except (DocumentError, RuleSetError) as error:
        event(type(error).__name__)
    else:
        event("calculated")
        assert canonical_bytes(decode(Calculation, json.loads(canonical_bytes(result))))


@settings(max_examples=examples(40))
@given(receipts, st.data())
def test_a_spoilt_basket_is_refused_or_calculates(receipt: Receipt, data: st.DataObject) -> None:
    try:
        basket = decode(Basket, spoilt(encode(receipt.basket), data))
    except DocumentError as error:
        event(error.problem[:20])
    else:
        assert replace(receipt, basket=basket).calculate().totals.gross_minor >= 0


@settings(max_examples=examples(40))
@given(receipts, st.data())
def test_a_spoilt_calculation_is_refused_or_read(receipt: Receipt, data: st.DataObject) -> None:
    stored = json.loads(canonical_bytes(receipt.calculate()))
    try:
        read = decode(Calculation, spoilt(stored, data))
    except DocumentError:
        event("refused")
    else:
        assert canonical_bytes(decode(Calculation, encode(read))) == canonical_bytes(read)
