"""`tillside-central apps` and `partners`: what operations add, change and read."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog

from central.database.pool import open_pool
from central.streams.partner_points import settle
from tests.support.command_line import Ended
from tests.support.command_line import central as run


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def given(database: str, tmp_path: Path) -> list[str]:
    return ["--database", database, "--data", str(tmp_path)]


def rows(database: str, query: str) -> list[tuple[object, ...]]:
    async def ask() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(database)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def secret_of(ended: Ended) -> str:
    assert ended.code == 0, ended.complained
    secret: str = json.loads(ended.said)["client_secret"]
    return secret


def test_a_program_is_added_rotated_listed_and_revoked(database: str, given: list[str]) -> None:
    first = secret_of(run("apps", "add", "app-1", "--title", "Our app", "--json", *given))
    second = secret_of(run("apps", "rotate", "app-1", "--json", *given))
    assert len({first, second}) == 2
    listed = run("apps", "list", *given).said
    assert listed.split() == [
        "app-1", "account:read", "code:show", "offers:activate", "points:carry", "Our", "app",
        "(two", "secrets)",
    ]  # fmt: skip
    assert run("apps", "revoke", "app-1", *given).said == "app-1 is let in no more\n"
    assert "(revoked)" in run("apps", "list", *given).said
    assert run("partners", "list", *given).said == "nobody yet\n"
    audit = rows(
        database, "select person, action from audit where action like 'app.%' order by audit_id"
    )
    assert audit == [
        ("command line", "app.add"), ("command line", "app.rotate"), ("command line", "app.revoke"),
    ]  # fmt: skip


def test_the_audit_names_whoever_shows_a_personal_token(
    database: str, given: list[str], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(run("person", "add", "ann", "--role", "finance", *given).said, "ascii")
    run("partners", "add", "bakery", "--scope", "points:accrue", "--token-file", token, *given)
    assert ("ann", "partner.add") in rows(database, "select person, action from audit")
    assert rows(database, "select scopes from api_client") == [(["points:accrue"],)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("apps", "add", "Upper"), "lower case"),
        (("apps", "add", "a", "--scope", "points:accrue"), "is none of"),
        (("partners", "rotate", "nobody"), "there is no partner 'nobody'"),
        (("partners", "revoke", "app-1"), "there is no partner 'app-1'"),
        (("apps", "add", "app-1"), "there is a client 'app-1' already"),
        (("partners", "statement", "x", "--from", "soon"), "from: is a day"),
        (
            ("partners", "terms", "x", "--at-once", "0", "--customer-day", "1", "--day", "1"),
            "points_per_accrual_max",
        ),
        (
            ("partners", "terms", "app-1", "--at-once", "1", "--customer-day", "1", "--day", "1"),
            "there is no partner 'app-1'",
        ),
    ],
)
def test_what_cannot_be_done_is_said(
    given: list[str], arguments: tuple[str, ...], says: str
) -> None:
    run("apps", "add", "app-1", *given)
    ended = run(*arguments, *given)
    assert ended.code == 1
    assert says in ended.complained


def test_terms_and_statement_of_a_partner(database: str, given: list[str]) -> None:
    run("partners", "add", "bakery", *given)
    limits = ("--at-once", "5", "--customer-day", "6", "--day", "7", "--days", "8")
    said = run("partners", "terms", "bakery", *limits, *given)
    assert said.said == "bakery may give 7 points a day\n"
    assert rows(database, "select * from partner_terms") == [("bakery", 5, 6, 7, 8, 90)]
    empty = run("partners", "statement", "bakery", *given)
    assert empty.said == "given 0, taken back 0 (0 of it was spent), owed 0\n"
    as_csv = run("partners", "statement", "bakery", "--csv", *given)
    assert next(csv.reader(io.StringIO(as_csv.said)))[:3] == ["number", "day", "kind"]
    as_json = json.loads(run("partners", "statement", "bakery", "--json", *given).said)
    assert (as_json["partner"], as_json["owed_points"]) == ("bakery", 0)


def test_what_tills_handed_out_of_a_partners_points(database: str, given: list[str]) -> None:
    run("partners", "add", "air", *given)
    days = ("--from", "2026-01-01", "--to", "2026-01-31")
    empty = run("partners", "hand-outs", "air", *days, *given)
    nothing = "of its own points: handed out 0, back with goods 0, due to it 0\n"
    assert empty.said == nothing
    asyncio.run(_hand_out(database))
    said = run("partners", "hand-outs", "air", *days, *given).said.splitlines()
    assert [line.split() for line in said[:2]] == [
        ["2026-01-02", "hand_out", "s1", "miles", "24"],
        ["2026-01-02", "hand_back", "s1", "miles", "10"],
    ]
    assert said[2] == "of its own points: handed out 24, back with goods 10, due to it 14"
    statement = run("partners", "statement", "air", *days, *given).said
    assert statement.splitlines() == [
        "given 0, taken back 0 (0 of it was spent), owed 0",
        "of its own points: handed out 24, back with goods 10, due to it 14",
    ]
    as_csv = run("partners", "hand-outs", "air", "--csv", *days, *given).said
    lines = list(csv.DictReader(io.StringIO(as_csv)))
    assert [(each["refund"], each["points"]) for each in lines] == [("", "24"), ("r1", "10")]
    as_json = json.loads(run("partners", "hand-outs", "air", "--json", *days, *given).said)
    assert (as_json["due_points"], len(as_json["lines"])) == (14, 2)


async def _hand_out(database: str) -> None:
    """Put two lines into a statement as posting and settling do."""
    connection = await asyncpg.connect(database)
    await connection.execute(
        "insert into partner_hand_out_new values"
        " ('s1', '', 'miles', 'air', 24, '2026-01-01', 1), ('s1', 'r1', 'miles', 'air', 10,"
        " '2026-01-02', 2)"
    )
    await connection.close()
    pool = await open_pool(database, connections_max=1)
    assert await settle(pool, now_ms=1_767_355_200_000) == 2
    await pool.close()
