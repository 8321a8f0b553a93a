"""What the tests of the store bus share: free ports, ears that remember, tills with a child."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import pytest

from agent.store_bus.addresses import Address
from agent.store_bus.bus import ChildStoreBus
from agent.store_bus.child_process import ChildSettings
from agent.store_bus.port import BusRoster
from agent.store_bus.sp_socket import SpError, load_library
from agent.system import System
from bench.demo.rig import free_port
from sync.envelope import Sender, StoreKey

PATIENCE_S = 90.0
"""The longest wait for something that must happen; nothing is expected to take so long."""
KEY = StoreKey(1, bytes(range(32)))
QUICK = ChildSettings(
    ping_interval_s=0.1, ping_timeout_s=20.0, restart_delay_s=0.05, restart_delay_s_max=0.2
)


def installed(name: str) -> bool:
    try:
        load_library(name)
    except SpError:
        return False
    return True


LIBRARIES = [
    pytest.param(
        name,
        id=name,
        marks=pytest.mark.skipif(not installed(name), reason=f"{name} is not installed"),
    )
    for name in ("nanomsg", "pynng")
]
PAIRS = [
    pytest.param(
        (one, other),
        id=f"{one}-{other}",
        marks=pytest.mark.skipif(
            not (installed(one) and installed(other)), reason="nanomsg is not installed"
        ),
    )
    for one in ("nanomsg", "pynng")
    for other in ("nanomsg", "pynng")
]


def free_address() -> Address:
    """Return an address on loopback whose port and the one after it are free."""
    return Address("127.0.0.1", free_port(together=2))


async def holds(condition: Callable[[], object], *, again: Callable[[], object] = bool) -> None:
    """Wait until it holds, doing something again and again."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            again()
            await asyncio.sleep(0.005)


async def until(event: asyncio.Event, again: Callable[[], object]) -> None:
    """Do something again and again until the event is set: gossip may be lost."""
    async with asyncio.timeout(PATIENCE_S):
        while not event.is_set():
            again()
            try:
                await asyncio.wait_for(event.wait(), 0.05)
            except TimeoutError:
                continue


class Valley:
    """A way to a till that swallows everything once it is cut, and lets new connections through.

    A connection of before the cut stays open and says nothing: what a LAN that was cut, or a till
    that lost its power, leaves behind.
    """

    def __init__(self, target: Address) -> None:
        self._target = target
        self._cut = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.address = free_address()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, *self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        waits = (writer.wait_closed() for writer in self._writers)
        await asyncio.gather(*waits, return_exceptions=True)

    def cut(self) -> None:
        """Swallow from now on what comes on the connections there are."""
        self._cut.set()
        self._cut = asyncio.Event()

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._writers.append(back)
        try:
            far, on = await asyncio.open_connection(*self._target)
        except OSError:
            back.close()
            return
        self._writers.append(on)
        for reading, writing in ((near, on), (far, back)):
            task = asyncio.create_task(self._pass(reading, writing, self._cut))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _pass(
        reading: asyncio.StreamReader, writing: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        try:
            while piece := await reading.read(65_536):
                if not cut.is_set():
                    writing.write(piece)
                    await writing.drain()
        except OSError:
            return
        finally:
            writing.close()


async def answered(ask: Callable[[], Awaitable[bytes | None]]) -> bytes:
    """Ask again and again until there is an answer."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await ask()
            if answer is not None:
                return answer
            await asyncio.sleep(0.005)


@dataclass
class Remembering:
    """Ears that remember what they heard and answer with what they are told to."""

    heard_bodies: list[tuple[int, bytes]] = field(default_factory=list)
    senders: list[Sender] = field(default_factory=list)
    asked_bodies: list[tuple[int, bytes]] = field(default_factory=list)
    something: asyncio.Event = field(default_factory=asyncio.Event)
    reply: Callable[[bytes], bytes | None] = lambda body: b"re:" + body

    def heard(self, sender: Sender, body: bytes) -> None:
        self.heard_bodies.append((sender.till_id, body))
        self.senders.append(sender)
        self.something.set()

    async def asked(self, sender: Sender, body: bytes) -> bytes | None:
        self.asked_bodies.append((sender.till_id, body))
        return self.reply(body)


@dataclass
class Neighbour:
    """A till with its bus and its ears."""

    till_id: int
    bus: ChildStoreBus
    ears: Remembering

    @property
    def child_id(self) -> int:
        """Process id of the child; it must be there."""
        assert self.bus.child.process_id is not None
        return self.bus.child.process_id

    async def comes_up(self, *, restarts: int = 0) -> None:
        """Wait until the child listens, after so many restarts."""
        await holds(
            lambda: self.bus.status().state == "up" and self.bus.status().restarts >= restarts
        )


@asynccontextmanager
async def one_till(
    till_id: int,
    addresses: dict[int, str],
    *,
    implementation: str = "auto",
    store: str = "s1",
    keys: tuple[StoreKey, ...] = (KEY,),
    settings: ChildSettings = QUICK,
    first_counter: int = 0,
) -> AsyncIterator[Neighbour]:
    """Run the bus of one till."""
    bus = ChildStoreBus(
        store=store,
        till_id=till_id,
        listen=addresses[till_id],
        first_counter=first_counter,
        system=System(),
        implementation=implementation,
        settings=settings,
    )
    ears = Remembering()
    bus.attach(ears)
    bus.begin_incarnation(till_id.to_bytes(8, "big"), 1)
    bus.use_roster(BusRoster(keys, addresses))
    running = asyncio.create_task(bus.run())
    try:
        yield Neighbour(till_id, bus, ears)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def two_tills(pair: tuple[str, str]) -> AsyncIterator[tuple[Neighbour, Neighbour]]:
    """Run the buses of tills 1 and 2 of one store, each in its own implementation."""
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(one_till(1, addresses, implementation=pair[0]))
        other = await stack.enter_async_context(one_till(2, addresses, implementation=pair[1]))
        await one.comes_up()
        await other.comes_up()
        yield one, other
