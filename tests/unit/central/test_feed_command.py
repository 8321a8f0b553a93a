"""`tillside-central feed`: a person says that what tills know must be compared."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog

from tests.support.command_line import Ended
from tests.support.command_line import central as run


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def given(database: str, tmp_path: Path) -> list[str]:
    """Options that name the test's own database and folder."""
    return ["--database", database, "--data", str(tmp_path)]


def epoch(database: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(database)
        try:
            return await connection.fetchval("select epoch from feed_state")
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_each_call_begins_the_next_epoch_of_the_feed(given: list[str], database: str) -> None:
    first = run("feed", *given, "new-epoch")
    number = epoch(database)
    assert isinstance(number, int)
    said = f"epoch {number} begins: each till compares its accounts at its next conversation\n"
    assert first == Ended(0, said, "")
    assert number > 1
    told = json.loads(run("feed", *given, "new-epoch", "--json").said)
    assert told["epoch"] > number
    assert epoch(database) == told["epoch"]
