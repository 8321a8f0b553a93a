"""What takes away waits until somebody says that no process of an older release works any more."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from central.database.parts import make_roles, role_of
from tests.support.command_line import ROOT, Ended

ADDS = "9001_pre_nickname.sql"
TAKES_AWAY = "9002_post_nickname_gone.sql"


@dataclass(frozen=True, slots=True)
class _Newer:
    """A newer release: this one's sources with migrations of its own."""

    folder: Path
    database: str

    @property
    def migrations(self) -> Path:
        return self.folder / "central" / "database" / "migrations"

    async def migrate(self, *options: str, role: str = "") -> Ended:
        """Run its `migrate`, as somebody who has that role alone where one is named."""
        dsn = self.database
        if role:
            dsn += f"{'&' if '?' in dsn else '?'}role={role}"
        return await asyncio.to_thread(self._run, "migrate", "--database", dsn, *options)

    def _run(self, *arguments: str) -> Ended:
        paths = os.pathsep.join([str(self.folder), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-m", "central", *arguments, "--data", str(self.folder / "data")],
            cwd=self.folder, env={"PATH": os.environ["PATH"], "PYTHONPATH": paths},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    async def ask(self, sql: str) -> object:
        connection = await asyncpg.connect(self.database)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def has(self, column: str) -> bool:
        """Say whether stores have a column."""
        return bool(
            await self.ask(
                "select exists (select from information_schema.columns"
                f" where table_name = 'store' and column_name = '{column}')"
            )
        )


@pytest.fixture
def newer(database: str, tmp_path: Path) -> _Newer:
    """Give a database of this release, and the next release beside it."""
    shutil.copytree(ROOT / "central", tmp_path / "central")
    release = _Newer(tmp_path, database)
    for name, sql in (
        (ADDS, "alter table store add nickname text"),
        (TAKES_AWAY, "alter table store drop nickname"),
    ):
        (release.migrations / name).write_text(sql, encoding="utf-8")
    return release


async def test_what_takes_away_waits_until_it_is_asked_for(newer: _Newer) -> None:
    done = await newer.migrate()
    assert done.code == 0, done.complained
    assert f"waits for --contract: {TAKES_AWAY}" in done.said
    assert await newer.has("nickname")
    done = await newer.migrate("--json")
    assert json.loads(done.said)["waiting"] == [TAKES_AWAY]
    done = await newer.migrate("--contract", "--json")
    assert done.code == 0, done.complained
    assert json.loads(done.said)["waiting"] == []
    assert not await newer.has("nickname")


async def test_who_is_bound_to_a_part_works_while_it_waits_and_takes_nothing_away(
    newer: _Newer,
) -> None:
    connection = await asyncpg.connect(newer.database)
    await make_roles(connection)
    await connection.close()
    front = role_of("front")
    assert ADDS in (await newer.migrate(role=front)).complained
    assert (await newer.migrate()).code == 0
    assert (await newer.migrate(role=front)).code == 0
    refused = await newer.migrate("--contract", role=front)
    assert refused.code == 1
    assert "--contract as its owner" in refused.complained
    assert await newer.has("nickname")
