"""Live records on the line: packed against the records before them, proven by the chain.

What a till sells looks like what it sold before. The last records that the centre has are known to
both sides, so a new one is packed against their forms (`sync.moulds`; of older tills and centres,
`sync.line_form`). Nothing is trusted: the
centre turns the packed bytes back into records and compares the chain's link; where anything does
not come out, it says so and the till sends the records as they are (docs: wire-protocol).
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Annotated, Final

import zstandard
from msgspec import Meta

from sync.dictionary import DICTIONARY_1
from sync.errors import MalformedMessageError
from sync.fields import Positive
from sync.limits import RECORD_BYTES_MAX
from sync.messages import Message

PATH_LINES: Final = "/v1/till/lines"
LINES_RECORDS_MAX: Final = 8
"""More at once are a backlog: it travels as it is, so that taking it in stays quick."""
BEFORE_MAX: Final = 16
BEFORE_BYTES_MAX: Final = 65_536
PROOF_BYTES: Final = 16
PROOF_SHORT_BYTES: Final = 8
"""Enough: it tells what came out otherwise by mistake; who signs what is said by the request."""
PROOF_LEAST_BYTES: Final = 5
"""Of records in moulds: of a million million mistakes one would pass, and the next HELLO tells."""
_LEVEL: Final = 13
_LEVEL_LONG: Final = 6
_LONG_BYTES: Final = 16_384


class Lines(Message, frozen=True, kw_only=True, array_like=True):
    """Consecutive records of the session's stream; travels as an array, as it is.

    Attributes:
        before: how many of the records before them they are packed against.
        proof: beginning of the link of the last one.
        moulds: they are packed as `sync.moulds` does; else as `pack_forms`.
    """

    from_seq: Positive
    before: Annotated[int, Meta(ge=0, le=BEFORE_MAX)]
    proof: Annotated[bytes, Meta(min_length=PROOF_LEAST_BYTES, max_length=PROOF_BYTES)]
    packed: bytes
    moulds: bool = False


class LinesAnswer(Message, frozen=True, kw_only=True, array_like=True):
    """Whether all of them are kept now; else they have to be pushed as they are."""

    taken: bool


class Forms:
    """Forms of the last records of some streams; the stream used longest ago goes first."""

    def __init__(self, streams_max: int) -> None:
        self._streams_max = streams_max
        self._streams: OrderedDict[Hashable, tuple[Hashable, bytes, list[bytes]]] = OrderedDict()

    def find(self, stream: Hashable, at: Hashable, count: int) -> tuple[bytes, list[bytes]] | None:
        """Return the link at a place and the forms of the `count` records up to it.

        Args:
            at: number of the last record, with whatever else must be the same.
        """
        known = self._streams.get(stream)
        if known is None or known[0] != at or len(known[2]) < count:
            return None
        self._streams.move_to_end(stream)
        return known[1], known[2][len(known[2]) - count :]

    def keep(self, stream: Hashable, at: Hashable, link: bytes, forms: Sequence[bytes]) -> None:
        """Know the forms of the records up to a place."""
        self._streams[stream] = (at, link, list(forms[-BEFORE_MAX:]))
        self._streams.move_to_end(stream)
        while len(self._streams) > self._streams_max:
            self._streams.popitem(last=False)


def fitting(before: Sequence[bytes]) -> list[bytes]:
    """Return the last of some forms that are not too much to pack against."""
    taken: list[bytes] = []
    size_bytes = 0
    for form in reversed(before[-BEFORE_MAX:]):
        size_bytes += len(form)
        if size_bytes > BEFORE_BYTES_MAX:
            break
        taken.append(form)
    return taken[::-1]


def pack_forms(forms: Sequence[bytes], before: Sequence[bytes]) -> bytes:
    """Return forms packed against others that the reader has too."""
    joined = b"".join(len(form).to_bytes(3, "big") + form for form in forms)
    level = _LEVEL if len(joined) < _LONG_BYTES else _LEVEL_LONG
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(joined) + sum(map(len, before)),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=True,
        write_dict_id=False,
    )
    packing = zstandard.ZstdCompressor(dict_data=_known(before), compression_params=parameters)
    return packing.compress(joined)


def unpack_forms(packed: bytes, before: Sequence[bytes]) -> list[bytes]:
    """Undo `pack_forms`.

    Raises:
        MalformedMessageError: the bytes are damaged, or more than may travel so.
    """
    unpacking = zstandard.ZstdDecompressor(
        dict_data=_known(before), format=zstandard.FORMAT_ZSTD1_MAGICLESS
    )
    try:
        # The frame says how much it unpacks to, and zstandard believes it: a bomb is refused here.
        told = zstandard.get_frame_parameters(packed, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
        if told.content_size > RECORD_BYTES_MAX:
            raise MalformedMessageError(f"lines unpack to at most {RECORD_BYTES_MAX} bytes")
        joined = unpacking.decompress(packed)
    except zstandard.ZstdError as error:
        raise MalformedMessageError(f"damaged lines: {error}") from error
    forms, place = [], 0
    while place < len(joined):
        size_bytes = int.from_bytes(joined[place : place + 3], "big")
        place += 3
        forms.append(joined[place : place + size_bytes])
        place += size_bytes
    if place != len(joined) or not 1 <= len(forms) <= LINES_RECORDS_MAX:
        raise MalformedMessageError("lines of another length than they say")
    return forms


def _known(before: Sequence[bytes]) -> zstandard.ZstdCompressionDict:
    known = b"".join(before) or DICTIONARY_1
    return zstandard.ZstdCompressionDict(known, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
