"""What customers at the register notice when the store's line goes dead in the middle of trade.

The proxy swallows everything and closes nothing, the worst way a line can fail. The first call that
wants to hear from the centre waits for its budget; the following ones must not wait at all.
"""

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from bench.demo.cut_proxy import CutProxy
from bench.demo.rig import RigError, TillProcess
from bench.engine.timing import percentile
from bench.till.completing import Register
from bench.till.progress import Bar
from bench.till.shop import Sale

LATER_CALLS = 10
_WAIT_S = 30.0
_POLL_S = 0.05


def measure(
    till: TillProcess,
    proxy: CutProxy,
    receipts: Iterator[tuple[str, Sale]],
    *,
    rounds: int,
    budget_ms: int,
    quiet_us: list[float],
    bar: Bar,
) -> dict[str, Any]:
    """Cut and heal the line again and again.

    Args:
        budget_ms: how long a call may wait for the centre.
        quiet_us: the same call while the line has long been down, to compare with.

    Raises:
        RigError: the link does not come back.
    """
    register = Register(till)
    first: list[float] = []
    later: list[float] = []
    with_line: list[float] = []
    for _ in range(rounds):
        proxy.set("pass")
        wait_for_link(till)
        with_line.append(_call(register, receipts))
        proxy.set("drop")
        first.append(_call(register, receipts))
        later += [_call(register, receipts) for _ in range(LATER_CALLS)]
        bar.step()
    proxy.set("pass")
    register.close()
    return {
        "first_call_after_cut_ms": round(max(first) / 1e3, 1),
        "first_call_median_ms": round(median(first) / 1e3, 1),
        "first_call_budget_ms": budget_ms,
        "later_calls_extra_ms": round((median(later) - median(quiet_us)) / 1e3, 2),
        "later_calls_p99_extra_ms": round(
            (percentile(later, 99) - percentile(quiet_us, 99)) / 1e3, 2
        ),
        "later_calls_median_ms": round(median(later) / 1e3, 2),
        "calls_with_line_median_ms": round(median(with_line) / 1e3, 2),
        "cuts": rounds,
    }


def _call(register: Register, receipts: Iterator[tuple[str, Sale]]) -> float:
    """Have a new receipt of an identified customer calculated; returns the microseconds."""
    receipt_id, sale = next(each for each in receipts if each[1].card)
    _, took = register.update(receipt_id, sale)
    return took


def wait_for_link(till: TillProcess) -> None:
    """Have the agent talk until it has the centre.

    Raises:
        RigError: it does not in time.
    """
    deadline = time.monotonic() + _WAIT_S
    before = till.figures()["conversations"]
    while till.figures()["link"] != "up" or till.figures()["conversations"] == before:
        till.talk()
        if time.monotonic() > deadline:
            raise RigError(f"the link does not come back: {till.figures()['last_link_error']}")
        time.sleep(_POLL_S)
