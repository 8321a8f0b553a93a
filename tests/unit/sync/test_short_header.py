"""The short header says what four long ones say, and garbage is no header."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import MalformedMessageError
from sync.short_header import (
    ShortHeader,
    read_short,
    read_signature,
    write_short,
    write_signature,
)

SIGNATURE = bytes(range(64))
headers = st.builds(
    ShortHeader,
    till_id=st.integers(1, 2**62),
    nonce=st.binary(min_size=12, max_size=12),
    tag=st.binary(min_size=4, max_size=4),
    signature=st.binary(min_size=64, max_size=64) | st.binary(min_size=16, max_size=16),
)


@given(headers)
def test_what_is_written_is_read(header: ShortHeader) -> None:
    text = write_short(header)
    assert read_short(text) == header
    assert text.isascii()
    assert len(text) <= 118


def test_its_text_is_always_the_same() -> None:
    header = ShortHeader(till_id=50_000, nonce=b"n" * 12, tag=b"tttt", signature=SIGNATURE)
    assert write_short(header) == (
        "bm5ubm5ubm5ubm5udHR0dAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAx"
        "MjM0NTY3ODk6Ozw9Pj_DUA"
    )


def test_a_mac_makes_it_half_as_long() -> None:
    header = ShortHeader(till_id=50_000, nonce=b"n" * 12, tag=b"tttt", signature=SIGNATURE[:16])
    assert write_short(header) == "bm5ubm5ubm5ubm5udHR0dAABAgMEBQYHCAkKCwwNDg_DUA"
    assert read_short(write_short(header)) == header


@pytest.mark.parametrize("signature", [SIGNATURE, SIGNATURE[:16]])
def test_a_signature_is_read_as_it_was_written(signature: bytes) -> None:
    assert read_signature(write_signature(signature)) == signature


@pytest.mark.parametrize(
    "text", ["", "a", "é" * 110, "=" * 110, "a b", urlsafe_b64encode(bytes(200)).decode()]
)
def test_what_is_no_header_is_malformed(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        read_short(text)
    with pytest.raises(MalformedMessageError):
        read_signature(text)


@given(st.text(max_size=200))
def test_garbage_raises_nothing_else(text: str) -> None:
    try:
        read_short(text)
    except MalformedMessageError:
        return
    assert len(text) >= 44


def test_a_header_without_a_till_or_with_too_much_is_malformed() -> None:
    for size_bytes in (32, 41, 80, 89):
        with pytest.raises(MalformedMessageError, match="bytes"):
            read_short(urlsafe_b64encode(bytes(size_bytes)).decode())
