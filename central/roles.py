"""Runs the centre or a part of it: front, processing, outreach, each in a process of its own.

The front answers tills, apps and people; processing posts what arrived and looks after rights,
counters and rules; outreach tells others about it. They share nothing but the database: the front
says there that records came, and processing hears it (design: centre 1). One process may be all of
them, which is the default.
"""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
import uvicorn

from central import __version__, bootstrap
from central.alerts.incidents import IncidentBook
from central.alerts.watch import Watch, watch_for_ever
from central.api.till_rates import TillRates
from central.api.traffic import TrafficControl
from central.bootstrap import Centre, join_centre
from central.config import CentralConfig
from central.console.status_page import StatusPage
from central.database.opening import make_ready
from central.database.parts import Part, role_of
from central.database.pool import Pool, Pools, open_pool
from central.keys import load_keys
from central.observability.exposition import FigureReader, MetricsPage
from central.observability.measured import Measured
from central.observability.meters import INFO
from central.observability.readiness import Readiness
from central.observability.side_server import SideServer, serve_beside
from central.outreach.opening import open_sink
from central.outreach.relay import Relay
from central.privacy.customers import CustomerDesk
from central.privacy.personal_keys import load_personal_keys
from central.system import System
from central.tills.listening import listen_for_ever
from central.tills.waiting import WaitingRoom
from central.tls import StrictTransport, renew_for_ever, with_tls

log = structlog.get_logger()

_KEEP_ALIVE_S = 65
_ENDING_S = 0.2
_MS_PER_MINUTE = 60_000
_SETTLE_S = 5.0
_LAST_ANSWERS_S = 20
"""What is under way when the process is told to end may take so long."""
_COLLECTED_EVERY = (20_000, 20, 50)
"""Thresholds of garbage collection: it would look through all rules each time, and they stay."""


async def serve(config: CentralConfig, system: System) -> None:
    """Run the configured role until SIGTERM or SIGINT."""
    gc.set_threshold(*_COLLECTED_EVERY)
    async with _opened(config, system) as pools:
        keys = load_keys(config.folder, system)
        room = WaitingRoom(hold_s_max=config.hold_s)
        people = None
        if config.role in ("front", "all") and config.people == "on":
            personal = load_personal_keys(
                config.folder, config.personal_key_file, os.environ, system
            )
            people = CustomerDesk(pools.personal, personal, system)
            await people.keep_keys()
        per_s = config.till_requests_per_s
        centre = join_centre(
            pools.till, keys, system, config.rights(), room, pools, people,
            TillRates(per_s) if per_s else None, durable=config.durable,
        )  # fmt: skip
        INFO.labels(__version__, config.role).set(1)
        if config.role in ("front", "all"):
            await _serve_front(centre, config, room, pools)
        else:
            await _run_behind(centre, config)


@asynccontextmanager
async def _opened(config: CentralConfig, system: System) -> AsyncIterator[Pools]:
    """Open the database, migrated, with a pool for each kind of work the role has."""
    async with AsyncExitStack() as ending:
        dsn = await ending.enter_async_context(bootstrap.opened_server(config))
        has_roles = await make_ready(dsn, now_ms=system.now_ms(), with_roles=not config.database)

        async def another(part: Part, connections_max: int) -> Pool:
            role = role_of(part) if has_roles else ""
            pool = await open_pool(dsn, connections_max=connections_max, role=role)
            ending.push_async_callback(pool.close)
            return pool

        if config.role in ("processing", "outreach"):
            yield Pools.shared(await another(config.role, config.connections_max))
            return
        till = await another("front", config.connections_max)
        app = await another("app", config.app_connections_max)
        office = await another("office", config.office_connections_max)
        personal = office
        if config.people == "on":
            personal = await another("personal", config.personal_connections_max)
        processing = outreach = till
        if config.role == "all":
            processing = await another("processing", config.processing_connections_max)
            outreach = await another("outreach", config.outreach_connections_max)
        yield Pools(till, app, office, processing, personal, outreach)


# The front


async def _serve_front(
    centre: Centre, config: CentralConfig, room: WaitingRoom, pools: Pools
) -> None:
    control = TrafficControl(centre.app, system=centre.system)
    readiness = Readiness(pools.till, config.role)
    centre.app.router.routes.extend(readiness.routes())
    app = Measured(control, centre.app.routes)
    settings = uvicorn.Config(
        StrictTransport(app) if config.tls_certificate else app,
        host=config.host,
        port=config.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Longer than a till keeps a connection open that nothing travels on.
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    server = SideServer(with_tls(settings, config))
    beside = [
        keep_rules_out_of_collections(centre),
        _announce(server, config),
        listen_for_ever(centre.pool, room, centre.desk.directory),
        _let_go(server, room, readiness),
    ]
    if config.tls_certificate:
        beside.append(renew_for_ever(settings, config))
    if config.metrics_port:
        metrics = _front_metrics(centre, config, pools, control=control, room=room)
        beside.append(_beside(config, metrics, readiness))
    if config.role == "all":
        beside += [
            *bootstrap.applying(centre),
            *_behind(centre, config),
            *_outreach(pools.outreach, centre.system, config),
        ]
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _tell_to_end, server)
    await serve_with_parts(server, beside)


async def serve_with_parts(
    server: uvicorn.Server, parts: Sequence[Coroutine[Any, Any, None]]
) -> None:
    """Serve, and do beside it what goes on behind, until the server is told to end.

    A part that fails ends the server, and its error is raised: a centre that has stopped posting or
    telling must not look well.
    """
    tasks = [asyncio.create_task(each) for each in parts]
    for task in tasks:
        task.add_done_callback(lambda ended: _part_ended(ended, server))
    try:
        await server.serve()
        _raise_failure(tasks)
    finally:
        await _end(tasks)


