"""Packed bytes come back as they were, or are refused by name."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.codec import PACKED, compress, decode, decompress, encode
from sync.dictionary import DICTIONARY_1
from sync.errors import MalformedMessageError
from sync.limits import MESSAGE_BYTES_MAX
from sync.messages import Message
from sync.packing import pack, unpack
from sync.records import encode_record
from tests.golden.wire.examples import MESSAGES, RECORDS

_TEXT = b'{"kind":"void","at_ms":1,"key":"' + b"k" * 200 + b'","why":"test"}'


@given(st.binary(max_size=300))
def test_whatever_is_packed_comes_back(text: bytes) -> None:
    assert unpack(pack(text), bytes_max=1_000) == text


@pytest.mark.parametrize("text", [b"", b"\x01", b"\x01" * 80, b"{}", _TEXT])
def test_no_text_is_taken_for_a_packed_one(text: bytes) -> None:
    assert unpack(pack(text), bytes_max=1_000) == text


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_is_kept_in_less_than_its_bytes(kind: type) -> None:
    body = encode_record(RECORDS[kind])
    assert len(pack(body)) < len(body)


def test_the_dictionary_never_changes() -> None:
    # What stands in journals was packed with these very bytes.
    digest = sha256(DICTIONARY_1).hexdigest()
    assert digest == "abf5b4f934d0e290df82cd4b35e07d0d3638c599a70eb0746fd50df2bb729b45"


def test_damaged_bytes_are_refused() -> None:
    for kept in (pack(_TEXT)[:-3], b"\x01garbage", b"\x01"):
        with pytest.raises(MalformedMessageError):
            unpack(kept, bytes_max=1_000)


def test_a_bomb_is_refused_by_the_size_it_says() -> None:
    bomb, encoding = compress(bytes(MESSAGE_BYTES_MAX + 1), PACKED)
    assert len(bomb) < 1_000
    with pytest.raises(MalformedMessageError, match=f"at most {MESSAGE_BYTES_MAX} bytes"):
        decompress(bomb, encoding)


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_message_travels_packed(kind: type[Message]) -> None:
    body = encode(MESSAGES[kind])
    assert decode(kind, decompress(*compress(body, PACKED))) == MESSAGES[kind]
