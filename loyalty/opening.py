"""Whether an offer's window is open; a clock that may be wrong is read in the customer's favour.

The till's clock may be off by the moment's uncertainty. An offer is open when it is open at some
moment the clock cannot rule out: a happy hour is no lottery of seconds at its ends, and the
uncertainty is an input, so that till and centre come to the same (design: receipt 2, market 5: 17).
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from loyalty.basket import Moment
from loyalty.offers import When
from loyalty.reasons import ReasonCode

Found = tuple[ReasonCode, dict[str, int | str]]

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


def closed(when: When, moment: Moment) -> Found | None:
    """Return why the window is shut, or None when it is open."""
    if moment.uncertainty_s:
        return _closed_throughout(when, moment)
    local = moment.local
    if (when.starts and local < when.starts) or (when.until and local >= when.until):
        return _outside(when)
    if when.weekdays:
        weekday = date.fromisoformat(moment.date).isoweekday()
        if weekday not in when.weekdays:
            return ReasonCode.NOT_TODAY, {"weekday": weekday}
    if when.hours:
        clock = local[11:16]
        if not any(start <= clock < end for start, end in when.hours):
            return _not_this_hour(when, clock)
    return None


def days(moment: Moment) -> tuple[str, str]:
    """Return the first and the last local day it may be, `YYYY-MM-DD`."""
    if not moment.uncertainty_s:
        return moment.date, moment.date
    first, last = _span(moment)
    return first.date().isoformat(), last.date().isoformat()


def _span(moment: Moment) -> tuple[datetime, datetime]:
    at, off = datetime.fromisoformat(moment.local), timedelta(seconds=moment.uncertainty_s)
    return at - off, at + off


def _closed_throughout(when: When, moment: Moment) -> Found | None:
    first, last = _span(moment)
    if when.starts:
        first = max(first, datetime.fromisoformat(when.starts))
    if when.until:
        last = min(last, datetime.fromisoformat(when.until) - _SECOND)
    if first > last:
        return _outside(when)
    open_days = [
        day for day in _days(first, last) if not when.weekdays or day.isoweekday() in when.weekdays
    ]
    if not open_days:
        return ReasonCode.NOT_TODAY, {"weekday": date.fromisoformat(moment.date).isoweekday()}
    if when.hours and not any(
        _meets(day, hours, first, last) for day in open_days for hours in when.hours
    ):
        return _not_this_hour(when, moment.local[11:16])
    return None


def _days(first: datetime, last: datetime) -> Iterator[date]:
    day = first.date()
    while day <= last.date():
        yield day
        day += _DAY


def _meets(day: date, hours: tuple[str, str], first: datetime, last: datetime) -> bool:
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - local times have no zone
    start, end = (
        midnight + timedelta(hours=int(clock[:2]), minutes=int(clock[3:])) for clock in hours
    )
    return start <= last and first < end


def _outside(when: When) -> Found:
    return ReasonCode.NOT_THIS_HOUR, {"from": when.starts, "until": when.until}


def _not_this_hour(when: When, clock: str) -> Found:
    spans = ", ".join(f"{start}-{end}" for start, end in when.hours)
    return ReasonCode.NOT_THIS_HOUR, {"hours": spans, "now": clock}
