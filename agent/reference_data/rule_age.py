"""How long ago the centre said which rules are this till's, and what follows from that.

Somebody who stands between can keep news from a till for ever; refusing to sell would be worse. So
after three days the till says that its rules may be old, and after two weeks it gives plain points
for money and nothing else, until it hears again (design: sync 4.4).
"""

from typing import Final

import msgspec

from agent.reference_data.cache import Cache

SOFT_MS: Final = 72 * 3_600_000
HARD_MS: Final = 14 * 86_400_000
_KEPT_EVERY_MS: Final = 3_600_000
_NAME: Final = "rules_confirmed"


class Confirmed(msgspec.Struct, frozen=True):
    """When the centre last said what this till's rules are, trusted time."""

    at_ms: int


class RuleAge:
    """Remembers it; a lost cache begins to count anew."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        found = cache.value(_NAME, Confirmed)
        self._kept_ms = found.at_ms if found else 0
        self._at_ms = self._kept_ms

    def confirm(self, now_ms: int) -> None:
        """The centre has said what this till's rules are, and it has them or tried them."""
        self._at_ms = now_ms
        if not 0 <= now_ms - self._kept_ms < _KEPT_EVERY_MS:
            self._kept_ms = now_ms
            self._cache.put_value(_NAME, Confirmed(at_ms=now_ms))

    def of(self, now_ms: int) -> int:
        """Return how long ago that was, milliseconds."""
        if not self._at_ms:
            self.confirm(now_ms)
        return max(0, now_ms - self._at_ms)

    def state(self, now_ms: int) -> str:
        """Return `fresh`, `old` (say so) or `expired` (base rules alone)."""
        age_ms = self.of(now_ms)
        return "expired" if age_ms >= HARD_MS else "old" if age_ms >= SOFT_MS else "fresh"
