"""`make bench-centre`: measures the centre beside pgbench, prints tables, writes the figures."""

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from bench import centre_file
from bench.centre import measuring, storm
from bench.centre.cost import cost_of_posting
from bench.centre.growth import grow, lacks_room, read_grown, verified
from bench.centre.stage import Stage
from bench.centre.tables import text
from bench.centre.trade import Trade
from bench.till.shop import Shop, load_shop
from central.database.pool import Pool

FOLDER = Path("var/bench/centre")
SHARES = (0.8, 0.6, 0.4)
"""Of what was possible flat out; the first that is held for long counts."""
LATE_S_MAX = 10.0
"""A purchase that begins so long after it was due: the load is not held."""
STORM_TURNS = 3
"""An odd number, so that one is in the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        processing: how many processes post.
        grown: how many accounts there are after each growing.
    """

    weeks: int = 26
    accounts: int = 10_000
    warm: int = 1_000
    purchases: int = 20_000
    sustained_s: int = 300
    intake: int = 30_000
    storm_s: int = 30
    pgbench_s: int = 20
    processing: int = 1
    grown: tuple[int, ...] = (1_000_000, 10_000_000)


QUICK = Effort(
    weeks=8, accounts=2_000, warm=200, purchases=1_500, sustained_s=10, intake=2_000, storm_s=8,
    pgbench_s=5, grown=(20_000, 40_000),
)  # fmt: skip


