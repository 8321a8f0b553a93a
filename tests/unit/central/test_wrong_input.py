"""What the centre's commands answer to input that cannot be meant: one sentence, never a trace."""

import argparse
import asyncio
import importlib.util
import json
import shlex
import socket
import typing
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog

from central.bootstrap import opened_database
from central.cli import build_parser
from central.commands.command import run_at_centre
from central.config import CentralConfig
from central.errors import CentralError
from central.ledger.adjustments import CALL_CENTRE, FINANCE
from central.privacy.customers import PRIVACY
from central.staff.persons import APPROVER, AUTHOR
from central.staff.roles import ROLES
from central.system import System
from tests.support.command_line import Ended, central

HUGE = 2**64
TYPED_WRONG, FAILED, SETTING = 2, 1, 78


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def given(database: str, tmp_path: Path) -> list[str]:
    """Options that name the test's own database and folder."""
    return ["--database", database, "--data", str(tmp_path)]


def sentence(ended: Ended) -> str:
    """Return the one sentence a command that could not do its work has said."""
    assert ended.said == ""
    *usage, last = ended.complained.splitlines()
    assert "Traceback" not in ended.complained
    if ended.code != TYPED_WRONG:
        assert usage == []
    return last


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (f"fund-pool {HUGE}", "points"),
        ("fund-pool 0", "points"),
        ("fund-pool -- -5", "points"),
        (f"fund-pool {'9' * 5_000}", "points"),
        (f"account adjust 1 {HUGE} --reason x", "points"),
        (f"account adjust {HUGE} 1 --reason x", "account"),
        (f"account undo-merge {HUGE}", "merge"),
        (f"account undo-move {HUGE}", "move"),
        (f"account merge 1 {HUGE} --reason x", "INTO"),
        (f"account move-card 1 --to {HUGE} --reason x", "--to"),
        (f"account wallets {HUGE}", "account"),
        (f"tiers show {HUGE}", "account"),
        (f"rights block {HUGE}", "account"),
        (f"rights counters --account {HUGE}", "--account"),
        (f"rights write-off --till {HUGE}", "--till"),
        (f"customer show {HUGE}", "account"),
        (f"customer erasures {HUGE}", "erasure"),
        (f"events resend {HUGE}", "event"),
        (f"events drop {HUGE}", "event"),
        (f"revoke {HUGE}", "till"),
        ("revoke 0", "till"),
        ("revoke twelve", "till"),
        ("audit --rows -1", "--rows"),
        ("audit --rows 0", "--rows"),
        ("alerts list --rows -5", "--rows"),
        ("serve --port 70000", "--port"),
        ("rules backtest f --period 2026-03-01 --jobs -3", "--jobs"),
        (f"ledger limit finance {HUGE}", "points"),
        (f"ledger reason x X --points-max {HUGE}", "--points-max"),
        ("partners terms b --at-once -1 --customer-day 1 --day 1", "--at-once"),
        ("apps rotate a --keep-hours -1", "--keep-hours"),
        ("person add ann --role boss", "--role"),
        ("person roles ann --role boss", "--role"),
        ("ledger limit nosuchrole 5", "role"),
    ],
)
def test_an_argument_no_number_or_word_can_be_is_named_with_what_can(line: str, names: str) -> None:
    """Nothing is opened for it: no data folder and no database is given."""
    ended = central(*shlex.split(line))
    assert ended.code == TYPED_WRONG
    said = sentence(ended)
    assert f"error: argument {names}" in said or f"error: argument whose_role/{names}" in said
    assert any(tells in said for tells in (" to ", "choose from", "whole number"))


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("rules root make {folder}/r.json --root-key zz --release-key zz", FAILED, "root_keys"),
        (f"rules halt {HUGE} --why x", FAILED, f"no release {HUGE}"),
        ("rules backtest f --period 2026", FAILED, "'2026' is not YYYY-MM-DD"),
        ("receipts archive --period 2026-03-02..2026-03-01", FAILED, "after the last"),
        ("ledger liability --day 2999-01-01", FAILED, "still to come"),
        ("ledger liability --day 2999", FAILED, "write it YYYY-MM-DD"),
        ("partners statement nosuch", FAILED, "no partner 'nosuch'"),
        ("account wallets 404", FAILED, "404"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    given: list[str], tmp_path: Path, line: str, status: int, says: str
) -> None:
    words = shlex.split(line.format(folder=tmp_path))
    options = [] if "root" in words else given
    assert central("migrate", *given).code == 0
    ended = central(*words, *options)
    assert ended.code == status
    said = sentence(ended)
    assert said.startswith("tillside-central: ")
    assert says in said


