"""The figures as people read them."""

from typing import Any

_GOALS = (
    ("purchases_per_s", "2000", "purchases answered and posted a second, sustained"),
    ("purchases_p99_ms", "< 50", "p99 of a snapshot or hold at that load"),
    ("intake_per_s", "3000", "receipts of an outage kept, recalculated and posted a second"),
    ("ingest_per_s", "", "the same, kept only"),
    ("pgbench_tps", "", "pgbench's simple update beside it, 8 clients"),
    ("till_p99_shift_under_app_storm", "< 0.2", "tills' p99 while the app's class is overloaded"),
    ("recovery_s", "< 15", "after kill -9 of everything, until a till is answered"),
    ("lost", "0", "records acknowledged and not kept, or kept and not posted"),
    ("twice", "0", "receipts posted twice"),
    ("grown_purchases_per_s", "", "purchases flat out with many more accounts"),
)


def text(report: dict[str, Any]) -> str:
    """Return the headline figures with their goals, then what is behind them."""
    lines = [f"{'figure':34}{'measured':>10}  {'goal':8}"]
    lines += [f"{name:34}{report[name]!s:>10}  {goal:8}{meaning}" for name, goal, meaning in _GOALS]
    found = report["centre"]
    lines += ["", f"{'calls, ms':34}{'calls':>10}{'median':>9}{'p99':>9}"]
    shown = (
        ("flat out", found["purchases"]["flat_out"]),
        ("sustained", found["purchases"]["sustained"]),
        ("half of it", found["storm"]["quiet"]),
        ("half of it, app storm", found["storm"]["storm"]),
    )
    for name, times in shown:
        for kind in ("snapshot", "authorise", "push"):
            if kind in times:
                call = times[kind]
                lines.append(
                    f"{name + ': ' + kind:34}{call['calls']:>10}{call['median_ms']:>9}"
                    f"{call['p99_ms']:>9}"
                )
    for name, used in (
        ("one purchase", found["purchases"]["flat_out"]["cpu_us"]),
        ("one receipt taken in", found["intake"]["cpu_us"]),
    ):
        lines += ["", f"{name + ', CPU of all processes':46}{'us':>8}"]
        lines += [f"{part:46}{value:>8}" for part, value in used.items()]
        lines.append(f"{'together':46}{sum(used.values()):>8}")
    lines += ["", f"{'one receipt, CPU in the process that posts it':46}{'us':>8}"]
    cost = found["intake"]["cost"]
    lines += [f"{name:46}{value:>8}" for name, value in cost.items()]
    loads = {name: part["machine_load_before"] for name, part in found.items() if _is_part(part)}
    lines += ["", f"load of the machine before each part: {loads}"]
    return "\n".join(lines)


def _is_part(part: Any) -> bool:  # noqa: ANN401 - of a report
    return isinstance(part, dict) and "machine_load_before" in part
