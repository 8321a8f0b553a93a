"""What comes between an erasure's steps, or after them, brings nobody back."""

import asyncio
import json

import pytest

from central.errors import BadRequestError, ConfigurationError, NotFoundError
from central.ledger.adjustments import (
    Adjustment,
    AdjustmentLimit,
    AdjustmentReason,
    adjust,
    put_limit,
    put_reason,
)
from central.ledger.card_moves import move_card
from central.ledger.merging import merge_accounts
from central.people.tiers import Tier, TierTerms, put_terms, tend_tiers
from central.privacy.customers import Consent, CustomerData, CustomerDesk
from central.privacy.erasing import ask_erasure
from central.privacy.exporting import export_customer
from central.privacy.personal_keys import PersonalKeys
from central.programmes.registry import add_programme, give_banner
from central.rights.blocking import set_blocked
from tests.support.centre import JoinedCentre, Totals
from tests.unit.central.test_erasure import ANNA, desk_of, erase, says_hello, state, tend

BOB = CustomerData(name="Bob", phones=("+37129999999",))


async def people(centre: JoinedCentre) -> int:
    counts = [
        await centre.pool.fetchval(f"select count(*) from personal.{table}")
        for table in ("customer", "contact", "consent")
    ]
    return sum(counts)


async def block(centre: JoinedCentre, account_id: int, *, blocked: bool = True) -> None:
    async with centre.pool.acquire() as connection, connection.transaction():
        await set_blocked(connection, account_id, blocked=blocked)


async def merge(centre: JoinedCentre, from_account: int, into_account: int) -> None:
    await merge_accounts(
        centre.pool, from_account, into_account, person="ann", reason="one", now_ms=0
    )


async def test_nothing_is_written_of_somebody_who_is_to_be_forgotten(centre: JoinedCentre) -> None:
    await centre.customer(7, card="seven")
    desk = desk_of(centre)
    await desk.put(7, ANNA, person="ann")
    await ask_erasure(desk, 7, reason="asked", person="ann")
    with pytest.raises(NotFoundError, match="was erased"):
        await desk.put(7, ANNA, person="bob")
    with pytest.raises(NotFoundError, match="was erased"):
        await desk.say(7, Consent(purpose="mail", given=True), person="bob")
    with pytest.raises(BadRequestError, match="is at work on it"):
        await ask_erasure(desk, 7, reason="again", person="bob")
    await tend(centre)
    assert await people(centre) == 0


async def test_what_is_being_written_when_an_erasure_begins_goes_with_it(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, card="seven")
    desk = desk_of(centre)
    async with centre.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("select from account where account_id = 7 for update")
        erasing = asyncio.create_task(erase(centre))  # asked, and waits to empty the account
        while not await centre.pool.fetchval("select count(*) from erasure"):
            pass
        writing = asyncio.create_task(desk.put(7, ANNA, person="bob"))
        await transaction.rollback()
    await erasing
    with pytest.raises(NotFoundError, match="was erased"):
        await writing
    assert await people(centre) == 0


async def test_who_is_merged_with_one_who_is_to_be_forgotten_is_forgotten_with_it(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, card="seven")
    await centre.customer(8, 300, card="eight")
    desk = desk_of(centre)
    await desk.put(8, BOB, person="ann")
    number = await ask_erasure(desk, 7, reason="asked", person="ann")
    await merge(centre, 7, 8)
    await tend(centre)
    assert (await state(centre, number)).account_ids == (7, 8)
    assert await people(centre) == 0
    assert await desk.find("phone", "+37129999999", person="eve") == ()


@pytest.mark.parametrize(("from_account", "into_account"), [(7, 8), (8, 7)])
async def test_an_erased_account_is_merged_with_nobody(
    centre: JoinedCentre, from_account: int, into_account: int
) -> None:
    await centre.customer(7, 300, card="seven")
    await centre.customer(8, 300, card="eight")
    await erase(centre)
    await block(centre, 8)
    with pytest.raises(BadRequestError, match="account 7 was erased"):
        await merge(centre, from_account, into_account)


async def test_an_erased_account_gets_no_card_no_points_and_is_never_unblocked(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, card="seven")
    await centre.customer(8, 300, card="eight")
    await erase(centre)
    card = await centre.pool.fetchval("select card from card where account_id = 8")
    with pytest.raises(BadRequestError, match="account 7 was erased"):
        await move_card(centre.pool, card, 7, person="ann", reason="found", now_ms=0)
    with pytest.raises(BadRequestError, match="was erased"):
        await block(centre, 7, blocked=False)
    assert await centre.totals(7) == Totals(0)


async def test_a_debt_is_let_go_and_keeps_no_erasure_open(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="seven")
    async with centre.pool.acquire() as connection, connection.transaction():
        await connection.execute("update account set debt = 20 where account_id = 7")
        entry = await connection.fetchval(
            "insert into ledger_entry (account_id, kind, subject, at_ms)"
            " values (7, 'take_back', 'x', 0) returning entry_id"
        )
        await connection.execute(
            "insert into ledger_posting"
            " (account_id, entry_id, leg, ledger_account, lot_id, points)"
            " values (7, $1, 1, 'debt', 0, -20), (7, $1, 2, 'taken_back', 0, 20)", entry,
        )  # fmt: skip
    number = await erase(centre)
    assert (await state(centre, number)).state == "done"
    assert await centre.totals(7) == Totals(0)
    assert await centre.pool.fetchval("select debt from account where account_id = 7") == 0
    assert (await centre.proof()).balanced


