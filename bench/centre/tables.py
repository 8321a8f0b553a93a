"""The figures as people read them."""

from collections.abc import Iterator, Mapping
from typing import Any

_GOALS = (
    ("purchases_per_s", "2000", "purchases answered and posted a second, sustained"),
    ("purchases_p99_ms", "< 50", "p99 of a snapshot or hold at that load"),
    ("intake_per_s", "3000", "receipts of an outage kept, recalculated and posted a second"),
    ("ingest_per_s", "", "the floor of it: kept only, nothing recalculated"),
    ("pgbench_tps", "", "the floor of both: pgbench's simple update, same server, 8 clients"),
    ("till_p99_shift_under_app_storm", "< 0.2", "tills' p99 while the app's class is overloaded"),
    ("recovery_s", "< 15", "after kill -9 of everything, until a till is answered"),
    ("lost", "0", "records acknowledged and not kept, or kept and not posted"),
    ("twice", "0", "receipts posted twice"),
    ("verify_rows_per_s", "", "rows the ledger's proof adds up a second, front and posting up"),
    ("grown_purchases_per_s", "", "purchases flat out with the most accounts"),
)
_KINDS = ("snapshot", "authorise", "push")
_PARTS_OF_POSTING = {
    "decode_us": "read the record",
    "decode_printed_us": "read what was printed",
    "recalculate_us": "calculate again and compare",
    "canonical_bytes_us": "the canonical form, where it has to be made",
}


def text(report: Mapping[str, Any]) -> str:
    """Return the headline figures with their goals, then what is behind them."""
    found = report["centre"]
    tables = (
        _headline(report), _calls(found), _held(found["purchases"]["sustained"]),
        _storm(found["storm"]), _where_time_goes(found), _growth(found), _run(report),
    )  # fmt: skip
    return "\n".join(line for table in tables for line in table)


def _headline(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'figure':34}{'measured':>10}  {'goal':8}"
    for name, goal, meaning in _GOALS:
        yield f"{name:34}{_shown(report[name]):>10}  {goal:8}{meaning}"


def _shown(value: float | None) -> str:
    return "-" if value is None else str(value)


def _calls(found: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"{'calls, ms':34}{'calls':>10}{'median':>9}{'p99':>9}"
    shown = (
        ("flat out", found["purchases"]["flat_out"]),
        ("sustained", found["purchases"]["sustained"]),
        ("half of it", found["storm"]["quiet"]),
        ("half of it, app storm", found["storm"]["storm"]),
    )
    for name, times in shown:
        for kind in _KINDS:
            if kind in times:
                call = times[kind]
                yield (
                    f"{name + ': ' + kind:34}{call['calls']:>10}{call['median_ms']:>9}"
                    f"{call['p99_ms']:>9}"
                )


def _held(sustained: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    not_held = ", ".join(f"{share:.0%}" for share in sustained["not_held"])
    yield (
        f"sustained: {sustained['share']:.0%} of what was possible flat out"
        f"{'' if sustained['is_held'] else ', NOT HELD'}: {sustained['asked_per_s']} a second for"
        f" {sustained['seconds']} s{f'; not held: {not_held}' if not_held else ''}"
    )


def _storm(storm: Mapping[str, Any]) -> Iterator[str]:
    app = storm["app"]
    yield ""
    yield (
        f"the storm's calls of the app: {app['answered_200']} answered (200),"
        f" {app['come_again_503']} told to come again (503)"
        + (f", others: {app['others']}" if app["others"] else "")
    )
    yield f"the tills' p99 shifted by turns: {', '.join(map(str, storm['shifts']))}"


def _where_time_goes(found: Mapping[str, Any]) -> Iterator[str]:
    for name, used in (
        ("one purchase", found["purchases"]["flat_out"]["cpu_us"]),
        ("one receipt taken in", found["intake"]["cpu_us"]),
    ):
        yield ""
        yield f"{'where the time goes: ' + name + ', CPU':54}{'us':>8}"
        for part, value in used.items():
            yield f"{part:54}{value:>8}"
        yield f"{'together':54}{sum(used.values()):>8}"
    cost = found["intake"]["cost"]
    yield ""
    yield f"{'of it in the process that posts, without the database':54}{'us':>8}"
    for name, meaning in _PARTS_OF_POSTING.items():
        yield f"{meaning:54}{cost[name]:>8}"
    yield f"a record has {cost['bytes_of_a_record']} bytes"


def _growth(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row for each number of accounts; the first is the ledger of all figures above."""
    flat_out, verify = found["purchases"]["flat_out"], found["verify"]
    yield ""
    yield (
        f"{'growth: accounts':>16}{'purchases/s':>13}{'p99 ms':>9}{'verify rows':>13}{'ms':>9}"
        f"{'rows/s':>10}{'loading s':>11}{'MB':>8}"
    )
    first = {**flat_out, "accounts": found["accounts"], "verify": verify}
    for row in (first, *found["growth"]["rows"]):
        proof = row["verify"]
        yield (
            f"{row['accounts']:>16}{row['posted_per_s']:>13}{_shown(row['p99_ms']):>9}"
            f"{proof['rows']:>13}{proof['ms']:>9}{proof['rows_per_s']:>10}"
            f"{_shown(row.get('loading_s')):>11}{_shown(row.get('database_mb')):>8}"
        )


def _run(report: Mapping[str, Any]) -> Iterator[str]:
    found, run = report["centre"], report["runs"]["centre"]
    loads = {name: part["machine_load_before"] for name, part in found.items() if _is_part(part)}
    yield ""
    yield f"load of the machine before each part: {loads}"
    yield f"{'quick, ' if run['quick'] else ''}{run['at']}, commit {run['commit'] or 'not known'}"


def _is_part(part: Any) -> bool:  # noqa: ANN401 - of a report
    return isinstance(part, dict) and "machine_load_before" in part
