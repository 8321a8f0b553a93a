"""Tiers: reached at once by what the cycle's receipts come to, lost by time alone."""

import asyncio
from dataclasses import replace
from datetime import date

import asyncpg
import pytest

from central.bootstrap import tend_tiers_for_ever
from central.database.named_sql import load_queries
from central.database.pool import open_pool
from central.ledger.merging import merge_accounts
from central.people import tiers
from central.people.cycles import span_before, span_of, valid_until
from central.people.tiers import (
    Tier,
    TierState,
    TierTerms,
    decide,
    put_terms,
    read_overview,
    read_state,
    tend_tiers,
)
from loyalty.offers import PointsPerMoney
from loyalty.returns import ReturnItem
from tests.support import builders
from tests.support.centre import BUNDLE, JoinedCentre, Totals
from tests.support.till_probe import TillProbe

TIERS = (
    Tier(name="", at_least=0),
    Tier(name="silver", at_least=1_500),
    Tier(name="gold", at_least=3_000),
)
TODAY = date(2025, 3, 5)

# Cycles


@pytest.mark.parametrize(
    ("cycle", "span", "before", "until"),
    [
        ("year", ("2025-01-01", "2026-01-01"), ("2024-01-01", "2025-01-01"), "2027-01-01"),
        ("quarter", ("2025-01-01", "2025-04-01"), ("2024-10-01", "2025-01-01"), "2025-07-01"),
        ("month", ("2025-03-01", "2025-04-01"), ("2025-02-01", "2025-03-01"), "2025-05-01"),
        ("rolling", ("2025-02-24", "2025-03-06"), ("2025-02-14", "2025-02-24"), "2025-03-15"),
    ],
)
def test_a_cycle_and_its_neighbours(
    cycle: str, span: tuple[str, str], before: tuple[str, str], until: str
) -> None:
    def days(found: tuple[date, date]) -> tuple[str, ...]:
        return tuple(day.isoformat() for day in found)

    assert days(span_of(cycle, TODAY, days=10)) == span  # type: ignore[arg-type]
    assert days(span_before(cycle, TODAY, days=10)) == before  # type: ignore[arg-type]
    assert valid_until(cycle, TODAY, days=10).isoformat() == until  # type: ignore[arg-type]


# Deciding


@pytest.mark.parametrize(
    ("downgrade", "rank", "due", "value", "before", "expected"),
    [
        ("reached", 0, None, 1_500, 0, (1, "2027-01-01")),  # reached at once
        ("reached", 1, "2026-01-01", 3_000, 0, (2, "2027-01-01")),
        ("reached", 2, "2026-01-01", 0, 0, (2, "2026-01-01")),  # nothing is lost before its time
        ("reached", 2, "2026-01-01", 3_500, 0, (2, "2027-01-01")),  # reached again: longer
        ("reached", 2, "2025-03-05", 0, 1_600, (1, "2026-01-01")),  # what the last cycle reached
        ("reached", 2, "2025-03-05", 0, 0, (0, "9999-12-31")),
        ("one_down", 2, "2025-03-05", 0, 0, (1, "2026-01-01")),
        ("reached", 2, None, 0, 0, (2, "2027-01-01")),  # loaded, or set by hand
        ("reached", 0, None, 10, 9_000, (0, "9999-12-31")),
    ],
)
def test_a_tier_is_reached_kept_and_lost(
    downgrade: str,
    rank: int,
    due: str | None,
    value: int,
    before: int,
    expected: tuple[int, str],
) -> None:
    terms = TierTerms(tiers=TIERS, downgrade=downgrade)  # type: ignore[arg-type]
    day = date.fromisoformat(due) if due else None
    found = decide(terms, rank=rank, due=day, today=TODAY, value=value, before=before)
    assert (found.rank, found.due.isoformat()) == expected


@pytest.mark.parametrize("bounds", [(1, 2), (0, 0), (0, 5, 3)])
def test_tiers_rise_from_zero(bounds: tuple[int, ...]) -> None:
    tiers = tuple(Tier(name=f"t{n}", at_least=n) for n in bounds)
    with pytest.raises(ValueError, match="tiers rise from at_least 0"):
        TierTerms(tiers=tiers)


