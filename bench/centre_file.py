"""`var/bench/centre.json`: three measurements write into it, and of each it says what ran when."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from bench.engine.timing import machine
from bench.provenance import commit_here

REPORT: Final = Path("var/bench/centre.json")

Part = Literal["centre", "rules", "backtest"]

FIGURES: Final[Mapping[Part, tuple[str, ...]]] = {
    "centre": (
        "purchases_per_s", "purchases_p99_ms", "intake_per_s", "ingest_per_s", "pgbench_tps",
        "till_p99_shift_under_app_storm", "recovery_s", "lost", "twice", "verify_rows_per_s",
        "grown_purchases_per_s",
    ),
    "rules": (
        "publish_tills", "publish_offers", "publish_release_s", "publish_50_s", "publish_99_s",
        "publish_100_s", "publish_said_share", "publish_said_per_s", "publish_came_again",
        "publish_sale_calls", "publish_sale_call_50_ms", "publish_sale_call_99_ms", "delta_bytes",
        "delta_file_bytes", "bundle_packed_bytes",
    ),
    "backtest": ("backtest_per_s_core",),
}  # fmt: skip
"""The figures at the top of the file, by the measurement that writes them."""
_RUNS: Final = "runs"


def begin_run(*, quick: bool) -> dict[str, Any]:
    """Return what a part's figures are to be read with.

    Args:
        quick: measured with small numbers; no figure to compare with a goal.
    """
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit_here(),
        "quick": quick,
        "machine": machine(),
    }


def write(
    part: Part,
    figures: Mapping[str, Any],
    *,
    run: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
    path: Path = REPORT,
) -> dict[str, Any]:
    """Put a part's figures beside those of the others; returns the whole file.

    Args:
        figures: those that `FIGURES` names for the part, each of them.
        run: as `begin_run` said it.
        details: what is behind them.

    Raises:
        ValueError: a figure is missing, or one is not known.
    """
    if set(figures) != set(FIGURES[part]):
        raise ValueError(f"{part}: these figures differ: {set(figures) ^ set(FIGURES[part])}")
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs = {**found.get(_RUNS, {}), part: dict(run)}
    known = {name for names in FIGURES.values() for name in names} | set(FIGURES)
    # What a release before kept under other names goes with it.
    found = {name: value for name, value in found.items() if name in known}
    found |= {**figures, _RUNS: {name: runs[name] for name in FIGURES if name in runs}}
    if details is not None:
        found[part] = dict(details)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found
