"""Which store's vault holds an account's points: where it is seen most, one store at a time."""

import random
from collections import defaultdict
from datetime import date, timedelta

import pytest

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.ledger.account_books import AccountBooks
from central.rights import planner
from central.rights.blocking import set_blocked
from central.rights.home_books import HomeBooks
from central.rights.issuing import DAY_MS, RightsSettings
from central.rights.planner import INTEREST_DAYS, Planned, plan_all, plan_step, plan_turn
from central.rights.right_books import RightBooks, RightsAsked
from central.rights.tending import tend
from central.rights.write_offs import held_by, write_off
from sync.messages import Grant
from tests.support.centre import NOW_MS, JoinedCentre, Totals
from tests.support.explained import plan_by_indexes, read_whole
from tests.support.till_probe import TillProbe, take

QUERIES = load_queries("central.rights", "queries.sql")
ACCEPTED = ("accepted", "", 0)
TODAY = date(2025, 3, 5)
SETTINGS = RightsSettings()


async def shop(
    centre: JoinedCentre, account_id: int, store: str, day: date, *, today: date | None = None
) -> str:
    """Count a visit; returns the account's home."""
    now_ms = NOW_MS + ((today or day) - TODAY).days * DAY_MS
    async with centre.pool.acquire() as connection, connection.transaction():
        books = await AccountBooks.lock(connection, [account_id])
        (account,) = books.accounts.values()
        rights = RightBooks(books)
        await rights.read(connection, RightsAsked(visited={account_id}))
        homes = HomeBooks(rights)
        await homes.read(connection, [account], {store})
        homes.visit(account, store_id=store, day=day.isoformat(), now_ms=now_ms)
        await books.write(connection)
        await homes.write(connection)
        await rights.write(connection)
        return account.home_store


async def handed_in(centre: JoinedCentre, till: TillProbe) -> tuple[Grant, ...]:
    """Let a till talk: pull, hand in, have it applied; returns the grants it got."""
    answer = await till.pull()
    for grant_id in answer.recalls:
        till.append(till.give_back(till.grants[grant_id]))
    if len(till.bodies) > till.acked:
        await till.push()
    await centre.apply()
    return answer.grants


async def held_at(centre: JoinedCentre, account_id: int) -> dict[int, int]:
    """Return how many points of an account are held, by till."""
    rows = await centre.pool.fetch(
        "select till_id, sum(outstanding)::bigint as points from right_grant"
        " where account_id = $1 and outstanding > 0 group by till_id",
        account_id,
    )
    return {row["till_id"]: row["points"] for row in rows}


async def two_stores(centre: JoinedCentre) -> tuple[TillProbe, TillProbe]:
    await centre.store("store-2")
    first = await centre.till(is_vault=True)
    second = await centre.till("store-2", is_vault=True)
    return first, second


# Where an account is at home


def decayed_homes(visits: list[tuple[date, str, int]], day: date) -> list[str]:
    """Homes worked out anew, each visit halved every 60 days: another way than the product's."""
    weights: defaultdict[str, float] = defaultdict(float)
    for seen, store, times in visits:
        weights[store] += times * 0.5 ** ((day - seen).days / 60)
    best = max(weights.values())
    return [store for store in weights if weights[store] >= best * (1 - 1e-12)]


@pytest.mark.parametrize("late", [False, True])
async def test_half_a_year_of_visits_leaves_everybody_at_home_where_they_go_most(
    centre: JoinedCentre, seed: int, *, late: bool
) -> None:
    draws = random.Random(seed)
    stores = ["store-1", "store-2", "store-3", "store-4"]
    for store in stores[1:]:
        await centre.store(store)
    moves = visits_made = 0
    for account_id in range(11, 19):
        await centre.customer(account_id, 300, home="store-1")
        home, day = "store-1", TODAY
        seen = [(TODAY, "store-1", 3)]  # it was named
        habits = draws.sample(stores, 4)
        while (day := day + timedelta(days=draws.randrange(1, 6))) < TODAY + timedelta(days=183):
            if (day - TODAY).days > 90 and draws.random() < 0.03:
                habits = draws.sample(stores, 4)  # moved house
            store = draws.choices(habits, [72, 15, 6, 7])[0]
            # What a till without a line sold arrives days later, in any order.
            sold = day - timedelta(days=draws.randrange(10) if late else 0)
            sold = max(sold, TODAY)
            seen.append((sold, store, 1))
            new = await shop(centre, account_id, store, sold, today=day)
            assert new in decayed_homes(seen, day), (account_id, day)
            moves += new != home
            visits_made += 1
            home = new
    assert moves
    assert visits_made > 300
    stored = await centre.pool.fetchval("select count(distinct home_store) from account")
    assert stored > 1