async def test_it_is_not_done_before_what_a_till_sent_is_posted(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="seven")
    till = await centre.till()
    await says_hello(till)
    number = await erase(centre)
    told = (await till.pull()).erasures
    seq = till.append(till.sale("late", account=0, card="seven"))
    await till.push()
    await says_hello(till, forgotten=told)
    await tend(centre)  # before the record's turn has come
    assert (await state(centre, number)).state == "emptied"
    await centre.apply()
    assert (await centre.outcomes(till))[seq].outcome == "accepted"
    assert await centre.pool.fetchval("select account_id from receipt") == 7
    await tend(centre)
    assert (await state(centre, number)).state == "done"


async def test_points_are_given_to_nobody_who_was_erased(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="seven")
    async with centre.pool.acquire() as connection:
        reason = AdjustmentReason(code="goodwill", title="Goodwill", points_max=1000)
        await put_reason(connection, reason, person="ann", now_ms=0)
        limit = AdjustmentLimit(role="call_centre", points_per_day=1000)
        await put_limit(connection, limit, person="ann", now_ms=0)
    await erase(centre)
    wish = Adjustment(key="wish-0001", account_id=7, points=100, reason="goodwill")
    with pytest.raises(BadRequestError, match="was erased"):
        await adjust(centre.pool, wish, person="ann", roles=["call_centre"], now_ms=0)


async def test_no_tier_is_worked_out_of_the_receipts_that_stay(centre: JoinedCentre) -> None:
    async with centre.pool.acquire() as connection:
        tiers = (Tier(name="", at_least=0), Tier(name="silver", at_least=1))
        await put_terms(connection, TierTerms(tiers=tiers), person="ann", now_ms=0)
    await centre.customer(7, 300, card="seven")
    till = await centre.till()
    await centre.post(till, till.sale("sale-1", account=7, card="seven"))
    await erase(centre)
    for _ in range(3):
        await tend_tiers(centre.pool, now_ms=centre.system.now_ms())
    assert await centre.pool.fetchval("select tier from account") == ""
    assert await centre.pool.fetchval("select count(*) from account_tier") == 0


async def left_of(centre: JoinedCentre, account_id: int) -> dict[str, object]:
    found = {
        table: await centre.pool.fetchval(
            f"select count(*) from {table} where account_id = $1", account_id
        )
        for table in ("account_visit", "store_interest", "account_counter", "account_card")
    }
    row = await centre.pool.fetchrow(
        "select posted, home_store, tier from account where account_id = $1", account_id
    )
    assert row is not None
    return {name: value for name, value in (found | dict(row)).items() if value}


async def test_what_a_receipt_brings_between_emptied_and_done_goes_again(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, card="seven")
    till = await centre.till()
    await says_hello(till)
    number = await erase(centre)
    told = (await till.pull()).erasures
    await centre.post(till, till.sale("late", account=7, card="seven"))
    await says_hello(till, forgotten=told)
    await tend(centre)
    assert (await state(centre, number)).state == "done"
    assert await left_of(centre, 7) == {}


async def test_what_a_receipt_and_its_return_bring_after_the_end_goes_again(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, card="seven")
    till = await centre.till()
    number = await erase(centre)
    await says_hello(till, forgotten=(await state(centre, number)).emptied_at_ms)
    await tend(centre)
    assert (await state(centre, number)).state == "done"
    await centre.post(till, till.sale("after", account=7, card="seven"))
    assert (await left_of(centre, 7))["posted"]
    await tend(centre)
    assert await left_of(centre, 7) == {}
    await centre.post(till, till.refund("back", "after"))
    await tend(centre)
    assert await left_of(centre, 7) == {}
    assert (await state(centre, number)).points_left == 0
    assert await centre.pool.fetchval("select debt from account") == 0
    assert (await centre.proof()).balanced


async def test_a_card_that_was_moved_leads_to_no_wallet_of_somebody_else(
    centre: JoinedCentre,
) -> None:
    async with centre.pool.acquire() as connection:
        await add_programme(connection, "blue", "", person="ann", now_ms=0)
        await give_banner(connection, "sky", "blue", person="ann", now_ms=0)
    await centre.store("store-2", banner="sky")
    await centre.customer(7, card="seven")
    await centre.customer(107, 50, card="seven", home="store-2")  # Anna's
    await centre.customer(8, card="eight")
    desk = desk_of(centre)
    await desk.put(107, ANNA, person="ann")
    await desk.put(8, BOB, person="ann")
    card = await centre.pool.fetchval("select card from card where account_id = 7")
    await move_card(centre.pool, card, 8, person="ann", reason="found", now_ms=0)
    whole = await export_customer(desk, 8, person="ann")
    assert (whole.account_ids, whole.persons) == ((8,), {8: BOB})
    await erase(centre, 8)
    assert (await desk.view(107, person="ann")).data == ANNA


