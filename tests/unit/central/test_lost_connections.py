"""Parts that keep a connection end when told to, though the database has just gone away."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from central.bootstrap import join_centre
from central.database.pool import open_pool
from central.outreach.events import StoredEvent
from central.outreach.port import Answer
from central.outreach.relay import Relay
from central.rights.issuing import RightsSettings
from central.streams.sharing import share_for_ever
from central.tills.listening import listen_for_ever
from tests.support.centre import KEYS, JoinedCentre

WAIT_S = 20
OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
BUSY = {
    "listening": "query like '%rule_change%' or query like 'LISTEN%'",
    "sharing": "query like '%pg_locks%'",
    "relaying": "query like '%outbox%'",
}
"""What each part has asked last where it keeps its connection."""


class Nobody:
    """A broker that is there and is told nothing."""

    async def publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
        assert not events
        return []

    async def close(self) -> None:
        """Nothing to leave."""


@pytest.mark.parametrize("name", list(BUSY))
async def test_what_has_lost_its_connection_still_ends_when_told(
    centre: JoinedCentre, database: str, name: str
) -> None:
    pool = await open_pool(database, connections_max=3)
    parts = join_centre(pool, KEYS, centre.system, RightsSettings())
    applier = parts.applier
    work = {
        "listening": lambda: listen_for_ever(pool, parts.desk.room, parts.desk.directory),
        "sharing": lambda: share_for_ever(pool, applier.share, parts.ingested),
        "relaying": Relay(pool, Nobody(), parts.system).run,
    }[name]
    task = asyncio.create_task(work())
    killer = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(WAIT_S):
            while not await killer.fetchval(f"select count(*) {OTHERS} and ({BUSY[name]})"):
                await killer.execute("select pg_sleep(0.01)")
        await killer.execute(f"select pg_terminate_backend(pid, 5000) {OTHERS}")
        await killer.execute("select pg_sleep(0.05)")  # they hear of it
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT_S)
    finally:
        await killer.close()
        await pool.close()