# At the centre


async def with_terms(centre: JoinedCentre, **changes: object) -> None:
    terms = TierTerms(**{"tiers": TIERS, **changes})  # type: ignore[arg-type]
    async with centre.pool.acquire() as connection, connection.transaction():
        await put_terms(connection, terms, person="ann", now_ms=centre.system.now_ms())


async def tended(centre: JoinedCentre, days: int = 0) -> int:
    """Let days pass and look; returns how many tiers changed."""
    centre.system.pass_days(days)
    return (await tend_tiers(centre.pool, now_ms=centre.system.now_ms())).changed


async def tier(centre: JoinedCentre, account_id: int = 7) -> str:
    found: str = await centre.pool.fetchval(
        "select tier from account where account_id = $1", account_id
    )
    return found


async def state(centre: JoinedCentre, account_id: int = 7) -> TierState | None:
    async with centre.pool.acquire() as connection:
        return await read_state(connection, account_id)


async def sold(centre: JoinedCentre, *keys: str, account: int = 7) -> TillProbe:
    """Sell for 10.00 each."""
    till = await centre.till()
    await centre.post(till, *(till.sale(key, account=account) for key in keys))
    return till


async def test_receipts_reach_a_tier_and_tills_are_told(centre: JoinedCentre) -> None:
    await with_terms(centre)
    await centre.customer(7, card="card-7", home="store-1")
    till = await sold(centre, "s1")
    assert await tended(centre) == 0
    await sold(centre, "s2")
    assert await tended(centre) == 1
    assert await tier(centre) == "silver"
    (row,) = (await till.pull()).accounts
    assert row.snapshot.tier == "silver"
    found = await state(centre)
    assert found == TierState(
        account_id=7, tier="silver", value=2_000, since_day="2025-03-05", due_on="2027-01-01",
        next_tier="gold", next_at_least=3_000,
    )  # fmt: skip
    assert await tended(centre) == 0
    assert [(each.tier, each.accounts) for each in await read_overview(centre.pool)] == [
        ("silver", 1)
    ]


async def test_without_terms_loaded_tiers_stay(centre: JoinedCentre) -> None:
    await centre.load({"kind": "account", "account_id": 7, "home_store": "", "tier": "gold"})
    await sold(centre, "s1")
    assert await tended(centre, 1_000) == 0
    assert (await tier(centre), await state(centre)) == ("gold", None)


async def test_what_came_back_counts_no_more_but_no_tier_is_lost_by_it(
    centre: JoinedCentre,
) -> None:
    await with_terms(centre)
    await centre.customer(7)
    till = await sold(centre, "s1", "s2")
    await tended(centre)
    await centre.post(till, till.refund("r1", "s1"))
    assert await tended(centre) == 0
    found = await state(centre)
    assert found is not None
    assert (found.tier, found.value) == ("silver", 1_000)


async def test_a_tier_is_lost_when_its_time_is_up(centre: JoinedCentre) -> None:
    await with_terms(centre, cycle="month")
    await centre.customer(7)
    await sold(centre, "s1", "s2", "s3")
    await tended(centre)
    assert await tier(centre) == "gold"
    assert await tended(centre, 56) == 0  # 30 April: through the rest of March and all of April
    assert await tended(centre, 1) == 1
    assert await tier(centre) == ""
    assert await tended(centre, 400) == 0


async def test_one_tier_at_a_time_where_the_terms_say_so(centre: JoinedCentre) -> None:
    await with_terms(centre, cycle="month", downgrade="one_down")
    await centre.customer(7)
    await sold(centre, "s1", "s2", "s3")
    await tended(centre)
    await tended(centre, 57)
    assert await tier(centre) == "silver"
    await tended(centre, 31)
    assert await tier(centre) == ""


@pytest.mark.parametrize(("measure", "value"), [("points", 200), ("purchases", 2)])
async def test_points_and_purchases_can_be_what_counts(
    centre: JoinedCentre, measure: str, value: int
) -> None:
    await with_terms(centre, measure=measure)
    await centre.customer(7)
    await sold(centre, "s1", "s2")
    await tended(centre)
    found = await state(centre)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(("measure", "value"), [("qualifying_points", 500), ("points", 600)])
