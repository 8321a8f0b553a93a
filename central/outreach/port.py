"""The port to a message broker: what each adapter can do, and how it says that it cannot."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from central.outreach.events import StoredEvent

log = structlog.get_logger()

CLOSE_S: Final = 5.0
"""A client that has not left its broker by then is forgotten."""


class SinkUnavailableError(Exception):
    """The broker does not answer or takes nothing now; whether it has the events is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a broker said to one event; that it has it, where neither field says anything.

    Attributes:
        refused: why it will not take this one, whatever it does with others.
        waits: why it has not taken it now; whether it has it is not known.
    """

    refused: str = ""
    waits: str = ""


TAKEN: Final = Answer()


class EventSink(Protocol):
    """A broker.

    Whoever publishes waits for the answer: what a broker has confirmed it has on its disk, as far
    as it was set up to keep it there.
    """

    async def publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
        """Hand over events, each of another key, all at once.

        Args:
            events: in any order; nothing is promised between keys.

        Returns:
            The broker's answer to each event, in their order.

        Raises:
            SinkUnavailableError: all of them have to be published again.
        """

    async def close(self) -> None:
        """Leave the broker, within a bounded time."""


async def each_answer(publishing: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Wait for the answers to events in flight at once; what one raises is why that one waits."""
    answers = await asyncio.gather(*publishing, return_exceptions=True)
    return [
        Answer(waits=repr(answer)) if isinstance(answer, BaseException) else answer
        for answer in answers
    ]


async def leave(closing: Awaitable[object], *, within_s: float = CLOSE_S) -> None:
    """Wait for a client that leaves its broker, so long; what goes wrong then is of no use."""
    try:
        async with asyncio.timeout(within_s):
            await closing
    except Exception as error:  # noqa: BLE001 - a client's library may raise whatever it likes
        log.warning("broker_not_left", why=repr(error))
