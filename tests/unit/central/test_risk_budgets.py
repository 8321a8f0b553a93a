"""A till's risk budget is one, however many streams it begins, and comes home when it is over."""

import asyncpg
import pytest

from central.rights import budgets
from central.rights.budgets import BudgetsWrittenOff, TillBudgets
from central.rights.exposure import read_exposure
from central.rights.issuing import RightsSettings
from central.rights.tending import tend
from tests.support.centre import JoinedCentre, PoolState
from tests.support.till_probe import TillProbe, risk

SETTINGS = RightsSettings()
MOST = SETTINGS.risk_points_per_till
LOST_DAYS = SETTINGS.grant_days + SETTINGS.loss_days + 1


async def till_with_budget(centre: JoinedCentre) -> TillProbe:
    await centre.fund(2_000)
    till = await centre.till(greet=False)
    assert (await till.hello()).risk_points_total == MOST
    await centre.customer(7, 1_000)
    await till.push()
    return till


async def spend(centre: JoinedCentre, till: TillProbe, key: str, points: int) -> None:
    await centre.post(till, till.sale(key, account=7, sources=[risk(points)]))


async def restart(till: TillProbe) -> int:
    """Begin the next stream; returns what it was given."""
    till.open_stream(till.number + 1, reason="amnesia")
    return (await till.hello()).risk_points_total


async def tended(centre: JoinedCentre, days: int) -> BudgetsWrittenOff:
    centre.system.pass_days(days)
    return (await tend(centre.pool, now_ms=centre.system.now_ms(), settings=SETTINGS)).budgets


async def write_off(centre: JoinedCentre, till: TillProbe) -> BudgetsWrittenOff:
    return await budgets.write_off(centre.pool, till.till_id, now_ms=centre.system.now_ms())


async def revoke(centre: JoinedCentre, till: TillProbe) -> None:
    await centre.pool.execute("update till set revoked = true where till_id = $1", till.till_id)


async def of_till(centre: JoinedCentre, till: TillProbe) -> TillBudgets:
    return await budgets.budgets_of(centre.pool, till.till_id)


# One bound for all streams of a till


