"""What customers are shown of rules: names of offers, and the offers that are personal.

Read from any bundle ever published without compiling it, beside the loop that answers tills.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
import zstandard

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.programmes.registry import DEFAULT
from loyalty.bundle import Bundle
from loyalty.documents import decode
from loyalty.errors import LoyaltyError
from loyalty.offers import Offer

_SQL = load_queries("central.rules", "queries.sql")

_KEPT_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class ShownRules:
    """What of one bundle is shown.

    Attributes:
        titles: by offer id, by language.
        personal: offers that act for those alone whose account names them, by id.
    """

    programme_id: str = ""
    currency: str = ""
    titles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    personal: Mapping[str, Offer] = field(default_factory=dict)

    def titles_in(self, language: str) -> dict[str, str]:
        """Return names by offer id, in the language or else in English."""
        return {
            offer_id: title.get(language) or title.get("en", "")
            for offer_id, title in self.titles.items()
        }


NOTHING_SHOWN: Final = ShownRules()


class ShownRuleShelf:
    """What was read last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, ShownRules] = OrderedDict()
        self._reading = asyncio.Lock()

    async def find(self, connection: Connection, bundle_hash: str) -> ShownRules:
        """Return what a bundle shows; nothing where it was never published, or is not readable."""
        if (known := self._kept.get(bundle_hash)) is not None:
            self._kept.move_to_end(bundle_hash)
            return known
        async with self._reading:
            if bundle_hash not in self._kept:
                content = await connection.fetchval(_SQL["content"], bundle_hash)
                if content is None:
                    content = await connection.fetchval(_SQL["content_of_base"], bundle_hash)
                if content is None:
                    return NOTHING_SHOWN
                self._kept[bundle_hash] = await asyncio.to_thread(_read, content)
                while len(self._kept) > _KEPT_MAX:
                    self._kept.popitem(last=False)
            return self._kept[bundle_hash]

    async def newest(self, connection: Connection, programme: str = DEFAULT) -> ShownRules:
        """Return what the rules published last for a programme show."""
        row = await connection.fetchrow(_SQL["newest"], programme)
        return await self.find(connection, row["hash"]) if row else NOTHING_SHOWN


def _read(content: bytes) -> ShownRules:
    try:
        bundle = decode(Bundle, msgspec.json.decode(zstandard.decompress(content)))
    except (LoyaltyError, msgspec.DecodeError, zstandard.ZstdError):
        return NOTHING_SHOWN
    return ShownRules(
        programme_id=bundle.programme.programme_id,
        currency=bundle.programme.currency,
        titles={offer.offer_id: offer.title for offer in bundle.offers if offer.title},
        personal={offer.offer_id: offer for offer in bundle.offers if offer.who.personal},
    )
