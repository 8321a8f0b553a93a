"""Virtual time: processes that sleep, wait for each other and touch the real centre, step by step.

A process is a coroutine. It awaits `sleep` and `Waiter.wait` in virtual time, and `really` for work
that takes no virtual time at all: the centre's, which runs on the real event loop while the world
stands still.
"""

import heapq
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from types import coroutine
from typing import Any, TypeVar

R = TypeVar("R")

DAY_MS = 86_400_000

Process = Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True)
class _Sleep:
    ms: int


@dataclass(frozen=True, slots=True)
class _Really:
    work: Awaitable[Any]


@coroutine
def sleep(ms: int) -> Generator[Any, Any, None]:
    """Let virtual time pass."""
    yield _Sleep(ms)


@coroutine
def really(work: Awaitable[R]) -> Generator[Any, Any, R]:
    """Run work of the real event loop; no virtual time passes."""
    return (yield _Really(work))  # type: ignore[no-any-return]


class Running:
    """A process that was started; `stop` ends it where it waits."""

    def __init__(self, process: Process, name: str) -> None:
        self.process = process
        self.name = name
        self.is_over = False

    def stop(self) -> None:
        """End the process; it never goes on."""
        if not self.is_over:
            self.is_over = True
            self.process.close()


class Waiter:
    """A value somebody will give, or nobody in time."""

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._waiting: Running | None = None
        self.is_resolved = False
        self.value: Any = None

    def resolve(self, value: Any) -> None:  # noqa: ANN401 - whatever was promised
        """Give the value; what comes second comes too late."""
        if self.is_resolved:
            return
        self.is_resolved, self.value = True, value
        if self._waiting is not None:
            self._kernel.go_on(self._waiting)

    def park(self, running: Running) -> None:
        """Have a process wait here."""
        self._waiting = running
        if self.is_resolved:
            self._kernel.go_on(running)

    async def wait(self, ms_max: int | None = None) -> Any:  # noqa: ANN401 - whatever was promised
        """Return the value, None when it did not come in time."""
        if ms_max is not None:
            self._kernel.at(self._kernel.now_ms + ms_max, lambda: self.resolve(None))
        await _parked(self)
        return self.value


@coroutine
def _parked(waiter: Waiter) -> Generator[Any, Any, None]:
    yield waiter


class Kernel:
    """The clock and whatever is to happen, in order.

    Attributes:
        now_ms: virtual time since the world's beginning.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self._agenda: list[tuple[int, int, Callable[[], None] | Running]] = []
        self._count = 0

    def at(self, at_ms: int, what: Callable[[], None] | Running) -> None:
        """Put something on the agenda."""
        self._count += 1
        heapq.heappush(self._agenda, (max(at_ms, self.now_ms), self._count, what))

    def go_on(self, running: Running) -> None:
        """Have a process go on now."""
        self.at(self.now_ms, running)

    def start(self, process: Process, name: str) -> Running:
        """Start a process."""
        running = Running(process, name)
        self.go_on(running)
        return running

    async def run(self, until_ms: int) -> None:
        """Let everything happen up to a moment."""
        while self._agenda and self._agenda[0][0] <= until_ms:
            self.now_ms, _, what = heapq.heappop(self._agenda)
            if isinstance(what, Running):
                await self._advance(what)
            else:
                what()
        self.now_ms = max(self.now_ms, until_ms)

    def forget(self) -> None:
        """End every process that is on the agenda."""
        for _, _, what in self._agenda:
            if isinstance(what, Running):
                what.stop()
        self._agenda.clear()

    async def _advance(self, running: Running) -> None:
        """Step a process until it waits in virtual time."""
        value: Any = None
        error: Exception | None = None
        while not running.is_over:
            try:
                wish = running.process.throw(error) if error else running.process.send(value)
            except StopIteration:
                running.is_over = True
                return
            value, error = None, None
            match wish:
                case _Sleep(ms):
                    self.at(self.now_ms + ms, running)
                    return
                case Waiter():
                    wish.park(running)
                    return
                case _Really(work):
                    try:
                        value = await work
                    except Exception as raised:  # noqa: BLE001 - the process decides
                        error = raised