async def test_points_that_only_qualify_count_to_the_tier_and_to_nothing_else(
    centre: JoinedCentre, measure: str, value: int
) -> None:
    await with_terms(centre, measure=measure)
    climb = builders.offer("climb", PointsPerMoney(points=5, per_minor=10, purpose="qualify"))
    await centre.publish(replace(BUNDLE, version=2, offers=(*BUNDLE.offers, climb)))
    await centre.customer(7, 40)
    two = builders.line("1", pieces=2)
    till = await centre.till()
    await centre.post(till, till.sale("s1", two, account=7))
    await tended(centre)
    found = await state(centre)
    assert found is not None
    assert found.value == value
    assert await centre.totals(7) == Totals(posted=140)
    assert await centre.pool.fetchval("select count(*) from account_counter") == 0
    one = ReturnItem(line_id="1", quantity=1_000)
    assert [each.outcome for each in await centre.post(till, till.refund("r1", "s1", one))] == [
        "accepted"
    ]
    await tended(centre)
    found = await state(centre)
    assert found is not None
    assert found.value == value // 2
    await centre.pool.execute("update refund set qualifying_points = 501")
    centre.broken_checks = {"receipts"}


async def test_a_loaded_tier_counts_as_reached_when_it_is_first_seen(centre: JoinedCentre) -> None:
    await with_terms(centre, cycle="month")
    await centre.load({"kind": "account", "account_id": 7, "home_store": "", "tier": "gold"})
    await sold(centre, "s1")
    await tended(centre)
    assert await tier(centre) == "gold"
    await tended(centre, 60)
    assert await tier(centre) == ""


async def test_new_terms_are_for_everybody(centre: JoinedCentre) -> None:
    await with_terms(centre)
    await centre.customer(7)
    await sold(centre, "s1", "s2")
    await tended(centre)
    lower = (Tier(name="", at_least=0), Tier(name="silver", at_least=100),
             Tier(name="gold", at_least=2_000))  # fmt: skip
    async with centre.pool.acquire() as connection, connection.transaction():
        await put_terms(connection, TierTerms(tiers=lower), person="ann", now_ms=0)
    assert await tended(centre) == 1
    assert await tier(centre) == "gold"


LOWER = (
    Tier(name="", at_least=0),
    Tier(name="silver", at_least=100),
    Tier(name="gold", at_least=2_000),
)


