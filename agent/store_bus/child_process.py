"""Keeps the bus child running: starts it, listens to it, kills it when it hangs, starts it again.

Whatever happens to the child, nothing here waits for it but its own tasks: what cannot be handed
over is dropped, and a request ends by its own time-out.
"""

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from agent.store_bus.frames import (
    FrameReader,
    FromChild,
    Gossip,
    Ping,
    Pong,
    SetUp,
    ToChild,
    decode_from_child,
    encode_frame,
)
from sync.errors import MalformedMessageError

log = structlog.get_logger()

_READ_BYTES = 65_536
_PIPE_BYTES_MAX = 131_072
_OWN_END_S = 0.5


def child_command(
    implementation: str, *, frozen: bool = bool(getattr(sys, "frozen", False))
) -> list[str]:
    """Return the command that runs the child: this very program, packaged (frozen) or not."""
    program = [sys.executable] if frozen else [sys.executable, "-m", "agent"]
    return [*program, "bus-child", "--implementation", implementation]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSettings:
    """How the child is kept.

    Attributes:
        ping_interval_s: how often it is asked whether it is there.
        start_timeout_s: without a first answer for so long it is killed.
        ping_timeout_s: the same for every later one.
        restart_delay_s: before the first restart; doubles with every life that was short.
        steady_s: a life so long begins the delays anew.
        waiting_max: gossip messages, and as many others, that may wait for the pipe.
    """

    ping_interval_s: float = 5.0
    start_timeout_s: float = 30.0
    ping_timeout_s: float = 5.0
    restart_delay_s: float = 0.5
    restart_delay_s_max: float = 60.0
    steady_s: float = 60.0
    waiting_max: int = 64


class ChildProcess:
    """One bus child after the other; lives on the agent's event loop.

    Attributes:
        state: the last thing the child said of itself; None while there is none.
        restarts: children started after the first.
        dropped: messages that found no room on the way to the child.
        process_id: of the child that runs; None while there is none.
    """

    def __init__(
        self,
        command: Sequence[str],
        settings: ChildSettings,
        *,
        came: Callable[[FromChild], None],
        ended: Callable[[], None],
        jitter: Callable[[], float],
    ) -> None:
        self._command = list(command)
        self._settings = settings
        self._came = came
        self._ended = ended
        self._jitter = jitter
        self._set_up: SetUp | None = None
        self._wanted = asyncio.Event()
        self._waiting: deque[ToChild] = deque()
        self._gossip_waiting = 0
        self._handed = asyncio.Event()
        self._ponged = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.state: Pong | None = None
        self.restarts = 0
        self.dropped = 0
        self.process_id: int | None = None
        self.last_error = ""

    def use(self, set_up: SetUp | None) -> None:
        """Have a child with this set-up; None: have none."""
        self._set_up = set_up
        if set_up is None:
            self._wanted.clear()
            self._stop()
        else:
            self._wanted.set()
            self.send(set_up)

    def send(self, message: ToChild) -> bool:
        """Hand a message over; False when there is no child or no room. Gossip makes room."""
        if self.process_id is None:
            return False
        is_gossip = isinstance(message, Gossip)
        if is_gossip and self._gossip_waiting >= self._settings.waiting_max:
            oldest = next(at for at, found in enumerate(self._waiting) if isinstance(found, Gossip))
            del self._waiting[oldest]
            self.dropped += 1
        elif is_gossip:
            self._gossip_waiting += 1
        elif len(self._waiting) - self._gossip_waiting >= self._settings.waiting_max:
            self.dropped += 1
            return False
        self._waiting.append(message)
        self._handed.set()
        return True

    async def run(self) -> None:
        """Keep a child until cancelled."""
        short_lives = 0
        while True:
            await self._wanted.wait()
            began_s = asyncio.get_running_loop().time()
            self._running = asyncio.create_task(self._live(), name="bus child")
            try:
                await asyncio.wait({self._running})
            finally:
                self._stop()
                await asyncio.gather(self._running, return_exceptions=True)
                running, self._running = self._running, None
            self._ended()
            if running.cancelled() or not self._wanted.is_set():
                continue
            if error := running.exception():
                self.last_error = str(error) or repr(error)
            lived_s = asyncio.get_running_loop().time() - began_s
            short_lives = 0 if lived_s >= self._settings.steady_s else short_lives + 1
            delay_s = self._delay_s(short_lives)
            log.warning("bus_child_ended", why=self.last_error, again_in_s=round(delay_s, 1))
            await asyncio.sleep(delay_s)
            self.restarts += 1

    def _stop(self) -> None:
        """End the child; once, for a second cancellation would leave it half buried."""
        if self._running is not None and not self._running.cancelling():
            self._running.cancel()

    def _delay_s(self, short_lives: int) -> float:
        doubled = self._settings.restart_delay_s * (1 << min(max(short_lives - 1, 0), 16))
        return min(self._settings.restart_delay_s_max, doubled) * (0.5 + self._jitter() / 2)

    async def _live(self) -> None:
        """Run one child to its end; it always ends with an error, or with the cancelled task."""
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self.process_id = process.pid
        self._waiting.clear()
        self._gossip_waiting = 0
        if self._set_up is not None:
            self.send(self._set_up)
        process.stdin.transport.set_write_buffer_limits(high=_PIPE_BYTES_MAX)
        tasks = [
            asyncio.create_task(work)
            for work in (self._write(process.stdin), self._read(process.stdout), self._watch())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            error = next((task.exception() for task in tasks if task.done()), None)
            if process.stdout.at_eof():
                # It ends by itself, most likely; a kill now could hide how (asyncio then says 255).
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _OWN_END_S)
        finally:
            self.process_id, self.state = None, None
            for task in tasks:
                task.cancel()
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.gather(*tasks, return_exceptions=True)
            process.stdin.close()
            status = await process.wait()
        raise OSError(f"the bus child ended with {status}: {error}")

    async def _write(self, pipe: asyncio.StreamWriter) -> None:
        while True:
            while self._waiting:
                message = self._waiting.popleft()
                self._gossip_waiting -= isinstance(message, Gossip)
                pipe.write(encode_frame(message))
                await pipe.drain()
            self._handed.clear()
            await self._handed.wait()

    async def _read(self, pipe: asyncio.StreamReader) -> None:
        reader = FrameReader()
        while piece := await pipe.read(_READ_BYTES):
            for body in reader.feed(piece):
                message = decode_from_child(body)
                if isinstance(message, Pong):
                    self._heard_of(message)
                else:
                    self._came(message)
        raise MalformedMessageError("it closed its pipe")

    def _heard_of(self, pong: Pong) -> None:
        if self.state is None:
            log.info("bus_child_up", implementation=pong.implementation, trouble=pong.trouble)
        elif pong.trouble != self.state.trouble:
            log.warning("bus_trouble", why=pong.trouble)
        if pong.trouble:
            self.last_error = pong.trouble
        self.state = pong
        self._ponged.set()

    async def _watch(self) -> None:
        """End when the child does not answer."""
        timeout_s = self._settings.start_timeout_s
        while True:
            self._ponged.clear()
            self.send(Ping())
            try:
                await asyncio.wait_for(self._ponged.wait(), timeout_s)
            except TimeoutError as error:
                raise TimeoutError("it does not answer") from error
            timeout_s = self._settings.ping_timeout_s
            await asyncio.sleep(self._settings.ping_interval_s)
