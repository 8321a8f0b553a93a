"""What runs came to, kept in a file after every world: a run that is cut short is told, too."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.provenance import commit_here
from bench.simulate.worlds import Told

REPORT = Path("var/simulate/report.json")
_DAYS_OF_A_YEAR = 365


class OtherReportError(Exception):
    """A report cannot be gone on with; says why."""


@dataclass(slots=True)
class Sums:
    """What the worlds so far came to.

    Attributes:
        commit: what was run; with changes that were not committed, a hash of those behind it.
        seconds: real time of all runs together.
        seeds: first seed and number of worlds, by run.
    """

    commit: str = ""
    till_days: int = 0
    runs: int = 0
    seconds: float = 0.0
    seeds: list[tuple[int, int]] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)
    planted: int = 0
    caught: int = 0

    @property
    def till_years(self) -> float:
        """How long all tills traded."""
        return self.till_days / _DAYS_OF_A_YEAR

    def add(self, told: Told) -> None:
        """Count a world in."""
        self.runs += 1
        first, count = self.seeds[-1]
        self.seeds[-1] = min(first, told.world.seed), count + 1
        self.till_days += told.till_days
        self.figures += told.figures
        self.faults += told.faults
        self.sometimes += told.sometimes
        if told.violation:
            self.violations.append(
                {"seed": told.world.seed, "found": told.violation, "again": told.world.again}
            )


def begin(*, first: int, add: bool) -> Sums:
    """Return sums to go on with: new ones, or those of the report that is there.

    Args:
        first: the first seed of this run.
        add: go on with the report, of the very same code.

    Raises:
        OtherReportError: there is none, or it is of other code.
    """
    commit = commit_here()
    sums = _read(commit) if add else Sums(commit=commit)
    sums.seeds.append((first, 0))
    return sums


def _read(commit: str) -> Sums:
    try:
        found = json.loads(REPORT.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OtherReportError(f"{REPORT} cannot be read: {error}") from error
    if not commit or found.get("commit") != commit:
        raise OtherReportError(
            f"{REPORT} is of {found.get('commit') or 'no known commit'},"
            f" this is {commit or 'no known commit'}: run without --add"
        )
    return Sums(
        commit=commit,
        till_days=found["till_days"],
        runs=found["worlds"],
        seconds=found["seconds"],
        seeds=[(first, count) for first, count in found["seeds"] if count],
        figures=Counter(found["figures"]),
        faults=Counter(found["faults"]),
        sometimes=Counter(found["sometimes"]),
        violations=found["violations"],
        planted=found["planted"],
        caught=found["caught"],
    )


def write(sums: Sums, expected: Sequence[str]) -> None:
    """Write the report; whoever reads it meanwhile reads the one before."""
    report = {
        "commit": sums.commit,
        "worlds": sums.runs,
        "till_days": sums.till_days,
        "till_years": round(sums.till_years, 3),
        "sales": sums.figures["sales"],
        "seeds": sums.seeds,
        "figures": dict(sorted(sums.figures.items())),
        "faults": dict(sorted(sums.faults.items())),
        "violations": sums.violations,
        "planted": sums.planted,
        "caught": sums.caught,
        "sometimes": dict(sorted(sums.sometimes.items())),
        "never_seen": never_seen(sums, expected),
        "seconds": round(sums.seconds, 1),
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    partial = REPORT.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(REPORT)


def never_seen(sums: Sums, expected: Sequence[str]) -> list[str]:
    """Return the rare things that did not happen."""
    return [name for name in expected if not sums.sometimes[name]]
