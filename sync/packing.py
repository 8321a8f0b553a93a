"""Packs texts of records and whole messages against a dictionary both sides know.

One JSON record of a receipt packs to a fifth of what it takes alone. A packed text begins with the
number of its dictionary, which no JSON text begins with; what is hashed, signed and compared are
always the bytes that come back.
"""

from functools import cache
from typing import Final

import zstandard

from sync.dictionary import DICTIONARY_1
from sync.errors import MalformedMessageError

_MARK: Final = b"\x01"
_PACK_FROM_BYTES: Final = 64
_LEVEL_KEPT: Final = 3
_LEVEL_SENT: Final = 9
_LONG_BYTES: Final = 65_536
"""From here on a body packs well without that much work."""


@cache
def _dictionary(level: int) -> zstandard.ZstdCompressionDict:
    """Return the dictionary; it is digested once for packing at a level, 0 is for unpacking."""
    found = zstandard.ZstdCompressionDict(DICTIONARY_1, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    if level:
        found.precompute_compress(level=level)
    return found


def pack(text: bytes) -> bytes:
    """Return a text as it is kept; a short one as it is."""
    if len(text) < _PACK_FROM_BYTES and not text.startswith(_MARK):
        return text
    return _MARK + _packed(text, _LEVEL_KEPT)


def unpack(kept: bytes, *, bytes_max: int) -> bytes:
    """Undo `pack`.

    Raises:
        MalformedMessageError: the bytes are damaged or unpack to more than `bytes_max`.
    """
    return unpack_sent(kept[1:], bytes_max=bytes_max) if kept.startswith(_MARK) else kept


def pack_to_send(body: bytes) -> bytes:
    """Return a message's body as it travels: smaller than `pack` makes it, at more work."""
    return _packed(body, _LEVEL_SENT if len(body) < _LONG_BYTES else _LEVEL_KEPT)


_idle: Final[dict[int, list[zstandard.ZstdCompressor]]] = {}
"""Compressors by level: to make one costs as much as packing a receipt."""


def _packed(text: bytes, level: int) -> bytes:
    # Taken out while it works: no two callers ever have the same one.
    idle = _idle.setdefault(level, [])
    try:
        compressor = idle.pop()
    except IndexError:
        compressor = zstandard.ZstdCompressor(level=level, dict_data=_dictionary(level))
    packed = compressor.compress(text)
    idle.append(compressor)
    return packed


_unpacking: Final[list[zstandard.ZstdDecompressor]] = []


def unpack_sent(packed: bytes, *, bytes_max: int) -> bytes:
    """Undo `pack_to_send`.

    Raises:
        MalformedMessageError: the bytes are damaged or unpack to more than `bytes_max`.
    """
    try:
        # The frame says how much it unpacks to: a bomb is refused before it goes off, and a body
        # that was cut short does not pass for a whole one.
        size_bytes = zstandard.frame_content_size(packed)
        if not 0 <= size_bytes <= bytes_max:
            raise MalformedMessageError(
                f"a body says its size and unpacks to at most {bytes_max} bytes"
            )
        try:
            unpacking = _unpacking.pop()  # as with compressors
        except IndexError:
            unpacking = zstandard.ZstdDecompressor(dict_data=_dictionary(0))
        text = unpacking.decompress(packed, allow_extra_data=False)
        _unpacking.append(unpacking)
        return text
    except zstandard.ZstdError as error:
        raise MalformedMessageError(f"damaged packed bytes: {error}") from error
