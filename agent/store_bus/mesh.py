"""Packets between the tills of a store over SP sockets: a full mesh, one hop.

Gossip is one BUS socket: everybody listens, the till with the lower number dials, because two tills
that dial each other hear everything twice. Requests are a REP socket of the asked and one REQ
socket for each till asked. Nothing here knows what a packet holds.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final, Protocol

from agent.store_bus.addresses import Address
from agent.store_bus.sp_socket import Pattern, SpError, SpLibrary, SpSocket

PACKETS_AT_ONCE: Final = 64
"""Taken from one socket before the others have their turn."""
ASKING_MAX: Final = 16
"""Requests to one till that may wait for each other."""
ANSWER_TIMEOUT_S: Final = 1.0
"""How long a request may keep the ones after it waiting; who asked has long gone on."""


class MeshEars(Protocol):
    """Takes what comes in."""

    def gossip_came(self, packet: bytes) -> None:
        """Take gossip."""

    async def request_came(self, packet: bytes) -> bytes | None:
        """Answer a request; None sends no answer."""


class Mesh:
    """The sockets of one till; lives on an event loop that can watch file descriptors."""

    def __init__(
        self, library: SpLibrary, ears: MeshEars, *, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._library = library
        self._ears = ears
        self._answer_timeout_s = answer_timeout_s
        self._loop = asyncio.get_running_loop()
        self._bus: SpSocket | None = None
        self._rep: SpSocket | None = None
        self._lines: dict[int, _Line] = {}
        self._dialled: dict[int, tuple[Address, object]] = {}
        self._answering: asyncio.Task[None] | None = None

    def open(self, till_id: int, listen: Address, others: Mapping[int, Address]) -> None:
        """Listen, and dial the others.

        Raises:
            SpError: the address cannot be had; nothing is open then.
        """
        try:
            self._bus = self._library.open(Pattern.BUS)
            self._rep = self._library.open(Pattern.REP)
            self._bus.listen(listen.gossip)
            self._rep.listen(listen.requests)
            self._dialled = {
                other: (address, self._bus.dial(address.gossip))
                for other, address in others.items()
                if till_id < other
            }
        except SpError:
            self.close()
            raise
        self._lines = {
            other: _Line(self._library, address.requests) for other, address in others.items()
        }
        self._loop.add_reader(self._bus.readable_fd, self._gossip_waits)
        self._loop.add_reader(self._rep.readable_fd, self._request_waits)

    @property
    def dialled(self) -> Collection[int]:
        """The tills this one dials for gossip."""
        return self._dialled.keys()

    def redial(self, till_id: int) -> None:
        """Drop the connection to a till that was dialled and dial anew.

        After a cut of the LAN the system tries a connection of before ever more seldom, for minutes
        after its end; and a till that lost its power leaves one that nobody ends.

        Raises:
            SpError: too many sockets are open.
        """
        if self._bus is not None:
            address, before = self._dialled[till_id]
            self._bus.hang_up(before)
            self._dialled[till_id] = address, self._bus.dial(address.gossip)

    def gossip(self, packet: bytes) -> None:
        """Tell everybody connected; what cannot be sent now is lost."""
        if self._bus is not None:
            with suppress(SpError):
                self._bus.send(packet)

    async def request(self, till_id: int, packet: bytes) -> bytes | None:
        """Ask a till, until cancelled; None at once when it cannot be asked."""
        line = self._lines.get(till_id)
        return None if line is None else await line.ask(packet)

    def close(self) -> None:
        """Close every socket."""
        for found in (self._bus, self._rep):
            if found is not None:
                self._loop.remove_reader(found.readable_fd)
                found.close()
        self._bus = self._rep = None
        if self._answering is not None:
            self._answering.cancel()
        for line in self._lines.values():
            line.close()
        self._lines = {}
        self._dialled = {}

    def _gossip_waits(self) -> None:
        for _ in range(PACKETS_AT_ONCE):
            if self._bus is None or (packet := self._bus.receive()) is None:
                return
            self._ears.gossip_came(packet)

    def _request_waits(self) -> None:
        if self._rep is None or (packet := self._rep.receive()) is None:
            return
        self._loop.remove_reader(self._rep.readable_fd)
        self._answering = self._loop.create_task(self._answer(self._rep, packet))

    async def _answer(self, rep: SpSocket, packet: bytes) -> None:
        try:
            with suppress(TimeoutError, SpError):
                async with asyncio.timeout(self._answer_timeout_s):
                    answer = await self._ears.request_came(packet)
                if answer is not None and rep is self._rep:
                    rep.send(answer)
        finally:
            if rep is self._rep:
                # To receive again drops a request that was not answered.
                self._loop.add_reader(rep.readable_fd, self._request_waits)


class _Line:
    """The way to ask one till: one request at a time, the others in order."""

    def __init__(self, library: SpLibrary, address: str) -> None:
        self._library = library
        self._address = address
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._socket: SpSocket | None = None

    async def ask(self, packet: bytes) -> bytes | None:
        if self._waiting >= ASKING_MAX:
            return None
        self._waiting += 1
        try:
            async with self._turn:
                return await self._ask(packet)
        except SpError:
            return None
        finally:
            self._waiting -= 1

    async def _ask(self, packet: bytes) -> bytes | None:
        answer: bytes | None = None
        try:
            if self._socket is None:
                self._socket = self._library.open(Pattern.REQ)
                self._socket.dial(self._address)
            asked = self._socket
            while not asked.send(packet):
                await _readable(asked.writable_fd)
            while asked is self._socket and (answer := asked.receive()) is None:
                await _readable(asked.readable_fd)
            return answer
        finally:
            if answer is None:
                # Given up: a request that waits in the socket must not be sent later.
                self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
