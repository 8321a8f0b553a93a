"""What a till may hold and spend unseen, and the meter of what can be overdrawn this minute."""

import re

import asyncpg
import msgspec
import pytest

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.rights.exposure import Exposure, PoolTotals, read_exposure
from central.rights.issuing import RightsSettings
from central.rights.suspicion import clear_till
from central.rights.tending import tend
from sync.cycle import PATH_HELLO
from sync.messages import HelloAnswer
from sync.records import OpenRecord
from sync.signing import NO_SESSION
from tests.support.centre import NOW_MS, JoinedCentre, Totals, joined_centre
from tests.support.explained import plan_by_indexes, read_whole
from tests.support.till_probe import TillProbe, risk, take

QUERIES = load_queries("central.rights", "queries.sql")
RIGHT_INDEXES = {
    "right_grant_authorised", "right_grant_frozen", "right_grant_exposures",
    "right_grant_of_stream", "right_transfer_received",
}  # fmt: skip
ACCEPTED = ("accepted", "", 0)
BEYOND = ("accepted", "its till spent more since its last HELLO than it was told it may", 0)


# What a till may hold (I13)


async def test_a_till_is_given_no_more_grants_than_it_may_hold(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(till_points_max=450)) as centre:
        vault = await centre.till(is_vault=True)
        for account_id in (7, 8, 9):
            await centre.customer(account_id, 200, home="store-1")
        grants = {grant.account_id: grant for grant in (await vault.pull()).grants}
        assert {account_id: each.points for account_id, each in grants.items()} == {
            7: 200,
            8: 200,
            9: 50,
        }
        assert await centre.totals(9) == Totals(200, 50)
        await vault.push()
        await centre.apply()
        await centre.customer(10, 200, home="store-1")
        assert (await vault.pull()).grants == ()
        # What it spends makes room, and the wish has waited.
        sale = vault.sale("s1", account=7, sources=[take(grants[7], 90)])
        assert await centre.post(vault, sale) == [ACCEPTED]
        assert sum(grant.points for grant in (await vault.pull()).grants) == 90


async def test_an_authorisation_needs_no_room_in_the_till(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(till_points_max=0)) as centre:
        vault = await centre.till(is_vault=True)
        await centre.customer(7, 200, home="store-1")
        assert (await vault.pull()).grants == ()
        assert (await vault.authorise("s1", 7, 120)).authorisations[0].points == 120


async def test_a_lower_cap_takes_nothing_away_and_gives_nothing_more(pool: Pool) -> None:
    async with joined_centre(pool) as centre:
        vault = await centre.till(is_vault=True)
        await centre.customer(7, 300, home="store-1")
        (grant,) = (await vault.pull()).grants
        await vault.push()
        lowered = await _with_settings(centre, RightsSettings(till_points_max=100))
        await vault.hello()
        await lowered.customer(8, 100, home="store-1")
        assert (await vault.pull()).grants == ()
        sale = vault.sale("s1", account=7, sources=[take(grant, 250)])
        assert await centre.post(vault, sale) == [ACCEPTED]
        grants = (await vault.pull()).grants
        assert sum(each.points for each in grants) == 50


async def _with_settings(centre: JoinedCentre, settings: RightsSettings) -> JoinedCentre:
    centre.parts.desk.rights._settings = settings  # noqa: SLF001 - as after a restart
    return centre


async def test_no_statement_can_give_a_till_more_than_it_may_hold(centre: JoinedCentre) -> None:
    if await centre.pool.fetchval("select is_spread()"):
        pytest.skip("where accounts are spread the centre's statements count it, no trigger")
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    await vault.pull()
    await centre.pool.execute("update till_rights set outstanding_max = 300")
    with pytest.raises(asyncpg.CheckViolationError, match="till_rights_bounded"):
        await centre.pool.execute(
            "insert into right_grant select account_id, 'one more', purpose, till_id, incarnation,"
            " session, sale_key, 1, 1, received, recalled, state, not_after_ms, body, issued_at_ms"
            " from right_grant"
        )


# What a till may spend between two HELLOs (V of I1)


