"""`python -m bench.replay`: a year of many stores beside what was paid; `make replay` runs it."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from bench.demo.progress import Progress
from bench.grocery.compare import Cause, weeks_wanted
from bench.grocery.coupons import CouponsFound, find_coupons
from bench.grocery.data import Selection, baskets_by_store, busiest_first, load_selection
from bench.grocery.tables import GroceryDataError
from bench.replay.figures import Figures
from bench.replay.one_store import REORDERED_EVERY, StoreTask, replay_store, tasks_of
from bench.replay.summary import summary

REPORT = Path("var/replay/report.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay, print, write; exit status 1: a difference has no cause, or a check fails."""
    options = _options(arguments)
    started_s = time.monotonic()
    try:
        chain = baskets_by_store()
        stores = _chosen(options.stores, chain)
        first, last = options.weeks
        print("reading the real baskets ...", file=sys.stderr)
        selection = load_selection(stores, first_week=first, last_week=last)
    except GroceryDataError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1
    coupons = find_coupons(selection)
    by_store = _replayed(tasks_of(selection, coupons, seed=options.seed), jobs=options.jobs)
    report = _report(selection, coupons, by_store, chain)
    report["seed"] = options.seed
    report["time"] = _time(by_store, jobs=options.jobs, seconds=time.monotonic() - started_s)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    total = _total(by_store)
    print(summary(report, total))
    print(f"\nreport: {options.json}")
    return 0 if is_sound(total) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.replay",
        description="Calculate the real baskets of many stores and compare with what was paid.",
        epilog="Example: python -m bench.replay --stores 5 --weeks 1-8",
    )
    parser.add_argument(
        "--stores",
        type=stores_wanted,
        default="50",
        help="so many of the busiest, or store numbers with commas (default 50)",
    )
    parser.add_argument(
        "--weeks", type=weeks_wanted, default="1-53", help="FIRST-LAST of 1 to 53 (default 1-53)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the other orders of lines (default 1)"
    )
    parser.add_argument("--jobs", type=_jobs, default=2, help="processes (default 2)")
    parser.add_argument("--json", type=Path, default=REPORT, metavar="PATH", help=f"[{REPORT}]")
    return parser.parse_args(arguments)


def stores_wanted(text: str) -> int | tuple[int, ...]:
    """Read `--stores`: a number of stores, or the data's store numbers with commas (`367,`).

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    parts = [part for part in text.split(",") if part]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts) or text == "0":
        raise argparse.ArgumentTypeError(
            "give a number of stores, or store numbers such as 343,292"
        )
    return tuple(map(int, parts)) if "," in text else int(text)


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError("give a number of processes, at least 1")
    return int(text)


def _chosen(wanted: int | tuple[int, ...], chain: Mapping[int, int]) -> tuple[int, ...]:
    """Return the stores to replay.

    Raises:
        GroceryDataError: there are not so many.
    """
    if isinstance(wanted, tuple):
        return wanted
    if wanted > len(chain):
        raise GroceryDataError(f"the data has {len(chain)} stores, not {wanted}")
    return busiest_first(chain)[:wanted]


def _replayed(tasks: Sequence[StoreTask], *, jobs: int) -> list[Figures]:
    """Return the figures of each store, in the order of the stores."""
    progress = Progress(len(tasks))
    progress.phase("stores replayed")
    found: dict[int, Figures] = {}
    for place, figures in _as_done(tasks, jobs):
        found[place] = figures
        progress.step()
    progress.end()
    return [found[place] for place in range(len(tasks))]


def _as_done(tasks: Sequence[StoreTask], jobs: int) -> Iterator[tuple[int, Figures]]:
    if jobs == 1:
        yield from ((place, replay_store(task)) for place, task in enumerate(tasks))
        return
    # Spawned, as everywhere but on Linux: what was read before is not copied into every process.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        places = {pool.submit(replay_store, task): place for place, task in enumerate(tasks)}
        for future in as_completed(places):
            yield places[future], future.result()


def _total(by_store: Sequence[Figures]) -> Figures:
    total = Figures()
    for figures in by_store:
        total.add(figures)
    return total


def is_sound(total: Figures) -> bool:
    """Whether every check holds and every difference has a cause."""
    compared = (total.with_store_prices, *total.foretold.values())
    unexplained = sum(tally.causes[Cause.UNEXPLAINED] for tally in compared)
    return total.checks.all_hold and not unexplained


def _report(
    selection: Selection,
    coupons: CouponsFound,
    by_store: Sequence[Figures],
    chain: Mapping[int, int],
) -> dict[str, object]:
    return {
        "stores_replayed": list(selection.stores),
        "weeks": [selection.first_week, selection.last_week],
        "chain": {"stores": len(chain), "baskets": sum(chain.values())},
        "left_out": dict(selection.left_out),
        "coupons": {
            "baskets_with_codes": len(coupons.by_basket),
            "without_value": coupons.without_value,
            "redemptions_elsewhere": coupons.redemptions_elsewhere,
        },
        "reordered_every": REORDERED_EVERY,
        **_total(by_store).document(),
        "by_store": [
            {
                "store": figures.stores[0],
                "baskets": figures.with_store_prices.baskets,
                "equal": figures.with_store_prices.equal,
                "equal_percent": figures.with_store_prices.document()["equal_percent"],
            }
            for figures in by_store
        ],
    }


def _time(by_store: Sequence[Figures], *, jobs: int, seconds: float) -> dict[str, object]:
    total = _total(by_store)
    return {
        "seconds": round(seconds, 1),
        "jobs": jobs,
        "work_seconds": round(total.seconds, 1),
        "slowest": total.slowest.document(),
    }


if __name__ == "__main__":
    sys.exit(main())
