"""Whole worlds: nothing printed is lost, nothing spent twice, whatever breaks; and it can fail."""

import gc
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from bench.simulate.worlds import PROFILES, World, run_in
from central.database.pool import Pool
from tests.simulation import faults
from tests.simulation.failover import open_simulation_pool
from tests.simulation.faults import Size
from tests.simulation.plants import PLANTS, AsBuilt
from tests.simulation.tills import SimulatedTill
from tests.simulation.world import Run, run_world
from tests.support.postgres import ScratchDatabases

REGRESSIONS = [
    line.split(maxsplit=3)
    for line in (Path(__file__).parent / "regressions.txt").read_text("utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
FRESH = Size(days=2)
REGRESSION_DAYS_MAX = 7
"""Of a long world: all of them together take a minute of one core."""


@pytest_asyncio.fixture
async def world_pool(database: str) -> AsyncIterator[Pool]:
    pool = await open_simulation_pool(database)
    yield pool
    await pool.close()


def sound(run: Run, profile: str = "usual") -> None:
    """Fail with the seed and the last events unless the run found nothing."""
    if not run.violation:
        return
    cause = run.chronicle.error
    raised = "".join(traceback.format_exception(cause)) if cause else ""
    tail = "\n".join(run.chronicle.tail)
    pytest.fail(
        f"seed {run.seed}: {run.violation}\n{raised}\nlast events:\n{tail}\n"
        f"again: python -m bench.simulate --seed {run.seed} --days {run.days}"
        f" --profile {profile}",
        pytrace=False,
    )


async def test_a_world_of_faults_comes_to_rest_with_every_point_explained(
    world_pool: Pool, seed: int
) -> None:
    run = await run_world(world_pool, seed, size=FRESH)
    sound(run)
    assert run.chronicle.figures["sales"] > 0
    assert sum(run.chronicle.faults.values()) > 10


async def test_an_honest_world_needs_nobody_to_pay(world_pool: Pool) -> None:
    run = await run_world(world_pool, 1, faults=faults.NONE, size=Size(days=1))
    sound(run)
    assert run.chronicle.figures["sales"] > 0
    assert not run.chronicle.faults


@pytest.mark.parametrize(
    ("old_seed", "profile", "days", "found"), REGRESSIONS, ids=[line[0] for line in REGRESSIONS]
)
async def test_a_seed_that_once_failed_passes(
    world_pool: Pool, old_seed: str, profile: str, days: str, found: str
) -> None:
    worst, size = PROFILES[profile]
    size = replace(size, days=min(int(days), REGRESSION_DAYS_MAX))
    sound(await run_world(world_pool, int(old_seed), faults=worst, size=size), profile)


async def test_the_same_seed_is_the_same_run(scratch_databases: ScratchDatabases) -> None:
    digests = []
    for _ in range(2):
        dsn = scratch_databases.create()
        pool = await open_simulation_pool(dsn)
        try:
            run = await run_world(pool, 77, size=Size(days=1))
        finally:
            await pool.close()
            scratch_databases.drop(dsn)
        sound(run)
        digests.append(run.digest)
    assert digests[0] == digests[1]


def test_a_world_that_is_over_takes_no_memory(scratch_databases: ScratchDatabases) -> None:
    def tills() -> int:
        return sum(isinstance(each, SimulatedTill) for each in gc.get_objects())

    for _ in range(3):  # what other tests left is freed in several passes
        gc.collect()
    before = tills()
    told = run_in(scratch_databases, World(seed=1, days=1))
    assert told.figures["sales"] > 0
    assert tills() <= before


@pytest.mark.parametrize("plant", PLANTS, ids=[plant.__name__ for plant in PLANTS])
async def test_a_planted_bug_is_found(
    plant: type[AsBuilt], scratch_databases: ScratchDatabases
) -> None:
    found = ""
    for seed in plant.seeds():
        dsn = scratch_databases.create()
        pool = await open_simulation_pool(dsn)
        try:
            run = await run_world(pool, seed, size=plant.size, plant=plant())
        finally:
            await pool.close()
            scratch_databases.drop(dsn)
        found = run.violation
        if found:
            assert run.chronicle.error is None, found
            return
    assert found, f"{plant.name}: not found in seeds {plant.seeds()}"
