"""Traffic classes: tills before apps and the web, those before the back office.

Each class has its own bounds; a storm in a lower one is told to come again, with `Retry-After`, and
whoever does not heed that is told late. While tills wait for this process at all the lower classes
stand back. Tills are not held up here: what they wait for is bounded where it is answered
(`database.gathering`).
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from central.api.problems import PROBLEM_JSON, ProblemDetails

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Kind = Literal["till", "app", "office"]

_TILL: Final = ("/v1/till/", "/v1/enrol", "/v1/bundles/", "/v1/health", "/v1/ready", "/metrics")
_APP: Final = ("/v1/app/", "/v1/partner/", "/v1/oauth/")
RETRY_AFTER_S: Final = 1
_HELD_S: Final = 0.5
_HELD_MAX: Final = 2_000
"""So many refusals are held back at a time; whoever comes again at once comes seldom."""
_BURST_S: Final = 0.1
_BEAT_S: Final = 0.02
_COME_AGAIN: Final = "more waits here than can be done soon: come again"
_REFUSED: Final = msgspec.json.encode(
    ProblemDetails(
        title="Service Unavailable",
        status=503,
        detail=_COME_AGAIN,
        error="overloaded",
        message=_COME_AGAIN,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of a class is let in.

    Attributes:
        per_s_max: requests let in a second.
        running_max: requests at work at a time.
        waiting_max: requests that wait for their turn.
        wait_s_max: how long.
        late_ms_max: the class waits while this process is so late with what it has to do.
    """

    per_s_max: float
    running_max: int
    waiting_max: int
    wait_s_max: float
    late_ms_max: float


APP: Final = Bounds(
    per_s_max=200.0, running_max=4, waiting_max=64, wait_s_max=2.0, late_ms_max=25.0
)
OFFICE: Final = Bounds(
    per_s_max=50.0, running_max=2, waiting_max=16, wait_s_max=10.0, late_ms_max=100.0
)


def kind_of(path: str) -> Kind:
    """Return the class of a path; what nobody has named is the back office's."""
    if path.startswith(_TILL):
        return "till"
    return "app" if path.startswith(_APP) else "office"


class Lateness:
    """How late the event loop is: what everybody in this process waits for, milliseconds."""

    def __init__(self) -> None:
        self.late_ms = 0.0
        self._due_s = 0.0
        self._is_beating = False

    def begin(self) -> None:
        """Begin to measure, in the running loop."""
        if not self._is_beating:
            self._is_beating = True
            loop = asyncio.get_running_loop()
            self._due_s = loop.time() + _BEAT_S
            loop.call_at(self._due_s, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        late_ms = (now_s - self._due_s) * 1000
        # Up at once, down by and by: a storm that stands back must not come back at once.
        self.late_ms = max(late_ms, self.late_ms * 0.8)
        self._due_s = now_s + _BEAT_S
        loop.call_at(self._due_s, self._beat, loop)


@dataclass(slots=True)
class _Gate:
    """The door of one class."""

    bounds: Bounds
    running: asyncio.Semaphore = field(init=False)
    waiting: int = 0
    refused: int = 0
    next_s: float = 0.0

    def __post_init__(self) -> None:
        self.running = asyncio.Semaphore(self.bounds.running_max)

    def _due_s(self) -> float:
        """Take the next turn of the class's rate; returns how long it is to wait for."""
        now_s = asyncio.get_running_loop().time()
        self.next_s = max(self.next_s, now_s - _BURST_S) + 1 / self.bounds.per_s_max
        return self.next_s - now_s

    async def enter(self, lateness: Lateness) -> bool:
        """Take a place; False where there is none soon."""
        if self.waiting >= self.bounds.waiting_max:
            self.refused += 1
            return False
        self.waiting += 1
        try:
            async with asyncio.timeout(self.bounds.wait_s_max):
                if (due_s := self._due_s()) > 0:
                    await asyncio.sleep(due_s)
                while lateness.late_ms > self.bounds.late_ms_max:  # noqa: ASYNC110 - it beats
                    await asyncio.sleep(_BEAT_S)
                await self.running.acquire()
        except TimeoutError:
            self.refused += 1
            return False
        finally:
            self.waiting -= 1
        return True


class TrafficControl:
    """An ASGI application before another one: who may come in."""

    def __init__(self, app: AsgiApp, *, app_bounds: Bounds = APP, office: Bounds = OFFICE) -> None:
        self._app = app
        self.lateness = Lateness()
        self._gates = {"app": _Gate(app_bounds), "office": _Gate(office)}
        self._held = 0

    def refused(self) -> dict[str, int]:
        """Return how many requests of each class were told to come again."""
        return {kind: gate.refused for kind, gate in self._gates.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or tell it to come again."""
        gate = self._gates.get(kind_of(scope["path"])) if scope["type"] == "http" else None
        if scope["type"] == "http":
            self.lateness.begin()
        if gate is None:
            await self._app(scope, receive, send)
            return
        if not await gate.enter(self.lateness):
            await self._refuse(send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            gate.running.release()

    async def _refuse(self, send: Send) -> None:
        """Tell to come again, late: a client that knows no pause gets one."""
        if self._held < _HELD_MAX:
            self._held += 1
            try:
                await asyncio.sleep(_HELD_S)
            finally:
                self._held -= 1
        await _say_come_again(send)


async def _say_come_again(send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 503,
            "headers": [
                (b"content-type", PROBLEM_JSON.encode()),
                (b"content-length", str(len(_REFUSED)).encode()),
                (b"retry-after", str(RETRY_AFTER_S).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": _REFUSED})
