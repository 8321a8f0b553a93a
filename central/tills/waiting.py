"""Where pulls wait for news: a till asks once and is answered when there is something to tell.

A pull that waits is a number and an event in this process: no connection to the database, one for
each till. Waking it costs nothing if it comes too early, and if it is lost the pull ends by itself:
state travels by the pull, never by the wake (design: sync 4.5).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from central.database.doors import AGAIN_PER_S

ANYTHING: Final = ""
"""Topic of a wake that does not say what it is about."""
RULES: Final = "rules"
REPLACED: Final = "replaced"
"""Another pull of the till waits instead; nobody may be there to hear this one's answer."""
CLOSED: Final = "closed"
"""Nobody hears news any more; the database may have just come back, so no statement is spent."""
WOKEN_A_TURN: Final = 8
"""Of many that are woken, so many in each turn of the event loop."""
PACE_KNOWN_S: Final = 0.5
"""One slow moment in the first turns would stand for all that follow."""
HELD_MAX: Final = 100_000
"""Pulls one process keeps waiting; whoever comes beyond that is answered at once."""


@dataclass(slots=True, eq=False)
class Seat:
    """One pull that may wait.

    Attributes:
        topics: what there may be news of; empty while nobody has woken it.
        waits: the centre has looked and found nothing urgent.
        looked: it had looked for the pull before, which rules alone have ended, and nobody has
            woken the till since: there is nothing to look for anew.
    """

    till_id: int
    store_id: str
    topics: set[str] = field(default_factory=set)
    waits: bool = False
    looked: bool = False
    kept: object = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self, topic: str) -> None:
        """There may be news, or another request of the till has made this one pointless."""
        self.topics.add(topic)
        self._woken.set()

    def forget(self, topic: str) -> None:
        """There was no news of this for the till: go on waiting."""
        self.topics.discard(topic)
        if not self.topics:
            self._woken.clear()

    def keep(self, key: object) -> None:
        """Stay where wakes are heard though the pull is answered, for the till's next one.

        Args:
            key: what the two have in common: whose next one it is, and from where it goes on.
        """
        self.kept, self.waits = key, False

    async def wait(self, seconds: float) -> str:
        """Return when woken, or when the time is over.

        Returns:
            Why the pull is over, `CLOSED` or `REPLACED`; else the only topic there is news of;
            empty where everything has to be looked at.
        """
        self.waits = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        for over in (CLOSED, REPLACED):
            if over in self.topics:
                return over
        return next(iter(self.topics)) if len(self.topics) == 1 else ANYTHING


class WaitingRoom:
    """The pulls that wait in this process; it is closed until somebody listens for news.

    Attributes:
        hold_s_max: the longest a pull waits, as tills are told; 0 = none ever does.
    """

    def __init__(self, *, hold_s_max: int = 0) -> None:
        self.hold_s_max = hold_s_max
        self._is_open = False
        self._seats: dict[int, Seat] = {}
        self._stores: dict[str, set[int]] = {}
        self._in_turn: OrderedDict[Seat, str] = OrderedDict()
        self._is_waking = False
        self._woken = 0
        self._behind = 0
        self._since_s = 0.0

    def __len__(self) -> int:
        """Return how many pulls wait."""
        return len(self._seats)

    def open(self) -> None:
        """Let pulls wait from now on: whoever has news will wake them."""
        self._is_open = True

    def close(self) -> None:
        """Answer all that wait, and let no more wait: nobody would wake them."""
        self._is_open = False
        self._in_turn.clear()
        for seat in self._seats.values():
            seat.wake(CLOSED)

    def waits(self, till_id: int) -> bool:
        """Say whether a pull of a till waits."""
        seat = self._seats.get(till_id)
        return seat is not None and seat.waits

    def hold_s(self, wait_s: int) -> int:
        """Return how long a pull may wait that offers to wait so long."""
        is_full = len(self._seats) >= HELD_MAX
        return min(wait_s, self.hold_s_max) if self._is_open and not is_full else 0

    @contextmanager
    def seat(self, till_id: int, store_id: str, key: object = None) -> Iterator[Seat]:
        """Be woken from now on; a pull of the same till that waits already is answered now.

        Args:
            key: as given to `Seat.keep`.
        """
        before, looked = self._seats.get(till_id), False
        if before is not None:
            looked = before.kept is not None and before.kept == key
            looked = looked and not before.topics - {RULES}
            before.wake(REPLACED)
            self._in_turn.pop(before, None)
        seat = self._seats[till_id] = Seat(till_id, store_id, looked=looked)
        self._stores.setdefault(store_id, set()).add(till_id)
        try:
            yield seat
        finally:
            if seat.kept is None:
                self._leave(seat)

    def _leave(self, seat: Seat) -> None:
        self._in_turn.pop(seat, None)
        if self._seats.get(seat.till_id) is not seat:
            return
        del self._seats[seat.till_id]
        tills = self._stores[seat.store_id]
        tills.discard(seat.till_id)
        if not tills:
            del self._stores[seat.store_id]

    def wake(self, till_id: int, topic: str = ANYTHING) -> None:
        """There may be news for a till."""
        if seat := self._seats.get(till_id):
            seat.wake(topic)

    def wake_store(self, store_id: str) -> None:
        """There may be news for the tills of a store."""
        for till_id in self._stores.get(store_id, ()):
            self.wake(till_id)

    def wake_all(self, topic: str = ANYTHING) -> None:
        """There may be news for everybody: some are woken in each turn of the event loop.

        Whoever is woken in one moment is answered before anybody else is, a purchase too. So those
        for whom there is nothing are passed quickly, and those who are told something leave every
        turn to whoever else asks. Who waits for their turn already keep it.
        """
        for seat in self._seats.values():
            self._in_turn[seat] = topic if self._in_turn.get(seat, topic) == topic else ANYTHING
        if not self._is_waking:
            self._woken, self._behind = 0, 0
            self._since_s = asyncio.get_running_loop().time()
            self._wake_some()

    def come_behind(self) -> float | None:
        """Let somebody else come when those are woken who are still to be.

        Returns:
            In how many seconds he is to come: when all will be woken, at the pace so far, and after
            whoever was told before; None where nobody has to be woken.
        """
        if not self._in_turn:
            return None
        took_s = asyncio.get_running_loop().time() - self._since_s
        left_s = len(self._in_turn) * took_s / self._woken if took_s >= PACE_KNOWN_S else 0.0
        self._behind += 1
        return left_s + (self._behind - 1) / AGAIN_PER_S

    def _wake_some(self) -> None:
        for _ in range(min(WOKEN_A_TURN, len(self._in_turn))):
            seat, topic = self._in_turn.popitem(last=False)
            seat.wake(topic)
            self._woken += 1
        self._is_waking = bool(self._in_turn)
        if self._is_waking:
            asyncio.get_running_loop().call_soon(self._wake_some)