async def test_a_till_that_spends_more_between_two_hellos_than_it_may_is_noticed(
    pool: Pool,
) -> None:
    async with joined_centre(pool, RightsSettings(offline_points_max=250)) as centre:
        await centre.fund(1_000)
        vault = await centre.till(is_vault=True, greet=False)
        assert (await vault.hello()).offline_points_max == 250
        await centre.customer(7, 400, home="store-1")
        (grant,) = (await vault.pull()).grants
        spent = [
            vault.sale("s1", account=7, sources=[take(grant, 100)]),
            vault.sale("s2", account=7, sources=[take(grant, 120), risk(30)]),
            vault.sale("s3", account=7, sources=[risk(1)]),
        ]
        # A fact all the same: posted as printed.
        assert await centre.post(vault, *spent) == [ACCEPTED, ACCEPTED, BEYOND]
        assert await centre.pool.fetchval("select count(*) from receipt") == 3
        await vault.hello()
        more = vault.sale("s4", account=7, sources=[take(grant, 100)])
        assert await centre.post(vault, more) == [ACCEPTED]


async def test_what_is_handed_in_late_counts_in_the_cycle_it_was_spent_in(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(offline_points_max=100)) as centre:
        vault = await centre.till(is_vault=True)
        await vault.push()
        await centre.customer(7, 400, home="store-1")
        (grant,) = (await vault.pull()).grants
        vault.append(vault.sale("s1", account=7, sources=[take(grant, 90)]))
        await vault.hello()  # and the line is cut before it can push
        vault.append(vault.sale("s2", account=7, sources=[take(grant, 90)]))
        await vault.hello()
        vault.append(vault.sale("s3", account=7, sources=[take(grant, 90)]))
        await vault.push()
        await centre.apply()
        outcomes = await centre.outcomes(vault)
        assert [outcomes[seq] for seq in (3, 4, 5)] == [ACCEPTED] * 3


async def test_authorised_points_do_not_count_as_spent_unseen(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(offline_points_max=50)) as centre:
        till = await centre.till()
        await centre.customer(7, 400)
        (right,) = (await till.authorise("s1", 7, 300)).authorisations
        sale = till.sale("s1", account=7, sources=[take(right)])
        assert await centre.post(till, sale) == [ACCEPTED]


# The meter


async def meter(centre: JoinedCentre) -> Exposure:
    """Read the meter by the office's route."""
    headers = {"authorization": f"Bearer {centre.parts.keys.office_token}"}
    answer = await centre.http.get("/v1/exposure", headers=headers)
    assert answer.status_code == 200
    exposure = msgspec.json.decode(answer.content, type=Exposure)
    assert exposure == await read_exposure(centre.pool)
    return exposure


async def test_the_meter_says_what_can_be_overdrawn_and_why(centre: JoinedCentre) -> None:
    assert (await meter(centre)).points == 0
    await centre.fund(5_000)
    dead, till = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    await dead.pull()
    await centre.customer(8, 100)
    await centre.post(till, till.sale("s1", account=8, sources=[risk(130)]))
    centre.system.pass_days(60)
    settings = centre.parts.desk.rights.settings
    await tend(centre.pool, now_ms=centre.system.now_ms(), settings=settings)
    await till.hello()  # it has its budget again, and more
    assert await meter(centre) == Exposure(
        points=500 + 500 + 300,
        risk_budgets=500,
        write_offs=500 + 300,
        suspected_clones=0,
        clones=0,
        held=0,
        frozen=0,
        pool=PoolTotals(
            funded=5_000, free=5_000 - 500 - 800 - 30, budgets=500, exposures=800, losses=30,
            uncovered=0,
        ),
    )  # fmt: skip


async def test_points_in_rights_can_not_be_overdrawn_frozen_or_not(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    await vault.pull()
    exposure = await meter(centre)
    assert (exposure.points, exposure.held, exposure.frozen) == (0, 300, 0)
    centre.system.pass_days(15)
    settings = centre.parts.desk.rights.settings
    await tend(centre.pool, now_ms=centre.system.now_ms(), settings=settings)
    exposure = await meter(centre)
    assert (exposure.points, exposure.held, exposure.frozen) == (0, 300, 300)


async def test_what_is_held_is_counted_with_what_is_authorised(centre: JoinedCentre) -> None:
    vault, till = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    await centre.customer(8, 200)
    await till.authorise("s1", 8, 120)
    await vault.push()
    sale = vault.sale("s2", account=7, sources=[take(grant, 50)])
    assert await centre.post(vault, sale) == [ACCEPTED]
    held = await centre.pool.fetchval("select sum(outstanding)::bigint from right_grant")
    assert (await meter(centre)).held == held == 250 + 120


async def test_the_meter_looks_through_no_rights(centre: JoinedCentre) -> None:
    """Each of its sums has an index, or a row for each till."""
    if await centre.pool.fetchval("select is_spread()"):
        pytest.skip("indexes of one machine's database are looked at")
    async with centre.pool.acquire() as connection:
        plan = await plan_by_indexes(connection, QUERIES["exposure"])
        plan += await plan_by_indexes(connection, QUERIES["suspect"], 1, b"", "", NOW_MS)
    assert not read_whole(plan) & {"right_grant", "right_transfer"}, plan
    # None that holds all that are open, which grow with the customers.
    used = set(re.findall(r"Scan (?:Backward )?(?:using|on) (right_\w+)", plan))
    assert used & RIGHT_INDEXES == used - {"right_grant", "right_transfer"}, plan


async def vault_with(centre: JoinedCentre, points: int) -> TillProbe:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, points, home="store-1")
    await vault.pull()
    await vault.push()
    await centre.apply()
    return vault


