"""Time of single calls, what is said of many of them, and on what machine they were made."""

import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

US_PER_S = 1e6
_SAID_EVERY_S = 3.0
_PATIENCE_S = 1.0


def time_us(action: Callable[[], object], *, repeats: int) -> list[float]:
    """Return the microseconds of each repeat of a call, collections of garbage included.

    What takes long is repeated less: after a second it is enough.
    """
    clock = time.perf_counter
    found: list[float] = []
    end = clock() + _PATIENCE_S
    while len(found) < repeats and (not found or clock() < end):
        before = clock()
        action()
        found.append((clock() - before) * US_PER_S)
    return found


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value that `share` % of the values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values were measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * share // 100) - 1)]


def in_ms(values_us: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and largest of some times, in milliseconds."""
    return {
        "median_ms": round(median(values_us) / 1e3, 4),
        "p99_ms": round(percentile(values_us, 99) / 1e3, 4),
        "max_ms": round(max(values_us) / 1e3, 4),
    }


def machine() -> dict[str, object]:
    """Return what the figures depend on beside the code."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count() or 1,
        "load_1_minute": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1.0,
        "gc": f"on, thresholds {gc.get_threshold()}" if gc.isenabled() else "off",
    }


class Said:
    """Progress on standard error: at once on a new matter, then every few seconds."""

    def __init__(self, matter: str) -> None:
        self._matter = matter
        self._said_s = time.monotonic()
        print(f"{matter} ...", file=sys.stderr, flush=True)

    def step(self, done: int, of: int) -> None:
        """Say how far it is, when that was last said some time ago."""
        now_s = time.monotonic()
        if now_s - self._said_s >= _SAID_EVERY_S:
            self._said_s = now_s
            print(f"{self._matter}: {done} of {of}", file=sys.stderr, flush=True)
