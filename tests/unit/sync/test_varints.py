"""Numbers come back as they were; what is no number is told so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import MalformedMessageError
from sync.limits import COUNT_MAX
from sync.varints import pack_numbers, unpack_numbers


@given(st.lists(st.integers(0, COUNT_MAX)))
def test_what_is_packed_comes_back(numbers: list[int]) -> None:
    assert unpack_numbers(pack_numbers(numbers)) == numbers


def test_a_number_takes_a_byte_for_seven_bits() -> None:
    assert pack_numbers([0, 127, 128, 16_383, 16_384]) == bytes.fromhex("00 7f 8001 ff7f 808001")


@pytest.mark.parametrize(
    "packed", [b"\x80", b"\x01\xff", pack_numbers([COUNT_MAX + 1]), b"\x80" * 40 + b"\x00"]
)
def test_what_is_cut_short_or_too_large_is_malformed(packed: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        unpack_numbers(packed)
