"""`make bench-centre`: measures the centre beside pgbench, prints tables, writes the figures."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.centre import measuring
from bench.centre.cost import cost_of_posting
from bench.centre.stage import Stage
from bench.centre.tables import text
from bench.centre.trade import Trade
from bench.engine.timing import machine
from bench.till.shop import Shop, load_shop
from central.ledger.verify import verify_ledger

REPORT = Path("var/bench/centre.json")
FOLDER = Path("var/bench/centre")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        grown: accounts after growing; 0 = not grown.
    """

    weeks: int = 26
    accounts: int = 10_000
    warm: int = 1_000
    purchases: int = 20_000
    sustained_s: int = 300
    intake: int = 30_000
    storm_s: int = 30
    pgbench_s: int = 20
    grown: int = 1_000_000


QUICK = Effort(
    weeks=8, accounts=2_000, warm=200, purchases=1_500, sustained_s=10, intake=2_000, storm_s=8,
    pgbench_s=5, grown=20_000,
)  # fmt: skip


class Measurement:
    """One run over one stage."""

    def __init__(self, stage: Stage, effort: Effort) -> None:
        self._stage = stage
        self._effort = effort
        self._trade: Trade
        self.found: dict[str, Any] = {}

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
            ("growth", self._growth),
        )
        for name, measure in parts:
            load = os.getloadavg()[0]
            print(f"{name} ... (load {load:.1f})", file=sys.stderr, flush=True)
            self.found[name] = {**await measure(), "machine_load_before": round(load, 1)}
        pool = await stage.open()
        async with pool.acquire() as connection:
            proof = await verify_ledger(connection)
        await pool.close()
        self.found["ledger_balanced"] = proof.balanced
        return self.found

    async def _pgbench(self) -> dict[str, Any]:
        pool = await self._stage.open()
        await pool.execute("create database pgbench")
        await pool.close()
        assert self._stage._server is not None  # noqa: SLF001 - of this bench
        dsn = self._stage._server.dsn.replace("/postgres?", "/pgbench?")  # noqa: SLF001
        tps = await asyncio.to_thread(measuring.pgbench_tps, dsn, self._effort.pgbench_s)
        return {"tps": round(tps)}

    async def _purchases(self) -> dict[str, Any]:
        """Find how many the tills can make, then hold most of that for long."""
        stage, effort = self._stage, self._effort
        pool = await stage.open()
        warm = measuring.plan(self._trade, stage, effort.warm)
        await measuring.purchases(stage, self._trade, warm)
        planned = measuring.plan(self._trade, stage, effort.purchases)
        before, began_s = stage.cpu_s(), time.perf_counter()
        flat_out, answered_s = await measuring.purchases(stage, self._trade, planned)
        await stage.applied(pool)
        posted_s = time.perf_counter() - began_s
        cpu_us = _each_us(before, stage.cpu_s(), len(planned))
        most_per_s = len(planned) / posted_s
        per_s = 0.8 * most_per_s
        planned = measuring.plan(self._trade, stage, int(per_s * effort.sustained_s))
        began_s = time.perf_counter()
        held, _ = await measuring.purchases(stage, self._trade, planned, per_s=per_s)
        await stage.applied(pool)
        held_s = time.perf_counter() - began_s
        await pool.close()
        return {
            "flat_out": {
                **flat_out.figures(),
                "answered_per_s": round(effort.purchases / answered_s),
                "posted_per_s": round(most_per_s),
                "cpu_us": cpu_us,
            },
            "sustained": {
                **held.figures(),
                "asked_per_s": round(per_s),
                "posted_per_s": round(len(planned) / held_s),
                "seconds": round(held_s, 1),
            },
        }

    async def _storm(self) -> dict[str, Any]:
        """Hold half of what is possible, without and with a storm of the app's class."""
        stage, effort = self._stage, self._effort
        per_s = self.found["purchases"]["flat_out"]["posted_per_s"] / 2
        shown: dict[str, Any] = {}
        for name in ("quiet", "storm"):
            planned = measuring.plan(self._trade, stage, int(per_s * effort.storm_s))
            process = measuring.start_storm(stage, effort.storm_s) if name == "storm" else None
            times, _ = await measuring.purchases(stage, self._trade, planned, per_s=per_s)
            shown[name] = times.figures()
            if process is not None:
                said = (await asyncio.to_thread(process.communicate))[0].split()
                shown["app_requests"], shown["app_refused"] = map(int, said)
        quiet, stormy = shown["quiet"]["p99_ms"], shown["storm"]["p99_ms"]
        return {**shown, "per_s": round(per_s), "shift": round(stormy / quiet - 1, 2)}

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
        lost, twice = await measuring.lost_and_twice(stage, pool)
        await pool.close()
        return {
            "back_s": round(back_s, 1), "posted_s": round(posted_s, 1), "lost": lost,
            "twice": twice, "acknowledged": sum(till.acked for till in stage.tills),
        }  # fmt: skip

    async def _growth(self) -> dict[str, Any]:
        """Purchases of many more accounts."""
        stage, effort = self._stage, self._effort
        if not effort.grown:
            return {}
        pool = await stage.open()
        async with pool.acquire() as connection:
            await stage.add_accounts(connection, effort.accounts + 1, effort.grown)
            await connection.execute("vacuum analyze", timeout=600)
        trade = Trade(stage.shop, stage.rules, accounts=effort.grown, seed=2)
        planned = measuring.plan(trade, stage, effort.purchases)
        began_s = time.perf_counter()
        times, _ = await measuring.purchases(stage, trade, planned)
        await stage.applied(pool)
        per_s = len(planned) / (time.perf_counter() - began_s)
        await pool.close()
        return {**times.figures(), "accounts": effort.grown, "posted_per_s": round(per_s)}


