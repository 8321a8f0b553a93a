"""`python -m bench.backtest`: back-tests of real baskets; `make bench-backtest` runs it."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.backtest import first_day, speed
from bench.engine.real import RealSize, load
from bench.engine.timing import machine
from bench.grocery.data import choose_stores, load_selection
from bench.grocery.tables import GroceryDataError

REPORT = Path("var/bench/centre.json")
_QUICK, _WHOLE = (2, 6), (10, 53)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.backtest",
        description="Measure back-tests on real baskets: their speed, and how near they come.",
        epilog="Example: python -m bench.backtest --quick",
    )
    parser.add_argument("--quick", action="store_true", help="two stores, six weeks")
    parser.add_argument("--json", type=Path, default=REPORT, metavar="PATH", help=f"[{REPORT}]")
    options = parser.parse_args(arguments)
    try:
        found = run(quick=options.quick)
    except GroceryDataError as error:
        print(f"backtest: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2))
    merge(found, options.json)
    return 0


def run(*, quick: bool = False) -> dict[str, object]:
    """Return the figures, `backtest_per_s_core` among them: of the draft that touches many.

    Raises:
        GroceryDataError: the data is not installed.
    """
    stores, weeks = _QUICK if quick else _WHOLE
    with TemporaryDirectory() as folder:
        size = RealSize(
            stores=stores, weeks=weeks, offers=0, replayed_stores=stores, all_products=False
        )
        case = load(size, seed=1)
        measured = speed.measure(case, speed.write(case, Path(folder) / "speed"))
        selection = load_selection(choose_stores(stores), first_week=1, last_week=weeks)
        foretold = first_day.foretell(selection, Path(folder))
    many = measured["many"]
    assert isinstance(many, dict)
    return {
        "backtest_per_s_core": many["per_s_core"],
        "backtest": {
            **measured,
            "first_day": {name: each.document() for name, each in foretold.items()},
            "machine": machine(),
        },
    }


def merge(found: dict[str, object], path: Path) -> None:
    """Put figures beside those that other measurements wrote."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**known, **found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
