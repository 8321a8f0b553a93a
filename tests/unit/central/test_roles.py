"""Front and processing as processes of their own: one keeps records, the other hears and posts."""

import asyncio

from central.bootstrap import join_centre
from central.database.pool import open_pool
from central.rights.issuing import RightsSettings
from central.roles import hear_ingested
from tests.support.centre import KEYS, JoinedCentre

WAIT_S = 20


async def test_processing_hears_what_a_front_has_kept(centre: JoinedCentre, database: str) -> None:
    till = await centre.till()
    await centre.customer(7)
    pool = await open_pool(database, connections_max=3)
    processing = join_centre(pool, KEYS, centre.system, RightsSettings())
    hearing = asyncio.create_task(hear_ingested(processing))
    try:
        listening = "select count(*) from pg_stat_activity where query like 'LISTEN%ingested%'"
        while not await pool.fetchval(listening):
            await pool.execute("select pg_sleep(0.01)")
        till.append(till.sale("s1", account=7))
        await till.push()
        await asyncio.wait_for(processing.ingested.wait(), WAIT_S)
        assert (await centre.totals(7)).posted == 0
        assert await processing.applier.apply_pending() == 2
        assert (await centre.totals(7)).posted == 100
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await pool.close()
