"""`python -m bench.crash`: cuts the power at every operation of a till's day (`make crash`)."""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.crash.cuts import Sums, Workshop, be_quiet, plan, run_all
from bench.crash.judge import Cut, Verdict
from bench.crash.plants import PLANTS
from bench.demo.progress import Progress

REPORT = Path("var/crash/report.json")
PLANT_CUTS = 900
_FOUND_SHOWN = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status, 1 when something was found or a planted bug was not.
    """
    options = _options(arguments)
    if options.cut is not None:
        return _one(options)
    started_s = time.monotonic()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    be_quiet()
    workshop = Workshop()
    operations = workshop.day.operations
    workshop.close()
    sums = _run(plan(operations, options.cuts, seed=seed), options.jobs)
    planted = {} if options.no_plants else _plants(seed)
    report = _report(sums, planted, operations=operations, seed=seed)
    report["seconds"] = round(time.monotonic() - started_s, 1)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _say(report, sums)
    return int(bool(sums.found) or report["caught"] < report["planted"])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crash",
        description="Cuts the power at every operation of a till's day, again and again.",
        epilog="Example: python -m bench.crash --cuts 20000",
    )
    parser.add_argument("--cuts", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--seed", type=int, help="of the survivors (default: a fresh one)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--no-plants", action="store_true", help="leave out the planted bugs")
    parser.add_argument("--report", type=Path, default=REPORT, help=f"(default {REPORT})")
    again = parser.add_argument_group("one cut again")
    again.add_argument("--cut", type=int, help="the operation in which the power goes")
    again.add_argument("--pattern", type=int, default=0, help="which unsynced writes survive")
    again.add_argument("--model", choices=("honest", "lying"), default="honest")
    again.add_argument("--plant", choices=sorted(PLANTS), default="", help="with a planted bug")
    return parser.parse_args(arguments)


def _one(options: argparse.Namespace) -> int:
    """Do one cut again and say what it came to."""
    be_quiet()
    workshop = Workshop(options.plant)
    cut = Cut(options.model, options.cut, options.pattern, options.seed or 0, options.plant)
    sums = workshop.run([cut])
    print(f"operation {cut.number} of {workshop.day.operations}")
    workshop.close()
    print(sums.found[0].found if sums.found else "nothing found")
    for name, count in sorted(sums.seen.items()):
        print(f"  {count} {name}")
    return int(bool(sums.found))


def _run(cuts: Sequence[Cut], jobs: int) -> Sums:
    sums, progress = Sums(), Progress(len(cuts))
    progress.phase("cutting the power")
    for done in run_all(cuts, jobs=jobs):
        sums.join(done)
        progress.steps(sum(done.cuts.values()))
        if len(sums.found) > _FOUND_SHOWN:
            break
    progress.end()
    return sums


def _plants(seed: int) -> dict[str, Verdict | None]:
    """Look for every planted bug; returns the first cut that showed it."""
    caught: dict[str, Verdict | None] = {}
    for name in PLANTS:
        caught[name] = find_plant(name, seed)
    return caught


def find_plant(name: str, seed: int, cuts: int = PLANT_CUTS) -> Verdict | None:
    """Return the first cut that shows a planted bug; None when none of so many does."""
    workshop = Workshop(name)
    try:
        honest = plan(workshop.day.operations, cuts // 3, seed=seed, plant=name, lying_share=0.0)
        lying = plan(workshop.day.operations, cuts, seed=seed, plant=name, lying_share=0.9)
        lying = [cut for cut in lying if cut.model == "lying"]
        sums = workshop.run([*honest, *lying], found_max=1)
    finally:
        workshop.close()
    return sums.found[0] if sums.found else None


def _report(
    sums: Sums, planted: dict[str, Verdict | None], *, operations: int, seed: int
) -> dict[str, Any]:
    return {
        "seed": seed,
        "operations": operations,
        "cuts": sum(sums.cuts.values()),
        "cuts_by_disk": dict(sorted(sums.cuts.items())),
        "violations": len(sums.found),
        "found": [{"found": v.found, "again": v.cut.again} for v in sums.found],
        "seen": dict(sorted(sums.seen.items())),
        "planted": len(planted),
        "caught": sum(verdict is not None for verdict in planted.values()),
        "plants": {
            name: {"found": verdict.found, "again": verdict.cut.again} if verdict else None
            for name, verdict in planted.items()
        },
    }


def _say(report: dict[str, Any], sums: Sums) -> None:
    print(
        f"{report['cuts']} cuts of a day of {report['operations']} operations,"
        f" {report['violations']} violations, {report['seconds']} s"
    )
    for name, count in report["seen"].items():
        print(f"  {count:7} {name}")
    for name, caught in report["plants"].items():
        print(f"planted: {PLANTS[name].name}\n  {caught['found'] if caught else 'NOT FOUND'}")
    for verdict in sums.found[:_FOUND_SHOWN]:
        print(f"FOUND: {verdict.found}\n  again: {verdict.cut.again}")


if __name__ == "__main__":
    sys.exit(main())
