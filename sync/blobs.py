"""Bundles on their way: packed bytes in pieces, each named by its hash (design: sync 3.5).

A manifest of an earlier release names no pieces; such a bundle is one piece, and its own hash says
whether it arrived whole.
"""

from hashlib import sha256
from typing import Final

from sync.codec import ENCODING, decompress
from sync.errors import MalformedMessageError
from sync.limits import BUNDLE_BYTES_MAX
from sync.messages import Manifest
from sync.rule_messages import Delta

CHUNK_BYTES: Final = 65_536


def chunk_hashes(packed: bytes) -> tuple[bytes, ...]:
    """Return the hash of each piece of a bundle's packed bytes."""
    return tuple(
        sha256(packed[start : start + CHUNK_BYTES]).digest()
        for start in range(0, len(packed), CHUNK_BYTES)
    )


def pieces_of(manifest: Manifest) -> int:
    """Return how many pieces a bundle comes in."""
    return len(manifest.chunks) or 1


def delta_file(manifest: Manifest, delta: Delta) -> Manifest:
    """Return how a delta is fetched: as a bundle of one piece, under a name of both bundles."""
    return Manifest(
        bundle=f"{manifest.bundle}-{delta.base}",
        version=manifest.version,
        size_bytes=delta.size_bytes,
    )


def piece_range(manifest: Manifest, piece: int, *, got_bytes: int = 0) -> str:
    """Return the value of a Range header for the rest of a piece; empty for all of the bundle."""
    if not manifest.chunks:
        return f"bytes={got_bytes}-" if got_bytes else ""
    start = piece * CHUNK_BYTES
    return f"bytes={start + got_bytes}-{start + CHUNK_BYTES - 1}"


def check_piece(manifest: Manifest, piece: int, content: bytes) -> None:
    """Let a piece pass that is the one announced.

    Raises:
        MalformedMessageError: it is not.
    """
    if manifest.chunks and sha256(content).digest() != manifest.chunks[piece]:
        raise MalformedMessageError(
            f"bundle {manifest.bundle[:8]}: piece {piece} is not the one announced"
        )


def unpack(pieces: list[bytes]) -> bytes:
    """Return a bundle's bytes from all its pieces, in order.

    Raises:
        MalformedMessageError: they are damaged.
    """
    return decompress(b"".join(pieces), ENCODING, bytes_max=BUNDLE_BYTES_MAX)
