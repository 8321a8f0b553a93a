"""Names of an account's counters: uses of limited offers, stamps, points redeemed on a day.

A counter of a period carries the period in its name, so that a new period starts at zero by itself
and nothing has to be reset (design: receipt 3, "how often").
"""

import re
from datetime import date, timedelta
from typing import Final

from loyalty.limits import TEXT_CHARACTERS_MAX
from loyalty.offers import Offer, Period

NAME_CHARACTERS_MAX: Final = 2 * TEXT_CHARACTERS_MAX + 20
"""Of any name made here: the longest offer id, its every `@` doubled, with prefix and period."""

_OF_PERIODS = ("uses:", "redeemed@")
# An odd number of `@` before the period: those of the offer's id are doubled.
_PERIOD = re.compile(r"(?<!@)(?:@@)*@([0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?|-W[0-9]{2})?)\Z")


def uses(offer: Offer, local_day: str) -> str:
    """Return the counter of an offer's uses in the period of `limits.period` that holds the day.

    Args:
        local_day: `YYYY-MM-DD`.
    """
    offer_id = offer.offer_id.replace("@", "@@")
    return f"uses:{offer_id}{_suffix(offer.limits.period, local_day)}"


def stamps(name: str) -> str:
    """Return the counter of a stamp card."""
    return f"stamps:{name}"


def redeemed(local_day: str) -> str:
    """Return the counter of points redeemed on a day."""
    return f"redeemed@{local_day}"


def ends_on(name: str) -> str:
    """Return the first day after a counter's period, `YYYY-MM-DD`; empty = it never ends."""
    found = _PERIOD.search(name) if name.startswith(_OF_PERIODS) else None
    if found is None:
        return ""
    try:
        return _day_after(found[1]).isoformat()
    except (ValueError, OverflowError):
        return ""  # no such day: nothing made here


def _suffix(period: Period, day: str) -> str:
    if period == "day":
        return f"@{day}"
    if period == "week":
        year, week, _ = date.fromisoformat(day).isocalendar()
        return f"@{year}-W{week:02}"
    if period == "month":
        return f"@{day[:7]}"
    return f"@{day[:4]}" if period == "year" else ""


def _day_after(period: str) -> date:
    year, _, rest = period.partition("-")
    if not rest:
        return date(int(year) + 1, 1, 1)
    if rest.startswith("W"):
        return date.fromisocalendar(int(year), int(rest[1:]), 1) + timedelta(days=7)
    if "-" not in rest:
        return (date.fromisoformat(f"{period}-01") + timedelta(days=31)).replace(day=1)
    return date.fromisoformat(period) + timedelta(days=1)
