"""From which number on the relay looks for events, so that what is published costs nothing."""

from dataclasses import dataclass
from typing import Final

MARKED_MS: Final = 10_000
WHOLE_LOOK_MS: Final = 60_000


@dataclass(slots=True)
class Floor:
    """Rises behind the events that are published.

    While somebody reads the database of an hour ago, a copy being made of it, rows that were
    deleted since stay in the way of whoever begins at the first one. So the relay begins where the
    first event was a while ago. A transaction that took its numbers before, and ends after, has
    its events below that: they are found by the look at everything, once a minute. It holds its
    keys' locks until it ends, so no event of theirs was published before.
    """

    number: int = 0
    _next: int = 0
    _marked_ms: int | None = None
    _whole_ms: int | None = None

    def begin(self, now_ms: int) -> int:
        """Return the number to look from: this floor, or 0 when all is looked at."""
        if self._whole_ms is None or now_ms - self._whole_ms >= WHOLE_LOOK_MS:
            self._whole_ms = now_ms
            return 0
        return self.number

    def wants_mark(self, now_ms: int) -> bool:
        """Say whether it is time to tell the first event's number."""
        return self._marked_ms is None or now_ms - self._marked_ms >= MARKED_MS

    def mark(self, first: int, now_ms: int) -> None:
        """Take the number of the first event there is; the floor is the one told before.

        Args:
            first: refused events that wait count; where there is none, the last one there was.
        """
        self.number, self._next = min(self._next, first), first
        self._marked_ms = now_ms
