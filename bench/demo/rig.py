"""The demo's processes: a centre, agents, and a cut proxy between each store and the centre."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.demo.cut_proxy import CutProxy
from pos_adapters.errors import TillRefusedError, TillUnreachableError
from pos_adapters.simulated_register.client import TillApiClient

START_TIMEOUT_S = 180.0
_END_S = 90.0
"""A centre answers its last calls for 20 s, then ends its PostgreSQL."""
_POLL_S = 0.02
_PORTS = range(10_000, 32_768)
"""Below those that Linux gives to outgoing connections."""
_PORTS_TRIED = 100
_LOG_CHARS = 2_000

AGENT_SETTINGS = {
    # Generous budgets keep a busy machine from counting as a lost link;
    # the retry ceiling keeps the demo short.
    # The pull interval says when tills talk, and nothing else does.
    "TILLSIDE_HOLD_S_MAX": "0",
    "TILLSIDE_HELLO_INTERVAL_S": "10",
    "TILLSIDE_RETRY_DELAY_S_MAX": "1",
    "TILLSIDE_REQUEST_TIMEOUT_S": "8",
    "TILLSIDE_ASK_BUDGET_MS": "4000",
    "TILLSIDE_AUTHORISE_BUDGET_MS": "6000",
}


class RigError(Exception):
    """A process of the demo did not do what it was started for; its log says why."""


def tillside(program: str, *arguments: object) -> list[str]:
    """Return the command line of `agent` or `central`."""
    return [sys.executable, "-m", program, *map(str, arguments)]


@dataclass(slots=True)
class CentreProcess:
    """The centre over an embedded PostgreSQL in `folder`."""

    folder: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    inner_port: int = 0
    """Of metrics and the status page; 0 = they are nowhere."""

    def run(self, *arguments: object) -> str:
        """Run a command of the centre and return what it printed.

        Raises:
            RigError: it failed.
        """
        command = [*tillside("central", *arguments), "--data", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RigError(
                f"{' '.join(map(str, arguments))}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def start(self, port: int = 0) -> str:
        """Start serving, on any port that is free unless one is given; returns the address."""
        address = self.folder / "address"
        address.unlink(missing_ok=True)
        command = tillside("central", "serve", "--data", self.folder, "--port", port or free_port())
        environment = {**os.environ, "TILLSIDE_CENTRAL_METRICS_PORT": str(self.inner_port)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        wait_until(address.exists, "the centre did not start", self.process, log=self.log)
        return address.read_text(encoding="ascii").strip()

    def stop(self) -> None:
        """Stop serving."""
        stop_process(self.process)
        self.process = None


@dataclass(slots=True)
class TillProcess:
    """One enrolled agent and the register in front of it."""

    name: str
    store: str
    folder: Path
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    _client: TillApiClient | None = None
    _identity: dict[str, Any] | None = None

    def enrol(self, centre_url: str, code: str) -> None:
        """Become a till."""
        command = tillside(
            "agent", "enrol", "--centre", centre_url, "--code", code, "--data", self.folder
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RigError(f"enrolling {self.name}: {done.stderr.strip()}")

    def start(self, *, pull_interval_s: int = 3600) -> None:
        """Start the agent; it answers on return.

        Args:
            pull_interval_s: the replay says itself when tills talk, so that a recall is answered
                at the same place in every run.
        """
        environment = {
            **os.environ,
            **AGENT_SETTINGS,
            "TILLSIDE_POS_PORT": str(self.port),
            "TILLSIDE_PULL_INTERVAL_S": str(pull_interval_s),
        }
        command = tillside("agent", "run", "--data", self.folder)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        wait_until(self.answers, f"the agent {self.name} did not start", self.process, log=self.log)

    def kill(self) -> None:
        """Kill -9: no farewell, whatever it is doing."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.restarts += 1

    def stop(self) -> None:
        """Stop the agent."""
        stop_process(self.process)
        self.process = None
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def identity(self) -> dict[str, Any]:
        """What enrolment wrote."""
        if self._identity is None:
            self._identity = json.loads((self.folder / "identity.json").read_text(encoding="utf-8"))
        return self._identity

    @property
    def till_id(self) -> int:
        """The centre's number of the till."""
        return int(self.identity["till_id"])

    def new_client(self, timeout_s: float = 10.0) -> TillApiClient:
        """Return a client of the loopback API."""
        return TillApiClient(
            f"http://127.0.0.1:{self.port}", str(self.identity["pos_token"]), timeout_s=timeout_s
        )

    @property
    def client(self) -> TillApiClient:
        """The rig's own client, apart from the register's."""
        if self._client is None:
            self._client = self.new_client()
        return self._client

    def answers(self) -> bool:
        """Say whether the agent answers."""
        try:
            self.client.health()
        except (TillUnreachableError, TillRefusedError):
            return False
        return True

    def figures(self) -> dict[str, Any]:
        """Return the agent's health report."""
        return dict(self.client.health().figures)

    def talk(self) -> None:
        """Have the agent talk to the centre now."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers = {"Authorization": f"Bearer {self.identity['pos_token']}"}
            connection.request("POST", "/v1/link/talk", headers=headers)
            connection.getresponse().read()
        finally:
            connection.close()


@dataclass(slots=True)
class Rig:
    """Everything that runs; ends with the block."""

    folder: Path
    stores: Sequence[str]
    registers_per_store: int
    centre: CentreProcess
    url: str = ""
    proxies: dict[str, CutProxy] = field(default_factory=dict)
    tills: dict[str, TillProcess] = field(default_factory=dict)

    def start_centre(self) -> None:
        """Serve, with a proxy in front for each store."""
        self.url = self.centre.start()
        upstream = int(self.url.rsplit(":", 1)[1])
        for store in self.stores:
            self.proxies[store] = CutProxy(upstream)

    def start_tills(self) -> None:
        """Enrol and start every till, each through its store's proxy."""
        for store in self.stores:
            for slot in range(1, self.registers_per_store + 1):
                name = f"{store}-{slot}"
                folder = self.folder / f"till-{name}"
                code = json.loads(
                    self.centre.run("enrol", "--store", store, "--slot", slot, "--json")
                )["code"]
                till = TillProcess(
                    name, store, folder, self.folder / f"till-{name}.log", free_port()
                )
                till.enrol(f"http://127.0.0.1:{self.proxies[store].port}", code)
                self.tills[name] = till
        for till in self.tills.values():
            till.start()

    def stop_tills(self) -> None:
        """Stop all agents; their files may then be read."""
        for till in self.tills.values():
            till.stop()

    def stop(self) -> None:
        """Stop everything that still runs."""
        self.stop_tills()
        for proxy in self.proxies.values():
            proxy.stop()
        self.centre.stop()


