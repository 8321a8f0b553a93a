"""How soon a till says HELLO in a stream it began anew because the centre said so.

Once is a disk that came back: at once. More often is most likely another machine that runs as the
same till, and each new stream ends the other's: so the pause doubles from time to time.
"""

from typing import Final

_FIRST_S: Final = 15
_LONGEST_S: Final = 600
_FORGOTTEN_S: Final = 3_600


class RestartPace:
    """The restarts of one till's streams, in the life of its process."""

    def __init__(self) -> None:
        self._pause_s = 0
        self._last_ms = 0
        self._rests_until_ms = 0

    def restarted(self, now_ms: int) -> None:
        """Note that a stream began anew.

        Args:
            now_ms: monotonic.
        """
        if not self._last_ms or now_ms - self._last_ms > _FORGOTTEN_S * 1000:
            self._pause_s = 0
        else:
            self._pause_s = min(max(_FIRST_S, 2 * self._pause_s), _LONGEST_S)
        self._last_ms = now_ms or 1
        self._rests_until_ms = now_ms + self._pause_s * 1000

    def rest_s(self, now_ms: int) -> float:
        """Return how long to wait before the next HELLO; 0 = not at all."""
        return max(0, self._rests_until_ms - now_ms) / 1000
