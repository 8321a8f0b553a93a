"""Bytes become messages within limits; whatever is wrong with them is a `MalformedMessageError`."""

import struct

import msgspec
import pytest
import zstandard

from sync.codec import ENCODING, compress, decode, decompress, encode
from sync.errors import MalformedMessageError
from sync.limits import COUNT_MAX, MESSAGE_BYTES_MAX
from sync.messages import (
    Cursor,
    Grant,
    Hello,
    HelloAnswer,
    Message,
    Problem,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
    ReceiptAnswer,
    SnapshotRequest,
)
from tests.golden.wire.examples import MESSAGES

REPETITIVE = b"the same again, " * 1_000
PACKED = zstandard.ZstdCompressor(level=3).compress(REPETITIVE)
GARBAGE = {
    "nothing": b"",
    "text": b"<html>log in to the guest network</html>",
    "an array": msgspec.msgpack.encode([1, 2]),
    "nil": b"\xc0",
    "a reserved byte": b"\xc1",
    "an extension": b"\x81\xa5epoch\xc7\x01\x05x",
    "something after the end": b"\x80\x80",
    "cut short": encode(MESSAGES[Cursor])[:-1],
    "a list that claims four thousand million": b"\x81\xa1x\xdd\xff\xff\xff\xff",
    "a map that claims four thousand million": b"\xdf\xff\xff\xff\xff",
    "nested without end": b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0",
    "a key that is no text": b"\x81\x01\x02",
    "text that is not UTF-8": b"\x81\xa1\xff\x01\xa5epoch\xa1\xff",
}


def fields_of(kind: type[Message], **changes: object) -> bytes:
    """Return the bytes of a kind's example with some fields replaced by anything."""
    fields = msgspec.to_builtins(MESSAGES[kind], builtin_types=(bytes,))
    return msgspec.msgpack.encode(fields | changes)


@pytest.mark.parametrize("kind", MESSAGES)
def test_field_that_this_version_does_not_know_is_ignored(kind: type[Message]) -> None:
    body = fields_of(kind, from_a_newer_side={"anything": [1, b"2", None]})
    assert decode(kind, body) == MESSAGES[kind]


@pytest.mark.parametrize("kind", MESSAGES)
def test_missing_fields_take_their_defaults_or_are_named(kind: type[Message]) -> None:
    required = [f.name for f in msgspec.structs.fields(kind) if f.required]
    whole = msgspec.to_builtins(MESSAGES[kind], builtin_types=(bytes,))
    least = {name: whole[name] for name in required}
    read = decode(kind, msgspec.msgpack.encode(least))
    for field in msgspec.structs.fields(kind):
        if not field.required:
            assert getattr(read, field.name) == field.default
    for name in required:
        body = msgspec.msgpack.encode({k: v for k, v in least.items() if k != name})
        with pytest.raises(MalformedMessageError, match=f"`{name}`"):
            decode(kind, body)


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        (Hello, {"incarnation": b"1234567"}, r"\$\.incarnation"),
        (Hello, {"incarnation": "12345678"}, r"\$\.incarnation"),
        (Hello, {"head": b"h" * 31}, r"\$\.head"),
        (Hello, {"seq": -1}, r"\$\.seq"),
        (Hello, {"seq": COUNT_MAX + 1}, r"\$\.seq"),
        (Hello, {"seq": 2**64 - 1}, r"\$\.seq"),
        (Hello, {"seq": 1.5}, r"\$\.seq"),
        (Hello, {"software": None}, r"\$\.software"),
        (HelloAnswer, {"verdict": "maybe"}, r"\$\.verdict"),
        (HelloAnswer, {"session": b"s" * 15}, r"\$\.session"),
        (HelloAnswer, {"incarnation_number_min": 0}, r"\$\.incarnation_number_min"),
        (Push, {"from_seq": 0}, r"\$\.from_seq"),
        (Push, {"records": ["text"]}, r"\$\.records\[0\]"),
        (PushAnswer, {"verdict": "rewind"}, r"\$\.verdict"),
        (Pull, {"bytes_max": 1_023}, r"\$\.bytes_max"),
        (Pull, {"cursor": {"row": -1}}, r"\$\.cursor\.row"),
        (PullAnswer, {"grants": [{}]}, r"\$\.grants\[0\]"),
        (PullAnswer, {"outcomes": {}}, r"\$\.outcomes"),
        (Grant, {"points": 0}, r"\$\.points"),
        (Grant, {"lots": [{"lot_id": 1, "points": 0}]}, r"\$\.lots\[0\]"),
        (Grant, {"purpose": "gift"}, r"\$\.purpose"),
    ],
)
def test_wrong_field_is_named(kind: type[Message], changes: dict[str, object], named: str) -> None:
    with pytest.raises(MalformedMessageError, match=named):
        decode(kind, fields_of(kind, **changes))


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="not a Cursor"):
        decode(Cursor, body)


