"""`tillside-central rights`: what an operator sees, and what happens only on `--yes`."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import asyncpg
import pytest
import structlog

from central.database.pool import open_pool
from loyalty.offers import Limits, SharedLimit
from tests.support import builders
from tests.support.centre import JoinedCentre, Totals, joined_centre
from tests.support.command_line import Ended
from tests.support.command_line import central as run


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def given(database: str, tmp_path: object) -> list[str]:
    """Options that name the test's own database and folder."""
    return ["--database", database, "--data", str(tmp_path)]


def at_centre(database: str, work: Callable[[JoinedCentre], Awaitable[None]]) -> None:
    """Do something at a centre over the database the commands work on."""

    async def joined() -> None:
        pool = await open_pool(database, connections_max=4)
        try:
            async with joined_centre(pool) as centre:
                await work(centre)
        finally:
            await pool.close()

    asyncio.run(joined())


async def with_grant(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    await vault.pull()


def totals(database: str) -> Totals:
    async def ask() -> Totals:
        connection = await asyncpg.connect(database)
        try:
            row = await connection.fetchrow("select posted, held, debt from account")
        finally:
            await connection.close()
        assert row is not None
        return Totals(**row)

    return asyncio.run(ask())


def execute(database: str, sql: str) -> None:
    async def run_it() -> None:
        connection = await asyncpg.connect(database)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(run_it())


def test_a_write_off_is_shown_first_and_done_on_yes(given: list[str], database: str) -> None:
    at_centre(database, with_grant)
    run("fund-pool", *given, "1000")
    shown = run("rights", *given, "write-off", "--till", "1")
    assert shown.code == 0
    assert shown.said == (
        "till 1, last heard of 2025-03-05T12:00:00+00:00, holds 300 points in 1 rights; the pool"
        " has 1000 free\nnothing was done: repeat with --yes once its disk is known to be"
        " destroyed\n"
    )
    assert totals(database) == Totals(300, 300)
    done = run("rights", *given, "write-off", "--till", "1", "--yes", "--json")
    assert done.code == 0
    report = json.loads(done.said)
    assert report["written_off"] == {
        "rights": 1, "points": 300, "refused": 0, "refused_points": 0,
    }  # fmt: skip
    assert totals(database) == Totals(300)
    meter = json.loads(run("rights", *given, "exposure", "--json").said)
    assert (meter["points"], meter["write_offs"], meter["pool"]["free"]) == (300, 300, 700)
    words = run("rights", *given, "exposure").said
    assert words.startswith("at most 300 points can be overdrawn this minute: 0 by risk budgets,")


def test_budgets_of_a_till_whose_disk_is_gone_are_kept_back_and_of_a_revoked_one_are_free(
    given: list[str], database: str
) -> None:
    run("fund-pool", *given, "1000")
    at_centre(database, with_grant)
    shown = run("rights", *given, "write-off", "--till", "1")
    assert "holds 300 points in 1 rights and has 500 of risk budgets" in shown.said
    done = run("rights", *given, "write-off", "--till", "1", "--yes")
    assert "500 points of its risk budgets are kept back until" in done.said
    meter = json.loads(run("rights", *given, "exposure", "--json").said)
    assert (meter["risk_budgets"], meter["write_offs"]) == (0, 800)
    run("revoke", *given, "1")
    done = run("rights", *given, "write-off", "--till", "1", "--yes")
    assert "500 points of its risk budgets are free again" in done.said
    meter = json.loads(run("rights", *given, "exposure", "--json").said)
    assert (meter["risk_budgets"], meter["write_offs"], meter["pool"]["free"]) == (0, 300, 700)


def test_what_is_kept_back_for_the_budget_of_a_till_silent_for_long_is_given_up(
    given: list[str], database: str
) -> None:
    run("fund-pool", *given, "1000")
    at_centre(database, with_grant)
    run("rights", *given, "write-off", "--till", "1", "--yes")
    execute(database, "update till_stream set risk_written_off_at_ms = 0")
    shown = run("rights", *given, "give-up", "--till", "1")
    assert "and 500 for its risk budgets" in shown.said
    done = run("rights", *given, "give-up", "--till", "1", "--yes")
    assert "500 points kept back for its risk budgets are free again" in done.said
    meter = json.loads(run("rights", *given, "exposure", "--json").said)
    assert (meter["write_offs"], meter["pool"]["free"]) == (300, 700)


def test_a_quarantine_is_lifted_by_whoever_has_looked(given: list[str], database: str) -> None:
    at_centre(database, with_grant)
    execute(database, "update till set quarantined_at_ms = 1")
    done = run("rights", *given, "clear", "--till", "1")
    assert "it gets rights again" in done.said
    assert run("rights", *given, "clear", "--till", "1").code == 1


def test_a_pool_that_is_too_small_ends_with_1_and_changes_nothing(
    given: list[str], database: str
) -> None:
    at_centre(database, with_grant)
    done = run("rights", *given, "write-off", "--till", "1", "--yes")
    assert done == Ended(
        1,
        "0 rights with 0 points are written off; 1 with 300 points stay held: the pool has too"
        " little, see fund-pool\n",
        "",
    )
    assert totals(database) == Totals(300, 300)


def test_a_right_can_be_named(given: list[str], database: str) -> None:
    at_centre(database, with_grant)
    run("fund-pool", *given, "1000")
    report = json.loads(
        run("rights", *given, "write-off", "--till", "1", "--right", "another", "--json").said
    )
    assert (report["rights"], report["points"], report["done"]) == (0, 0, False)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("write-off", "--till", "9"), "there is no till 9; the status page lists the tills"),
        (("clear", "--till", "9"), "no copy of till 9 is suspected"),
        (("block", "9"), "there is no account 9"),
    ],
)
def test_what_is_not_there_is_said(given: list[str], command: tuple[str, ...], why: str) -> None:
    assert run("rights", *given, *command) == Ended(1, "", f"tillside-central: {why}\n")


