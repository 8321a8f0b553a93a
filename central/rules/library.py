"""Finds compiled rules by bundle hash; every bundle ever published can be found (invariant I10)."""

from collections import OrderedDict

import msgspec
import zstandard

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.programmes.registry import DEFAULT
from loyalty.bundle import EMPTY_BUNDLE, Bundle
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import decode
from loyalty.errors import LoyaltyError
from sync.base_rules import base_of

_SQL = load_queries("central.rules", "queries.sql")
_COMPILED_MAX = 8
_INDEXES_KEPT = 128
"""Stores come in turn: with fewer indexes each receipt would build its store's anew."""
_NO_RULES = compile_bundle(EMPTY_BUNDLE, "")


class RuleLibrary:
    """Compiled bundles of this process; the least recently used are compiled again when needed."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, Rules] = OrderedDict()
        self.compilations = 0

    async def find(self, connection: Connection, bundle_hash: str) -> Rules:
        """Return the rules of a bundle.

        The empty hash names the rules a till sells under before its first bundle.

        Raises:
            LookupError: no such bundle was ever published here, or it cannot be read any more.
        """
        if not bundle_hash:
            return _NO_RULES
        rules = self._compiled.get(bundle_hash)
        if rules is None:
            try:
                bundle = await _read(connection, bundle_hash)
                rules = compile_bundle(bundle, bundle_hash, indexes_kept=_INDEXES_KEPT)
            except (LoyaltyError, msgspec.DecodeError, zstandard.ZstdError) as error:
                # A bundle this release cannot read any more must not stop its receipts.
                raise LookupError(f"{bundle_hash}: {error}") from error
            self._compiled[bundle_hash] = rules
            self.compilations += 1
            while len(self._compiled) > _COMPILED_MAX:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(bundle_hash)
        return rules

    async def newest(self, connection: Connection, programme: str = DEFAULT) -> Rules:
        """Return the rules published last for a programme, or the empty ones."""
        row = await connection.fetchrow(_SQL["newest"], programme)
        return await self.find(connection, row["hash"] if row else "")


async def load_bundle(connection: Connection, bundle_hash: str) -> Bundle:
    """Return a bundle ever published here, not compiled.

    Raises:
        LookupError: there is none, or it cannot be read any more.
    """
    try:
        return await _read(connection, bundle_hash)
    except (LoyaltyError, msgspec.DecodeError, zstandard.ZstdError) as error:
        raise LookupError(f"{bundle_hash}: {error}") from error


async def _read(connection: Connection, bundle_hash: str) -> Bundle:
    """Return a bundle by its hash, or the base rules of one by theirs."""
    content = await connection.fetchval(_SQL["content"], bundle_hash)
    if content is not None:
        return _decoded(content)
    content = await connection.fetchval(_SQL["content_of_base"], bundle_hash)
    if content is None:
        raise LookupError(bundle_hash)
    return base_of(_decoded(content))


def _decoded(content: bytes) -> Bundle:
    return decode(Bundle, msgspec.json.decode(zstandard.decompress(content)))
