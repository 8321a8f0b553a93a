"""Publishes what the outbox holds: at least once, and what happened to one account in its order.

Events go in waves, at most one of each key in a wave, and a wave waits for the broker's answers:
so no event overtakes an earlier one of its key, whatever fails. A broker that is away, or full,
holds up the relay and nobody else: events wait in the outbox. One that refuses a single event holds
up its key for a while, then the event goes to the dead ones and its key goes on. What a broker has
confirmed is never published again because of another event beside it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog

from central.database.pool import Connection, Pool
from central.outreach import outbox
from central.outreach.events import StoredEvent
from central.outreach.floor import Floor
from central.outreach.port import Answer, EventSink, SinkUnavailableError
from central.system import System

log = structlog.get_logger()

LOCK: Final = 0x54494C4C4F555442  # "TILLOUTB"
AT_ONCE: Final = 500
ATTEMPTS_MAX: Final = 5
_IDLE_S: Final = 0.5
_STANDBY_S: Final = 5.0
_AWAY_S_MAX: Final = 60.0
_FIRST_WAIT_MS: Final = 1_000
SINK_S: Final = 60.0
"""A client that says nothing for so long is given up; its own waits are shorter."""
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@dataclass(slots=True)
class Relay:
    """Publishes over one connection, which holds the lock that says who publishes.

    Attributes:
        published, buried: how many so far.
        sink_s: so long a broker's client may take.
    """

    pool: Pool
    sink: EventSink
    system: System
    published: int = 0
    buried: int = 0
    sink_s: float = SINK_S
    _floor: Floor = field(default_factory=Floor)
    _last: int = 0
    _away_s: float = field(default=1.0)

    async def run(self) -> None:
        """Publish until cancelled; with several processes the others stand by.

        From the first time on events are written, until somebody ends that.
        """
        is_wanted = False
        while True:
            try:
                if not is_wanted:
                    await outbox.want(self.pool, wanted=True)
                    is_wanted = True
                async with self.pool.acquire() as connection:
                    await self._lead(connection)
            except _LOST as error:
                log.warning("events_wait", why=repr(error))
            await asyncio.sleep(_STANDBY_S)

    async def _lead(self, connection: Connection) -> None:
        """Publish while nobody else does; the lock is the session's and ends with it."""
        try:
            if await outbox.lead(connection, LOCK):
                # Another one led meanwhile: where it began says nothing here.
                self._floor = Floor()
                await self._run_leading(connection)
        except BaseException:
            # Nothing is asked of a database that may be silent: that would take long, and its error
            # would stand in for the cancellation that ends this.
            with suppress(asyncpg.InterfaceError):  # where it is lost already
                connection.terminate()
            raise

    async def _run_leading(self, connection: Connection) -> None:
        log.info("events_led")
        is_open = False
        while True:
            try:
                if not is_open:
                    # Whether the broker is there shows at once, not with the first event.
                    await self._publish([])
                    is_open = True
                if not await self.step(connection):
                    await asyncio.sleep(_IDLE_S)
                self._away_s = 1.0
            except SinkUnavailableError as error:
                log.warning("events_held_up", why=str(error), again_in_s=self._away_s)
                await asyncio.sleep(self._away_s)
                self._away_s = min(2 * self._away_s, _AWAY_S_MAX)

    async def step(self, connection: Connection) -> int:
        """Publish the first events there are; returns how many were looked at.

        Raises:
            SinkUnavailableError: the broker is away; what it has not confirmed stays.
        """
        events = await self._next(connection)
        held: set[str] = set()
        for wave in _waves(events):
            sent = [event for event in wave if event.key not in held]
            if not sent:
                continue
            answers = await self._publish(sent)
            answered = list(zip(sent, answers, strict=True))
            taken = [event for event, answer in answered if not (answer.refused or answer.waits)]
            await outbox.published(connection, taken)
            self.published += len(taken)
            refused = {event: answer.refused for event, answer in answered if answer.refused}
            held |= {event.key for event in refused}
            await self._set_aside(connection, refused)
            if waits := [answer.waits for answer in answers if answer.waits]:
                raise SinkUnavailableError(waits[0])
        return len(events)

    async def _next(self, connection: Connection) -> list[StoredEvent]:
        """Return the first events, from where the first one was a while ago."""
        at_ms = self.system.monotonic_ms()
        from_id = self._floor.begin(at_ms)
        events = await outbox.next_events(
            connection, now_ms=self.system.now_ms(), most=AT_ONCE, from_id=from_id
        )
        self._last = max(self._last, *(event.event_id for event in events), 0)
        if self._floor.wants_mark(at_ms):
            first = await outbox.first_number(connection, from_id=self._floor.number)
            self._floor.mark(self._last if first is None else first, at_ms)
            await outbox.put_floor(connection, self._floor.number)
        return events

    async def _publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
        try:
            async with asyncio.timeout(self.sink_s):
                return await self.sink.publish(events)
        except TimeoutError as error:
            await self.sink.close()
            raise SinkUnavailableError(f"no answer in {self.sink_s:g} s") from error

    async def _set_aside(self, connection: Connection, refused: dict[StoredEvent, str]) -> None:
        if not refused:
            return
        before = await outbox.attempts_of(connection, [event.key for event in refused])
        now_ms = self.system.now_ms()
        for event, why in refused.items():
            attempts = before.get(event.key, 0) + 1
            if attempts < ATTEMPTS_MAX:
                until_ms = now_ms + _FIRST_WAIT_MS * 4 ** (attempts - 1)
                await outbox.refused(connection, event, why, until_ms=until_ms)
                continue
            await outbox.bury(connection, event, why, now_ms=now_ms)
            self.buried += 1
            log.error("event_dead", number=event.event_id, type=event.type, why=why)


def _waves(events: Iterable[StoredEvent]) -> list[list[StoredEvent]]:
    """Return events in waves: each key's first ones, then each key's second ones, and so on."""
    waves: list[list[StoredEvent]] = []
    seen: dict[str, int] = {}
    for event in events:
        number = seen.get(event.key, 0)
        seen[event.key] = number + 1
        if number == len(waves):
            waves.append([])
        waves[number].append(event)
    return waves