async def test_a_fork_stands_in_the_meter_with_what_its_copy_may_hold(
    centre: JoinedCentre,
) -> None:
    vault = await vault_with(centre, 300)
    vault.append(vault.void("s1"))
    await vault.push()
    vault.forget_after(len(vault.bodies) - 1)
    vault.append(vault.void("s2"))
    await vault.push()
    exposure = await meter(centre)
    assert (exposure.suspected_clones, exposure.clones, exposure.points) == (300, 1, 300)


async def test_what_a_copy_can_spend_is_bounded_by_what_a_till_may_spend_unseen(
    pool: Pool,
) -> None:
    async with joined_centre(pool, RightsSettings(offline_points_max=120)) as centre:
        vault = await vault_with(centre, 300)
        vault.forget_after(1)
        vault.append(vault.void("s2"))
        assert (await vault.push(1)).verdict == "fork"
        assert (await meter(centre)).suspected_clones == 120


async def restarted(centre: JoinedCentre, vault: TillProbe, reason: str) -> None:
    before, head = vault.incarnation.hex(), vault.link(len(vault.bodies)).hex()
    vault.open_stream(2, incarnation=b"restart1")
    del vault.bodies[:], vault.hashes[:]
    vault.append(
        OpenRecord(
            at_ms=NOW_MS,
            incarnation_number=2,
            reason=reason,
            previous_incarnation=before,
            previous_head=head,
        )
    )
    await vault.hello()
    await vault.push()
    await centre.apply()


@pytest.mark.parametrize(
    ("reason", "points"),
    [("amnesia", 300), ("fork", 300), ("witness", 300), ("behind the anchor", 0)],
)
async def test_a_till_that_was_told_it_has_forgotten_stands_in_the_meter(
    centre: JoinedCentre, reason: str, points: int
) -> None:
    vault = await vault_with(centre, 300)
    await restarted(centre, vault, reason)
    assert (await meter(centre)).suspected_clones == points


async def test_a_late_copy_of_a_hello_makes_nobody_suspected(centre: JoinedCentre) -> None:
    vault = await vault_with(centre, 300)
    late = vault.hello_message()
    vault.append(vault.void("s1"))
    await vault.push()
    vault.session = NO_SESSION
    assert (await vault.ask(PATH_HELLO, late, HelloAnswer)).verdict == "amnesia"
    assert (await meter(centre)).clones == 0


async def test_a_suspicion_ends_when_every_right_of_a_copy_has_ended_or_somebody_has_looked(
    centre: JoinedCentre,
) -> None:
    vault = await vault_with(centre, 300)
    await restarted(centre, vault, "amnesia")
    settings = centre.parts.desk.rights.settings
    centre.system.pass_days(28)
    await tend(centre.pool, now_ms=centre.system.now_ms(), settings=settings)
    assert (await meter(centre)).clones == 1
    centre.system.pass_days(1)
    done = await tend(centre.pool, now_ms=centre.system.now_ms(), settings=settings)
    assert (done.cleared, (await meter(centre)).clones) == (1, 0)
    await centre.pool.execute("update stream_suspicion set cleared_at_ms = null")
    cleared = await clear_till(centre.pool, vault.till_id, now_ms=centre.system.now_ms())
    assert cleared.streams == 1
    assert (await meter(centre)).clones == 0


async def test_the_meter_is_the_offices(centre: JoinedCentre) -> None:
    assert (await centre.http.get("/v1/exposure")).status_code == 401
