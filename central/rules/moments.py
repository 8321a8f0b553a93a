"""When a local moment has come at every store, and when at none yet.

A release begins at a moment of each store's local time, and the till alone knows which that is. The
centre goes by what holds for any time zone, so that it is never earlier than a till.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_AHEAD_MS: Final = 14 * 3_600_000
"""Nowhere on Earth is the local time further ahead of UTC."""
_BEHIND_MS: Final = (12 + 1) * 3_600_000
"""Nor further behind; and an hour, which is far more than clocks of tills are off.

From twelve hours after on a till takes a moment as past even if no receipt was begun since.
"""
_CHARACTERS: Final = len("2026-12-01T06:00:00")
_COME: Final = -1
_EPOCH: Final = datetime.fromtimestamp(0, UTC)

FOR_EVER: Final = 1 << 62
"""As the present: every moment has come."""


def is_moment(text: str) -> bool:
    """Say whether a text is a local time as releases name it, `YYYY-MM-DDTHH:MM:SS`."""
    at = _read(text)
    return at is not None and at.replace(tzinfo=None).isoformat() == text[:_CHARACTERS] == text


def first_ms(activate_at: str) -> int:
    """Return from when on a local moment may have come somewhere, Unix milliseconds.

    A text that is no moment has always come, as on the till.
    """
    at = _read(activate_at)
    return _COME if at is None else _ms(at) - _AHEAD_MS


def last_ms(activate_at: str) -> int:
    """Return from when on it has come at every store and each till knows; as `first_ms`."""
    at = _read(activate_at)
    return _COME if at is None else _ms(at) + _BEHIND_MS


def has_come(activate_at: str, now_ms: int) -> bool:
    """Say whether a local moment has come at every store."""
    return not activate_at or now_ms >= last_ms(activate_at)


def come_at(at_ms: int) -> str:
    """Return the local moment that has come at every store from `at_ms` on."""
    at = _EPOCH + timedelta(milliseconds=at_ms - _BEHIND_MS)
    return at.replace(tzinfo=None).isoformat(timespec="seconds")


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


@lru_cache(maxsize=1024)
def _read(activate_at: str) -> datetime | None:
    try:
        return datetime.fromisoformat(activate_at).replace(tzinfo=UTC)
    except ValueError:
        return None
