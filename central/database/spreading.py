"""Spreads accounts over the machines of a Citus cluster, by account (design: stack 6; centre 9).

What is an account's stands with the account; what is found by another key stands in a table of its
own, by that key; what every machine joins with is on every machine. The rest, above all the
streams of tills, stays with the coordinator. The same layout stands as hash partitions in plain
PostgreSQL in the tests, which read from EXPLAIN that a purchase touches one of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import ConfigurationError

_SQL = load_queries("central.database", "spreading.sql")


@dataclass(frozen=True, slots=True)
class Group:
    """Tables spread by the same column: rows with the same value are on one machine.

    Attributes:
        tables: those that others refer to first.
    """

    column: str
    tables: tuple[str, ...]


GROUPS: Final = (
    Group(
        "account_id",
        (
            "account", "lot", "right_grant", "right_grant_lot", "right_transfer", "ledger_entry",
            "ledger_posting", "redemption_lot", "account_counter", "account_visit",
            "account_birthday", "account_tier", "account_card", "store_interest", "grant_wish",
            "app_session", "offer_to_activate", "used_code", "code_twice",
        ),
    ),
    Group(
        "sale_key",
        ("receipt", "refund", "returned_line", "voided_key", "receipt_hint", "stale_receipt"),
    ),
    Group("card", ("card",)),
    Group("key", ("right_place",)),
)  # fmt: skip
REPLICATED: Final = ("store", "business_day")

_COLUMN_OF: Final = {table: group.column for group in GROUPS for table in group.tables}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What a spread table cannot have, and the statements that take it away.

    Attributes:
        kind: `foreign key`, `trigger` or `unique key`.
    """

    kind: str
    table: str
    name: str
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """What was done.

    Attributes:
        tables: spread now; those that were before are not among them.
    """

    tables: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]


async def spread(connection: Connection) -> Spread:
    """Spread what is not spread yet, in one transaction; again it does what later releases added.

    Args:
        connection: to the coordinator, outside any transaction, migrated.

    Raises:
        ConfigurationError: the database has no Citus.
    """
    async with connection.transaction():
        await connection.execute("set local statement_timeout = 0")
        if not await connection.fetchval(_SQL["has_citus"]):
            raise ConfigurationError(
                "this database has no Citus: name a coordinator's database in which"
                " `create extension citus` was run",
            )
        await connection.execute(_SQL["in_sequence"])
        before = await spread_tables(connection)
        obstacles = await find_obstacles(connection)
        for obstacle in obstacles:
            for statement in obstacle.statements:
                await connection.execute(statement)
        for table in REPLICATED:
            if table not in before:
                await connection.execute(_SQL["replicate"], table)
        made = [*(table for table in REPLICATED if table not in before)]
        for group in GROUPS:
            for table in group.tables:
                if table not in before:
                    first = group.tables[0]
                    beside = "none" if table == first else first
                    await connection.execute(_SQL["distribute"], table, group.column, beside)
                    made.append(table)
        await connection.execute(_SQL["functions"])
        known = msgspec.json.encode(sorted({*before, *made})).decode()
        await connection.execute(_SQL["note_spread_tables"], known)
    return Spread(tuple(made), tuple(obstacles))


async def spread_tables(connection: Connection) -> tuple[str, ...]:
    """Return the tables that are spread or replicated; none in a database of one machine."""
    known: str | None = await connection.fetchval(_SQL["spread_tables"])
    return tuple(msgspec.json.decode(known, type=list[str])) if known else ()


async def find_obstacles(connection: Connection) -> list[Obstacle]:
    """Return what keeps tables from being spread: each is taken away by its statements.

    References stay where both rows are on one machine, or the other one is on every machine. Keys
    stay where they have the column the table is spread by: of another key nobody can say whether
    it is unique without asking every machine. Triggers would run on another machine than the
    tables they write.
    """
    names = list(_COLUMN_OF)
    return [
        *_foreign_keys(await connection.fetch(_SQL["foreign_keys"])),
        *(
            Obstacle(
                "trigger", table, name, (f'drop trigger "{name}" on "{table}"',)
            )
            for name, table in await connection.fetch(_SQL["triggers"], names)
        ),
        *_unique_keys(await connection.fetch(_SQL["unique_keys"], names)),
    ]  # fmt: skip


def _foreign_keys(rows: list[asyncpg.Record]) -> Iterator[Obstacle]:
    for row in rows:
        table, other = row["of_table"], row["to_table"]
        column, other_column = _COLUMN_OF.get(table), _COLUMN_OF.get(other)
        if other in REPLICATED or column is None is other_column:
            continue
        pairs = zip(row["columns"], row["to_columns"], strict=True)
        if column is not None and column == other_column and (column, column) in pairs:
            continue
        yield Obstacle(
            "foreign key", table, row["name"],
            (f'alter table "{table}" drop constraint "{row["name"]}"',),
        )  # fmt: skip


def _unique_keys(rows: list[asyncpg.Record]) -> Iterator[Obstacle]:
    for row in rows:
        table, name = row["of_table"], row["name"]
        column = _COLUMN_OF[table]
        if column in row["columns"]:
            continue
        if row["is_primary"]:
            columns = ", ".join(f'"{each}"' for each in (column, *row["columns"]))
            instead = f'alter table "{table}" add primary key ({columns})'
        else:
            instead = row["definition"].replace("CREATE UNIQUE INDEX", "CREATE INDEX", 1)
        gone = f'alter table "{table}" drop constraint' if row["is_constraint"] else "drop index"
        yield Obstacle("unique key", table, name, (f'{gone} "{name}"', instead))
