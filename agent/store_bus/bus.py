"""The store bus of one till: seals what goes out, opens what comes in, and keeps the child for it.

Lives on the agent's event loop. The child looks at every packet too, but only what is opened here
reaches the agent: these replay windows outlive the child.
"""

import asyncio
from contextlib import suppress

import structlog

from agent.store_bus.addresses import parse_address, resolve_listen
from agent.store_bus.child_process import ChildProcess, ChildSettings, child_command
from agent.store_bus.frames import Answer, Ask, Asked, FromChild, Gossip, SetUp
from agent.store_bus.port import WITNESS_TIMEOUT_S, BusRoster, BusStatus, Ears
from agent.system import System
from sync.envelope import (
    BODY_BYTES_MAX,
    EVERY_TILL,
    NO_REQUEST,
    Envelope,
    Keyring,
    Kind,
    ReplayWindows,
    Sender,
    request_tag,
)
from sync.errors import SyncError

log = structlog.get_logger()

ANSWERING_MAX = 8
"""Requests of other tills answered at once; of more, the newest are not."""
_LISTEN_AGAIN_S = 2.0


class ChildStoreBus:
    """Implements `agent.store_bus.port.StoreBus` over a child process."""

    def __init__(
        self,
        *,
        store: str,
        till_id: int,
        listen: str,
        first_counter: int,
        system: System,
        implementation: str = "auto",
        settings: ChildSettings | None = None,
    ) -> None:
        self._store = store
        self._till_id = till_id
        self._listen_wish = listen
        self._counter = first_counter
        self._ears: Ears | None = None
        self._speaker: Sender | None = None
        self._keyring: Keyring | None = None
        self._windows = ReplayWindows()
        self._set_up: SetUp | None = None
        self._roster: BusRoster | None = None
        self._heard: set[int] = set()
        self._replayed = 0
        self._open_asks: dict[int, asyncio.Future[bytes]] = {}
        self._asks = 0
        self._answering: set[asyncio.Task[None]] = set()
        self._trouble = ""
        self._child = ChildProcess(
            child_command(implementation),
            settings or ChildSettings(),
            came=self._came,
            ended=self._child_ended,
            jitter=system.jitter,
        )

    @property
    def child(self) -> ChildProcess:
        """The child and how it is."""
        return self._child

    def address(self) -> str:
        """Return where this till listens; empty while it has no place in the LAN."""
        with suppress(OSError, ValueError):
            if self._listen_wish:
                return resolve_listen(self._listen_wish).gossip
        return ""

    def attach(self, ears: Ears) -> None:
        """Say who listens."""
        self._ears = ears

    def begin_incarnation(self, incarnation: bytes, number: int) -> None:
        """Speak in the name of this incarnation from now on."""
        self._speaker = Sender(self._till_id, incarnation, number)

    def use_roster(self, roster: BusRoster | None) -> None:
        """Take another roster; what is wrong in it is logged, and the rest of it is used."""
        self._roster = roster
        try:
            self._set_up = self._set_up_of(roster)
        except (OSError, ValueError) as error:
            if str(error) != self._trouble:
                log.warning("bus_off", why=str(error))
            self._set_up, self._keyring, self._trouble = None, None, str(error)
        else:
            self._trouble = ""
        self._child.use(self._set_up)

    def _set_up_of(self, roster: BusRoster | None) -> SetUp | None:
        self._keyring = None
        if roster is None or not roster.keys or not self._listen_wish:
            return None
        others: dict[int, str] = {}
        for till_id, text in roster.addresses.items():
            if till_id == self._till_id:
                continue
            try:
                others[till_id] = parse_address(text).gossip if text else ""
            except ValueError as error:
                log.warning("bus_address_wrong", till=till_id, why=str(error))
                others[till_id] = ""
        if not others:
            return None
        listen = resolve_listen(self._listen_wish).gossip
        self._keyring = Keyring(self._store, roster.keys)
        self._windows.keep_only(others)
        self._heard &= others.keys()
        keys = tuple((key.number, key.secret) for key in roster.keys)
        return SetUp(self._till_id, self._store, listen, others, keys)

    async def run(self) -> None:
        """Keep the bus until cancelled."""
        child = asyncio.create_task(self._child.run(), name="bus child keeper")
        try:
            while not child.done():
                await asyncio.wait({child}, timeout=_LISTEN_AGAIN_S)
                if (self._trouble or self._set_up is not None) and self._has_moved():
                    self.use_roster(self._roster)
            await child
        finally:
            child.cancel()
            for task in self._answering:
                task.cancel()
            await asyncio.gather(child, *self._answering, return_exceptions=True)
            self._child_ended()

    def _has_moved(self) -> bool:
        """Say whether the network came up, or gave this machine another address.

        While it has none the sockets are kept: it may come back with the one they listen at.
        """
        return self.address() not in ("", self._set_up.listen if self._set_up else "")

    def gossip(self, body: bytes) -> None:
        """Tell all tills, best effort."""
        packet = self._seal(Kind.GOSSIP, EVERY_TILL, body)
        if packet is not None:
            self._child.send(Gossip(packet))

    async def request(
        self, till_id: int, body: bytes, *, timeout_s: float = WITNESS_TIMEOUT_S
    ) -> bytes | None:
        """Ask one till; None when no genuine answer to exactly this request came in time."""
        packet = self._seal(Kind.REQUEST, till_id, body)
        if packet is None or self._set_up is None or not self._set_up.others.get(till_id):
            return None
        self._asks += 1
        number = self._asks
        waiting = self._open_asks[number] = asyncio.get_running_loop().create_future()
        try:
            if not self._child.send(Ask(number, till_id, round(timeout_s * 1000), packet)):
                return None
            async with asyncio.timeout(timeout_s):
                answer = await waiting
        except TimeoutError:
            return None
        finally:
            self._open_asks.pop(number, None)
        found = self._opened(answer, Kind.ANSWER) if answer else None
        if found is None or found.sender.till_id != till_id:
            return None
        return found.body if found.reply_to == request_tag(packet) else None

    def status(self) -> BusStatus:
        """Return the state now."""
        child, state = self._child, self._child.state
        up = state is not None and not state.trouble
        return BusStatus(
            state="off" if self._set_up is None else "up" if up else "starting",
            implementation=state.implementation if state else "",
            listen=self._set_up.listen if self._set_up else "",
            tills=len(self._set_up.others) if self._set_up else 0,
            tills_heard=len(self._heard),
            restarts=child.restarts,
            refused=state.refused if state else 0,
            replayed=self._replayed + (state.replayed if state else 0),
            dropped=child.dropped + (state.dropped if state else 0),
            last_error=self._trouble or child.last_error,
        )

    def _seal(
        self, kind: Kind, to: int, body: bytes, *, reply_to: bytes = NO_REQUEST
    ) -> bytes | None:
        if not 1 <= len(body) <= BODY_BYTES_MAX:
            raise ValueError(f"a body has 1 to {BODY_BYTES_MAX} bytes, not {len(body)}")
        if self._keyring is None or self._speaker is None:
            return None
        self._counter += 1
        return self._keyring.seal(
            Envelope(kind, self._speaker, to, self._counter, body, reply_to=reply_to)
        )

    def _came(self, message: FromChild) -> None:
        match message:
            case Gossip():
                found = self._opened(message.packet, Kind.GOSSIP)
                if found is not None:
                    self._tell(found)
            case Answer():
                waiting = self._open_asks.get(message.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message.packet)
            case Asked():
                found = self._opened(message.packet, Kind.REQUEST)
                if found is None or len(self._answering) >= ANSWERING_MAX:
                    self._child.send(Answer(message.number, b""))
                    return
                task = asyncio.create_task(self._answer(message, found))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    def _tell(self, gossip: Envelope) -> None:
        try:
            if self._ears is not None:
                self._ears.heard(gossip.sender, gossip.body)
        except Exception:  # a neighbour's word must not end the bus
            log.exception("bus_gossip_failed")

    async def _answer(self, asked: Asked, request: Envelope) -> None:
        answer: bytes | None = None
        asked_by = self._child.process_id
        try:
            if self._ears is not None:
                answer = await self._ears.asked(request.sender, request.body)
        except Exception:  # a neighbour's request must not end the bus
            log.exception("bus_request_failed")
        packet: bytes | None = None
        if answer:
            with suppress(ValueError):
                tag = request_tag(asked.packet)
                packet = self._seal(Kind.ANSWER, request.sender.till_id, answer, reply_to=tag)
        if asked_by == self._child.process_id:  # another child has other requests by this number
            self._child.send(Answer(asked.number, packet or b""))

    def _opened(self, packet: bytes, kind: Kind) -> Envelope | None:
        """Return what a till of the roster said to this one, once; None for anything else."""
        if self._keyring is None or self._set_up is None:
            return None
        try:
            found = self._keyring.open(packet)
        except SyncError:
            return None
        to_us = (self._till_id,) if kind is not Kind.GOSSIP else (EVERY_TILL,)
        if found.kind is not kind or found.to not in to_us:
            return None
        if found.sender.till_id not in self._set_up.others:
            return None
        if not self._windows.accept(found.sender, found.counter):
            self._replayed += 1
            return None
        self._heard.add(found.sender.till_id)
        return found

    def _child_ended(self) -> None:
        for waiting in self._open_asks.values():
            if not waiting.done():
                waiting.set_result(b"")
