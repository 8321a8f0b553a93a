"""Finds compiled rules by bundle hash; every bundle ever published can be found (invariant I10)."""

import asyncio
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
    """Compiled bundles of this process; the least recently used are compiled again when needed.

    What processes receipts compiles where it stands (`find`); people's calls do so beside the loop
    that answers tills (`find_beside`).
    """

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, Rules] = OrderedDict()
        self._compiling = asyncio.Lock()
        self.compilations = 0

    async def find(self, connection: Connection, bundle_hash: str) -> Rules:
        """Return the rules of a bundle.

        The empty hash names the rules a till sells under before its first bundle.

        Raises:
            LookupError: no such bundle was ever published here, or it cannot be read any more.
        """
        known = self._known(bundle_hash)
        return known or self._keep(_compile(await _content(connection, bundle_hash), bundle_hash))

    async def find_beside(self, connection: Connection, bundle_hash: str) -> Rules:
        """Return the rules of a bundle as `find` does, compiled in a thread, one at a time.

        Raises:
            LookupError: no such bundle was ever published here, or it cannot be read any more.
        """
        if known := self._known(bundle_hash):
            return known
        async with self._compiling:
            if known := self._known(bundle_hash):
                return known
            content = await _content(connection, bundle_hash)
            return self._keep(await asyncio.to_thread(_compile, content, bundle_hash))

    async def newest(self, connection: Connection, programme: str = DEFAULT) -> Rules:
        """Return the rules published last for a programme, or the empty ones, as `find_beside`."""
        return await self.find_beside(connection, await _newest(connection, programme))

    def _known(self, bundle_hash: str) -> Rules | None:
        if not bundle_hash:
            return _NO_RULES
        if bundle_hash in self._compiled:
            self._compiled.move_to_end(bundle_hash)
        return self._compiled.get(bundle_hash)

    def _keep(self, rules: Rules) -> Rules:
        self._compiled[rules.bundle_hash] = rules
        self.compilations += 1
        while len(self._compiled) > _COMPILED_MAX:
            self._compiled.popitem(last=False)
        return rules


async def load_bundle(connection: Connection, bundle_hash: str) -> Bundle:
    """Return a bundle ever published here, not compiled; read in a thread.

    Raises:
        LookupError: there is none, or it cannot be read any more.
    """
    return await asyncio.to_thread(_read, await _content(connection, bundle_hash), bundle_hash)


async def newest_bundle(connection: Connection, programme: str = DEFAULT) -> Bundle:
    """Return the bundle published last for a programme, or the empty one, as `load_bundle`.

    Raises:
        LookupError: it cannot be read any more.
    """
    bundle_hash = await _newest(connection, programme)
    return await load_bundle(connection, bundle_hash) if bundle_hash else EMPTY_BUNDLE


async def _newest(connection: Connection, programme: str) -> str:
    row = await connection.fetchrow(_SQL["newest"], programme)
    return row["hash"] if row else ""


_Content = tuple[bytes, bool]
"""A bundle's bytes as they are kept, and whether its base rules are meant."""


async def _content(connection: Connection, bundle_hash: str) -> _Content:
    """Return the bytes of a bundle by its hash, or by that of its base rules."""
    content = await connection.fetchval(_SQL["content"], bundle_hash)
    if content is not None:
        return content, False
    content = await connection.fetchval(_SQL["content_of_base"], bundle_hash)
    if content is None:
        raise LookupError(bundle_hash)
    return content, True


def _compile(content: _Content, bundle_hash: str) -> Rules:
    bundle = _read(content, bundle_hash)
    try:
        return compile_bundle(bundle, bundle_hash, indexes_kept=_INDEXES_KEPT)
    except LoyaltyError as error:
        raise LookupError(f"{bundle_hash}: {error}") from error


def _read(content: _Content, bundle_hash: str) -> Bundle:
    packed, is_base = content
    try:
        bundle = decode(Bundle, msgspec.json.decode(zstandard.decompress(packed)))
        return base_of(bundle) if is_base else bundle
    except (LoyaltyError, msgspec.DecodeError, zstandard.ZstdError) as error:
        # A bundle this release cannot read any more must not stop its receipts.
        raise LookupError(f"{bundle_hash}: {error}") from error
