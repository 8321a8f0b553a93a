"""Opens the journal and runs its transactions; apsw only, one connection, one thread.

WAL with `synchronous=FULL`: with NORMAL a power cut loses receipts that were already printed
(design: sync 0.10, measured there).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from agent.errors import JournalDamagedError, JournalError, JournalUnavailableError

_PRAGMAS: Final = (
    "pragma locking_mode=exclusive",
    "pragma journal_mode=wal",
    "pragma synchronous=full",
    "pragma foreign_keys=on",
    "pragma trusted_schema=off",
    "pragma temp_store=memory",  # a full disk stops no statement that only needs room to sort
    "pragma wal_autocheckpoint=0",  # `Database.checkpoint` instead
)
LOG_PAGES_TIDY: Final = 200
"""From here on the log is moved into the file when nobody waits."""
LOG_PAGES_RUSH: Final = 240
"""From here on that is done after an answer, although the register hardly pauses."""
_LOG_BYTES_LAID_OUT: Final = 256 * (4096 + 24)
"""Of pages as the log has them: a commit into blocks the file has already is one sync of data."""
_LOG_PAGES_MAX: Final = 4000
"""At this size somebody has to wait for it: 16 MB, some hundred sales."""
_UNAVAILABLE = (
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
)
_IN_USE = (apsw.BusyError, apsw.LockedError)
# Closed: not even a rollback was possible; only opening the file anew tells what it holds.
_DAMAGED = (apsw.CorruptError, apsw.NotADBError, apsw.ConnectionClosedError)

SqlValue = int | float | str | bytes | None
Row = tuple[SqlValue, ...]


class Database:
    """One open SQLite file with named failures.

    Whoever calls holds the only thread that may; the file is locked against every other process.

    Attributes:
        is_behind: the disk refused what was postponed; what is read is from before it.
    """

    def __init__(
        self,
        path: str,
        *,
        vfs: str | None = None,
        pragmas: tuple[str, ...] = _PRAGMAS,
        log_pages_max: int = _LOG_PAGES_MAX,
    ) -> None:
        """Open the file, creating it if it is missing.

        Args:
            log_pages_max: of the log, at which a commit moves it into the file and waits for that.

        Raises:
            JournalDamagedError: the file is no sound database.
            JournalUnavailableError: it cannot be opened or locked.
        """
        with self._named():
            self._connection = apsw.Connection(path, vfs=vfs)
        self._log_pages = 0
        self._log_pages_max = log_pages_max
        self._postponed: Callable[[], None] | None = None
        self.is_behind = False
        self._rollbacks = 0
        try:
            with self._named():
                self._connection.set_busy_timeout(2000)
                for pragma in pragmas:
                    self._connection.execute(pragma).fetchall()
                self._connection.set_wal_hook(self._committed)  # a pragma would take it away again
                verdict = self._connection.execute("pragma quick_check(1)").fetchall()
            if verdict != [("ok",)]:
                raise JournalDamagedError(f"{Path(path).name} is damaged: {verdict[0][0]}")
        except JournalError:
            self.leave()
            raise

    def migrate(self, files: list[tuple[str, str]]) -> list[str]:
        """Apply migrations that are not applied yet, one transaction each; return their names."""
        with self.transaction():
            self.run("create table if not exists migration (name text primary key) strict")
        done = {row[0] for row in self.rows("select name from migration")}
        applied = []
        for name, text in files:
            if name not in done:
                with self.transaction():
                    for _ in self._connection.execute(text):
                        pass
                    self.run("insert into migration values (?)", name)
                applied.append(name)
        return applied

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction: on return it is on disk, after an error it never was.

        Raises:
            JournalUnavailableError: the disk is full, read-only or failing.
        """
        self.do_postponed()
        with self._named():
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        self._rollbacks += 1
        # Some failures (disk full among them) have already rolled back by themselves.
        if self._connection.in_transaction:
            try:
                self._connection.execute("rollback")
            except apsw.Error:
                self._connection.close(force=True)

    def postpone(self, work: Callable[[], None]) -> None:
        """Have something done before anything else is read or written; nobody sees the difference.

        Where the disk refuses it, nothing is written before it is done; what is read meanwhile is
        from before it.

        Args:
            work: repeats what is durable already.
        """
        self._postponed = work

    def do_postponed(self) -> None:
        """Do what was postponed, if anything was.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        if self._postponed is None:
            return
        work, self._postponed = self._postponed, None
        try:
            work()
        except BaseException:
            self._postponed, self.is_behind = work, True
            raise
        self.is_behind = False

    def _catch_up(self) -> None:
        if self._postponed is not None and not self.is_behind:
            with suppress(JournalUnavailableError):
                self.do_postponed()

    def edition(self) -> tuple[int, int]:
        """Return what changes with every write: while it is the same, what was read is true."""
        self._catch_up()
        try:
            return self._connection.total_changes(), self._rollbacks
        except apsw.Error as error:
            _raise_named(error)
            raise

    def _committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._log_pages = pages
        if pages >= self._log_pages_max:
            with suppress(apsw.Error):  # the commit is durable; the next one tries again
                connection.wal_checkpoint(name)
        return apsw.SQLITE_OK

    def checkpoint(self, log_pages_min: int = LOG_PAGES_TIDY) -> bool:
        """Move the log into the file if it has grown; call it when nobody waits for an answer.

        A commit that has to do it waits for two more syncs and some hundred pages.

        Args:
            log_pages_min: of the log; below it is left alone.

        Returns:
            Whether it was done.

        Raises:
            JournalUnavailableError: the disk is full or failing.
        """
        self.do_postponed()
        if self._log_pages < log_pages_min:
            return False
        with self._named():
            self._connection.wal_checkpoint()
        self._log_pages = 0
        return True

    def wipe_log(self) -> None:
        """Move the log into the file and cut it to nothing: what it said before is gone.

        Raises:
            JournalUnavailableError: the disk is full or failing.
        """
        self.do_postponed()
        with self._named():
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._log_pages = 0

    def rows(self, sql: str, *values: SqlValue) -> list[Row]:
        """Return all rows of a query."""
        self._catch_up()
        try:
            return self._connection.execute(sql, values).fetchall()
        except apsw.Error as error:
            _raise_named(error)
            raise

    def row(self, sql: str, *values: SqlValue) -> Row | None:
        """Return the first row of a query, or None."""
        self._catch_up()
        try:
            return self._connection.execute(sql, values).fetchone()
        except apsw.Error as error:
            _raise_named(error)
            raise

    def run(self, sql: str, *values: SqlValue) -> None:
        """Run one statement."""
        self._catch_up()
        try:
            self._connection.execute(sql, values)
        except apsw.Error as error:
            _raise_named(error)
            raise

    def changes(self) -> int:
        """Return how many rows the last statement changed."""
        return self._connection.changes()

    def leave(self) -> None:
        """Close the file and leave it and its log as they are, to be set aside."""
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._connection.close(force=True)

    def close(self) -> None:
        """Close the file; what is committed stays."""
        with suppress(JournalError):  # it is durable, and done when the file is opened again
            self.do_postponed()
        self._connection.close(force=True)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            _raise_named(error)
            raise


def lay_out_log(path: Path) -> None:
    """Have the log of an open database be as long as it will be; a full disk leaves it as it is.

    A commit that makes a file longer also waits for what the file system writes down of that, and
    for everything others have written down meanwhile. Zeros after the last commit are no commit.
    """
    log = path.with_name(path.name + "-wal")
    with suppress(OSError), log.open("r+b", buffering=0) as file:
        missing = _LOG_BYTES_LAID_OUT - file.seek(0, os.SEEK_END)
        if missing > 0:
            file.write(bytes(missing))
            os.fsync(file.fileno())


def _raise_named(error: apsw.Error) -> None:
    """Raise what SQLite's error means to a till; return where it means nothing but a mistake."""
    if isinstance(error, _DAMAGED):
        raise JournalDamagedError(str(error)) from error
    if isinstance(error, _IN_USE):
        raise JournalUnavailableError(
            f"another process has the file ({error}); stop it, one agent runs over one folder"
        ) from error
    if isinstance(error, _UNAVAILABLE):
        raise JournalUnavailableError(
            f"the disk refuses to write ({error});"
            " sell without loyalty, free space and check the disk"
        ) from error
