"""One value, one byte form."""

import pytest

from loyalty.canonical import canonical_bytes
from loyalty.errors import DocumentError
from loyalty.offers import AllOf, AnyOf, NoneOf
from tests.support.builders import having, lot


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    assert canonical_bytes({"b": [1, True, None], "a": "x"}) == b'{"a":"x","b":[1,true,null]}'


def test_text_beyond_ascii_is_escaped() -> None:
    assert canonical_bytes("чек") == b'"\\u0447\\u0435\\u043a"'


def test_a_dataclass_is_an_object_of_all_its_fields() -> None:
    assert canonical_bytes(lot(3, 5)) == (
        b'{"expires_on":"","lot_id":3,"points":5,"restriction":""}'
    )


def test_kinds_with_the_same_fields_have_different_bytes() -> None:
    parts = (having("sku", "a"),)
    forms = {canonical_bytes(kind(of=parts)) for kind in (AllOf, AnyOf, NoneOf)}
    assert len(forms) == 3


def test_lists_and_tuples_are_the_same() -> None:
    assert canonical_bytes((1, 2)) == canonical_bytes([1, 2])


@pytest.mark.parametrize("value", [1.5, float("nan"), b"x", {1}, object(), int])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(DocumentError, match=r"^\$\.a: .* has no canonical form"):
        canonical_bytes({"a": [value]})
