"""How long a pull may wait at the centre, as the centre announces and the line allows.

Something between may cut a request that is silent for long. What is cut sooner than it was to last
is asked for shorter from then on, and grows again while nothing is cut: at once up to what was cut
last, beyond that only now and then, and ever more seldom while it goes on being cut there. A line
on which not even a short one lasts is pulled at the usual pace.
"""

from math import inf
from typing import Final

LEAST_S: Final = 20
FIRST_S: Final = 240
"""How long the first ones wait: what a usual proxy or router lets through."""
_GROW: Final = 1.25
_JITTER_SHARE: Final = 0.1
_PATIENCE: Final = 4
_PATIENCE_MAX: Final = 64


class Holding:
    """The waiting of one till."""

    def __init__(self, *, most_s: float) -> None:
        """Wait as the settings say.

        Args:
            most_s: the longest, whatever the centre announces; 0 = never.
        """
        self._most_s = most_s
        self._limit_s = min(most_s, FIRST_S)
        self._cut_s = inf
        """The wait that was cut last; until one has lasted as long."""
        self._patience = _PATIENCE
        self._lasted = 0

    def wait_s(self, announced_s: int, jitter: float) -> int:
        """Return how long the next pull offers to wait; 0 = it does not.

        Args:
            announced_s: by the centre.
            jitter: 0 to 1, so that thousands of tills do not come back together.
        """
        longest_s = min(announced_s, self._most_s)
        bounded_s = min(longest_s, max(LEAST_S, self._limit_s))
        return int(bounded_s * (1 - _JITTER_SHARE * jitter))

    def answered(self, waited_s: float, asked_s: int, *, brought_news: bool) -> bool:
        """Note an answer.

        Returns:
            Whether the next pull may be asked at once; else the centre does not hold this one, and
            a till that asks at once would ask without end.
        """
        if waited_s >= asked_s / 2:
            self._grow(waited_s)
            return True
        return brought_news

    def _grow(self, waited_s: float) -> None:
        if waited_s >= self._cut_s:
            self._cut_s, self._patience = inf, _PATIENCE
        longer_s = min(self._most_s, _GROW * max(self._limit_s, waited_s))
        self._lasted += 1
        if longer_s < (1 - _JITTER_SHARE) * self._cut_s or self._lasted >= self._patience:
            self._limit_s, self._lasted = longer_s, 0

    def broke(self, waited_s: float, asked_s: float = inf) -> bool:
        """Note that a pull was cut, or not answered when its time was over.

        Args:
            asked_s: how long it had offered to wait.

        Returns:
            Whether another may be asked at once.
        """
        cut_s = min(waited_s, asked_s)
        is_there_again = cut_s >= (1 - _JITTER_SHARE) * self._cut_s
        self._patience = min(_PATIENCE_MAX, 2 * self._patience) if is_there_again else _PATIENCE
        self._cut_s, self._lasted = cut_s, 0
        self._limit_s = min(self._limit_s, cut_s / 2)
        return waited_s >= LEAST_S
