"""Which cursors over the change feed lose rows: `python -m bench.feed --rows 100000`.

Writers insert with savepoints, roll back, commit late, and some take their numbers before they
have a transaction; readers poll all the while (design: sync 1.7, S6). The product's reader is its
own query; beside it read the cursors people usually write.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from central.database.embedded import start_embedded
from central.database.named_sql import load_queries
from central.database.pool import Connection
from tests.support.postgres import ScratchDatabases, folder_for_postgres

REPORT = Path("var/bench/feed.json")
SCOPE: Final = "store:measured"
PAGE: Final = 500
_PULL = load_queries("central.tills", "queries.sql")["pull_rows"]
_XMIN = "pg_snapshot_xmin(pg_current_snapshot())"
_INSERT = "insert into feed (scope, account_id) values ($1, $2)"
_INSERT_NUMBERED = (
    "insert into feed (id, scope, account_id) overriding system value values ($1, $2, $3)"
)
_NEXT_NUMBER = "select nextval(pg_get_serial_sequence('feed', 'id'))"


class Reader:
    """Polls the feed by the product's query, and counts what it saw.

    Attributes:
        seen: how often each row was told.
    """

    name = "as built: (xid, id) below xmin, one statement"

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self._at: tuple[int, int] = (0, 0)

    async def poll(self, connection: Connection) -> int:
        """Read a page; returns how many rows came."""
        rows = await connection.fetch(_PULL, [SCOPE], *self._at, PAGE)
        for row in rows:
            self.seen[row["account_id"]] += 1
            self._at = row["transaction"], row["id"]
        return len(rows)


class ById(Reader):
    """Takes the order of numbers for the order of commits."""

    name = "naive: id > cursor"

    async def poll(self, connection: Connection) -> int:
        """Read a page; returns how many rows came."""
        rows = await connection.fetch(
            "select id, account_id from feed where scope = $1 and id > $2 order by id limit $3",
            SCOPE, self._at[1], PAGE,
        )  # fmt: skip
        for row in rows:
            self.seen[row["account_id"]] += 1
            self._at = 0, row["id"]
        return len(rows)


class ByIdBelowXmin(Reader):
    """The popular half of the repair."""

    name = "naive: id > cursor and xid < xmin"

    async def poll(self, connection: Connection) -> int:
        """Read a page; returns how many rows came."""
        rows = await connection.fetch(
            f"select f.id, f.account_id from feed f where scope = $1 and f.id > $2"
            f" and f.xid < {_XMIN} order by f.id limit $3",
            SCOPE, self._at[1], PAGE,
        )  # fmt: skip
        for row in rows:
            self.seen[row["account_id"]] += 1
            self._at = 0, row["id"]
        return len(rows)


class SortedAsText(Reader):
    """`order by xid` finds the output column, which is text: 9999 stands behind 10000 (S6)."""

    name = "naive: order by the output column"

    async def poll(self, connection: Connection) -> int:
        """Read a page; returns how many rows came."""
        rows = await connection.fetch(
            f"select id, xid::text, account_id from feed f where scope = $1"
            f" and (f.xid, f.id) > ($2::text::xid8, $3) and f.xid < {_XMIN}"
            " order by xid, id limit $4",
            SCOPE, str(self._at[0]), self._at[1], PAGE,
        )  # fmt: skip
        for row in rows:
            self.seen[row["account_id"]] += 1
            self._at = int(row["xid"]), row["id"]
        return len(rows)


class TwoStatements(Reader):
    """Reads xmin in a statement of its own, too late."""

    name = "naive: xmin of a later statement"

    async def poll(self, connection: Connection) -> int:
        """Read a page; returns how many rows came."""
        rows = await connection.fetch(
            "select f.id, f.xid, f.account_id from feed f where scope = $1"
            " and (f.xid, f.id) > ($2::xid8, $3) order by f.xid, f.id limit $4",
            SCOPE, *self._at, PAGE,
        )  # fmt: skip
        xmin = await connection.fetchval(f"select {_XMIN}")
        rows = [row for row in rows if row["xid"] < xmin]
        for row in rows:
            self.seen[row["account_id"]] += 1
            self._at = row["xid"], row["id"]
        return len(rows)


READERS: tuple[type[Reader], ...] = (Reader, ById, ByIdBelowXmin, SortedAsText, TwoStatements)


@dataclass(slots=True)
class Found:
    """What a run came to.

    Attributes:
        committed: rows.
        lost, duplicated: by reader.
    """

    committed: int
    seconds: float
    lost: dict[str, int] = field(default_factory=dict)
    duplicated: dict[str, int] = field(default_factory=dict)


class _Writers:
    """Writers of one run; `committed` is what must be told."""

    def __init__(self, dsn: str, rows: int, seed: int) -> None:
        self._dsn = dsn
        self._rows = rows
        self._seed = seed
        self._next = 0
        self.committed: set[int] = set()

    def _take(self) -> int:
        self._next += 1
        return self._next

    async def write(self, number: int) -> None:
        draws = random.Random(f"{self._seed}/{number}")
        connection = await asyncpg.connect(self._dsn)
        try:
            while len(self.committed) < self._rows:
                await self._transaction(connection, draws)
        finally:
            await connection.close()

    async def _transaction(self, connection: Connection, draws: random.Random) -> None:
        rows = [self._take() for _ in range(draws.randint(1, 8))]
        fate = draws.random()
        kept: list[int] = []
        early = await connection.fetchval(_NEXT_NUMBER) if draws.random() < 0.2 else None
        transaction = connection.transaction()
        await transaction.start()
        for row in rows:
            if draws.random() < 0.1:
                savepoint = connection.transaction()
                await savepoint.start()
                await connection.execute(_INSERT, SCOPE, row)
                if draws.random() < 0.5:
                    await savepoint.rollback()
                    continue
                await savepoint.commit()
            elif early is not None:
                await connection.execute(_INSERT_NUMBERED, early, SCOPE, row)
                early = None
            else:
                await connection.execute(_INSERT, SCOPE, row)
            kept.append(row)
            if draws.random() < 0.02:
                await asyncio.sleep(draws.random() * 0.2)
        if fate < 0.03:
            await transaction.rollback()
            return
        await transaction.commit()
        self.committed.update(kept)


async def run(dsn: str, *, rows: int, writers: int, readers: int, seed: int) -> Found:
    """Write and read at once until so many rows are committed, then read to the end.

    Args:
        dsn: of a migrated database.
        readers: of the product's kind; of every other kind there is one.
    """
    started = time.monotonic()
    writing = _Writers(dsn, rows, seed)
    kinds: list[type[Reader]] = [*[Reader] * readers, *READERS[1:]]
    reading = [kind() for kind in kinds]
    over = asyncio.Event()

    async def read(reader: Reader) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            while True:
                if not await reader.poll(connection) and over.is_set():
                    return
                await asyncio.sleep(0.005)
        finally:
            await connection.close()

    tasks = [asyncio.create_task(read(reader)) for reader in reading]
    await asyncio.gather(*(writing.write(number) for number in range(writers)))
    over.set()
    await asyncio.gather(*tasks)
    found = Found(len(writing.committed), time.monotonic() - started)
    for reader in reading:
        lost = len(writing.committed - reader.seen.keys())
        twice = sum(count - 1 for count in reader.seen.values())
        found.lost[reader.name] = found.lost.get(reader.name, 0) + lost
        found.duplicated[reader.name] = found.duplicated.get(reader.name, 0) + twice
    return found


def main() -> int:
    """Run the command; the exit status is 1 when the product's reader lost or doubled a row."""
    parser = argparse.ArgumentParser(prog="python -m bench.feed", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="to be committed")
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--readers", type=int, default=4, help="of the product's kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with folder_for_postgres() as folder, start_embedded(folder, durable=False) as server:
        databases = ScratchDatabases(server.dsn)
        dsn = databases.create()
        with suppress(KeyboardInterrupt):
            found = asyncio.run(run(dsn, **vars(options)))
        databases.drop(dsn)
        databases.close()
    print(f"{found.committed} rows of {options.writers} writers in {found.seconds:.0f} s")
    for name, lost in found.lost.items():
        print(f"  {lost:7} lost  {found.duplicated[name]:7} twice  {name}")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps({**vars(options), **vars_of(found)}, indent=2) + "\n", "utf-8")
    return int(bool(found.lost[Reader.name] or found.duplicated[Reader.name]))


def vars_of(found: Found) -> dict[str, Any]:
    """Return a run's figures as a plain mapping."""
    return {
        "committed": found.committed,
        "seconds": round(found.seconds, 1),
        "lost": found.lost,
        "twice": found.duplicated,
    }


if __name__ == "__main__":
    sys.exit(main())