class Measurement:
    """One run over one stage."""

    def __init__(self, stage: Stage, effort: Effort) -> None:
        self._stage = stage
        self._effort = effort
        self._trade: Trade
        self.found: dict[str, Any] = {
            "accounts": effort.accounts,
            "processing_processes": effort.processing,
        }

    async def run(self) -> dict[str, Any]:
        """Measure everything, each part beside the load of the machine at its begin."""
        stage, effort = self._stage, self._effort
        await stage.build(accounts=effort.accounts)
        self._trade = Trade(stage.shop, stage.rules, accounts=effort.accounts, seed=1)
        stage.start("front", "processing")
        await stage.greet_all()
        parts: tuple[tuple[str, Callable[[], Awaitable[dict[str, Any]]]], ...] = (
            ("pgbench", self._pgbench),
            ("purchases", self._purchases),
            ("storm", self._storm),
            ("intake", self._intake),
            ("kill", self._kill),
            ("verify", lambda: verified(stage)),
            ("growth", self._growth),
        )
        for name, measure in parts:
            load = os.getloadavg()[0]
            print(f"{name} ... (load {load:.1f})", file=sys.stderr, flush=True)
            self.found[name] = {**await measure(), "machine_load_before": round(load, 1)}
        return self.found

    async def _pgbench(self) -> dict[str, Any]:
        dsn = await self._stage.dsn_of("pgbench")
        tps = await asyncio.to_thread(measuring.pgbench_tps, dsn, self._effort.pgbench_s)
        return {"tps": round(tps)}

    async def _purchases(self) -> dict[str, Any]:
        """Find how many the tills can make, then hold most of that for long."""
        stage, effort = self._stage, self._effort
        pool = await stage.open()
        warm = measuring.plan(self._trade, stage, effort.warm)
        await measuring.purchases(stage, self._trade, warm)
        await stage.analyze()
        planned = measuring.plan(self._trade, stage, effort.purchases)
        before, began_s = stage.cpu_s(), time.perf_counter()
        flat_out, answered_s = await measuring.purchases(stage, self._trade, planned)
        await stage.applied(pool)
        posted_s = time.perf_counter() - began_s
        cpu_us = _each_us(before, stage.cpu_s(), len(planned))
        most_per_s = len(planned) / posted_s
        sustained = await self._sustained(pool, most_per_s)
        await pool.close()
        return {
            "flat_out": {
                **flat_out.figures(),
                "answered_per_s": round(effort.purchases / answered_s),
                "posted_per_s": round(most_per_s),
                "cpu_us": cpu_us,
            },
            "sustained": sustained,
        }

    async def _sustained(self, pool: Pool, most_per_s: float) -> dict[str, Any]:
        """Hold the first share of what was possible flat out that can be held for long.

        At a steady pace fewer share a statement than flat out, and what a machine gives changes.
        """
        stage, effort, tried = self._stage, self._effort, []
        for share in SHARES:
            per_s = share * most_per_s
            planned = measuring.plan(self._trade, stage, int(per_s * effort.sustained_s))
            began_s = time.perf_counter()
            times, _ = await measuring.purchases(
                stage, self._trade, planned, per_s=per_s, late_s_max=LATE_S_MAX
            )
            await stage.applied(pool)
            seconds = time.perf_counter() - began_s
            tried.append({
                "share": share, "is_held": not times.fell_behind, **times.figures(),
                "asked_per_s": round(per_s), "posted_per_s": round(len(times.push) / seconds),
                "seconds": round(seconds, 1),
            })  # fmt: skip
            if not times.fell_behind:
                break
        return {**tried[-1], "not_held": [each["share"] for each in tried if not each["is_held"]]}

    async def _storm(self) -> dict[str, Any]:
        """Hold half of what is possible, without and with a storm of the app's class, by turns.

        What the machine gives changes from one half minute to the next, often more than a storm
        takes: the turn in the middle is shown.
        """
        stage = self._stage
        per_s = self.found["purchases"]["flat_out"]["posted_per_s"] / 2
        tokens = await storm.sign_in(stage)
        turns = [await self._storm_turn(per_s, tokens) for _ in range(STORM_TURNS)]
        shown = sorted(turns, key=lambda turn: float(turn["shift"]))[STORM_TURNS // 2]
        return {**shown, "per_s": round(per_s), "shifts": [turn["shift"] for turn in turns]}

    async def _storm_turn(self, per_s: float, tokens: Sequence[str]) -> dict[str, Any]:
        stage, seconds = self._stage, self._effort.storm_s
        shown: dict[str, Any] = {}
        for name in ("quiet", "storm"):
            planned = measuring.plan(self._trade, stage, int(per_s * seconds))
            process = None
            if name == "storm":
                process = await asyncio.to_thread(storm.start_storm, stage, seconds, tokens)
            times, _ = await measuring.purchases(stage, self._trade, planned, per_s=per_s)
            shown[name] = times.figures()
            if process is not None:
                shown["app"] = await asyncio.to_thread(storm.end_storm, process)
        quiet, stormy = shown["quiet"]["p99_ms"], shown["storm"]["p99_ms"]
        return {**shown, "shift": round(stormy / quiet - 1, 2)}

    async def _intake(self) -> dict[str, Any]:
        """Take in an outage's receipts: kept only, then kept and posted."""
        stage, effort = self._stage, self._effort
        pool = await stage.open()
        found: dict[str, Any] = {}
        for name in ("kept", "posted"):
            bodies = list(self._trade.sales(effort.intake, stage.tills[0].place))
            if name == "kept":
                stage.stop("processing")
            before, began_s = stage.cpu_s(), time.perf_counter()
            kept_s = await measuring.hand_in(stage, bodies, together=200)
            if name == "kept":
                found["kept_per_s"] = round(len(bodies) / kept_s)
                stage.start("processing")
                began_s = time.perf_counter()
                await stage.applied(pool)
                found["drained_per_s"] = round(len(bodies) / (time.perf_counter() - began_s))
            else:
                await stage.applied(pool)
                found["per_s"] = round(len(bodies) / (time.perf_counter() - began_s))
                found["cpu_us"] = _each_us(before, stage.cpu_s(), len(bodies))
        found["cost"] = await cost_of_posting(pool, self._trade, stage)
        await pool.close()
        return found

    async def _kill(self) -> dict[str, Any]:
        """Kill everything in the middle of purchases; look what came of them."""
        stage = self._stage
        planned = measuring.plan(self._trade, stage, self._effort.purchases // 2)
        trading = asyncio.create_task(measuring.purchases(stage, self._trade, planned))
        await asyncio.sleep(1.5)
        stage.kill_everything()
        await asyncio.gather(trading, return_exceptions=True)
        began_s = time.perf_counter()
        await asyncio.to_thread(stage.start, "front", "processing")
        await stage.tills[0].greet()
        back_s = time.perf_counter() - began_s
        await stage.greet_all()
        pool = await stage.open()
        await stage.applied(pool)
        posted_s = time.perf_counter() - began_s
        lost, twice = await measuring.lost_and_twice(stage.tills, pool)
        await pool.close()
        return {
            "back_s": round(back_s, 1), "posted_s": round(posted_s, 1), "lost": lost,
            "twice": twice, "acknowledged": sum(till.acked for till in stage.tills),
        }  # fmt: skip

    async def _growth(self) -> dict[str, Any]:
        """Purchases of many more accounts, and the proof of their ledger."""
        rows, known = [], self._effort.accounts
        for number, accounts in enumerate(self._effort.grown):
            row = await grow(
                self._stage,
                known=known,
                accounts=accounts,
                warm=self._effort.warm,
                purchases=self._effort.purchases,
                seed=2 + number,
            )
            rows.append(row)
            known = accounts
        return {"rows": rows}


def _each_us(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, int]:
    """Return microseconds of CPU of each part for one receipt."""
    return {
        name: round((used - before.get(name, 0.0)) * 1e6 / count) for name, used in after.items()
    }


def headline(found: dict[str, Any]) -> dict[str, Any]:
    """Return the figures the goals are about; None = not measured, or it shows nothing."""
    app, grown = found["storm"]["app"], found["growth"]["rows"]
    held = found["purchases"]["sustained"]
    return {
        "purchases_per_s": held["posted_per_s"] if held["is_held"] else None,
        "purchases_p99_ms": held["p99_ms"] if held["is_held"] else None,
        "intake_per_s": found["intake"]["per_s"],
        "ingest_per_s": found["intake"]["kept_per_s"],
        "pgbench_tps": found["pgbench"]["tps"],
        "till_p99_shift_under_app_storm": None if storm.flaws(app) else found["storm"]["shift"],
        "recovery_s": found["kill"]["back_s"],
        "lost": found["kill"]["lost"],
        "twice": found["kill"]["twice"],
        "verify_rows_per_s": found["verify"]["rows_per_s"],
        "grown_purchases_per_s": grown[-1]["posted_per_s"] if grown else None,
    }


def failures(found: dict[str, Any]) -> list[str]:
    """Return what must not be in a run, in words."""
    said = [
        f"{found['kill'][name]} records {meaning}"
        for name, meaning in (("lost", "lost by the kill"), ("twice", "posted twice"))
        if found["kill"][name]
    ]
    proofs = [("", found["verify"])] + [
        (f" with {row['accounts']:,} accounts", row["verify"]) for row in found["growth"]["rows"]
    ]
    said += [
        f"the ledger{when} breaks these checks: {', '.join(proof['broken'])}"
        for when, proof in proofs
        if proof["broken"]
    ]
    return said + storm.flaws(found["storm"]["app"])


async def measure(shop: Shop, effort: Effort, folder: Path) -> dict[str, Any]:
    """Measure over a stage of its own."""
    stage = Stage(folder, shop, processing=effort.processing)
    try:
        return await Measurement(stage, effort).run()
    finally:
        await stage.end()


def read_options(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Effort]:
    """Read the command line; returns it with how much is to be measured."""
    parser = argparse.ArgumentParser(prog="bench.centre", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute or two, rough figures")
    parser.add_argument(
        "--grown",
        type=read_grown,
        metavar="ACCOUNTS,ACCOUNTS",
        help="measure again with so many accounts, 0 = do not"
        f" [{','.join(map(str, Effort().grown))}]",
    )
    parser.add_argument(
        "--processing",
        type=int,
        choices=range(1, 9),
        default=Effort().processing,
        help="how many processes post [%(default)s]",
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="scratch, removed before")
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else Effort()
    effort = replace(effort, processing=options.processing)
    if options.grown is not None:
        effort = replace(effort, grown=options.grown)
    if effort.grown and effort.grown[0] <= effort.accounts:
        parser.error(f"--grown: there are {effort.accounts:,} accounts before")
    return options, effort


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit status is 1 when `failures` says something."""
    options, effort = read_options(arguments)
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    if lacks := lacks_room(effort.grown, options.folder):
        print(f"bench.centre: {lacks}", file=sys.stderr)
        return 2
    run = centre_file.begin_run(quick=options.quick)
    print("reading the real baskets ...", file=sys.stderr, flush=True)
    shop = load_shop(weeks=effort.weeks, seed=1)
    found = uvloop.run(measure(shop, effort, options.folder.resolve()))
    report = centre_file.write("centre", headline(found), run=run, details=found)
    print(text(report))
    shutil.rmtree(options.folder, ignore_errors=True)
    for failure in (failed := failures(found)):
        print(f"bench.centre: {failure}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