async def test_a_visit_of_a_day_to_come_weighs_as_one_of_today(centre: JoinedCentre) -> None:
    await centre.store("store-2")
    await centre.customer(7, 100, home="store-1")
    ten_years = TODAY + timedelta(days=3_650)
    assert await shop(centre, 7, "store-2", ten_years, today=TODAY) == "store-1"
    weights = await centre.pool.fetch("select weight from account_visit order by store_id")
    assert weights[0]["weight"] == 3 * weights[1]["weight"]
    # Nor does one of long ago, from a clock that was put back, count for much.
    assert await shop(centre, 7, "store-2", date(1970, 1, 1), today=TODAY) == "store-1"


async def test_old_habits_fade(centre: JoinedCentre) -> None:
    await centre.store("store-2")
    await centre.customer(7, 100)
    for days in range(0, 40, 2):
        await shop(centre, 7, "store-1", TODAY + timedelta(days=days))
    day = TODAY + timedelta(days=300)
    homes = [await shop(centre, 7, "store-2", day + timedelta(days=n)) for n in range(3)]
    # 20 visits weigh about 0.8 of one after 280 days.
    assert homes == ["store-2"] * 3


# Points follow


async def test_points_move_when_the_home_moves_and_only_when_the_old_store_gave_them_back(
    centre: JoinedCentre,
) -> None:
    first, second = await two_stores(centre)
    await centre.customer(7, 300, home="store-1")
    await handed_in(centre, first)
    assert await held_at(centre, 7) == {first.till_id: 300}
    for number in range(4):  # three visits named the first store its home
        await centre.post(second, second.sale(f"s{number}", account=7))
    assert await centre.pool.fetchval("select home_store from account") == "store-2"
    # Not split: what was earned since waits at the centre until the old vault has answered.
    assert await handed_in(centre, second) == ()
    assert await held_at(centre, 7) == {first.till_id: 300}
    await handed_in(centre, first)
    assert await held_at(centre, 7) == {}
    (grant,) = await handed_in(centre, second)
    assert grant.points == 500  # the cap, out of 300 + 400
    assert await held_at(centre, 7) == {second.till_id: 500}


async def test_what_the_old_store_sold_before_it_was_asked_back_is_honoured(
    centre: JoinedCentre,
) -> None:
    first, second = await two_stores(centre)
    await centre.customer(7, 300, home="store-1")
    (grant,) = await handed_in(centre, first)
    for number in range(4):
        await centre.post(second, second.sale(f"s{number}", account=7))
    sale = first.sale("s9", account=7, sources=[take(grant, 200)])
    assert await centre.post(first, sale) == [ACCEPTED]
    assert await held_at(centre, 7) == {first.till_id: 100}
    assert (await centre.totals(7)).posted == 300 + 400 - 200 + 80


async def test_a_new_home_need_not_wait_for_a_store_that_is_not_heard_of(
    centre: JoinedCentre,
) -> None:
    first, second = await two_stores(centre)
    await centre.customer(7, 300, home="store-1")
    await handed_in(centre, first)
    for number in range(4):
        await centre.post(second, second.sale(f"s{number}", account=7))
    centre.system.pass_days(SETTINGS.grant_days + 1)
    await tend(centre.pool, now_ms=centre.system.now_ms(), settings=SETTINGS)
    (grant,) = await handed_in(centre, second)
    assert grant.points == 400  # what the silent store holds stays held
    assert await held_at(centre, 7) == {first.till_id: 300, second.till_id: 400}


