"""Deltas of bundles: made once when a release is published, from what tills have to what is new."""

import asyncio
from collections.abc import Mapping
from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Connection
from sync.codec import ENCODING, decompress
from sync.limits import BUNDLE_BYTES_MAX
from sync.patches import make_patch

_SQL = load_queries("central.rules", "queries.sql")

BASES_MAX: Final = 4
"""So many bundles that most tills have, and what went to all tills last, get a delta."""
WORTH_PARTS: Final = (2, 5)
"""A delta above two fifths of the whole bundle is not worth its two files (design: sync 3.5)."""
_PACKED_BYTES_MIN: Final = 4_096
"""A smaller bundle travels whole."""


def name_of_delta(bundle: str, base: str) -> str:
    """Return how a delta is asked for, in the place of a bundle's name."""
    return f"{bundle}-{base}"


async def make_deltas(
    connection: Connection, packed: bytes, bundle_hash: str, programme: str
) -> Mapping[str, bytes]:
    """Return deltas to a bundle by the hashes of what they begin from.

    Args:
        packed: the new bundle, zstd.
        programme: whose rules it is; tills of others have nothing to begin from.
    """
    if len(packed) < _PACKED_BYTES_MIN:
        return {}
    rows = await connection.fetch(_SQL["bundles_in_use"], BASES_MAX, programme)
    newest = await connection.fetchrow(_SQL["newest"], programme)
    wanted = {row["bundle"]: None for row in rows} | ({newest["hash"]: None} if newest else {})
    content = decompress(packed, ENCODING, bytes_max=BUNDLE_BYTES_MAX)
    made: dict[str, bytes] = {}
    for base_hash in wanted:
        base = await connection.fetchval(_SQL["content"], base_hash)
        if base is None or base_hash == bundle_hash:
            continue
        plain = decompress(base, ENCODING, bytes_max=BUNDLE_BYTES_MAX)
        patch = await asyncio.to_thread(make_patch, plain, content)
        most, of = WORTH_PARTS
        if patch is not None and len(patch) * of <= len(packed) * most:
            made[base_hash] = patch
    return made


async def insert_deltas(
    connection: Connection, bundle_hash: str, deltas: Mapping[str, bytes]
) -> None:
    """Keep deltas to a bundle."""
    for base_hash, content in deltas.items():
        await connection.execute(_SQL["insert_delta"], bundle_hash, base_hash, content)


async def delta_content(connection: Connection, name: str) -> bytes | None:
    """Return a delta by the name it is asked for; None where there is none."""
    bundle, _, base = name.partition("-")
    content: bytes | None = await connection.fetchval(_SQL["delta"], bundle, base)
    return content
