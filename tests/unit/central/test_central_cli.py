"""The centre's command line: what it says, and how it ends."""

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog

from central import __version__
from central.ledger.verify import CHECKS
from loyalty.documents import encode
from tests.support.builders import bundle, offer
from tests.support.command_line import Ended
from tests.support.command_line import central as run

STORE = '{"kind": "store", "store": "367"}\n'
CUSTOMER = (
    '{"kind": "account", "account_id": 7, "home_store": "367", "cards": ["4000"],'
    ' "lots": [{"points": 300, "active_from": "2025-01-01"}]}\n'
)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def given(database: str, tmp_path: Path) -> list[str]:
    """Options that name the test's own database and folder."""
    return ["--database", database, "--data", str(tmp_path)]


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.json"
    path.write_text(
        json.dumps(encode(bundle(offer("ten", title={"en": "Ten", "ru": "Десять"})))),
        encoding="utf-8",
    )
    return path


def fetchval(dsn: str, sql: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_day_of_operations(
    given: list[str], rules_file: Path, tmp_path: Path, database: str
) -> None:
    customers = tmp_path / "customers.jsonl"
    customers.write_text(STORE + CUSTOMER, encoding="utf-8")
    assert run("migrate", *given) == Ended(0, "the schema is up to date\n", "")
    loaded = run("load", *given, str(customers))
    assert loaded.said == "1 stores and 1 accounts loaded, 0 were known, 0 of them changed\n"
    again = run("load", *given, str(customers), "--json")
    counts = {"stores": 1, "accounts": 0, "accounts_known": 1, "accounts_changed": 0}
    assert json.loads(again.said) == counts
    published = json.loads(run("rules", *given, "publish", str(rules_file), "--json").said)
    assert (published["version"], published["offers"]) == (1, 1)
    assert fetchval(database, "select hash from bundle") == published["bundle"]
    code = json.loads(run("enrol", *given, "--store", "367", "--slot", "2", "--json").said)
    assert (code["store"], code["slot"], len(code["code"])) == ("367", "2", 12)
    plain = run("enrol", *given, "--store", "367", "--slot", "3", "--no-vault").said
    assert "good for one day" in plain
    assert "tillside-agent enrol --centre URL --code " in plain
    assert fetchval(database, "select count(*) from enrolment_code where is_vault") == 1
    funded = run("fund-pool", *given, "20000")
    assert funded.said == "the risk pool holds 20000 free of 20000 funded points\n"
    proof = run("verify-ledger", *given)
    assert proof.code == 0
    assert proof.said.count("ok    ") == len(CHECKS)
    assert "1 accounts" in proof.said


def test_a_ledger_that_is_not_proven_ends_with_1(given: list[str], tmp_path: Path) -> None:
    customers = tmp_path / "customers.jsonl"
    customers.write_text(STORE + CUSTOMER, encoding="utf-8")
    run("load", *given, str(customers))

    async def damage() -> None:
        connection = await asyncpg.connect(given[1])
        await connection.execute("update account set posted = posted + 1")
        await connection.close()

    asyncio.run(damage())
    proof = run("verify-ledger", *given)
    assert proof.code == 1
    assert "BROKEN every account's totals equal" in proof.said
    report = run("verify-ledger", *given, "--json")
    assert report.code == 1
    assert json.loads(report.said)["balanced"] is False


def test_rules_are_checked_without_a_database(rules_file: Path, tmp_path: Path) -> None:
    nowhere = ["--data", str(tmp_path / "none"), "--database", "postgresql://127.0.0.1:1/none"]
    good = run("rules", *nowhere, "check", str(rules_file))
    assert good == Ended(0, "version 1: 1 offers, sound\n", "")
    assert not (tmp_path / "none").exists()
    rules_file.write_text('{"version": 1, "programme": {}}', encoding="utf-8")
    bad = run("rules", *nowhere, "check", str(rules_file))
    problem = f"{rules_file}: $.programme.programme_id: is missing"
    assert bad == Ended(1, "", f"tillside-central: {problem}\n")


def test_a_bad_line_of_customers_is_named(given: list[str], tmp_path: Path) -> None:
    customers = tmp_path / "customers.jsonl"
    customers.write_text(STORE + '{"kind": "account", "account_id": "x"}\n', encoding="utf-8")
    ended = run("load", *given, str(customers))
    assert ended.code == 1
    assert ended.complained.startswith("tillside-central: line 2: ")
    assert "$.account_id" in ended.complained


def test_a_file_that_is_not_there_is_named(given: list[str]) -> None:
    ended = run("load", *given, "nowhere.jsonl")
    assert ended.code == 1
    assert "nowhere.jsonl" in ended.complained


def test_rules_that_are_not_there_are_named_without_a_number_of_the_system(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    ended = run("rules", "check", str(nowhere))
    said = f"tillside-central: {nowhere}: No such file or directory\n"
    assert (ended.code, ended.complained) == (1, said)


def test_a_code_for_an_unknown_store_is_refused(given: list[str]) -> None:
    ended = run("enrol", *given, "--store", "999", "--slot", "1")
    assert ended == Ended(
        1, "", "tillside-central: store: there is no store '999'; load stores first\n"
    )


def test_a_till_is_revoked(given: list[str], database: str) -> None:
    run("migrate", *given)
    fetchval(
        database,
        "with shop as (insert into store (store_id) values ('367') returning store_id)"
        " insert into till (store_id, slot, public_key, hardware, enrolled_at_ms)"
        " select store_id, '1', '\\x01', '', 0 from shop returning till_id",
    )
    missing = run("revoke", *given, "4711")
    assert (missing.code, "there is no till 4711" in missing.complained) == (1, True)
    assert not fetchval(database, "select revoked from till")
    done = run("revoke", *given, "1", "--json")
    said = {"till": 1, "revoked": True, "points_frozen": 0}
    assert (done.code, json.loads(done.said)) == (0, said)
    assert fetchval(database, "select revoked from till")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "70000", "port must be 0 to 65535"),
        ("PORT", "many", "$.port"),
        ("GRANT_DAYS", "0", "grant_days"),
        ("BIRTHDAY_DAYS", "181", "birthday_days must be 0 to 180"),
        ("RISK_POINTS_PER_TILL", "-1", "bounds must not be negative"),
    ],
)
def test_a_bad_setting_ends_with_78_and_is_named(
    tmp_path: Path, name: str, value: str, says: str
) -> None:
    os.environ[f"TILLSIDE_CENTRAL_{name}"] = value
    try:
        ended = run("serve", "--data", str(tmp_path))
    finally:
        del os.environ[f"TILLSIDE_CENTRAL_{name}"]
    assert ended.code == 78
    assert says in ended.complained


