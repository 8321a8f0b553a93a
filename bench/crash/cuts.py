"""Does many cuts, in processes; each lets the day pass once and cuts it in its own places."""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

import structlog

from bench.crash.acts import tell_day
from bench.crash.day import AsBuilt, Day
from bench.crash.disks import DiskInTime, Machine, Model
from bench.crash.judge import Cut, Judge, Verdict, lies_of
from bench.crash.plants import PLANTS

PATTERNS_HONEST = 20
_CUTS_AT_ONCE = 150
_LYING_SHARE = 0.15
_LYING_CUTS_PER_PATTERN = 60


@dataclass(slots=True)
class Sums:
    """What cuts came to."""

    cuts: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    found: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one."""
        self.cuts[verdict.cut.model] += 1
        self.seen += Counter(
            {f"{verdict.cut.model}: {name}": n for name, n in verdict.seen.items()}
        )
        if verdict.found:
            self.found.append(verdict)

    def join(self, other: "Sums") -> None:
        """Count others in."""
        self.cuts += other.cuts
        self.seen += other.seen
        self.found += other.found


class Workshop:
    """A machine and the day on it, for any number of cuts; one per process."""

    def __init__(self, plant: str = "") -> None:
        """Let the day pass."""
        self._folder = tempfile.TemporaryDirectory(prefix="tillside-crash-")
        self._machine = Machine(1)
        built = PLANTS[plant] if plant else AsBuilt()
        folder = Path(self._folder.name)
        self.day: Day = tell_day(self._machine, folder, built)
        self._judge = Judge(self._machine, self.day, built, folder)

    def run(self, cuts: Iterable[Cut], *, found_max: int = 10) -> Sums:
        """Do cuts; those of a disk come in the order of the day."""
        sums = Sums()
        for _, same_disk in groupby(cuts, key=_disk_of):
            disk: DiskInTime | None = None
            for cut in same_disk:
                if disk is None:
                    disk = DiskInTime(self.day.log, lying=lies_of(cut))
                disk.advance_to(cut.number)
                sums.add(self._judge.judge(cut, cut.disk(disk)))
                if len(sums.found) >= found_max:
                    return sums
        return sums

    def close(self) -> None:
        """Forget it."""
        self._machine.close()
        self._folder.cleanup()


def _disk_of(cut: Cut) -> tuple[Model, int]:
    return cut.model, cut.pattern if cut.model == "lying" else 0


def plan(
    operations: int, cuts: int, *, seed: int, plant: str = "", lying_share: float = _LYING_SHARE
) -> list[Cut]:
    """Spread cuts over the day: first every operation, then more survivors for each of them."""
    lying = int(cuts * lying_share)
    honest = cuts - lying
    places = sorted(1 + (seed + at * operations // honest) % operations for at in range(honest))
    patterns = max(PATTERNS_HONEST, -(-honest // operations))
    made = [
        Cut("honest", number, (seed + number + at) % patterns, seed, plant)
        for number, same in groupby(places)
        for at, _ in enumerate(same)
    ]
    patterns = max(1, lying // _LYING_CUTS_PER_PATTERN)
    count = lying // patterns
    for pattern in range(patterns):
        first = (seed + pattern * 7) % (1 + operations // max(1, count))
        numbers = (1 + first + at * operations // count for at in range(count))
        made += [Cut("lying", n, pattern, seed, plant) for n in numbers if n <= operations]
    return made


_workshops: dict[str, Workshop] = {}


def be_quiet() -> None:
    """Have the till say nothing of what it finds; thousands of times it would be the same."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _run_in_worker(cuts: Sequence[Cut]) -> Sums:
    plant = cuts[0].plant
    if plant not in _workshops:
        _workshops[plant] = Workshop(plant)
    return _workshops[plant].run(cuts)


def run_all(cuts: Sequence[Cut], *, jobs: int) -> Iterator[Sums]:
    """Do cuts in processes; yields sums as they come."""
    parts = [cuts[at : at + _CUTS_AT_ONCE] for at in range(0, len(cuts), _CUTS_AT_ONCE)]
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=be_quiet) as pool:
        waiting = [pool.submit(_run_in_worker, part) for part in parts]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            for each in waiting:
                each.cancel()
