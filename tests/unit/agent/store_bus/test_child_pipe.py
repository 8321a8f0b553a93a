"""A busy agent costs the child old gossip, never an answer, and never memory without end."""

import os

import pytest

from agent.store_bus.child import GOSSIP_WAITING_MAX, OutgoingPipe
from agent.store_bus.frames import Answer, FrameReader, FromChild, Gossip, decode_from_child

SENT = 3 * GOSSIP_WAITING_MAX
BODY = bytes(8_000)


@pytest.fixture
def pipe() -> tuple[OutgoingPipe, int]:
    """A pipe nobody reads from yet, and its other end; it stays open for the writing thread."""
    reading, writing = os.pipe()
    return OutgoingPipe(os.fdopen(writing, "wb", closefd=False)), reading


def read_until(reading: int, last: FromChild) -> list[FromChild]:
    frames, found = FrameReader(), list[FromChild]()
    while last not in found:
        found += [decode_from_child(body) for body in frames.feed(os.read(reading, 65_536))]
    return found


def test_while_the_agent_is_busy_the_oldest_gossip_is_dropped_and_no_answer(
    pipe: tuple[OutgoingPipe, int],
) -> None:
    out, reading = pipe
    told = [Gossip(number.to_bytes(4, "big") + BODY) for number in range(SENT)]
    answers = [Answer(number, b"x") for number in range(SENT)]
    for gossip, answer in zip(told, answers, strict=True):
        out.send(gossip)
        out.send(answer)
    out.send(Answer(SENT, b"last"))
    came = read_until(reading, Answer(SENT, b"last"))
    gossip_came = [message for message in came if isinstance(message, Gossip)]
    assert [message for message in came if isinstance(message, Answer)][:-1] == answers
    assert gossip_came[-GOSSIP_WAITING_MAX:] == told[-GOSSIP_WAITING_MAX:]
    assert len(gossip_came) == SENT - out.dropped
    assert out.dropped > SENT - 2 * GOSSIP_WAITING_MAX
