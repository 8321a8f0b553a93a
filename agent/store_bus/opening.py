"""Makes the store bus of a till from its settings."""

from pathlib import Path

import structlog

from agent.config import BusConfig
from agent.identity import Identity
from agent.store_bus.bus import ChildStoreBus
from agent.store_bus.counter_file import reserve_counters
from agent.system import System

log = structlog.get_logger()

COUNTER_FILE = "bus-counter"


def open_bus(data: Path, config: BusConfig, identity: Identity, system: System) -> ChildStoreBus:
    """Return the bus; without an address to listen at it stays off, and so it does without a file.

    Nothing runs before its `run`, and no child before a roster names other tills.
    """
    listen, first_counter = config.wish(), 0
    if listen:
        try:
            first_counter = reserve_counters(data / COUNTER_FILE, system.now_ms())
        except OSError as error:
            log.error("bus_off", why=str(error))  # noqa: TRY400 - the disk is at fault
            listen = ""
    return ChildStoreBus(
        store=identity.place.store,
        till_id=identity.till_id,
        listen=listen,
        first_counter=first_counter,
        system=system,
        implementation="auto" if config.implementation == "off" else config.implementation,
    )