async def test_a_wish_of_an_account_that_moved_away_is_dropped(centre: JoinedCentre) -> None:
    first, second = await two_stores(centre)
    await centre.customer(7, 300, home="store-1")
    for number in range(4):
        await centre.post(second, second.sale(f"s{number}", account=7))
    assert await handed_in(centre, first) == ()
    assert [grant.account_id for grant in await handed_in(centre, second)] == [7]


async def test_each_account_of_a_store_with_two_vaults_is_held_by_one(
    centre: JoinedCentre,
) -> None:
    one, other = await centre.till(is_vault=True), await centre.till(is_vault=True)
    for account_id in range(11, 21):
        await centre.customer(account_id, 100, home="store-1")
    for vault in (one, other):
        assert {grant.account_id % 2 for grant in await handed_in(centre, vault)} == {
            0 if vault is one else 1
        }
    for account_id in range(11, 21):
        assert len(await held_at(centre, account_id)) == 1


# A register's machine is replaced


async def test_the_machine_that_takes_a_registers_place_holds_what_its_customers_have(
    centre: JoinedCentre,
) -> None:
    dead = await centre.till(is_vault=True, slot="1")
    for account_id in (10, 11):
        await centre.customer(account_id, 100, home="store-1")
    await handed_in(centre, dead)
    for account_id in (12, 13):
        await centre.customer(account_id, 100, home="store-1")
    new = await centre.till(is_vault=True, slot="1")
    assert sorted(each.account_id for each in await handed_in(centre, new)) == [12, 13]
    await centre.customer(14, 100, home="store-1")
    assert [each.account_id for each in await handed_in(centre, new)] == [14]
    # Somebody knows that the disk is destroyed.
    await centre.fund(1_000)
    held = await held_by(centre.pool, dead.till_id)
    assert (await write_off(centre.pool, held, now_ms=NOW_MS)).points == 200
    assert sorted(each.account_id for each in await handed_in(centre, new)) == [10, 11]


async def test_of_several_vaults_only_the_replaced_ones_share_moves(centre: JoinedCentre) -> None:
    old, other = await centre.till(is_vault=True), await centre.till(is_vault=True)
    for account_id in (10, 11, 12, 13):
        await centre.customer(account_id, 100, home="store-1")
    for vault in (old, other):
        await handed_in(centre, vault)
    new = await centre.till(is_vault=True, slot="1")
    done = await plan_all(centre.pool, now_ms=NOW_MS, settings=SETTINGS)
    assert done == Planned(accounts=4, moved=2, round_complete=True)
    for till in (old, other, new):
        await handed_in(centre, till)
    for account_id in (10, 11, 12, 13):
        holder = other if account_id % 2 else new
        assert await held_at(centre, account_id) == {holder.till_id: 100}


async def test_a_machine_that_was_replaced_and_comes_back_sells_and_holds_no_points_of_its_own(
    centre: JoinedCentre,
) -> None:
    old = await centre.till(is_vault=True, slot="1")
    await centre.customer(7, 300, home="store-1")
    (grant,) = await handed_in(centre, old)
    new = await centre.till(is_vault=True, slot="1")
    await plan_all(centre.pool, now_ms=NOW_MS, settings=SETTINGS)
    assert (await old.hello()).verdict == "ok"
    sale = old.sale("s1", account=7, sources=[take(grant, 100)])
    assert await centre.post(old, sale) == [ACCEPTED]
    assert (await old.pull()).recalls == (grant.grant_id,)
    await centre.post(old, old.give_back(grant, 200))
    assert await handed_in(centre, old) == ()
    assert [each.points for each in await handed_in(centre, new)] == [300 - 100 + 20 + 70]
    assert set(await held_at(centre, 7)) == {new.till_id}


async def test_where_no_vault_takes_the_place_another_one_of_the_store_does(
    centre: JoinedCentre,
) -> None:
    old, other = await centre.till(is_vault=True), await centre.till(is_vault=True)
    await centre.customer(10, 100, home="store-1")
    await centre.till(is_vault=False, slot="1")
    assert await handed_in(centre, old) == ()
    assert [each.account_id for each in await handed_in(centre, other)] == [10]


