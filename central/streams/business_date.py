"""The day a receipt counts at: its own, unless that cannot be (design: sync 4.3).

A record was written after the centre last had everything its till had, and before it came. A till's
clock that says otherwise is wrong. What a receipt earned and redeemed stays as printed; only the
days at which points begin, end and are looked for follow the business date.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from central.database.named_sql import load_queries
from central.database.pool import Connection
from loyalty.calculation import EarnedLot

_SQL = load_queries("central.streams", "queries.sql")

OFF_MS_MAX: Final = 300_000
"""What a register's clock may be off, and what a message may take."""
_ZONE_UNKNOWN: Final = "UTC"
_ZONE_MS_MAX: Final = 14 * 3_600_000
"""So far from UTC may be the local time of a store whose zone is not set, or not known here."""

NOTE: Final = "clock_adjusted"


def not_before(told_seq: int | None, session_opened_ms: int, caught_up_ms: int, seq: int) -> int:
    """Return before when a record of a stream that comes now cannot have been written.

    The till's last HELLO told its head: what comes after that was written after it.

    Args:
        told_seq: that head; None where it was another stream's.
        session_opened_ms: when that HELLO came.
        caught_up_ms: when the centre last had everything.

    Returns:
        Unix milliseconds by the centre's clock, 0 where nothing is known.
    """
    return session_opened_ms if told_seq is not None and seq > told_seq else caught_up_ms


async def note_caught_up(connection: Connection, till_id: int, incarnation: bytes) -> None:
    """Note when the centre had everything, if it has what the till had at its last HELLO."""
    await connection.execute(_SQL["note_caught_up"], till_id, incarnation)


def clamped(local: str, *, zone: str | None, not_before_ms: int, received_at_ms: int) -> str:
    """Return a store's local time, moved into what can be.

    Args:
        zone: name of the store's time zone; None where it is not known.
        not_before_ms: 0 = nothing is known.
        received_at_ms: 0 = nothing is known.
    """
    where = _zone(zone or _ZONE_UNKNOWN)
    slack_ms = OFF_MS_MAX + (_ZONE_MS_MAX if where is UTC else 0)
    if not_before_ms and local < _local(not_before_ms - slack_ms, where):
        return _local(not_before_ms, where)
    if received_at_ms and local > _local(received_at_ms + slack_ms, where):
        return _local(received_at_ms, where)
    return local


def earliest_ms(local: str, zone: str | None) -> int:
    """Return when a store's local time was; the earliest where it may have been at several.

    Args:
        zone: name of the store's time zone; None where it is not known.

    Returns:
        Unix milliseconds.
    """
    where = _zone(zone or _ZONE_UNKNOWN)
    moment = datetime.fromisoformat(local)
    # An hour that comes twice, or never, when clocks are changed.
    found_s = min(moment.replace(tzinfo=where, fold=fold).timestamp() for fold in (0, 1))
    return int(found_s) * 1_000 - (_ZONE_MS_MAX if where is UTC else 0)


def earliest_local(at_ms: int, zone: str | None) -> str:
    """Return a store's local time at a moment; the earliest where its zone is not known."""
    where = _zone(zone or _ZONE_UNKNOWN)
    return _local(at_ms - (_ZONE_MS_MAX if where is UTC else 0), where)


def redated(lots: Sequence[EarnedLot], *, printed: str, counts_at: str) -> tuple[EarnedLot, ...]:
    """Return earned lots with their days moved by as many days as the receipt's own was wrong."""
    moved = date.fromisoformat(counts_at[:10]) - date.fromisoformat(printed[:10])
    if not moved:
        return tuple(lots)
    return tuple(
        replace(
            lot,
            active_from=_moved(lot.active_from, moved),
            expires_on=_moved(lot.expires_on, moved),
        )
        for lot in lots
    )


def _moved(day: str, by: timedelta) -> str:
    try:
        return (date.fromisoformat(day) + by).isoformat() if day else ""
    except OverflowError:
        return day  # beyond all calendars; the points never end, or never begin


def _zone(name: str) -> tzinfo:
    if name == _ZONE_UNKNOWN:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


@lru_cache(maxsize=1_024)  # the records of a push came together
def _local(at_ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at_ms // 1_000, zone).strftime("%Y-%m-%dT%H:%M:%S")
