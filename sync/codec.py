"""Bytes <-> messages, within limits; garbage raises nothing but `MalformedMessageError`."""

from typing import TypeVar

import msgspec
import zstandard

from sync.errors import MalformedMessageError
from sync.limits import MESSAGE_BYTES_MAX
from sync.messages import Message
from sync.packing import pack_to_send, unpack_sent

M = TypeVar("M", bound=Message)

CONTENT_TYPE = "application/vnd.tillside+msgpack"
ENCODING = "zstd"
PACKED = "tillside-1"
"""zstd against the first dictionary of `sync.packing`; whoever asks so is answered so."""
_COMPRESS_FROM_BYTES = 512

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Message], msgspec.msgpack.Decoder[Message]] = {}


def encode(message: Message) -> bytes:
    """Return the message's bytes, uncompressed."""
    return _encoder.encode(message)


def decode(kind: type[M], body: bytes) -> M:
    """Read a message of the given kind.

    Raises:
        MalformedMessageError: too long, not MessagePack, or a field is wrong;
            the text names the field.
    """
    if len(body) > MESSAGE_BYTES_MAX:
        raise MalformedMessageError(
            f"a message has at most {MESSAGE_BYTES_MAX} bytes, this one {len(body)}"
        )
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(body)  # type: ignore[return-value]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"not a {kind.__name__}: {error}") from error


def compress(body: bytes, encoding: str = "") -> tuple[bytes, str]:
    """Return the body as it travels and its content encoding; small bodies travel as they are.

    Args:
        encoding: `PACKED` where the other side is known to unpack it.
    """
    if encoding == PACKED:
        return pack_to_send(body), PACKED
    if len(body) < _COMPRESS_FROM_BYTES:
        return body, ""
    return zstandard.ZstdCompressor(level=3).compress(body), ENCODING


def decompress(body: bytes, encoding: str, *, bytes_max: int = MESSAGE_BYTES_MAX) -> bytes:
    """Undo `compress`.

    Raises:
        MalformedMessageError: the encoding is unknown,
            the bytes are damaged or unpack to more than `bytes_max`.
    """
    if not encoding or encoding == "identity":
        return body
    if encoding == PACKED:
        return unpack_sent(body, bytes_max=bytes_max)
    if encoding != ENCODING:
        raise MalformedMessageError(
            f"content encoding {encoding!r} is not spoken here; send {PACKED}, {ENCODING} or none"
        )
    try:
        # The frame says how much it unpacks to: a bomb is refused before it goes off, and a body
        # that was cut short does not pass for a whole one.
        size_bytes = zstandard.frame_content_size(body)
        if not 0 <= size_bytes <= bytes_max:
            raise MalformedMessageError(
                f"a body says its size and unpacks to at most {bytes_max} bytes"
            )
        return zstandard.ZstdDecompressor().decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedMessageError(f"damaged zstd body: {error}") from error
