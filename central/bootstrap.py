"""The one place that joins the parts of the centre; tests and the simulator pass their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import structlog
import uvicorn
from starlette.applications import Starlette

from central.api.app import make_app
from central.api.app_routes import AppRoutes
from central.api.office_routes import OfficeRoutes
from central.api.open_routes import OpenRoutes
from central.api.till_routes import TillRoutes
from central.config import CentralConfig
from central.console.status_page import StatusPage
from central.database.embedded import EmbeddedServer, start_embedded
from central.database.migrations import migrate
from central.database.pool import Pool, open_pool
from central.keys import CentreKeys, load_keys
from central.people.birthdays import turn_birthdays
from central.rights.counters import CounterDesk
from central.rights.courier import CourierDesk
from central.rights.issuing import RightsDesk, RightsSettings
from central.rights.tending import tend
from central.rules.library import RuleLibrary
from central.streams.apply import Applier
from central.system import System
from central.tills.desk import TillDesk
from central.tills.feed import sweep, watch_epoch

log = structlog.get_logger()

_IDLE_S = 1.0
_BIRTHDAYS_S = 3600.0
_RIGHTS_S = 60.0
_FEED_S = 3600.0
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a database says, or its client in its place, that went away in the middle of a statement."""


@dataclass(frozen=True, slots=True)
class Centre:
    """A joined centre; `ingested` is set when there is something to apply."""

    pool: Pool
    keys: CentreKeys
    system: System
    desk: TillDesk
    applier: Applier
    app: Starlette
    ingested: asyncio.Event


def join_centre(pool: Pool, keys: CentreKeys, system: System, rights: RightsSettings) -> Centre:
    """Join the parts over an open, migrated database."""
    library = RuleLibrary()
    ingested = asyncio.Event()
    counters = CounterDesk(pool, system, keys.centre, rights, library)
    desk = TillDesk(pool, RightsDesk(pool, system, keys.centre, rights), counters, system, ingested)
    app = make_app(
        tills=TillRoutes(pool, desk, keys),
        opened=OpenRoutes(pool, keys, system),
        office=OfficeRoutes(pool, keys, library),
        customers=AppRoutes(CourierDesk(pool, system, keys.centre, rights), keys),
        status=StatusPage(pool, library, system),
    )
    return Centre(pool, keys, system, desk, Applier(pool, library, system), app, ingested)


@asynccontextmanager
async def opened_database(config: CentralConfig, system: System) -> AsyncIterator[Pool]:
    """Open the configured database, or an embedded one in the data folder, migrated.

    Raises:
        DatabaseUnavailableError: it does not answer or does not fit.
        MigrationError: the schema cannot be brought up to date.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    server: EmbeddedServer | None = None
    if not config.database:
        server = await asyncio.to_thread(start_embedded, config.folder / "postgres")
    try:
        pool = await open_pool(
            config.database or _dsn(server), connections_max=config.connections_max
        )
        try:
            async with pool.acquire() as connection:
                for name in await migrate(connection, now_ms=system.now_ms()):
                    log.info("migrated", file=name)
            yield pool
        finally:
            await pool.close()
    finally:
        if server is not None:
            await asyncio.to_thread(server.stop)


def _dsn(server: EmbeddedServer | None) -> str:
    assert server is not None
    return server.dsn


async def apply_for_ever(centre: Centre) -> None:
    """Apply what is ingested, as it comes, until cancelled; a failing database is tried again."""
    while True:
        try:
            centre.ingested.clear()
            while await centre.applier.apply_pending():
                pass
        except _LOST as error:
            log.warning("apply_waits", why=repr(error))
        try:
            async with asyncio.timeout(_IDLE_S):
                await centre.ingested.wait()
        except TimeoutError:
            continue


async def turn_birthdays_for_ever(centre: Centre, days: int) -> None:
    """Open and close birthday windows every hour, until cancelled."""
    while True:
        try:
            turned = await turn_birthdays(centre.pool, now_ms=centre.system.now_ms(), days=days)
            if turned:
                log.info("birthday_windows_turned", accounts=turned)
        except _LOST as error:
            log.warning("birthdays_wait", why=repr(error))
        await asyncio.sleep(_BIRTHDAYS_S)


async def tend_rights_for_ever(centre: Centre) -> None:
    """Freeze, write off and plan rights every minute, until cancelled."""
    while True:
        try:
            done = await tend(
                centre.pool, now_ms=centre.system.now_ms(), settings=centre.desk.rights.settings
            )
            if done.written_off.rights or done.frozen:
                log.info("rights_tended", frozen=done.frozen, lost=done.written_off.points)
            if done.written_off.refused:
                log.warning(
                    "pool_too_small",
                    why="lost rights stay held; put points into the pool",
                    points=done.written_off.refused_points,
                )
        except _LOST as error:
            log.warning("rights_wait", why=repr(error))
        await asyncio.sleep(_RIGHTS_S)


async def tend_feed_for_ever(centre: Centre) -> None:
    """Watch for another life of the cluster and sweep old rows every hour, until cancelled."""
    while True:
        try:
            if await watch_epoch(centre.pool):
                log.warning("feed_epoch", why="another cluster or timeline; tills compare")
            swept = await sweep(centre.pool, now_ms=centre.system.now_ms())
            if swept:
                log.info("feed_swept", rows=swept)
        except _LOST as error:
            log.warning("feed_waits", why=repr(error))
        await asyncio.sleep(_FEED_S)


async def serve(config: CentralConfig, system: System) -> None:
    """Serve until SIGTERM or SIGINT."""
    async with opened_database(config, system) as pool:
        centre = join_centre(pool, load_keys(config.folder, system), system, config.rights())
        server = uvicorn.Server(
            uvicorn.Config(
                centre.app,
                host=config.host,
                port=config.port,
                log_level="warning",
                access_log=False,
            )
        )
        applying = asyncio.create_task(apply_for_ever(centre), name="apply")
        applying.add_done_callback(lambda task: _apply_ended(task, server))
        beside = (
            asyncio.create_task(_announce(server, config)),
            asyncio.create_task(turn_birthdays_for_ever(centre, config.birthday_days)),
            asyncio.create_task(tend_rights_for_ever(centre)),
            asyncio.create_task(tend_feed_for_ever(centre)),
        )
        try:
            await server.serve()
        finally:
            for task in (applying, *beside):
                task.cancel()
            await asyncio.gather(applying, *beside, return_exceptions=True)


def _apply_ended(task: asyncio.Task[None], server: uvicorn.Server) -> None:
    """A centre that does not apply must not look well: it ends, and is started anew."""
    if not task.cancelled() and task.exception() is not None:
        log.error("apply_ended", why=repr(task.exception()))
        server.should_exit = True


async def _announce(server: uvicorn.Server, config: CentralConfig) -> None:
    """Say where the centre is served once it is, in the log and in a file for other programs."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    (config.folder / "address").write_text(f"http://{config.host}:{port}\n", encoding="ascii")
    log.info("centre_ready", url=f"http://{config.host}:{port}/")
