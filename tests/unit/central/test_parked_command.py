"""`tillside-central parked`: what an operator sees, and what happens only on `--yes`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.centre import NOW_MS, JoinedCentre
from tests.support.command_line import central as run
from tests.unit.central.test_rights_command import at_centre, execute

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def given(database: str, tmp_path: object) -> list[str]:
    """Options that name the test's own database and folder."""
    return ["--database", database, "--data", str(tmp_path)]


async def with_a_return(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.post(till, till.refund("r1", "s1"), till.sale("s2", card="4000"))


async def look(centre: JoinedCentre) -> None:
    await centre.apply()


def test_nothing_that_waits_is_said_plainly(given: list[str]) -> None:
    assert run("parked", *given, "list").said == "no record waits\n"
    asked = run("parked", *given, "list", "--store", "7", "--days", "3")
    assert asked.said == "no record of store 7 waits for 3 days or longer\n"
    found = json.loads(run("parked", *given, "list", "--json").said)
    assert found == {"total": 0, "limit_days": 90, "records": []}


def test_what_waits_is_shown_the_oldest_first(given: list[str], database: str) -> None:
    at_centre(database, with_a_return)
    execute(database, f"update inbox set received_at_ms = {NOW_MS - DAY_MS} where seq = 3")
    said = run("parked", *given, "list").said.splitlines()
    head, receipt, returned, end = said
    assert head.split() == (
        ["record", "what", "till", "store", "received,", "UTC", "waits", "for", "money", "points"]
    )
    assert receipt.split()[1:3] == ["receipt", "s2"]
    assert receipt.split()[-2:] == ["1000", "+100"]
    assert "2025-03-04 12:00" in receipt
    assert returned.split()[1:5] == ["return", "r1", "1", "store-1"]
    assert returned.split()[-4:] == ["receipt", "s1", "unknown", "unknown"]
    assert end == "2 records; after 90 days each can be given up: parked give-up"
    some = run("parked", *given, "list", "--rows", "1").said.splitlines()
    assert some[-1].startswith("2 records, 1 more than are shown")


def test_giving_up_is_shown_first_and_done_on_yes(given: list[str], database: str) -> None:
    at_centre(database, with_a_return)
    number = json.loads(run("parked", *given, "list", "--json").said)["records"][0]["record"]
    asked = ("parked", *given, "give-up", str(number), "--reason", "burnt")
    shown = run(*asked)
    assert shown.code == 0
    assert shown.said.startswith(
        f"record {number}: return r1 of till 1, store store-1, has waited "
    )
    assert shown.said.endswith("nothing was done: repeat with --yes to end it for good\n")
    done = run(*asked, "--yes")
    assert done.code == 0
    assert "rejected_kept" in done.said
    at_centre(database, look)
    left = json.loads(run("parked", *given, "list", "--json").said)["records"]
    assert [each["key"] for each in left] == ["s2"]
    again = run(*asked, "--yes")
    assert (again.code, again.said) == (1, "")
    assert "does not wait, or was given up before" in again.complained


def test_what_has_not_waited_long_is_given_up_only_early(given: list[str], database: str) -> None:
    at_centre(database, with_a_return)
    execute(
        database, "update inbox set received_at_ms = (extract(epoch from now()) * 1000)::bigint"
    )
    number = json.loads(run("parked", *given, "list", "--json").said)["records"][0]["record"]
    asked = ("parked", *given, "give-up", str(number), "--reason", "burnt", "--yes")
    refused = run(*asked)
    assert refused.code == 1
    assert "has waited 0 days of 90" in refused.complained
    assert run(*asked, "--early").code == 0


def test_a_person_needs_the_role_to_give_up(
    given: list[str], database: str, tmp_path: Path
) -> None:
    at_centre(database, with_a_return)
    number = json.loads(run("parked", *given, "list", "--json").said)["records"][0]["record"]
    asked = ("parked", *given, "give-up", str(number), "--reason", "burnt", "--yes")
    for name, role, code in (("bob", "author", 1), ("ann", "call_centre", 0)):
        token = tmp_path / name
        added = run("person", "add", name, "--role", role, *given)
        token.write_text(added.said, encoding="ascii")
        assert run(*asked, "--token-file", token).code == code
