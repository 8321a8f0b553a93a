"""Accounts that become one and two again, cards that move: no point is lost, none is made."""

import asyncio

import msgspec
import pytest

from central.errors import BadRequestError, NotFoundError
from central.ledger.card_moves import move_card, undo_move
from central.ledger.merging import (
    Merged,
    Restored,
    list_merges,
    merge_accounts,
    undo_merge,
)
from central.rights.issuing import RightsSettings
from central.rights.tending import tend
from sync.messages import SnapshotAnswer, SnapshotRequest
from sync.records import SaleRecord
from tests.support.centre import JoinedCentre, LotState, Totals
from tests.support.till_probe import TillProbe, take

ACCEPTED = ("accepted", "", 0)
OLD, NEW = 7, 8


async def merged(centre: JoinedCentre, old: int = OLD, new: int = NEW) -> Merged:
    now_ms = centre.system.now_ms()
    return await merge_accounts(
        centre.pool, old, new, person="ann", reason="one customer", now_ms=now_ms
    )


async def undone(centre: JoinedCentre, merge_id: int) -> Restored:
    now_ms = centre.system.now_ms()
    return await undo_merge(centre.pool, merge_id, person="bob", now_ms=now_ms)


async def known_as(till: TillProbe, card: str) -> int:
    answer = await till.ask(
        "/v1/till/snapshot", SnapshotRequest(card=till.card(card)), SnapshotAnswer
    )
    assert answer.account is not None
    return answer.account.snapshot.account_id


async def two(centre: JoinedCentre, *, home: str = "") -> None:
    await centre.customer(OLD, 100, 200, card="old", home=home)
    await centre.customer(NEW, 50, card="new", home=home)


async def born(centre: JoinedCentre, account_id: int, day: str) -> None:
    await centre.load({
        "kind": "account", "account_id": account_id, "home_store": "", "birthday": day,
    })  # fmt: skip


async def birthdays(centre: JoinedCentre) -> dict[int, str]:
    rows = await centre.pool.fetch("select account_id, month_day from account_birthday")
    return {row["account_id"]: row["month_day"] for row in rows}


async def test_points_cards_and_purchases_go_over(centre: JoinedCentre) -> None:
    await two(centre)
    till = await centre.till()
    await centre.post(till, till.sale("s1", account=OLD, card="old"))
    done = await merged(centre)
    assert (done.points, done.held, done.cards, done.receipts) == (400, 0, 1, 1)
    assert await centre.totals(OLD) == Totals(0)
    assert await centre.totals(NEW) == Totals(450)
    assert await known_as(till, "old") == await known_as(till, "new") == NEW
    row = await centre.pool.fetchrow(
        "select purchases, merged_into from account where account_id = $1", OLD
    )
    assert row is not None
    assert tuple(row) == (0, NEW)


async def test_a_till_that_still_knows_the_old_account_sells_to_it_as_before(
    centre: JoinedCentre,
) -> None:
    await two(centre)
    till = await centre.till()
    await merged(centre)
    assert await centre.post(till, till.sale("s1", account=OLD, card="old")) == [ACCEPTED]
    assert await centre.totals(NEW) == Totals(350 + 100)
    account = "select account_id from receipt where sale_key = 's1'"
    assert await centre.pool.fetchval(account) == NEW


async def test_points_are_authorised_for_the_account_the_till_asks_for(
    centre: JoinedCentre,
) -> None:
    await two(centre)
    till = await centre.till()
    await merged(centre)
    (right,) = (await till.authorise("s1", OLD, 350)).authorisations
    assert (right.account_id, right.points) == (OLD, 350)
    assert (await till.authorise("s1", OLD, 350)).authorisations == (right,)
    sale = till.sale("s1", account=OLD, sources=[take(right)])
    assert await centre.post(till, sale) == [ACCEPTED]
    assert (await centre.totals(NEW)).held == 0


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_grant_in_flight_is_spent_and_its_rest_comes_home(
    centre: JoinedCentre, when: str
) -> None:
    await two(centre, home="store-1")
    vault = await centre.till(is_vault=True)
    grants = {grant.account_id: grant for grant in (await vault.pull()).grants}
    grant = grants[OLD]
    sale = vault.sale("s1", account=OLD, sources=[take(grant, 120)])
    if when == "before":
        assert (await centre.post(vault, sale))[-1] == ACCEPTED
        await merged(centre)
    else:
        await merged(centre)
        assert (await centre.post(vault, sale))[-1] == ACCEPTED
    assert (await centre.totals(NEW)).held == 180 + 50
    # The till is asked to give it back, and may then have it for the account as it is now.
    assert grant.grant_id in (await vault.pull(receive=False)).recalls
    held = (await centre.totals(NEW)).held
    assert await centre.post(vault, vault.give_back(grant, 180)) == [ACCEPTED]
    assert (await centre.totals(NEW)).held == held - 180


