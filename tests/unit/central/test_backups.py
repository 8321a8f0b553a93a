"""A copy is of one moment, proves itself, is put back whole or not at all."""

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog

from central.database import backups
from central.database.backups import (
    BackupError,
    Manifest,
    make_backup,
    manifest_file,
    read_manifest,
    restore_backup,
)
from central.database.drill import drill, prove
from central.errors import ConfigurationError
from central.system import System
from tests.support.centre import NOW_MS, JoinedCentre
from tests.support.command_line import central
from tests.support.postgres import folder_for_postgres


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


async def traded(centre: JoinedCentre) -> None:
    """Let a centre have something to copy."""
    till = await centre.till()
    await centre.customer(7, 500)
    await centre.post(till, till.sale("s1", account=7), till.sale("s2", account=7))


async def put_back(dsn: str, dump: Path, manifest: Manifest) -> dict[str, int]:
    return await restore_backup(dsn, dump, manifest, now_ms=NOW_MS, with_roles=False)


async def test_a_copy_comes_to_what_it_was_made_of(
    centre: JoinedCentre, database: str, empty_database: str, tmp_path: Path
) -> None:
    await traded(centre)
    dump, made = await make_backup(database, tmp_path, now_ms=NOW_MS)
    assert dump.name == "tillside-20250305T120000Z.dump"
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    assert (made.totals["receipts"], made.totals["accounts"]) == (2, 1)
    assert await read_manifest(dump) == made
    assert await put_back(empty_database, dump, made) == made.totals
    assert (await prove(empty_database)).balanced
    connection = await asyncpg.connect(empty_database)
    try:
        # Whatever cursors tills have, they compare.
        assert await connection.fetchval("select epoch from feed_state") == NOW_MS // 1000
    finally:
        await connection.close()


async def test_what_happens_while_it_is_made_is_not_in_it(
    centre: JoinedCentre, database: str, empty_database: str, tmp_path: Path
) -> None:
    await traded(centre)
    till = await centre.till()
    making = asyncio.create_task(make_backup(database, tmp_path, now_ms=NOW_MS))
    sold = 0
    while not making.done():
        sold += 1
        await centre.post(till, till.sale(f"beside-{sold}", account=7))
    dump, made = await making
    assert sold > 1
    assert 2 <= made.totals["receipts"] < 2 + sold
    assert await put_back(empty_database, dump, made) == made.totals
    assert (await prove(empty_database)).balanced


async def test_a_damaged_copy_is_found_before_anything_is_done(
    centre: JoinedCentre, database: str, empty_database: str, tmp_path: Path
) -> None:
    dump, _ = await make_backup(database, tmp_path, now_ms=NOW_MS)
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    with pytest.raises(BackupError, match="damaged"):
        await read_manifest(dump)
    with pytest.raises(BackupError, match="damaged"):
        await drill(dump, tmp_path, System())
    manifest_file(dump).write_text("{}", encoding="utf-8")
    with pytest.raises(BackupError, match="no manifest"):
        await read_manifest(dump)
    manifest_file(dump).unlink()
    with pytest.raises(BackupError, match="No such file"):
        await read_manifest(dump)


async def test_a_copy_that_cannot_be_put_back_leaves_nothing(
    centre: JoinedCentre, database: str, empty_database: str, tmp_path: Path
) -> None:
    dump, made = await make_backup(database, tmp_path, now_ms=NOW_MS)
    whole = dump.read_bytes()
    dump.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupError, match="pg_restore failed"):
        await put_back(empty_database, dump, made)
    dump.write_bytes(whole)
    assert await put_back(empty_database, dump, made) == made.totals


async def test_nothing_is_overwritten(
    centre: JoinedCentre, database: str, tmp_path: Path
) -> None:  # fmt: skip
    dump, made = await make_backup(database, tmp_path, now_ms=NOW_MS)
    with pytest.raises(BackupError, match="not empty"):
        await put_back(database, dump, made)
    with pytest.raises(BackupError, match="already"):
        await make_backup(database, tmp_path, now_ms=NOW_MS)


