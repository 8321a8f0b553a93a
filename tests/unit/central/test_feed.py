"""What a till is told at a pull: every change once, in pages, none lost whoever commits late."""

import asyncio
import random

import asyncpg

from loyalty.account import AccountSnapshot
from sync.messages import AccountRow, OutcomeRow
from sync.records import SaleRecord
from tests.support.centre import JoinedCentre
from tests.support.till_probe import TillProbe

TELL = "insert into feed (scope, account_id) values ('store:store-1', $1)"


async def pulled(till: TillProbe) -> list[int]:
    """Pull until there is no more; returns the accounts in the order told."""
    accounts: list[int] = []
    more = True
    while more:
        answer = await till.pull()
        accounts += [row.snapshot.account_id for row in answer.accounts]
        more = answer.more
    return accounts


async def test_a_till_hears_of_its_stores_customers(centre: JoinedCentre) -> None:
    await centre.store("store-2")
    till, other = await centre.till(), await centre.till("store-2")
    await centre.customer(7, 300, 20, home="store-1", card="4000")
    await centre.customer(8, 10, home="store-2", card="4001")
    (row,) = (await till.pull()).accounts
    assert row == AccountRow(
        card=till.card("4000"),
        snapshot=AccountSnapshot(
            identified=True, account_id=7, points=320, version=row.snapshot.version
        ),
        points=320,
    )
    assert await pulled(other) == [8]
    # A customer of another store is known where they have bought once.
    await centre.post(other, other.sale("s1", account=7))
    assert await pulled(other) == [7]
    assert await pulled(till) == [7]
    assert await pulled(till) == []


async def test_a_customer_with_several_cards_is_told_by_each(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.load(
        {"kind": "account", "account_id": 7, "home_store": "store-1", "cards": ["4000", "4001"]}
    )
    answer = await till.pull()
    assert {row.card for row in answer.accounts} == {till.card("4000"), till.card("4001")}


async def test_each_change_is_told_once_and_in_pages(centre: JoinedCentre) -> None:
    till = await centre.till()
    for account_id in range(1, 31):
        await centre.customer(account_id, home="store-1", card=f"card {account_id}")
    accounts: list[int] = []
    answers = []
    more = True
    while more:
        answer = await till.pull(bytes_max=1_024)
        answers.append(answer)
        accounts += [row.snapshot.account_id for row in answer.accounts]
        more = answer.more
    assert accounts == list(range(1, 31))
    assert len(answers) == 5  # the roster takes its bytes of each, as the till keeps none
    assert await pulled(till) == []


async def test_a_pull_whose_answer_was_lost_tells_the_same_again(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, home="store-1", card="4000")
    lost = await till.pull(receive=False)
    assert (await till.pull()).accounts == lost.accounts != ()


async def test_a_late_commit_is_waited_for_and_not_lost(
    centre: JoinedCentre, database: str
) -> None:
    till = await centre.till()
    for account_id in (1, 2, 3):
        await centre.customer(account_id, card=f"card {account_id}")
    early, late = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        slow = late.transaction()
        await slow.start()
        await late.execute(TELL, 1)  # takes its number first
        await early.execute(TELL, 2)  # and commits first
        assert await pulled(till) == []
        await slow.commit()
        assert await pulled(till) == [1, 2]
        failing = late.transaction()
        await failing.start()
        await late.execute(TELL, 3)
        await early.execute(TELL, 1)
        await failing.rollback()
        assert await pulled(till) == [1]
    finally:
        await early.close()
        await late.close()


async def test_numbers_taken_out_of_turn_lose_nothing(centre: JoinedCentre) -> None:
    till = await centre.till()
    for account_id in range(1, 17):
        await centre.customer(account_id, card=f"card {account_id}")
    for first, numbers_from in ((1, 2_000), (9, 1_000)):  # the later transaction has smaller ones
        await centre.pool.execute(
            "insert into feed (id, scope, account_id) overriding system value"
            " select $2 + n, 'store:store-1', n from generate_series($1::int, $1 + 7) n",
            first, numbers_from,
        )  # fmt: skip
    page = await till.pull(bytes_max=1_200)
    assert [row.snapshot.account_id for row in page.accounts] == list(range(1, 9))
    assert await pulled(till) == list(range(9, 17))


async def test_many_writers_at_once_lose_nothing_and_repeat_nothing(
    centre: JoinedCentre, database: str, seed: int
) -> None:
    till = await centre.till()
    draw = random.Random(seed)
    writers, rows_each = 4, 60
    numbers = iter(range(1, writers * rows_each + 1))
    await centre.pool.execute(
        "insert into account (account_id) select generate_series(1, $1)", writers * rows_each
    )
    await centre.pool.execute(
        "insert into card select int8send(account_id), account_id from account"
    )
    await centre.pool.execute(
        "insert into account_card select account_id, card from card on conflict do nothing"
    )
    committed: set[int] = set()

    async def write() -> None:
        connection = await asyncpg.connect(database)
        try:
            for _ in range(rows_each):
                account_id, commits = next(numbers), draw.random() > 0.05
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(TELL, account_id)
                await connection.execute("select pg_sleep($1)", draw.random() * 0.004)
                await (transaction.commit() if commits else transaction.rollback())
                if commits:
                    committed.add(account_id)
        finally:
            await connection.close()

    writing = [asyncio.create_task(write()) for _ in range(writers)]
    told: list[int] = []
    while not all(task.done() for task in writing):
        told += await pulled(till)
    await asyncio.gather(*writing)
    told += await pulled(till)
    assert len(told) == len(set(told))
    assert set(told) == committed


async def test_rows_hold_what_is_applied_and_applied_through_says_how_far(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 50, home="store-1", card="4000")
    await till.pull()
    till.append(till.sale("s1", account=7))
    till.append(till.refund("r1", "unknown"))
    await till.push()
    before = await till.pull()
    assert (before.applied_through, before.accounts, before.outcomes) == (0, (), ())
    await centre.parts.applier.apply_pending(2)
    halfway = await till.pull()
    assert halfway.applied_through == 2
    assert [row.points for row in halfway.accounts] == [150]
    await centre.apply()
    after = await till.pull()
    assert after.applied_through == 3
    assert halfway.outcomes + after.outcomes == tuple(
        OutcomeRow(seq=seq, incarnation=till.incarnation, outcome=outcome, reason=reason)
        for seq, outcome, reason in (
            (1, "accepted", "first start"),
            (2, "accepted", ""),
            (3, "parked", "its receipt has not come yet"),
        )
    )


async def test_an_outcome_that_changes_is_told_again(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7)
    await centre.post(till, till.refund("r1", "s1"))
    assert [row.outcome for row in (await till.pull()).outcomes] == ["accepted", "parked"]
    sale: SaleRecord = other.sale("s1", account=7)
    await centre.post(other, sale)
    assert [(row.seq, row.outcome) for row in (await till.pull()).outcomes] == [(2, "accepted")]


async def test_a_till_hears_of_rules_it_does_not_have(centre: JoinedCentre) -> None:
    till = await centre.till()
    assert (await till.pull()).manifest is None
    till.rules.bundle_hash = ""
    manifest = (await till.pull()).manifest
    assert manifest is not None
    assert (manifest.version, len(manifest.bundle)) == (1, 64)
