"""What a bundle costs a till: the time from its bytes to the first receipt, and memory.

    python -m bench.engine.bundle_cost FILE [--memory]

prints the figures of one bundle as JSON, in a process that did nothing before. `--memory` counts
what is alive (tracemalloc), which slows everything down, so times come from a process of their own.
"""

import argparse
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from agent.reference_data.rule_books import read_bundle
from bench.engine.timing import Said
from bench.engine.workload import MOMENT
from loyalty.account import AccountSnapshot
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import Bundle
from loyalty.calculate import calculate
from loyalty.compilation import compile_bundle
from loyalty.documents import encode

_MB = 1e6
_STATUS = Path("/proc/self/status")


def measure(bundle: Bundle, *, place: Place, moment: Moment = MOMENT) -> dict[str, object]:
    """Return the cost of a bundle; the catalogue's share of the memory is told apart.

    Args:
        place: where the first receipt is calculated.
    """
    said = Said(f"bundle: {len(bundle.offers)} offers, {len(bundle.catalogue)} products")
    with TemporaryDirectory() as folder:
        whole, bare = Path(folder, "whole.json"), Path(folder, "catalogue.json")
        size = _write(whole, bundle)
        _write(bare, replace(bundle, offers=(), groups={}))
        said.step(1, 2)
        times = _in_fresh_process(whole, place, moment)
        live = _in_fresh_process(whole, place, moment, "--memory")["live_mb"]
        catalogue = _in_fresh_process(bare, place, moment, "--memory")["live_mb"]
    return {
        "offers": len(bundle.offers),
        "products": len(bundle.catalogue),
        "bytes_mb": round(size / _MB, 2),
        **times,
        "live_mb": live,
        "catalogue_mb": catalogue,
        "offers_mb": round(live - catalogue, 2),
    }


def _write(path: Path, bundle: Bundle) -> int:
    return path.write_bytes(json.dumps(encode(bundle), separators=(",", ":")).encode())


def _in_fresh_process(path: Path, place: Place, moment: Moment, *more: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.engine.bundle_cost", str(path), *more]
    where = ["--store", place.store, "--moment", moment.local]
    done = subprocess.run([*command, *where], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Load one bundle and print what it cost."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine.bundle_cost")
    parser.add_argument("file", type=Path)
    parser.add_argument("--memory", action="store_true", help="count what is alive; no times")
    parser.add_argument("--store", default="1")
    parser.add_argument("--moment", default=MOMENT.local)
    options = parser.parse_args(arguments)
    place, moment = Place(store=options.store), Moment(local=options.moment)
    content = options.file.read_bytes()
    gc.collect()
    if options.memory:
        tracemalloc.start()
    else:
        # The first receipt ever also pays for what Python does once; that is not the bundle's.
        _first_receipt(
            b'{"version":1,"programme":{"programme_id":"x","currency":"X"}}', place, moment
        )
    before_mb = _resident_mb()
    kept, times = _first_receipt(content, place, moment)
    gc.collect()
    if options.memory:
        print(json.dumps({"live_mb": round(tracemalloc.get_traced_memory()[0] / _MB, 2)}))
    else:
        print(json.dumps({**times, "resident_mb": round(_resident_mb() - before_mb, 2)}))
    del kept
    return 0


def _first_receipt(content: bytes, place: Place, moment: Moment) -> tuple[object, dict[str, float]]:
    """Go from bytes to the first receipt; return what must stay alive, and seconds by step."""
    begun = perf_counter()
    bundle = read_bundle(content)
    decoded = perf_counter()
    rules = compile_bundle(bundle, "00")
    compiled = perf_counter()
    line = BasketLine(line_id="1", sku="no such SKU", quantity=1000, gross_minor=100)
    # One line that no offer names: all it takes is the day's index.
    account = AccountSnapshot(identified=True)
    calculate(Basket(lines=(line,)), rules, moment=moment, place=place, account=account)
    ended = perf_counter()
    return rules, {
        "decode_s": round(decoded - begun, 3),
        "compile_s": round(compiled - decoded, 3),
        "first_day_s": round(ended - compiled, 3),
        "sum_s": round(ended - begun, 3),
    }


def _resident_mb() -> float:
    if not _STATUS.exists():
        return 0.0
    text = _STATUS.read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes) * 1024 / _MB


if __name__ == "__main__":
    sys.exit(main())
