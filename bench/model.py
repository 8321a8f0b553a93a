"""Tries the protocol's model in larger worlds than the tests do: `python -m bench.model`.

Of each world the shortest stories are tried first, until there is none left or `--states` were
seen. A promise that breaks is told with the shortest way there. The figures go to
`var/bench/model.json`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from bench.provenance import commit_here
from tests.model.checker import Verdict, check
from tests.model.protocol import Size
from tests.model.worlds import LARGER, SOUND

REPORT: Final = Path("var/bench/model.json")
STATES_DEFAULT: Final = 400_000
"""Of a world, some 600 MB."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status, 1 when a promise was broken.
    """
    options = _options(arguments)
    worlds = {
        name: size
        for name, size in (SOUND | LARGER).items()
        if not options.only or options.only in name
    }
    if not worlds:
        print(f"no world has {options.only!r} in its name; there are: {', '.join(SOUND | LARGER)}")
        return 2
    started = time.monotonic()
    verdicts = {}
    for name, verdict in _tried(worlds, options.states, options.jobs):
        verdicts[name] = verdict
        _say(name, verdict, f"[{len(verdicts)}/{len(worlds)}]")
    seconds = time.monotonic() - started
    broken = sum(bool(verdict.broken) for verdict in verdicts.values())
    states = sum(verdict.states for verdict in verdicts.values())
    print(f"\n{len(worlds)} worlds, {states:,} states, {broken} broken, {seconds:.0f} s; {REPORT}")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "commit": commit_here(),
        "states": states,
        "broken": broken,
        "seconds": round(seconds, 1),
        "worlds": {name: asdict(verdict) for name, verdict in verdicts.items()},
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(broken > 0)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.model", description=__doc__)
    parser.add_argument(
        "--states",
        type=int,
        default=STATES_DEFAULT,
        help="so many of each world at most (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="worlds at a time (default: cores)"
    )
    parser.add_argument("--only", default="", help="worlds with this in their name")
    return parser.parse_args(arguments)


def _tried(worlds: dict[str, Size], states_max: int, jobs: int) -> Iterator[tuple[str, Verdict]]:
    """Try worlds beside each other; say each when it is done."""
    # A process for each world: what one has seen is given back to the machine.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        names = {
            pool.submit(check, size, states_max=states_max): name for name, size in worlds.items()
        }
        for done in as_completed(names):
            yield names[done], done.result()


def _say(name: str, verdict: Verdict, progress: str) -> None:
    how_far = "every story" if verdict.is_whole else f"every story of at most {verdict.steps} steps"
    print(f"{progress:8} {name}: {verdict.states:,} states, {how_far}", flush=True)
    if verdict.broken:
        print(f"  {verdict.broken}")
        print("".join(f"    {step}\n" for step in verdict.story), end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