def _each_us(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, int]:
    """Return microseconds of CPU of each part for one receipt."""
    return {
        name: round((used - before.get(name, 0.0)) * 1e6 / count) for name, used in after.items()
    }


def headline(found: dict[str, Any]) -> dict[str, Any]:
    """Return the figures the goals are about."""
    return {
        "purchases_per_s": found["purchases"]["sustained"]["posted_per_s"],
        "purchases_p99_ms": found["purchases"]["sustained"]["p99_ms"],
        "intake_per_s": found["intake"]["per_s"],
        "ingest_per_s": found["intake"]["kept_per_s"],
        "pgbench_tps": found["pgbench"]["tps"],
        "till_p99_shift_under_app_storm": found["storm"]["shift"],
        "recovery_s": found["kill"]["back_s"],
        "lost": found["kill"]["lost"],
        "twice": found["kill"]["twice"],
        "grown_purchases_per_s": found["growth"].get("posted_per_s"),
    }


async def measure(shop: Shop, effort: Effort, folder: Path) -> dict[str, Any]:
    """Measure over a stage of its own."""
    stage = Stage(folder, shop)
    try:
        return await Measurement(stage, effort).run()
    finally:
        await stage.end()


def main() -> int:
    """Measure, print, write; the exit status is 1 when something was lost or posted twice."""
    parser = argparse.ArgumentParser(prog="bench.centre", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute or two, rough figures")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="scratch, removed before")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort()
    shutil.rmtree(options.folder, ignore_errors=True)
    print("reading the real baskets ...", file=sys.stderr, flush=True)
    shop = load_shop(weeks=effort.weeks, seed=1)
    found = uvloop.run(measure(shop, effort, options.folder.resolve()))
    report = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {}
    report |= headline(found) | {"centre": found, "machine": machine(), "quick": options.quick}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(text(report))
    shutil.rmtree(options.folder, ignore_errors=True)
    return int(bool(report["lost"] or report["twice"] or not found["ledger_balanced"]))


if __name__ == "__main__":
    sys.exit(main())
