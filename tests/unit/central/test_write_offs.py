"""Rights of tills that fall silent: frozen, written off against the pool, settled late and once.

Each test that names one (design: sync 6) fails for the naive variant.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from central.bootstrap import tend_rights_for_ever
from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.rights.issuing import RightsSettings
from central.rights.tending import Tended, tend
from central.rights.write_offs import WrittenOff, held_by, thaw, write_off, write_off_due
from sync.messages import Grant
from sync.records import Record
from tests.support.centre import JoinedCentre, LotState, PoolState, Totals, joined_centre
from tests.support.till_probe import TillProbe, risk, take

ACCEPTED = ("accepted", "", 0)
LATE = ("accepted", "spent from a right that was written off before; the pool had kept it back", 0)
HOME_AGAIN = ("accepted", "written off before: the pool has it again", 0)
GRANT_DAYS = RightsSettings().grant_days
LOST_DAYS = GRANT_DAYS + RightsSettings().loss_days + 1


async def vault_with_grant(
    centre: JoinedCentre, points: int = 300, *, pool: int = 1_000, ends: str = ""
) -> tuple[TillProbe, Grant]:
    """A vault that holds a grant, its arrival known here, and a pool without budgets."""
    vault = await centre.till(is_vault=True)
    await centre.fund(pool)
    await centre.customer(7, points, home="store-1", ends=[ends] if ends else [])
    (grant,) = (await vault.pull()).grants
    await vault.push()
    await centre.apply()
    return vault, grant


async def tended(centre: JoinedCentre, days: int = 0) -> Tended:
    """Let days pass in which the centre looks after its rights."""
    centre.system.pass_days(days)
    return await tend(
        centre.pool,
        now_ms=centre.system.now_ms(),
        settings=centre.parts.desk.rights.settings,
    )


def scans(plan: dict[str, Any], table: str) -> Iterator[dict[str, Any]]:
    """Yield the steps of an executed plan that read a table."""
    if plan.get("Relation Name") == table:
        yield plan
    for below in plan.get("Plans", ()):
        yield from scans(below, table)


async def state(centre: JoinedCentre, grant: Grant) -> tuple[str, int, int]:
    """Return a right's state, what it holds and what the pool keeps for it."""
    row = await centre.pool.fetchrow(
        "select state, outstanding, exposure from right_grant where grant_id = $1", grant.grant_id
    )
    assert row is not None
    return row["state"], row["outstanding"], row["exposure"]


# Frozen


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("to_freeze", (2, 1, 500)), ("to_freeze_of_revoked", (500,)), ("to_thaw", (1, 500))],
)
async def test_rights_that_live_are_not_looked_through(
    centre: JoinedCentre, name: str, arguments: tuple[int, ...]
) -> None:
    """Every minute, in every process: a chain's tills hold millions."""
    _, grant = await vault_with_grant(centre)
    tills = [(await centre.till()).till_id for _ in range(20)]
    columns = "purpose, incarnation, session, points, outstanding, not_after_ms, body"
    async with centre.pool.acquire() as connection:
        undone = connection.transaction()
        await undone.start()
        await connection.execute(
            f"insert into right_grant (account_id, grant_id, issued_at_ms, till_id, {columns})"
            f" select account_id, grant_id || n || '-' || t, issued_at_ms, t, {columns} from"
            " right_grant, generate_series(1, 200) n, unnest($2::int[]) t where grant_id = $1",
            grant.grant_id,
            tills,
        )
        await connection.execute("analyze right_grant; analyze till")
        statement = load_queries("central.rights", "queries.sql")[name]
        plan = await connection.fetchval(
            "explain (analyze, timing off, format json) " + statement, *arguments
        )
        await undone.rollback()
    read = list(scans(json.loads(plan)[0]["Plan"], "right_grant"))
    assert read
    for scan in read:
        assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) == 0, plan