def test_largest_message_is_read_and_a_larger_one_is_not_looked_at() -> None:
    empty = len(encode(ReceiptAnswer(calculation=b"c" * 100_000))) - 100_000
    largest = ReceiptAnswer(calculation=b"c" * (MESSAGE_BYTES_MAX - empty))
    assert len(encode(largest)) == MESSAGE_BYTES_MAX
    assert decode(ReceiptAnswer, encode(largest)) == largest
    with pytest.raises(MalformedMessageError, match=f"at most {MESSAGE_BYTES_MAX} bytes"):
        decode(ReceiptAnswer, encode(largest) + b"\xc0")


def test_small_body_travels_as_it_is_and_a_larger_one_packed() -> None:
    small = encode(SnapshotRequest(card=b"c" * 16))
    assert compress(small) == (small, "")
    packed, encoding = compress(REPETITIVE)
    assert encoding == ENCODING == "zstd"
    assert len(packed) < len(REPETITIVE) / 10
    assert decompress(packed, encoding) == REPETITIVE


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_body_without_encoding_is_the_body(encoding: str) -> None:
    assert decompress(b"as it is", encoding) == b"as it is"


@pytest.mark.parametrize("encoding", ["gzip", "br", "ZSTD", "zstd, zstd", "\u0437"])
def test_unknown_encoding_is_refused_with_the_known_one(encoding: str) -> None:
    with pytest.raises(MalformedMessageError, match="zstd or none"):
        decompress(PACKED, encoding)


def test_bomb_is_refused_by_the_size_it_says() -> None:
    bomb = zstandard.compress(bytes(MESSAGE_BYTES_MAX + 1))
    assert len(bomb) < 1_000
    with pytest.raises(MalformedMessageError, match=f"at most {MESSAGE_BYTES_MAX} bytes"):
        decompress(bomb, ENCODING)
    assert len(decompress(zstandard.compress(bytes(MESSAGE_BYTES_MAX)), ENCODING)) == (
        MESSAGE_BYTES_MAX
    )


def test_bomb_that_says_no_size_is_refused() -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    bomb = packer.compress(bytes(MESSAGE_BYTES_MAX + 1)) + packer.flush()
    with pytest.raises(MalformedMessageError, match="says its size"):
        decompress(bomb, ENCODING)


def test_bomb_that_lies_about_its_size_is_damaged() -> None:
    bomb = zstandard.compress(bytes(16 * MESSAGE_BYTES_MAX))
    size = struct.pack("<I", 16 * MESSAGE_BYTES_MAX)
    assert bomb.count(size) == 1
    with pytest.raises(MalformedMessageError, match="damaged zstd body"):
        decompress(bomb.replace(size, struct.pack("<I", 1_000)), ENCODING)


@pytest.mark.parametrize("kept", range(len(PACKED)))
def test_packed_body_that_was_cut_short_is_damaged(kept: int) -> None:
    with pytest.raises(MalformedMessageError):
        decompress(PACKED[:kept], ENCODING)


@pytest.mark.parametrize("body", [REPETITIVE, PACKED + b"more", PACKED * 2, b"\x00" * 40])
def test_what_is_not_one_packed_body_is_damaged(body: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decompress(body, ENCODING)


def test_limit_of_bundles_is_the_callers() -> None:
    packed = zstandard.compress(bytes(MESSAGE_BYTES_MAX + 1))
    assert len(decompress(packed, ENCODING, bytes_max=MESSAGE_BYTES_MAX + 1)) == (
        MESSAGE_BYTES_MAX + 1
    )
    with pytest.raises(MalformedMessageError):
        decompress(PACKED, ENCODING, bytes_max=len(REPETITIVE) - 1)


def test_problem_is_read_whatever_was_asked() -> None:
    problem = Problem(error="message_malformed", message="не то")
    assert decode(Problem, decompress(*compress(encode(problem)))) == problem