async def test_new_terms_are_for_everybody_in_small_steps(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_buy(centre)
    for _ in range(2):  # stores are told of a tier, and that is news once more
        await tended(centre)
    days = "select array_agg(due_on) from account_tier"
    before = await centre.pool.fetchval(days)
    await with_terms(centre, tiers=LOWER)
    assert await centre.pool.fetchval(days) == before  # millions would not be done in time
    monkeypatch.setattr(tiers, "_DUE_AT_ONCE", 1)
    done = [await tend_tiers(centre.pool, now_ms=centre.system.now_ms()) for _ in range(4)]
    assert [each.changed for each in done] == [1, 1, 0, 0]
    assert [each.more for each in done] == [True, True, False, False]


async def test_new_terms_of_a_programme_ask_nobody_of_another(centre: JoinedCentre) -> None:
    await two_buy(centre)
    for _ in range(2):
        await tended(centre)
    await centre.pool.execute("insert into programme (programme) values ('club')")
    await with_terms(centre, tiers=LOWER, programme="club")
    done = await tend_tiers(centre.pool, now_ms=centre.system.now_ms())
    assert (done.looked_at, done.more) == (0, False)


async def test_terms_of_a_round_that_runs_do_not_outlive_new_ones(
    centre: JoinedCentre, database: str
) -> None:
    await with_terms(centre)
    await centre.customer(7)
    await sold(centre, "s1", "s2")
    await tended(centre)
    await centre.pool.execute("update tier_cursor set transaction = '0', row = 0")
    other = await asyncpg.connect(database)
    try:
        async with other.transaction():
            await other.execute("select from account where account_id = 7 for update")
            round_ = asyncio.create_task(tended(centre))
            while not await other.fetchval("select count(*) from pg_locks where not granted"):
                assert not round_.done(), round_
            await with_terms(centre, tiers=LOWER)
        assert await round_ == 0
    finally:
        await other.close()
    assert await tended(centre) == 1
    assert await tier(centre) == "gold"


async def test_merged_accounts_have_what_both_bought(centre: JoinedCentre) -> None:
    await with_terms(centre)
    await centre.customer(7)
    await centre.customer(8, home="store-1")
    await sold(centre, "s1")
    await sold(centre, "s2", account=8)
    await tended(centre)
    now_ms = centre.system.now_ms()
    await merge_accounts(centre.pool, 7, 8, person="ann", reason="one customer", now_ms=now_ms)
    assert await tended(centre) == 1
    assert await tier(centre, 8) == "silver"


async def test_after_another_life_of_the_cluster_the_feed_is_read_from_its_start(
    centre: JoinedCentre,
) -> None:
    await with_terms(centre)
    await centre.customer(7)
    await sold(centre, "s1", "s2")
    await centre.pool.execute("update tier_cursor set epoch = 0, transaction = '999999999'")
    assert await tended(centre) == 1


# A round that is cut short


async def two_buy(centre: JoinedCentre) -> None:
    """Let the customers 7 and 8 buy what silver asks for."""
    await with_terms(centre)
    for account in (7, 8):
        await centre.customer(account)
        await sold(centre, f"{account}-1", f"{account}-2", account=account)


async def break_account(
    centre: JoinedCentre, account_id: int, code: str, *, table: str = "account_tier"
) -> None:
    """Let what is worked out of an account fail, with an error of PostgreSQL."""
    await centre.pool.execute(
        "create function fails() returns trigger language plpgsql as"
        f" $$ begin raise exception 'planted' using errcode = '{code}'; end $$"
    )
    await centre.pool.execute(
        f"create trigger fails before insert or update on {table}"
        f" for each row when (new.account_id = {account_id}) execute function fails()"
    )


async def mend_account(centre: JoinedCentre) -> None:
    await centre.pool.execute("drop trigger fails on account_tier")


@pytest.mark.parametrize("code", ["40P01", "55P03", "57014", "23514"])
async def test_an_account_that_fails_stops_nobody_and_is_looked_at_again(
    centre: JoinedCentre, code: str
) -> None:
    await two_buy(centre)
    await break_account(centre, 7, code)
    for changed in (1, 0):
        done = await tend_tiers(centre.pool, now_ms=centre.system.now_ms())
        assert (done.changed, done.failed) == (changed, 1)
    assert (await tier(centre, 7), await tier(centre, 8)) == ("", "silver")
    await sold(centre, "8-3", account=8)  # what comes later is not held up either
    await tended(centre)
    assert await tier(centre, 8) == "gold"
    await mend_account(centre)
    assert await tended(centre) == 1
    assert await tier(centre, 7) == "silver"
    done = await tend_tiers(centre.pool, now_ms=centre.system.now_ms())
    assert (done.changed, done.failed) == (0, 0)


async def test_tills_hear_nothing_of_a_look_that_failed(centre: JoinedCentre) -> None:
    await two_buy(centre)
    till = await centre.till()
    await break_account(centre, 7, "40P01")
    await tended(centre)
    await till.pull()
    await tended(centre)
    assert (await till.pull()).accounts == ()


async def test_a_round_that_is_ended_in_the_middle_loses_nobody(
    centre: JoinedCentre, database: str
) -> None:
    await two_buy(centre)
    other = await asyncpg.connect(database)
    try:
        async with other.transaction():
            await other.execute("select from account where account_id = 7 for update")
            round_ = asyncio.create_task(tended(centre))
            while not await other.fetchval("select count(*) from pg_locks where not granted"):
                assert not round_.done(), round_
            # Another process finds this one at it, and does not do the same once more.
            assert await tended(centre) == 0
            round_.cancel()
            await asyncio.gather(round_, return_exceptions=True)
    finally:
        await other.close()
    assert await tended(centre) == 2
    assert (await tier(centre, 7), await tier(centre, 8)) == ("silver", "silver")


async def test_a_round_that_lost_its_database_loses_nobody(
    centre: JoinedCentre, database: str
) -> None:
    await two_buy(centre)
    other = await asyncpg.connect(database)
    try:
        async with other.transaction():
            await other.execute("select from account where account_id = 8 for update")
            round_ = asyncio.create_task(tended(centre))
            while not await other.fetchval("select count(*) from pg_locks where not granted"):
                assert not round_.done(), round_
            assert await tier(centre, 7) == "silver"  # each account stands by itself
            await other.execute(
                "select pg_terminate_backend(pid, 20000) from pg_locks where not granted"
                " and pid <> pg_backend_pid()"
            )
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await round_
    finally:
        await other.close()
    assert await tended(centre) == 1
    assert await tier(centre, 8) == "silver"


async def test_looking_twice_changes_nothing(centre: JoinedCentre) -> None:
    await two_buy(centre)
    assert await tended(centre) == 2
    tables = "select t, a.version from account_tier t join account a using (account_id) order by 1"
    before = await centre.pool.fetch(tables)
    await centre.pool.execute("update tier_cursor set transaction = '0', row = 0")
    done = await tend_tiers(centre.pool, now_ms=centre.system.now_ms())
    assert (done.looked_at, done.changed) == (2, 0)
    assert await centre.pool.fetch(tables) == before


async def test_due_accounts_that_fail_stand_in_nobodys_way(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_terms(centre, cycle="month")
    for account in (7, 8):
        await centre.customer(account)
        await sold(centre, f"{account}-1", f"{account}-2", account=account)
    for _ in range(2):
        await tended(centre)
    await break_account(centre, 7, "23514", table="account")
    monkeypatch.setattr(tiers, "_DUE_AT_ONCE", 1)
    centre.system.pass_days(60)
    done = [await tend_tiers(centre.pool, now_ms=centre.system.now_ms()) for _ in range(3)]
    assert [(each.changed, each.failed) for each in done] == [(0, 1), (1, 0), (0, 0)]
    assert (await tier(centre, 7), await tier(centre, 8)) == ("silver", "")
    await centre.pool.execute("drop trigger fails on account")
    assert await tended(centre) == 0
    assert await tended(centre, 1) == 1
    assert await tier(centre, 7) == ""


async def test_a_round_that_left_news_goes_on_at_once(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_buy(centre)
    monkeypatch.setattr(tiers, "NEWS_AT_ONCE", 1)
    behind = asyncio.create_task(tend_tiers_for_ever(centre.parts))
    try:
        async with asyncio.timeout(20):  # it sleeps half a minute
            while "" in (await tier(centre, 7), await tier(centre, 8)):
                pass
    finally:
        behind.cancel()
        await asyncio.gather(behind, return_exceptions=True)


async def test_news_that_all_fail_are_left_in_peace_for_a_while(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_terms(centre)
    await centre.customer(7)
    await sold(centre, "s1", "s2")
    await break_account(centre, 7, "23514")
    monkeypatch.setattr(tiers, "NEWS_AT_ONCE", 1)
    done = await tend_tiers(centre.pool, now_ms=centre.system.now_ms())
    assert (done.failed, done.more) == (1, False)


@pytest.mark.parametrize("answer", ["select $1::bigint / 0", "select $1::bigint = 0"])
async def test_a_lock_that_is_not_given_back_ends_with_its_connection(
    centre: JoinedCentre, database: str, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    await two_buy(centre)
    pool = await open_pool(database, connections_max=1)
    try:
        with monkeypatch.context() as broken:
            queries = load_queries("central.people", "tiers.sql")
            broken.setattr(tiers, "_SQL", {**queries, "end_round": answer})
            await tend_tiers(pool, now_ms=centre.system.now_ms())
        await sold(centre, "8-3", account=8)
        async with asyncio.timeout(30):  # the server ends the session in its own time
            while not await tended(centre):
                pass
    finally:
        await pool.close()
