"""Runs the centre or a part of it: front, processing, outreach, each in a process of its own.

The front answers tills, apps and people; processing posts what arrived and looks after rights,
counters and rules; outreach tells others about it. They share nothing but the database: the front
says there that records came, and processing hears it (design: centre 1). One process may be all of
them, which is the default.
"""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec
import structlog
import uvicorn

from central import bootstrap
from central.api.traffic import TrafficControl
from central.bootstrap import Centre, join_centre
from central.config import CentralConfig
from central.database.pool import Pool, Pools, open_pool
from central.keys import load_keys
from central.system import System
from central.tills.listening import listen_for_ever
from central.tills.waiting import WaitingRoom

log = structlog.get_logger()

CHANNEL_INGESTED: Final = "tillside_ingested"
_KEEP_ALIVE_S = 65
_ENDING_S = 0.2
_AGAIN_S = 2.0
_ALIVE_S = 30.0
_SETTLE_S = 5.0
_COLLECTED_EVERY = (20_000, 20, 50)
"""Thresholds of garbage collection: it would look through all rules each time, and they stay."""
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


async def serve(config: CentralConfig, system: System) -> None:
    """Run the configured role until SIGTERM or SIGINT."""
    gc.set_threshold(*_COLLECTED_EVERY)
    async with _opened(config, system) as pools:
        keys = load_keys(config.folder, system)
        room = WaitingRoom(hold_s_max=config.hold_s)
        centre = join_centre(pools.till, keys, system, config.rights(), room, pools)
        if config.role in ("front", "all"):
            await _serve_front(centre, config, room)
        else:
            await _run_behind(centre, config)


@asynccontextmanager
async def _opened(config: CentralConfig, system: System) -> AsyncIterator[Pools]:
    """Open the database, migrated, with a pool for each kind of work the role has."""
    async with AsyncExitStack() as ending:
        dsn = await ending.enter_async_context(bootstrap.opened_server(config))
        given = msgspec.structs.replace(config, database=dsn)
        till = await ending.enter_async_context(bootstrap.opened_database(given, system))

        async def another(connections_max: int) -> Pool:
            pool = await open_pool(dsn, connections_max=connections_max)
            ending.push_async_callback(pool.close)
            return pool

        if config.role == "front":
            app = await another(config.app_connections_max)
            office = await another(config.office_connections_max)
            yield Pools(till, app, office, till)
        elif config.role == "all":
            app = await another(config.app_connections_max)
            office = await another(config.office_connections_max)
            yield Pools(till, app, office, await another(config.processing_connections_max))
        else:
            yield Pools.shared(till)


# The front


async def _serve_front(centre: Centre, config: CentralConfig, room: WaitingRoom) -> None:
    server = uvicorn.Server(
        uvicorn.Config(
            TrafficControl(centre.app),
            host=config.host,
            port=config.port,
            log_level="warning",
            access_log=False,
            # Longer than a till keeps a connection open that nothing travels on.
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
    )
    beside = [
        keep_rules_out_of_collections(centre),
        _announce(server, config),
        listen_for_ever(centre.pool, room, centre.desk.directory),
        _let_go(server, room),
    ]
    applying: asyncio.Task[None] | None = None
    if config.role == "all":
        applying = asyncio.create_task(bootstrap.apply_for_ever(centre), name="apply")
        applying.add_done_callback(lambda task: _apply_ended(task, server))
        beside += _behind(centre, config)
    tasks = [asyncio.create_task(each) for each in beside]
    try:
        await server.serve()
    finally:
        await _end([*tasks, *([applying] if applying is not None else [])])


def _apply_ended(task: asyncio.Task[None], server: uvicorn.Server) -> None:
    """A centre that does not apply must not look well: it ends, and is started anew."""
    if not task.cancelled() and task.exception() is not None:
        log.error("apply_ended", why=repr(task.exception()))
        server.should_exit = True


async def _let_go(server: uvicorn.Server, room: WaitingRoom) -> None:
    """Answer the pulls that wait when the server is told to end: it waits for every request."""
    while not server.should_exit:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(_ENDING_S)
    room.close()


async def _announce(server: uvicorn.Server, config: CentralConfig) -> None:
    """Say where the centre is served once it is, in the log and in a file for other programs."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    (config.folder / "address").write_text(f"http://{config.host}:{port}\n", encoding="ascii")
    log.info("centre_ready", url=f"http://{config.host}:{port}/")


# What goes on behind


def _behind(centre: Centre, config: CentralConfig) -> list[Coroutine[Any, Any, None]]:
    """Return what processing does beside applying."""
    return [
        bootstrap.turn_birthdays_for_ever(centre, config.birthday_days),
        bootstrap.tend_rights_for_ever(centre),
        bootstrap.tend_feed_for_ever(centre),
        bootstrap.guard_rules_for_ever(centre),
        bootstrap.seal_days_for_ever(centre),
        bootstrap.tend_tiers_for_ever(centre),
    ]


async def _run_behind(centre: Centre, config: CentralConfig) -> None:
    """Do what no request waits for, until told to end; a part that fails ends the process."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    parts: list[Coroutine[Any, Any, None]] = []
    if config.role == "processing":
        parts = [
            bootstrap.apply_for_ever(centre), hear_ingested(centre),
            keep_rules_out_of_collections(centre), *_behind(centre, config),
        ]  # fmt: skip
    tasks = [asyncio.create_task(each) for each in parts]
    for task in tasks:
        task.add_done_callback(lambda _: ending.set())
    log.info("centre_ready", role=config.role)
    try:
        await ending.wait()
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
    finally:
        await _end(tasks)


async def keep_rules_out_of_collections(centre: Centre) -> None:
    """Tell the collector to leave compiled rules alone, until cancelled; a quarter of posting."""
    seen = 0
    while True:
        await asyncio.sleep(_SETTLE_S)
        if (compilations := centre.applier.library.compilations) != seen:
            seen = compilations
            gc.unfreeze()  # of rules that were replaced since nothing stays
            gc.collect()
            gc.freeze()


async def hear_ingested(centre: Centre) -> None:
    """Have records applied as soon as another process has kept them, until cancelled.

    While nothing is heard the applier looks by itself every second.
    """

    def heard(*_: object) -> None:
        centre.ingested.set()

    while True:
        try:
            async with centre.applier.pool.acquire() as connection:
                await connection.add_listener(CHANNEL_INGESTED, heard)
                try:
                    while True:
                        await asyncio.sleep(_ALIVE_S)
                        await connection.execute("select 1")  # proves that it is alive
                finally:
                    if not connection.is_closed():
                        await connection.remove_listener(CHANNEL_INGESTED, heard)
        except _LOST as error:
            log.warning("hearing_waits", why=repr(error))
        await asyncio.sleep(_AGAIN_S)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