def test_a_round_of_the_planner_and_a_block(given: list[str], database: str) -> None:
    at_centre(database, with_grant)
    planned = run("rights", *given, "plan")
    assert planned.said == (
        "1 accounts: points of 0 are asked back, of 0 wished for; 0 are not kept any more where"
        " they were not seen for long\n"
    )
    assert run("rights", *given, "block", "7").said == "account 7 is blocked\n"
    assert run("rights", *given, "block", "7").said == "account 7 is blocked, as it was\n"
    lifted = json.loads(run("rights", *given, "block", "7", "--lift", "--json").said)
    assert lifted == {"account": 7, "blocked": False, "changed": True}


# Limits over all customers


async def with_share(centre: JoinedCentre) -> None:
    limits = Limits(campaign=SharedLimit(uses_max=100))
    await centre.publish(builders.bundle(builders.offer("hundred", limits=limits), version=2))
    till = await centre.till()
    await till.ask_counters("campaign.uses:hundred", amount=40)


def test_shared_counters_are_shown_with_what_silent_tills_hold(
    database: str, given: list[str]
) -> None:
    assert "nothing that is limited" in run("rights", "counters", *given).said
    at_centre(database, with_share)
    (found,) = json.loads(run("rights", "counters", "--json", *given).said)["counters"]
    # The test's centre stands in the past: to the command its till is long silent.
    assert found == {
        "name": "campaign.uses:hundred",
        "most": 100,
        "handed_out": 40,
        "used": 0,
        "overdrawn": 0,
        "excess": 0,
        "silent": 40,
        "ends_on": "",
    }
    text = run("rights", "counters", *given).said
    assert "0 of 100 used, 40 set aside for tills (40 of it for silent ones)" in text


def test_a_destroyed_tills_share_is_released_only_on_yes(database: str, given: list[str]) -> None:
    at_centre(database, with_share)
    said = run("rights", "release", "--till", "1", *given)
    assert (said.code, "nothing was done" in said.said) == (0, True)
    assert "campaign.uses:hundred: 40" in said.said
    done = json.loads(run("rights", "release", "--till", "1", "--yes", "--json", *given).said)
    assert (done["grants"], done["amounts"]) == (1, {"campaign.uses:hundred": 40})
    assert "holds nothing" in run("rights", "release", "--till", "1", *given).said
    assert run("rights", "release", "--till", "99", *given).code == 1


def test_exposures_are_closed_on_yes_and_only_after_long_silence(
    given: list[str], database: str
) -> None:
    at_centre(database, with_grant)
    run("fund-pool", *given, "1000")
    run("rights", *given, "write-off", "--till", "1", "--yes")
    shown = run("rights", *given, "give-up", "--till", "1")
    assert "the pool keeps 300 points back for 1 of its rights" in shown.said
    done = run("rights", *given, "give-up", "--till", "1", "--yes", "--json")
    # The right was written off just now, whatever the till's silence.
    assert (done.code, json.loads(done.said)["given_up"]) == (0, {"rights": 0, "points": 0})
    execute(database, "update right_grant set written_off_at_ms = 0")
    done = run("rights", *given, "give-up", "--till", "1", "--yes", "--json")
    assert json.loads(done.said)["given_up"] == {"rights": 1, "points": 300}
    meter = json.loads(run("rights", *given, "exposure", "--json").said)
    assert (meter["write_offs"], meter["pool"]["losses"]) == (0, 300)
    execute(database, "update till set last_seen_ms = (extract(epoch from now()) * 1000)::bigint")
    early = run("rights", *given, "give-up", "--till", "1", "--yes")
    assert early.code == 1
    assert "exposures are closed after 400 days" in early.complained


def test_a_revoked_tills_points_are_frozen_at_once(given: list[str], database: str) -> None:
    at_centre(database, with_grant)
    done = run("revoke", *given, "1")
    assert "300 points of customers are frozen in its rights" in done.said