def free_port(*, together: int = 1) -> int:
    """Return a loopback port that is free now, and that no outgoing connection is given meanwhile.

    Args:
        together: so many in a row are free; the first is returned.

    Raises:
        RigError: none of those that were tried is free.
    """
    for port in random.SystemRandom().sample(_PORTS, _PORTS_TRIED):
        with suppress(OSError):
            for number in range(port, port + together):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            return port
    raise RigError("no free port was found")


def wait_until(
    holds: Callable[[], bool],
    otherwise: str | Callable[[], str],
    process: subprocess.Popen[bytes] | None = None,
    *,
    every_s: float = _POLL_S,
    within_s: float = START_TIMEOUT_S,
    log: Path | None = None,
) -> None:
    """Wait for a condition.

    Args:
        otherwise: what is said where it does not come to hold.
        every_s: how often it is looked at.
        within_s: how long at most.
        log: of the process; its end is told where the condition does not come to hold.

    Raises:
        RigError: it does not come to hold, or the process ended.
    """
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            said = otherwise if isinstance(otherwise, str) else otherwise()
            raise RigError(said if log is None else f"{said}; {log} {_end_of(log)}")
        time.sleep(every_s)


def _end_of(log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    return f"ends with\n{said[-_LOG_CHARS:]}" if said else "is empty"


def stop_process(process: subprocess.Popen[bytes] | None) -> None:
    """End a process politely, then firmly."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