async def test_an_authorisation_in_flight_is_released_by_its_receipt(centre: JoinedCentre) -> None:
    await two(centre)
    till = await centre.till()
    (right,) = (await till.authorise("s1", OLD, 200)).authorisations
    done = await merged(centre)
    assert done.held == 200
    assert await centre.totals(NEW) == Totals(350, 200)
    sale = till.sale("s1", account=OLD, sources=[take(right, 150)])
    assert await centre.post(till, sale) == [ACCEPTED]
    assert await centre.totals(NEW) == Totals(350 - 150 + 85)


async def test_a_void_releases_what_was_authorised_before_the_merge(centre: JoinedCentre) -> None:
    await two(centre)
    till = await centre.till()
    await till.authorise("s1", OLD, 200)
    await merged(centre)
    await centre.post(till, till.void("s1"))
    assert await centre.totals(NEW) == Totals(350)


async def test_goods_bought_before_come_back_after(centre: JoinedCentre) -> None:
    await two(centre)
    till = await centre.till()
    (right,) = (await till.authorise("s1", OLD, 300)).authorisations
    await centre.post(till, till.sale("s1", account=OLD, sources=[take(right)]))
    await merged(centre)
    before = await centre.totals(NEW)
    outcomes = await centre.post(till, till.refund("r1", "s1"))
    assert outcomes[0].outcome == "accepted"
    assert await centre.totals(NEW) == Totals(before.posted + 300 - 70)


async def test_counters_and_debt_add_up(centre: JoinedCentre) -> None:
    await two(centre)
    for account_id, value in ((OLD, 2), (NEW, 3)):
        await centre.pool.execute(
            "insert into account_counter values ($1, 'stamps:a', $2, '', '2025-03-01', 'x')",
            account_id, value,
        )  # fmt: skip
    till = await centre.till()
    await centre.post(till, till.sale("s1", account=OLD))
    (right,) = (await till.authorise("s2", OLD, 400)).authorisations
    await centre.post(till, till.sale("s2", account=OLD, sources=[take(right)]))
    await centre.post(till, till.refund("r1", "s1"))
    owed = (await centre.totals(OLD)).debt
    assert owed > 0
    done = await merged(centre)
    assert (done.debt, (await centre.totals(NEW)).debt) == (owed, owed)
    of_card = "select value from account_counter where account_id = $1 and name = 'stamps:a'"
    assert await centre.pool.fetchval(of_card, NEW) == 5
    back = await undone(centre, done.merge_id)
    assert (back.debt, (await centre.totals(OLD)).debt) == (owed, owed)
    assert [await centre.pool.fetchval(of_card, each) for each in (OLD, NEW)] == [2, 3]


async def test_tills_of_all_stores_hear_of_it(centre: JoinedCentre) -> None:
    await centre.store("store-2")
    await centre.customer(OLD, 100, card="old", home="store-1")
    await centre.customer(NEW, 50, card="new", home="store-2")
    here, there = await centre.till(), await centre.till("store-2")
    for till in (here, there):
        await till.pull()
    await merged(centre)
    for till in (here, there):
        rows = (await till.pull()).accounts
        assert {row.card: row.snapshot.account_id for row in rows} == {
            till.card("old"): NEW, till.card("new"): NEW,
        }  # fmt: skip


# Refused


async def test_what_cannot_be_merged_is_refused(centre: JoinedCentre) -> None:
    await two(centre)
    with pytest.raises(BadRequestError, match="itself"):
        await merged(centre, OLD, OLD)
    with pytest.raises(NotFoundError):
        await merged(centre, OLD, 4711)
    with pytest.raises(BadRequestError, match="say why"):
        await merge_accounts(centre.pool, OLD, NEW, person="ann", reason=" ", now_ms=0)
    await merged(centre)
    with pytest.raises(BadRequestError, match="merged into 8 already"):
        await merged(centre, OLD, NEW)


async def test_a_block_is_not_lost_by_merging(centre: JoinedCentre) -> None:
    await two(centre)
    await centre.pool.execute("update account set blocked = true where account_id = $1", OLD)
    with pytest.raises(BadRequestError, match="account 7 is blocked, the other one is not"):
        await merged(centre)
    await centre.pool.execute("update account set blocked = true")
    assert (await merged(centre)).points == 300
    till = await centre.till()
    assert (await till.authorise("s1", OLD, 100)).authorisations == ()


