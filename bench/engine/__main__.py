"""`make bench-engine`: measures the engine, prints tables, writes the figures as JSON."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.engine import bundle_cost, growth, hard, real, synthetic, tables
from bench.engine.peers import PeersMissing
from bench.engine.timing import machine
from bench.engine.workload import PLACE, World, bundle_of
from bench.grocery.tables import GroceryDataError

REPORT = Path("var/bench/engine.json")
PARTS = {"real": "a", "synthetic": "b", "bundle": "c", "hard": "d", "growth": "e"}
_OFFERS, _OFFERS_QUICK = 10_000, 500


def measure(
    parts: Sequence[str], *, seed: int, quick: bool = False, with_peers: bool = True
) -> dict[str, Any]:
    """Measure some parts; return the report.

    Args:
        parts: names of `PARTS`.
        quick: small numbers, to see that everything works.

    Raises:
        GroceryDataError: the real baskets are not installed.
        PeersMissing: the peers' environment is not there.
    """
    measured: dict[str, Any] = {}
    case = real.load(real.SMALL if quick else real.WHOLE, seed=seed) if _needs_real(parts) else None

    def bundle() -> dict[str, object]:
        assert case is not None
        world = World(seed)
        made_up = bundle_of(world, world.offers(_OFFERS_QUICK if quick else _OFFERS))
        first = case.receipts[0]
        return {
            "synthetic": bundle_cost.measure(made_up, place=PLACE),
            "real": bundle_cost.measure(case.bundle, place=first.place, moment=first.moment),
        }

    effort = synthetic.SMALL if quick else synthetic.WHOLE
    measures: dict[str, Callable[[], dict[str, object]]] = {
        "real": lambda: real.measure(case) if case else {},
        "synthetic": lambda: synthetic.measure(seed, effort, with_peers=with_peers),
        "bundle": bundle,
        "hard": lambda: hard.measure(seed, quick=quick),
        "growth": lambda: (
            growth.measure(seed, existing=growth.EXISTING_SMALL, held=max(growth.TOUCHING))
            if quick
            else growth.measure(seed)
        ),
    }
    for name in (name for name in PARTS if name in parts):
        measured[name] = measures[name]()
    return {
        **tables.headline(measured),
        "machine": machine(),
        "seed": seed,
        "quick": quick,
        "parts": measured,
    }


def _needs_real(parts: Sequence[str]) -> bool:
    return "real" in parts or "bundle" in parts


def parts_wanted(text: str) -> tuple[str, ...]:
    """Read `--only`: names or letters of the parts, with commas.

    Raises:
        argparse.ArgumentTypeError: there is no such part.
    """
    names = {letter: name for name, letter in PARTS.items()}
    wanted = tuple(names.get(part, part) for part in text.split(","))
    if unknown := [part for part in wanted if part not in PARTS]:
        known = ", ".join(f"{letter} = {name}" for name, letter in PARTS.items())
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}; there are {known}")
    return wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit status is 1 when something needed is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.engine",
        description="Measure the engine; docs/performance.md says what each figure means.",
    )
    parser.add_argument("--only", type=parts_wanted, default=tuple(PARTS), metavar="a,b")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run at all?")
    parser.add_argument("--no-peers", action="store_true", help="leave zen-engine and oscar out")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is made up")
    parser.add_argument("--json", type=Path, default=REPORT, metavar="PATH", help=f"[{REPORT}]")
    options = parser.parse_args(arguments)
    try:
        report = measure(
            options.only,
            seed=options.seed,
            quick=options.quick,
            with_peers=not options.no_peers and ("synthetic" in options.only),
        )
    except (GroceryDataError, PeersMissing) as error:
        print(f"bench-engine: {error}", file=sys.stderr)
        return 1
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(tables.text(report))
    print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
