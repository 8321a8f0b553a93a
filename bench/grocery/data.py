"""The grocery chain's baskets, coupons and campaigns as typed rows, moved to recent weeks.

What was found in the data (all 1,469,307 lines):

- Timestamps are UTC; the chain's week begins on Monday at 00:00 in New York, without exception.
  Moments here are that local time, so that a week's offers are valid from Monday to Monday.
- `gross = sales_value + retail_disc + coupon_match_disc`, the card price of a line is
  `sales_value + coupon_match_disc`, and `sales_value - coupon_disc` was paid: of 402 lines with a
  matched coupon beside lines without one (same store, week, product), 401 have the gross price and
  395 the card price of the others only so. 529 lines come out below zero.
- A product stands in a basket at most once; a basket has one store, household and moment.
- Fuel is in thousandths of a gallon, or has quantity 1 where it was sold for an amount.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

from bench.grocery.measures import UNKNOWN, RealProduct, weighed_skus
from bench.grocery.tables import (
    GroceryDataError,
    distinct_rows,
    is_in,
    is_positive,
    read_rows,
)

_LINE_COLUMNS = (
    "store_id",
    "week",
    "transaction_timestamp",
    "basket_id",
    "household_id",
    "product_id",
    "quantity",
    "sales_value",
    "retail_disc",
    "coupon_disc",
    "coupon_match_disc",
)
_Row = tuple[int, int, int, int, int, int, int, int, int, int, int]

_ZONE = ZoneInfo("America/New_York")
_FIRST_MONDAY = date(2016, 12, 26)
WEEKS = 53
_BUSIEST = 10
"""Stores to choose from: so many of the busiest."""
_UNIT = 1000
_FUEL_AMOUNT = "-amount"
"""Ends the SKU of fuel sold for an amount, where the data holds no gallons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealLine:
    """One line that was sold.

    Attributes:
        quantity: thousandths of a piece or gallon. The data holds no weights: a weighed line has a
            notional one, at a regular price of 10.00 for 1000.
        card_minor: what the holder of a card pays before coupons.
        coupon_minor: the maker's share of a coupon.
        match_minor: the store's share of a coupon.
    """

    sku: str
    quantity: int
    by_weight: bool
    gross_minor: int
    card_minor: int
    coupon_minor: int = 0
    match_minor: int = 0

    @property
    def coupon_value_minor(self) -> int:
        """What the coupon took off for the customer."""
        return self.coupon_minor + self.match_minor

    @property
    def paid_minor(self) -> int:
        """What the customer paid; below zero where a coupon is worth more than the line."""
        return self.card_minor - self.coupon_value_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class RealBasket:
    """One visit; `moment` is local and shifted, `week` is the data's."""

    basket_id: int
    household_id: int
    store_id: str
    week: int
    moment: str
    lines: tuple[RealLine, ...]

    @property
    def day(self) -> str:
        """The local day, `YYYY-MM-DD`."""
        return self.moment[:10]

    @property
    def paid_minor(self) -> int:
        """What the customer paid for everything."""
        return sum(line.paid_minor for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """When a campaign's coupons are valid; `until` is the first day after it. Both shifted."""

    campaign_id: int
    starts: str
    until: str


@dataclass(frozen=True, slots=True)
class CouponIssue:
    """A coupon as one campaign issues it."""

    upc: int
    campaign_id: int


@dataclass(frozen=True, slots=True)
class CouponRedemption:
    """A household hands in a coupon; the data names neither basket nor line."""

    household_id: int
    issue: CouponIssue
    day: str


@dataclass(frozen=True, slots=True)
class CouponLine:
    """A line anywhere in the chain on which a coupon took something off."""

    household_id: int
    day: str
    sku: str
    value_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The chosen stores and weeks, with the chain's tables.

    Attributes:
        baskets: in time order; baskets of one moment by id.
        left_out: what is no sale, by reason.
        products: the whole chain's, by SKU.
        audiences: campaigns each household was sent.
        coupons: SKUs each coupon is for.
        redemptions: the whole chain's.
        coupon_lines: the whole chain's, so that a coupon's value is known from all its uses.
    """

    stores: tuple[str, ...]
    first_week: int
    last_week: int
    shift_days: int
    baskets: tuple[RealBasket, ...]
    left_out: Mapping[str, int]
    products: Mapping[str, RealProduct]
    campaigns: Mapping[int, Campaign]
    audiences: Mapping[int, tuple[int, ...]]
    coupons: Mapping[CouponIssue, frozenset[str]]
    redemptions: tuple[CouponRedemption, ...]
    coupon_lines: tuple[CouponLine, ...]

    def window(self, week: int) -> tuple[str, str]:
        """Return the first moment of a week and the first one after it."""
        monday = _monday(week) + timedelta(days=self.shift_days)
        return f"{monday}T00:00:00", f"{monday + timedelta(days=7)}T00:00:00"

    def product(self, sku: str) -> RealProduct:
        """Return the product, or an empty one the data does not describe."""
        return self.products.get(sku.removesuffix(_FUEL_AMOUNT), UNKNOWN)


def baskets_by_store() -> Mapping[int, int]:
    """Return how many baskets each store of the chain has in the year."""
    visits = distinct_rows("transactions", ("basket_id", "store_id"))
    return Counter(store for _, store in visits)


def busiest_first(baskets: Mapping[int, int]) -> tuple[int, ...]:
    """Return the stores, those with most baskets first, ties to the smaller number."""
    return tuple(sorted(baskets, key=lambda store: (-baskets[store], store)))


def choose_stores(count: int) -> tuple[int, ...]:
    """Return the busiest stores that share customers.

    The rule: among the ten stores with most baskets in the year (more, if more are wanted) take the
    two that share most households, then again and again the one that shares most with those taken.
    One store alone is the busiest. Ties go to more baskets, then to the smaller number.
    """
    busiest = busiest_first(baskets_by_store())[: max(_BUSIEST, count)]
    if count < 2:
        return tuple(busiest[:count])
    households: dict[int, set[int]] = defaultdict(set)
    for store, household in distinct_rows("transactions", ("store_id", "household_id")):
        households[store].add(household)

    def shared(stores: Iterable[int], other: int) -> int:
        return sum(len(households[store] & households[other]) for store in stores)

    pair = max(combinations(busiest, 2), key=lambda pair: shared(pair[:1], pair[1]))
    taken = list(pair)
    while len(taken) < min(count, len(busiest)):
        rest = [store for store in busiest if store not in taken]
        taken.append(max(rest, key=lambda store: shared(taken, store)))
    return tuple(taken)


def shift_days_to_end_before(day: date, last_week: int = WEEKS) -> int:
    """Return the shift in whole weeks with which the last week is over on `day`."""
    return (day - _monday(last_week + 1)).days // 7 * 7


def load_selection(
    stores: Sequence[int], *, first_week: int, last_week: int, shift_days: int = 0
) -> Selection:
    """Read the baskets of some stores and weeks.

    Args:
        stores: the data's numbers; see `choose_stores`.
        shift_days: days every date is moved by, a multiple of 7.

    Raises:
        GroceryDataError: the shift is not whole weeks, a week or store is not in the data, or the
            data breaks a rule the loader builds on.
    """
    if shift_days % 7:
        raise GroceryDataError(f"shift_days must be a multiple of 7, {shift_days} is not")
    if not 1 <= first_week <= last_week <= WEEKS:
        raise GroceryDataError(f"weeks must be 1 to {WEEKS}, first to last")
    products = _products()
    calendar = _Calendar(shift_days)
    wanted = set(stores)
    rows: list[_Row] = sorted(
        read_rows(
            "transactions",
            _LINE_COLUMNS,
            where=is_in("store_id", wanted) | is_positive("coupon_disc"),
        ),
        key=lambda row: (row[2], row[3]),
    )
    if missing := wanted - {row[0] for row in rows}:
        raise GroceryDataError(f"the data has no store {', '.join(map(str, sorted(missing)))}")
    here = [row for row in rows if row[0] in wanted]
    weeks = range(first_week, last_week + 1)
    baskets, left_out = _baskets(here, weeks, calendar, products=products)
    return Selection(
        stores=tuple(map(str, stores)),
        first_week=first_week,
        last_week=last_week,
        shift_days=shift_days,
        baskets=baskets,
        left_out=left_out,
        products=products,
        campaigns=_campaigns(calendar),
        audiences=_audiences(),
        coupons=_coupons(),
        redemptions=tuple(
            CouponRedemption(household, CouponIssue(upc, campaign), calendar.day(at))
            for household, upc, campaign, at in sorted(
                read_rows(
                    "coupon_redemptions",
                    ("household_id", "coupon_upc", "campaign_id", "redemption_date"),
                )
            )
        ),
        coupon_lines=_coupon_lines(rows, calendar),
    )


@dataclass(frozen=True, slots=True)
class _Calendar:
    """From the data's times to shifted local ones."""

    shift_days: int

    def local(self, at: int) -> datetime:
        """Return the local time of seconds UTC, not yet shifted."""
        return datetime.fromtimestamp(at, _ZONE).replace(tzinfo=None)

    def moment(self, local: datetime) -> str:
        return (local + timedelta(days=self.shift_days)).isoformat(timespec="seconds")

    def day(self, at: int) -> str:
        """Return the day of a date the data stores as midnight without a zone."""
        day = datetime.fromtimestamp(at, UTC).date() + timedelta(days=self.shift_days)
        return day.isoformat()


def _monday(week: int) -> date:
    return _FIRST_MONDAY + timedelta(days=7 * (week - 1))


def _baskets(
    rows: Sequence[_Row],
    weeks: range,
    calendar: _Calendar,
    *,
    products: Mapping[str, RealProduct],
) -> tuple[tuple[RealBasket, ...], dict[str, int]]:
    weighed = weighed_skus(
        ((str(row[5]), row[6], row[7] + row[8] + row[10]) for row in rows if row[6]), products
    )
    visits: dict[int, list[_Row]] = defaultdict(list)
    left_out = {"lines_of_quantity_0": 0, "baskets_without_lines": 0}
    for row in rows:
        if row[1] in weeks:
            visits[row[3]].append(row)
    baskets = []
    for basket_id, of_visit in visits.items():
        store, week, at, _, household = of_visit[0][:5]
        local = calendar.local(at)
        if not _monday(week) <= local.date() < _monday(week + 1):
            raise GroceryDataError(f"basket {basket_id} of {local} is not in its week {week}")
        sold = [row for row in of_visit if row[6]]
        left_out["lines_of_quantity_0"] += len(of_visit) - len(sold)
        if not sold:
            left_out["baskets_without_lines"] += 1
            continue
        baskets.append(
            RealBasket(
                basket_id=basket_id,
                household_id=household,
                store_id=str(store),
                week=week,
                moment=calendar.moment(local),
                lines=tuple(_line(row, products, weighed) for row in sold),
            )
        )
    # Sorted anew: the hour that ends summer time comes twice in local time.
    return tuple(sorted(baskets, key=lambda b: (b.moment, b.basket_id))), left_out


def _line(row: _Row, products: Mapping[str, RealProduct], weighed: frozenset[str]) -> RealLine:
    pieces, sales, retail, coupon, match = row[6:]
    sku, gross = str(row[5]), sales + retail + match
    quantity, by_weight = pieces * _UNIT, False
    if products.get(sku, UNKNOWN).is_fuel:
        if pieces == 1:
            sku += _FUEL_AMOUNT
        else:
            quantity, by_weight = pieces, True
    elif sku in weighed and gross:
        quantity, by_weight = gross, True
    return RealLine(
        sku=sku,
        quantity=quantity,
        by_weight=by_weight,
        gross_minor=gross,
        card_minor=gross - retail,
        coupon_minor=coupon,
        match_minor=match,
    )


def _coupon_lines(rows: Iterable[_Row], calendar: _Calendar) -> tuple[CouponLine, ...]:
    return tuple(
        CouponLine(
            row[4], calendar.moment(calendar.local(row[2]))[:10], str(row[5]), row[9] + row[10]
        )
        for row in rows
        if row[9] and row[6]
    )


def _products() -> dict[str, RealProduct]:
    return {
        str(product_id): RealProduct(
            str(product_id), department or "", category or "", kind or "", brand or ""
        )
        for product_id, department, category, kind, brand in read_rows(
            "products", ("product_id", "department", "product_category", "product_type", "brand")
        )
    }


def _campaigns(calendar: _Calendar) -> dict[int, Campaign]:
    rows: list[tuple[Any, ...]] = sorted(
        read_rows("campaign_descriptions", ("campaign_id", "start_date", "end_date"))
    )
    day = 86_400
    return {
        campaign: Campaign(
            campaign_id=campaign, starts=calendar.day(starts), until=calendar.day(ends + day)
        )
        for campaign, starts, ends in rows
    }


def _audiences() -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = defaultdict(list)
    for household, campaign in sorted(read_rows("campaigns", ("household_id", "campaign_id"))):
        found[household].append(campaign)
    return {household: tuple(campaigns) for household, campaigns in found.items()}


def _coupons() -> dict[CouponIssue, frozenset[str]]:
    found: dict[CouponIssue, set[str]] = defaultdict(set)
    for upc, campaign, product in sorted(
        read_rows("coupons", ("coupon_upc", "campaign_id", "product_id"))
    ):
        found[CouponIssue(upc, campaign)].add(str(product))
    return {issue: frozenset(skus) for issue, skus in found.items()}
