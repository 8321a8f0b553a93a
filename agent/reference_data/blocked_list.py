"""The list of blocked cards as the centre told it, in the disposable file (design: sync 3.3).

A card of an account that this store does not keep is known to be blocked by it alone.
"""

import msgspec

from agent.journal.database import Database
from sync.blocked import BLOCKED_CARD_BYTES, BlockedCards, cards_in
from sync.limits import BLOCKED_CARDS_MAX

_NAME = "blocked"


class ToldUpTo(msgspec.Struct, frozen=True):
    """Up to which version, of which epoch of the change feed, the list is here."""

    epoch: int = 0
    version: int = 0


class BlockedList:
    """The list of one till."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def told(self) -> ToldUpTo | None:
        """Return how far the list is known; None before the centre has told any of it."""
        row = self._database.row("select body from value where name = ?", _NAME)
        if row is None:
            return None
        assert isinstance(row[0], bytes)
        return msgspec.msgpack.decode(row[0], type=ToldUpTo)

    def holds(self, card: bytes) -> bool:
        """Say whether a card is on the list."""
        beginning = card[:BLOCKED_CARD_BYTES]
        return self._database.row("select 1 from blocked where card = ?", beginning) is not None

    def take(self, told: BlockedCards) -> None:
        """Keep what has changed, and in the same transaction up to where."""
        database = self._database
        up_to = msgspec.msgpack.encode(ToldUpTo(told.epoch, told.version))
        with database.transaction():
            if told.is_whole:
                database.run("delete from blocked")
            for card in cards_in(told.lifted):
                database.run("delete from blocked where card = ?", card)
            for card in cards_in(told.blocked):
                database.run("insert or replace into blocked (card) values (?)", card)
            database.run(
                "delete from blocked where place <= (select max(place) from blocked) - ?",
                BLOCKED_CARDS_MAX,
            )
            database.run("insert or replace into value values (?, ?)", _NAME, up_to)
