"""A storm of tills: what no purchase waits for is told to come again, and purchases go on."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest

from agent.link.worker import LinkSettings
from central.api.traffic import RETRY_AFTER_S
from central.database.doors import Door
from central.database.pool import Pool
from central.rights.issuing import RightsSettings
from central.rules.publishing import newest_manifest
from central.tills.front import TillFront
from sync.codec import encode
from sync.cycle import (
    PATH_AUTHORISE,
    PATH_BUNDLE,
    PATH_COUNTERS,
    PATH_ENROL,
    PATH_HELLO,
    PATH_RECEIPT,
    PATH_SNAPSHOT,
)
from sync.enrolling import EnrolRequest
from sync.errors import RefusedError
from sync.messages import (
    AuthoriseRequest,
    CounterRequest,
    Message,
    ReceiptRequest,
    SnapshotAnswer,
    SnapshotRequest,
)
from sync.signing import NO_SESSION, enrol_content
from tests.support.centre import STORE, JoinedCentre, joined_centre
from tests.support.scraping import scrape
from tests.support.till_probe import TillProbe

WAIT_S = 20
LONG_S = 600.0
OK, NOT_FOUND, COME_AGAIN = 200, 404, 503
TILL = LinkSettings()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0.001)


@asynccontextmanager
async def held(database: str, statement: str, *arguments: object) -> AsyncIterator[None]:
    """Hold the rows a statement locks, on a connection that is none of the tills'."""
    connection = await asyncpg.connect(database)
    await connection.execute("set idle_in_transaction_session_timeout = 0")
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement, *arguments)
        yield
    finally:
        await transaction.rollback()
        await connection.close()


def hello_of(till: TillProbe) -> httpx.Request:
    return till.request(PATH_HELLO, till.hello_message(), session=NO_SESSION)


def wish_for_points(till: TillProbe) -> Message:
    return AuthoriseRequest(key="s1", account_id=7, points=10, incarnation=till.incarnation)


def wish_for_a_counter(till: TillProbe) -> Message:
    return CounterRequest(incarnation=till.incarnation, wishes=(), taken=())


def receipt_for_a_return(_: TillProbe) -> Message:
    return ReceiptRequest(key="s1", date="2025-03-05")


def customer_of_a_code(_: TillProbe) -> Message:
    return SnapshotRequest(card=b"", account_id=7)


async def assert_sells(till: TillProbe) -> None:
    """Ask for a customer and hand a receipt in."""
    async with asyncio.timeout(WAIT_S):
        asked = SnapshotRequest(card=till.card("4000"))
        assert (await till.ask(PATH_SNAPSHOT, asked, SnapshotAnswer)).account is not None
        till.append(till.sale(f"s{len(till.bodies)}"))
        assert (await till.push()).verdict == "ack"


def told(answers: list[httpx.Response]) -> Counter[int]:
    """Return the statuses; whoever is to come again must be told when."""
    refused = [answer for answer in answers if answer.status_code == COME_AGAIN]
    assert all(int(answer.headers["retry-after"]) >= RETRY_AFTER_S for answer in refused)
    return Counter(answer.status_code for answer in answers)


async def test_hellos_beyond_the_bound_come_again_while_purchases_are_answered(
    centre: JoinedCentre, database: str
) -> None:
    front = centre.parts.desk.front
    await centre.customer(7, 300, card="4000")
    storm, till = await centre.till(), await centre.till()
    front.others = Door(running_max=2, waiting_max=3, wait_s_max=LONG_S)
    before = await scrape(centre)
    async with held(database, "select 1 from till where till_id = $1 for update", storm.till_id):
        hellos = [asyncio.create_task(centre.http.send(hello_of(storm))) for _ in range(20)]
        await until(lambda: front.others.refused == 15)
        await assert_sells(till)
        async with asyncio.timeout(WAIT_S):
            assert (await till.authorise("s1", 7, 100)).authorisations
        assert front.others.waiting == 3
        assert sum(each.done() for each in hellos) == 15
    assert told(await asyncio.gather(*hellos)) == {OK: 5, COME_AGAIN: 15}
    after = await scrape(centre)
    of = "tillside_problems_total"
    assert after.value(of, error="overloaded") == 15 + before.value(of, error="overloaded")
    await till.pull()