async def test_a_copy_that_fails_leaves_no_file(database: str, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    broken = programs / "pg_dump"
    broken.write_text("#!/bin/sh\necho half\necho 'disk full' >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    with pytest.raises(BackupError, match="pg_dump failed: disk full"):
        await make_backup(database, tmp_path / "kept", now_ms=NOW_MS, programs=programs)
    assert list((tmp_path / "kept").iterdir()) == []
    with pytest.raises(ConfigurationError, match="no pg_dump here"):
        await make_backup(database, tmp_path, now_ms=NOW_MS, programs=tmp_path)


def is_there(file: str) -> bool:
    return bool(file) and Path(file).exists()


_SAY_HOW_CALLED = """#!/bin/sh
echo "$*|$PGPASSWORD|$(test -z "$PGSERVICEFILE" || cat "$PGSERVICEFILE")|$PGSERVICEFILE" >&2
exit 1
"""


@pytest.mark.parametrize(
    ("given", "bare", "password", "service"),
    [
        ("ann:s%40crt@db:5432/x", "ann@db:5432/x", "s@crt", ""),
        ("db/x?user=ann&password=s%40crt", "db/x?user=ann", "s@crt", ""),
        ("db/x?p%61ssword=s%40c+rt", "db/x", "s@c rt", ""),
        ("/x?host=/run/pg&password=scrt&user=a%20b", "/x?host=/run/pg&user=a%20b", "scrt", ""),
        ("ann:scrt@db/x?password=another", "ann@db/x", "scrt", ""),
        ("ann@db/x?sslkey=k&sslpassword=s%40crt", "ann@db/x?sslkey=k", "", "s@crt"),
        ("ann:one@db/x?sslpassword=scrt", "ann@db/x", "one", "scrt"),
    ],
)
async def test_a_password_is_no_argument(
    tmp_path: Path, given: str, bare: str, password: str, service: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    said = programs / "pg_dump"
    said.write_text(_SAY_HOW_CALLED, encoding="utf-8")
    said.chmod(0o755)
    with pytest.raises(BackupError) as caught:
        await backups._run(  # noqa: SLF001 - how programs are called is the promise
            "pg_dump", f"postgresql://{given}", (), programs
        )
    called, found, kept, file = str(caught.value).removeprefix("pg_dump failed: ").split("|")
    assert called == f"--dbname=postgresql://{bare}"
    assert found == password
    assert kept == (f"[tillside]\nsslpassword={service}" if service else "")
    assert not is_there(file)


async def test_a_copy_is_made_with_the_password_of_a_key(database: str, tmp_path: Path) -> None:
    """PostgreSQL's programs read the file they are given, and find nothing unknown in it."""
    sign = "&" if "?" in database else "?"
    await make_backup(f"{database}{sign}sslpassword=unused", tmp_path, now_ms=NOW_MS)


async def test_a_drill_proves_a_copy_and_leaves_nothing(
    centre: JoinedCentre, database: str, tmp_path: Path
) -> None:
    await traded(centre)
    dump, made = await make_backup(database, tmp_path, now_ms=NOW_MS)
    with folder_for_postgres() as folder:
        found = (await drill(dump, folder, System())).report
        assert not list(folder.glob("drill-*"))
    assert found.good
    assert found.totals == found.expected == made.totals
    assert found.rows > 0
    assert found.age_s > 0


async def test_a_drill_finds_a_copy_of_a_broken_ledger(
    centre: JoinedCentre, database: str, tmp_path: Path
) -> None:
    await traded(centre)
    await centre.pool.execute("update account set posted = posted + 1 where account_id = 7")
    centre.broken_checks = {"accounts"}
    dump, _ = await make_backup(database, tmp_path, now_ms=NOW_MS)
    with folder_for_postgres() as folder:
        found = (await drill(dump, folder, System())).report
    assert (found.good, found.broken) == (False, {"accounts": 1})


def test_the_commands_say_what_they_did(
    database: str, empty_database: str, tmp_path: Path
) -> None:  # fmt: skip
    with folder_for_postgres() as folder:
        at = ["--data", str(folder)]
        made = central("backup", "make", tmp_path, *at, "--database", database, "--json")
        assert made.code == 0, made.complained
        file = json.loads(made.said)["file"]
        tried = central("backup", "drill", file, *at)
        assert (tried.code, "restored in" in tried.said) == (0, True), tried.complained
        back = central("backup", "restore", file, *at, "--database", empty_database)
        assert (back.code, "ledger proven" in back.said) == (0, True), back.complained
        again = central("backup", "restore", file, *at, "--database", empty_database)
        assert (again.code, "not empty" in again.complained) == (1, True)
        assert central("backup", "drill", tmp_path / "none.dump", *at).code == 1