async def test_a_file_that_names_the_old_account_adds_cards_to_the_new_one(
    centre: JoinedCentre,
) -> None:
    await two(centre)
    await merged(centre)
    await centre.customer(OLD, 999, card="later")
    till = await centre.till()
    assert await known_as(till, "later") == NEW
    assert await centre.totals(NEW) == Totals(350)


async def test_two_merges_at_once_leave_one_account(centre: JoinedCentre) -> None:
    await two(centre)
    done = await asyncio.gather(
        merged(centre, OLD, NEW), merged(centre, NEW, OLD), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in done) == ["BadRequestError", "Merged"]
    totals = [await centre.totals(each) for each in (OLD, NEW)]
    assert sorted(totals) == [Totals(0), Totals(350)]


# Undone


async def test_undoing_restores_what_was_not_spent(centre: JoinedCentre) -> None:
    await two(centre)
    till = await centre.till()
    await centre.post(till, till.sale("s1", account=OLD, card="old"))
    before = [await centre.totals(each) for each in (OLD, NEW)]
    done = await merged(centre)
    back = await undone(centre, done.merge_id)
    assert (back.points, back.spent, back.held_since, back.cards) == (400, 0, 0, 1)
    assert [await centre.totals(each) for each in (OLD, NEW)] == before
    assert (await known_as(till, "old"), await known_as(till, "new")) == (OLD, NEW)
    assert await centre.lots(OLD) == [LotState(100), LotState(200), LotState(100)]
    rows = await list_merges(centre.pool, OLD)
    assert [(row.person, row.undone_by) for row in rows] == [("ann", "bob")]
    with pytest.raises(BadRequestError, match="undone before"):
        await undone(centre, done.merge_id)


async def test_what_was_spent_and_what_is_held_since_stays_and_is_told(
    centre: JoinedCentre,
) -> None:
    await two(centre)
    till = await centre.till()
    done = await merged(centre)
    (right,) = (await till.authorise("s1", NEW, 120)).authorisations
    await centre.post(till, till.sale("s1", account=NEW, sources=[take(right)]))
    (held,) = (await till.authorise("s2", NEW, 150)).authorisations
    back = await undone(centre, done.merge_id)
    assert back.points + back.spent + back.held_since == 300
    # The right of 150 holds first what the sale earned, which ends sooner.
    assert (back.held_since, back.spent) == (150 - 88, 120)
    total = (await centre.totals(OLD)).posted + (await centre.totals(NEW)).posted
    assert total == 350 - 120 + 88
    # Both go on: the right is spent, and goods of the first receipt come back.
    sale = till.sale("s2", account=NEW, sources=[take(held)])
    assert await centre.post(till, sale) == [ACCEPTED]
    outcome = (await centre.post(till, till.refund("r1", "s1")))[0]
    assert outcome.outcome == "accepted"


async def test_a_grant_of_before_goes_back_with_its_account(centre: JoinedCentre) -> None:
    await two(centre, home="store-1")
    vault = await centre.till(is_vault=True)
    grants = {grant.account_id: grant for grant in (await vault.pull()).grants}
    done = await merged(centre)
    sale = vault.sale("s1", account=OLD, sources=[take(grants[OLD], 120)])
    assert (await centre.post(vault, sale))[-1] == ACCEPTED
    back = await undone(centre, done.merge_id)
    assert (back.held, back.spent) == (180, 120)
    assert await centre.totals(OLD) == Totals(180, 180)
    assert await centre.post(vault, vault.give_back(grants[OLD], 180)) == [ACCEPTED]
    assert await centre.totals(OLD) == Totals(180)


async def test_merging_again_after_undoing_joins_what_was_left_on_both_sides(
    centre: JoinedCentre,
) -> None:
    await two(centre)
    till = await centre.till()
    first = await merged(centre)
    (held,) = (await till.authorise("s1", NEW, 200)).authorisations
    back = await undone(centre, first.merge_id)
    assert back.held_since > 0
    again = await merged(centre)
    assert again.points == 300 - back.held_since
    assert await centre.totals(NEW) == Totals(350, 200)
    assert await centre.post(till, till.sale("s1", account=NEW, sources=[take(held)])) == [ACCEPTED]
    await undone(centre, again.merge_id)


