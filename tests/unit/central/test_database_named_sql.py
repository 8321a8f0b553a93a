"""Named statements: found by name, and a file that is not written as it should is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from central.database.named_sql import Queries, load_queries

FILE = """-- Accounts.

-- name: account_by_id
select * from account
-- a comment stays
where account_id = $1;

--name:  lock_account
select 1;
"""


def test_statements_are_found_by_name() -> None:
    queries = Queries("central.ledger/queries.sql", FILE)
    assert dict(queries) == {
        "account_by_id": "select * from account\n-- a comment stays\nwhere account_id = $1;",
        "lock_account": "select 1;",
    }


def test_an_unknown_name_is_answered_with_the_file_and_its_names() -> None:
    queries = Queries("central.ledger/queries.sql", FILE)
    with pytest.raises(KeyError, match=r"'acount'.*central\.ledger/queries\.sql.*lock_account"):
        queries["acount"]
    assert "acount" not in queries


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("select 1;\n-- name: one\nselect 1;", "before the first"),
        ("-- name: Two Words\nselect 1;", "no query name"),
        ("-- name:\nselect 1;", "no query name"),
        ("-- name: one\nselect 1;\n-- name: one\nselect 2;", "twice"),
        ("-- name: one\n\n-- name: two\nselect 1;", "'one' is empty"),
    ],
)
def test_a_badly_written_file_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"file.sql.*{complaint}"):
        Queries("file.sql", text)


@pytest.fixture
def importable_folder(tmp_path: Path) -> Iterator[Path]:
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))


def test_a_file_is_read_from_its_package_once(importable_folder: Path) -> None:
    package = importable_folder / "package_with_queries"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "queries.sql").write_text("-- name: greeting\nselect 'привет';\n", encoding="utf-8")
    queries = load_queries("package_with_queries", "queries.sql")
    assert queries["greeting"] == "select 'привет';"
    assert load_queries("package_with_queries", "queries.sql") is queries
    with pytest.raises(FileNotFoundError):
        load_queries("package_with_queries", "other.sql")
