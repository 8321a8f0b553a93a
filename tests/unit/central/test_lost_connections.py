"""Parts that keep a connection end when told to, though the database has just gone away."""

import asyncio
import os
import signal
from collections.abc import Coroutine, Sequence

import asyncpg
import pytest

from central.bootstrap import join_centre
from central.database import pool as pools
from central.database.pool import Pool, open_pool
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
    "listening": "query like '%rule_change%' or query like '%bundle_delta%'",
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


def working(name: str, centre: JoinedCentre, pool: Pool) -> Coroutine[None, None, None]:
    """Return the work of a part, for ever."""
    parts = join_centre(pool, KEYS, centre.system, RightsSettings())
    return {
        "listening": lambda: listen_for_ever(pool, parts.desk.room, parts.desk.directory),
        "sharing": lambda: share_for_ever(pool, parts.applier.share, parts.ingested),
        "relaying": Relay(pool, Nobody(), parts.system).run,
    }[name]()


@pytest.mark.parametrize("name", list(BUSY))
async def test_what_has_lost_its_connection_still_ends_when_told(
    centre: JoinedCentre, database: str, name: str
) -> None:
    pool = await open_pool(database, connections_max=3)
    task = asyncio.create_task(working(name, centre, pool))
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


@pytest.mark.parametrize("name", ["listening", "relaying"])
async def test_what_has_a_database_that_says_nothing_ends_when_told(
    centre: JoinedCentre, database: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its connection is given up, not asked whether it may be."""
    monkeypatch.setattr(pools, "COMMAND_S_MAX", 1)
    pool = await open_pool(database, connections_max=3)
    task = asyncio.create_task(working(name, centre, pool))
    watcher = await asyncpg.connect(database)
    find = f"select pid {OTHERS} and state = 'idle' and ({BUSY[name]})"
    try:
        async with asyncio.timeout(WAIT_S):
            while not (server := await watcher.fetchval(find)):
                await watcher.execute("select pg_sleep(0.01)")
        os.kill(server, signal.SIGSTOP)
        try:
            task.cancel()
            await asyncio.wait({task}, timeout=5)
            assert task.cancelled()
        finally:
            os.kill(server, signal.SIGCONT)
    finally:
        task.cancel()
        await watcher.close()
        pool.terminate()
