"""Migrations: each file once, whole or not at all, in order, and never changed afterwards."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from central.database.migrations import migrate, pending
from central.database.pool import Connection
from central.errors import MigrationError

FIRST = "0001_pre_initial.sql"
SECOND = "0002_post_fewer_columns.sql"
THIRD = "0003_pre_more_columns.sql"


@pytest.fixture
async def connection(empty_database: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sql = "create table account (account_id bigint primary key, nickname text);\nselect 1;\n"
    (tmp_path / FIRST).write_text(sql, encoding="utf-8")
    (tmp_path / SECOND).write_text("alter table account drop nickname;", encoding="utf-8")
    (tmp_path / THIRD).write_text("alter table account add born date;", encoding="utf-8")
    (tmp_path / "README.md").write_text("not a migration", encoding="utf-8")
    return tmp_path


def set_aside(folder: Path, *names: str) -> list[Path]:
    """Take files out of the folder; what they are called now."""
    return [(folder / name).rename(folder / f"{name} set aside") for name in names]


async def table_exists(connection: Connection, name: str) -> bool:
    return bool(await connection.fetchval("select to_regclass($1) is not null", name))


async def test_files_run_once_in_the_order_of_their_numbers(
    connection: Connection, folder: Path
) -> None:
    assert await pending(connection, folder=folder) == [FIRST, SECOND, THIRD]
    assert await migrate(connection, now_ms=17, folder=folder) == [FIRST, SECOND, THIRD]
    assert await pending(connection, folder=folder) == []
    assert await migrate(connection, now_ms=18, folder=folder) == []
    rows = await connection.fetch("select name, applied_at_ms from migration order by name")
    assert [tuple(row) for row in rows] == [(FIRST, 17), (SECOND, 17), (THIRD, 17)]


async def test_what_takes_away_waits_until_the_old_code_is_gone(
    connection: Connection, folder: Path
) -> None:
    second, third = set_aside(folder, SECOND, THIRD)
    await migrate(connection, now_ms=0, folder=folder)
    second.rename(folder / SECOND)
    assert await pending(connection, folder=folder) == []
    assert await migrate(connection, now_ms=0, folder=folder) == []
    third.rename(folder / THIRD)
    assert await pending(connection, folder=folder, contracting=True) == [SECOND, THIRD]
    assert await migrate(connection, now_ms=0, folder=folder, contracting=True) == [SECOND, THIRD]


async def test_a_release_that_needs_what_comes_after_a_waiting_file_is_refused(
    connection: Connection, folder: Path
) -> None:
    behind = set_aside(folder, SECOND, THIRD)
    await migrate(connection, now_ms=0, folder=folder)
    for file, name in zip(behind, (SECOND, THIRD), strict=True):
        file.rename(folder / name)
    refusal = rf"{THIRD} .* {SECOND}, .* migrate --contract"
    with pytest.raises(MigrationError, match=refusal):
        await migrate(connection, now_ms=0, folder=folder)
    with pytest.raises(MigrationError, match=refusal):
        await pending(connection, folder=folder)
    assert await pending(connection, folder=folder, contracting=True) == [SECOND, THIRD]


async def test_a_failing_file_leaves_nothing_and_says_where_it_failed(
    connection: Connection, folder: Path
) -> None:
    (folder / SECOND).write_text("create table half ();\n\nselect * from nowhere;")
    with pytest.raises(MigrationError, match=rf"{SECOND}, line 3: .*nowhere"):
        await migrate(connection, now_ms=0, folder=folder)
    assert not await table_exists(connection, "half")
    assert await pending(connection, folder=folder, contracting=True) == [SECOND, THIRD]
    (folder / SECOND).write_text("create table half ();")
    assert await migrate(connection, now_ms=0, folder=folder, contracting=True) == [SECOND, THIRD]
    assert await table_exists(connection, "half")


async def test_a_file_changed_after_it_was_run_is_named(
    connection: Connection, folder: Path
) -> None:
    await migrate(connection, now_ms=0, folder=folder)
    (folder / FIRST).write_text("create table other ();", encoding="utf-8")
    with pytest.raises(MigrationError, match=f"{FIRST} was changed"):
        await migrate(connection, now_ms=0, folder=folder)
    with pytest.raises(MigrationError, match=f"{FIRST} was changed"):
        await pending(connection, folder=folder)


async def test_other_line_ends_are_not_a_change(connection: Connection, folder: Path) -> None:
    await migrate(connection, now_ms=0, folder=folder)
    file = folder / FIRST
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert await pending(connection, folder=folder) == []


async def test_a_number_below_those_already_run_is_refused(
    connection: Connection, folder: Path
) -> None:
    (second,) = set_aside(folder, SECOND)
    await migrate(connection, now_ms=0, folder=folder)
    second.rename(folder / SECOND)
    with pytest.raises(MigrationError, match=f"{SECOND} was not run and {THIRD} was"):
        await migrate(connection, now_ms=0, folder=folder)


async def test_what_a_newer_release_ran_is_left_alone(connection: Connection, folder: Path) -> None:
    await migrate(connection, now_ms=0, folder=folder)
    (folder / THIRD).unlink()
    assert await pending(connection, folder=folder) == []


@pytest.mark.parametrize(
    ("name", "sql", "complaint"),
    [
        ("4_pre_short.sql", "select 1", "has to be named"),
        ("0004_middle_phase.sql", "select 1", "has to be named"),
        ("0003_pre_twin.sql", "select 1", "same number"),
        ("0004_pre_own.sql", "create table a ();\n  COMMIT ;\ncreate table b ();", "COMMIT"),
    ],
)
async def test_a_badly_named_or_written_file_stops_everything(
    connection: Connection, folder: Path, name: str, sql: str, complaint: str
) -> None:
    (folder / name).write_text(sql, encoding="utf-8")
    with pytest.raises(MigrationError, match=complaint):
        await migrate(connection, now_ms=0, folder=folder)
    assert not await table_exists(connection, "migration")


async def test_a_function_body_may_begin_and_end(connection: Connection, folder: Path) -> None:
    body = "create function two() returns int language plpgsql as $$\nbegin\n return 2;\nend;\n$$;"
    (folder / "0004_pre_function.sql").write_text(body, encoding="utf-8")
    await migrate(connection, now_ms=0, folder=folder)
    assert await connection.fetchval("select two()") == 2


async def test_of_several_processes_one_does_the_work(empty_database: str, folder: Path) -> None:
    connections = await asyncio.gather(*(asyncpg.connect(empty_database) for _ in range(4)))
    try:
        applied = await asyncio.gather(
            *(migrate(connection, now_ms=0, folder=folder) for connection in connections),
        )
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))
    assert sorted(name for names in applied for name in names) == [FIRST, SECOND, THIRD]


async def test_a_package_without_its_files_is_not_taken_for_an_empty_schema(
    connection: Connection, tmp_path: Path
) -> None:
    with pytest.raises(MigrationError, match="no folder"):
        await migrate(connection, now_ms=0, folder=tmp_path / "missing")


async def test_a_fresh_scratch_database_has_every_migration_of_the_package(database: str) -> None:
    connection = await asyncpg.connect(database)
    assert await pending(connection) == []
    await connection.close()


async def test_the_centre_may_stand_in_any_schema(empty_database: str) -> None:
    owner = await asyncpg.connect(empty_database)
    await owner.execute("create schema loyalty")
    await owner.close()
    connection = await asyncpg.connect(empty_database, server_settings={"search_path": "loyalty"})
    assert await migrate(connection, now_ms=0) != []
    kept = await connection.fetch(
        "select distinct p.proconfig from pg_proc p"
        " where p.prosecdef and p.pronamespace = 'loyalty'::regnamespace"
    )
    elsewhere = "select count(*) from pg_tables where schemaname = 'public'"
    assert [row["proconfig"] for row in kept] == [["search_path=loyalty, pg_temp"]]
    assert await connection.fetchval(elsewhere) == 0
    async with connection.transaction():
        await connection.execute("select keep_ledger_still()")  # as before a day is sealed
    await connection.close()


# Indexes that are built while everybody works

BESIDE = "0004_pre_beside.sql"
INDEXES = (
    "-- concurrently\n-- A comment; with a semicolon.\n"
    "create index concurrently if not exists account_born on account (born);\n"
    "create unique index concurrently if not exists twice\n on account (account_id, born);\n"
)


async def is_valid(connection: Connection, index: str) -> bool:
    query = "select indisvalid from pg_index where indexrelid = to_regclass($1)"
    return bool(await connection.fetchval(query, index))


async def test_an_index_is_built_while_others_write_and_processes_start(
    connection: Connection, empty_database: str, folder: Path
) -> None:
    await migrate(connection, now_ms=0, folder=folder)
    (folder / BESIDE).write_text(INDEXES, encoding="utf-8")
    others = await asyncio.gather(*(asyncpg.connect(empty_database) for _ in range(4)))
    writer, looking, *starting = others
    try:
        async with asyncio.timeout(60):
            writing = writer.transaction()
            await writing.start()
            await writer.execute("insert into account values (1)")
            starts = [
                asyncio.create_task(migrate(each, now_ms=5, folder=folder))
                for each in (connection, *starting)
            ]
            # One waits for the writer, who goes on writing; the others wait for that one.
            waits = (
                "select count(*) from pg_stat_activity"
                " where query like 'create index%' and wait_event_type = 'Lock'"
            )
            while not await looking.fetchval(waits):
                await writer.execute("insert into account select max(account_id) + 1 from account")
            await writing.commit()
            applied = await asyncio.gather(*starts)
    finally:
        await asyncio.gather(*(each.close() for each in others))
    assert sorted(applied) == [[], [], [BESIDE]]
    assert await is_valid(connection, "account_born")
    assert await is_valid(connection, "twice")
    assert await pending(connection, folder=folder) == []


async def test_an_index_that_was_half_built_is_built_anew(
    connection: Connection, folder: Path
) -> None:
    await migrate(connection, now_ms=0, folder=folder)
    await connection.execute("insert into account values (1, 'now'), (2, 'now')")
    (folder / BESIDE).write_text(
        "-- concurrently\ncreate unique index concurrently if not exists born on account (born);"
    )
    with pytest.raises(MigrationError, match=rf"(?s){BESIDE}, index born: .*anew"):
        await migrate(connection, now_ms=0, folder=folder)
    assert await pending(connection, folder=folder) == [BESIDE]
    assert await connection.fetchval("select to_regclass('born') is not null")
    await connection.execute("delete from account where account_id = 2")
    assert await migrate(connection, now_ms=0, folder=folder) == [BESIDE]
    assert await is_valid(connection, "born")


@pytest.mark.parametrize(
    "sql",
    [
        "-- concurrently\ncreate index concurrently account_born on account (born);",
        "-- concurrently\ncreate index if not exists account_born on account (born);",
        "-- concurrently\nselect 1;",
    ],
)
async def test_a_file_that_runs_concurrently_builds_indexes_and_nothing_else(
    connection: Connection, folder: Path, sql: str
) -> None:
    (folder / BESIDE).write_text(sql, encoding="utf-8")
    with pytest.raises(MigrationError, match=f"{BESIDE} holds"):
        await migrate(connection, now_ms=0, folder=folder)
    assert not await table_exists(connection, "migration")
