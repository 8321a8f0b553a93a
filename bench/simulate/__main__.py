"""Runs simulated worlds by seed and says what was done, what broke and what was found.

Run it with `python -m bench.simulate --seeds 200`. A seed that finds something prints the line that
repeats it. The figures go to `var/simulate/report.json`.
"""

import argparse
import asyncio
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from central.database.embedded import start_embedded
from tests.simulation import faults as fault_rates
from tests.simulation.centre import open_simulation_pool
from tests.simulation.faults import Faults, Size
from tests.simulation.plants import PLANTS, AsBuilt
from tests.simulation.world import Run, run_world
from tests.support.postgres import ScratchDatabases, folder_for_postgres

REPORT = Path("var/simulate/report.json")
PROFILES = {
    "usual": fault_rates.USUAL,
    "line-only": fault_rates.LINE_ONLY,
    "none": fault_rates.NONE,
}
PLANT_SEEDS_MAX = 8
EXPECTED = (
    "authorisation released unused",
    "authorisation spent",
    "batch pushed twice",
    "branch kept",
    "bundle switched in the middle of a receipt",
    "crash recovered",
    "damaged journal set aside",
    "debt",
    "grant spent offline",
    "parked refund resolved",
    "parked sale resolved",
    "residue returned: expired",
    "residue returned: recalled",
    "return of a part of a line",
    "return of a receipt unknown at the till",
    "risk spent offline",
    "second return of a line refused",
    "stream begun anew: amnesia",
    "the pool paid",
)
"""Rare things that a large run must have seen; one that was not seen was not tested."""


@dataclass(slots=True)
class Sums:
    """What the runs so far came to."""

    till_days: int = 0
    runs: int = 0
    figures: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, run: Run, profile: str) -> None:
        """Count a run in."""
        self.runs += 1
        self.till_days += run.days * run.tills
        self.figures += run.chronicle.figures
        self.faults += run.chronicle.faults
        self.sometimes += run.chronicle.sometimes
        if run.violation:
            again = (
                f"python -m bench.simulate --seed {run.seed} --days {run.days} --profile {profile}"
            )
            self.violations.append({"seed": run.seed, "found": run.violation, "again": again})


class Worlds:
    """Runs worlds on one PostgreSQL, each in a database of its own."""

    def __init__(self, databases: ScratchDatabases) -> None:
        self._databases = databases

    def run(self, seed: int, *, faults: Faults, size: Size, plant: AsBuilt | None = None) -> Run:
        """Run one world."""
        dsn = self._databases.create()
        try:
            return asyncio.run(_run(dsn, seed, faults=faults, size=size, plant=plant))
        finally:
            self._databases.drop(dsn)


async def _run(dsn: str, seed: int, *, faults: Faults, size: Size, plant: AsBuilt | None) -> Run:
    pool = await open_simulation_pool(dsn)
    try:
        return await run_world(pool, seed, faults=faults, size=size, plant=plant)
    finally:
        await pool.close()


@contextmanager
def worlds() -> Iterator[Worlds]:
    """Start a PostgreSQL in memory for the length of the block."""
    with folder_for_postgres() as folder, start_embedded(folder, durable=False) as server:
        databases = ScratchDatabases(server.dsn)
        try:
            yield Worlds(databases)
        finally:
            databases.close()


def main(arguments: list[str] | None = None, *, minutes_default: float = 0.0) -> int:
    """Run the command.

    Returns:
        The exit status, 1 when something was found or a planted bug was not.
    """
    options = _options(arguments, minutes_default)
    sums, planted, caught = Sums(), 0, 0
    started = time.monotonic()
    with worlds() as running:
        for seed in _seeds(options):
            if options.minutes and time.monotonic() - started > options.minutes * 60:
                break
            run = running.run(seed, faults=PROFILES[options.profile], size=Size(days=options.days))
            sums.add(run, options.profile)
            _say_progress(sums, options, started)
            if run.violation:
                _say_violation(run, sums.violations[-1]["again"])
                if len(sums.violations) >= options.violations_max:
                    break
        if options.plants:
            planted, caught = _plants(running, Size(days=options.days))
    _report(sums, planted=planted, caught=caught, seconds=time.monotonic() - started)
    return int(bool(sums.violations) or caught < planted)


