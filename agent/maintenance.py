"""Work on the till's files from another process: migrate before the service, inspect, export.

The only module that imports sqlite-utils (over pysqlite3). It must never run in the process of the
service: two SQLite libraries in one process lose committed rows (design: stack 1.4).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import sqlite_utils
from pysqlite3 import dbapi2 as sqlite3

from agent.errors import AgentError
from agent.journal.schema import migration_files
from sync.errors import MalformedMessageError
from sync.limits import MESSAGE_BYTES_MAX
from sync.packing import unpack

if "apsw" in sys.modules:
    raise AgentError("maintenance must run in a process of its own")

_WAIT_S = 1.0
"""For a file in use; a service that runs does not give it away, so waiting longer is no use."""


def migrate_journal(path: Path) -> list[str]:
    """Bring a journal's schema up to date; returns the migrations applied.

    Raises:
        AgentError: the file is in use, damaged, or cannot be written.
    """
    applied = []
    with _named(path):
        database = sqlite_utils.Database(sqlite3.connect(path, timeout=_WAIT_S))
        database.execute("create table if not exists migration (name text primary key) strict")
        done = {row["name"] for row in database["migration"].rows}
        for name, text in migration_files():
            if name not in done:
                database.executescript(
                    f"begin immediate;\n{text}\ninsert into migration values ('{name}');\ncommit;"
                )
                applied.append(name)
        database.close()
    return applied


def table_counts(path: Path) -> dict[str, int]:
    """Return rows by table of a till's file, read-only.

    Raises:
        AgentError: the file is missing, in use, or damaged.
    """
    with _named(path):
        return {table.name: table.count for table in _read_only(path).tables}


def export_table(path: Path, table: str) -> Iterator[dict[str, object]]:
    """Yield a table's rows, JSON documents as text and other bytes as hexadecimal, read-only.

    Raises:
        AgentError: the file has no such table, is missing, in use, or damaged.
    """
    with _named(path):
        database = _read_only(path)
        if table not in database.table_names():
            raise AgentError(f"no table {table!r}; there are: {', '.join(database.table_names())}")
        for row in database[table].rows:
            yield {name: _shown(value) for name, value in row.items()}


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        what_to_do = "the service sets a damaged file aside when it starts; check the disk"
        if isinstance(error, sqlite3.OperationalError):
            what_to_do = "check the folder, its owner and the free space"
            if "locked" in str(error):
                what_to_do = "stop the service first"
        raise AgentError(f"{path}: {error}; {what_to_do}") from error


def _read_only(path: Path) -> sqlite_utils.Database:
    if not path.exists():
        raise AgentError(f"{path} does not exist; give the till's data folder with --data")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_WAIT_S)
    return sqlite_utils.Database(connection)


def _shown(value: object) -> object:
    """Bytes that are a JSON document are shown as its text, all others as hexadecimal."""
    if not isinstance(value, bytes):
        return value
    with suppress(MalformedMessageError):  # other bytes may begin like packed ones
        value = unpack(value, bytes_max=MESSAGE_BYTES_MAX)
    if value[:1] in (b"{", b"["):
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return value.hex()
        return value.decode()
    return value.hex()
