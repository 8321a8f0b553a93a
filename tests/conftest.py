"""What holds for every test: seeds that repeat a failure, a clean environment, loopback only."""

import os
import random
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from tests.support.effort import examples, try_times
from tests.support.reach import machines_of, refuse_foreign_hosts

pytest_plugins = ["tests.support.postgres"]

RUN = pytest.StashKey[int]()
"""What all fresh seeds of a run are drawn from."""
_TESTS = Path(__file__).parent
_SEEDS = 3
_LONG = {"acceptance", "crash", "model", "netem", "oracle", "property", "simulation", "tables"}
"""Folders of tests that start processes, live through worlds or draw much."""
# Read now: the tests themselves run without any TILLSIDE_* variable.
_GIVEN_RUN = os.environ.get("TILLSIDE_TEST_RUN")
"""CI names one: what fails there failed because of the change, and not because of the draw."""
_GIVEN_SERVER = os.environ.get("TILLSIDE_TEST_CITUS_DSN") or os.environ.get("TILLSIDE_TEST_DSN", "")
"""PostgreSQL, which may be on another machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--seed`, `--seeds`, `--times` and `--update-golden`."""
    group = parser.getgroup("tillside")
    group.addoption("--seed", type=int, help="run each random test with this one seed")
    group.addoption(
        "--seeds", type=int, help=f"how many fresh seeds per random test (default {_SEEDS})"
    )
    group.addoption("--times", type=int, default=1, help="so many times the examples CI draws")
    group.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a run that would test nothing, and watch where tests connect to."""
    seeds = config.getoption("--seeds")
    if seeds is not None and seeds < 1:
        message = "--seeds must be 1 or more"
        raise pytest.UsageError(message)
    config.addinivalue_line("markers", "seeds(count): so many fresh seeds where none are asked for")
    try_times(max(1, config.getoption("--times")))
    # Timing decides no test; a failing example prints the line that repeats it.
    hypothesis.settings.register_profile(
        "tillside",
        deadline=None,
        print_blob=True,
        max_examples=examples(100),
        derandomize=bool(_GIVEN_RUN),
    )
    hypothesis.settings.load_profile("tillside")
    # Fresh in every run, and the same in all its processes: they must find the same tests.
    workerinput = getattr(config, "workerinput", {})
    given = int(_GIVEN_RUN) if _GIVEN_RUN else 0
    config.stash[RUN] = workerinput.get("run") or given or random.SystemRandom().getrandbits(32)
    sys.addaudithook(refuse_foreign_hosts(machines_of(_GIVEN_SERVER)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return one worker more than there are cores: drills of lines and processes mostly wait."""
    cores = os.cpu_count()
    return cores + 1 if cores and config.getoption("numprocesses") == "auto" else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - a worker of pytest-xdist
    """Tell a worker which run it belongs to."""
    node.workerinput["run"] = node.config.stash[RUN]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal files that take long out to the workers first, so that nobody waits for one at the end.

    Each worker of pytest-xdist begins with a part of the list, and takes what another has left.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.path.relative_to(_TESTS).parts[0] in _LONG]
    short = [item for item in items if item.path.relative_to(_TESTS).parts[0] not in _LONG]
    files = list(dict.fromkeys(item.path for item in long))
    dealt: list[pytest.Item] = []
    for number in range(workers):
        mine = set(files[number::workers])
        dealt += (item for item in long if item.path in mine)
        dealt += short[len(short) * number // workers : len(short) * (number + 1) // workers]
    items[:] = dealt


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that takes `seed` the one asked for, or some fresh ones.

    A test that takes long says how many with the mark `seeds`.
    """
    if "seed" not in metafunc.fixturenames:
        return
    fixed = metafunc.config.getoption("--seed")
    marked = metafunc.definition.get_closest_marker("seeds")
    count = metafunc.config.getoption("--seeds") or (marked.args[0] if marked else _SEEDS)
    draws = random.Random(f"{metafunc.config.stash[RUN]} {metafunc.definition.nodeid}")
    fresh = [draws.getrandbits(32) for _ in range(count)]
    metafunc.parametrize("seed", fresh if fixed is None else [fixed])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print below the failure of a random test the command that repeats it."""
    report = yield
    callspec = getattr(item, "callspec", None)
    seed = callspec.params.get("seed") if callspec else None
    if seed is not None and report.failed:
        node = item.nodeid.split("[")[0]
        report.sections.append(("repeat this failure", f"pytest '{node}' --seed={seed}"))
    return report


@pytest.fixture(scope="session", autouse=True)
def _logs_on_standard_error() -> None:
    """Keep log lines apart from what commands print, as the programs do."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


@pytest.fixture(scope="session", autouse=True)
def _environment_without_settings() -> Iterator[None]:
    """A developer's own TILLSIDE_* settings reach no test."""
    stray = {
        name: os.environ.pop(name) for name in list(os.environ) if name.startswith("TILLSIDE_")
    }
    yield
    os.environ.update(stray)


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--update-golden"))
