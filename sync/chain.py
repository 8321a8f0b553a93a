"""The hash chain of a stream: gaps, changed records and forks show."""

import hashlib
from collections.abc import Iterable

HASH_BYTES = 32
INCARNATION_BYTES = 8


def first_link(till_id: int, incarnation: bytes) -> bytes:
    """Return h(0) of a stream, which binds the chain to its till and incarnation."""
    return hashlib.sha256(b"tillside-stream/1" + till_id.to_bytes(8, "big") + incarnation).digest()


def next_link(previous: bytes, body: bytes) -> bytes:
    """Return h(n) = SHA-256(h(n-1) || bytes(n)) (design: sync 4.0)."""
    return hashlib.sha256(previous + body).digest()


def links(previous: bytes, bodies: Iterable[bytes]) -> list[bytes]:
    """Return the links of consecutive records after `previous`."""
    found = []
    for body in bodies:
        previous = next_link(previous, body)
        found.append(previous)
    return found
