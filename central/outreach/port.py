"""The port to a message broker: what each adapter can do, and how it says that it cannot."""

from collections.abc import Sequence
from typing import Protocol

from central.outreach.events import StoredEvent


class SinkUnavailableError(Exception):
    """The broker does not answer or takes nothing now; whether it has the events is not known."""


class EventSink(Protocol):
    """A broker.

    Whoever publishes waits for the answer: what a broker has confirmed it has on its disk, as far
    as it was set up to keep it there.
    """

    async def publish(self, events: Sequence[StoredEvent]) -> list[str]:
        """Hand over events, each of another key, all at once.

        Args:
            events: in any order; nothing is promised between keys.

        Returns:
            For each event why the broker will never take it; empty where it has it.

        Raises:
            SinkUnavailableError: all of them have to be published again.
        """

    async def close(self) -> None:
        """Leave the broker."""
