"""Traffic classes: tills before apps and the web, those before the back office.

Each class has its own bounds; a storm in a lower one is told to come again, with `Retry-After`, and
whoever does not heed that is told late. The busier this process is, the fewer of the lower classes
it lets in, and while tills wait for it at all they stand back. Tills, and what is open to anybody,
are not held up here: what they wait for is bounded where it is answered (`database.gathering`,
`database.doors`). A place is for a request that has come: its body is waited for before (`bodies`).

Signing in stands apart from what is done then, so that a flood of wrong secrets moves no customer's
app; an address it comes from gets a narrower door, shared by all such.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, Literal

import msgspec

from central.api.bodies import Senders
from central.api.problems import PROBLEM_JSON, ProblemDetails, problem_response
from central.api.till_rates import TillRates
from central.database.doors import CrowdedError, Door
from central.errors import SlowSenderError, TooManyRequestsError
from central.system import System

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Kind = Literal["till", "open", "app", "sign_in", "office"]

_TILL: Final = "/v1/till/"
_OPEN: Final = ("/v1/enrol", "/v1/bundles/", "/v1/health", "/v1/ready")
"""Anybody may ask for these: what is refused there says nothing of tills."""
_APP: Final = ("/v1/app/", "/v1/partner/")
_SIGN_IN: Final = "/v1/oauth/"
PROVEN: Final = "tillside.proven"
"""Set in the scope of a request whose caller has shown a secret that counts."""
RETRY_AFTER_S: Final = 1
_TURNED_AWAY: Final = 503
_IPV4: Final = 4
_IPV6_HOST_BITS: Final = 64
_HELD_S: Final = 1.0
_SPREAD: Final = (math.sqrt(5) - 1) / 2
"""Refusals one after the other are held so much of `_HELD_S` longer each, modulo 1: those that were
told at one moment do not come again at one moment."""
_HELD_MAX: Final = 2_000
"""So many refusals are held back at a time; whoever comes again at once comes seldom."""
_BURST_S: Final = 0.1
_BEAT_S: Final = 0.02
_BUSY_SHARE: Final = 0.08
"""Of a beat in the average of how busy the process is: it tells of the last quarter of a second."""
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
        per_s_max: requests let in a second while the process does nothing else.
        running_max: requests at work at a time.
        waiting_max: requests that wait for their turn.
        wait_s_max: how long.
        late_ms_max: the class waits while this process is so late with what it has to do.
        busy_max, per_s_min: requests let in a second are fewer the busier the process is, down to
            `per_s_min` where `busy_max` of its time is used, 0 to 1.
        sending_max, body_s_max, rest_s_max: how many send at a time, how long (`bodies.Senders`).
    """

    per_s_max: float
    running_max: int
    waiting_max: int
    wait_s_max: float
    late_ms_max: float
    busy_max: float = math.inf
    per_s_min: float = 0.0
    sending_max: int = 256
    body_s_max: float = 5.0
    rest_s_max: float = 0.0


APP: Final = Bounds(
    per_s_max=200.0, running_max=2, waiting_max=64, wait_s_max=2.0, late_ms_max=25.0,
    busy_max=0.5, per_s_min=20.0,
)  # fmt: skip
SIGN_IN: Final = APP
STRANGERS: Final = Bounds(
    per_s_max=5.0, running_max=1, waiting_max=8, wait_s_max=2.0, late_ms_max=25.0
)
"""Those addresses share that bring wrong secrets again and again."""
WRONG_PER_S: Final = 4.0
WRONG_FROM_MAX: Final = 10_000
OFFICE: Final = Bounds(
    per_s_max=50.0, running_max=2, waiting_max=16, wait_s_max=10.0, late_ms_max=100.0,
    busy_max=0.8, per_s_min=5.0, rest_s_max=60.0,
)  # fmt: skip


def retry_after_s(error: Exception) -> int:
    """Return what a refusal's `Retry-After` says, seconds."""
    if isinstance(error, TooManyRequestsError | CrowdedError):
        return math.ceil(error.retry_after_s)
    return RETRY_AFTER_S


def kind_of(path: str) -> Kind:
    """Return the class of a path; what nobody has named is the back office's."""
    if path.startswith(_TILL):
        return "till"
    if path.startswith(_OPEN):
        return "open"
    if path.startswith(_SIGN_IN):
        return "sign_in"
    return "app" if path.startswith(_APP) else "office"


def address_of(scope: Scope) -> str:
    """Return whom an address is taken for: of IPv6 the network one customer of a provider has."""
    client = scope.get("client")
    text = str(client[0]) if client else ""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    return text if address.version == _IPV4 else str(int(address) >> _IPV6_HOST_BITS)


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)


