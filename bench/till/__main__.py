"""`make bench-till`: measures what a till costs, prints tables, writes the figures as JSON."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.link.worker import LinkSettings
from bench.demo.rig import AGENT_SETTINGS, RigError, TillProcess
from bench.engine.timing import machine
from bench.grocery.tables import GroceryDataError
from bench.till import completing, cutting, offline
from bench.till.completing import BareCommits, Register, Times
from bench.till.progress import Bar
from bench.till.shop import Shop, load_shop
from bench.till.stage import Stage, TillCore, open_stage
from bench.till.tables import text

REPORT = Path("var/bench/till.json")
FOLDER = Path("var/bench/till")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        apply_s_max: how long to wait for the ledger after everything is acknowledged.
    """

    weeks: int = 26
    sales: int = 3_000
    cuts: int = 30
    days: int = 30
    receipts_a_day: int = 2_000
    apply_s_max: float = 60.0


QUICK = Effort(weeks=4, sales=300, cuts=4, days=2, receipts_a_day=500, apply_s_max=10.0)


def measure(effort: Effort, *, seed: int, folder: Path) -> dict[str, Any]:
    """Measure everything.

    Raises:
        GroceryDataError: the real baskets are not installed.
        RigError: a process did not start, or a till did not do what it must.
    """
    print("reading the real baskets ...", file=sys.stderr, flush=True)
    shop = load_shop(weeks=effort.weeks, seed=seed)
    with open_stage(folder, shop) as stage:
        complete, quiet_us, cut = _beside_bare(stage, effort)
        away = _offline(stage, effort)
    report: dict[str, Any] = {
        "complete_p99_ratio": complete["over_http"]["p99_ratio"],
        "complete_p99_ratio_in_process": complete["in_process"]["p99_ratio"],
        "first_call_after_cut_ms": cut["first_call_after_cut_ms"],
        "later_calls_extra_ms": cut["later_calls_extra_ms"],
        "offline30_lost": away["lost"],
        "offline30_mb": away["file_mb"],
        "offline30_catch_up_s": away["catch_up_s"],
    }
    report |= {"complete": complete, "cut": cut, "offline": away}
    assert quiet_us
    return report


def _beside_bare(
    stage: Stage, effort: Effort
) -> tuple[dict[str, Any], list[float], dict[str, Any]]:
    """Complete sales in this process and over HTTP, then cut the line of the agent that is up."""
    with ExitStack() as ending:
        bare = BareCommits(stage.folder / "bare.db")
        ending.callback(bare.close)
        plain, spending = _in_process(stage, effort, bare)
        agent = stage.enrol("agent")
        _start(agent)
        ending.callback(agent.stop)
        cutting.wait_for_link(agent)
        stage.proxy.set("drop")
        served = _over_http(agent, stage.shop, effort, bare)
        bar = Bar("the line is cut and heals", effort.cuts)
        cut = cutting.measure(
            agent,
            stage.proxy,
            stage.shop.receipts(sys.maxsize, series=4),
            rounds=effort.cuts,
            budget_ms=LinkSettings().ask_budget_ms,
            quiet_us=served.update,
            bar=bar,
        )
        bar.end()
    complete = {"in_process": plain.report(), "over_http": served.report()}
    if spending.complete:
        complete["in_process_spending_offline"] = spending.report()
    return complete, served.update, cut


def _in_process(stage: Stage, effort: Effort, bare: BareCommits) -> tuple[Times, Times]:
    stage.enrol("core")
    core = TillCore(stage.folder / "core")
    for _ in range(3):  # rules and accounts come first, then rights, a hundred at a time
        core.talk(until_acked=False)
    stage.proxy.set("drop")
    bar = Bar("sales in this process", effort.sales)
    found = completing.in_process(core, stage.shop.receipts(effort.sales, series=1), bare, bar)
    bar.end()
    core.close()
    stage.proxy.set("pass")
    return found


def _over_http(agent: TillProcess, shop: Shop, effort: Effort, bare: BareCommits) -> Times:
    register = Register(agent)
    bar = Bar("sales over HTTP", effort.sales)
    # The first calls find out that the line is dead; the rest is trade as it goes on.
    warm = Bar("", 0)
    completing.over_http(register, shop.receipts(5, series=5), bare, warm)
    found = completing.over_http(register, shop.receipts(effort.sales, series=2), bare, bar)
    bar.end()
    register.close()
    return found


def _start(agent: TillProcess) -> None:
    """Start an agent with the budgets it ships with; only its patience between tries is short."""
    for name in ("TILLSIDE_ASK_BUDGET_MS", "TILLSIDE_AUTHORISE_BUDGET_MS"):
        AGENT_SETTINGS.pop(name, None)
    agent.start()


def _offline(stage: Stage, effort: Effort) -> dict[str, Any]:
    stage.proxy.set("pass")
    stage.enrol("away")
    core = TillCore(stage.folder / "away")
    for _ in range(3):
        core.talk(until_acked=False)
    stage.proxy.set("drop")
    traded = offline.trade(core, stage.shop, days=effort.days, receipts_a_day=effort.receipts_a_day)
    printed = traded.pop("printed")
    file_bytes = core.file_bytes()
    found = offline.catch_up(stage, core, printed, apply_s_max=effort.apply_s_max)
    core.close()
    return {
        **traded,
        **found,
        "days": effort.days,
        "receipts_a_day": effort.receipts_a_day,
        "file_mb": round(file_bytes / 1e6, 1),
        "file_bytes_per_receipt": round(file_bytes / len(printed)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit status is 1 when something was lost or did not run."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.till",
        description="Measure a till; docs/performance.md says what each figure means.",
    )
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run at all?")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"for its files [{FOLDER}]")
    parser.add_argument("--json", type=Path, default=REPORT, metavar="PATH", help=f"[{REPORT}]")
    options = parser.parse_args(arguments)
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    effort = QUICK if options.quick else Effort()
    try:
        report = measure(effort, seed=options.seed, folder=options.folder.resolve())
    except (GroceryDataError, RigError) as error:
        print(f"bench-till: {error}", file=sys.stderr)
        return 1
    report |= {"machine": machine(), "seed": options.seed, "quick": options.quick}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(text(report))
    print(f"\nwritten to {options.json}")
    return 1 if report["offline30_lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
