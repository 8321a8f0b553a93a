"""A bad line between two network namespaces, packet by packet, where the kernel has no netem.

`python -m bench.netem.line --ends NAMESPACE:DEVICE NAMESPACE:DEVICE` makes a TUN device in each
namespace and carries what the kernel sends into one out of the other: late, out of order, twice or
not at all. It takes commands on standard input, one JSON object a line, answers each with its
counts, and ends when standard input closes. It must be root's, or have CAP_NET_ADMIN and
CAP_SYS_ADMIN.
"""

import argparse
import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

_NAMESPACES: Final = Path("/var/run/netns")
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_WITHOUT_HEADER: Final = 0x0001 | 0x1000
_CLONE_NEWNET: Final = 0x40000000
_PACKET_BYTES_MAX: Final = 65_536
_WAITING_BYTES_MAX: Final = 64 * 1024
"""What stands before the line's bottleneck; more is dropped, as a modem does."""


class Quality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How bad a line is; the words are those of `tc netem`.

    Attributes:
        loss, duplicate: shares of packets.
        reorder: share of packets that go at once, before those that wait.
        delay_ms, jitter_ms: one way; drawn evenly from delay - jitter to delay + jitter.
        kbit_s: 0 = as fast as it goes.
        cut: nothing passes.
    """

    loss: float = 0.0
    delay_ms: int = 0
    jitter_ms: int = 0
    reorder: float = 0.0
    duplicate: float = 0.0
    kbit_s: int = 0
    cut: bool = False


GOOD: Final = Quality()
BAD: Final = Quality(
    loss=0.05, delay_ms=300, jitter_ms=200, reorder=0.25, duplicate=0.02, kbit_s=64
)


class Counts(msgspec.Struct, kw_only=True):
    """What a line did so far."""

    passed: int = 0
    lost: int = 0
    cut: int = 0
    overflowed: int = 0
    duplicated: int = 0
    reordered: int = 0
    bytes: int = 0


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Have this thread's new sockets, devices and processes belong to a namespace.

    Raises:
        OSError: there is no such namespace, or it may not be entered.
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        enter(namespace)
        try:
            yield
        finally:
            _set_namespace(own)
    finally:
        os.close(own)


def enter(namespace: str) -> None:
    """Move this thread into a namespace for good."""
    number = os.open(_NAMESPACES / namespace, os.O_RDONLY)
    try:
        _set_namespace(number)
    finally:
        os.close(number)


def _set_namespace(number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(number, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def open_tun(namespace: str, device: str) -> int:
    """Make a TUN device in a namespace; it lives as long as the descriptor returned."""
    with inside(namespace):
        number = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        request = struct.pack("16sH22x", device.encode(), _IFF_TUN_WITHOUT_HEADER)
        fcntl.ioctl(number, _TUNSETIFF, request)
    return number


@dataclass(slots=True)
class Way:
    """One direction; the bottleneck first, then the distance."""

    sink: int
    free_at_s: float = 0.0


@dataclass(slots=True)
class Line:
    """Both directions, and what is on its way."""

    ways: dict[int, Way]
    draws: random.Random
    quality: Quality = GOOD
    counts: Counts = field(default_factory=Counts)
    _flying: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _number: int = 0

    def take(self, source: int, packet: bytes, now_s: float) -> None:
        """Take a packet at one end."""
        way, quality, draws = self.ways[source], self.quality, self.draws
        if quality.cut:
            self.counts.cut += 1
            return
        if draws.random() < quality.loss:
            self.counts.lost += 1
            return
        twice = draws.random() < quality.duplicate
        self.counts.duplicated += twice
        for _ in range(1 + twice):
            at_s = now_s
            if quality.kbit_s:
                per_byte_s = 8 / (quality.kbit_s * 1000)
                if (way.free_at_s - now_s) / per_byte_s > _WAITING_BYTES_MAX:
                    self.counts.overflowed += 1
                    return
                way.free_at_s = max(now_s, way.free_at_s) + len(packet) * per_byte_s
                at_s = way.free_at_s
            if draws.random() < quality.reorder:
                self.counts.reordered += 1
            else:
                jitter = draws.uniform(-quality.jitter_ms, quality.jitter_ms)
                at_s += max(0.0, quality.delay_ms + jitter) / 1000
            self._number += 1
            heapq.heappush(self._flying, (at_s, self._number, way.sink, packet))

    def deliver(self, now_s: float) -> float | None:
        """Put down what has arrived; returns when the next will, None while nothing flies."""
        while self._flying and self._flying[0][0] <= now_s:
            _, _, sink, packet = heapq.heappop(self._flying)
            if self.quality.cut:
                self.counts.cut += 1
                continue
            try:
                os.write(sink, packet)
            except OSError:  # the device is down, or its queue is full
                self.counts.lost += 1
                continue
            self.counts.passed += 1
            self.counts.bytes += len(packet)
        return self._flying[0][0] if self._flying else None


def run(ends: tuple[str, str], *, seed: int) -> None:
    """Carry packets until standard input closes."""
    tuns = [open_tun(*end.split(":", 1)) for end in ends]
    line = Line({tuns[0]: Way(tuns[1]), tuns[1]: Way(tuns[0])}, random.Random(seed))
    selector = selectors.DefaultSelector()
    for tun in tuns:
        selector.register(tun, selectors.EVENT_READ)
    stdin = sys.stdin.fileno()
    selector.register(stdin, selectors.EVENT_READ)
    print(json.dumps({"ready": True}), flush=True)
    while True:
        now_s = time.monotonic()
        due_s = line.deliver(now_s)
        for key, _ in selector.select(None if due_s is None else max(0.0, due_s - now_s)):
            if key.fd == stdin:
                command = sys.stdin.readline()
                if not command:
                    return
                line.quality = msgspec.json.decode(command, type=Quality)
                print(msgspec.json.encode(line.counts).decode(), flush=True)
                continue
            try:
                packet = os.read(key.fd, _PACKET_BYTES_MAX)
            except OSError:  # the device is down
                continue
            line.take(key.fd, packet, time.monotonic())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ends", nargs=2, required=True, metavar="NAMESPACE:DEVICE")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    run((options.ends[0], options.ends[1]), seed=options.seed)


if __name__ == "__main__":
    main()