class Burden:
    """What everybody in this process waits for.

    Attributes:
        late_ms: how late the event loop is, milliseconds.
        busy: the share of its time that the event loop's thread works, 0 to 1.
    """

    def __init__(self, system: System) -> None:
        self.late_ms = 0.0
        self.busy = 0.0
        self._system = system
        self._worked_us = 0
        self._beat_s = 0.0
        self._due_s = 0.0
        self._is_beating = False

    def begin(self) -> None:
        """Begin to measure, in the running loop."""
        if not self._is_beating:
            self._is_beating = True
            loop = asyncio.get_running_loop()
            self._worked_us, self._beat_s = self._system.worked_us(), loop.time()
            self._due_s = self._beat_s + _BEAT_S
            loop.call_at(self._due_s, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s, worked_us = loop.time(), self._system.worked_us()
        late_ms = (now_s - self._due_s) * 1000
        # Up at once, down by and by: a storm that stands back must not come back at once.
        self.late_ms = max(late_ms, self.late_ms * 0.8)
        busy = (worked_us - self._worked_us) / 1_000_000 / (now_s - self._beat_s)
        self.busy += (min(busy, 1.0) - self.busy) * _BUSY_SHARE
        self._worked_us, self._beat_s = worked_us, now_s
        self._due_s = now_s + _BEAT_S
        loop.call_at(self._due_s, self._beat, loop)


@dataclass(slots=True)
class _Gate:
    """The door of one class."""

    bounds: Bounds
    door: Door = field(init=False)
    senders: Senders = field(init=False)
    next_s: float = 0.0

    def __post_init__(self) -> None:
        bounds = self.bounds
        self.door = Door(
            running_max=bounds.running_max,
            waiting_max=bounds.waiting_max,
            wait_s_max=bounds.wait_s_max,
        )
        self.senders = Senders(
            sending_max=bounds.sending_max,
            body_s_max=bounds.body_s_max,
            rest_s_max=bounds.rest_s_max,
        )

    def _take_turn(self, busy: float) -> float | None:
        """Take the next turn of the class's rate.

        Returns:
            How long it is to wait for; None where that is too long, and no turn is taken.
        """
        bounds, now_s = self.bounds, asyncio.get_running_loop().time()
        per_s = max(bounds.per_s_min, bounds.per_s_max * (1 - busy / bounds.busy_max))
        next_s = max(self.next_s, now_s - _BURST_S) + 1 / per_s
        if next_s - now_s > bounds.wait_s_max:
            return None
        self.next_s = next_s
        return next_s - now_s

    async def enter(self, burden: Burden) -> bool:
        """Take a place; False where there is none soon."""
        due_s = self._take_turn(burden.busy) if self.door.has_room else None
        if due_s is None:
            self.door.refused += 1
            return False
        return await self.door.enter(partial(self._may_come, burden, due_s))

    async def _may_come(self, burden: Burden, due_s: float) -> None:
        """Wait for the class's turn, and while the process is too late with its own work."""
        if due_s > 0:
            await asyncio.sleep(due_s)
        while burden.late_ms > self.bounds.late_ms_max:  # noqa: ASYNC110 - it beats
            await asyncio.sleep(_BEAT_S)


class TrafficControl:
    """An ASGI application before another one: who may come in."""

    def __init__(
        self,
        app: AsgiApp,
        *,
        app_bounds: Bounds = APP,
        sign_in: Bounds = SIGN_IN,
        strangers: Bounds = STRANGERS,
        office: Bounds = OFFICE,
        system: System | None = None,
    ) -> None:
        self._app = app
        self.burden = Burden(system or System())
        self._gates = {
            "app": _Gate(app_bounds), "sign_in": _Gate(sign_in), "office": _Gate(office),
        }  # fmt: skip
        self._strangers = _Gate(strangers)
        self._wrong = TillRates(WRONG_PER_S, tills_max=WRONG_FROM_MAX)
        self._held = 0
        self._turned_away = 0

    def refused(self) -> dict[str, int]:
        """Return how many requests of each class were told to come again."""
        refused = {kind: gate.door.refused for kind, gate in self._gates.items()}
        refused["sign_in"] += self._strangers.door.refused
        return refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or tell it to come again."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.burden.begin()
        kind = kind_of(scope["path"])
        gate = self._gates.get(kind)
        if gate is None:
            await self._app(scope, receive, send)
            return
        if kind == "sign_in":
            came_from = address_of(scope)
            send = self._counting_wrong(scope, came_from, send)
            if not self._wrong.has(came_from, now_ms=_now_ms()):
                gate = self._strangers
        try:
            body = await gate.senders.body_of(scope, receive)
        except SlowSenderError as error:
            await problem_response(error)(scope, receive, send)
            return
        if body is None:
            return
        if not await gate.enter(self.burden):
            del body  # the refusal is held back, what was sent is not
            await self._refuse(send)
            return
        try:
            await self._app(scope, body, send)
        finally:
            gate.door.leave()

    def _counting_wrong(self, scope: Scope, came_from: str, send: Send) -> Send:
        """Return a sender that notes an answer to somebody who has proven nothing."""

        async def sending(message: Scope) -> None:
            is_wrong = message["type"] == "http.response.start" and not scope.get(PROVEN)
            # What the database had no time for says nothing of its address.
            if is_wrong and message["status"] != _TURNED_AWAY:
                with suppress(TooManyRequestsError):
                    self._wrong.take(came_from, now_ms=_now_ms())
            await send(message)

        return sending

    async def _refuse(self, send: Send) -> None:
        """Tell to come again, late: a client that knows no pause gets one."""
        self._turned_away += 1
        if self._held < _HELD_MAX:
            self._held += 1
            try:
                await asyncio.sleep(_HELD_S * (1 + self._turned_away * _SPREAD % 1))
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
