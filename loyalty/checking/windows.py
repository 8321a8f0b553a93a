"""Windows of time as spans of seconds: whether they hold any moment, meet, or hold each other."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Final

from loyalty.offers import When

DAY_S: Final = 86_400
_WEEK: Final = frozenset(range(1, 8))
_ALL_DAY: Final = ((0, DAY_S),)
_FIRST_S: Final = date.min.toordinal() * DAY_S
_LAST_S: Final = date.max.toordinal() * DAY_S
_DAYS_LOOKED_AT_MAX: Final = 9
"""A longer window holds every weekday from midnight to midnight."""

Hours = tuple[tuple[int, int], ...]
"""Spans of a day in seconds, rising, not touching each other; the second of a pair is outside."""


@dataclass(frozen=True, slots=True)
class Window:
    """When an offer acts.

    Attributes:
        starts_s: seconds since the calendar's first day, local; `until_s` is outside.
        weekdays: 1 = Monday to 7 = Sunday.
    """

    starts_s: int = _FIRST_S
    until_s: int = _LAST_S
    weekdays: frozenset[int] = _WEEK
    hours: Hours = _ALL_DAY

    @property
    def is_empty(self) -> bool:
        """It holds no moment."""
        if self.starts_s >= self.until_s or not self.weekdays or not self.hours:
            return True
        first, last = self.starts_s // DAY_S, (self.until_s - 1) // DAY_S
        if last - first >= _DAYS_LOOKED_AT_MAX:
            return False
        return not any(
            date.fromordinal(day).isoweekday() in self.weekdays
            and any(
                max(day * DAY_S + start, self.starts_s) < min(day * DAY_S + end, self.until_s)
                for start, end in self.hours
            )
            for day in range(first, last + 1)
        )

    def meets(self, other: "Window") -> bool:
        """Say whether some moment is in both."""
        if self is other:
            return not self.is_empty
        return not Window(
            max(self.starts_s, other.starts_s),
            min(self.until_s, other.until_s),
            self.weekdays & other.weekdays,
            _common(self.hours, other.hours),
        ).is_empty

    def holds(self, other: "Window") -> bool:
        """Say whether every moment of the other one is in this one too."""
        return (
            self.starts_s <= other.starts_s
            and self.until_s >= other.until_s
            and self.weekdays >= other.weekdays
            and all(
                any(start <= begin and end <= stop for start, stop in self.hours)
                for begin, end in other.hours
            )
        )

    def since(self, day: str) -> "Window":
        """Return what is left of it from the beginning of a day, `YYYY-MM-DD`, on."""
        starts_s = max(self.starts_s, _seconds(day))
        return Window(starts_s, self.until_s, self.weekdays, self.hours)


@lru_cache(maxsize=4096)
def window_of(when: When) -> Window:
    """Return the window an offer's `when` describes."""
    return Window(
        _seconds(when.starts) if when.starts else _FIRST_S,
        _seconds(when.until) if when.until else _LAST_S,
        frozenset(when.weekdays) or _WEEK,
        _joined((_clock(start), _clock(end)) for start, end in when.hours) or _ALL_DAY,
    )


def _seconds(day_or_moment: str) -> int:
    moment = datetime.fromisoformat(day_or_moment)
    of_day = moment.hour * 3_600 + moment.minute * 60 + moment.second
    return moment.toordinal() * DAY_S + of_day


def _clock(text: str) -> int:
    return int(text[:2]) * 3_600 + int(text[3:]) * 60


def _joined(spans: Iterable[tuple[int, int]]) -> Hours:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def _common(ours: Hours, theirs: Hours) -> Hours:
    if ours == theirs:
        return ours
    return tuple(
        (max(start, begin), min(stop, end))
        for start, stop in ours
        for begin, end in theirs
        if max(start, begin) < min(stop, end)
    )
