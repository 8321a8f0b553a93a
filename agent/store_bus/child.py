"""The child of the agent that holds the sockets of the store bus, and may die of what comes in.

It reads frames from standard input and writes frames to the pipe that was its standard output; it
ends with the agent. Packets that are no genuine message of the store stay here, and so does what a
till says too often.
"""

import asyncio
import os
import signal
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from agent.store_bus.addresses import parse_address
from agent.store_bus.frames import (
    Answer,
    Ask,
    Asked,
    FrameReader,
    FromChild,
    Gossip,
    Ping,
    Pong,
    SetUp,
    ToChild,
    decode_to_child,
    encode_frame,
)
from agent.store_bus.mesh import Mesh
from agent.store_bus.sp_socket import SpError, SpLibrary, load_library
from sync.envelope import EVERY_TILL, Envelope, Keyring, Kind, ReplayWindows, StoreKey
from sync.errors import MalformedMessageError, SyncError

EXIT_BROKEN: Final = 70
DESCRIPTORS_MAX: Final = 512
"""Open files and sockets; a store of a hundred tills needs 350; connections end here."""
GOSSIP_WAITING_MAX: Final = 256
"""Packets on their way to the agent; of more, the oldest are dropped."""
PACKETS_PER_TILL_S: Final = 500
"""What one till may say in a second; a till that is out of its mind must not occupy the others."""
_READ_BYTES = 65_536


class OutgoingPipe:
    """Writes frames in a thread of its own, so that a busy agent stops no socket."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._frames: deque[tuple[bool, bytes]] = deque()
        self._gossip_waiting = 0
        self._changed = threading.Condition()
        self.dropped = 0
        threading.Thread(target=self._write, name="to agent", daemon=True).start()

    def send(self, message: FromChild) -> None:
        """Queue a frame; never blocks. Too much gossip pushes out the oldest."""
        is_gossip = isinstance(message, Gossip)
        frame = encode_frame(message)
        with self._changed:
            if is_gossip and self._gossip_waiting == GOSSIP_WAITING_MAX:
                oldest = next(at for at, (gossip, _) in enumerate(self._frames) if gossip)
                del self._frames[oldest]
                self.dropped += 1
            elif is_gossip:
                self._gossip_waiting += 1
            self._frames.append((is_gossip, frame))
            self._changed.notify()

    def _write(self) -> None:
        with suppress(OSError, ValueError):
            while True:
                with self._changed:
                    while not self._frames:
                        self._changed.wait()
                    is_gossip, frame = self._frames.popleft()
                    self._gossip_waiting -= is_gossip
                self._pipe.write(frame)
                self._pipe.flush()
        os._exit(EXIT_BROKEN)


class BusChild:
    """What the child does with frames and packets; lives on its event loop."""

    def __init__(self, library: SpLibrary, out: OutgoingPipe) -> None:
        self._library = library
        self._out = out
        self._loop = asyncio.get_running_loop()
        self._mesh: Mesh | None = None
        self._set_up: SetUp | None = None
        self._keyring: Keyring | None = None
        self._said: dict[int, int] = {}
        self._heard_s: dict[int, float] = {}
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._asked_number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble = ""
        self._seen = ReplayWindows()
        self._refused = 0
        self._replayed = 0
        self._muted = 0
        self._begin_second()

    def take(self, body: bytes) -> None:
        """Do what the agent says.

        Raises:
            MalformedMessageError: it is not the agent who speaks.
        """
        message: ToChild = decode_to_child(body)
        match message:
            case Gossip():
                if self._mesh is not None:
                    self._mesh.gossip(message.packet)
            case Ask():
                task = self._loop.create_task(self._ask(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Answer():
                waiting = self._asked.pop(message.number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message.packet)
            case Ping():
                if self._trouble and self._set_up is not None:
                    self._begin(self._set_up)
                self._say_state()
            case SetUp():
                self._begin(message)
                self._say_state()

    def gossip_came(self, packet: bytes) -> None:
        """Pass genuine gossip on."""
        found = self._genuine(packet, Kind.GOSSIP)
        if found is not None:
            self._heard_s[found.sender.till_id] = self._loop.time()
            self._out.send(Gossip(packet))

    async def request_came(self, packet: bytes) -> bytes | None:
        """Pass a genuine request on and wait for the agent's answer."""
        if self._genuine(packet, Kind.REQUEST) is None:
            return None
        self._asked_number += 1
        number = self._asked_number
        waiting = self._asked[number] = self._loop.create_future()
        try:
            self._out.send(Asked(number, packet))
            return (await waiting) or None
        finally:
            self._asked.pop(number, None)

    def _genuine(self, packet: bytes, kind: Kind) -> Envelope | None:
        """Return a message of another till of the store for this one; the agent looks again."""
        found = self._opened(packet)
        set_up = self._set_up
        if (
            found is None
            or set_up is None
            or found.kind is not kind
            or found.sender.till_id not in set_up.others
            or found.to not in (EVERY_TILL, set_up.till_id)
        ):
            self._refused += 1
            return None
        # Before it counts as said: who records a till's packets must not silence it with them.
        if not self._seen.accept(found.sender, found.counter):
            self._replayed += 1
            return None
        said = self._said[found.sender.till_id] = self._said.get(found.sender.till_id, 0) + 1
        if said > PACKETS_PER_TILL_S:
            self._muted += 1
            return None
        return found

    def _opened(self, packet: bytes) -> Envelope | None:
        with suppress(SyncError):
            if self._keyring is not None:
                return self._keyring.open(packet)
        return None

    async def _ask(self, ask: Ask) -> None:
        answer: bytes | None = None
        if self._mesh is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(ask.timeout_ms / 1000):
                    answer = await self._mesh.request(ask.till_id, ask.packet)
        if answer is not None and self._opened(answer) is None:
            self._refused += 1
            answer = None
        self._out.send(Answer(ask.number, answer or b""))

    def _begin(self, wanted: SetUp) -> None:
        """Take a set-up; sockets are opened anew only for other addresses."""
        self._keyring = Keyring(wanted.store, [StoreKey(*key) for key in wanted.keys])
        self._seen.keep_only(wanted.others)
        before, self._set_up = self._set_up, wanted
        same = before is not None and (before.till_id, before.listen, before.others) == (
            wanted.till_id,
            wanted.listen,
            wanted.others,
        )
        if same and not self._trouble:
            return
        if self._mesh is not None:
            self._mesh.close()
        self._mesh = Mesh(self._library, self)
        try:
            self._mesh.open(
                wanted.till_id,
                parse_address(wanted.listen),
                {till: parse_address(text) for till, text in wanted.others.items() if text},
            )
        except (SpError, ValueError) as error:
            self._mesh, self._trouble = None, str(error)
        else:
            self._trouble = ""

    def _say_state(self) -> None:
        self._out.send(
            Pong(
                implementation=f"{self._library.name} {self._library.version}",
                trouble=self._trouble,
                refused=self._refused,
                replayed=self._replayed,
                dropped=self._out.dropped + self._muted,
            )
        )

    def _redial_silent(self) -> None:
        if self._mesh is None or self._set_up is None:
            return
        now_s = self._loop.time()
        for till_id in self._mesh.dialled:
            silent_s = now_s - self._heard_s.setdefault(till_id, now_s)
            if silent_s >= self._set_up.silence_ms / 1000:
                self._mesh.redial(till_id)
                self._heard_s[till_id] = now_s

    def _begin_second(self) -> None:
        self._said.clear()
        self._redial_silent()
        self._loop.call_later(1.0, self._begin_second)