def _tell_to_end(server: uvicorn.Server) -> None:
    """End when what is under way is answered; told once more, at once."""
    server.force_exit = server.should_exit
    server.should_exit = True


def _part_ended(task: asyncio.Task[None], server: uvicorn.Server) -> None:
    """End with a part that has failed; whatever looks after processes starts this one anew."""
    if not task.cancelled() and (error := task.exception()) is not None:
        part = getattr(task.get_coro(), "__qualname__", "")
        log.error("part_ended", part=part, why=repr(error), exc_info=error)
        server.should_exit = True


async def _let_go(server: uvicorn.Server, room: WaitingRoom, readiness: Readiness) -> None:
    """Answer the pulls that wait when the server is told to end: it waits for every request."""
    while not server.should_exit:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(_ENDING_S)
    readiness.is_ending = True
    room.close()


def _front_metrics(
    centre: Centre,
    config: CentralConfig,
    pools: Pools,
    *,
    control: TrafficControl,
    room: WaitingRoom,
) -> MetricsPage:
    """Return the page of a front; the database's figures stand on it where it is all parts."""
    named = {"till": pools.till, "app": pools.app, "office": pools.office}
    named["personal"] = pools.personal
    if config.role == "all":
        named |= {"processing": pools.processing, "outreach": pools.outreach}
    return MetricsPage(
        _reader(pools.processing, centre.system, config) if config.role == "all" else None,
        named,
        {
            "tillside_event_loop_late_seconds": lambda: control.burden.late_ms / 1000,
            "tillside_event_loop_busy_share": lambda: control.burden.busy,
            "tillside_pulls_held": lambda: float(len(room)),
        },
        _is_teller(centre),
    )


def _is_teller(centre: Centre) -> Callable[[], bool]:
    """Return what says whether it is this process that tells the database's figures."""
    share = centre.applier.share
    return lambda: share.number == 0


def _reader(pool: Pool, system: System, config: CentralConfig) -> FigureReader:
    """Return what reads the database's figures."""
    return FigureReader(pool, system, durable=config.durable)


def _beside(
    config: CentralConfig, metrics: MetricsPage, readiness: Readiness
) -> Coroutine[Any, Any, None]:
    """Return what serves metrics, readiness and the page for people on their own port."""
    routes = [*metrics.routes(), *readiness.routes()]
    if metrics.reader is not None:
        routes += StatusPage(metrics.reader).routes()
        log.info("status_page", url=f"http://{config.metrics_host}:{config.metrics_port}/")
    return serve_beside(routes, host=config.metrics_host, port=config.metrics_port)


async def _announce(server: uvicorn.Server, config: CentralConfig) -> None:
    """Say where the centre is served once it is, in the log and in a file for other programs."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    address = f"{'https' if config.tls_certificate else 'http'}://{config.host}:{port}"
    (config.folder / "address").write_text(f"{address}\n", encoding="ascii")
    log.info("centre_ready", url=f"{address}/")


# What goes on behind


def _behind(centre: Centre, config: CentralConfig) -> list[Coroutine[Any, Any, None]]:
    """Return what processing does beside applying."""
    return [
        bootstrap.turn_birthdays_for_ever(centre, config.birthday_days),
        bootstrap.tend_rights_for_ever(centre),
        bootstrap.tend_feed_for_ever(centre),
        bootstrap.guard_rules_for_ever(centre),
        bootstrap.count_service_for_ever(centre),
        bootstrap.seal_days_for_ever(centre),
        bootstrap.tend_tiers_for_ever(centre),
        bootstrap.tend_erasures_for_ever(centre),
        bootstrap.settle_partners_for_ever(centre),
    ]


def _outreach(pool: Pool, system: System, config: CentralConfig) -> list[Coroutine[Any, Any, None]]:
    """Return what tells others of what happened, and keeps what is wrong whoever is told.

    Raises:
        ConfigurationError: the events' address means no broker that is known here, or the
            settings of mails cannot be used.
    """
    parts: list[Coroutine[Any, Any, None]] = []
    if config.events:
        parts.append(Relay(pool, open_sink(config.events), system).run())
    mail = config.mail()
    repeat_ms = config.alert_repeat_min * _MS_PER_MINUTE
    book = IncidentBook(pool, config.mail_language, repeat_ms, tells=mail is not None)
    watch = Watch(pool, _reader(pool, system, config), book, mail, system, config.mail_language)
    parts.append(watch_for_ever(watch))
    return parts


async def _run_behind(centre: Centre, config: CentralConfig) -> None:
    """Do what no request waits for, until told to end; a part that fails ends the process."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    parts: list[Coroutine[Any, Any, None]] = []
    if config.role == "processing":
        parts = [
            *bootstrap.applying(centre),
            keep_rules_out_of_collections(centre), *_behind(centre, config),
        ]  # fmt: skip
    elif config.role == "outreach":
        parts = _outreach(centre.pool, centre.system, config)
    readiness = Readiness(centre.pool, config.role)
    if config.metrics_port:
        reader = None
        if config.role == "processing":
            reader = _reader(centre.pool, centre.system, config)
        metrics = MetricsPage(reader, {config.role: centre.pool}, is_teller=_is_teller(centre))
        parts.append(_beside(config, metrics, readiness))
    tasks = [asyncio.create_task(each) for each in parts]
    for task in tasks:
        task.add_done_callback(lambda _: ending.set())
    log.info("centre_ready", role=config.role)
    try:
        await ending.wait()
        readiness.is_ending = True
        _raise_failure(tasks)
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


def _raise_failure(tasks: list[asyncio.Task[None]]) -> None:
    """Raise what a part has failed with, so that the process does not end as if all were well."""
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
