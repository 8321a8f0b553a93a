"""`python -m bench.netem`: stores trade over lines that lose, delay, reorder, repeat and break.

Two stores of two tills and a centre, each on a host (network namespace) of its own, real processes
over real files and an embedded PostgreSQL; points are redeemed all the time, also from the vault of
the store over its bus. In the end print-outs, journals and the ledger must agree, over the bad
line. `make netem` runs it.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.crash.trade import Queue, Trade, end_of_trade, open_shop, trading
from bench.demo.books import Books
from bench.demo.proof import Proof, faults_of, prove
from bench.demo.rig import RigError
from bench.netem.hosts import Hosts, dumps, why_not
from bench.netem.line import BAD, GOOD, Quality
from bench.netem.rig import HostedCentre, HostedTill, TimedCalls, TimedClient, code_for, hosted_till
from sync.records import SaleRecord, decode_record

REPORT = Path("var/netem/report.json")
FOLDER = Path("var/netem/run")
ASK_BUDGET_MS = 150
COMPLETE_MS_MAX = 2 * ASK_BUDGET_MS + 20
"""A completion asks a sibling at most twice, with this budget each time, and never the centre."""
_BAD_PHASES = ("bad", "cut")
_SETTLE_S = 600.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the drill.

    Attributes:
        stores: whose line is changed; all others stay as they are.
    """

    name: str
    words: str
    quality: Quality
    seconds: float
    stores: tuple[int, ...] = ()


CUT = msgspec.structs.replace(BAD, cut=True)


def phases(scale: float, stores: int) -> list[Phase]:
    """Return what happens, in order; the longest cut is an hour of a busy till's trade."""
    every = tuple(range(stores))
    return [
        Phase("good", "good lines", GOOD, 8 * scale, every),
        Phase("bad", "bad lines", BAD, 30 * scale, every),
        Phase("cut", "store 1 is cut for a moment", CUT, 5 * scale, (0,)),
        Phase("bad", "store 1 is back", BAD, 15 * scale, (0,)),
        Phase("cut", "all stores are cut", CUT, 15 * scale, every),
        Phase("bad", "all stores are back", BAD, 15 * scale, every),
        Phase("cut", "store 1 is cut for long", CUT, 60 * scale, (0,)),
        Phase("bad", "store 1 is back", BAD, 15 * scale, (0,)),
    ]


