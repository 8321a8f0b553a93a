"""Lets the customers come, in time order, while the network of one store fails in every way it can.

Which session meets which fault is fixed by its place in the order. Sales that spend points or come
back wait until everybody who can be reached knows the same:
so the same seed gives the same report on every machine.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.demo.books import Books
from bench.demo.cut_proxy import CutProxy
from bench.demo.progress import Progress
from bench.demo.rig import Rig, RigError, TillProcess
from bench.grocery.sessions import Session
from pos_adapters.simulated_register.printers import FilePrinter
from pos_adapters.simulated_register.register import SimulatedRegister
from pos_adapters.simulated_register.reports import Ending, SessionReport
from pos_adapters.simulated_register.sessions import GoToPayment

_POLL_S = 0.01
_SETTLE_TIMEOUT_S = 60.0
_KILL_AFTER_S = 0.002


Act = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """When what happens, as shares of all sessions in 1000.

    Attributes:
        delay_from: the cut store's line turns slow (300 ms and more each way).
        half_close_from: requests reach the centre, replies are lost.
        drop_from: nothing passes any more.
        heal_at: the line is back.
        publish_at: the centre publishes new rules, while the store is cut.
        kill_at: one till of the cut store is killed -9 in the middle of a sale.
    """

    delay_from: int = 330
    half_close_from: int = 345
    drop_from: int = 365
    kill_at: int = 450
    publish_at: int = 500
    heal_at: int = 660


@dataclass(slots=True)
class Played:
    """What the registers did.

    Attributes:
        cut: receipts printed while the store's line did not answer.
        faults: what a sound till never does; empty is good.
    """

    reports: dict[str, SessionReport] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    kills: int = 0
    proxy: dict[str, int] = field(default_factory=dict)


class Replay:
    """Plays sessions on the registers of a rig."""

    def __init__(
        self, rig: Rig, books: Books, progress: Progress, *, new_rules: Path, folder: Path
    ) -> None:
        self._rig = rig
        self._books = books
        self._progress = progress
        self._new_rules = new_rules
        self._cut_store = rig.stores[0]
        self._reachable = set(rig.stores)
        self._kill_before_complete = False
        self.played = Played()
        self._printers = {name: FilePrinter(folder / f"printed-{name}.jsonl") for name in rig.tills}
        self._registers = {
            name: SimulatedRegister(
                name,
                till.new_client(),
                self._printers[name],
                tries_max=40,
                wait=lambda tries: time.sleep(min(0.5, 0.05 * tries)),
                before_call=partial(self._before_call, till),
            )
            for name, till in rig.tills.items()
        }

    def run(self, sessions: Sequence[Session], faults: Faults) -> Played:
        """Play all sessions; everything is reconciled on return."""
        plan = self._plan(len(sessions), faults)
        self._progress.phase("both stores in touch with the centre")
        for place, session in enumerate(sessions):
            for act in plan.get(place, ()):
                act()
            if self._needs_agreement(session):
                self.settle()
            self._play(session)
            self._progress.step()
        self.settle(rounds=3)
        for printer in self._printers.values():
            printer.close()
        return self.played

    def _plan(self, count: int, faults: Faults) -> dict[int, list[Act]]:
        acts: tuple[tuple[int, Act], ...] = (
            (faults.delay_from, self._delay),
            (faults.half_close_from, self._half_close),
            (faults.drop_from, self._drop),
            (faults.kill_at, self._arm_kill),
            (faults.publish_at, self._publish),
            (faults.heal_at, self._heal),
        )
        plan: dict[int, list[Act]] = {}
        for share, act in acts:
            plan.setdefault(count * share // 1000, []).append(act)
        return plan

    def _needs_agreement(self, session: Session) -> bool:
        spends = any(isinstance(step, GoToPayment) and step.redeem for step in session.steps)
        return spends or session.is_return

    def _play(self, session: Session) -> None:
        report = self._registers[session.register].play(
            session.receipt_id, session.steps, moment=session.moment
        )
        self.played.reports[session.receipt_id] = report
        self.played.faults += [f"{session.receipt_id}: {fault}" for fault in report.faults]
        if session.store not in self._reachable:
            self.played.cut.add(session.receipt_id)
        if report.ending in (Ending.FAILED, Ending.LEFT_OPEN):
            self.played.faults.append(f"{session.receipt_id}: {report.ending}")

    # Faults

    def _delay(self) -> None:
        self._proxy().set("delay", delay_ms=30, jitter_ms=120)
        self._progress.phase(f"store {self._cut_store}: the line turns slow")

    def _half_close(self) -> None:
        self.settle(rounds=3)
        self._reachable.discard(self._cut_store)
        self._proxy().set("half_close")
        self._progress.phase(f"store {self._cut_store}: replies are lost")

    def _drop(self) -> None:
        self._proxy().set("drop")
        self._progress.phase(f"store {self._cut_store}: CUT; customers go on buying and redeeming")

    def _arm_kill(self) -> None:
        self._kill_before_complete = True

    def _publish(self) -> None:
        self._rig.centre.run("rules", "publish", self._new_rules)

    def _heal(self) -> None:
        status = self._proxy().status()
        self.played.proxy = {
            "cut_connections": status.cut_connections,
            "bytes_lost": status.bytes_lost,
        }
        self._proxy().set("pass")
        self._reachable.add(self._cut_store)
        self._progress.phase(f"store {self._cut_store}: the line is back, reconciling")
        self.settle()
        self._progress.phase("both stores in touch with the centre")

    def _proxy(self) -> CutProxy:
        return self._rig.proxies[self._cut_store]

    def _before_call(self, till: TillProcess, call: str) -> None:
        """Kill the agent while it completes a sale; the register repeats until it is back."""
        if not (
            self._kill_before_complete and call == "complete" and till.store == self._cut_store
        ):
            return
        self._kill_before_complete = False
        self.played.kills += 1

        def kill_and_restart() -> None:
            time.sleep(_KILL_AFTER_S)
            till.kill()
            till.start()

        threading.Thread(target=kill_and_restart, name="kill", daemon=True).start()

    # Agreement

    def settle(self, rounds: int = 1) -> None:
        """Wait until every till that can be reached and the centre know the same.

        Args:
            rounds: conversations of each till in which nothing was left to do; with 3 the last one
                began after everything was quiet, so that every till also has the last row.

        Raises:
            RigError: they do not come to.
        """
        tills = [till for till in self._rig.tills.values() if till.store in self._reachable]
        ids = [till.till_id for till in tills]
        deadline = time.monotonic() + _SETTLE_TIMEOUT_S
        quiet = 0
        while quiet < rounds:
            self._talk(tills, deadline)
            left = sum(
                till.figures()["records_waiting"] for till in tills
            ) + self._books.unfinished(ids)
            quiet = 0 if left else quiet + 1
            if time.monotonic() > deadline:
                raise RigError(f"no agreement: {left} things are left to do")

    def _talk(self, tills: Sequence[TillProcess], deadline: float) -> None:
        """Have every till finish a conversation."""
        before = {till.name: till.figures()["conversations"] for till in tills}
        for till in tills:
            till.talk()
        for till in tills:
            while till.figures()["conversations"] == before[till.name]:
                if time.monotonic() > deadline:
                    raise RigError(
                        f"till {till.name} does not reach the centre:"
                        f" {till.figures()['last_link_error']}"
                    )
                time.sleep(_POLL_S)