async def test_a_wish_at_a_till_that_is_no_vault_any_more_is_wished_anew(
    centre: JoinedCentre,
) -> None:
    old = await centre.till(is_vault=True, slot="1")
    await centre.customer(10, 100, home="store-1")
    new = await centre.till(is_vault=True, slot="1")
    # A batch that was posted beside the enrolment knew the old one.
    await centre.pool.execute("update grant_wish set till_id = $1", old.till_id)
    done = await plan_all(centre.pool, now_ms=NOW_MS, settings=SETTINGS)
    assert done.wished == 1
    assert [each.account_id for each in await handed_in(centre, new)] == [10]


async def test_a_new_vault_reads_its_stores_accounts_alone(centre: JoinedCentre) -> None:
    if await centre.pool.fetchval("select is_spread()"):
        pytest.skip("indexes of one machine's database are looked at")
    asked = ("store-1", 2, 0, 1_000)
    async with centre.pool.acquire() as connection:
        plan = await plan_by_indexes(connection, QUERIES["share_to_wish_for"], *asked)
    assert "account_by_home" in plan, plan
    assert not read_whole(plan), plan


async def test_of_very_many_customers_the_planner_wishes_for_the_rest(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "WISHES_MAX", 3)
    for account_id in range(1, 6):
        await centre.customer(account_id, 100, home="store-1")
    await centre.till(is_vault=True)
    assert await centre.pool.fetchval("select count(*) from grant_wish") == 3
    done = await plan_all(centre.pool, now_ms=NOW_MS, settings=SETTINGS)
    assert done.wished == 2


# The regular step


async def test_a_second_vault_takes_over_its_share_at_the_next_round(
    centre: JoinedCentre,
) -> None:
    one = await centre.till(is_vault=True)
    for account_id in (10, 11):
        await centre.customer(account_id, 100, home="store-1")
    await handed_in(centre, one)
    other = await centre.till(is_vault=True)
    done = await plan_all(centre.pool, now_ms=NOW_MS, settings=SETTINGS)
    assert done == Planned(accounts=2, moved=1, round_complete=True)
    assert await handed_in(centre, other) == ()
    await handed_in(centre, one)
    await handed_in(centre, other)
    assert await held_at(centre, 10) == {one.till_id: 100}
    assert await held_at(centre, 11) == {other.till_id: 100}


