"""`python -m bench.crash.kill`: kills agents and the centre with -9 while registers sell.

Two tills of a store and their centre, real processes over real files and an embedded PostgreSQL.
Each kill comes at a random moment: in the middle of sales, or while the process starts. Registers
repeat their call until it is answered. In the end print-outs, journals and the ledger must agree.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.crash.trade import Queue, Trade, end_of_trade, open_shop, trading
from bench.demo.books import Books
from bench.demo.progress import Progress
from bench.demo.proof import Proof, faults_of, prove
from bench.demo.rig import AGENT_SETTINGS, CentreProcess, RigError, TillProcess, free_port, tillside

FOLDER = Path("var/crash/kill")
STORE = "S1"
TILLS = 2
_CENTRE_EVERY = 8
"""One kill in so many takes the centre."""
_RUNNING_S_MAX = 1.2
_STARTING_S_MAX = 1.5
_SETTLE_S = 120.0


class Rig:
    """The processes, and who kills them."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        """Start everything; two tills are enrolled."""
        self.folder = folder
        self.kills: Counter[str] = Counter()
        self._draws = random.Random(seed)
        self._lock = threading.Lock()
        self.errors: list[str] = []
        self.centre = CentreProcess(folder / "centre", folder / "centre.log")
        self.url = self.centre.start()
        self._port = int(self.url.rsplit(":", 1)[1])
        open_shop(self.centre, [STORE], folder)
        self.tills = [self._enrolled(slot) for slot in range(1, TILLS + 1)]

    def _enrolled(self, slot: int) -> TillProcess:
        name = f"{STORE}-{slot}"
        made = self.centre.run("enrol", "--store", STORE, "--slot", slot, "--json")
        till = TillProcess(
            name, STORE, self.folder / f"till-{name}", self.folder / f"{name}.log", free_port()
        )
        till.enrol(self.url, json.loads(made)["code"])
        till.start(pull_interval_s=1)
        return till

    def _random(self, s_max: float) -> float:
        with self._lock:
            return self._draws.random() * s_max

    def torment_till(self, till: TillProcess, times: int, progress: Progress) -> None:
        """Kill an agent again and again; it is up afterwards."""
        for _ in range(times):
            time.sleep(self._random(_RUNNING_S_MAX))
            if self._random(1.0) < 0.3:
                till.kill()
                self._kill_while_starting(till)
                self.kills["agent while it starts"] += 1
            else:
                till.kill()
                self.kills["agent"] += 1
            till.start(pull_interval_s=1)
            progress.step()

    def _kill_while_starting(self, till: TillProcess) -> None:
        settings = {**os.environ, **AGENT_SETTINGS, "TILLSIDE_POS_PORT": str(till.port)}
        with till.log.open("ab") as log:
            process = subprocess.Popen(
                tillside("agent", "run", "--data", till.folder),
                stdout=log,
                stderr=log,
                env=settings,
                start_new_session=True,
            )
        time.sleep(self._random(_STARTING_S_MAX))
        process.kill()
        process.wait()

    def torment_centre(self, times: int, progress: Progress) -> None:
        """Kill the centre again and again; with it goes its PostgreSQL, as nobody else uses it."""
        for _ in range(times):
            time.sleep(1.0 + self._random(4.0))
            process = self.centre.process
            assert process is not None
            process.kill()
            process.wait()
            self.kills["centre"] += 1
            self.centre.start(self._port)
            progress.step()

    def run(self, kills: int, progress: Progress) -> None:
        """Do all kills."""
        of_centre = max(1, kills // _CENTRE_EVERY)
        each = (kills - of_centre) // TILLS
        works = [(self.torment_centre, (kills - each * TILLS, progress))]
        works += [(self.torment_till, (till, each, progress)) for till in self.tills]  # type: ignore[misc]
        threads = [threading.Thread(target=self._guarded, args=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise RigError("; ".join(self.errors))

    def _guarded(self, work: Any, arguments: tuple[Any, ...]) -> None:  # noqa: ANN401 - a method
        try:
            work(*arguments)
        except (RigError, OSError) as error:
            self.errors.append(str(error))

    def settle(self, books: Books) -> None:
        """Wait until the tills have handed everything in and the centre has applied it."""
        deadline = time.monotonic() + _SETTLE_S
        ids = [till.till_id for till in self.tills]
        while True:
            for till in self.tills:
                till.talk()
            waiting = sum(till.figures()["records_waiting"] for till in self.tills)
            if not waiting and not books.unfinished(ids):
                return
            if time.monotonic() > deadline:
                raise RigError(f"no agreement: {waiting} records wait")
            time.sleep(0.3)

    def stop(self) -> None:
        """Stop everything that still runs."""
        for till in self.tills:
            till.stop()
        self.centre.stop()


def run(folder: Path, kills: int, *, seed: int) -> dict[str, Any]:
    """Kill so many times and prove what is left; returns the report."""
    started_s = time.monotonic()
    if (folder / "centre").exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as ending:
        rig = Rig(folder, seed=seed)
        ending.callback(rig.stop)
        trades = [
            Trade(
                till.name,
                ending.enter_context(till.new_client(3.0)),
                Queue(0, at, stores=1, seed=seed),
                folder / f"printed-{till.name}.jsonl",
            )
            for at, till in enumerate(rig.tills)
        ]
        threads = trading(trades)
        progress = Progress(kills)
        progress.phase("killing")
        try:
            rig.run(kills, progress)
        finally:
            end_of_trade(trades, threads)
            progress.end()
        books = ending.enter_context(Books(folder / "centre"))
        rig.settle(books)
        for till in rig.tills:
            till.stop()
        proof = prove(folder, {till.name: till.folder for till in rig.tills}, books)
        return _report(proof, trades, rig, seed=seed, seconds=time.monotonic() - started_s)


def _report(
    proof: Proof, trades: Sequence[Trade], rig: Rig, *, seed: int, seconds: float
) -> dict[str, Any]:
    set_aside = [path.name for till in rig.tills for path in till.folder.glob("*.damaged-*")]
    return {
        "seed": seed,
        "kills": sum(rig.kills.values()),
        "kills_of": dict(rig.kills),
        **proof.figures(),
        "faults": {
            **proof.faults(),
            "registers": [fault for trade in trades for fault in trade.faults],
            "set_aside": set_aside,
        },
        "seconds": round(seconds, 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when everything is proven."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.crash.kill",
        description="Kills agents and the centre while registers sell, and proves what is left.",
        epilog="Example: python -m bench.crash.kill --kills 200",
    )
    parser.add_argument("--kills", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (default 1)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"(default {FOLDER})")
    options = parser.parse_args(arguments)
    try:
        report = run(options.folder.resolve(), options.kills, seed=options.seed)
    except RigError as error:
        print(f"kill: {error}", file=sys.stderr)
        return 1
    path = options.folder / "report.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name, value in report.items():
        if name != "faults":
            print(f"{name}: {value}")
    for fault in faults_of(report):
        print(f"BROKEN {fault}")
    print(f"report: {path}")
    return int(bool(faults_of(report)))


if __name__ == "__main__":
    sys.exit(main())
