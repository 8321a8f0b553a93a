"""Runs simulated worlds by seed and says what was done, what broke and what was found.

`python -m bench.simulate --seeds 200`. A seed that finds something prints the line that repeats
it. The figures go to `var/simulate/report.json`.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from bench.simulate.worlds import PROFILES, Told, World, Worlds, running_worlds
from tests.simulation.plants import PLANTS

REPORT = Path("var/simulate/report.json")
PLANT_SEEDS_MAX = 8
EXPECTED = (
    "authorisation released unused",
    "authorisation spent",
    "batch pushed twice",
    "branch kept",
    "bundle switched in the middle of a receipt",
    "courier: grant_taken",
    "crash recovered",
    "damaged journal set aside",
    "debt",
    "grant spent offline",
    "hello answered: amnesia",
    "hello answered: rewind",
    "late spend on a written-off right",
    "parked refund resolved",
    "parked sale resolved",
    "points given by a sibling",
    "pool empty: write-off refused",
    "push answered: gap",
    "receipt heard of by courier",
    "record witnessed",
    "residue returned: expired",
    "residue returned: recalled",
    "return of a part of a line",
    "return of a receipt unknown at the till",
    "right written off",
    "risk spent offline",
    "second return of a line refused",
    "spent twice after an undetected restore",
    "stranded transfer recovered",
    "stream begun anew: amnesia",
    "stream begun anew: behind the anchor",
    "stream begun anew: fork",
    "stream begun anew: witness",
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

    @property
    def till_years(self) -> float:
        """How long all tills traded."""
        return self.till_days / 365

    def add(self, told: Told) -> None:
        """Count a run in."""
        self.runs += 1
        self.till_days += told.till_days
        self.figures += told.figures
        self.faults += told.faults
        self.sometimes += told.sometimes
        if told.violation:
            self.violations.append(
                {"seed": told.world.seed, "found": told.violation, "again": told.world.again}
            )


def main(arguments: list[str] | None = None, *, minutes_default: float = 0.0) -> int:
    """Run the command.

    Returns:
        The exit status, 1 when something was found or a planted bug was not.
    """
    options = _options(arguments, minutes_default)
    sums, planted, caught = Sums(), 0, 0
    started = time.monotonic()
    with running_worlds(options.jobs) as worlds:
        for told in worlds.run(_worlds(options, started)):
            sums.add(told)
            _say_progress(sums, options, started)
            if told.violation:
                _say_violation(told)
                if len(sums.violations) >= options.violations_max:
                    break
        if options.plants:
            planted, caught = _plants(worlds, options.days)
    _report(sums, planted=planted, caught=caught, seconds=time.monotonic() - started)
    return int(bool(sums.violations) or caught < planted)


def _options(arguments: list[str] | None, minutes_default: float) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="how many worlds")
    parser.add_argument("--seed", type=int, help="this one world")
    parser.add_argument("--first", type=int, help="the first seed (default: a fresh one)")
    parser.add_argument(
        "--days", type=int, default=0, help="virtual days of a world (default: the profile's)"
    )
    parser.add_argument("--minutes", type=float, default=minutes_default, help="stop after so long")
    parser.add_argument("--till-years", type=float, default=0.0, help="stop after so many")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="usual")
    parser.add_argument("--jobs", type=int, default=0, help="worlds at a time (default: cores)")
    parser.add_argument("--plants", action="store_true", help="also look for every planted bug")
    parser.add_argument("--violations-max", type=int, default=3, help="stop after so many findings")
    return parser.parse_args(arguments)


def _worlds(options: argparse.Namespace, started: float) -> Iterator[World]:
    """Say which world is next, until there were enough."""
    _, size = PROFILES[options.profile]
    days = options.days or size.days
    one = World(seed=options.seed or 0, profile=options.profile, days=days)
    if options.seed is not None:
        yield one
        return
    first = random.SystemRandom().getrandbits(32) if options.first is None else options.first
    tills = size.stores * size.tills_per_store
    is_endless = options.minutes or options.till_years
    for number in count():
        if number >= (options.seeds or (1 << 31 if is_endless else 20)):
            return
        if options.minutes and time.monotonic() - started > options.minutes * 60:
            return
        if options.till_years and number * days * tills >= options.till_years * 365:
            return
        yield World(seed=first + number, profile=options.profile, days=days)


def _say_progress(sums: Sums, options: argparse.Namespace, started: float) -> None:
    seconds = time.monotonic() - started
    shares = [
        seconds / 60 / options.minutes if options.minutes else 0.0,
        sums.till_years / options.till_years if options.till_years else 0.0,
        sums.runs / options.seeds if options.seeds else 0.0,
    ]
    bar = "#" * int(30 * min(1.0, max(shares)))
    line = (
        f"[{bar:30}] {sums.runs} worlds, {sums.till_years:.2f} till-years, "
        f"{sums.figures['sales']} sales, {sum(sums.faults.values())} faults, "
        f"{len(sums.violations)} violations, {seconds:.0f} s"
    )
    end = "" if sys.stdout.isatty() else "\n"
    if end == "" or sums.runs % 10 == 0:
        print(f"\r{line}" if end == "" else line, end=end, flush=True)


def _say_violation(told: Told) -> None:
    print(f"\nseed {told.world.seed}: {told.violation}")
    print(told.cause + "\n".join(told.tail))
    print(f"again: {told.world.again}", flush=True)


def _plants(worlds: Worlds, days: int) -> tuple[int, int]:
    caught = 0
    for plant in PLANTS:
        tries = (
            World(seed=seed, days=days or plant.days, plant=plant.__name__)
            for seed in range(1, PLANT_SEEDS_MAX + 1)
        )
        found = ""
        for told in worlds.run(tries):
            if told.violation and not told.cause:
                found = f"seed {told.world.seed}: {told.violation}"
                break
        caught += bool(found)
        print(f"\nplanted: {plant.name}\n  {found or 'NOT FOUND'}", flush=True)
    return len(PLANTS), caught


def _report(sums: Sums, *, planted: int, caught: int, seconds: float) -> None:
    unseen = [name for name in EXPECTED if not sums.sometimes[name]]
    report = {
        "worlds": sums.runs,
        "till_days": sums.till_days,
        "till_years": round(sums.till_years, 3),
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
        f" ({sums.till_years:.2f} till-years), {sums.figures['sales']} sales,"
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
