"""Rights of tills that never return: revoked ones frozen at once, exposures closed as lost."""

import pytest

from central.errors import NotFoundError
from central.rights.giving_up import (
    GivenUp,
    TillHeardOfError,
    exposed_by,
    give_up,
    require_silence,
)
from central.rights.issuing import RightsSettings
from central.rights.tending import Tended, tend
from central.rights.write_offs import WrittenOff, held_by, write_off
from sync.messages import Grant
from tests.support.centre import JoinedCentre, PoolState, Totals
from tests.support.till_probe import TillProbe, take

LATE = ("accepted", "spent from a right that was written off before; the pool had kept it back", 0)
HOME_AGAIN = ("accepted", "written off before: the pool has it again", 0)
LOST_DAYS = RightsSettings().grant_days + RightsSettings().loss_days + 1
SILENT_DAYS = RightsSettings().exposure_days


async def vault_with_grant(centre: JoinedCentre) -> tuple[TillProbe, Grant]:
    vault = await centre.till(is_vault=True)
    await centre.fund(1_000)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    await vault.push()
    await centre.apply()
    return vault, grant


async def tended(centre: JoinedCentre, days: int = 0) -> Tended:
    centre.system.pass_days(days)
    settings = centre.parts.desk.rights.settings
    return await tend(centre.pool, now_ms=centre.system.now_ms(), settings=settings)


async def closed(centre: JoinedCentre, till: TillProbe) -> GivenUp:
    exposed = await exposed_by(centre.pool, till.till_id)
    now_ms = centre.system.now_ms()
    return await give_up(centre.pool, exposed, days=SILENT_DAYS, now_ms=now_ms)


async def given_up(centre: JoinedCentre) -> tuple[TillProbe, Grant]:
    """A right of 300 points, written off and closed."""
    vault, grant = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    centre.system.pass_days(SILENT_DAYS)
    assert await closed(centre, vault) == GivenUp(rights=1, points=300)
    return vault, grant


async def state(centre: JoinedCentre, grant: Grant) -> str:
    found: str = await centre.pool.fetchval(
        "select state from right_grant where grant_id = $1", grant.grant_id
    )
    return found


# Revoked


async def revoke(centre: JoinedCentre, till: TillProbe) -> None:
    await centre.pool.execute("update till set revoked = true where till_id = $1", till.till_id)


