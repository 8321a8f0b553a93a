"""The list of blocked cards as the centre told it, in the disposable file (design: sync 3.3).

A card of an account that this store does not keep is known to be blocked by it alone.
"""

import msgspec

from agent.journal.database import Database
from sync.blocked import BLOCKED_CARD_BYTES, BlockedCards, cards_in
from sync.limits import BLOCKED_CARDS_MAX

_NAME = "blocked"


class ToldUpTo(msgspec.Struct, frozen=True):
    """Up to which version, of which epoch of the change feed, the list is here.

    Attributes:
        old_place: up to which place cards are of the list before, which counts until this one is
            here to its end; 0 where it is.
    """

    epoch: int = 0
    version: int = 0
    old_place: int = 0


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
        """Keep what has changed, and in the same transaction up to where.

        A list told from its beginning takes the place of the one before when its last piece is
        here: a line that breaks between two pieces leaves no till without the rest.
        """
        database = self._database
        with database.transaction():
            before = self.told() or ToldUpTo()
            old_place = self._last_place() if told.is_whole else before.old_place
            for card in cards_in(told.lifted):
                database.run("delete from blocked where card = ?", card)
            for card in cards_in(told.blocked):
                place = self._last_place() + 1  # behind the old ones, even of a card among them
                database.run("insert or replace into blocked values (?, ?)", place, card)
            if not told.goes_on:
                database.run("delete from blocked where place <= ?", old_place)
                old_place = 0
            database.run(
                "delete from blocked where place <= (select max(place) from blocked) - ?",
                BLOCKED_CARDS_MAX,
            )
            up_to = msgspec.msgpack.encode(ToldUpTo(told.epoch, told.version, old_place))
            database.run("insert or replace into value values (?, ?)", _NAME, up_to)

    def _last_place(self) -> int:
        row = self._database.row("select coalesce(max(place), 0) from blocked")
        assert row is not None
        assert isinstance(row[0], int)
        return row[0]
