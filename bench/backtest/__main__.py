"""`python -m bench.backtest`: back-tests of real baskets; `make bench-backtest` runs it."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import centre_file
from bench.backtest import first_day, speed
from bench.engine.real import RealSize, load
from bench.grocery.data import choose_stores, load_selection
from bench.grocery.tables import GroceryDataError

_QUICK, _WHOLE = (2, 6), (10, 53)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.backtest",
        description="Measure back-tests on real baskets: their speed, and how near they come.",
        epilog="Example: python -m bench.backtest --quick",
    )
    parser.add_argument("--quick", action="store_true", help="two stores, six weeks")
    known = centre_file.REPORT
    parser.add_argument("--json", type=Path, default=known, metavar="PATH", help=f"[{known}]")
    options = parser.parse_args(arguments)
    run = centre_file.begin_run(quick=options.quick)
    try:
        found = measure(quick=options.quick)
    except GroceryDataError as error:
        print(f"backtest: {error}", file=sys.stderr)
        return 1
    figures = headline(found)
    print(json.dumps({**figures, "backtest": found}, indent=2))
    centre_file.write("backtest", figures, run=run, details=found, path=options.json)
    return 0


def headline(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figure the goal is about: of the draft that touches many receipts."""
    return {"backtest_per_s_core": found["many"]["per_s_core"]}


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Return speed of each draft and how near the first day came.

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
    return {
        **measured,
        "first_day": {name: each.document() for name, each in foretold.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
