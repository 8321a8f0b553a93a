"""What statements would read, and what they really touched, as PostgreSQL explains it.

Of those that ran, the extension `auto_explain` sends the plan of every statement with it, those
inside of functions and triggers too; what was planned and never executed does not count.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from central.database.pool import Connection, Pool

_SETTINGS = (
    "session_preload_libraries = 'auto_explain'",
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_analyze = on",
    "auto_explain.log_timing = off",
    "auto_explain.log_nested_statements = on",
    "auto_explain.log_format = json",
    "auto_explain.log_level = notice",
)
_READ_WHOLE = re.compile(r"Seq Scan on (\w+)")
_PARTITION = re.compile(r"(\w+)_p(\d+)")


async def plan_by_indexes(connection: Connection, statement: str, *arguments: object) -> str:
    """Return the plan of a statement where reading a table whole is the last thing to try.

    What it reads whole all the same it has no index for, however little the planner knows yet.
    """
    async with connection.transaction():
        await connection.execute("set local enable_seqscan = off")
        rows = await connection.fetch("explain (costs off) " + statement, *arguments)
    return "\n".join(row[0] for row in rows)


def read_whole(plan: str) -> set[str]:
    """Return the tables a plan reads whole."""
    return set(_READ_WHOLE.findall(plan))


@dataclass(frozen=True, slots=True)
class Explained:
    """A statement that ran and the partitions it read or changed, by table."""

    text: str
    partitions: dict[str, set[int]]


@dataclass(slots=True)
class Explanations:
    """Everything that ran over a pool, in order."""

    statements: list[Explained] = field(default_factory=list)

    def hear(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        """Take a notice of the server."""
        said: str = getattr(message, "message", "")
        start = said.find("plan:\n")
        if start < 0:
            return
        plan = json.loads(said[start + len("plan:\n") :])
        partitions: dict[str, set[int]] = {}
        for table, number in _touched(plan["Plan"]):
            partitions.setdefault(table, set()).add(number)
        self.statements.append(Explained(plan["Query Text"], partitions))

    def take(self) -> list[Explained]:
        """Return what ran since the last time."""
        taken, self.statements = self.statements, []
        return taken


def _touched(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the partitions that a node and those below it were really executed on."""
    if node.get("Actual Loops", 1):
        found = _PARTITION.fullmatch(node.get("Relation Name", ""))
        if found is not None:
            yield found[1], int(found[2])
    for each in node.get("Plans", ()):
        yield from _touched(each)


@asynccontextmanager
async def explained_pool(dsn: str) -> AsyncIterator[tuple[Pool, Explanations]]:
    """Give a pool on a database of a test's own, and what runs over it."""
    connection = await asyncpg.connect(dsn)
    name = await connection.fetchval("select current_database()")
    for setting in _SETTINGS:
        await connection.execute(f'alter database "{name}" set {setting}')
    await connection.close()
    explanations = Explanations()

    async def listen(connection: Any) -> None:  # noqa: ANN401 - as asyncpg hands it over
        connection.add_log_listener(explanations.hear)

    # As the product's pools: `jit` off and UTC.
    pool = await asyncpg.create_pool(
        dsn, min_size=2, max_size=4, setup=listen,
        server_settings={"timezone": "UTC", "jit": "off"},
    )  # fmt: skip
    try:
        yield pool, explanations
    finally:
        await pool.close()
