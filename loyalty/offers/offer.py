"""An offer as plain data: when, where, who, which lines, on what condition, what for, beside what.

Every union is told apart by the field `kind` (design: receipt 3).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Literal

from loyalty.errors import AmountError
from loyalty.limits import AMOUNT_MINOR_MAX, TEXT_CHARACTERS_MAX
from loyalty.offers.lines import EveryLine, LineMatch
from loyalty.offers.needs import Need, NeedsAll
from loyalty.offers.points import HandOutReward, PointsReward
from loyalty.offers.prices import PriceReward

Reward = PriceReward | PointsReward | HandOutReward

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
    """Empty fields allow everybody; all but `identified` imply an identified customer.

    Attributes:
        birthday: the account is in its birthday window.
        personal: the account's list of personal offers names this offer.
        purchases: this is the customer's 1st, 2nd, ... purchase.
        every_purchases: this purchase's number is a multiple of it; 0 = any.
    """

    identified: bool = False
    tiers: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    birthday: bool = False
    personal: bool = False
    purchases: tuple[int, ...] = ()
    every_purchases: int = 0

    def __post_init__(self) -> None:
        if self.every_purchases < 0 or any(number < 1 for number in self.purchases):
            raise AmountError("purchases are counted from 1, every_purchases from 0")

    @property
    def asks_for_customer(self) -> bool:
        """Somebody unknown cannot meet it."""
        return self != _EVERYBODY


_EVERYBODY = Who()


@dataclass(frozen=True, slots=True, kw_only=True)
class Combines:
    """How the offer stands beside others.

    Attributes:
        group: offers of one group exclude each other; empty = none. A group holds price offers or
            points offers, not both.
        mode: `best` takes the member that serves the customer best, `first` the one with the
            highest priority that applies, `best_per_line` the best one for each line.
        not_with: ids of offers that never act on the same receipt; naming it on one side is enough.
        order: smaller acts earlier on a line.
        base: `running` works on the price left by earlier offers,
            `initial` on the register's price.
        on_reduced: takes part on lines whose price the register has reduced by itself.
        on_discounted: points are given for lines on which an offer took something off, too.
        shares_units: a multi-buy or set that may use units which others use too.
    """

    group: str = ""
    mode: Literal["best", "first", "best_per_line"] = "best"
    not_with: tuple[str, ...] = ()
    order: int = 100
    base: Literal["running", "initial"] = "running"
    on_reduced: bool = True
    on_discounted: bool = True
    shares_units: bool = False


Period = Literal["ever", "year", "month", "week", "day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLimit:
    """The most that is given to all customers together, or to one, in a period; 0 = no limit.

    A till gives no more of it than its allowance says (`account.Allowance`).

    Attributes:
        name: offers that name one limit draw on it together, in acting order, and say the same of
            it; empty = the offer has its own, named by its id.
        uses_max: receipts on which an offer acts.
        discount_minor_max: money off.
        points_max: points given.
    """

    name: str = ""
    uses_max: int = 0
    discount_minor_max: int = 0
    points_max: int = 0
    period: Period = "ever"

    def __post_init__(self) -> None:
        most = (self.uses_max, self.discount_minor_max, self.points_max)
        if min(most) < 0 or max(most) > AMOUNT_MINOR_MAX:
            raise AmountError(f"maximums must be 0 to {AMOUNT_MINOR_MAX}")
        if len(self.name) > TEXT_CHARACTERS_MAX:
            raise AmountError(f"name must have at most {TEXT_CHARACTERS_MAX} characters")

    @property
    def is_set(self) -> bool:
        """It limits something."""
        return bool(self.uses_max or self.discount_minor_max or self.points_max)


NOT_SHARED = SharedLimit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much and how often; 0 = no limit.

    Attributes:
        discount_minor_max: the most this offer takes off one receipt.
        points_max: the most points this offer gives on one receipt.
        units_max: units of one receipt that are made cheaper, the dearest first.
        units_per_line_max: the same for each line.
        sets_max: sets of a multi-buy on one receipt.
        unit_price_minor_min: below this price of a unit the offer takes nothing off.
        uses_per_account_max: receipts of one account and `period` on which the offer acts.
        once_per_code: each presented code that the offer needs makes one set or unit cheaper;
            without it one code serves the whole receipt.
        campaign: what is given in all stores together.
        store: what is given in each store.
        account: what is given to each account, kept by tills that do not hear of each other, too;
            `uses_per_account_max` rests on what a till has heard.
    """

    discount_minor_max: int = 0
    points_max: int = 0
    units_max: int = 0
    units_per_line_max: int = 0
    sets_max: int = 0
    unit_price_minor_min: int = 0
    uses_per_account_max: int = 0
    period: Period = "ever"
    once_per_code: bool = False
    campaign: SharedLimit = NOT_SHARED
    store: SharedLimit = NOT_SHARED
    account: SharedLimit = NOT_SHARED

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int) and value < 0:
                raise AmountError(f"{each.name} must not be negative")

    @property
    def are_shared(self) -> bool:
        """Something is limited over all tills: for all customers, or for each."""
        return self.campaign.is_set or self.store.is_set or self.account.is_set


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What customers get, who, when and where, on which goods, and beside what.

    Attributes:
        title: words for people by language code.
        priority: larger wins where a choice is a tie, and in groups of mode `first`.
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
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 < len(self.offer_id) <= TEXT_CHARACTERS_MAX:
            raise AmountError(f"offer_id must have 1 to {TEXT_CHARACTERS_MAX} characters")