async def test_who_got_a_card_of_somebody_forgotten_gets_none_of_their_wallets(
    centre: JoinedCentre,
) -> None:
    async with centre.pool.acquire() as connection:
        await add_programme(connection, "blue", "", person="ann", now_ms=0)
        await give_banner(connection, "sky", "blue", person="ann", now_ms=0)
    await centre.store("store-2", banner="sky")
    await centre.customer(7, card="seven")
    await centre.customer(107, 50, card="seven", home="store-2")
    await centre.customer(8, card="eight")
    card = await centre.pool.fetchval("select card from card where account_id = 7")
    await move_card(centre.pool, card, 8, person="ann", reason="found", now_ms=0)
    await erase(centre, 7)
    row = await centre.pool.fetchrow("select from_account, to_account, undone_by from card_move")
    assert row is not None
    assert tuple(row) == (8, 8, "erasure")
    number = await erase(centre, 8)
    assert (await state(centre, number)).account_ids == (8,)
    assert await centre.pool.fetchval("select card from card_move") == b""


async def test_no_look_up_ties_card_and_account_where_tables_are_spread(
    centre: JoinedCentre,
) -> None:
    await centre.pool.execute("drop trigger if exists card_of_account on card")
    await centre.customer(7, 300, card="seven")
    number = await erase(centre)
    assert (await state(centre, number)).state == "done"
    assert await left_of(centre, 7) == {}


async def test_a_till_of_another_life_of_the_database_is_told(centre: JoinedCentre) -> None:
    await centre.customer(7, card="seven")
    await centre.customer(8, card="eight")
    till = await centre.till()
    in_a_year_ms = centre.system.now_ms() + 365 * 86_400_000
    await says_hello(till, forgotten=in_a_year_ms)  # before the erasure has its number
    first = await erase(centre)
    assert (await state(centre, first)).confirmed == 0
    told = (await says_hello(till, forgotten=in_a_year_ms)).erasures
    assert told > in_a_year_ms
    await says_hello(till, forgotten=told + 5)  # and after it
    await tend(centre)
    found = await state(centre, first)
    assert (found.state, found.confirmed) == ("emptied", 0)
    assert (await till.pull()).erasures > told + 5
    await says_hello(till, forgotten=(await till.pull()).erasures)
    await tend(centre)
    assert (await state(centre, first)).state == "done"
    assert await centre.pool.fetchval("select count(*) from erased_card") == 0


async def test_no_till_lifts_the_numbers_beyond_reason(centre: JoinedCentre) -> None:
    await centre.customer(7, card="seven")
    till = await centre.till()
    await says_hello(till, forgotten=2**62)
    await erase(centre)
    assert await centre.pool.fetchval("select max(number) from erasure") < 2**53


async def test_the_list_of_blocked_cards_keeps_no_card_of_somebody_forgotten(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, card="seven")
    await centre.customer(8, card="eight")
    await block(centre, 8)  # told to tills before it was erased
    till = await centre.till()
    numbers = [await erase(centre, account_id) for account_id in (7, 8)]
    rows = await centre.pool.fetch("select is_blocked from blocked_card")
    assert [tuple(row) for row in rows] == [(False,)]
    await says_hello(till, forgotten=centre.system.now_ms() + 10)
    await tend(centre)
    await says_hello(till, forgotten=await newest_number(centre))
    await tend(centre)
    assert [(await state(centre, each)).state for each in numbers] == ["done", "done"]
    assert await centre.pool.fetchval("select count(*) from blocked_card") == 0


async def newest_number(centre: JoinedCentre) -> int:
    number: int = await centre.pool.fetchval("select max(number) from erasure")
    return number


async def test_a_search_that_finds_nobody_is_seen(centre: JoinedCentre) -> None:
    assert await desk_of(centre).find("phone", "+37129999999", person="eve") == ()
    row = await centre.pool.fetchrow(
        "select person, subject, detail from audit where action = 'customer.find'"
    )
    assert row is not None
    assert (row["person"], row["subject"]) == ("eve", "customers")
    assert json.loads(row["detail"]) == {"by": "phone", "found": 0}


async def test_other_keys_than_peoples_data_are_written_with_are_refused(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, card="seven")
    old, new, contacts = b"o" * 32, b"n" * 32, b"c" * 32

    def desk(personal: tuple[bytes, ...], contacts: bytes = contacts) -> CustomerDesk:
        return CustomerDesk(centre.pool, PersonalKeys(personal, contacts), centre.system)

    await desk((new,), b"z" * 32).keep_keys()  # nobody is known yet
    await desk((old,)).keep_keys()
    await desk((old,)).put(7, ANNA, person="ann")
    with pytest.raises(ConfigurationError, match=r"copy personal\.key"):
        await desk((new,)).keep_keys()
    with pytest.raises(ConfigurationError, match=r"contacts\.key is not the one"):
        await desk((old,), b"z" * 32).keep_keys()
    await desk((new, old)).keep_keys()  # replaced as the documentation says
    await desk((new,)).keep_keys()
