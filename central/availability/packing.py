"""An hour of a store as bytes: only minutes with receipts, each its number and four counts.

One byte and four times two for a minute; a store that sells all the time takes 540 bytes an hour.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

Counts = tuple[int, int, int, int]
"""Receipts served in full, in full without a line, degraded, not at all."""

NOTHING: Final[Counts] = (0, 0, 0, 0)
_MINUTE: Final = struct.Struct(">B4H")
_MOST: Final = 65_535


def add(one: Counts, other: Counts) -> Counts:
    """Return the sum of two counts."""
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])


def pack(minutes: Mapping[int, Counts]) -> bytes:
    """Return an hour's minutes, 0 to 59, as bytes; beyond 65,535 receipts a count stays there."""
    return b"".join(
        _MINUTE.pack(minute, *(min(count, _MOST) for count in minutes[minute]))
        for minute in sorted(minutes)
    )


def unpack(packed: bytes) -> Iterator[tuple[int, Counts]]:
    """Give an hour's minutes and their counts."""
    for minute, *counts in _MINUTE.iter_unpack(packed):
        yield minute, (counts[0], counts[1], counts[2], counts[3])
