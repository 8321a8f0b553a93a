"""Joins the till's side to the store bus: the event loop carries, the till's thread decides."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Final

import structlog

from agent.errors import JournalDamagedError, JournalUnavailableError
from agent.neighbours.desk import NeighbourDesk
from agent.store_bus.port import StoreBus
from agent.store_bus.rosters import bus_roster
from agent.till_service.till import Till
from agent.till_thread import TillThread
from sync.envelope import Sender
from sync.messages import Message, Roster
from sync.neighbours import HEARTBEAT_MS, AskSibling, answer_of, pack

log = structlog.get_logger()

_Work = Coroutine[object, object, bytes | None]

WAITING_MAX: Final = 16
"""Messages of siblings that wait for the till's thread; more are thrown away."""


class BusDriver:
    """Implements `agent.store_bus.port.Ears`; lives on the event loop."""

    def __init__(
        self,
        till: Till,
        thread: TillThread,
        bus: StoreBus,
        *,
        addresses: Mapping[int, str],
        journal_damaged: asyncio.Event,
        moved: Callable[[], None],
    ) -> None:
        """Listen to a bus.

        Args:
            addresses: `host:port` of other tills from the settings, by till.
            journal_damaged: set when the journal failed for good.
            moved: called when the centre is to hear that this till has another address.
        """
        self._till = till
        self._thread = thread
        self._bus = bus
        self._addresses = addresses
        self._journal_damaged = journal_damaged
        self._moved = moved
        self._desk = NeighbourDesk(till)
        self._waiting: set[asyncio.Task[bytes | None]] = set()
        self._told: tuple[bytes, Roster | None] = (b"", None)
        bus.attach(self)

    async def run(self) -> None:
        """Say every two seconds that this till lives, and do what is due, until cancelled."""
        while True:
            try:
                if await self._thread.run(self._take_address, self._bus.address()):
                    self._moved()
                self._tell_bus(*await self._thread.run(self._state))
                self._bus.gossip(await self._thread.run(self._desk.heartbeat))
                await self._thread.drive(self._desk.background(), self.ask)
            except JournalUnavailableError as error:
                log.warning("siblings_wait", why=str(error))
            except JournalDamagedError:
                self._journal_damaged.set()
                return
            await asyncio.sleep(HEARTBEAT_MS / 1000)

    def _take_address(self, address: str) -> bool:
        """Note where this till listens, if anywhere; return whether that is elsewhere.

        Without a LAN the last address stays the one that is told: it may come back as it was.
        """
        till = self._till
        till.neighbours.connected = bool(address)
        is_new = address not in ("", till.bus_address)
        if is_new:
            till.bus_address = address
        return is_new

    def _state(self) -> tuple[bytes, int, Roster | None]:
        till, head = self._till, self._till.journal.stream.head()
        # A revoked till has no place in the store any more: its bus is closed.
        roster = None if till.revoked else till.neighbours.roster
        return head.incarnation, head.incarnation_number, roster

    def _tell_bus(self, incarnation: bytes, number: int, roster: Roster | None) -> None:
        told_incarnation, told_roster = self._told
        if incarnation != told_incarnation:
            self._bus.begin_incarnation(incarnation, number)
        if not told_incarnation or roster != told_roster:
            self._bus.use_roster(bus_roster(roster, self._addresses))
        self._told = incarnation, roster

    async def ask(self, ask: AskSibling) -> Message | None:
        """Ask one sibling; None when no answer of the right kind came in time."""
        body = pack(ask.message)
        if body is None:
            return None
        reply = await self._bus.request(ask.till_id, body, timeout_s=ask.budget_ms / 1000)
        return answer_of(reply, ask.answer)

    # What the bus calls

    def heard(self, sender: Sender, body: bytes) -> None:
        """Take gossip; return at once."""
        self._work(self._hear(sender.till_id, body))

    async def asked(self, sender: Sender, body: bytes) -> bytes | None:
        """Answer a request; None: no answer."""
        task = self._work(self._answer(sender.till_id, body))
        return await task if task is not None else None

    def _work(self, work: _Work) -> asyncio.Task[bytes | None] | None:
        if len(self._waiting) >= WAITING_MAX:
            work.close()
            return None
        task = asyncio.create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return task

    async def _hear(self, till_id: int, body: bytes) -> bytes | None:
        try:
            await self._thread.run(self._desk.heard, till_id, body)
        except JournalDamagedError:
            self._journal_damaged.set()
        return None

    async def _answer(self, till_id: int, body: bytes) -> bytes | None:
        try:
            return await self._thread.run(self._desk.asked, till_id, body)
        except JournalDamagedError:
            self._journal_damaged.set()
            return None