async def test_a_revoked_tills_right_is_frozen_at_once_and_releases_nothing(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    await revoke(centre, vault)
    done = await tended(centre)
    assert (done.frozen, done.thawed, done.written_off) == (1, 0, WrittenOff())
    assert await state(centre, grant) == "frozen"
    assert await centre.totals(7) == Totals(300, 300)
    await vault.hello()
    assert (await tended(centre)).thawed == 0


async def test_a_revoked_tills_record_of_giving_back_is_kept_and_moves_nothing(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    await revoke(centre, vault)
    (outcome,) = await centre.post(vault, vault.give_back(grant))
    assert outcome.outcome == "rejected_kept"
    assert await centre.totals(7) == Totals(300, 300)


async def test_points_of_a_revoked_till_go_to_the_next_vault_by_time(centre: JoinedCentre) -> None:
    vault, _ = await vault_with_grant(centre)
    heir = await centre.till(is_vault=True)
    await revoke(centre, vault)
    # Frozen: what else the account has may move on; what the dead till holds comes with the time.
    assert (await tended(centre, LOST_DAYS)).written_off == WrittenOff(rights=1, points=300)
    await heir.hello()
    assert [grant.points for grant in (await heir.pull()).grants] == [300]
    assert (await centre.risk_pool()).exposures == 300


async def test_who_knows_that_a_revoked_tills_disk_is_destroyed_need_not_wait(
    centre: JoinedCentre,
) -> None:
    vault, grant = await vault_with_grant(centre)
    await revoke(centre, vault)
    await tended(centre)
    held = await held_by(centre.pool, vault.till_id)
    done = await write_off(centre.pool, held, now_ms=centre.system.now_ms())
    assert done == WrittenOff(rights=1, points=300)
    assert await state(centre, grant) == "written_off"
    assert await centre.totals(7) == Totals(300)


# Closed


async def test_an_exposure_stays_however_long_until_somebody_closes_it(
    centre: JoinedCentre,
) -> None:
    vault, _ = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    await tended(centre, 10 * SILENT_DAYS)
    assert await centre.risk_pool() == PoolState(700, exposures=300)
    assert [each.points for each in await exposed_by(centre.pool, vault.till_id)] == [300]


async def test_what_was_written_off_lately_is_not_closed(centre: JoinedCentre) -> None:
    vault, _ = await vault_with_grant(centre)
    await tended(centre, LOST_DAYS)
    centre.system.pass_days(SILENT_DAYS - 1)
    assert await closed(centre, vault) == GivenUp()
    assert await centre.risk_pool() == PoolState(700, exposures=300)


async def test_a_closed_exposure_is_the_pools_loss_and_closed_once(centre: JoinedCentre) -> None:
    vault, grant = await given_up(centre)
    assert await state(centre, grant) == "given_up"
    assert await centre.risk_pool() == PoolState(700, losses=300)
    assert await centre.totals(7) == Totals(300)
    assert await closed(centre, vault) == GivenUp()


async def test_a_till_heard_of_lately_is_not_given_up(centre: JoinedCentre) -> None:
    vault, _ = await vault_with_grant(centre)
    now_ms = centre.system.now_ms()
    with pytest.raises(TillHeardOfError, match="heard of on 2025-03-05"):
        await require_silence(centre.pool, vault.till_id, days=SILENT_DAYS, now_ms=now_ms)
    with pytest.raises(NotFoundError):
        await require_silence(centre.pool, 4711, days=0, now_ms=now_ms)
    later_ms = now_ms + SILENT_DAYS * 86_400_000
    await require_silence(centre.pool, vault.till_id, days=SILENT_DAYS, now_ms=later_ms)


async def test_a_sale_that_comes_after_all_gives_the_pool_its_points_back(
    centre: JoinedCentre,
) -> None:
    vault, grant = await given_up(centre)
    late = vault.sale("s1", account=7, sources=[take(grant, 100)])
    assert await centre.post(vault, late) == [LATE]
    assert await state(centre, grant) == "given_up"
    assert (await tended(centre)).found == 100
    # The customer's points paid, as they would have before; the pool has lost what is left open.
    assert await centre.totals(7) == Totals(200 + 90)
    assert await centre.risk_pool() == PoolState(800, losses=200)
    assert await centre.post(vault, vault.give_back(grant, 200)) == [HOME_AGAIN]
    assert (await tended(centre)).found == 200
    assert await state(centre, grant) == "late_settled"
    assert await centre.risk_pool() == PoolState(1_000)
    assert (await tended(centre)).found == 0


async def test_an_empty_pool_pays_a_late_sale_out_of_what_was_given_up(
    centre: JoinedCentre,
) -> None:
    other = await centre.till()
    vault, grant = await given_up(centre)
    # The customer has spent the points since, and the pool has nothing left.
    await other.hello()
    (right,) = (await other.authorise("s1", 7, 300)).authorisations
    await centre.post(other, other.sale("s1", account=7, sources=[take(right)]))
    await centre.pool.execute(
        "update risk_pool set funded = funded - free, free = 0 where free > 0"
    )
    late = vault.sale("s2", account=7, sources=[take(grant)])
    assert await centre.post(vault, late) == [LATE]
    assert (await centre.risk_pool()).uncovered == 300
    assert (await tended(centre)).found == 300
    pool = await centre.risk_pool()
    assert (pool.uncovered, pool.losses) == (0, 300)


async def test_a_right_given_up_that_never_arrived_was_no_loss(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.fund(1_000)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull(receive=False)).grants
    await tended(centre, LOST_DAYS)
    centre.system.pass_days(SILENT_DAYS)
    assert (await closed(centre, vault)).points == 300
    await vault.hello()
    await vault.push()
    await centre.apply()
    await vault.pull(receive=False)
    assert await state(centre, grant) == "late_settled"
    assert (await tended(centre)).found == 300
    assert (await centre.risk_pool()).losses == 0
