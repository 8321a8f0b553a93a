"""What the agent and its bus child say to each other over two pipes: frames of MessagePack.

A frame is its length, 4 bytes big-endian, and one message.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from sync.envelope import ENVELOPE_BYTES_MAX
from sync.errors import MalformedMessageError

FRAME_BYTES_MAX: Final = ENVELOPE_BYTES_MAX + 65_536
"""The longest is the set-up of a store of some hundred tills."""
SILENCE_MS: Final = 10_000
"""Five heartbeats."""
_LENGTH_BYTES = 4


class SetUp(msgspec.Struct, frozen=True, tag="set_up"):
    """To the child: begin anew like this.

    Attributes:
        listen: `host:port`.
        others: `host:port` by till, empty for one that cannot be asked.
        keys: number and secret, the sealing one first.
        silence_ms: a till that is dialled and was not heard for so long is dialled anew.
    """

    till_id: int
    store: str
    listen: str
    others: dict[int, str]
    keys: tuple[tuple[int, bytes], ...]
    silence_ms: int = SILENCE_MS


class Gossip(msgspec.Struct, frozen=True, tag="gossip"):
    """Both ways: a packet for all, a packet that came."""

    packet: bytes


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """To the child: ask a till; `Answer` with the same number follows, whatever happens."""

    number: int
    till_id: int
    timeout_ms: int
    packet: bytes


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """From the child: a till asks; `Answer` with the same number goes back."""

    number: int
    packet: bytes


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """Both ways: the answer; empty if there is none."""

    number: int
    packet: bytes


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """To the child: are you there?"""


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """From the child, also unasked when it has taken a set-up.

    Attributes:
        trouble: why it does not listen; empty if it does.
        refused: packets that were no genuine message of this store for this till.
        replayed: genuine packets that had come before or were too late.
        dropped: messages for the agent that were thrown away because too many waited.
    """

    implementation: str
    trouble: str = ""
    refused: int = 0
    replayed: int = 0
    dropped: int = 0


ToChild = SetUp | Gossip | Ask | Answer | Ping
FromChild = Gossip | Asked | Answer | Pong

_encoder = msgspec.msgpack.Encoder()
_to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
_from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)


def encode_frame(message: ToChild | FromChild) -> bytes:
    """Return the frame."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameReader:
    """Cuts what comes through a pipe into messages."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the bodies that are whole now.

        Raises:
            MalformedMessageError: the other side sends no frames.
        """
        self._pending += piece
        while len(self._pending) >= _LENGTH_BYTES:
            length = int.from_bytes(self._pending[:_LENGTH_BYTES], "big")
            if length > FRAME_BYTES_MAX:
                raise MalformedMessageError(f"a frame of {length} bytes")
            if len(self._pending) < _LENGTH_BYTES + length:
                return
            body = bytes(self._pending[_LENGTH_BYTES : _LENGTH_BYTES + length])
            del self._pending[: _LENGTH_BYTES + length]
            yield body


def decode_to_child(body: bytes) -> ToChild:
    """Read what the agent says.

    Raises:
        MalformedMessageError: it is none of its messages.
    """
    try:
        return _to_child.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"not a frame for the bus child: {error}") from error


def decode_from_child(body: bytes) -> FromChild:
    """Read what the child says.

    Raises:
        MalformedMessageError: it is none of its messages.
    """
    try:
        return _from_child.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"not a frame of the bus child: {error}") from error