def run_child(implementation: str) -> NoReturn:
    """Be the bus child until standard input ends or anything breaks; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal; the agent ends by it, then this
    pipe = _take_over_output()
    _be_small()
    # Never the proactor of Windows: sockets of both libraries are watched by their descriptors.
    loop = asyncio.SelectorEventLoop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(_break)
    try:
        library = load_library(implementation)
        loop.run_until_complete(_serve(library, OutgoingPipe(pipe)))
    except (SpError, OSError) as error:
        _complain(error)
    os._exit(EXIT_BROKEN)


async def _serve(library: SpLibrary, out: OutgoingPipe) -> None:
    child = BusChild(library, out)
    loop = asyncio.get_running_loop()
    threading.Thread(target=_read, args=(loop, child), name="from agent", daemon=True).start()
    await asyncio.Event().wait()


def _read(loop: asyncio.AbstractEventLoop, child: BusChild) -> None:
    reader = FrameReader()
    status = 0
    try:
        while piece := os.read(sys.stdin.fileno(), _READ_BYTES):
            for body in reader.feed(piece):
                loop.call_soon_threadsafe(child.take, body)
    except (OSError, MalformedMessageError):
        status = EXIT_BROKEN
    # At once, whatever the sockets are doing: the agent is gone, or starts another child.
    os._exit(status)


def _take_over_output() -> BinaryIO:
    """Keep standard output for frames; what a library prints goes to standard error."""
    kept = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(kept, "wb")


def _be_small() -> None:
    """Give way to the agent: in memory, in processor time, in open files. Each if allowed."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        few = DESCRIPTORS_MAX if most == resource.RLIM_INFINITY else min(DESCRIPTORS_MAX, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core holds the store's key
    with suppress(OSError):
        # Where memory is short the system takes this process before the agent.
        Path("/proc/self/oom_score_adj").write_text("900", encoding="ascii")
    with suppress(OSError, AttributeError):
        os.nice(5)


def _break(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End at the first error nobody expected: the agent starts a child that is whole."""
    _complain(context.get("exception") or context["message"])
    os._exit(EXIT_BROKEN)


def _complain(why: object) -> None:
    sys.stderr.write(f"store bus: {why}\n")
    sys.stderr.flush()
