"""The figures as people read them."""

from typing import Any

_GOALS = (
    ("complete_p99_ratio", "< 2", "p99 of completing a sale over HTTP / p99 of a bare commit"),
    ("complete_p99_ratio_in_process", "< 2", "the same without HTTP"),
    ("first_call_after_cut_ms", "< 170", "slowest first call after a cut, budget 150 ms"),
    ("later_calls_extra_ms", "0", "median of the calls after it, beyond those long after a cut"),
    ("offline30_lost", "0", "receipts printed in a month without a line that the centre lacks"),
    ("offline30_mb", "< 500", "the journal's file after that month"),
    ("offline30_catch_up_s", "< 60", "from the line's return until all is acknowledged"),
)


def text(report: dict[str, Any]) -> str:
    """Return the headline figures with their goals, then what is behind them."""
    lines = [f"{'figure':32}{'measured':>10}  {'goal':8}"]
    lines += [f"{name:32}{report[name]:>10}  {goal:8}{meaning}" for name, goal, meaning in _GOALS]
    heads = ("completing, ms", "sales", "median", "p99", "max", "ratio p99")
    lines += ["", "{:32}{:>8}{:>9}{:>9}{:>9}{:>11}".format(*heads)]
    for name, found in report["complete"].items():
        lines.append(_times(name, found, "complete") + f"{found['p99_ratio']:>11}")
        lines.append(_times("  bare commit beside it", found, "bare_commit"))
    away = report["offline"]
    lines += ["", _month(away), f"posted to the ledger: {_applied(away)}"]
    return "\n".join(lines)


def _month(away: dict[str, Any]) -> str:
    return (
        f"{away['days']} days x {away['receipts_a_day']} receipts,"
        f" {away['redeemed_offline']} of them with points: {away['records']} records,"
        f" {away['file_bytes_per_receipt']} bytes of file a receipt,"
        f" {away['bytes_up'] / 1e6:.1f} MB sent"
    )


def _times(name: str, found: dict[str, Any], which: str) -> str:
    times = found[which]
    return (
        f"{name:32}{found['sales']:>8}{times['median_ms']:>9.2f}{times['p99_ms']:>9.2f}"
        f"{times['max_ms']:>9.2f}"
    )


def _applied(away: dict[str, Any]) -> str:
    if away["applied_s"] is not None:
        return f"all, {away['applied_s']} s after the line came back"
    return f"{away['not_applied_yet']} records not yet, at {away['applied_per_s']} a second"