@dataclass(slots=True)
class Drill:
    """The hosts and the processes on them."""

    folder: Path
    hosts: Hosts
    centre: HostedCentre
    pause_s: float
    tills: list[HostedTill] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    times: TimedCalls = field(default_factory=TimedCalls)
    settled_s: float = 0.0

    def open(self, stores: int, tills_per_store: int, *, seed: int) -> None:
        """Start everything and enrol the tills, over good lines."""
        url = self.centre.start()
        names = [f"S{store + 1}" for store in range(stores)]
        open_shop(self.centre, names, self.folder)
        for at, store in enumerate(names):
            for slot in range(1, tills_per_store + 1):
                till = hosted_till(
                    self.folder,
                    store,
                    place=(at + 1, slot),
                    namespace=self.hosts.till(at + 1, slot),
                )
                till.enrol(url, code_for(self.centre, store, slot))
                till.start()
                self.tills.append(till)
                self.trades.append(self._trade(till, at, slot, stores=stores, seed=seed))

    def _trade(self, till: HostedTill, store: int, slot: int, *, stores: int, seed: int) -> Trade:
        client = TimedClient(
            f"http://127.0.0.1:{till.port}", str(till.identity["pos_token"]), self.times
        )
        return Trade(
            till.name,
            client,
            Queue(store, slot, stores=stores, seed=seed),
            self.folder / f"printed-{till.name}.jsonl",
            pause_s=self.pause_s,
            at_start=till.move_in,
        )

    def play(self, plan: Sequence[Phase], say: Callable[[str], None]) -> None:
        """Let customers come while the lines change."""
        threads = trading(self.trades)
        try:
            for phase in plan:
                for store in phase.stores:
                    self.hosts.lines[store].set(phase.quality)
                self.times.phase = phase.name
                say(f"{phase.words}, {phase.seconds:.0f} s")
                time.sleep(phase.seconds)
        finally:
            end_of_trade(self.trades, threads)

    def settle(self, books: Books) -> None:
        """Wait until everything is handed in and applied, over the lines as they are.

        Raises:
            RigError: it does not come to that.
        """
        started_s = time.monotonic()
        ids = [till.till_id for till in self.tills]
        while True:
            waiting = sum(till.figures()["records_waiting"] for till in self.tills)
            if not waiting and not books.unfinished(ids):
                self.settled_s = time.monotonic() - started_s
                return
            if time.monotonic() - started_s > _SETTLE_S:
                raise RigError(f"no agreement: {waiting} records wait")
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop all processes."""
        for till in self.tills:
            till.stop()
        self.centre.stop()


def run(
    folder: Path, *, scale: float, tills_per_store: int = 2, pause_s: float = 0.3, seed: int = 1
) -> dict[str, Any]:
    """Run the drill and prove what is left; returns the report.

    Args:
        scale: 1 = about three minutes.
    """
    stores, started_s = 2, time.monotonic()
    if (folder / "centre").exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as ending:
        hosts = Hosts(stores, tills_per_store, seed=seed)
        ending.callback(hosts.close)
        centre = HostedCentre(folder / "centre", folder / "centre.log", namespace=hosts.centre)
        drill = Drill(folder, hosts, centre, pause_s)
        ending.callback(drill.stop)
        _say(f"lines by {hosts.means}; starting {stores * tills_per_store} tills and the centre")
        drill.open(stores, tills_per_store, seed=seed)
        drill.play(phases(scale, stores), _say)
        _say("trade is over; reconciling over the bad lines")
        books = ending.enter_context(Books(folder / "centre"))
        drill.settle(books)
        _say(f"reconciled after {drill.settled_s:.0f} s")
        for line in hosts.lines:
            line.set(GOOD)
        for till in drill.tills:
            till.stop()
        proof = prove(folder, {till.name: till.folder for till in drill.tills}, books)
        used = _sources(books)
        report = _report(drill, proof, seed=seed, seconds=time.monotonic() - started_s)
        return report | {"redeemed_by": used}


def _sources(books: Books) -> dict[str, int]:
    """Return points redeemed by what covered them, and those that went from till to till."""
    used: dict[str, int] = {}
    for row in books.rows("select body from inbox where not branch"):
        record = decode_record(row["body"])
        for source in record.sources if isinstance(record, SaleRecord) else ():
            name = "transfer" if source.transfer_id else source.kind
            used[name] = used.get(name, 0) + source.points
    return used


def _report(drill: Drill, proof: Proof, *, seed: int, seconds: float) -> dict[str, Any]:
    times = drill.times
    p99_ms = times.percentile("complete", 0.99, phases=_BAD_PHASES)
    return {
        "seed": seed,
        "means": drill.hosts.means,
        **proof.figures(),
        "complete_ms": {
            phase: {
                share: times.percentile("complete", at, phases=(phase,))
                for share, at in (("p50", 0.5), ("p99", 0.99), ("most", 1.0))
            }
            for phase in ("good", *_BAD_PHASES)
        },
        "complete_p99_ms_on_bad_lines": p99_ms,
        "reserve_p99_ms_on_bad_lines": times.percentile("reserve", 0.99, phases=_BAD_PHASES),
        "reconciled_s": round(drill.settled_s, 1),
        "lines": [msgspec.to_builtins(line.counts) for line in drill.hosts.lines],
        "faults": {
            **proof.faults(),
            "registers": [fault for trade in drill.trades for fault in trade.faults],
        },
        "seconds": round(seconds, 1),
    }


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when everything is proven, 77 where this machine cannot."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.netem",
        description="Stores trade over lines that lose, delay, reorder, repeat and break.",
        epilog="Example: python -m bench.netem --scale 2",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="1 = about three minutes")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (default 1)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"(default {FOLDER})")
    parser.add_argument("--report", type=Path, default=REPORT, help=f"(default {REPORT})")
    options = parser.parse_args(arguments)
    if lacking := why_not():
        _say(f"netem: not here: {lacking}")
        return 77
    try:
        report = run(options.folder.resolve(), scale=options.scale, seed=options.seed)
    except RigError as error:
        _say(f"netem: {error}")
        return 1
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(dumps(report), encoding="utf-8")
    for name, value in report.items():
        if name != "faults":
            print(f"{name}: {value}")
    slow = report["complete_p99_ms_on_bad_lines"] > COMPLETE_MS_MAX
    for fault in faults_of(report):
        print(f"BROKEN {fault}")
    if slow:
        print(f"SLOW: p99 of a completion is over {COMPLETE_MS_MAX} ms")
    print(f"report: {options.report}")
    return int(slow or bool(faults_of(report)))


if __name__ == "__main__":
    sys.exit(main())