def test_what_the_database_has_no_place_for_is_one_sentence(given: list[str]) -> None:
    """Of every command there is and will be, whatever its arguments are checked for before."""

    async def ask(options: argparse.Namespace, config: CentralConfig) -> int:
        async with opened_database(config, System()) as pool:
            await pool.fetchval("select $1::bigint", options.number)
        return 0

    options = argparse.Namespace(number=HUGE, database=given[1], data=given[3])
    with pytest.raises(CentralError, match="no place for one of these values") as refused:
        run_at_centre(ask, options)
    assert refused.value.exit_code == FAILED


@pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is not None, reason="Spark is installed here"
)
def test_a_job_of_spark_without_spark_says_what_to_install(given: list[str]) -> None:
    ended = central(
        "rules", "backtest", "f", "--period", "2026-03-01", "--archive", "x", "--spark", *given
    )
    assert (ended.code, "install tillside[spark]" in sentence(ended)) == (SETTING, True)


def tables(dsn: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval("select to_regclass('public.account')")
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_what_cannot_be_served_is_said_before_the_database_is_touched(
    empty_database: str, tmp_path: Path
) -> None:
    given = ["--database", empty_database, "--data", str(tmp_path)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = central("serve", *given, "--port", port)
        assert ended.code == FAILED
        assert f"127.0.0.1 port {port} cannot be listened on" in sentence(ended)
    ended = central("serve", *given, "--events", "foo://x", "--port", "0")
    assert ended.code == SETTING
    assert "an address looks like nats://" in sentence(ended)
    assert tables(empty_database) is None


def test_every_role_that_is_asked_for_is_named() -> None:
    assert {AUTHOR, APPROVER, CALL_CENTRE, FINANCE, PRIVACY} == set(ROLES)
    assert all(name in central("person", "add", "--help").said for name in ROLES)


def test_what_is_not_over_is_not_called_the_end_of_a_day(given: list[str]) -> None:
    assert "by now; " in central("ledger", "liability", *given).said
    assert (
        "at the end of 2025-01-01"
        in central("ledger", "liability", "--day", "2025-01-01", *given).said
    )


def leaves(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Yield each command's name and its options."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]  # noqa: SLF001 - argparse tells of them in no other way
    for action in inner:
        for word, each in action.choices.items():
            yield from leaves(each, f"{name} {word}".strip())
    if not inner:
        yield name, {option for action in parser._actions for option in action.option_strings}  # noqa: SLF001


PRINT_JSON_ANYWAY = {"calculate", "events schema", "ledger prove", "rules show", "schema"}
REPORT_NOTHING = {"ledger check-proof", "serve"}


def test_every_command_takes_json_but_those_the_manual_names() -> None:
    without = {name for name, options in leaves(build_parser()) if "--json" not in options}
    assert without == PRINT_JSON_ANYWAY | REPORT_NOTHING


def test_every_command_that_reports_can_do_it_as_json(given: list[str], tmp_path: Path) -> None:
    terms = tmp_path / "tiers.json"
    terms.write_text(
        '{"measure": "spend_minor", "cycle": "year",'
        ' "tiers": [{"name": "", "at_least": 0}, {"name": "gold", "at_least": 5}]}',
        encoding="utf-8",
    )
    found: dict[str, typing.Any] = {}
    for line in (
        "migrate", "ledger reason goodwill Goodwill --points-max 5", "ledger limit finance 7",
        f"tiers set {terms}", "events on", "events off",
    ):  # fmt: skip
        ended = central(*shlex.split(line), *given, "--json")
        assert ended.code == 0, ended.complained
        found[line] = json.loads(ended.said)
    assert found["migrate"] == {"up_to_date": True, "waiting": [], "roles": False}
    assert found["ledger reason goodwill Goodwill --points-max 5"]["points_max"] == 5
    assert found["ledger limit finance 7"] == {"role": "finance", "points_per_day": 7}
    assert [each["name"] for each in found[f"tiers set {terms}"]["tiers"]] == ["", "gold"]
    assert (found["events on"], found["events off"]) == ({"wanted": True}, {"wanted": False})
