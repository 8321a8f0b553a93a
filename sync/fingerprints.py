"""What a till's cache of accounts holds, in 256 sums: equal sums, equal rows (design: sync 1.6).

A row counts with its card, its account and the version of what was told; whoever has the same
versions has the same rows. A card's first byte chooses the bucket, so that a difference costs
the rows of one bucket, about forty of a store's ten thousand.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

BUCKETS: Final = 256
SUM_BYTES: Final = 16
FINGERPRINT_BYTES: Final = BUCKETS * SUM_BYTES

_ROOM: Final = 1 << (8 * SUM_BYTES)

Held = tuple[bytes, int, int]
"""Card, account id, version."""


def bucket_of(card: bytes) -> int:
    """Return the bucket a card belongs to, 0 to 255."""
    return card[0] if card else 0


def fingerprint(rows: Iterable[Held]) -> bytes:
    """Return the sums of all buckets, `FINGERPRINT_BYTES` long; the order of rows is no matter."""
    sums = [0] * BUCKETS
    for card, account_id, version in rows:
        told = len(card).to_bytes(2, "big") + card + account_id.to_bytes(8, "big")
        link = blake2b(told + version.to_bytes(8, "big"), digest_size=SUM_BYTES).digest()
        bucket = bucket_of(card)
        sums[bucket] = (sums[bucket] + int.from_bytes(link, "big")) % _ROOM
    return b"".join(each.to_bytes(SUM_BYTES, "big") for each in sums)


def differing(ours: bytes, theirs: bytes) -> list[int]:
    """Return the numbers of the buckets whose sums are not equal."""
    return [
        number
        for number in range(BUCKETS)
        if ours[number * SUM_BYTES : (number + 1) * SUM_BYTES]
        != theirs[number * SUM_BYTES : (number + 1) * SUM_BYTES]
    ]