async def test_streams_begun_anew_take_nothing_more_from_the_pool(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    assert [await restart(till) for _ in range(20)] == [0] * 20
    assert await centre.risk_pool() == PoolState(1_500, MOST)


async def test_a_new_stream_is_given_what_those_before_have_settled(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    await spend(centre, till, "s1", 200)
    assert await restart(till) == 200
    await spend(centre, till, "s2", 150)
    assert (await till.hello()).risk_points_total == 350
    assert await of_till(centre, till) == TillBudgets(open=MOST)
    assert await centre.risk_pool() == PoolState(1_500, MOST)


async def test_what_an_earlier_stream_sold_is_settled_out_of_its_own_budget(
    centre: JoinedCentre,
) -> None:
    till = await till_with_budget(centre)
    await spend(centre, till, "s1", 100)
    unsent = till.sale("s2", account=7, sources=[risk(60)])
    till.open_stream(2, reason="amnesia")
    till.append(unsent)
    assert (await till.hello()).risk_points_total == 100
    await till.push()
    await centre.apply()
    open_points = await centre.pool.fetch(
        "select risk_points_total - risk_points_settled as open from till_stream"
        " order by incarnation_number"
    )
    assert [row["open"] for row in open_points] == [MOST - 160, 100]


async def test_a_table_refuses_a_till_more_than_its_bound(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    for change in ("risk_points = risk_points_max + 1", "risk_points = -1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await centre.pool.execute(
                f"update till_rights set {change} where till_id = $1", till.till_id
            )


# Streams that are over


async def test_what_is_over_for_long_is_kept_back_and_given_anew(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    assert await restart(till) == 0
    assert await tended(centre, 0) == BudgetsWrittenOff()
    centre.system.pass_days(LOST_DAYS)
    await till.hello()
    assert await tended(centre, 0) == BudgetsWrittenOff(kept=MOST)
    assert await centre.risk_pool() == PoolState(1_500, exposures=MOST)
    assert (await till.hello()).risk_points_total == MOST
    assert await centre.risk_pool() == PoolState(1_000, MOST, exposures=MOST)
    assert await of_till(centre, till) == TillBudgets(open=MOST, kept=MOST)


async def test_a_late_receipt_of_a_written_off_budget_frees_what_was_kept_back(
    centre: JoinedCentre,
) -> None:
    till = await till_with_budget(centre)
    assert await write_off(centre, till) == BudgetsWrittenOff(kept=MOST)
    await spend(centre, till, "s1", 120)
    assert await centre.risk_pool() == PoolState(1_500 + 120, exposures=MOST - 120)


async def test_a_stream_that_is_heard_of_again_has_its_budget_again(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    await write_off(centre, till)
    assert (await till.hello()).risk_points_total == MOST
    assert await centre.risk_pool() == PoolState(1_500, MOST)
    assert await of_till(centre, till) == TillBudgets(open=MOST)


async def test_a_till_that_is_silent_for_long_is_written_off_with_its_last_stream(
    centre: JoinedCentre,
) -> None:
    till = await till_with_budget(centre)
    assert await tended(centre, LOST_DAYS) == BudgetsWrittenOff(kept=MOST)
    meter = await read_exposure(centre.pool)
    assert (meter.risk_budgets, meter.write_offs) == (0, MOST)
    assert await tended(centre, LOST_DAYS) == BudgetsWrittenOff()
    assert await of_till(centre, till) == TillBudgets(kept=MOST)


# Home


async def test_budgets_of_a_revoked_till_come_home(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    await restart(till)
    await revoke(centre, till)
    assert await tended(centre, 0) == BudgetsWrittenOff(home=MOST)
    assert await centre.risk_pool() == PoolState(2_000)
    assert (await read_exposure(centre.pool)).points == 0


async def test_what_was_kept_back_for_a_till_comes_home_when_it_is_revoked(
    centre: JoinedCentre,
) -> None:
    till = await till_with_budget(centre)
    await write_off(centre, till)
    await revoke(centre, till)
    assert await write_off(centre, till) == BudgetsWrittenOff(home=MOST)
    assert await centre.risk_pool() == PoolState(2_000)


async def test_nothing_a_revoked_till_sold_is_paid_by_the_pool(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    sale = till.sale("s1", account=7, sources=[risk(100)])
    await revoke(centre, till)
    assert await tended(centre, 0) == BudgetsWrittenOff(home=MOST)
    (outcome,) = await centre.post(till, sale)
    assert outcome.outcome == "rejected_kept"
    assert await centre.risk_pool() == PoolState(2_000)


async def test_what_was_given_up_is_free_and_covered_again_when_the_till_comes_back(
    centre: JoinedCentre,
) -> None:
    till = await till_with_budget(centre)
    await write_off(centre, till)
    now_ms = centre.system.now_ms()
    assert await budgets.give_up_kept(centre.pool, till.till_id, before_ms=now_ms - 1) == 0
    assert await budgets.give_up_kept(centre.pool, till.till_id, before_ms=now_ms) == MOST
    assert await centre.risk_pool() == PoolState(2_000)
    assert (await till.hello()).risk_points_total == MOST
    assert await centre.risk_pool() == PoolState(1_500, MOST)


async def test_a_receipt_after_that_is_paid_by_its_customer_first(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    await write_off(centre, till)
    now_ms = centre.system.now_ms()
    await budgets.give_up_kept(centre.pool, till.till_id, before_ms=now_ms)
    await spend(centre, till, "s1", 120)
    assert await centre.risk_pool() == PoolState(2_000)
    assert (await till.hello()).risk_points_total == MOST + 120
    assert await of_till(centre, till) == TillBudgets(open=MOST)
