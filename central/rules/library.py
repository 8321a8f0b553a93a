"""Finds compiled rules by bundle hash; every bundle ever published can be found (invariant I10)."""

from collections import OrderedDict

import msgspec
import zstandard

from central.database.named_sql import load_queries
from central.database.pool import Connection
from loyalty.bundle import EMPTY_BUNDLE, Bundle
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import decode
from loyalty.errors import LoyaltyError

_SQL = load_queries("central.rules", "queries.sql")
_COMPILED_MAX = 8
_DAYS_KEPT = 128
"""Stores come in turn: with fewer indexes each receipt would build its store's anew."""
_NO_RULES = compile_bundle(EMPTY_BUNDLE, "")


class RuleLibrary:
    """Compiled bundles of this process; the least recently used are compiled again when needed."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, Rules] = OrderedDict()

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
            content = await connection.fetchval(_SQL["content"], bundle_hash)
            if content is None:
                raise LookupError(bundle_hash)
            try:
                bundle = decode(Bundle, msgspec.json.decode(zstandard.decompress(content)))
                rules = compile_bundle(bundle, bundle_hash, days_kept=_DAYS_KEPT)
            except (LoyaltyError, msgspec.DecodeError, zstandard.ZstdError) as error:
                # A bundle this release cannot read any more must not stop its receipts.
                raise LookupError(f"{bundle_hash}: {error}") from error
            self._compiled[bundle_hash] = rules
            while len(self._compiled) > _COMPILED_MAX:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(bundle_hash)
        return rules

    async def newest(self, connection: Connection) -> Rules:
        """Return the rules published last, or the empty ones."""
        row = await connection.fetchrow(_SQL["newest"])
        return await self.find(connection, row["hash"] if row else "")
