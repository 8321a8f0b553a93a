"""Offers as plain data: when, where, who, which lines, on what condition, what for, beside what.

Every union is told apart by the field `kind` (design: receipt 3). New kinds of condition or reward
are new classes here; nothing else of an offer changes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from loyalty.errors import AmountError
from loyalty.limits import AMOUNT_MINOR_MAX, LOT_DAYS_MAX, POINTS_MAX, PPM, TEXT_CHARACTERS_MAX

# Which lines


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryLine:
    """Every line of the basket."""

    kind: ClassVar[str] = "every"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """Lines whose attribute is one of some values, or begins with a prefix.

    Attributes:
        name: `sku`, `gtin`, `department`, `category`, `brand`, `group` (a product group of the
            bundle) or any named attribute.
    """

    kind: ClassVar[str] = "attribute"
    name: str
    one_of: tuple[str, ...] = ()
    prefix: str = ""

    def __post_init__(self) -> None:
        if bool(self.one_of) == bool(self.prefix):
            raise AmountError(f"attribute {self.name!r} needs either one_of or prefix")
        if not self.name or "" in self.one_of:
            raise AmountError("an attribute needs a name, and each value of one_of a text")
        if self.name == "group" and self.prefix:
            raise AmountError("product groups have no prefix; name them in one_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """Lines that match every part."""

    kind: ClassVar[str] = "all"
    of: tuple["LineMatch", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """Lines that match at least one part."""

    kind: ClassVar[str] = "any"
    of: tuple["LineMatch", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoneOf:
    """Lines that match no part."""

    kind: ClassVar[str] = "not"
    of: tuple["LineMatch", ...]


LineMatch = EveryLine | Attribute | AllOf | AnyOf | NoneOf

# What must be there


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsLines:
    """Matching lines reach a quantity (thousandths), a gross amount, a number of distinct SKUs."""

    kind: ClassVar[str] = "lines"
    match: LineMatch = field(default_factory=EveryLine)
    quantity_min: int = 0
    amount_minor_min: int = 0
    distinct_min: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsCode:
    """One of these codes was presented."""

    kind: ClassVar[str] = "code"
    one_of: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.one_of:
            raise AmountError("one_of must name at least one code")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsTender:
    """The customer means to pay with one of these kinds."""

    kind: ClassVar[str] = "tender"
    one_of: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.one_of:
            raise AmountError("one_of must name at least one kind of payment")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsAll:
    """Every part holds; with no part it always holds."""

    kind: ClassVar[str] = "all"
    of: tuple["Need", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsAny:
    """At least one part holds."""

    kind: ClassVar[str] = "any"
    of: tuple["Need", ...]

    def __post_init__(self) -> None:
        if not self.of:
            raise AmountError("of must have at least one part")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsNone:
    """No part holds."""

    kind: ClassVar[str] = "not"
    of: tuple["Need", ...]


Need = NeedsLines | NeedsCode | NeedsTender | NeedsAll | NeedsAny | NeedsNone

# What it gives


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """A price for a quantity: 500 for 3000 is "three for 5.00", at any multiple or part."""

    amount_minor: int
    per_quantity: int = 1000

    def __post_init__(self) -> None:
        if not 0 <= self.amount_minor <= AMOUNT_MINOR_MAX or self.per_quantity <= 0:
            raise AmountError("a unit price needs amount_minor >= 0 and per_quantity >= 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPrice:
    """A price of its own for each SKU; never dearer than the running price."""

    kind: ClassVar[str] = "card_price"
    prices: Mapping[str, UnitPrice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Percent:
    """A share off the matched lines, in millionths of their price."""

    kind: ClassVar[str] = "percent"
    rate_ppm: int

    def __post_init__(self) -> None:
        if not 0 < self.rate_ppm <= PPM:
            raise AmountError(f"rate_ppm must be 1 to {PPM}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountOff:
    """An amount off the matched lines together."""

    kind: ClassVar[str] = "amount"
    amount_minor: int

    def __post_init__(self) -> None:
        if not 0 < self.amount_minor <= AMOUNT_MINOR_MAX:
            raise AmountError(f"amount_minor must be 1 to {AMOUNT_MINOR_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LotTerms:
    """What kind of lot earned points become.

    Attributes:
        delay_days: days until the points may be spent.
        lifetime_days: days they then live; 0 = for ever.
        restriction: product group they may pay for; empty = everything.
    """

    name: str = "regular"
    delay_days: int = 0
    lifetime_days: int = 365
    restriction: str = ""

    def __post_init__(self) -> None:
        for name in ("delay_days", "lifetime_days"):
            if not 0 <= getattr(self, name) <= LOT_DAYS_MAX:
                raise AmountError(f"{name} must be 0 to {LOT_DAYS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsPerMoney:
    """`points` for each `per_minor` paid on the matched lines; rounded down once.

    What is paid is what is left after discounts and redeemed points.
    """

    kind: ClassVar[str] = "points_per_money"
    points: int
    per_minor: int
    lot: LotTerms = field(default_factory=LotTerms)

    def __post_init__(self) -> None:
        if not 0 < self.points <= POINTS_MAX or self.per_minor <= 0:
            raise AmountError("points and per_minor must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsPerItem:
    """`points` for each whole unit of the matched lines."""

    kind: ClassVar[str] = "points_per_item"
    points: int
    lot: LotTerms = field(default_factory=LotTerms)

    def __post_init__(self) -> None:
        if not 0 < self.points <= POINTS_MAX:
            raise AmountError("points must be positive")


PriceReward = CardPrice | Percent | AmountOff
PointsReward = PointsPerMoney | PointsPerItem
Reward = CardPrice | Percent | AmountOff | PointsPerMoney | PointsPerItem

# When, where, who, how it combines

_DAY_OR_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2})?")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def _is_day_or_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return _DAY_OR_MOMENT.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A window in the store's local time; `until` is the first moment outside it.

    Attributes:
        starts: `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SS`, as `until`; empty = open.
        weekdays: 1 = Monday to 7 = Sunday; none = every day.
        hours: pairs `HH:MM`, the second one outside, `24:00` at most; none = all day.
    """

    starts: str = ""
    until: str = ""
    weekdays: tuple[int, ...] = ()
    hours: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("starts", "until"):
            text = getattr(self, name)
            if text and not _is_day_or_moment(text):
                raise AmountError(f"{name} {text!r} is neither YYYY-MM-DD nor YYYY-MM-DDTHH:MM:SS")
        if not set(self.weekdays) <= set(range(1, 8)):
            raise AmountError("weekdays must be 1 (Monday) to 7 (Sunday)")
        for start, end in self.hours:
            if not (_CLOCK.fullmatch(start) and _CLOCK.fullmatch(end) and start < end):
                raise AmountError(
                    f"hours {start}-{end} are not HH:MM, earlier first; "
                    "hours over midnight are two pairs, one until 24:00"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Empty fields allow everything."""

    stores: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    banners: tuple[str, ...] = ()
    tills: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Empty fields allow everybody.

    Tiers, segments and the birthday window imply an identified customer.
    """

    identified: bool = False
    tiers: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    birthday: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Combines:
    """How the offer stands beside others.

    Attributes:
        group: offers of one group exclude each other; empty = none.
        mode: `best` takes the member that serves the customer best, `first` the one with the
            highest priority that applies.
        order: smaller acts earlier on a line.
        base: `running` works on the price left by earlier offers,
            `initial` on the register's price.
        on_reduced: takes part on lines whose price the register has reduced by itself.
    """

    group: str = ""
    mode: Literal["best", "first"] = "best"
    order: int = 100
    base: Literal["running", "initial"] = "running"
    on_reduced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One offer.

    Attributes:
        title: words for people by language code.
        priority: larger wins where a choice is a tie, and in groups of mode `first`.
        discount_minor_max: the most this offer takes off one receipt; 0 = no maximum.
        points_max: the most points this offer gives on one receipt; 0 = no maximum.
    """

    offer_id: str
    gives: Reward
    title: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    when: When = field(default_factory=When)
    where: Where = field(default_factory=Where)
    who: Who = field(default_factory=Who)
    lines: LineMatch = field(default_factory=EveryLine)
    needs: Need = field(default_factory=NeedsAll)
    combines: Combines = field(default_factory=Combines)
    discount_minor_max: int = 0
    points_max: int = 0

    def __post_init__(self) -> None:
        if not 0 < len(self.offer_id) <= TEXT_CHARACTERS_MAX:
            raise AmountError(f"offer_id must have 1 to {TEXT_CHARACTERS_MAX} characters")
        if self.discount_minor_max < 0 or self.points_max < 0:
            raise AmountError("discount_minor_max and points_max must not be negative")
