"""`tillside-central account` and `ledger`: what an operator sees and a person may do."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
import structlog

from central.database.pool import open_pool
from tests.support.centre import JoinedCentre, Totals, joined_centre
from tests.support.command_line import central as run

NUMBER = "220001"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def given(database: str, tmp_path: Path) -> list[str]:
    return ["--database", database, "--data", str(tmp_path)]


def at_centre(database: str, work: Callable[[JoinedCentre], Awaitable[None]]) -> None:
    async def joined() -> None:
        pool = await open_pool(database, connections_max=4)
        try:
            async with joined_centre(pool) as centre:
                await work(centre)
        finally:
            await pool.close()

    asyncio.run(joined())


def totals(database: str, account_id: int) -> Totals:
    async def ask() -> Totals:
        connection = await asyncpg.connect(database)
        try:
            row = await connection.fetchrow(
                "select posted, held, debt from account where account_id = $1", account_id
            )
        finally:
            await connection.close()
        assert row is not None
        return Totals(**row)

    return asyncio.run(ask())


@pytest.fixture
def two(given: list[str], database: str, tmp_path: Path) -> list[str]:
    """Options of a centre with customers 7, who has a card and 300 points, and 8."""
    customers = tmp_path / "customers.jsonl"
    lot = {"points": 300, "active_from": "2025-01-01"}
    lines = [
        {"kind": "store", "store": "store-1"},
        {"kind": "account", "account_id": 7, "home_store": "store-1", "cards": [NUMBER],
         "lots": [lot]},
        {"kind": "account", "account_id": 8, "home_store": "store-1"},
    ]  # fmt: skip
    customers.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert run("load", *given, str(customers)).code == 0
    return given


def test_accounts_are_merged_and_two_again(two: list[str], database: str) -> None:
    done = run("account", *two, "merge", "7", "8", "--reason", "one customer")
    assert done.said == (
        "merge 1: account 7 is account 8 now; 300 points (0 of them in rights, which are asked"
        " back), 1 cards and 0 receipts went over\n"
    )
    assert totals(database, 8) == Totals(300)
    assert "1: 7 into 8 by command line: one customer" in run("account", *two, "merges", "8").said
    again = run("account", *two, "merge", "7", "8", "--reason", "one customer")
    assert (again.code, "merged into 8 already" in again.complained) == (1, True)
    back = run("account", *two, "undo-merge", "1", "--json")
    assert json.loads(back.said)["points"] == 300
    assert totals(database, 7) == Totals(300)


def test_a_card_is_moved_and_comes_back(two: list[str]) -> None:
    moved = run("account", *two, "move-card", NUMBER, "--to", "8", "--reason", "hers", "--json")
    assert json.loads(moved.said)["to_account"] == 8
    assert run("account", *two, "undo-move", "1").said == "the card is account 7's again\n"


def test_points_are_given_by_who_may(two: list[str], database: str, tmp_path: Path) -> None:
    run("ledger", *two, "reason", "goodwill", "Goodwill", "--points-max", "500", "--days", "30")
    run("ledger", *two, "limit", "call_centre", "600")
    shown = run("ledger", *two, "reasons").said
    assert "goodwill: Goodwill, at most 500 points, points given end after 30 days" in shown
    nobody = run("account", *two, "adjust", "7", "200", "--reason", "goodwill")
    assert (nobody.code, "command line may move 0 more" in nobody.complained) == (1, True)
    added = run("person", *two, "add", "ann", "--role", "call_centre", "--json")
    assert added.code == 0, added
    token = tmp_path / "ann.token"
    token.write_text(json.loads(added.said)["token"], encoding="ascii")
    wish = ["account", *two, "adjust", "7", "200", "--reason", "goodwill", "--key", "key-00001"]
    done = run(*wish, "--token-file", str(token), "--json")
    assert json.loads(done.said)["left_today"] == 400
    again = run(*wish, "--token-file", str(token))
    assert "was adjusted before by 200 points" in again.said
    assert totals(database, 7) == Totals(500)
    refused = run("ledger", *two, "limit", "call_centre", "9000", "--token-file", str(token))
    assert "ask for the role finance" in refused.complained


def test_days_are_sealed_shown_and_proven(two: list[str], tmp_path: Path) -> None:
    assert "is sealed: 1 entries" in run("ledger", *two, "seal").said
    assert run("ledger", *two, "seal").said == "the day that is over is sealed already\n"
    assert "1 entries" in run("ledger", *two, "seals").said
    proof = tmp_path / "proof.json"
    proof.write_text(run("ledger", *two, "prove", "opening:7").said, encoding="utf-8")
    checked = run("ledger", "check-proof", str(proof))
    assert checked.said.startswith("proven: 1 entries of opening:7")
    proof.write_text(proof.read_text().replace("300", "900"), encoding="utf-8")
    wrong = run("ledger", "check-proof", str(proof))
    assert (wrong.code, "does not lead to the root" in wrong.complained) == (1, True)


def test_what_is_owed_is_shown(two: list[str]) -> None:
    found = json.loads(run("ledger", *two, "liability", "--json").said)
    assert (found["points"], found["open"][0]["kind"]) == (300, "opening")
    assert "300  owed by now; " in run("ledger", *two, "liability").said
    assert run("ledger", *two, "liability", "--day", "soon").code == 1


def test_the_proof_of_the_ledger_says_how_fast_it_was(two: list[str]) -> None:
    proof = run("verify-ledger", *two)
    assert proof.code == 0
    assert "rows added up in" in proof.said
    assert json.loads(run("verify-ledger", *two, "--json", "--no-seals").said)["rows"] > 0


def test_terms_of_tiers_are_set_and_shown(two: list[str], tmp_path: Path) -> None:
    assert "no terms are set" in run("tiers", *two, "show").said
    terms = tmp_path / "tiers.json"
    tiers = [{"name": "", "at_least": 0}, {"name": "gold", "at_least": 3_000}]
    terms.write_text(json.dumps({"tiers": tiers, "cycle": "month"}), encoding="utf-8")
    assert run("tiers", *two, "set", str(terms)).said.startswith("2 tiers are in force")
    assert "gold: from 3000 spend_minor of a month cycle" in run("tiers", *two, "show").said
    assert run("tiers", *two, "show", "7").code == 1
    terms.write_text(json.dumps({"tiers": tiers[1:]}), encoding="utf-8")
    wrong = run("tiers", *two, "set", str(terms))
    assert (wrong.code, "tiers rise from at_least 0" in wrong.complained) == (1, True)


def test_receipts_with_a_code_that_was_shown_before_are_listed(
    database: str, given: list[str], two: list[str]
) -> None:
    assert two
    assert run("account", "codes", *given).said == "no code was shown for two receipts\n"

    async def two_receipts(centre: JoinedCentre) -> None:
        till = await centre.till()
        for key in ("s1", "s2"):
            sale = till.sale(key, account=7)
            await centre.post(till, msgspec.structs.replace(sale, code_age=2))

    at_centre(database, two_receipts)
    said = run("account", "codes", "--account", "7", *given).said
    assert said == (
        "account 7: code of 2025-03-05 11:59:00Z at receipt s2 of till 1,"
        " and at receipt s1 before\n"
    )
    assert run("account", "codes", "--account", "8", *given).said.startswith("no code")
    (found,) = json.loads(run("account", "codes", "--json", *given).said)["codes"]
    assert (found["account_id"], found["first_receipt"], found["receipt"]) == (7, "s1", "s2")
