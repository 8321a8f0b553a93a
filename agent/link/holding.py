"""How long a pull may wait at the centre, as the centre announces and the line allows.

Something between may cut a request that is silent for long. What is cut sooner than it was to last
is asked for shorter from then on, and grows again while nothing is cut. A line on which not even a
short one lasts is pulled at the usual pace.
"""

from typing import Final

LEAST_S: Final = 20
_GROW: Final = 1.25
_JITTER_SHARE: Final = 0.1


class Holding:
    """The waiting of one till."""

    def __init__(self, *, most_s: float) -> None:
        """Wait as the settings say.

        Args:
            most_s: the longest, whatever the centre announces; 0 = never.
        """
        self._most_s = most_s
        self._limit_s = most_s

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
            self._limit_s = min(self._most_s, _GROW * max(self._limit_s, waited_s))
            return True
        return brought_news

    def broke(self, waited_s: float) -> bool:
        """Note that a pull was cut; returns whether another may be asked at once."""
        self._limit_s = min(self._limit_s, waited_s / 2)
        return waited_s >= LEAST_S