async def test_a_silent_tills_right_is_frozen_at_its_end_and_nothing_is_released(
    centre: JoinedCentre,
) -> None:
    _, grant = await vault_with_grant(centre)
    assert (await tended(centre, GRANT_DAYS)).frozen == 0
    assert (await tended(centre, 1)).frozen == 1
    assert await state(centre, grant) == ("frozen", 300, 0)
    assert await centre.totals(7) == Totals(300, 300)
    assert await centre.risk_pool() == PoolState(1_000)


async def test_a_frozen_right_is_spent_like_any_other(centre: JoinedCentre) -> None:
    vault, grant = await vault_with_grant(centre)
    await tended(centre, GRANT_DAYS + 1)
    sale = vault.sale("s1", account=7, sources=[take(grant, 100)])
    assert await centre.post(vault, sale) == [ACCEPTED]
    assert await state(centre, grant) == ("frozen", 200, 0)
    assert await centre.totals(7) == Totals(200 + 90, 200)
    assert await centre.risk_pool() == PoolState(1_000)


async def test_a_till_that_is_heard_of_again_holds_its_right_as_before(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS - 2)
    assert (await state(centre, grant))[0] == "frozen"
    await vault.hello()
    done = await tended(centre, 2)
    assert (done.thawed, done.frozen, done.written_off) == (1, 0, WrittenOff())
    assert await state(centre, grant) == ("open", 300, 0)


