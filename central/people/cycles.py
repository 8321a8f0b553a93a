"""Cycles of tiers as local days: when the one that holds a day began, and when it and the next end.

Nothing here reads a clock or a database.
"""

from datetime import date, timedelta
from typing import Literal

Cycle = Literal["year", "quarter", "month", "rolling"]


def span_of(cycle: Cycle, day: date, *, days: int) -> tuple[date, date]:
    """Return the first day of the cycle that holds a day, and the first day after it.

    Args:
        days: length of a rolling cycle, which ends with the day itself.
    """
    if cycle == "rolling":
        return day - timedelta(days=days - 1), day + timedelta(days=1)
    months = {"year": 12, "quarter": 3, "month": 1}[cycle]
    first = (day.month - 1) // months * months + 1
    start = date(day.year, first, 1)
    return start, _months_later(start, months)


def span_before(cycle: Cycle, day: date, *, days: int) -> tuple[date, date]:
    """Return the span of the cycle before; of a rolling one the days before the day's own."""
    start, _ = span_of(cycle, day, days=days)
    return span_of(cycle, start - timedelta(days=1), days=days)


def valid_until(cycle: Cycle, day: date, *, days: int) -> date:
    """Return the first day on which a tier reached on a day counts no more by itself.

    It counts through the rest of its cycle and the whole next one, of a rolling cycle through as
    many days as the cycle has.
    """
    if cycle == "rolling":
        return day + timedelta(days=days)
    _, end = span_of(cycle, day, days=days)
    return span_of(cycle, end, days=days)[1]


def _months_later(start: date, months: int) -> date:
    month = start.month - 1 + months
    return date(start.year + month // 12, month % 12 + 1, 1)
