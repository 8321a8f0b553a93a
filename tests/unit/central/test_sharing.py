"""Processes that apply share the tills: each record is one's, and none is nobody's for long."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain

import asyncpg
import pytest

from central.bootstrap import Centre, join_centre
from central.database.named_sql import load_queries
from central.database.pool import open_pool
from central.rights.issuing import RightsSettings
from central.streams import sharing
from central.streams.apply import Applier
from central.streams.sharing import SLICES, Share, share_for_ever
from tests.support.centre import KEYS, JoinedCentre
from tests.support.explained import plan_by_indexes

WAIT_S = 20
STORES = tuple(f"store-{number}" for number in range(1, 9))
SHARERS = """from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and database = (
    select oid from pg_database where datname = current_database())"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LOOK_S", 0.02)
    monkeypatch.setattr(sharing, "_AGAIN_S", 0.02)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not what():  # noqa: ASYNC110 - it looks at what several tasks did
            await asyncio.sleep(0.01)


@asynccontextmanager
async def sharing_process(database: str, centre: JoinedCentre) -> AsyncIterator[Centre]:
    """Give a process that shares, as far as one is told from another: by its connection."""
    pool = await open_pool(database, connections_max=3)
    parts = join_centre(pool, KEYS, centre.system, RightsSettings())
    applier = parts.applier
    task = asyncio.create_task(share_for_ever(applier.pool, applier.share, parts.ingested))
    try:
        yield parts
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pool.close()


async def test_processing_hears_what_a_front_has_kept(centre: JoinedCentre, database: str) -> None:
    till = await centre.till()
    await centre.customer(7)
    async with sharing_process(database, centre) as processing:
        while not await centre.pool.fetchval(f"select count(*) {SHARERS}"):
            await centre.pool.execute("select pg_sleep(0.01)")
        till.append(till.sale("s1", account=7))
        await till.push()
        await asyncio.wait_for(processing.ingested.wait(), WAIT_S)
        assert (await centre.totals(7)).posted == 0
        assert await processing.applier.apply_pending() == 2
        assert (await centre.totals(7)).posted == 100


async def test_every_process_has_another_share_and_one_that_ends_leaves_it(
    centre: JoinedCentre, database: str
) -> None:
    async with AsyncExitStack() as ending:
        first, second = [
            (await ending.enter_async_context(sharing_process(database, centre))).applier.share
            for _ in range(2)
        ]
        async with sharing_process(database, centre) as another:
            third = another.applier.share
            shares = (first, second, third)
            await until(lambda: {(each.number, each.of) for each in shares} == parts_of(3))
        assert (third.number, third.of) == (0, 1)  # what has ended shares with nobody
        await until(lambda: {(each.number, each.of) for each in (first, second)} == parts_of(2))


def parts_of(count: int) -> set[tuple[int, int]]:
    return {(number, count) for number in range(count)}


async def test_a_process_whose_connection_is_lost_shares_again(
    centre: JoinedCentre, database: str
) -> None:
    killer = await asyncpg.connect(database)
    async with (
        sharing_process(database, centre) as one,
        sharing_process(database, centre) as other,
    ):
        shares = (one.applier.share, other.applier.share)
        await until(lambda: {(each.number, each.of) for each in shares} == parts_of(2))
        one.ingested.clear()
        await killer.execute(f"select pg_terminate_backend(pid) {SHARERS}")
        await asyncio.wait_for(one.ingested.wait(), WAIT_S)  # it looks at what it has missed
        await until(lambda: {(each.number, each.of) for each in shares} == parts_of(2))
    await killer.close()


async def test_a_pool_without_a_connection_to_spare_shares_nothing(database: str) -> None:
    pool, share = await open_pool(database, connections_max=2), Share()
    await asyncio.wait_for(share_for_ever(pool, share, asyncio.Event()), WAIT_S)
    assert (share.number, share.of) == (0, 1)
    await pool.close()


async def sold_in_all_stores(centre: JoinedCentre) -> int:
    """Hand a receipt in at a till of each store; returns how many records there are."""
    for number, store in enumerate(STORES):
        if store != STORES[0]:
            await centre.store(store)
        await centre.customer(number + 1)
        till = await centre.till(store)
        till.append(till.sale(f"s{number}", account=number + 1))
        await till.push()
    return 2 * len(STORES)


async def test_shares_are_of_different_tills_and_leave_none_out(centre: JoinedCentre) -> None:
    records = await sold_in_all_stores(centre)
    library = centre.parts.applier.library
    tills: list[set[int]] = []
    known: set[int] = set()
    ended = 0
    for number in range(3):
        applier = Applier(centre.pool, library, centre.system, share=Share(number, 3))
        while applied := await applier.apply_pending(3):
            ended += applied
        rows = await centre.pool.fetch("select distinct till_id from receipt")
        tills.append({row["till_id"] for row in rows} - known)
        known |= tills[-1]
    assert ended == records
    assert len(known) == len(STORES)
    assert sum(len(each) for each in tills) == len(STORES)
    assert all(tills), "eight tills and three shares: each has some"


def test_shares_divide_the_slices_whatever_their_number() -> None:
    for of in range(1, SLICES + 3):
        shares = [Share(number, of).slices() for number in range(of)]
        assert sorted(chain(*shares)) == list(range(SLICES))


async def test_what_waits_for_others_is_not_looked_through(centre: JoinedCentre) -> None:
    query = load_queries("central.streams", "queries.sql")["to_apply"]
    asked = (500, 1_000_000, Share(1, 4).slices())
    async with centre.pool.acquire() as connection:
        plan = await plan_by_indexes(connection, query, *asked)
    wanted = r"Scan using inbox_of_slice on inbox k\n *Index Cond: .*slice\)(?!\n *Filter)"
    assert re.search(wanted, plan), plan


async def test_who_fails_leaves_its_share_to_others_until_it_does_not(
    centre: JoinedCentre, database: str
) -> None:
    async with (
        sharing_process(database, centre) as one,
        sharing_process(database, centre) as other,
    ):
        shares = (one.applier.share, other.applier.share)
        await until(lambda: {(each.number, each.of) for each in shares} == parts_of(2))
        one.applier.share.is_failing = True
        await until(lambda: (other.applier.share.number, other.applier.share.of) == (0, 1))
        one.applier.share.is_failing = False
        await until(lambda: {(each.number, each.of) for each in shares} == parts_of(2))


async def test_a_process_that_hangs_is_left_by_the_database(
    centre: JoinedCentre, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_SILENT_MS", 200)
    monkeypatch.setattr(sharing, "_LOOK_S", 3_600.0)
    async with sharing_process(database, centre):
        count = f"select count(*) {SHARERS}"
        async with asyncio.timeout(WAIT_S):
            while not await centre.pool.fetchval(count):
                await centre.pool.execute("select pg_sleep(0.01)")
            while await centre.pool.fetchval(count):
                await centre.pool.execute("select pg_sleep(0.01)")


async def test_processes_that_disagree_post_each_record_once(centre: JoinedCentre) -> None:
    records = await sold_in_all_stores(centre)
    library = centre.parts.applier.library
    shares = (Share(0, 1), Share(0, 2), Share(1, 2), Share(1, 3))  # some changed, some not yet
    appliers = [Applier(centre.pool, library, centre.system, share=each) for each in shares]
    ended = 0
    while applied := sum(await asyncio.gather(*(each.apply_pending() for each in appliers))):
        ended += applied
    assert ended == records
    for number in range(len(STORES)):
        assert (await centre.totals(number + 1)).posted == 100
    await centre.assert_balanced()
