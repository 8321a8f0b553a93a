"""How long a till waits before it talks again when nothing happens: longer while nothing does.

A till that holds points set aside goes on asking at its usual pace: another store's customer may be
waiting for them. All others only fetch what is asked for afresh with every sale anyway.
"""

from dataclasses import dataclass
from typing import Final

_QUIET_TIMES_MAX: Final = 16


@dataclass(slots=True)
class Rhythm:
    """The pauses of one till.

    Attributes:
        usual_s: pause after a talk that brought something; the longest is 16 times as long.
    """

    usual_s: float
    _quiet_s: float = 0.0

    def pause_s(self, *, brought_news: bool, holds_rights: bool) -> float:
        """Return how long to wait after a talk.

        Args:
            brought_news: either side had something to tell.
            holds_rights: points are set aside here.
        """
        if brought_news or holds_rights or not self._quiet_s:
            self._quiet_s = self.usual_s
        else:
            self._quiet_s = min(_QUIET_TIMES_MAX * self.usual_s, 2 * self._quiet_s)
        return self._quiet_s
