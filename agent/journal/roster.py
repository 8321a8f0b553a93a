"""Who belongs to the store, as the centre told it last; outlives the cache, needs no line."""

import msgspec

from agent.journal.database import Database
from sync.messages import Roster


class RosterRow:
    """The one row; changes happen inside a transaction of the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> Roster | None:
        """Return the roster; None while there is none."""
        row = self._database.row("select body from roster")
        return msgspec.msgpack.decode(row[0], type=Roster) if row else None  # type: ignore[arg-type]

    def write(self, roster: Roster) -> None:
        """Keep a roster in place of the one before."""
        self._database.run(
            "insert or replace into roster values (1, ?)", msgspec.msgpack.encode(roster)
        )
