"""Doors before the database: so many calls at work at a time, so many wait; the others come again.

Whoever asks a pool for a connection waits in one queue without an end, behind all who came before.
A door keeps that queue short for those behind it: calls of one kind have so many of the connections
at most, and wait before it, not in the queue.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from central.errors import OverloadedError

PURCHASES_WAITING_MAX: Final = 4_000
PURCHASES_WAIT_S_MAX: Final = 0.5
"""A till waits 1 s for an authorisation: it has to hear no before, and what is set aside, too."""
LOOK_UP_WAIT_S_MAX: Final = 0.1
"""It waits 0.15 s for what it can do without, as a receipt that is to be returned."""
OTHERS_WAITING_MAX: Final = 500
STRANGERS_WAITING_MAX: Final = 100
WAIT_S_MAX: Final = 2.0
AGAIN_S_MIN: Final = 1.0
AGAIN_S_MAX: Final = 120.0
AGAIN_PER_S: Final = 200.0
"""So many a second are told to come again: saying no costs a front as much as a short answer."""
_PACE_SHARE: Final = 0.1
"""Of an average's last value: some tens of calls are remembered."""


class CrowdedError(OverloadedError):
    """More waits here than can be done soon: come again in a moment."""

    def __init__(self, retry_after_s: float) -> None:
        """Say when.

        Args:
            retry_after_s: from now on.
        """
        super().__init__()
        self.retry_after_s = retry_after_s


class ComingAgain:
    """When those who find no room are to come again: one after the other.

    A fleet that is told one moment would come in that moment, find no room again, and keep the
    process busy with saying so.
    """

    def __init__(self) -> None:
        self._next_s = 0.0

    def after_s(self) -> float:
        """Return how long the next one is to wait: `AGAIN_S_MIN` to `AGAIN_S_MAX`."""
        now_s = asyncio.get_running_loop().time()
        due_s = max(self._next_s, now_s)
        latest_s = now_s + AGAIN_S_MAX - AGAIN_S_MIN
        self._next_s = min(due_s + 1 / AGAIN_PER_S, latest_s)
        return AGAIN_S_MIN + due_s - now_s


class _Pace:
    """How often places become free while others wait for one.

    Attributes:
        free_s: after so long the next one does, on average; 0 before it is known.
    """

    def __init__(self) -> None:
        self.free_s = 0.0
        self._last_s: float | None = None

    def freed(self, *, others_wait: bool) -> None:
        """Note that a place became free."""
        now_s = asyncio.get_running_loop().time()
        if not others_wait:
            self.free_s, self._last_s = 0.0, None
            return
        if self._last_s is not None:
            took_s = now_s - self._last_s
            self.free_s += (took_s - self.free_s) * (_PACE_SHARE if self.free_s else 1)
        self._last_s = now_s


class Door:
    """A bounded number of places and of those who wait for one.

    `async with door:` takes a place for the length of the block, or raises `CrowdedError`. Where it
    counts on its pace nobody waits who would have no place in time, as places became free lately:
    to wait in vain costs as much as to be served, and the busier a process the longer each takes.

    Attributes:
        waiting: how many wait.
        refused: how many were told to come again.
    """

    def __init__(
        self,
        *,
        running_max: int,
        waiting_max: int,
        wait_s_max: float,
        counts_on_pace: bool = False,
    ) -> None:
        """Make a door.

        Args:
            running_max: so many have a place at a time.
            waiting_max: so many wait for one.
            wait_s_max: how long.
            counts_on_pace: whether fewer wait where places become free too seldom for so many.
        """
        self.waiting = 0
        self.refused = 0
        self._pace = _Pace() if counts_on_pace else None
        self._waiting_max = waiting_max
        self._wait_s_max = wait_s_max
        self._places = asyncio.Semaphore(running_max)
        self._again = ComingAgain()

    @property
    def is_free(self) -> bool:
        """Whether whoever comes now has a place at once."""
        return not self._places.locked()

    @property
    def has_room(self) -> bool:
        """Whether another one may wait."""
        if self._pace is not None and self.waiting * self._pace.free_s > self._wait_s_max:
            return False
        return self.waiting < self._waiting_max

    def turn_away(self, *, behind_s: float | None = None) -> None:
        """Turn whoever comes now away where there is neither a place nor room to wait.

        Before anything else is done for a call this costs least.

        Args:
            behind_s: also where there is: something else goes first, for so long. Whoever comes
                again after that stands in nobody's way before.

        Raises:
            CrowdedError: so it is; says when to come again.
        """
        if behind_s is not None:
            self.refused += 1
            raise CrowdedError(min(AGAIN_S_MIN + behind_s, AGAIN_S_MAX))
        if not (self.is_free or self.has_room):
            self.refused += 1
            raise CrowdedError(self._again.after_s())

    async def enter(
        self,
        until: Callable[[], Awaitable[None]] | None = None,
        *,
        wait_s_max: float | None = None,
    ) -> bool:
        """Take a place, which is to be given back with `leave`; False where there is none soon.

        Args:
            until: what is to be waited for before a place is; it counts as waiting.
            wait_s_max: how long, where that is not as long as others wait here.
        """
        if until is None and self.is_free:
            return await self._places.acquire()  # at once
        if not self.has_room:
            self.refused += 1
            return False
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s_max if wait_s_max is None else wait_s_max):
                if until is not None:
                    await until()
                await self._places.acquire()
        except TimeoutError:
            self.refused += 1
            return False
        finally:
            self.waiting -= 1
        return True

    def leave(self) -> None:
        """Give the place to whoever has waited longest."""
        if self._pace is not None:
            self._pace.freed(others_wait=self.waiting > 0)
        self._places.release()

    @asynccontextmanager
    async def within(self, wait_s_max: float) -> AsyncIterator[None]:
        """Take a place for the length of the block, waiting so long at most.

        Raises:
            CrowdedError: there is none by then; says when to come again.
        """
        if not await self.enter(wait_s_max=wait_s_max):
            raise CrowdedError(self._again.after_s())
        try:
            yield
        finally:
            self.leave()

    async def __aenter__(self) -> None:
        """Take a place.

        Raises:
            CrowdedError: there is none soon; says when to come again.
        """
        if not await self.enter():
            raise CrowdedError(self._again.after_s())

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self.leave()


# Of a tills' pool of 8 one connection listens and one is the strangers', 2 are the others' and 3
# those of single purchases: one at least is left for purchases that are answered together.


def purchases_door(connections_max: int) -> Door:
    """Return the door of what a purchase or a return asks for itself alone, as for points."""
    return Door(
        running_max=max(1, connections_max * 3 // 8),
        waiting_max=PURCHASES_WAITING_MAX,
        wait_s_max=PURCHASES_WAIT_S_MAX,
    )


def others_door(connections_max: int) -> Door:
    """Return the door of tills' calls that no purchase waits for."""
    return Door(
        running_max=max(1, connections_max // 4),
        waiting_max=OTHERS_WAITING_MAX,
        wait_s_max=WAIT_S_MAX,
        counts_on_pace=True,
    )


def strangers_door() -> Door:
    """Return the door of who has proven nothing, whatever there is of connections."""
    return Door(running_max=1, waiting_max=STRANGERS_WAITING_MAX, wait_s_max=WAIT_S_MAX)