async def test_a_refused_hello_is_signed_and_named(centre: JoinedCentre) -> None:
    till = await centre.till()
    front = centre.parts.desk.front
    front.others = Door(running_max=1, waiting_max=0, wait_s_max=LONG_S)
    async with front.others:
        with pytest.raises(RefusedError) as caught:
            await till.hello()  # the probe checks the signature
    assert caught.value.code == "overloaded"
    assert (await till.hello()).verdict == "ok"


async def test_a_hello_without_a_place_costs_no_statement(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_till(till_id: int) -> None:
        raise AssertionError(till_id)

    till = await centre.till()
    front = centre.parts.desk.front
    front.others = Door(running_max=1, waiting_max=0, wait_s_max=LONG_S)
    monkeypatch.setattr(front, "find_till", find_till)
    async with front.others:
        with pytest.raises(RefusedError, match="overloaded"):
            await till.hello()
    assert front.others.refused == 1


@pytest.mark.parametrize(
    "call",
    [TillProbe.hello, TillProbe.pull],
    ids=["hello", "pull"],
)
async def test_what_no_purchase_waits_for_goes_through_the_door_of_the_others(
    centre: JoinedCentre, call: Callable[[TillProbe], asyncio.Future[object]]
) -> None:
    await centre.customer(7, 300, card="4000")
    till, selling = await centre.till(), await centre.till()
    front = centre.parts.desk.front
    front.others = Door(running_max=1, waiting_max=0, wait_s_max=LONG_S)
    async with front.others:
        with pytest.raises(RefusedError, match="overloaded"):
            await call(till)
        await assert_sells(selling)


@pytest.mark.parametrize(
    ("path", "message", "budget_ms"),
    [
        (PATH_AUTHORISE, wish_for_points, TILL.authorise_budget_ms),
        (PATH_COUNTERS, wish_for_a_counter, TILL.authorise_budget_ms),
        (PATH_RECEIPT, receipt_for_a_return, TILL.ask_budget_ms),
        (PATH_SNAPSHOT, customer_of_a_code, TILL.ask_budget_ms),
    ],
    ids=["authorise", "counters", "receipt", "snapshot"],
)
async def test_what_a_purchase_waits_for_is_told_no_before_its_till_gives_up(
    centre: JoinedCentre, path: str, message: Callable[[TillProbe], Message], budget_ms: int
) -> None:
    """Else the till takes its line for down, and what is set aside for it nobody hears of."""
    till, front = await centre.till(), centre.parts.desk.front
    front.others = Door(running_max=1, waiting_max=0, wait_s_max=LONG_S)
    async with front.others:  # behind no HELLO, however many come
        assert (await centre.http.send(till.request(path, message(till)))).status_code == OK
    while front.purchases.is_free:
        await front.purchases.enter()
    clock, waited_s = asyncio.get_running_loop().time, math.inf
    async with asyncio.timeout(WAIT_S):
        while waited_s * 1000 >= budget_ms:  # what else this machine does is not the door's
            began_s = clock()
            answer = await centre.http.send(till.request(path, message(till)))
            waited_s = clock() - began_s
            assert told([answer]) == {COME_AGAIN: 1}


async def test_authorisations_are_bounded_and_what_is_refused_sets_nothing_aside(
    centre: JoinedCentre, database: str
) -> None:
    front: TillFront = centre.parts.desk.front
    await centre.customer(7, 300, card="4000")
    await centre.customer(8, 300, card="4001")
    till = await centre.till()
    front.purchases = Door(running_max=1, waiting_max=2, wait_s_max=LONG_S)
    async with held(database, "select 1 from account where account_id = 8 for update"):
        wishes = [
            AuthoriseRequest(
                key=f"a{number}", account_id=8, points=10, incarnation=till.incarnation
            )
            for number in range(5)
        ]
        asked = [
            asyncio.create_task(centre.http.send(till.request(PATH_AUTHORISE, wish)))
            for wish in wishes
        ]
        await until(lambda: front.purchases.refused == 2)
        await assert_sells(till)
        assert sum(each.done() for each in asked) == 2
    assert told(await asyncio.gather(*asked)) == {OK: 3, COME_AGAIN: 2}
    assert (await centre.totals(8)).held == 30


async def test_who_waits_for_points_of_another_till_keeps_nobody_from_authorising(
    pool: Pool,
) -> None:
    async with joined_centre(pool, RightsSettings(recall_wait_ms=600_000)) as centre:
        await centre.customer(7, 100, home=STORE, card="4000")
        await centre.customer(8, 100, card="4001")
        vault = await centre.till(is_vault=True)
        await vault.pull()
        await centre.post(vault)  # that its grant has come
        await centre.store("store-2")
        waiting, other = await centre.till("store-2"), await centre.till("store-2")
        front = centre.parts.desk.front
        front.purchases = Door(running_max=1, waiting_max=9, wait_s_max=LONG_S)
        patient = asyncio.create_task(waiting.authorise("s1", 7, 60))
        async with asyncio.timeout(WAIT_S):
            while not (await vault.pull()).recalls:  # so it waits for the vault by now
                pass
            assert (await other.authorise("s2", 8, 50)).authorisations
            assert not patient.done()
            (grant,) = vault.grants.values()
            await centre.post(vault, vault.give_back(grant, grant.points))
            assert sum(right.points for right in (await patient).authorisations) == 60


async def test_a_fleet_that_asks_for_one_file_is_answered_by_one_look(
    centre: JoinedCentre,
) -> None:
    async with centre.pool.acquire() as connection:
        manifest = await newest_manifest(connection)
    assert manifest is not None
    rules = PATH_BUNDLE + manifest.bundle
    answers = await asyncio.gather(*(centre.http.get(rules) for _ in range(300)))
    assert told(answers) == {OK: 300}
    nowhere = PATH_BUNDLE + "0" * 64
    answers = await asyncio.gather(*(centre.http.get(nowhere) for _ in range(300)))
    assert told(answers) == {NOT_FOUND: 300}


async def test_enrolment_and_files_have_the_least_and_hold_up_no_till(
    centre: JoinedCentre, database: str
) -> None:
    await centre.customer(7, 300, card="4000")
    till = await centre.till()
    async with centre.pool.acquire() as connection:
        manifest = await newest_manifest(connection)
    assert manifest is not None
    rules = PATH_BUNDLE + manifest.bundle
    assert (await centre.http.get(rules)).status_code == OK
    key, code = centre.new_key(), await centre.code()
    bare = EnrolRequest(
        code=code, public_key=key.public, hardware="", nonce=b"n" * 16, signature=b""
    )
    body = encode(
        EnrolRequest(
            code=code, public_key=key.public, hardware="", nonce=b"n" * 16,
            signature=key.sign(enrol_content(bare)),
        )
    )  # fmt: skip
    async with held(database, "select 1 from enrolment_code for update"):
        strangers = [
            asyncio.create_task(centre.http.post(PATH_ENROL, content=body)) for _ in range(60)
        ]
        strangers += [
            asyncio.create_task(centre.http.get(f"{PATH_BUNDLE}{number:064x}"))
            for number in range(60)
        ]
        # One has a place and a hundred wait, for a moment; the others are told at once.
        await until(lambda: sum(each.done() for each in strangers) >= 19)
        assert told([each.result() for each in strangers if each.done()]).keys() == {COME_AGAIN}
        await assert_sells(till)
        await till.hello()
        await till.pull()
        assert (await centre.http.get(rules)).status_code == OK  # from memory
    statuses = told(await asyncio.gather(*strangers))
    assert statuses[OK] >= 1
    assert statuses[COME_AGAIN] >= 19
    assert (await centre.http.post(PATH_ENROL, content=body)).status_code == OK
    assert (await centre.http.get(PATH_BUNDLE + "0" * 64)).status_code == NOT_FOUND
