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


async def test_while_old_code_runs_nothing_from_the_first_post_file_on_is_run(
    connection: Connection, folder: Path
) -> None:
    assert await migrate(connection, now_ms=0, folder=folder, stop_before_post=True) == [FIRST]
    assert await pending(connection, folder=folder) == [SECOND, THIRD]


async def test_a_failing_file_leaves_nothing_and_says_where_it_failed(
    connection: Connection, folder: Path
) -> None:
    (folder / SECOND).write_text("create table half ();\n\nselect * from nowhere;")
    with pytest.raises(MigrationError, match=rf"{SECOND}, line 3: .*nowhere"):
        await migrate(connection, now_ms=0, folder=folder)
    assert not await table_exists(connection, "half")
    assert await pending(connection, folder=folder) == [SECOND, THIRD]
    (folder / SECOND).write_text("create table half ();")
    assert await migrate(connection, now_ms=0, folder=folder) == [SECOND, THIRD]
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
    second = (folder / SECOND).rename(folder / "set aside")
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
