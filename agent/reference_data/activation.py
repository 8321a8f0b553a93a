"""When rules that are here begin to count: at a moment of the store's local time.

The register knows the local time; trusted time only bounds it, so that a register whose clock is
years off neither begins years early nor never.
"""

from datetime import UTC, datetime
from typing import Final

_AHEAD_MS: Final = 14 * 3_600_000
"""Nowhere on Earth is the local time further ahead of UTC."""
_BEHIND_MS: Final = 12 * 3_600_000
"""Nor further behind."""
_SECONDS: Final = len("2026-12-01T06:00:00")


def is_due(activate_at: str, *, local: str, now_ms: int) -> bool:
    """Say whether a moment has come.

    Args:
        activate_at: local, `YYYY-MM-DDTHH:MM:SS`; a text that is no moment has come.
        local: as the register says; empty where nobody has asked it.
        now_ms: trusted time, Unix milliseconds.
    """
    at = _moment(activate_at)
    if at is None:
        return True
    at_ms = int(at.replace(tzinfo=UTC).timestamp() * 1000)
    if now_ms >= at_ms + _BEHIND_MS:
        return True
    here = _moment(local)
    return here is not None and here >= at and now_ms >= at_ms - _AHEAD_MS


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text[:_SECONDS]).replace(tzinfo=None)
    except ValueError:
        return None
