"""Applying goes on: appliers share the work, and a lost database is tried again."""

import asyncio

import asyncpg

from central.bootstrap import apply_for_ever
from central.database.pool import Connection
from central.streams.apply import Applier
from tests.support.centre import JoinedCentre, Totals

WAIT_S = 20


async def _posted(connection: Connection, points: int, loop: asyncio.Task[None]) -> None:
    while await connection.fetchval("select posted from account") < points:
        assert not loop.done(), loop
        await connection.execute("select pg_sleep(0.01)")


async def test_two_appliers_share_the_work_and_apply_each_record_once(
    centre: JoinedCentre,
) -> None:
    vault = await centre.till(is_vault=True)
    accounts = range(1, 21)
    for account_id in accounts:
        await centre.customer(account_id, 100, home="store-1")
    for grant in (await vault.pull()).grants:
        # Given back in two parts: a record applied twice would bring home more than it states.
        vault.append(vault.give_back(grant, 30))
        vault.append(vault.sale(f"s{grant.account_id}", account=grant.account_id))
    await vault.push()
    parts = centre.parts
    appliers = [Applier(centre.pool, parts.applier.library, centre.system) for _ in range(3)]
    while sum(await asyncio.gather(*(applier.apply_pending(50) for applier in appliers))):
        pass
    for account_id in accounts:
        assert await centre.totals(account_id) == Totals(200, 70)
    outcomes = await centre.outcomes(vault)
    assert {outcome.reason for outcome in outcomes.values()} == {"first start", ""}
    assert {outcome.outcome for outcome in outcomes.values()} == {"accepted"}
    assert len(outcomes) == len(vault.bodies)
    rows = await centre.pool.fetch(
        "select arrival from feed where arrival is not null group by arrival having count(*) > 1"
    )
    assert rows == []  # nor is the till told twice


async def test_the_loop_applies_what_comes_and_outlives_a_lost_database(
    centre: JoinedCentre, database: str
) -> None:
    till = await centre.till()
    await centre.customer(7)
    loop = asyncio.create_task(apply_for_ever(centre.parts))
    killer = await asyncpg.connect(database)
    try:
        for number in (1, 2):
            till.append(till.sale(f"s{number}", account=7))
            await till.push()
            await killer.execute(
                "select pg_terminate_backend(pid, 20000) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
            await asyncio.wait_for(_posted(killer, number * 100, loop), WAIT_S)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await killer.close()
    assert await centre.totals(7) == Totals(200)
