"""The journal as one thing: stream, rights, receipts and counts; one file, one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent.errors import JournalDamagedError
from agent.journal.database import Database
from agent.journal.own_counts import OwnCountRows
from agent.journal.receipts import Receipts
from agent.journal.rights import Rights
from agent.journal.schema import migration_files
from agent.journal.stream import Stream


class Journal:
    """Everything of a till that must be atomic with a sale."""

    def __init__(self, database: Database, till_id: int) -> None:
        """Use an open file, bringing its schema up to date.

        Raises:
            JournalDamagedError: the records are not the chain they should be.
        """
        self._database = database
        self.stream = Stream(database, till_id)
        self.rights = Rights(database)
        self.receipts = Receipts(database)
        self.own_counts = OwnCountRows(database)
        try:
            database.migrate(migration_files())
            self._check_chain()
        except JournalDamagedError:
            database.leave()
            raise

    def _check_chain(self) -> None:
        if self.stream.is_open() and not self.stream.is_sound():
            raise JournalDamagedError("the records are not the chain they should be")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block durably, or not at all."""
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self.stream.forget_cached_head()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()
