"""Who talks to a till and who posts its records never wait for each other in a ring."""

import asyncio

import asyncpg
import pytest

from central.database.named_sql import load_queries
from central.rights.suspicion import lock_past
from tests.support.centre import JoinedCentre
from tests.support.till_probe import TillProbe

QUERIES = load_queries("central.rights", "queries.sql")
BUDGETS = load_queries("central.rights", "budgets.sql")
BOOKS = load_queries("central.rights", "right_books.sql")
HOMES = load_queries("central.rights", "home_books.sql")
SOON_S = 0.3


async def till_with_budget(centre: JoinedCentre) -> TillProbe:
    await centre.fund(1_000)
    till = await centre.till(is_vault=True)
    await centre.customer(7, 100)
    return till


async def test_a_hello_and_posting_do_not_wait_for_each_other(centre: JoinedCentre) -> None:
    till = await till_with_budget(centre)
    async with (
        centre.pool.acquire() as hello,
        centre.pool.acquire() as posting,
        hello.transaction(),
    ):
        async with posting.transaction():
            await posting.fetch(BOOKS["lock_budgets"], [till.till_id])
            await lock_past(hello, till.till_id, [])
            given = hello.fetch(BUDGETS["lock_streams"], till.till_id, till.incarnation)
            waiting = asyncio.create_task(given)
            await asyncio.sleep(SOON_S)
            assert not waiting.done()
            # A visit's wish: its foreign key looks at the till that says HELLO.
            await posting.execute(HOMES["wish"], [7], [till.till_id])
        assert len(await waiting) == 1


@pytest.mark.parametrize("what", ["hold_session", "lock_past"])
async def test_a_hello_waits_for_who_holds_its_session_and_for_another_hello(
    centre: JoinedCentre, what: str
) -> None:
    till = await till_with_budget(centre)
    arguments = (till.session,) if what == "hold_session" else ([],)
    async with (
        centre.pool.acquire() as one,
        centre.pool.acquire() as other,
        one.transaction(),
    ):
        await one.fetch(QUERIES[what], till.till_id, *arguments)
        await other.execute("set lock_timeout = '300ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await lock_past(other, till.till_id, [])
        await other.execute("reset lock_timeout")
