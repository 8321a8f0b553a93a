"""Time as the centre told it, carried on by the monotonic clock.

For windows and hygiene, never for money.
"""

from agent.system import System


class TrustedClock:
    """Answers `now_ms`; before the first contact it is the machine's clock."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._at_contact: tuple[int, int] | None = None

    def adjust(self, server_time_ms: int) -> None:
        """Take the centre's time of a moment just past."""
        self._at_contact = (server_time_ms, self._system.monotonic_ms())

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        if self._at_contact is None:
            return self._system.now_ms()
        server_ms, monotonic_ms = self._at_contact
        return server_ms + self._system.monotonic_ms() - monotonic_ms
