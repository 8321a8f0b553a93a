"""A customer is forgotten: at the centre at once, at each till when it says so; the books stay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from central.errors import BadRequestError, NotFoundError
from central.ledger.merging import merge_accounts
from central.outreach import outbox
from central.privacy.customers import Consent, CustomerData, CustomerDesk
from central.privacy.erasing import (
    ErasureState,
    ask_erasure,
    list_erasures,
    read_erasure,
    tend_erasures,
)
from central.privacy.exporting import export_customer
from central.privacy.personal_keys import PersonalKeys
from central.programmes.registry import add_programme, give_banner
from sync import cycle
from sync.forgetting import PATH_FORGOTTEN, Forgotten, ForgottenAnswer
from sync.messages import HelloAnswer
from tests.support.centre import JoinedCentre, LotState, Totals
from tests.support.till import receipt
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import TillProbe

ANNA = CustomerData(name="Anna", phones=("+37120000001",))


def desk_of(centre: JoinedCentre) -> CustomerDesk:
    return CustomerDesk(centre.pool, PersonalKeys((b"o" * 32,), b"c" * 32), centre.system)


async def erase(centre: JoinedCentre, account_id: int = 7) -> int:
    erasure_id = await ask_erasure(desk_of(centre), account_id, reason="asked", person="ann")
    await tend(centre)
    return erasure_id


async def tend(centre: JoinedCentre) -> None:
    await tend_erasures(centre.pool, now_ms=centre.system.now_ms())


async def state(centre: JoinedCentre, erasure_id: int) -> ErasureState:
    return await read_erasure(centre.pool, erasure_id)


async def says_hello(till: TillProbe, forgotten: int | None = 0) -> HelloAnswer:
    hello = msgspec.structs.replace(till.hello_message(), forgotten=forgotten)
    till.session = b"\0" * 16
    answer = await till.ask(cycle.PATH_HELLO, hello, HelloAnswer)
    till.session = answer.session
    return answer


@asynccontextmanager
async def real_till(centre: JoinedCentre, folder: Path) -> AsyncIterator[TillOnCentre]:
    till = await TillOnCentre.enrolled(centre, folder)
    yield till
    till.close()


async def test_nothing_of_the_person_is_left_and_the_books_are_whole(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="seven")
    desk, till = desk_of(centre), await centre.till()
    await desk.put(7, ANNA, person="ann")
    await desk.say(7, Consent(purpose="mail", given=True), person="ann")
    await centre.post(till, till.sale("sale-1", account=7, card="seven"))
    earned = (await centre.totals(7)).posted - 300
    await erase(centre)
    for table in ("customer", "contact", "consent"):
        assert await centre.pool.fetchval(f"select count(*) from personal.{table}") == 0
    assert await centre.totals(7) == Totals(0)
    assert await centre.lots(7) == [LotState(0, taken_back=300), LotState(0, taken_back=earned)]
    for table in ("card", "account_birthday", "account_visit", "store_interest", "account_counter"):
        count = f"select count(*) from {table} where account_id = 7"
        assert await centre.pool.fetchval(count) == 0
    assert await centre.pool.fetchval("select account_id from receipt") == 7
    with pytest.raises(NotFoundError, match="was erased"):
        await export_customer(desk, 7, person="ann")


async def test_it_is_done_when_the_last_till_has_confirmed(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="seven")
    one, two = await centre.till(), await centre.till("store-1")
    await says_hello(one)
    await says_hello(two)
    number = await erase(centre)
    found = await state(centre, number)
    assert (found.state, found.confirmed, found.tills) == ("emptied", 0, 2)
    assert [each.till_id for each in found.missing] == [one.till_id, two.till_id]
    told = (await one.pull()).erasures
    assert told > 0
    answer = await one.ask(PATH_FORGOTTEN, Forgotten(through=0), ForgottenAnswer)
    assert answer == ForgottenAnswer(through=told, accounts=(7,))
    await one.ask(PATH_FORGOTTEN, Forgotten(through=told), ForgottenAnswer)
    await tend(centre)
    found = await state(centre, number)
    assert (found.state, found.confirmed, found.tills) == ("emptied", 1, 2)
    assert [each.till_id for each in found.missing] == [two.till_id]
    assert (await one.pull()).erasures == 0
    await says_hello(two, forgotten=told)
    await tend(centre)
    found = await state(centre, number)
    assert (found.state, found.confirmed, found.missing) == ("done", 2, ())
    assert await centre.pool.fetchval("select count(*) from erased_card") == 0


async def test_a_till_that_forgets_its_forgetting_is_told_again(centre: JoinedCentre) -> None:
    await centre.customer(7, card="seven")
    till = await centre.till()
    await says_hello(till)
    number = await erase(centre)
    told = (await till.pull()).erasures
    await says_hello(till, forgotten=told)
    assert (await state(centre, number)).confirmed == 1
    await says_hello(till, forgotten=0)  # its disk came back from a copy
    assert (await state(centre, number)).confirmed == 0
    assert (await till.pull()).erasures == told


async def test_software_that_cannot_forget_is_told_nothing_and_stays_missing(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, card="seven")
    till = await centre.till()
    number = await erase(centre)
    assert (await says_hello(till, forgotten=None)).erasures == 0
    assert (await till.pull()).erasures == 0
    (missing,) = (await state(centre, number)).missing
    assert not missing.can_confirm


async def test_a_revoked_till_is_not_waited_for_and_is_shown(centre: JoinedCentre) -> None:
    await centre.customer(7, card="seven")
    till = await centre.till()
    number = await erase(centre)
    await centre.pool.execute("update till set revoked = true where till_id = $1", till.till_id)
    await tend(centre)
    found = await state(centre, number)
    assert (found.state, found.tills, found.tills_revoked) == ("done", 0, 1)


async def test_a_till_enrolled_later_has_nobody_to_forget(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    await centre.customer(7, card="seven")
    number = await erase(centre)
    centre.system.at_ms += 1000
    async with real_till(centre, tmp_path) as till:
        assert till.joined.till.cache.account_count() == 0
    await tend(centre)
    found = await state(centre, number)
    assert (found.state, found.tills) == ("done", 0)


async def test_a_receipt_from_before_the_till_forgot_finds_its_account(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, card="seven")
    till = await centre.till()
    await says_hello(till)
    number = await erase(centre)
    (outcome,) = (await centre.post(till, till.sale("late", account=7, card="seven")))[-1:]
    assert outcome.outcome == "accepted"
    assert await centre.pool.fetchval("select account_id from receipt where sale_key = 'late'") == 7
    assert (await state(centre, number)).points_left > 0
    await tend(centre)
    found = await state(centre, number)
    assert found.points_left == 0
    assert found.points_forfeited > 300


async def test_points_a_till_holds_are_forfeited_when_they_come_home(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="seven", home="store-1")
    till = await centre.till(is_vault=True)
    await till.push()
    (grant,) = (await till.pull()).grants
    await till.push()
    await centre.apply()
    number = await erase(centre)
    assert await centre.totals(7) == Totals(300, 300)
    assert (await till.pull()).recalls == (grant.grant_id,)
    await centre.post(till, till.give_back(grant))
    await says_hello(till, forgotten=(await state(centre, number)).emptied_at_ms)
    await tend(centre)
    found = await state(centre, number)
    assert (found.state, found.points_forfeited, found.points_left) == ("done", 300, 0)


async def test_accounts_merged_into_it_are_forgotten_with_it(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="seven")
    await centre.customer(8, 50, card="eight")
    desk = desk_of(centre)
    await desk.put(7, ANNA, person="ann")
    merged = await merge_accounts(centre.pool, 7, 8, person="ann", reason="Anna's", now_ms=0)
    assert merged.merge_id
    number = await erase(centre, 7)
    assert (await state(centre, number)).account_ids == (7, 8)
    assert await centre.pool.fetchval("select count(*) from personal.customer") == 0
    row = await centre.pool.fetchrow("select moved, reason, undone_by from account_merge")
    assert row is not None
    assert tuple(row) == (b"", "", "erasure")


async def test_a_customers_wallets_in_other_programmes_are_forgotten_with_it(
    centre: JoinedCentre,
) -> None:
    async with centre.pool.acquire() as connection:
        await add_programme(connection, "blue", "", person="ann", now_ms=0)
        await give_banner(connection, "sky", "blue", person="ann", now_ms=0)
    await centre.store("store-2", banner="sky")
    await centre.customer(7, 300, card="seven")
    await centre.customer(107, 50, card="seven", home="store-2")
    desk = desk_of(centre)
    await desk.put(107, ANNA, person="ann")
    whole = await export_customer(desk, 7, person="ann")
    assert (whole.account_ids, whole.persons) == ((7, 107), {107: ANNA})
    number = await erase(centre, 7)
    found = await state(centre, number)
    assert (found.account_ids, found.points_forfeited) == ((7, 107), 350)
    assert await centre.pool.fetchval("select count(*) from personal.customer") == 0
    assert await centre.pool.fetchval("select count(*) from card") == 0


async def test_whoever_hears_of_events_hears_that_a_customer_is_forgotten(
    centre: JoinedCentre,
) -> None:
    await outbox.want(centre.pool, wanted=True)
    await centre.customer(7, 300, card="seven")
    await erase(centre)
    rows = await centre.pool.fetch("select type, key from outbox order by event_id")
    assert {(row["type"].rpartition("tillside.")[2], row["key"]) for row in rows} >= {
        ("points.adjusted.v1", "account/7"), ("account.erased.v1", "account/7"),
    }  # fmt: skip


async def test_an_erased_account_stays_erased(centre: JoinedCentre) -> None:
    await centre.customer(7, card="seven")
    await erase(centre)
    with pytest.raises(NotFoundError, match="was erased"):
        await ask_erasure(desk_of(centre), 7, reason="again", person="ann")
    with pytest.raises(BadRequestError, match="was erased"):
        await centre.customer(7, card="another")
    await centre.customer(9, card="seven")  # whoever comes back is somebody new
    till = await centre.till()
    await centre.post(till, till.sale("new", account=9, card="seven"))
    assert await centre.pool.fetchval("select account_id from receipt") == 9


async def test_a_copy_put_back_is_noticed_by_what_tills_know(centre: JoinedCentre) -> None:
    till = await centre.till()
    assert not (await list_erasures(centre.pool)).tills_know_more
    await says_hello(till, forgotten=centre.system.now_ms())
    assert (await list_erasures(centre.pool)).tills_know_more


async def test_a_real_till_forgets_the_account_and_what_its_file_said_of_it(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    await centre.load(
        {"kind": "account", "account_id": 7, "home_store": "store-1", "cards": ["seven"],
         "segments": ["zzz-the-one-and-only"]}
    )  # fmt: skip
    async with real_till(centre, tmp_path) as till:
        await till.sell(receipt(card="seven"))
        await till.talk()
        await centre.apply()
        cache = till.joined.till.cache
        assert cache.cards_of(7)
        assert b"zzz-the-one-and-only" in _files(tmp_path, "cache")
        number = await erase(centre)
        await till.talk()
        assert cache.account_count() == 0
        assert b"zzz-the-one-and-only" not in _files(tmp_path, "cache")
        await till.talk()
        await tend(centre)
        found = await state(centre, number)
        assert (found.state, found.confirmed, found.tills) == ("done", 1, 1)
        shown = await till.calculate(receipt(card="seven"))
        assert shown.account_id == 0


def _files(folder: Path, beginning: str) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob(f"{beginning}*") if path.is_file())
