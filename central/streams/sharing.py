"""Several processes that apply share the tills among them, so that no record is calculated twice.

Each holds the same advisory lock of PostgreSQL, shared, for as long as its connection lives; who
holds it, in the order of their backends, is numbered. A till is of one number, so its records are
posted in their order. This only spreads the work: each record is claimed before it is posted
(`Batch.claim`), so that while the processes disagree some is done twice and thrown away, and
nothing else (design: stack 4.3).
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.observability.meters import APPLIERS

_SQL = load_queries("central.streams", "queries.sql")
log = structlog.get_logger()

CHANNEL_INGESTED: Final = "tillside_ingested"
SLICES: Final = 16
"""Tills whose number leaves the same rest are a slice; more processes than slices are idle.

It stands in the index `inbox_of_slice`, too.
"""
_LOCK: Final = 0x54494C4C41504C59  # "TILLAPLY"
_LOOK_S: Final = 2.0
"""A process that ended is missed no longer; its records wait meanwhile."""
_SILENT_MS: Final = 15_000
"""After so long without a look the database ends the session of a process that hangs."""
_AGAIN_S: Final = 2.0
_CONNECTIONS_MIN: Final = 3
"""Of a smaller pool none is kept: it then hears nothing, looks every second, and shares nothing."""
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@dataclass(slots=True)
class Share:
    """Which tills are a process's: of the slices whose number, divided by `of`, leaves `number`.

    Attributes:
        is_failing: the process could not apply what it looked at last; others had better do it.
    """

    number: int = 0
    of: int = 1
    is_failing: bool = False

    def take(self, number: int, of: int) -> bool:
        """Change it; says whether it is another now."""
        was = (self.number, self.of)
        self.number, self.of = number, of
        APPLIERS.set(of)
        return was != (number, of)

    def slices(self) -> list[int]:
        """Return its slices."""
        return list(range(self.number, SLICES, self.of))


async def share_for_ever(pool: Pool, share: Share, ingested: asyncio.Event) -> None:
    """Hear of records that any process has kept, and share them with all that apply.

    Keeps one connection, until cancelled. While there is none, every till is this process's.
    """
    if pool.get_max_size() < _CONNECTIONS_MIN:
        return
    while True:
        if not share.is_failing:
            try:
                async with pool.acquire() as connection:
                    await _share(connection, share, ingested)
            except _LOST as error:
                log.warning("sharing_waits", why=repr(error))
            finally:
                share.take(0, 1)
        ingested.set()
        await asyncio.sleep(_AGAIN_S)


async def _share(connection: Connection, share: Share, ingested: asyncio.Event) -> None:
    """Share until the connection is lost, or this process fails at what is its own."""

    def heard(*_: object) -> None:
        ingested.set()

    try:
        await connection.add_listener(CHANNEL_INGESTED, heard)
        await connection.execute(_SQL["begin_to_share"], _LOCK, str(_SILENT_MS))
        while not share.is_failing:  # each look also proves that the connection is alive
            row = await connection.fetchrow(_SQL["shares"], _LOCK)
            assert row is not None
            if share.take(row["number"], row["of"]):
                log.info("records_shared", number=share.number, of=share.of)
                ingested.set()
            await asyncio.sleep(_LOOK_S)
        log.warning("share_left", why="applying fails")
    finally:
        with suppress(asyncpg.InterfaceError):  # where it is lost already
            connection.terminate()  # and with it ends what it listens to, and the lock
