"""Points set aside for a store: who gets them, how many, which lots, and how they come home."""

import asyncio

import pytest

from central.database.doors import Door
from central.database.pool import Pool
from central.rights.grants import Holder
from central.rights.issuing import DAY_MS, RightsSettings
from central.rights.planner import plan_all
from sync.cycle import PATH_HELLO
from sync.errors import RefusedError
from sync.messages import Grant, HelloAnswer
from sync.records import GrantInRecord
from sync.signing import NO_SESSION
from tests.support.centre import NOW_MS, JoinedCentre, LotState, PoolState, Totals, joined_centre
from tests.support.till_probe import TillProbe, risk, take

ACCEPTED = ("accepted", "", 0)


async def sync(centre: JoinedCentre, till: TillProbe) -> None:
    """Hand in what there is and have it applied."""
    if len(till.bodies) > till.acked:
        await till.push()
    await centre.apply()


async def outstanding(centre: JoinedCentre, grant: Grant) -> int:
    """Return what the centre still holds for a grant."""
    points: int = await centre.pool.fetchval(
        "select outstanding from right_grant where grant_id = $1", grant.grant_id
    )
    return points


# Who gets a grant, and of what


async def test_a_wish_becomes_a_grant_at_the_vaults_pull(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    assert await centre.totals(7) == Totals(300)
    (grant,) = (await vault.pull()).grants
    assert (grant.purpose, grant.account_id, grant.points) == ("grant", 7, 300)
    assert (grant.till_id, grant.incarnation, grant.session) == (
        vault.till_id,
        vault.incarnation,
        vault.session,
    )
    assert grant.not_after_ms == NOW_MS + 14 * DAY_MS
    assert await centre.totals(7) == Totals(300, 300)
    await sync(centre, vault)
    assert (await vault.pull()).grants == ()


async def test_a_till_that_is_no_vault_gets_nothing(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300, home="store-1")
    assert (await till.pull()).grants == ()
    assert await centre.totals(7) == Totals(300)


async def test_a_grant_that_was_lost_on_its_way_is_sent_again_and_counts_once(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    lost = (await vault.pull(receive=False)).grants
    assert (await vault.pull()).grants == lost
    assert await centre.totals(7) == Totals(300, 300)


async def test_nothing_is_set_aside_in_a_session_that_is_not_verified(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await vault.push()
    await centre.customer(7, 300, home="store-1")
    vault.forget_after(0)
    vault.append(vault.void("another history"))
    assert (await vault.hello()).verdict == "amnesia"
    assert (await vault.pull()).grants == ()
    assert await centre.totals(7) == Totals(300)


async def test_a_verified_session_sets_nothing_aside_for_another_incarnation(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    session = vault.session
    vault.open_stream(2)
    vault.session = session
    assert (await vault.pull()).grants == ()
    assert await centre.totals(7) == Totals(300)


async def test_no_more_than_the_cap_is_set_aside_of_one_account(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(grant_points_max=120)) as centre:
        vault = await centre.till(is_vault=True)
        await centre.customer(7, 100, 100, home="store-1")
        (grant,) = (await vault.pull()).grants
        assert grant.points == 120
        await centre.post(vault, vault.sale("s1", account=7, sources=[take(grant, 50)]))
        (more,) = (await vault.pull()).grants  # filled up again after the visit
        assert more.points == 50
        assert await centre.totals(7) == Totals(200 - 50 + 95, 120)


async def test_too_few_points_to_be_worth_a_grant_wait_until_they_are_enough(pool: Pool) -> None:
    settings = RightsSettings(grant_points_min=50)
    async with joined_centre(pool, settings) as centre:
        vault = await centre.till(is_vault=True)
        await centre.customer(7, 49, home="store-1")
        assert (await vault.pull()).grants == ()
        assert (await plan_all(centre.pool, now_ms=NOW_MS, settings=settings)).wished == 0
        assert await centre.totals(7) == Totals(49)
        await centre.post(vault, vault.sale("s1", account=7))
        (grant,) = (await vault.pull()).grants
        assert await centre.totals(7) == Totals(grant.points, grant.points)
        assert grant.points > 49


async def test_what_a_few_spent_points_leave_room_for_waits_too(pool: Pool) -> None:
    settings = RightsSettings(grant_points_max=120, grant_points_min=50)
    async with joined_centre(pool, settings) as centre:
        vault = await centre.till(is_vault=True)
        await centre.customer(7, 100, 100, home="store-1")
        (grant,) = (await vault.pull()).grants
        await centre.post(vault, vault.sale("s1", account=7, sources=[take(grant, 49)]))
        assert (await vault.pull()).grants == ()
        await centre.post(vault, vault.sale("s2", account=7, sources=[take(grant, 1)]))
        (more,) = (await vault.pull()).grants
        assert more.points == 50


async def test_only_lots_that_outlive_the_grant_and_the_longest_first(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    ends = ["2025-03-19", "2025-03-20", "2025-12-31"]  # the grant ends on 2025-03-19
    await centre.customer(7, 200, 200, 200, 200, home="store-1", ends=ends)
    (grant,) = (await vault.pull()).grants
    assert [(lot.expires_on, lot.points) for lot in grant.lots] == [
        ("2025-03-20", 100),
        ("2025-12-31", 200),
        ("", 200),
    ]
    assert await centre.lots(7) == [
        LotState(200),
        LotState(100, 100),
        LotState(0, 200),
        LotState(0, 200),
    ]
    await centre.customer(8, 200, home="store-1", ends=["2025-03-19"])
    assert [more for more in (await vault.pull()).grants if more != grant] == []


async def test_with_two_vaults_the_accounts_number_chooses_one(centre: JoinedCentre) -> None:
    first, second = await centre.till(is_vault=True), await centre.till(is_vault=True)
    for account_id in range(10, 16):
        await centre.customer(account_id, 100, home="store-1")
    got = [{grant.account_id for grant in (await vault.pull()).grants} for vault in (first, second)]
    assert got == [{10, 12, 14}, {11, 13, 15}]


async def test_a_blocked_customers_points_are_not_set_aside(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    await centre.pool.execute("update account set blocked = true")
    assert (await vault.pull()).grants == ()


async def test_the_work_of_one_pull_is_bounded(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(grants_per_pull_max=2)) as centre:
        vault = await centre.till(is_vault=True)
        for account_id in range(1, 6):
            await centre.customer(account_id, 100, home="store-1")
        got = []
        while grants := (await vault.pull()).grants:
            got.append(sorted(grant.account_id for grant in grants))
            await sync(centre, vault)
        assert got == [[1, 2], [3, 4], [5]]


# How they come home


async def test_a_return_brings_home_what_it_states(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    sold = vault.sale("s1", account=7, sources=[take(grant, 50)])
    assert await centre.post(vault, vault.give_back(grant, 200)) == [ACCEPTED]
    # The sale took 50 before the rest was given back; its record may well be applied later.
    assert await centre.totals(7) == Totals(300, 100)
    assert await centre.post(vault, sold) == [ACCEPTED]
    assert await centre.totals(7) == Totals(250 + 95, 50)


async def test_a_return_never_brings_home_more_than_the_grant_has(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    sold = vault.sale("s1", account=7, sources=[take(grant, 250)])
    assert await centre.post(vault, sold, vault.give_back(grant, 200)) == [
        ACCEPTED,
        ("adjusted", "the grant had fewer points", -150),
    ]
    assert await centre.totals(7) == Totals(50 + 75)
    assert await centre.post(vault, vault.give_back(grant, 1)) == [
        ("adjusted", "the grant had fewer points", -1)
    ]


async def test_a_return_whose_lots_do_not_add_up_is_rejected(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    lying = vault.give_back(grant, 300)
    few = type(lying)(
        at_ms=lying.at_ms, grant_id=lying.grant_id, points=10, why="expired", lots=lying.lots
    )
    assert await centre.post(vault, few) == [
        ("rejected_kept", "its lots do not add up to its points", 0)
    ]
    assert await centre.totals(7) == Totals(300, 300)


async def test_nobody_else_returns_or_receives_a_grant(centre: JoinedCentre) -> None:
    vault, other = await centre.till(is_vault=True), await centre.till(greet=False)
    other.open_stream(1, incarnation=vault.incarnation)  # drawn alike by chance
    await other.hello()
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    no_such = ("rejected_kept", "no such grant of this till", 0)
    received = GrantInRecord(at_ms=NOW_MS, grant_id=grant.grant_id)
    assert await centre.post(other, received, other.give_back(grant)) == [no_such, no_such]
    vault.open_stream(2)
    await vault.hello()
    assert await centre.post(vault, vault.give_back(grant)) == [no_such]
    assert await centre.totals(7) == Totals(300, 300)


async def test_grants_of_an_earlier_session_that_never_arrived_come_home(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await sync(centre, vault)
    await centre.customer(7, 300, home="store-1")
    await centre.customer(8, 200, home="store-1")
    issued = (await vault.pull(receive=False)).grants
    received, lost = sorted(issued, key=lambda grant: grant.account_id)
    vault.receive(received)
    await vault.hello()
    await sync(centre, vault)
    (again,) = (await vault.pull()).grants  # the points of 8, under a new grant
    assert (again.account_id, again.points) == (8, 200)
    assert again.grant_id != lost.grant_id
    rows = await centre.pool.fetch("select grant_id from right_grant where state = 'returned'")
    assert [row["grant_id"] for row in rows] == [lost.grant_id]
    assert await centre.totals(7) == Totals(300, 300)
    assert await centre.totals(8) == Totals(200, 200)


async def test_a_grant_whose_arrival_is_handed_in_and_not_applied_yet_stays_out(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    await vault.push()
    await vault.hello()  # the centre has everything, and has applied nothing of it
    await vault.pull()
    assert await outstanding(centre, grant) == 300
    paid = vault.sale("s1", account=7, sources=[take(grant)])
    assert await centre.post(vault, paid) == [ACCEPTED]
    assert await centre.totals(7) == Totals(70)


async def test_a_grant_whose_arrival_the_till_has_not_handed_in_yet_stays_out(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await sync(centre, vault)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    assert (await vault.hello()).verified
    await vault.pull()  # out of turn: the record of the arrival is still on the till
    assert await outstanding(centre, grant) == 300
    await sync(centre, vault)
    await vault.pull()
    assert await outstanding(centre, grant) == 300


async def test_a_late_copy_of_a_hello_brings_nothing_home(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await sync(centre, vault)
    vault.session = NO_SESSION
    hello = vault.request(PATH_HELLO, vault.hello_message())
    vault.session = (await vault.send(hello, HelloAnswer)).session
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    copy = await vault.send(hello, HelloAnswer)
    assert (copy.verdict, copy.verified) == ("ok", True)  # nobody has its session's number
    assert await outstanding(centre, grant) == 300
    with pytest.raises(RefusedError, match="session_unknown"):
        await vault.pull()
    await vault.hello()
    await sync(centre, vault)
    await vault.pull()
    assert await outstanding(centre, grant) == 300


async def test_a_slow_pull_of_an_ended_session_neither_gives_nor_takes(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await sync(centre, vault)
    ended = Holder(till_id=vault.till_id, incarnation=vault.incarnation, session=vault.session)
    await vault.hello()
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    await centre.customer(8, 200, home="store-1")
    rights = centre.parts.desk.rights  # the old session's pull was let in before the HELLO
    await rights.close_unreceived(ended)
    assert await rights.grants_for(ended) == ()
    assert await outstanding(centre, grant) == 300
    assert await centre.totals(8) == Totals(200)
    assert [more.account_id for more in (await vault.pull()).grants if more != grant] == [8]


# The risk budget


async def test_the_budget_is_filled_up_by_what_is_settled(centre: JoinedCentre) -> None:
    await centre.fund(10_000)
    till = await centre.till(greet=False)
    assert (await till.hello()).risk_points_total == 500
    assert (await till.hello()).risk_points_total == 500
    await centre.customer(7, 1_000)
    sales = [till.sale(f"s{n}", account=7, sources=[risk(100)]) for n in (1, 2, 3)]
    await centre.post(till, *sales)
    assert await centre.risk_pool() == PoolState(9_800, 200)
    assert (await till.hello()).risk_points_total == 800
    assert await centre.risk_pool() == PoolState(9_500, 500)


async def test_risk_beyond_the_budget_frees_nothing_that_was_not_reserved(
    centre: JoinedCentre,
) -> None:
    await centre.fund(600)
    till = await centre.till()
    await centre.customer(7, 1_000)
    sales = [till.sale(f"s{n}", account=7, sources=[risk(300)]) for n in (1, 2)]
    await centre.post(till, *sales)
    assert await centre.risk_pool() == PoolState(600)


async def test_an_empty_pool_gives_no_budget(centre: JoinedCentre) -> None:
    await centre.fund(700)
    first, second, third = [await centre.till(greet=False) for _ in range(3)]
    assert (await first.hello()).risk_points_total == 500
    assert (await second.hello()).risk_points_total == 200
    assert (await third.hello()).risk_points_total == 0
    assert await centre.risk_pool() == PoolState(0, 700)


async def test_tills_that_come_at_once_never_get_more_than_the_pool_has(
    centre: JoinedCentre,
) -> None:
    await centre.fund(1_200)
    tills = [await centre.till(greet=False) for _ in range(5)]
    # However slowly they go: none is told to come again.
    centre.parts.desk.front.others = Door(running_max=2, waiting_max=9, wait_s_max=600.0)
    answers = await asyncio.gather(*(till.hello() for till in tills))
    assert sorted(answer.risk_points_total for answer in answers) == [0, 0, 200, 500, 500]
    assert await centre.risk_pool() == PoolState(0, 1_200)


async def test_no_budget_without_a_verified_session(centre: JoinedCentre) -> None:
    await centre.fund(1_000)
    till = await centre.till(greet=False)
    till.acked = 1  # it remembers an acknowledgement the centre knows nothing of
    answer = await till.hello()
    assert (answer.verdict, answer.risk_points_total) == ("rewind", 0)
    assert await centre.risk_pool() == PoolState(1_000)


async def test_a_grant_whose_receipt_is_not_applied_yet_is_not_brought_home(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    await vault.push()  # kept, not applied: the till holds the grant
    await vault.hello()
    await vault.pull()
    assert await outstanding(centre, grant) == 300
    await centre.apply()
    await vault.pull()
    assert await outstanding(centre, grant) == 300


async def test_a_new_vault_is_given_the_customers_its_store_already_has(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, home="store-1")
    vault = await centre.till(is_vault=True)
    (grant,) = (await vault.pull()).grants
    assert (grant.account_id, grant.points) == (7, 300)


async def test_a_second_vault_takes_no_customer_whose_points_the_first_holds(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, home="store-1")
    first = await centre.till(is_vault=True)
    await sync(centre, first)
    assert (await first.pull()).grants
    second = await centre.till(is_vault=True)
    assert (await second.pull()).grants == ()
    assert await centre.totals(7) == Totals(300, 300)


async def test_a_revoked_till_learns_nothing_of_customers(centre: JoinedCentre, pool: Pool) -> None:
    await centre.customer(7, 300, home="store-1")
    till = await centre.till(is_vault=True)
    await pool.execute("update till set revoked = true where till_id = $1", till.till_id)
    answer = await till.pull()
    assert (answer.accounts, answer.grants) == ((), ())