async def test_a_till_that_only_speaks_in_a_new_incarnation_is_not_heard_of_in_the_old(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    vault.open_stream(2, reason="behind the anchor")
    centre.system.pass_days(GRANT_DAYS + 1)
    await vault.hello()
    assert (await tended(centre)).frozen == 1
    assert (await state(centre, grant))[0] == "frozen"


async def test_a_till_that_fell_silent_after_the_end_is_not_waited_for_for_ever(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    centre.system.pass_days(GRANT_DAYS + 1)
    await vault.hello()  # and its machine dies before it sends the residue home
    done = await tended(centre, RightsSettings().loss_days - 1)
    assert (done.frozen, await state(centre, grant)) == (0, ("open", 300, 0))
    done = await tended(centre, 1)
    assert (done.frozen, done.written_off.points) == (1, 300)
    assert await state(centre, grant) == ("written_off", 0, 300)


# Written off


async def test_a_lost_right_goes_back_to_its_customer_and_the_pool_keeps_as_much(
    centre: JoinedCentre,
) -> None:
    _, grant = await vault_with_grant(centre)
    done = await tended(centre, LOST_DAYS)
    assert done.written_off == WrittenOff(rights=1, points=300)
    assert await state(centre, grant) == ("written_off", 0, 300)
    assert await centre.totals(7) == Totals(300)
    assert await centre.lots(7) == [LotState(300)]
    assert await centre.risk_pool() == PoolState(700, exposures=300)
    # Time releases nothing more: what the pool keeps stays until a record says otherwise (N3).
    assert (await tended(centre, 10_000)).written_off == WrittenOff()
    assert await centre.risk_pool() == PoolState(700, exposures=300)


async def test_without_pool_there_is_no_write_off(centre: JoinedCentre) -> None:
    _, grant = await vault_with_grant(centre, pool=299)
    done = await tended(centre, LOST_DAYS)
    assert done.written_off == WrittenOff(refused=1, refused_points=300)
    assert await state(centre, grant) == ("frozen", 300, 0)
    assert await centre.totals(7) == Totals(300, 300)
    assert await centre.risk_pool() == PoolState(299)
    await centre.fund(1)
    assert (await tended(centre)).written_off == WrittenOff(rights=1, points=300)
    assert await centre.risk_pool() == PoolState(0, exposures=300)


async def test_what_the_till_spent_before_is_not_written_off(centre: JoinedCentre) -> None:
    vault, grant = await vault_with_grant(centre)
    await centre.post(vault, vault.sale("s1", account=7, sources=[take(grant, 120)]))
    assert (await tended(centre, LOST_DAYS)).written_off.points == 180
    assert await centre.totals(7) == Totals(180 + 88)
    assert await centre.risk_pool() == PoolState(820, exposures=180)


async def test_an_operator_who_knows_better_need_not_wait(centre: JoinedCentre) -> None:
    vault, grant = await vault_with_grant(centre)
    now_ms = centre.system.now_ms()
    held = await held_by(centre.pool, vault.till_id)
    assert [(right.grant_id, right.points) for right in held] == [(grant.grant_id, 300)]
    done = await write_off(centre.pool, held, now_ms=now_ms)
    assert done == WrittenOff(rights=1, points=300)
    assert await state(centre, grant) == ("written_off", 0, 300)
    assert await held_by(centre.pool, vault.till_id) == []
    assert await write_off(centre.pool, held, now_ms=now_ms) == WrittenOff()


async def test_two_write_offs_at_once_write_off_once(centre: JoinedCentre) -> None:
    vault, _ = await vault_with_grant(centre)
    held = await held_by(centre.pool, vault.till_id)
    done = await asyncio.gather(
        *(write_off(centre.pool, held, now_ms=centre.system.now_ms()) for _ in range(4))
    )
    assert sorted(each.points for each in done) == [0, 0, 0, 300]
    assert await centre.risk_pool() == PoolState(700, exposures=300)


async def test_a_till_that_is_heard_of_in_the_last_moment_keeps_its_right(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    await tended(centre, GRANT_DAYS + 1)
    centre.system.pass_days(LOST_DAYS)
    waits = "select exists(select 1 from pg_locks where not granted)"
    async with centre.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("select 1 from account for update")
            settings = centre.parts.desk.rights.settings
            writing_off = asyncio.create_task(
                write_off_due(centre.pool, now_ms=centre.system.now_ms(), settings=settings)
            )
            while not await centre.pool.fetchval(waits):  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0)
            await vault.hello()
            assert await thaw(centre.pool) == 1
        assert await writing_off == WrittenOff()
    assert await state(centre, grant) == ("open", 300, 0)


async def test_a_lot_that_ran_out_in_a_right_expires_when_it_comes_home(
    centre: JoinedCentre,
) -> None:
    # The lot ends after the right, and before the right is written off.
    await vault_with_grant(centre, ends="2025-03-25")
    await tended(centre, LOST_DAYS)
    assert await centre.lots(7) == [LotState(300)]
    till = await centre.till()
    assert (await till.authorise("s1", 7, 100)).authorisations == ()


async def test_a_lot_that_ran_out_in_a_right_pays_for_what_was_sold_from_it(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre, ends="2025-03-25")
    centre.system.pass_days(60)
    sale = vault.sale("s1", account=7, sources=[take(grant, 200)])
    assert await centre.post(vault, sale) == [ACCEPTED]
    assert (await centre.lots(7))[0] == LotState(0, 100, 200)
    assert await centre.risk_pool() == PoolState(1_000)


async def test_points_written_off_are_wished_for_at_the_stores_next_vault(
    centre: JoinedCentre,
) -> None:
    dead, _ = await vault_with_grant(centre)
    heir = await centre.till(is_vault=True)
    await centre.pool.execute("update till set revoked = true where till_id = $1", dead.till_id)
    await tended(centre, LOST_DAYS)
    await heir.hello()
    assert [grant.points for grant in (await heir.pull()).grants] == [300]


# Heard of after all


async def test_a_late_spend_is_paid_by_the_customers_points_and_frees_the_pool(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    late = vault.sale("s1", account=7, sources=[take(grant, 100)])
    assert await centre.post(vault, late) == [LATE]
    assert await state(centre, grant) == ("written_off", 0, 200)
    assert await centre.totals(7) == Totals(200 + 90)
    assert await centre.risk_pool() == PoolState(800, exposures=200)
    rest = vault.sale("s2", account=7, sources=[take(grant, 200)])
    # Its lots name 200 points of a lot that still has so many.
    assert await centre.post(vault, rest) == [LATE]
    assert await state(centre, grant) == ("late_settled", 0, 0)
    assert await centre.totals(7) == Totals(90 + 80)
    assert await centre.risk_pool() == PoolState(1_000)


async def test_a_late_spend_of_points_that_were_spent_since_is_the_pools_loss(
    centre: JoinedCentre,
) -> None:
    other = await centre.till()
    vault, grant = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    (right,) = (await other.authorise("s1", 7, 300)).authorisations
    await centre.post(other, other.sale("s1", account=7, sources=[take(right)]))
    before = await centre.risk_pool()
    earned = (await centre.totals(7)).posted
    late = vault.sale("s2", account=7, sources=[take(grant)])
    assert await centre.post(vault, late) == [LATE]
    # What the customer has earned since pays first; the rest is what the pool had kept.
    lost = 300 - earned
    assert (await centre.risk_pool()).losses == lost > 0
    assert await centre.risk_pool() == before._replace(
        free=before.free + 300 - lost, losses=lost, exposures=0
    )
    assert await centre.totals(7) == Totals(70)
    assert await state(centre, grant) == ("late_settled", 0, 0)


async def test_a_late_spend_never_takes_what_is_held_for_another_till(
    centre: JoinedCentre,
) -> None:
    other = await centre.till()
    dead, grant = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    (right,) = (await other.authorise("s1", 7, 300)).authorisations
    late = dead.sale("s2", account=7, sources=[take(grant, 100)])
    assert await centre.post(dead, late) == [LATE]
    assert await centre.totals(7) == Totals(300 + 90, 300)
    assert (await centre.risk_pool()).losses == 100
    assert await centre.post(other, other.sale("s1", account=7, sources=[take(right)])) == [
        ACCEPTED
    ]


async def test_a_late_return_gives_the_customer_nothing_twice(centre: JoinedCentre) -> None:
    vault, grant = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    assert await centre.post(vault, vault.give_back(grant)) == [HOME_AGAIN]
    assert await centre.totals(7) == Totals(300)
    assert await centre.risk_pool() == PoolState(1_000)
    assert await state(centre, grant) == ("late_settled", 0, 0)
    few = ("adjusted", "the grant had fewer points", -300)
    assert await centre.post(vault, vault.give_back(grant)) == [few]
    assert await centre.risk_pool() == PoolState(1_000)


async def test_a_late_spend_and_the_return_of_the_rest_leave_nothing_with_the_pool(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    # In either order: the residue is stated, nobody subtracts (N8).
    assert await centre.post(
        vault, vault.give_back(grant, 180), vault.sale("s1", account=7, sources=[take(grant, 120)])
    ) == [HOME_AGAIN, LATE]
    assert await centre.totals(7) == Totals(180 + 88)
    assert await centre.risk_pool() == PoolState(1_000)


async def test_the_same_late_spend_again_frees_the_pool_once(centre: JoinedCentre) -> None:
    vault, grant = await vault_with_grant(centre)
    other = await centre.till()
    pool = await centre.risk_pool()
    await tended(centre, LOST_DAYS)
    late = vault.sale("s1", account=7, sources=[take(grant, 100)])
    assert await centre.post(vault, late) == [LATE]
    again = ("accepted", "posted before", 0)
    assert await centre.post(vault, late) == [again]
    assert await centre.post(other, late) == [again]
    # The other till was silent as long: so are its points of risk.
    assert await centre.risk_pool() == pool._replace(
        free=pool.free - 200, budgets=0, exposures=200 + pool.budgets
    )


async def test_more_than_was_written_off_is_no_exposure_of_it(centre: JoinedCentre) -> None:
    vault, grant = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    sales = [vault.sale(f"s{n}", account=7, sources=[take(grant, 250)]) for n in (1, 2)]
    outcomes = await centre.post(vault, *sales)
    assert outcomes == [LATE, LATE]
    # 300 + 75 were the customer's; 125 the pool paid, 50 of them out of what it kept.
    assert await centre.risk_pool() == PoolState(875, losses=125)
    assert await centre.totals(7) == Totals(75)


async def test_a_return_in_a_branch_frees_nothing(centre: JoinedCentre) -> None:
    vault, grant = await vault_with_grant(centre)
    vault.append(vault.void("the other history"))
    await vault.push()
    await tended(centre, LOST_DAYS)
    vault.forget_after(len(vault.bodies) - 1)
    vault.append(vault.give_back(grant))
    assert (await vault.push()).verdict == "fork"
    await centre.apply()
    assert await state(centre, grant) == ("written_off", 0, 300)
    assert await centre.risk_pool() == PoolState(700, exposures=300)


async def test_a_right_that_was_written_off_and_never_arrived_frees_the_pool(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await centre.fund(1_000)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull(receive=False)).grants
    await tended(centre, LOST_DAYS)
    assert await centre.risk_pool() == PoolState(700, exposures=300)
    await vault.hello()
    await vault.push()
    await centre.apply()
    assert (await vault.pull(receive=False)).grants[0].grant_id != grant.grant_id
    assert await state(centre, grant) == ("late_settled", 0, 0)
    assert (await centre.risk_pool()).exposures == 0
    assert await centre.totals(7) == Totals(300, 300)


@pytest.mark.parametrize("how", ["unused", "void", "used"])
async def test_an_authorisation_is_written_off_and_settled_by_its_receipt(
    centre: JoinedCentre, how: str
) -> None:
    till = await centre.till()
    await centre.fund(1_000)
    await centre.customer(7, 300)
    (right,) = (await till.authorise("s1", 7, 200)).authorisations
    assert (await tended(centre, LOST_DAYS)).written_off.points == 200
    assert await centre.risk_pool() == PoolState(800, exposures=200)
    records: dict[str, Record] = {
        "unused": till.sale("s1", account=7),
        "void": till.void("s1"),
        "used": till.sale("s1", account=7, sources=[take(right, 150)]),
    }
    await centre.post(till, records[how])
    expected = {"unused": 300 + 100, "void": 300, "used": 150 + 85}[how]
    assert await centre.totals(7) == Totals(expected)
    assert await centre.risk_pool() == PoolState(1_000)
    assert await state(centre, right) == ("late_settled", 0, 0)


async def test_a_late_spend_beside_risk_uses_both_reserves(centre: JoinedCentre) -> None:
    await centre.fund(1_000)
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    await tended(centre, LOST_DAYS)
    assert await centre.risk_pool() == PoolState(200, exposures=300 + 500)
    await centre.customer(8)
    sale = vault.sale("s1", account=7, sources=[take(grant, 300), risk(50)])
    assert await centre.post(vault, sale) == [LATE]
    assert (await centre.risk_pool()).losses == 50
    assert await centre.risk_pool() == PoolState(500, losses=50, exposures=450)


async def test_write_offs_and_late_spends_at_once_lose_no_point(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(risk_points_per_till=0)) as centre:
        vault = await centre.till(is_vault=True)
        await centre.fund(10_000)
        accounts = range(11, 23)
        for account_id in accounts:
            await centre.customer(account_id, 100, home="store-1")
        grants = (await vault.pull()).grants
        assert len(grants) == len(accounts)
        for grant in grants:
            sale = vault.sale(
                f"s{grant.account_id}", account=grant.account_id, sources=[take(grant, 60)]
            )
            vault.append(sale)
        await vault.push()
        held = await held_by(centre.pool, vault.till_id)
        await asyncio.gather(
            write_off(centre.pool, held, now_ms=centre.system.now_ms()), centre.apply()
        )
        await centre.apply()
        for account_id in accounts:
            assert await centre.totals(account_id) == Totals(40 + 94)
        exposed = await centre.pool.fetchval("select sum(exposure) from right_grant")
        assert await centre.risk_pool() == PoolState(10_000 - exposed, exposures=exposed)
        assert exposed == 40 * len(accounts)


async def test_rights_are_tended_while_the_centre_serves(centre: JoinedCentre) -> None:
    _, grant = await vault_with_grant(centre)
    centre.system.pass_days(LOST_DAYS)
    tending = asyncio.create_task(tend_rights_for_ever(centre.parts))
    while (await state(centre, grant))[0] != "written_off":
        assert not tending.done(), tending
        await centre.pool.execute("select pg_sleep(0.01)")
    tending.cancel()
    await asyncio.gather(tending, return_exceptions=True)
    assert await centre.totals(7) == Totals(300)
