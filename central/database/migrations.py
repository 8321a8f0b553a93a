"""Brings the schema up to date with plain SQL files, each in a transaction of its own.

`migrations/NNNN_pre_name.sql` may run while the last release's code still works on the database: it
adds. `NNNN_post_name.sql` takes away: it runs when that code is gone, which nobody but a person
knows (`migrate --contract`); until then it waits. Files run in the order of their numbers, are
never changed once released, and hold no BEGIN or COMMIT.

A file that begins with `-- concurrently` builds indexes of tables that are written all the time:
each by `create index concurrently if not exists`, outside a transaction, while everybody reads and
writes. What such a file has not finished is done at the next start.

Within a file the search path is the schema that is migrated: a function that keeps it (`set
search_path from current`) works wherever the tables stand.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise, takewhile

import asyncpg

from central.database.pool import Connection
from central.errors import MigrationError

ADVISORY_LOCK = 0x54494C4C53494445  # "TILLSIDE": one migration at a time in a database
MIGRATION_S_MAX = 6 * 3600
DDL_LOCK_WAIT_MS_MAX = 10_000
"""A change of a table that waits for its lock makes everybody else wait behind it."""

_FILE_NAME = re.compile(r"(\d{4})_(pre|post)_[a-z0-9_]+\.sql")
_TRANSACTION_CONTROL = re.compile(
    r"^\s*(begin|start\s+transaction|commit|rollback)(\s+(work|transaction))?\s*;",
    re.IGNORECASE | re.MULTILINE,
)
_CONCURRENTLY = "-- concurrently"
_INDEX = re.compile(
    r"create\s+(?:unique\s+)?index\s+concurrently\s+if\s+not\s+exists\s+(\w+)\s+on\s[^;]+",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_AGAIN_S = 0.2
_IS_HALF_BUILT = (
    "select exists (select from pg_index where indexrelid = to_regclass($1) and not indisvalid)"
)
_OWN_SCHEMA = "select set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)"
_CREATE_TABLE = """
create table if not exists migration (
    name text primary key,
    sha256 bytea not null,
    applied_at_ms bigint not null
)
"""


@dataclass(frozen=True, slots=True)
class _Migration:
    name: str
    sql: str

    @property
    def number(self) -> str:
        return self.name[:4]

    @property
    def is_post(self) -> bool:
        return self.name[5:].startswith("post_")

    @property
    def is_concurrent(self) -> bool:
        return self.sql.startswith(_CONCURRENTLY)

    def indexes(self) -> list[tuple[str, str]]:
        """Return name and statement of each index a concurrent file builds.

        Raises:
            MigrationError: something else stands in it.
        """
        found = []
        for statement in _COMMENT.sub("", self.sql).split(";"):
            if not statement.strip():
                continue
            if (index := _INDEX.fullmatch(statement.strip())) is None:
                raise MigrationError(
                    f"{self.name} holds `{statement.strip()[:60]}`: a file that runs concurrently"
                    " holds `create index concurrently if not exists` alone"
                )
            found.append((index[1], statement.strip()))
        return found

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


async def migrate(
    connection: Connection,
    *,
    now_ms: int,
    folder: Traversable | None = None,
    contracting: bool = False,
) -> list[str]:
    """Run the files that were not run yet, up to the first `post` file; return their names.

    Several processes may do so at the same time: one works, the others find the work done. Files
    the database has and `folder` has not belong to a newer release and are left alone. In a
    database that has none of them nobody works: there all are run.

    Args:
        connection: outside any transaction.
        now_ms: recorded as the time, Unix milliseconds.
        folder: where the files are; the package's own without it.
        contracting: no process of an older release works any more: run `post` files, too.

    Raises:
        MigrationError: a file failed (nothing of it is kept; those before it are), was changed
            after it was run, comes too late for its number, stands behind one that has to wait, or
            is badly named or written.
    """
    known = _load(folder)
    found = await _find_pending(connection, known)
    if all(each.is_post and not contracting for each in found):
        return []
    async with _alone(connection):
        await connection.execute(_CREATE_TABLE)
        # Another process may have run some meanwhile.
        found = await _find_pending(connection, known)
        due = _due(found, known, contracting=contracting)
        for migration in due:
            await _apply(connection, migration, now_ms=now_ms)
    return [migration.name for migration in due]


async def pending(
    connection: Connection, *, folder: Traversable | None = None, contracting: bool = False
) -> list[str]:
    """Return the names of the files that `migrate` would run.

    Raises:
        MigrationError: a file was changed after it was run, comes too late for its number, stands
            behind one that has to wait, or is badly named or written.
    """
    known = _load(folder)
    found = await _find_pending(connection, known)
    return [each.name for each in _due(found, known, contracting=contracting)]


async def is_ahead(connection: Connection, *, folder: Traversable | None = None) -> bool:
    """Say whether a newer release has migrated this database."""
    known = [migration.name for migration in _load(folder)]
    query = "select exists (select from migration where name <> all ($1))"
    return bool(await connection.fetchval(query, known))


def _load(folder: Traversable | None) -> list[_Migration]:
    folder = folder or resources.files("central.database") / "migrations"
    if not folder.is_dir():
        raise MigrationError(f"there is no folder {folder}: install the package again")
    migrations = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        if not _FILE_NAME.fullmatch(file.name):
            raise MigrationError(
                f"{file.name} has to be named NNNN_pre_name.sql or NNNN_post_name.sql",
            )
        # Text mode: the same file with other line ends is the same file.
        sql = file.read_text(encoding="utf-8")
        if found := _TRANSACTION_CONTROL.search(sql):
            raise MigrationError(
                f"{file.name} holds `{found[0].strip()}`: each file is one transaction already",
            )
        migrations.append(_Migration(file.name, sql))
        if migrations[-1].is_concurrent:
            migrations[-1].indexes()
    for one, other in pairwise(migrations):
        if one.number == other.number:
            raise MigrationError(f"{one.name} and {other.name} have the same number: renumber one")
    return migrations


async def _find_pending(connection: Connection, known: list[_Migration]) -> list[_Migration]:
    sha256_by_name: dict[str, bytes] = {}
    if await connection.fetchval("select to_regclass('migration') is not null"):
        rows = await connection.fetch("select name, sha256 from migration")
        sha256_by_name = {row["name"]: row["sha256"] for row in rows}
    not_applied = None
    found = []
    for migration in known:
        sha256 = sha256_by_name.get(migration.name)
        if sha256 is None:
            found.append(migration)
            not_applied = not_applied or migration
        elif sha256 != migration.sha256:
            raise MigrationError(
                f"{migration.name} was changed after it was run on this database: restore it and "
                "put the change in a new file",
            )
        elif not_applied is not None:
            raise MigrationError(
                f"{not_applied.name} was not run and {migration.name} was: give the former a "
                "number above all that are released",
            )
    return found


def _due(
    found: list[_Migration], known: list[_Migration], *, contracting: bool
) -> list[_Migration]:
    """Return which of those that were not run are to run now.

    Raises:
        MigrationError: this release needs one that stands behind one that has to wait.
    """
    if contracting or len(found) == len(known):
        return found
    due = list(takewhile(lambda each: not each.is_post, found))
    waiting = found[len(due) :]
    for each in waiting:
        if not each.is_post:
            raise MigrationError(
                f"{each.name} cannot be run: before it stands {waiting[0].name}, which takes away"
                " what the release before may still use. Run tillside-central migrate --contract of"
                " the release that works now; of this one, only when no other works any more"
            )
    return due


async def _apply(connection: Connection, migration: _Migration, *, now_ms: int) -> None:
    if migration.is_concurrent:
        await _build_indexes(connection, migration)
        await _note(connection, migration, now_ms)
        return
    async with connection.transaction():
        await connection.execute(f"set local lock_timeout = {DDL_LOCK_WAIT_MS_MAX}")
        await connection.execute(_OWN_SCHEMA)
        try:
            await connection.execute(migration.sql, timeout=MIGRATION_S_MAX)
        except asyncpg.PostgresError as error:
            raise MigrationError(
                f"{_place(migration, error)}: {error}; nothing of this file was kept",
            ) from error
        await _note(connection, migration, now_ms)


@asynccontextmanager
async def _alone(connection: Connection) -> AsyncIterator[None]:
    """Hold the lock of whoever migrates, for as long as it takes.

    It is asked for again and again: whoever waited within a statement would hold up an index that
    is built concurrently, which waits for everybody's statements.
    """
    while not await connection.fetchval(  # noqa: ASYNC110 - another process has it
        "select pg_try_advisory_lock($1)", ADVISORY_LOCK
    ):
        await asyncio.sleep(_AGAIN_S)
    try:
        await connection.execute("set statement_timeout = 0; set lock_timeout = 0")
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("reset statement_timeout; reset lock_timeout")
            await connection.execute("select pg_advisory_unlock($1)", ADVISORY_LOCK)


async def _build_indexes(connection: Connection, migration: _Migration) -> None:
    for name, statement in migration.indexes():
        try:
            if await connection.fetchval(_IS_HALF_BUILT, name):
                # Of a start that was ended in the middle.
                await connection.execute(f"drop index concurrently {name}", timeout=MIGRATION_S_MAX)
            await connection.execute(statement, timeout=MIGRATION_S_MAX)
        except asyncpg.PostgresError as error:
            raise MigrationError(
                f"{migration.name}, index {name}: {error}; the next start builds it anew"
            ) from error


async def _note(connection: Connection, migration: _Migration, now_ms: int) -> None:
    await connection.execute(
        "insert into migration (name, sha256, applied_at_ms) values ($1, $2, $3)",
        migration.name,
        migration.sha256,
        now_ms,
    )


def _place(migration: _Migration, error: asyncpg.PostgresError) -> str:
    position: str | None = error.position  # counted in characters from 1
    if position is None:
        return migration.name
    line = migration.sql.count("\n", 0, int(position) - 1) + 1
    return f"{migration.name}, line {line}"