def _options(arguments: list[str] | None, minutes_default: float) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="how many worlds")
    parser.add_argument("--seed", type=int, help="this one world")
    parser.add_argument("--first", type=int, help="the first seed (default: a fresh one)")
    parser.add_argument("--days", type=int, default=4, help="virtual days of a world")
    parser.add_argument("--minutes", type=float, default=minutes_default, help="stop after so long")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="usual")
    parser.add_argument("--plants", action="store_true", help="also look for every planted bug")
    parser.add_argument("--violations-max", type=int, default=3, help="stop after so many findings")
    return parser.parse_args(arguments)


def _seeds(options: argparse.Namespace) -> Iterator[int]:
    if options.seed is not None:
        yield options.seed
        return
    first = random.SystemRandom().getrandbits(32) if options.first is None else options.first
    count = options.seeds or (1 << 31 if options.minutes else 20)
    yield from range(first, first + count)


def _say_progress(sums: Sums, options: argparse.Namespace, started: float) -> None:
    seconds = time.monotonic() - started
    done = sums.runs / max(1, options.seeds or sums.runs)
    if options.minutes:
        done = min(1.0, seconds / 60 / options.minutes)
    bar = "#" * int(30 * done)
    line = (
        f"[{bar:30}] {sums.runs} worlds, {sums.till_days / 365:.2f} till-years, "
        f"{sums.figures['sales']} sales, {sum(sums.faults.values())} faults, "
        f"{len(sums.violations)} violations, {seconds:.0f} s"
    )
    end = "" if sys.stdout.isatty() else "\n"
    if end == "" or sums.runs % 10 == 0:
        print(f"\r{line}" if end == "" else line, end=end, flush=True)


def _say_violation(run: Run, again: str) -> None:
    print(f"\nseed {run.seed}: {run.violation}")
    if run.chronicle.error is not None:
        traceback.print_exception(run.chronicle.error)
    print("\n".join(run.chronicle.tail))
    print(f"again: {again}")


def _plants(running: Worlds, size: Size) -> tuple[int, int]:
    caught = 0
    for plant in PLANTS:
        found = ""
        for seed in range(1, PLANT_SEEDS_MAX + 1):
            run = running.run(seed, faults=fault_rates.USUAL, size=size, plant=plant())
            if run.violation and run.chronicle.error is None:
                found = f"seed {seed}: {run.violation}"
                break
        caught += bool(found)
        print(f"\nplanted: {plant.name}\n  {found or 'NOT FOUND'}")
    return len(PLANTS), caught


def _report(sums: Sums, *, planted: int, caught: int, seconds: float) -> None:
    unseen = [name for name in EXPECTED if not sums.sometimes[name]]
    report = {
        "worlds": sums.runs,
        "till_days": sums.till_days,
        "till_years": round(sums.till_days / 365, 3),
        "sales": sums.figures["sales"],
        "figures": dict(sorted(sums.figures.items())),
        "faults": dict(sorted(sums.faults.items())),
        "violations": sums.violations,
        "planted": planted,
        "caught": caught,
        "sometimes": dict(sorted(sums.sometimes.items())),
        "never_seen": unseen,
        "seconds": round(seconds, 1),
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(
        f"\n{sums.runs} worlds, {sums.till_days} till-days"
        f" ({sums.till_days / 365:.2f} till-years), {sums.figures['sales']} sales,"
        f" {sums.figures['returns']} returns, {sums.figures['audits']} audits in {seconds:.0f} s"
    )
    print("faults:    " + ", ".join(f"{n} {k}" for k, n in sorted(sums.faults.items())))
    print("sometimes: " + ", ".join(f"{n} {k}" for k, n in sorted(sums.sometimes.items())))
    if unseen:
        print("never:     " + ", ".join(unseen))
    print(
        f"violations: {len(sums.violations)}"
        + (f"; planted {planted}, caught {caught}" if planted else "")
    )
    for each in sums.violations:
        print(f"  {each['again']}   # {each['found']}")
    print(f"report: {REPORT}")


if __name__ == "__main__":
    sys.exit(main())
