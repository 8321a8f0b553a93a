"""What is owed in points at the end of any day: the fold of the entries, without what is over."""

import asyncpg
import pytest

from central.errors import BadRequestError
from central.ledger.liability import Liability, OpenPoints, day_of, read_liability
from central.ledger.merging import merge_accounts
from tests.support.centre import JoinedCentre
from tests.support.till_probe import take

TODAY = "2025-03-05"


async def owed(centre: JoinedCentre, day: str = TODAY) -> Liability:
    async with centre.pool.acquire() as connection:
        return await read_liability(connection, day)


async def test_points_are_shown_by_kind_and_month_of_their_end(centre: JoinedCentre) -> None:
    await centre.customer(7, 100, 200, 50, ends=["2025-04-10", "2025-04-20"])
    await centre.customer(8, 5, ends=["2025-03-05"])
    found = await owed(centre)
    assert found.open == (
        OpenPoints(kind="opening", restriction="", ends_in="", points=50, lots=1),
        OpenPoints(kind="opening", restriction="", ends_in="2025-04", points=300, lots=2),
    )
    assert (found.points, found.over, found.debt) == (350, 5, 0)


async def test_a_past_day_stays_what_it_was(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    before = await owed(centre)
    centre.system.pass_days(3)
    till = await centre.till()
    (right,) = (await till.authorise("s1", 7, 200)).authorisations
    await centre.post(till, till.sale("s1", account=7, sources=[take(right)]))
    assert await owed(centre) == before
    after = await owed(centre, day_of(centre.system.now_ms()))
    assert after.points == (await centre.totals(7)).posted == 180


async def test_held_points_are_owed_and_points_end_by_themselves(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, ends=["2025-03-20"])
    till = await centre.till()
    await till.authorise("s1", 7, 200)
    assert (await owed(centre)).points == 300
    assert (await owed(centre, "2025-03-19")).points == 300
    ended = await owed(centre, "2025-03-20")
    assert (ended.points, ended.over) == (0, 300)


async def test_a_merge_changes_nothing_of_what_is_owed(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await centre.customer(8, 40)
    before = await owed(centre)
    await merge_accounts(
        centre.pool, 7, 8, person="ann", reason="one customer", now_ms=centre.system.now_ms()
    )
    assert await owed(centre) == before


async def test_no_day_is_refused(centre: JoinedCentre) -> None:
    for day in ("yesterday", "9999-12-31", "2025-02-30"):
        with pytest.raises(BadRequestError):
            await owed(centre, day)


@pytest.mark.parametrize(
    ("is_patient", "ends_by"),
    [(False, asyncpg.QueryCanceledError), (True, asyncpg.LockNotAvailableError)],
)
async def test_only_the_command_takes_longer_than_the_service_may(
    centre: JoinedCentre, database: str, ends_by: type[Exception], *, is_patient: bool
) -> None:
    reader = await asyncpg.connect(database, command_timeout=1.0 if is_patient else 60.0)
    try:
        async with centre.pool.acquire() as holder, holder.transaction():
            await holder.execute("lock table ledger_posting in access exclusive mode")
            # Whoever is patient waits for the lock, until the lock's own time is over.
            await reader.execute("set statement_timeout = 100; set lock_timeout = 1500")
            with pytest.raises(ends_by):
                await read_liability(reader, TODAY, is_patient=is_patient)
        assert await reader.fetchval("show statement_timeout") == "100ms"
        await reader.execute("reset statement_timeout")
        assert (await read_liability(reader, TODAY, is_patient=is_patient)).points == 0
    finally:
        await reader.close()
