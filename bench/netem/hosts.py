"""Hosts as network namespaces: a centre, stores with a LAN of their own, a line to each of them.

`why_not` says what this machine lacks. Where the kernel has netem, it makes the lines bad;
elsewhere a process of its own carries the packets between two TUN devices (`bench.netem.line`).
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import msgspec

from bench.netem.line import GOOD, Counts, Quality

CENTRE_ADDRESS = "172.16.0.1"
_PREFIX = "tillside"
_TUN = Path("/dev/net/tun")

Means = Literal["netem", "tun"]


def ip(*words: object, inside: str = "") -> None:
    """Run `ip`, in a namespace if one is named."""
    where = ["-n", inside] if inside else []
    _run(["ip", *where, *map(str, words)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def why_not() -> str:
    """Say why there can be no namespaces with lines here; empty where there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if shutil.which("ip") is None:
        return "the program `ip` is missing (apt-get install iproute2)"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    probe = f"{_PREFIX}-probe-{os.getpid()}"
    try:
        ip("netns", "add", probe)
    except OSError as error:
        return f"this machine makes no network namespaces ({error})"
    try:
        ip("link", "add", "probe0", "type", "veth", "peer", "name", "probe1", inside=probe)
        ip("link", "add", "probe2", "type", "bridge", inside=probe)
        if not _has_netem(probe) and not _TUN.exists():
            return "the kernel has neither netem nor TUN devices"
    except OSError as error:
        return f"this machine has no virtual Ethernet ({error})"
    finally:
        ip("netns", "del", probe)
    return ""


def means() -> Means:
    """Say what makes lines bad here."""
    probe = f"{_PREFIX}-means-{os.getpid()}"
    ip("netns", "add", probe)
    try:
        return "netem" if _has_netem(probe) else "tun"
    finally:
        ip("netns", "del", probe)


def _has_netem(namespace: str) -> bool:
    if shutil.which("tc") is None:
        return False
    command = ["tc", "-n", namespace, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@dataclass(slots=True)
class NetLine:
    """A store's line to the centre; its ends are named `wan` in the store and `wanN` at the centre.

    Attributes:
        quality: as it is now.
    """

    router: str
    centre: str
    number: int
    means: Means
    quality: Quality = GOOD
    counts: Counts = field(default_factory=Counts)
    _process: subprocess.Popen[str] | None = None

    def open(self, *, seed: int) -> None:
        """Make the line, a good one."""
        far = f"wan{self.number}"
        if self.means == "netem":
            ip("link", "add", "wan", "netns", self.router, "type", "veth",
               "peer", "name", far, "netns", self.centre)  # fmt: skip
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.netem.line", "--seed", str(seed),
                 "--ends", f"{self.router}:wan", f"{self.centre}:{far}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
            if not self._out.readline():
                raise OSError("the line did not start: its standard error says why")
        near_end, far_end = f"172.16.{self.number}.2", f"172.16.{self.number}.1"
        ip("addr", "add", f"{near_end}/30", "dev", "wan", inside=self.router)
        ip("addr", "add", f"{far_end}/30", "dev", far, inside=self.centre)
        ip("link", "set", "wan", "up", inside=self.router)
        ip("link", "set", far, "up", inside=self.centre)
        ip("route", "add", "default", "via", far_end, inside=self.router)
        ip("route", "add", f"10.{self.number}.0.0/24", "via", near_end, inside=self.centre)

    @property
    def _out(self) -> IO[str]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def set(self, quality: Quality) -> None:
        """Make the line as bad as this."""
        self.quality = quality
        if self._process is None:
            for namespace, device in ((self.router, "wan"), (self.centre, f"wan{self.number}")):
                _run(["tc", "-n", namespace, "qdisc", "replace", "dev", device, *_netem(quality)])
            return
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(quality).decode() + "\n")
        self._process.stdin.flush()
        self.counts = msgspec.json.decode(self._out.readline(), type=Counts)

    def close(self) -> None:
        """End the line."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(10)
            self._out.close()


def _netem(quality: Quality) -> list[str]:
    """Return the words for `tc`."""
    if quality.cut:
        return ["root", "netem", "loss", "100%"]
    words = ["root", "netem", "limit", "1000"]
    if quality.delay_ms:
        words += ["delay", f"{quality.delay_ms}ms", f"{quality.jitter_ms}ms"]
    for name, share in (
        ("loss", quality.loss),
        ("reorder", quality.reorder),
        ("duplicate", quality.duplicate),
    ):
        if share:
            words += [name, f"{share:.2%}"]
    return words + (["rate", f"{quality.kbit_s}kbit"] if quality.kbit_s else [])


class Hosts:
    """The centre's namespace and for each store a router with a bridge and its tills."""

    def __init__(self, stores: int, tills_per_store: int, *, seed: int) -> None:
        """Make everything; `close` takes it away.

        Raises:
            OSError: this machine does not allow it.
        """
        self._ending = ExitStack()
        self._mark = f"{_PREFIX}-{os.getpid()}"
        self.means: Means = means()
        self.lines: list[NetLine] = []
        try:
            self.centre = self._namespace("centre")
            ip("addr", "add", f"{CENTRE_ADDRESS}/32", "dev", "lo", inside=self.centre)
            for store in range(1, stores + 1):
                self._open_store(store, tills_per_store, seed=seed)
        except BaseException:
            self.close()
            raise

    def _namespace(self, name: str) -> str:
        namespace = f"{self._mark}-{name}"
        ip("netns", "add", namespace)
        self._ending.callback(ip, "netns", "del", namespace)
        ip("link", "set", "lo", "up", inside=namespace)
        return namespace

    def _open_store(self, store: int, tills: int, *, seed: int) -> None:
        router = self._namespace(f"router{store}")
        _run(["ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
        ip("link", "add", "lan", "type", "bridge", inside=router)
        ip("addr", "add", f"10.{store}.0.1/24", "dev", "lan", inside=router)
        ip("link", "set", "lan", "up", inside=router)
        for till in range(1, tills + 1):
            host = self._namespace(f"till{store}{till}")
            ip("link", "add", "eth0", "netns", host, "type", "veth",
               "peer", "name", f"port{till}", "netns", router)  # fmt: skip
            ip("link", "set", f"port{till}", "master", "lan", "up", inside=router)
            ip("addr", "add", f"{lan_address(store, till)}/24", "dev", "eth0", inside=host)
            ip("link", "set", "eth0", "up", inside=host)
            ip("route", "add", "default", "via", f"10.{store}.0.1", inside=host)
        line = NetLine(router, self.centre, store, self.means)
        self._ending.callback(line.close)
        line.open(seed=seed + store)
        self.lines.append(line)

    def till(self, store: int, till: int) -> str:
        """Return the namespace of a till, counted from 1."""
        return f"{self._mark}-till{store}{till}"

    def cut_lan(self, store: int, till: int, *, is_cut: bool) -> None:
        """Pull a till's cable out of the store's switch, or put it back."""
        ip("link", "set", f"port{till}", "down" if is_cut else "up",
           inside=f"{self._mark}-router{store}")  # fmt: skip

    def close(self) -> None:
        """Take everything away."""
        self._ending.close()


def lan_address(store: int, till: int) -> str:
    """Return a till's address in its store."""
    return f"10.{store}.0.{10 + till}"


def exec_inside(namespace: str) -> list[str]:
    """Return the beginning of a command line that runs the rest in a namespace."""
    return ["ip", "netns", "exec", namespace]


def dumps(report: object) -> str:
    """Return a report as text."""
    return json.dumps(report, indent=2) + "\n"
