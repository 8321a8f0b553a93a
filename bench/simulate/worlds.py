"""Worlds in databases of their own, several at a time in processes, each with its own PostgreSQL.

Transactions of a whole cluster are one line of numbers: what one world leaves open would hold back
the change feed of another, and no seed would be the same world twice.
"""

import asyncio
import gc
import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.context import SpawnContext
from multiprocessing.queues import SimpleQueue
from typing import Any

from central.database.embedded import start_embedded
from tests.simulation import faults as fault_rates
from tests.simulation.failover import open_simulation_pool
from tests.simulation.faults import Faults, Size
from tests.simulation.plants import PLANTS, AsBuilt
from tests.simulation.world import Run, run_world
from tests.support.postgres import ScratchDatabases, folder_for_postgres

PROFILES: dict[str, tuple[Faults, Size]] = {
    "usual": (fault_rates.USUAL, Size()),
    "line-only": (fault_rates.LINE_ONLY, Size()),
    "none": (fault_rates.NONE, Size()),
    "years": (fault_rates.YEARS, fault_rates.A_MONTH),
}
"""Kinds of worlds: how bad they are and how large."""


_GARBAGE_OBJECTS = 100_000
"""New objects before cycles among them are looked for; a world makes few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Which world to run.

    Attributes:
        days: virtual days; 0 = as the profile has it.
        plant: name of a planted bug's class, found in worlds of its own size; empty = the product
            as built.
    """

    seed: int
    profile: str = "usual"
    days: int = 0
    plant: str = ""

    @property
    def again(self) -> str:
        """The line that runs it again."""
        return (
            f"python -m bench.simulate --seed {self.seed} --days {self.days}"
            f" --profile {self.profile}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a world came to, as it travels between processes.

    Attributes:
        cause: traceback of what the product raised and nobody named.
        tail: the last events.
    """

    world: World
    till_days: int
    figures: Counter[str]
    faults: Counter[str]
    sometimes: Counter[str]
    violation: str
    cause: str
    tail: tuple[str, ...]


class _Worker:
    """What a process keeps between worlds."""

    databases: ScratchDatabases | None = None


def _start_worker(places: "SimpleQueue[_Place]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command ends its workers itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    place = places.get()
    if place.core is not None:
        os.sched_setaffinity(0, {place.core})
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS, 20, 20)
    _Worker.databases = ScratchDatabases(place.dsn)


def _end_with_parent() -> None:
    """End the worker when the command was killed: nobody would hear of its worlds any more."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def run_one(world: World) -> Told:
    """Run one world in a worker's process."""
    assert _Worker.databases is not None
    return run_in(_Worker.databases, world)


def run_in(databases: ScratchDatabases, world: World) -> Told:
    """Run one world in this process, and leave nothing of it behind."""
    try:
        return _told(databases, world)
    finally:
        # Few objects, in circles, that hold megabytes of disks: for the collector not worth a look.
        # What still waited for somebody ends in the first, and is gone with the second.
        gc.collect()
        gc.collect()


def _told(databases: ScratchDatabases, world: World) -> Told:
    faults, size = PROFILES[world.profile]
    plant = {each.__name__: each for each in PLANTS}[world.plant]() if world.plant else AsBuilt()
    size = plant.size if world.plant else size
    size = replace(size, days=world.days or size.days)
    dsn = databases.create()
    try:
        run = _loop_run(_run(dsn, world.seed, faults=faults, size=size, plant=plant))
    finally:
        databases.drop(dsn)
    chronicle = run.chronicle
    error = chronicle.error
    return Told(
        world=replace(world, days=run.days),
        till_days=run.days * run.tills,
        figures=chronicle.figures,
        faults=chronicle.faults,
        sometimes=chronicle.sometimes,
        violation=run.violation,
        cause="".join(traceback.format_exception(error)) if error else "",
        tail=tuple(chronicle.tail),
    )


async def _run(dsn: str, seed: int, *, faults: Faults, size: Size, plant: AsBuilt) -> Run:
    pool = await open_simulation_pool(dsn)
    try:
        return await run_world(pool, seed, faults=faults, size=size, plant=plant)
    finally:
        await pool.close()


def _loop_run(work: Coroutine[Any, Any, Run]) -> Run:
    if find_spec("uvloop") is not None:
        import uvloop  # noqa: PLC0415 - there is none for Windows

        return uvloop.run(work)
    return asyncio.run(work)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a worker has for itself.

    Attributes:
        dsn: of its PostgreSQL.
        core: it keeps to this one, its database's process beside it; None = goes where it likes.
    """

    dsn: str
    core: int | None


def _places(context: SpawnContext, servers: Sequence[str]) -> "SimpleQueue[_Place]":
    """Return a place for each worker.

    Where there are fewer cores than workers, or the system does not say, none keeps to one.
    """
    queue: SimpleQueue[_Place] = context.SimpleQueue()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    is_enough = len(servers) <= len(cores)
    for number, dsn in enumerate(servers):
        queue.put(_Place(dsn, cores[number] if is_enough else None))
    return queue


class Worlds:
    """Runs worlds in worker processes, one for each PostgreSQL."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._jobs = jobs = len(servers)
        context = get_context("spawn")
        self._pool = ProcessPoolExecutor(
            jobs,
            mp_context=context,
            initializer=_start_worker,
            initargs=(_places(context, servers),),
        )

    def run(self, worlds: Iterable[World]) -> Iterator[Told]:
        """Run worlds and tell each when it is over; the order is that of their ends."""
        waiting = iter(worlds)
        running: set[Future[Told]] = set()
        while True:
            for world in islice(waiting, self._jobs + 1 - len(running)):
                running.add(self._pool.submit(run_one, world))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()

    def close(self) -> None:
        """End the workers; what they still run is given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in active_children():
            worker.terminate()


@contextmanager
def running_worlds(jobs: int = 0) -> Iterator[Worlds]:
    """Start workers, each with a PostgreSQL in memory, for the length of the block.

    Args:
        jobs: worlds at a time; 0 = as many as there are cores.
    """
    with ExitStack() as servers:
        dsns = []
        for _ in range(jobs or os.cpu_count() or 1):
            folder = servers.enter_context(folder_for_postgres())
            dsns.append(servers.enter_context(start_embedded(folder, durable=False)).dsn)
        worlds = Worlds(dsns)
        try:
            yield worlds
        finally:
            worlds.close()
