"""A pytest plugin: one PostgreSQL a run, one scratch database a test.

`database` is the DSN of a fresh migrated database, `pool` a pool on it. The server is the one that
TILLSIDE_TEST_DSN names (with a role that may create databases), else an embedded one.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from central.database.embedded import start_embedded
from central.database.migrations import migrate
from central.database.pool import Pool, open_pool
from central.database.spreading import spread

_T = TypeVar("_T")

_PREFIX = "tillside-test-"
_MEMORY = Path("/dev/shm")
_NEW_S = 60
_MEMORY_BYTES_MIN = 2 << 30

# Read now: the tests themselves run without any TILLSIDE_* variable.
_GIVEN_DSN = os.environ.get("TILLSIDE_TEST_DSN")
_CITUS_DSN = os.environ.get("TILLSIDE_TEST_CITUS_DSN")
"""A coordinator's database: every test has all of it, one after the other."""
_IN_PARTITIONS = bool(os.environ.get("TILLSIDE_TEST_PARTITIONS"))
"""Whether tests' databases stand as a Citus would have them, in hash partitions."""
STAND_IN = Path(__file__).with_name("citus_stand_in.sql").read_text(encoding="utf-8")


_OWN_TYPES_END = 16_384
"""From here on numbers of types are a database's own."""
_ask_types = asyncpg.Connection._introspect_types  # type: ignore[attr-defined] # noqa: SLF001
_told_types: dict[frozenset[int], object] = {}


async def _types_told_once(
    connection: "asyncpg.Connection[asyncpg.Record]", numbers: Collection[int], timeout_s: float
) -> tuple[object, object]:
    """Ask what PostgreSQL's own arrays hold once a run, not again on every connection.

    The answer is the same everywhere, and the question costs more than most tests' statements.
    """
    wanted = frozenset(numbers)
    if wanted in _told_types:
        # The name says that no statement waits to be prepared again because of a question.
        return _told_types[wanted], SimpleNamespace(name="told before")
    types, statement = await _ask_types(connection, numbers, timeout_s)
    if max(wanted) < _OWN_TYPES_END:
        _told_types[wanted] = types
    return types, statement


asyncpg.Connection._introspect_types = _types_told_once  # type: ignore[attr-defined] # noqa: SLF001


class ScratchDatabases:
    """Makes databases on one server, quickly: copies of a template that was migrated once.

    Its event loop lives in a thread of its own, so that fixtures and tests, with a running loop
    or without one, use it alike.
    """

    def __init__(self, server_dsn: str) -> None:
        self._server_dsn = server_dsn
        self._run_name = f"test_{uuid4().hex[:12]}"  # several runs may share a server
        self._numbers = count(1)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scratch-databases")
        self._loop = asyncio.new_event_loop()
        self._server = self._await(asyncpg.connect(server_dsn))
        self._template: str | None = None

    def create(self, *, migrated: bool = True) -> str:
        """Return the DSN of a new database."""
        template = "template0"
        if migrated:
            self._template = template = self._template or self._create_template()
        name = f"{self._run_name}_{next(self._numbers)}"
        # Copied as files, not through the log: half the processor's time.
        self._execute(
            f'create database "{name}" template "{template}" encoding utf8 strategy file_copy'
        )
        return self._dsn(name)

    def drop(self, dsn: str) -> None:
        """Drop a database made here, whoever is still connected."""
        name = urlsplit(dsn).path[1:]
        self._execute(f'drop database if exists "{name}" with (force)')

    def write_alone(self) -> None:
        """Let nothing but the tests write: the feed waits for whoever does, in any database."""
        self._execute("alter system set autovacuum = off")
        self._execute("select pg_reload_conf()")

    def close(self) -> None:
        if self._template:
            self.drop(self._dsn(self._template))
        self._await(self._server.close())
        self._thread.submit(self._loop.close).result()
        self._thread.shutdown()

    def _create_template(self) -> str:
        name = f"{self._run_name}_template"
        self._execute(f'create database "{name}" template template0 encoding utf8')
        self._await(_migrate(self._dsn(name)))
        if _IN_PARTITIONS:
            # As few as can be told apart: each is some files to copy for every test.
            self._await(spread_in_partitions(self._dsn(name), parts=2))
        return name

    def _dsn(self, database: str) -> str:
        parts = urlsplit(self._server_dsn)
        # urlunsplit would leave out the empty host of a socket's address.
        rest = urlunsplit(("", "", f"/{database}", parts.query, ""))
        return f"{parts.scheme}://{parts.netloc}{rest}"

    def _execute(self, sql: str) -> None:
        self._await(self._server.execute(sql))

    def _await(self, coroutine: Coroutine[object, object, _T]) -> _T:
        return self._thread.submit(self._loop.run_until_complete, coroutine).result()


