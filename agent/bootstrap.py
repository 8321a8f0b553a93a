"""The one place that joins the parts of a till agent; tests and the simulator pass their own."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent import __version__
from agent.config import AgentConfig
from agent.errors import AgentError, JournalDamagedError
from agent.health import Health
from agent.identity import Identity, load_identity
from agent.journal.anchor import AnchorFile
from agent.journal.database import Database, lay_out_log
from agent.journal.journal import Journal
from agent.link.central_client import CentralClient
from agent.link.worker import LinkWorker
from agent.neighbours.bus_driver import BusDriver
from agent.pos_api.http_server import HttpLimits, HttpServer, serve
from agent.pos_api.routes import PosApi
from agent.quiet_work import QuietWork, settle_objects
from agent.reference_data.cache import Cache, open_cache_database
from agent.store_bus.opening import open_bus
from agent.store_bus.port import StoreBus
from agent.system import System
from agent.till_service.returns import ReturnService
from agent.till_service.service import TillService
from agent.till_service.till import Till, TillSettings, join_till
from agent.till_thread import TillThread

log = structlog.get_logger()

SOFTWARE = f"tillside-agent/{__version__}"
IDENTITY_FILE = "identity.json"
JOURNAL_FILE = "journal.db"
CACHE_FILE = "cache.db"
ANCHOR_FILE = "anchor"
ADDRESS_FILE = "pos-api.json"


# A record holds the basket and its calculation; so bounded, it fits the wire (sync.limits).
_POS_LIMITS = HttpLimits(body_bytes_max=1024 * 1024)


@dataclass(frozen=True, slots=True)
class RunningAgent:
    """A started agent."""

    till: Till
    server: HttpServer
    health: Health
    bus: StoreBus


def open_till(data: Path, identity: Identity, system: System, settings: TillSettings) -> Till:
    """Open journal and cache; a damaged file is set aside by another name, never repaired.

    Raises:
        JournalUnavailableError: the disk refuses, or another process has the journal.
    """
    reason = "first start"
    anchor = AnchorFile(data / ANCHOR_FILE)
    try:
        journal = Journal(Database(str(data / JOURNAL_FILE)), identity.till_id, anchor)
    except JournalDamagedError as error:
        kept_as = set_aside(data, JOURNAL_FILE, system.now_ms())
        log.error(  # noqa: TRY400 - the file is at fault; a traceback would lead nowhere
            "journal_damaged", why=str(error), kept_as=kept_as, now="a new journal; rights are void"
        )
        reason = "journal damaged"
        journal = Journal(Database(str(data / JOURNAL_FILE)), identity.till_id, anchor)
    lay_out_log(data / JOURNAL_FILE)
    try:
        cache = Cache(open_cache_database(str(data / CACHE_FILE)))
    except JournalDamagedError as error:
        log.warning(
            "cache_damaged", why=str(error), kept_as=set_aside(data, CACHE_FILE, system.now_ms())
        )
        cache = Cache(open_cache_database(str(data / CACHE_FILE)))
    return join_till(
        identity=identity,
        journal=journal,
        cache=cache,
        system=system,
        settings=settings,
        start_reason=reason,
    )


def set_aside(data: Path, name: str, now_ms: int) -> str:
    """Rename a database with its side files; returns the new name."""
    kept_as = f"{name}.damaged-{now_ms}"
    for suffix in ("", "-wal", "-shm"):
        if (path := data / (name + suffix)).exists():
            path.rename(data / (kept_as + suffix))
    return kept_as


@asynccontextmanager
async def running_agent(
    data: Path, config: AgentConfig, system: System | None = None
) -> AsyncIterator[RunningAgent]:
    """Run the agent over a data folder for the length of the block.

    Raises:
        EnrolmentError: the till is not enrolled.
        JournalUnavailableError: the journal cannot be opened.
    """
    system = system or System()
    identity = load_identity(data / IDENTITY_FILE)
    thread = TillThread()
    till = await thread.run(open_till, data, identity, system, config.till())
    client = CentralClient(identity, system, bundles_url=config.bundles_url)
    link = LinkWorker(till, thread, client, settings=config.link(), software=SOFTWARE)
    bus = open_bus(data, config.bus, identity, system)
    till.bus_address = bus.address()
    health = Health(till, link, bus)
    siblings = BusDriver(
        till,
        thread,
        bus,
        addresses=config.bus.others(),
        journal_damaged=health.journal_damaged,
        moved=link.wake,
    )
    quiet = QuietWork(till, thread, journal_damaged=health.journal_damaged)
    api = PosApi(
        till=till,
        thread=thread,
        receipts=TillService(till),
        returns=ReturnService(till),
        link=link,
        link_settings=config.link(),
        health=health,
        siblings=siblings,
        quiet=quiet,
        one_call=asyncio.Lock(),
    )
    server = await serve(api.handle, port=config.pos_port, limits=_POS_LIMITS)
    _write_address(data, server.port)
    worker = asyncio.create_task(link.run(), name="link")
    worker.add_done_callback(lambda task: _link_ended(task, health))
    neighbours = asyncio.create_task(bus.run(), name="store bus")
    neighbours.add_done_callback(_bus_ended)
    talking = asyncio.create_task(siblings.run(), name="siblings")
    talking.add_done_callback(_bus_ended)
    try:
        yield RunningAgent(till, server, health, bus)
    finally:
        for task in (worker, neighbours, talking):
            task.cancel()
        await asyncio.gather(worker, neighbours, talking, return_exceptions=True)
        await server.close()
        await quiet.close()
        await client.close()
        await thread.run(till.journal.close)
        await thread.run(till.cache.close)
        thread.close()


def _link_ended(task: asyncio.Task[None], health: Health) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("link_ended", why=repr(task.exception()))
        health.journal_damaged.set()


def _bus_ended(task: asyncio.Task[None]) -> None:
    """Say so and go on: a till sells without its neighbours."""
    if not task.cancelled() and task.exception() is not None:
        log.error("bus_ended", why=repr(task.exception()))


def _write_address(data: Path, port: int) -> None:
    """Leave the address where the register's set-up finds it."""
    partial = data / (ADDRESS_FILE + ".partial")
    partial.write_text(
        json.dumps({"url": f"http://127.0.0.1:{port}", "pid": os.getpid()}), encoding="utf-8"
    )
    partial.replace(data / ADDRESS_FILE)


async def run_until_stopped(data: Path, config: AgentConfig) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        AgentError: the journal failed for good; starting anew sets it aside.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_agent(data, config) as agent:
        settle_objects()
        log.info("agent_ready", till=agent.till.identity.till_id, port=agent.server.port)
        damaged = asyncio.create_task(agent.health.journal_damaged.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({damaged, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (damaged, stopped):
            task.cancel()
        if agent.health.journal_damaged.is_set():
            raise AgentError(
                "the journal failed; start the agent again, it sets the damaged file aside"
            )
