"""How much to push at once: little after a push that nobody answered, more while answers come.

A line of 64 kbit/s carries 160 kB within a request's time limit; a batch that is always larger
would never arrive, however often it is tried (design: sync 3.5).
"""

from typing import Final

from sync.limits import BATCH_BYTES_MAX

BYTES_MIN: Final = 8_192
_SHRINK: Final = 8
_GROW: Final = 2


class PushPace:
    """The batch size of one till; it begins with the largest."""

    def __init__(self) -> None:
        self.bytes_max = BATCH_BYTES_MAX
        self._is_out = False

    def begin(self) -> int:
        """Return how many bytes of records to push; one begun before and not ended has failed."""
        if self._is_out:
            self.bytes_max = max(BYTES_MIN, self.bytes_max // _SHRINK)
        self._is_out = True
        return self.bytes_max

    def end(self, size_bytes: int) -> None:
        """Note that a push was answered, or that there was nothing to push.

        Args:
            size_bytes: of its records; a short one says nothing about longer ones.
        """
        self._is_out = False
        if size_bytes * _GROW > self.bytes_max:
            self.bytes_max = min(BATCH_BYTES_MAX, self.bytes_max * _GROW)