async def _migrate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await migrate(connection, now_ms=0)
    finally:
        await connection.close()


async def spread_in_partitions(dsn: str, *, parts: int = 8) -> None:
    """Spread a migrated database's tables as a Citus would have them, in hash partitions."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(STAND_IN)
        name = await connection.fetchval("select current_database()")
        await connection.execute(
            f'alter database "{name}" set search_path = public, citus_stand_in'
        )
        await connection.execute("set search_path = public, citus_stand_in")
        await connection.execute(f"set citus_stand_in.parts = {parts}")
        await spread(connection)
    finally:
        await connection.close()


class CitusDatabase(ScratchDatabases):
    """The one database of a Citus coordinator, emptied for each test."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._is_taken = False

    def create(self, *, migrated: bool = True) -> str:
        if self._is_taken:
            self._is_taken = False  # the test ends here, and whoever made the first one with it
            pytest.skip("takes several databases at a time: a Citus has one for the tests")
        self._is_taken = True
        self._execute(
            "drop schema if exists public cascade; drop schema if exists personal cascade;"
            " create schema public"
        )
        if migrated:
            self._await(_migrate(self._server_dsn))
            self._await(_spread(self._server_dsn))
        return self._server_dsn

    def drop(self, dsn: str) -> None:
        assert dsn == self._server_dsn
        self._is_taken = False


async def _spread(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await spread(connection)
    finally:
        await connection.close()


@contextmanager
def folder_for_postgres() -> Iterator[Path]:
    """Give a new folder that root's PostgreSQL, running as another account, can reach.

    pytest's own temporary folders are closed to others. In memory where there is room: a database
    is some 300 files, and a copy of one takes 10 ms there and up to 300 ms on a disk.
    """
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES_MIN
    parent = _MEMORY if has_room else Path(tempfile.gettempdir())
    _remove_leftovers(parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        folder = Path(name)
        folder.chmod(0o711)
        with (folder / "in_use").open("w") as in_use:
            fcntl.flock(in_use, fcntl.LOCK_EX)
            yield folder


def _remove_leftovers(parent: Path) -> None:
    """Remove the folders of runs that were killed: nobody holds their lock any more."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if time.time() - folder.stat().st_mtime < _NEW_S:  # its lock may not be taken yet
            continue
        with suppress(OSError), (folder / "in_use").open() as in_use:  # another account's, in use
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Give the DSN of a running server."""
    if _CITUS_DSN or _GIVEN_DSN:
        yield _CITUS_DSN or _GIVEN_DSN or ""
        return
    with folder_for_postgres() as folder, start_embedded(folder, durable=False) as server:
        yield server.dsn


@pytest.fixture(scope="session")
def scratch_databases(postgres_server: str) -> Iterator[ScratchDatabases]:
    """Give the maker of databases, for tests that need several or an empty one."""
    databases = CitusDatabase(_CITUS_DSN) if _CITUS_DSN else ScratchDatabases(postgres_server)
    if not (_CITUS_DSN or _GIVEN_DSN):
        databases.write_alone()
    yield databases
    databases.close()


@pytest.fixture
def database(scratch_databases: ScratchDatabases) -> Iterator[str]:
    """Give the DSN of a fresh migrated database."""
    dsn = scratch_databases.create()
    yield dsn
    scratch_databases.drop(dsn)


@pytest.fixture
def empty_database(scratch_databases: ScratchDatabases) -> Iterator[str]:
    """Give the DSN of a database that was never migrated."""
    dsn = scratch_databases.create(migrated=False)
    yield dsn
    scratch_databases.drop(dsn)


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Give a pool on a fresh migrated database."""
    pool = await open_pool(database)
    yield pool
    await pool.close()