async def test_chains_are_undone_from_their_end(centre: JoinedCentre) -> None:
    await two(centre)
    await centre.customer(9, 5, card="third")
    till = await centre.till()
    first = await merged(centre, OLD, NEW)
    second = await merged(centre, NEW, 9)
    assert await centre.totals(9) == Totals(355)
    await centre.post(till, till.sale("s1", account=OLD))
    assert await centre.totals(9) == Totals(455)
    with pytest.raises(BadRequestError, match="came later"):
        await undone(centre, first.merge_id)
    await undone(centre, second.merge_id)
    assert await centre.totals(NEW) == Totals(350)
    await centre.post(till, till.sale("s2", account=OLD))
    assert await centre.totals(NEW) == Totals(450)
    await undone(centre, first.merge_id)
    assert await centre.totals(OLD) == Totals(300)


async def test_sales_and_merges_at_once_lose_no_point(centre: JoinedCentre) -> None:
    await two(centre)
    tills = [await centre.till() for _ in range(2)]
    sales: list[tuple[TillProbe, SaleRecord]] = []
    for till in tills:
        for number in range(6):
            account = OLD if number % 2 else NEW
            sales.append((till, till.sale(f"{till.till_id}-{number}", account=account)))
    for till, sale in sales:
        till.append(sale)

    async def push_all(till: TillProbe) -> None:
        await till.push()
        await centre.apply()

    async def merge_and_undo() -> None:
        for _ in range(2):
            done = await merged(centre)
            await undone(centre, done.merge_id)

    await asyncio.gather(*(push_all(till) for till in tills), merge_and_undo())
    await centre.apply()
    total = (await centre.totals(OLD)).posted + (await centre.totals(NEW)).posted
    assert total == 350 + 12 * 100
    await tend(centre.pool, now_ms=centre.system.now_ms(), settings=RightsSettings())


@pytest.mark.parametrize(
    ("old", "new", "between"),
    [
        ("03-05", "", {NEW: "03-05"}),
        ("03-05", "09-01", {NEW: "09-01"}),
        ("03-05", "03-05", {NEW: "03-05"}),
        ("", "09-01", {NEW: "09-01"}),
    ],
)
async def test_each_account_has_its_birthday_back(
    centre: JoinedCentre, old: str, new: str, between: dict[int, str]
) -> None:
    for account_id, day in ((OLD, old), (NEW, new)):
        await born(centre, account_id, day)
    done = await merged(centre)
    assert await birthdays(centre) == between
    await undone(centre, done.merge_id)
    days = {OLD: old, NEW: new}
    assert await birthdays(centre) == {each: day for each, day in days.items() if day}


async def test_a_birthday_told_since_stays_where_it_was_told(centre: JoinedCentre) -> None:
    await born(centre, OLD, "03-05")
    await born(centre, NEW, "")
    done = await merged(centre)
    await born(centre, NEW, "09-01")
    await undone(centre, done.merge_id)
    assert await birthdays(centre) == {OLD: "03-05", NEW: "09-01"}


async def test_a_merge_of_before_birthdays_were_noted_is_undone(centre: JoinedCentre) -> None:
    await born(centre, OLD, "03-05")
    await born(centre, NEW, "")
    done = await merged(centre)
    moved = msgspec.json.decode(await centre.pool.fetchval("select moved from account_merge"))
    noted = {name: value for name, value in moved.items() if not name.startswith("birthday")}
    await centre.pool.execute("update account_merge set moved = $1", msgspec.json.encode(noted))
    await undone(centre, done.merge_id)
    assert await birthdays(centre) == {NEW: "03-05"}


# Cards


async def test_a_card_moves_and_comes_back(centre: JoinedCentre) -> None:
    await two(centre, home="store-1")
    till = await centre.till()
    await till.pull()
    now_ms = centre.system.now_ms()
    moved = await move_card(
        centre.pool, till.card("old"), NEW, person="ann", reason="it is hers", now_ms=now_ms
    )
    assert (moved.from_account, moved.to_account) == (OLD, NEW)
    rows = {row.card: row.snapshot.account_id for row in (await till.pull()).accounts}
    assert rows[till.card("old")] == NEW
    assert await centre.totals(OLD) == Totals(300)
    await undo_move(centre.pool, moved.move_id, person="bob", now_ms=now_ms)
    rows = {row.card: row.snapshot.account_id for row in (await till.pull()).accounts}
    assert rows[till.card("old")] == OLD
    with pytest.raises(BadRequestError, match="undone before"):
        await undo_move(centre.pool, moved.move_id, person="bob", now_ms=now_ms)
    with pytest.raises(NotFoundError):
        await move_card(
            centre.pool, b"x" * 16, NEW, person="ann", reason="it is hers", now_ms=now_ms
        )