async def test_points_that_came_home_at_their_end_are_set_aside_again(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = await handed_in(centre, vault)
    await centre.post(vault, vault.give_back(grant))
    assert await handed_in(centre, vault) == ()
    done = await plan_all(centre.pool, now_ms=NOW_MS, settings=SETTINGS)
    assert done == Planned(accounts=1, wished=1, round_complete=True)
    assert [grant.points for grant in await handed_in(centre, vault)] == [300]
    again = await plan_all(centre.pool, now_ms=NOW_MS, settings=SETTINGS)
    assert again == Planned(accounts=1, round_complete=True)


async def test_what_came_home_because_its_time_was_over_is_wished_for_at_once(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = await handed_in(centre, vault)
    centre.system.pass_days(SETTINGS.grant_days)
    await centre.post(vault, vault.give_back(grant))
    (again,) = await handed_in(centre, vault)
    assert (again.points, again.grant_id != grant.grant_id) == (300, True)
    # Nobody was here for half a year: what is his stays at the centre.
    centre.system.pass_days(INTEREST_DAYS + 1)
    await centre.post(vault, vault.give_back(again))
    assert await handed_in(centre, vault) == ()


async def test_what_was_asked_back_is_not_wished_for_by_the_way(centre: JoinedCentre) -> None:
    vault, other = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    (grant,) = await handed_in(centre, vault)
    assert (await other.authorise("s1", 7, 200)).held_elsewhere_points == 300
    await centre.post(vault, vault.give_back(grant))
    assert await handed_in(centre, vault) == ()
    assert (await other.authorise("s1", 7, 200)).authorisations[0].points == 200


async def test_a_round_over_many_accounts_takes_a_day(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "ACCOUNTS_AT_ONCE", 2)
    monkeypatch.setattr(planner, "TURNS_A_DAY", 2)
    for account_id in range(1, 11):
        await centre.customer(account_id, 10, home="store-1")
    looked_at = []
    for _ in range(8):
        planned = await plan_turn(centre.pool, now_ms=NOW_MS, settings=SETTINGS)
        looked_at.append((planned.accounts, planned.round_complete))
    # How many there are the first round finds out; from then on two turns take them all.
    assert looked_at == [
        (2, False), (2, False), (4, False), (2, True), (6, False), (4, True), (6, False), (4, True),
    ]  # fmt: skip


async def test_nothing_is_set_aside_for_who_was_not_seen_for_long(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    (grant,) = await handed_in(centre, vault)
    await centre.post(vault, vault.give_back(grant))
    done = await plan_all(centre.pool, now_ms=NOW_MS + 181 * DAY_MS, settings=SETTINGS)
    assert done.wished == 0


async def test_steps_go_round_over_all_accounts_in_bounded_bits(centre: JoinedCentre) -> None:
    await centre.till(is_vault=True)
    for account_id in range(1, 8):
        await centre.customer(account_id, 10, home="store-1")
    await centre.pool.execute("delete from grant_wish")
    steps = [
        await plan_step(centre.pool, now_ms=NOW_MS, settings=SETTINGS, accounts_max=3)
        for _ in range(4)
    ]
    assert [(step.accounts, step.wished, step.round_complete) for step in steps] == [
        (3, 3, False),
        (3, 3, False),
        (1, 1, True),
        (3, 0, False),
    ]
    assert await centre.pool.fetchval("select count(*) from grant_wish") == 7


async def test_a_store_forgets_whom_it_has_not_seen_for_half_a_year_unless_it_was_named(
    centre: JoinedCentre,
) -> None:
    for store in ("store-2", "store-3"):
        await centre.store(store)
    await centre.customer(7, 300, home="store-1")
    await shop(centre, 7, "store-2", TODAY)
    for days in range(4):
        await shop(centre, 7, "store-3", TODAY + timedelta(days=days))

    async def kept() -> list[str]:
        rows = await centre.pool.fetch("select store_id from store_interest order by store_id")
        return [row["store_id"] for row in rows]

    assert await kept() == ["store-1", "store-2", "store-3"]
    now_ms = NOW_MS + 180 * DAY_MS
    assert (await plan_all(centre.pool, now_ms=now_ms, settings=SETTINGS)).forgotten == 0
    done = await plan_all(centre.pool, now_ms=now_ms + 10 * DAY_MS, settings=SETTINGS)
    assert done.forgotten == 1
    assert await kept() == ["store-1", "store-3"]  # named, and home


# Blocked accounts


async def test_a_block_asks_back_what_tills_hold_and_honours_what_they_sold_before(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1", card="4000")
    (grant,) = await handed_in(centre, vault)
    async with centre.pool.acquire() as connection, connection.transaction():
        assert await set_blocked(connection, 7, blocked=True)
    sale = vault.sale("s1", account=7, sources=[take(grant, 100)])
    assert await centre.post(vault, sale) == [ACCEPTED]
    assert await centre.totals(7) == Totals(200 + 90, 200)
    answer = await vault.pull()
    assert answer.recalls == (grant.grant_id,)
    assert [row.blocked for row in answer.accounts] == [True]
    await centre.post(vault, vault.give_back(grant, 200))
    assert await handed_in(centre, vault) == ()
    assert await centre.totals(7) == Totals(290)
    async with centre.pool.acquire() as connection, connection.transaction():
        assert await set_blocked(connection, 7, blocked=False)
        assert not await set_blocked(connection, 7, blocked=False)
    assert [grant.points for grant in await handed_in(centre, vault)] == [290]


async def test_only_accounts_there_are_can_be_blocked(pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(LookupError):
            await set_blocked(connection, 7, blocked=True)
