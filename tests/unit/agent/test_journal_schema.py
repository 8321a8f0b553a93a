"""The journal's schema: applied once, the same whoever applies it, readable by any SQLite."""

import sqlite3
from pathlib import Path

import pytest

from agent.errors import JournalUnavailableError
from agent.journal.database import Database
from agent.journal.journal import Journal
from agent.journal.schema import migration_files
from tests.support.till import TILL_ID, JoinedTill, KeptMark

FIRST = "create table first (id integer primary key) strict;"
TABLES = {
    "counter_reservation",
    "counter_right",
    "courier_ask",
    "courier_count",
    "rule_trust",
    "copy_state",
    "shown_code",
    "told_time",
    "grant_paper",
    "roster",
    "transfer_given",
    "transfer_taken",
    "witness_copy",
    "witness_head",
    "migration",
    "offline_limit",
    "noted_sale",
    "own_count",
    "receipt",
    "record",
    "pruned",
    "reservation",
    "return_document",
    "returned_line",
    "held_right",
    "risk_budget",
    "risk_use",
    "stream",
}


@pytest.fixture
def everywhere() -> sqlite3.Connection:
    """The schema in the standard library's SQLite, which is older than the till's."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table migration (name text primary key) strict")
    for _, text in migration_files():
        connection.executescript(text)
    return connection


def test_a_migration_is_applied_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for applied in ([name for name, _ in migration_files()], []):
        database = Database(str(path))
        assert database.migrate(migration_files()) == applied
        database.close()


def test_migrations_come_in_order_and_each_name_once() -> None:
    names = [name for name, _ in migration_files()]
    assert names == sorted(set(names))
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]


def test_only_what_is_missing_is_applied(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "journal.db"))
    files = [("0001_first.sql", FIRST), ("0002_second.sql", FIRST.replace("first", "second"))]
    assert database.migrate(files[:1]) == ["0001_first.sql"]
    assert database.migrate(files) == ["0002_second.sql"]
    database.close()


def test_a_migration_happens_whole_or_not_at_all(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "journal.db"))
    database.run("pragma max_page_count=12")
    too_much = FIRST + "create table second (x text) strict; insert into second values ({})"
    too_much = too_much.format("hex(zeroblob(100000))")
    with pytest.raises(JournalUnavailableError):
        database.migrate([("0001_first.sql", too_much)])
    assert database.rows("select name from sqlite_schema where name in ('first', 'second')") == []
    database.run("pragma max_page_count=1000")
    assert database.migrate([("0001_first.sql", too_much)]) == ["0001_first.sql"]
    database.close()


def test_a_journal_keeps_its_records_through_a_migration(tmp_path: Path) -> None:
    till = JoinedTill(tmp_path / "till")
    head = till.till.journal.stream.head()
    till.close()
    database = Database(str(tmp_path / "till" / "journal.db"))
    database.migrate([*migration_files(), ("9999_later.sql", FIRST)])
    assert Journal(database, TILL_ID, KeptMark()).stream.head() == head
    database.close()


def test_the_schema_opens_in_the_standard_librarys_sqlite(everywhere: sqlite3.Connection) -> None:
    assert everywhere.execute("pragma integrity_check").fetchall() == [("ok",)]
    names = everywhere.execute("select name from sqlite_schema where type = 'table'").fetchall()
    assert {name for (name,) in names} == TABLES


def test_every_table_is_strict_and_has_a_key(everywhere: sqlite3.Connection) -> None:
    for name, is_strict in everywhere.execute(
        "select name, strict from pragma_table_list where type = 'table' and schema = 'main'"
        " and name not like 'sqlite_%'"
    ).fetchall():
        assert is_strict, name
        keys = everywhere.execute(f"select count(*) from pragma_table_info('{name}') where pk")
        assert keys.fetchone()[0] >= 1, name


def test_every_column_but_a_key_refuses_null(everywhere: sqlite3.Connection) -> None:
    loose = everywhere.execute(
        "select t.name || '.' || c.name from pragma_table_list t, pragma_table_info(t.name) c"
        " where t.type = 'table' and t.name not like 'sqlite_%' and not c.\"notnull\" and not c.pk"
    ).fetchall()
    assert loose == []


@pytest.mark.parametrize(
    "nonsense",
    [
        "insert into risk_budget values (2, 0, 0)",
        "update risk_budget set points_spent = 1",
        "insert into stream values (x'01', 1, 5, x'00', 6, x'00', 0, 0)",
        "insert into held_right values ('g', 'gift', 7, '', 10, 10, x'', 0, x'01')",
        "insert into held_right values ('g', 'grant', 7, '', 10, 11, x'', 0, x'01')",
        "insert into held_right values ('g', 'grant', 7, '', 10, -1, x'', 0, x'01')",
        "insert into reservation values ('r', 'g', 0, x'')",
        "insert into receipt values ('r', 'maybe', 1, 0, 0, x'', x'', x'', 0)",
        "insert into receipt values ('r', 'recorded', 'one', 0, 0, x'', x'', x'', 0)",
    ],
)
def test_the_file_itself_refuses_what_can_never_be(
    everywhere: sqlite3.Connection, nonsense: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        everywhere.execute(nonsense)
