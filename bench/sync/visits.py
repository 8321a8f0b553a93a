"""Every visit of the chain's households in a year, and who wants to spend points on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.grocery.draws import Draws
from bench.grocery.sessions import USUAL
from bench.grocery.tables import read_rows

_COLUMNS = (
    "basket_id", "store_id", "household_id", "transaction_timestamp", "sales_value", "coupon_disc",
)  # fmt: skip
_POINTS_PER_MINOR = 100
_SHARE_DIVISOR = 2
_STEP_POINTS, _STEPS_MAX = 50, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A basket of the data.

    Attributes:
        day: number of the day, from 0; days are those of UTC.
        earns: points of the demo's programme, one for every 1.00 paid.
        wants: points the customer wants to redeem, at most half of what is to pay; 0 for most.
    """

    day: int
    store: int
    household: int
    earns: int
    wants: int


def read_visits(*, seed: int) -> list[Visit]:
    """Return all visits in time order.

    One in `USUAL.redeeming` of 1000 wants to redeem, half of them as much as possible, the others
    a round number, as in the demo.

    Raises:
        GroceryDataError: the data is not installed.
    """
    paid: dict[int, int] = {}
    where: dict[int, tuple[int, int, int]] = {}
    for basket, store, household, at_s, sales_minor, coupon_minor in read_rows(
        "transactions", _COLUMNS
    ):
        paid[basket] = paid.get(basket, 0) + sales_minor - coupon_minor
        where[basket] = (at_s, store, household)
    order = sorted(where, key=lambda basket: (where[basket][0], basket))
    first = datetime.fromtimestamp(where[order[0]][0], UTC).date()
    return [
        Visit(
            day=(datetime.fromtimestamp(where[basket][0], UTC).date() - first).days,
            store=where[basket][1],
            household=where[basket][2],
            earns=max(0, paid[basket]) // _POINTS_PER_MINOR,
            wants=_wish(max(0, paid[basket]) // _SHARE_DIVISOR, Draws(seed, "wish", basket)),
        )
        for basket in order
    ]


def by_day(visits: list[Visit]) -> Iterator[list[Visit]]:
    """Yield the visits of each day, days without one left out."""
    today: list[Visit] = []
    for visit in visits:
        if today and visit.day != today[0].day:
            yield today
            today = []
        today.append(visit)
    yield today


def _wish(most: int, draws: Draws) -> int:
    if not draws.happens(USUAL.redeeming):
        return 0
    if draws.happens(500):
        return most
    return min(most, _STEP_POINTS * draws.between(1, _STEPS_MAX))
