"""Names of counters: what an account used up, and what is limited over all accounts.

An account has uses of limited offers and codes, stamps, points redeemed on a day. Shared counters
are kept by grants and not in accounts: what a campaign or a store gives in all, uses of a code, and
what one account is given where that must hold over all tills. A counter of a
period carries the period in its name, so that a new period starts at zero by itself and nothing has
to be reset (design: receipt 3, "how often").
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from loyalty.limits import TEXT_CHARACTERS_MAX
from loyalty.offers import NeedsCode, Offer, Period

NAME_CHARACTERS_MAX: Final = 2 * TEXT_CHARACTERS_MAX + 20
"""Of any name of an account's counter: the longest offer id, its every `@` doubled, and more."""

SHARED_NAME_CHARACTERS_MAX: Final = 5 * TEXT_CHARACTERS_MAX + 40
"""Of any name of a shared counter: the same, and the longest store, its every `:` written out."""

QUALIFYING: Final = "qualifying"
"""Points that count to the tier and to nothing else; kept with the receipt, not in the account."""

_SHARED = ("campaign.", "store.", "account.", "code.")
_OF_PERIODS = ("uses:", "redeemed@", "campaign.", "store.", "account.")
_OF_ACCOUNT = re.compile(r"account\.(?:uses|minor|points)\.([1-9][0-9]{0,18}):")
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


def code_uses_of_account(code: str) -> str:
    """Return the counter of an account's uses of a code."""
    return f"code:{code}"


def code_uses(code: str) -> str:
    """Return the shared counter of all uses of a code."""
    return f"code.uses:{code}"


Scope = Literal["campaign", "store", "account"]
Measure = Literal["uses", "minor", "points"]


@dataclass(frozen=True, slots=True)
class SharedCounter:
    """A counter that all tills draw on, for all accounts or for one.

    Attributes:
        counts: receipts on which an offer acts, minor units taken off, or points given.
        most: what is given in the period in all.
    """

    name: str
    scope: Scope
    counts: Measure
    most: int
    period: Period


def shared(
    offer: Offer, store: str, local_day: str, account_id: int = 0
) -> Iterator[SharedCounter]:
    """Yield the shared counters an offer draws on, in a store on a day, for an account.

    Args:
        local_day: `YYYY-MM-DD`.
        account_id: 0 where nobody is known; then no till has a right to what an account is given.
    """
    limits = offer.limits
    in_store = store.replace("%", "%25").replace(":", "%3A")
    for scope, place, limit in (
        ("campaign", "", limits.campaign),
        ("store", f".{in_store}", limits.store),
        ("account", f".{account_id}", limits.account),
    ):
        if not limit.is_set:
            continue
        name = (limit.name or offer.offer_id).replace("@", "@@")
        period = _suffix(limit.period, local_day)
        for counts, most in (
            ("uses", limit.uses_max),
            ("minor", limit.discount_minor_max),
            ("points", limit.points_max),
        ):
            if most:
                counter = f"{scope}.{counts}{place}:{name}{period}"
                yield SharedCounter(counter, scope, counts, most, limit.period)  # type: ignore[arg-type]


def shared_of_code(need: NeedsCode, code: str) -> SharedCounter | None:
    """Return the shared counter of a code, where a need limits its uses over all accounts."""
    if not need.uses_max or not need.accepts(code):
        return None
    return SharedCounter(code_uses(code), "campaign", "uses", need.uses_max, "ever")


def is_shared(name: str) -> bool:
    """Say whether a counter is kept by grants and not in an account."""
    return name.startswith(_SHARED)


def is_of_account(name: str) -> bool:
    """Say whether a counter is one of those an account has."""
    return name != QUALIFYING and not name.startswith(_SHARED)


def qualifying(counted: Iterable[tuple[str, int]]) -> int:
    """Return the points that only qualify among what is counted, counter and number each."""
    return sum(plus for name, plus in counted if name == QUALIFYING)


def account_of(name: str) -> int:
    """Return the account a shared counter is of; 0 = of none."""
    found = _OF_ACCOUNT.match(name)
    return int(found[1]) if found else 0


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
