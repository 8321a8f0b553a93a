"""Runs simulated worlds by seed and says what was done, what broke and what was found.

`python -m bench.simulate --seeds 200`. A seed that finds something prints the line that repeats
it. The figures go to `var/simulate/report.json` after every world, so that a run may be ended at
any moment; `--add` goes on with them.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count

from bench.simulate.report import (
    REPORT,
    OtherReportError,
    Sums,
    begin,
    never_seen,
    write,
)
from bench.simulate.worlds import PROFILES, Told, World, Worlds, running_worlds
from tests.simulation.plants import PLANTS

_SEEDS = 20
_SAY_S = 20
_DONE_MIN = 1e-4
EXPECTED = (
    "account blocked",
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
    "pull in few bytes",
    "push answered: gap",
    "receipt heard of by courier",
    "record witnessed",
    "residue returned: expired",
    "residue returned: recalled",
    "return of a part of a line",
    "return of a receipt unknown at the till",
    "right written off",
    "risk spent offline",
    "rules from a sibling",
    "second return of a line refused",
    "spent twice after an undetected restore",
    "stranded transfer recovered",
    "stream begun anew: amnesia",
    "stream begun anew: behind the anchor",
    "stream begun anew: fork",
    "stream begun anew: witness",
    "the pool paid",
    "work refused by a full disk",
    "work refused by a read-only disk",
)
"""Rare things that a large run must have seen; one that was not seen was not tested."""
_LARGE_TILL_YEARS = 100


def main(
    arguments: list[str] | None = None,
    *,
    minutes_default: float = 0.0,
    profile_default: str = "usual",
) -> int:
    """Run the command.

    Returns:
        The exit status, 1 when something was found, a planted bug was not, or a large run did not
        see everything rare.
    """
    options = _options(arguments, minutes_default, profile_default)
    if not (options.seeds or options.minutes or options.till_years):
        options.seeds = _SEEDS
    if options.first is None:
        options.first = random.SystemRandom().getrandbits(32)
    try:
        sums = begin(first=options.first if options.seed is None else options.seed, add=options.add)
    except OtherReportError as error:
        print(error)
        return 2
    run = _Run(options, sums)
    with running_worlds(options.jobs) as worlds, suppress(KeyboardInterrupt):
        for told in worlds.run(run.worlds()):
            run.over(told)
            if len(sums.violations) >= options.violations_max:
                break
        if options.plants:
            sums.planted, sums.caught = _plants(worlds, options.days)
    run.keep()
    _report(sums)
    is_unseen = sums.till_years >= _LARGE_TILL_YEARS and bool(never_seen(sums, EXPECTED))
    return int(bool(sums.violations) or sums.caught < sums.planted or is_unseen)


def _options(
    arguments: list[str] | None, minutes_default: float, profile_default: str
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="how many worlds")
    parser.add_argument("--seed", type=int, help="this one world")
    parser.add_argument("--first", type=int, help="the first seed (default: a fresh one)")
    parser.add_argument(
        "--days", type=int, default=0, help="virtual days of a world (default: the profile's)"
    )
    parser.add_argument("--minutes", type=float, default=minutes_default, help="stop after so long")
    parser.add_argument(
        "--till-years", type=float, default=0.0, help="stop after so many, with --add in all"
    )
    parser.add_argument(
        "--add", action="store_true", help="go on with the last report, if it is of this code"
    )
    parser.add_argument("--profile", choices=sorted(PROFILES), default=profile_default)
    parser.add_argument("--jobs", type=int, default=0, help="worlds at a time (default: cores)")
    parser.add_argument("--plants", action="store_true", help="also look for every planted bug")
    parser.add_argument("--violations-max", type=int, default=3, help="stop after so many findings")
    return parser.parse_args(arguments)


class _Run:
    """One call of the command: which worlds, how far it is, and what is kept of it."""

    def __init__(self, options: argparse.Namespace, sums: Sums) -> None:
        self._options = options
        self._sums = sums
        self._before = Sums(
            till_days=sums.till_days, runs=sums.runs, seconds=sums.seconds, commit=sums.commit
        )
        self._started = time.monotonic()
        self._said_at = 0.0

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def worlds(self) -> Iterator[World]:
        """Say which world is next, until there were enough."""
        options = self._options
        _, size = PROFILES[options.profile]
        days = options.days or size.days
        if options.seed is not None:
            yield World(seed=options.seed, profile=options.profile, days=days)
            return
        till_days_wanted = options.till_years * 365 - self._before.till_days
        till_days_each = days * size.stores * size.tills_per_store
        for number in count():
            if options.seeds and number >= options.seeds:
                return
            if options.minutes and self._seconds > options.minutes * 60:
                return
            if options.till_years and number * till_days_each >= till_days_wanted:
                return
            yield World(seed=options.first + number, profile=options.profile, days=days)

    def over(self, told: Told) -> None:
        """Count a world in, say so, and keep it."""
        self._sums.add(told)
        if told.violation:
            _say_violation(told)
        self.keep()
        self._say_progress()

    def keep(self) -> None:
        """Write the report as far as it is."""
        self._sums.seconds = self._before.seconds + self._seconds
        write(self._sums, EXPECTED)

    def _say_progress(self) -> None:
        sums, seconds = self._sums, self._seconds
        done = self._done()
        new_years = sums.till_years - self._before.till_years
        ends = datetime.now().astimezone() + timedelta(seconds=seconds * (1 / done - 1))
        line = (
            f"[{'#' * int(30 * done):30}] {sums.runs} worlds, {sums.till_years:.2f} till-years"
            f" ({new_years / seconds * 3600:.0f} an hour, ends {ends:%H:%M}),"
            f" {sums.figures['sales']} sales, {sum(sums.faults.values())} faults,"
            f" {len(sums.violations)} violations, {seconds:.0f} s"
        )
        if sys.stdout.isatty():
            print(f"\r{line}", end="", flush=True)
        elif seconds - self._said_at >= _SAY_S:
            self._said_at = seconds
            print(line, flush=True)

    def _done(self) -> float:
        """Return the share of the run that is over, more than 0."""
        options, sums, before = self._options, self._sums, self._before
        shares = [
            self._seconds / 60 / options.minutes if options.minutes else 0.0,
            (sums.till_years - before.till_years)
            / max(options.till_years - before.till_years, 1e-9)
            if options.till_years
            else 0.0,
            (sums.runs - before.runs) / options.seeds if options.seeds else 0.0,
            1.0 if options.seed is not None else _DONE_MIN,
        ]
        return min(1.0, max(shares))


def _say_violation(told: Told) -> None:
    print(f"\nseed {told.world.seed}: {told.violation}")
    print(told.cause + "\n".join(told.tail))
    print(f"again: {told.world.again}", flush=True)


def _plants(worlds: Worlds, days: int) -> tuple[int, int]:
    caught = 0
    for plant in PLANTS:
        tries = (World(seed=seed, days=days, plant=plant.__name__) for seed in plant.seeds())
        found = ""
        for told in worlds.run(tries):
            if told.violation and not told.cause:
                found = f"seed {told.world.seed}: {told.violation}"
                break
        caught += bool(found)
        print(f"\nplanted: {plant.name}\n  {found or 'NOT FOUND'}", flush=True)
    return len(PLANTS), caught


def _report(sums: Sums) -> None:
    print(
        f"\n{sums.runs} worlds, {sums.till_days} till-days"
        f" ({sums.till_years:.2f} till-years), {sums.figures['sales']} sales,"
        f" {sums.figures['returns']} returns, {sums.figures['audits']} audits"
        f" in {sums.seconds:.0f} s, {sums.commit or 'no commit'}"
    )
    print("faults:    " + ", ".join(f"{n} {k}" for k, n in sorted(sums.faults.items())))
    print("sometimes: " + ", ".join(f"{n} {k}" for k, n in sorted(sums.sometimes.items())))
    if unseen := never_seen(sums, EXPECTED):
        print("never:     " + ", ".join(unseen))
    print(
        f"violations: {len(sums.violations)}"
        + (f"; planted {sums.planted}, caught {sums.caught}" if sums.planted else "")
    )
    for each in sums.violations:
        print(f"  {each['again']}   # {each['found']}")
    print(f"report: {REPORT}")


if __name__ == "__main__":
    sys.exit(main())
