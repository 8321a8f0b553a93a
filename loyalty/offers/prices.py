"""What an offer takes off the price: of lines, of chosen units, of sets of units.

Some of these *claim* units (`n_for_m`, `every_nth`, `buy_get`, `set`): a unit serves in one set of
one such offer at most, and the calculation decides in which (design: receipt 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from loyalty.errors import AmountError
from loyalty.limits import AMOUNT_MINOR_MAX, PPM, SET_UNITS_MAX
from loyalty.offers.lines import (
    AllOf,
    AnyOf,
    Attribute,
    EveryLine,
    LineMatch,
    NoneOf,
    NumberRange,
)
from loyalty.offers.needs import Basis

Spread = Literal["rewarded", "set"]
"""Where a set's discount is booked: on the units it makes cheaper, or on all units of the set.

Booked on all of them no unit is free by itself: who returns the paid ones of three for two has not
kept one for nothing.
"""


def _check_rate(rate_ppm: int) -> None:
    if not 0 < rate_ppm <= PPM:
        raise AmountError(f"rate_ppm must be 1 to {PPM}")


def _check_amount(amount_minor: int, *, least: int = 1) -> None:
    if not least <= amount_minor <= AMOUNT_MINOR_MAX:
        raise AmountError(f"amount_minor must be {least} to {AMOUNT_MINOR_MAX}")


# Which units of the matched lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """All units of the matched lines, or the cheapest or dearest `count` of them."""

    which: Literal["all", "cheapest", "dearest"] = "all"
    count: int = 0

    def __post_init__(self) -> None:
        if (self.which == "all") != (self.count == 0) or self.count < 0:
            raise AmountError("units: cheapest and dearest need a count, all has none")


# What is taken off a unit or a set


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentOff:
    """A share of the price, in millionths; 1000000 makes it free."""

    kind: ClassVar[str] = "percent"
    rate_ppm: int

    def __post_init__(self) -> None:
        _check_rate(self.rate_ppm)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountEach:
    """An amount off each unit, or each set."""

    kind: ClassVar[str] = "amount"
    amount_minor: int

    def __post_init__(self) -> None:
        _check_amount(self.amount_minor)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEach:
    """A price for each unit, or each set."""

    kind: ClassVar[str] = "price"
    amount_minor: int

    def __post_init__(self) -> None:
        _check_amount(self.amount_minor, least=0)


Off = PercentOff | AmountEach | PriceEach

# Rewards on lines


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
    """A share off the matched lines, or off chosen units of them, in millionths of their price.

    Attributes:
        rounding: the share is rounded once for the offer and split, or once a line.
    """

    kind: ClassVar[str] = "percent"
    rate_ppm: int
    units: Units = field(default_factory=Units)
    rounding: Literal["offer", "line"] = "offer"

    def __post_init__(self) -> None:
        _check_rate(self.rate_ppm)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountOff:
    """An amount off the matched lines together, or off each line or unit of them."""

    kind: ClassVar[str] = "amount"
    amount_minor: int
    per: Literal["receipt", "line", "unit"] = "receipt"
    units: Units = field(default_factory=Units)

    def __post_init__(self) -> None:
        _check_amount(self.amount_minor)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPrice:
    """A price for each matched unit or line, or for all of them together; never a rise.

    A weighed line has its price for one selling unit (a kilogram).
    """

    kind: ClassVar[str] = "price"
    amount_minor: int
    per: Literal["receipt", "line", "unit"] = "unit"
    units: Units = field(default_factory=Units)

    def __post_init__(self) -> None:
        _check_amount(self.amount_minor, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRates:
    """A rate for the first unit, one for the second and so on; the last holds for all further.

    Attributes:
        rates_ppm: 0 takes nothing off; 0 and 500000: the second and every further unit at half.
        per: units are counted over all matched lines, or within each line.
        first: which unit is the first.
    """

    kind: ClassVar[str] = "unit_rates"
    rates_ppm: tuple[int, ...]
    per: Literal["receipt", "line"] = "receipt"
    first: Literal["dearest", "cheapest"] = "dearest"

    def __post_init__(self) -> None:
        if not self.rates_ppm or not all(0 <= rate <= PPM for rate in self.rates_ppm):
            raise AmountError(f"rates_ppm needs at least one rate, each 0 to {PPM}")
        if not any(self.rates_ppm):
            raise AmountError("rates_ppm must have a rate above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From `at_least` (thousandths, or minor units) on, this is taken off the matched lines.

    A percentage and a price hold for each unit, an amount once for the receipt.
    """

    at_least: int
    off: Off

    def __post_init__(self) -> None:
        if self.at_least < 1:
            raise AmountError("at_least must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The highest step reached counts: spend 1,000 get 5 %, 2,000 get 10 %.

    Attributes:
        by: what is counted on the matched lines: their quantity or their amount.
        basis: of an amount: the register's prices, or what offers that act earlier left.
    """

    kind: ClassVar[str] = "steps"
    by: Literal["quantity", "amount"]
    steps: tuple[Step, ...]
    basis: Basis = "gross"

    def __post_init__(self) -> None:
        starts = [step.at_least for step in self.steps]
        if not starts or starts != sorted(set(starts)):
            raise AmountError("steps needs at least one step, at_least rising from step to step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """The sixth coffee free: matched units are counted over receipts, each `every`-th is cheaper.

    A weighed line is one unit, and has a price for one selling unit (a kilogram).

    Attributes:
        counter: name of the account's counter; offers may share one.
        which: of the units on this receipt, those the reward falls on.
    """

    kind: ClassVar[str] = "stamps"
    counter: str
    every: int
    off: Off
    which: Literal["cheapest", "dearest"] = "dearest"

    def __post_init__(self) -> None:
        if self.every < 1 or not self.counter:
            raise AmountError("stamps need a counter's name, and every must be at least 1")


# Rewards that claim units in sets


@dataclass(frozen=True, slots=True, kw_only=True)
class NForM:
    """Of each `units` matched units only `pay` are paid: the cheapest of a set are free.

    Attributes:
        free: `cheapest_of_set` forms the sets so that the customer saves most;
            `cheapest_of_all` frees the cheapest of all matched units.
    """

    kind: ClassVar[str] = "n_for_m"
    units: int
    pay: int
    free: Literal["cheapest_of_set", "cheapest_of_all"] = "cheapest_of_set"
    spread: Spread = "set"

    def __post_init__(self) -> None:
        if not 0 < self.pay < self.units <= SET_UNITS_MAX:
            raise AmountError(f"n_for_m needs 1 <= pay < units <= {SET_UNITS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryNth:
    """Of each `every` matched units the cheapest one is cheaper: every second at half price."""

    kind: ClassVar[str] = "every_nth"
    every: int
    off: Off
    spread: Spread = "set"

    def __post_init__(self) -> None:
        if not 1 < self.every <= SET_UNITS_MAX:
            raise AmountError(f"every must be 2 to {SET_UNITS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SameLines:
    """The lines the offer itself is about."""

    kind: ClassVar[str] = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyGet:
    """Buy some units, get others cheaper, of the same or of other lines.

    From the same lines the cheapest of a set are the ones to get. From other lines the dearest
    are, and a unit that could serve as both serves where the customer saves more.

    Attributes:
        partial: a last set may have fewer units to get than `get_units`.
    """

    kind: ClassVar[str] = "buy_get"
    buy_units: int
    get_units: int
    off: Off
    get_lines: EveryLine | Attribute | NumberRange | AllOf | AnyOf | NoneOf | SameLines = field(
        default_factory=SameLines
    )
    partial: bool = False
    spread: Spread = "set"

    def __post_init__(self) -> None:
        if self.buy_units < 1 or self.get_units < 1:
            raise AmountError("buy_units and get_units must be at least 1")
        if self.buy_units + self.get_units > SET_UNITS_MAX:
            raise AmountError(f"a set has at most {SET_UNITS_MAX} units")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A named part of a set: `units` of these lines."""

    name: str
    lines: LineMatch
    units: int = 1

    def __post_init__(self) -> None:
        if not self.name or not 0 < self.units <= SET_UNITS_MAX:
            raise AmountError(f"a part needs a name and 1 to {SET_UNITS_MAX} units")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsSet:
    """A set of named parts (a soup, a main dish, a drink) at a price or with something off.

    Attributes:
        off: for each whole set; a percentage is of all its units.
    """

    kind: ClassVar[str] = "set"
    parts: tuple[Part, ...]
    off: Off
    spread: Spread = "set"

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if not names or len(set(names)) != len(names):
            raise AmountError("a set needs at least one part, each with a name of its own")
        if sum(part.units for part in self.parts) > SET_UNITS_MAX:
            raise AmountError(f"a set has at most {SET_UNITS_MAX} units")


ClaimingReward = NForM | EveryNth | BuyGet | PartsSet
PriceReward = (
    CardPrice
    | Percent
    | AmountOff
    | FixedPrice
    | UnitRates
    | Steps
    | Stamps
    | NForM
    | EveryNth
    | BuyGet
    | PartsSet
)
