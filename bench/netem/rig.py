"""Real processes on hosts of their own: a centre, and agents with the register in front of them."""

import json
import os
import subprocess
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.demo.rig import CentreProcess, RigError, TillProcess, tillside, wait_until
from bench.netem.hosts import CENTRE_ADDRESS, exec_inside, lan_address
from bench.netem.line import enter, inside
from pos_adapters.ports import Receipt, Redeem, TillAnswer
from pos_adapters.simulated_register.client import TillApiClient

BUS_PORT = 7720
AGENT_SETTINGS = {
    # What a sale waits for is the product's own; only the pauses are short, as the drill is.
    "TILLSIDE_PULL_INTERVAL_S": "2",
    "TILLSIDE_HOLD_S_MAX": "10",
    "TILLSIDE_HELLO_INTERVAL_S": "20",
    "TILLSIDE_RETRY_DELAY_S_MAX": "5",
}


@dataclass(slots=True)
class HostedCentre(CentreProcess):
    """The centre on a host of its own."""

    namespace: str = ""

    def start(self, port: int = 7700) -> str:
        """Start serving; returns the address."""
        address = self.folder / "address"
        address.unlink(missing_ok=True)
        command = tillside(
            "central", "serve", "--data", self.folder, "--host", CENTRE_ADDRESS, "--port", port
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*exec_inside(self.namespace), *command],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(address.exists, "the centre did not start", self.process, log=self.log)
        return address.read_text(encoding="ascii").strip()


@dataclass(slots=True)
class HostedTill(TillProcess):
    """An agent on a host of its own; whoever calls it has to be there."""

    namespace: str = ""
    bus_listen: str = ""

    def _there(self) -> AbstractContextManager[None]:
        return inside(self.namespace)

    def enrol(self, centre_url: str, code: str) -> None:
        """Become a till, over the line."""
        command = tillside(
            "agent", "enrol", "--centre", centre_url, "--code", code, "--data", self.folder
        )
        done = subprocess.run(
            [*exec_inside(self.namespace), *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RigError(f"enrolling {self.name}: {done.stderr.strip()}")

    def start(self, *, pull_interval_s: int = 2) -> None:
        """Start the agent; it answers on return."""
        environment = {
            **os.environ,
            **AGENT_SETTINGS,
            "TILLSIDE_POS_PORT": str(self.port),
            "TILLSIDE_PULL_INTERVAL_S": str(pull_interval_s),
            "TILLSIDE_BUS_LISTEN": self.bus_listen,
        }
        command = [*exec_inside(self.namespace), *tillside("agent", "run", "--data", self.folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        wait_until(self.answers, f"the agent {self.name} did not start", self.process, log=self.log)

    def move_in(self) -> None:
        """Have the calling thread be on the till's host from now on, as its register is."""
        enter(self.namespace)

    def answers(self) -> bool:
        """Say whether the agent answers."""
        with self._there():
            return TillProcess.answers(self)

    def figures(self) -> dict[str, Any]:
        """Return the agent's health report."""
        with self._there():
            return TillProcess.figures(self)

    def talk(self) -> None:
        """Have the agent talk to the centre now."""
        with self._there():
            TillProcess.talk(self)


def hosted_till(folder: Path, store: str, *, place: tuple[int, int], namespace: str) -> HostedTill:
    """Return a till that is not enrolled yet.

    Args:
        place: number of the store and of the till in it, both from 1.
    """
    name = f"{store}-{place[1]}"
    return HostedTill(
        name,
        store,
        folder / f"till-{name}",
        folder / f"{name}.log",
        7710,
        namespace=namespace,
        bus_listen=f"{lan_address(*place)}:{BUS_PORT}",
    )


def code_for(centre: CentreProcess, store: str, slot: int) -> str:
    """Have the centre make a code; the first till of a store is its vault."""
    vault = [] if slot == 1 else ["--no-vault"]
    made = centre.run("enrol", "--store", store, "--slot", slot, *vault, "--json")
    return str(json.loads(made)["code"])


@dataclass(slots=True)
class TimedCalls:
    """How long answered calls took, by the phase the drill was in.

    Attributes:
        phase: named by the drill.
    """

    phase: str = ""
    ms: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def note(self, call: str, started_s: float) -> None:
        """Note one."""
        took_ms = (time.perf_counter() - started_s) * 1000
        self.ms.setdefault((self.phase, call), []).append(took_ms)

    def percentile(self, call: str, share: float, *, phases: tuple[str, ...]) -> float:
        """Return what so large a share of the calls stayed within, in ms; 0 of none."""
        taken = sorted(ms for (phase, name), all_ms in self.ms.items() for ms in all_ms
                       if name == call and phase in phases)  # fmt: skip
        return round(taken[min(len(taken) - 1, int(len(taken) * share))], 1) if taken else 0.0


class TimedClient(TillApiClient):
    """A client that notes how long its calls take."""

    def __init__(self, url: str, token: str, times: TimedCalls) -> None:
        super().__init__(url, token, timeout_s=30.0)
        self._times = times

    def update(self, receipt_id: str, receipt: Receipt) -> TillAnswer:
        """Calculate."""
        started_s = time.perf_counter()
        answer = super().update(receipt_id, receipt)
        self._times.note("update", started_s)
        return answer

    def reserve(self, receipt_id: str, receipt: Receipt, *, redeem: Redeem) -> TillAnswer:
        """Set points aside."""
        started_s = time.perf_counter()
        answer = super().reserve(receipt_id, receipt, redeem=redeem)
        self._times.note("reserve" if redeem else "release", started_s)
        return answer

    def complete(self, receipt_id: str, receipt: Receipt, *, paid_minor: int) -> TillAnswer:
        """Record."""
        started_s = time.perf_counter()
        answer = super().complete(receipt_id, receipt, paid_minor=paid_minor)
        self._times.note("complete", started_s)
        return answer
