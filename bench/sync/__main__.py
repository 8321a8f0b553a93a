"""`make bench-sync`: measures the line and redemption without it, prints tables, writes JSON."""

import argparse
import asyncio
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from bench.engine.timing import machine
from bench.grocery.tables import GroceryDataError
from bench.sync import day, redeeming, rules
from bench.sync.tables import text
from bench.sync.visits import read_visits
from bench.till.shop import load_shop

REPORT = Path("var/bench/sync.json")
FOLDER = Path("var/bench/sync")
PARTS = ("day", "redeeming", "rules")
_WEEKS, _WEEKS_QUICK = 12, 4
_DAY_QUICK = day.Day(receipts_per_till=15, accounts=300)
_OFFERS, _OFFERS_QUICK = 10_000, 500
_YEAR_QUICK = redeeming.Year(rounds=1, outage_per_mille=20)


def measure(parts: Sequence[str], *, quick: bool, seed: int, folder: Path) -> dict[str, Any]:
    """Measure some parts.

    Raises:
        GroceryDataError: the real baskets are not installed.
    """
    report: dict[str, Any] = {}
    if "rules" in parts:
        (folder / "rules").mkdir()
        offers = _OFFERS_QUICK if quick else _OFFERS
        found = asyncio.run(rules.measure(offers, seed=seed, folder=folder / "rules"))
        for name, ways in (("", "one_for_all"), ("_by_each", "each")):
            sizes = found[ways]
            report[f"rules_line_bytes{name}"] = sizes["line_bytes"] + sizes["line_header_bytes"]
        report["rules"] = found
    if set(parts) != {"rules"}:
        print("reading the real baskets ...", file=sys.stderr, flush=True)
    if "day" in parts:
        shop = load_shop(weeks=_WEEKS_QUICK if quick else _WEEKS, seed=seed)
        size = _DAY_QUICK if quick else day.Day()
        found = asyncio.run(day.measure(shop, size, seed=seed, folder=folder))
        report["store_day_bytes"] = found["store_day_bytes"]
        report["store_day_with_headers_bytes"] = found["store_day_bytes"] + found["header_bytes"]
        report["day"] = found
    if "redeeming" in parts:
        year = _YEAR_QUICK if quick else redeeming.Year()
        found = redeeming.measure(read_visits(seed=seed), year, seed=seed)
        names = ("served_share", "refused_share", "cached_balance_overdraft", "our_overdraft")
        report |= {name: found[name] for name in names}
        report["redeeming"] = found
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit status is 1 when something needed is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.sync",
        description="Measure the line; docs/performance.md says what each figure means.",
    )
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run at all?")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"for its files [{FOLDER}]")
    parser.add_argument("--json", type=Path, default=REPORT, metavar="PATH", help=f"[{REPORT}]")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    parts = (options.only,) if options.only else PARTS
    folder = options.folder.resolve()
    try:
        report = measure(parts, quick=options.quick, seed=options.seed, folder=folder)
    except GroceryDataError as error:
        print(f"bench-sync: {error}", file=sys.stderr)
        return 1
    report |= {"machine": machine(), "seed": options.seed, "quick": options.quick}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(text(report))
    print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