def test_an_address_that_cannot_be_read_ends_with_78(tmp_path: Path) -> None:
    ended = run("serve", "--data", str(tmp_path), "--database", "mysql://somewhere")
    assert ended.code == 78


def test_no_database_ends_with_69(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        dsn = f"postgresql://tillside:secret@127.0.0.1:{taken.getsockname()[1]}/tillside"
        monkeypatch.setenv("TILLSIDE_CENTRAL_DATABASE", dsn)
        ended = run("migrate", "--data", str(tmp_path))
    assert ended.code == 69
    assert "nobody answers at 127.0.0.1" in ended.complained
    assert "secret" not in ended.complained


@pytest.mark.parametrize("name", ["centre.key", "cards.key", "office.token", "rules.pub"])
def test_a_damaged_key_ends_with_78_and_is_named(
    given: list[str], rules_file: Path, tmp_path: Path, name: str
) -> None:
    assert run("rules", *given, "publish", str(rules_file)).code == 0
    (tmp_path / "keys" / name).write_text("rubbish", encoding="ascii")
    ended = run("rules", *given, "publish", str(rules_file))
    assert ended.code == 78
    assert name in ended.complained
    assert "rubbish" not in ended.complained


def test_the_rule_key_may_be_kept_elsewhere(
    given: list[str], rules_file: Path, tmp_path: Path
) -> None:
    run("rules", *given, "publish", str(rules_file))
    kept = (tmp_path / "keys" / "rules.key").rename(tmp_path / "safe.key")
    missing = run("rules", *given, "publish", str(rules_file))
    assert (missing.code, "give its file with --key" in missing.complained) == (78, True)
    assert run("rules", *given, "publish", str(rules_file), "--key", str(kept)).code == 0
    assert not (tmp_path / "keys" / "rules.key").exists()


def test_keys_are_for_nobody_else_to_read(
    given: list[str], rules_file: Path, tmp_path: Path
) -> None:
    run("rules", *given, "publish", str(rules_file))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()}
    del modes["rules.pub"]
    assert modes == dict.fromkeys(
        ("centre.key", "rules.key", "cards.key", "office.token", "app.token"), 0o600
    )
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_help_and_version() -> None:
    assert run("--version") == Ended(0, f"tillside-central {__version__}\n", "")
    for command in (
        "serve",
        "migrate",
        "load",
        "rules",
        "calculate",
        "schema",
        "enrol",
        "fund-pool",
        "verify-ledger",
        "revoke",
    ):
        shown = run(command, "--help")
        assert shown.code == 0
        assert f"Example: tillside-central {command}" in shown.said
    assert run().code == 2
