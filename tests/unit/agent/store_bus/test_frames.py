"""Frames on the pipe between agent and child: cut anywhere, they are the same."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.store_bus.frames import (
    FRAME_BYTES_MAX,
    Answer,
    Ask,
    Asked,
    FrameReader,
    FromChild,
    Gossip,
    Ping,
    Pong,
    SetUp,
    ToChild,
    decode_from_child,
    decode_to_child,
    encode_frame,
)
from sync.envelope import ENVELOPE_BYTES_MAX
from sync.errors import MalformedMessageError

TO_CHILD: list[ToChild] = [
    SetUp(1, "s1", "127.0.0.1:7720", {2: "127.0.0.1:7730", 3: ""}, ((1, bytes(32)),)),
    Gossip(b"packet"),
    Ask(7, 2, 150, b"packet"),
    Answer(7, b""),
    Ping(),
]
FROM_CHILD: list[FromChild] = [
    Gossip(b"packet"),
    Asked(7, b"packet"),
    Answer(7, b"packet"),
    Pong("nanomsg 1.0", "trouble", 1, 2, 3),
]


@given(cuts=st.lists(st.integers(1, 50)))
def test_frames_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    stream = b"".join(map(encode_frame, TO_CHILD))
    reader, found, at = FrameReader(), [], 0
    for length in [*cuts, len(stream)]:
        found += list(reader.feed(stream[at : at + length]))
        at += length
    assert [decode_to_child(body) for body in found] == TO_CHILD


def test_what_the_child_says_is_read() -> None:
    bodies = list(FrameReader().feed(b"".join(map(encode_frame, FROM_CHILD))))
    assert [decode_from_child(body) for body in bodies] == FROM_CHILD


def test_the_longest_packet_and_the_largest_store_fit_a_frame() -> None:
    store = dict.fromkeys(range(10**9, 10**9 + 1000), "192.168.100.100:17720")
    for message in (
        Gossip(bytes(ENVELOPE_BYTES_MAX)),
        Ask(2**62, 2**62, 10_000, bytes(ENVELOPE_BYTES_MAX)),
        SetUp(1, "s" * 200, "127.0.0.1:7720", store, ((1, bytes(32)),) * 4),
    ):
        assert len(encode_frame(message)) <= FRAME_BYTES_MAX


def test_a_length_that_cannot_be_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(MalformedMessageError, match="a frame of"):
        list(FrameReader().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big")))


@given(body=st.binary(max_size=100))
def test_rubbish_is_refused_by_name(body: bytes) -> None:
    for read in (partial(decode_to_child, body), partial(decode_from_child, body)):
        with pytest.raises(MalformedMessageError, match="not a frame"):
            read()


def test_each_side_refuses_the_others_words() -> None:
    asked, asking = encode_frame(Asked(1, b"x"))[4:], encode_frame(Ask(1, 2, 3, b"x"))[4:]
    with pytest.raises(MalformedMessageError):
        decode_to_child(asked)
    with pytest.raises(MalformedMessageError):
        decode_from_child(asking)
