"""What a receipt keeps of what its offers asked for, for returns that break it (design: receipt 7).

Everything is in numbers and names of lines: no offer is looked at again when goods come back.
"""

from dataclasses import dataclass
from typing import Literal

Counts = Literal[
    "quantity", "units", "distinct", "amount", "running", "discounted", "paid", "points"
]
"""What is counted on lines: thousandths; units, of which a weighed line is one; different SKUs;
minor units: gross, less what offers took that acted before, after all discounts, paid in money; or
the points of other offers that are multiplied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """So much must stay of some lines.

    Attributes:
        at_least: what is needed, for one set.
        lines: the lines that are counted; none = every line of the receipt.
        offers: for `running`, those that acted before; for `points`, those that are multiplied.
    """

    counts: Counts
    at_least: int
    lines: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerStep:
    """What a step below the one that was reached would have taken off.

    Attributes:
        off_minor: by line, in the order of the condition's lines.
    """

    at_least: int
    off_minor: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Threshold):
    """What an offer that acted needed.

    Attributes:
        sets: how many times the offer acted on it; for each one missing its part goes.
        or_else: others that do instead.
        had: what was counted before this receipt (stamps).
        each_line: it asks for each of its lines alone, and for what the offer gave there.
        lower: what stays where `at_least` is not reached any more, the highest step last.
    """

    offer_id: str
    sets: int = 1
    or_else: tuple[Threshold, ...] = ()
    had: int = 0
    each_line: bool = False
    lower: tuple[LowerStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsSeen:
    """Units of a line that an offer had, and what they cost together when it acted."""

    line_id: str
    units: int
    price_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRule:
    """How an offer made some of its units cheaper: asked again of the units that stay.

    Attributes:
        kind: sets of one kind of goods, or bought and got ones, or parts; or rates for the first
            unit, the second and so on.
        numbers: units to buy and to get; units of each part; rates in millionths.
        off: what comes off the cheaper units, or the set.
        amount: a rate in millionths, or minor units.
        partial: the last set may be short of units to get.
        cheapest_of_all: not of each set.
        cheapest_first: the cheapest unit has the first rate, else the dearest.
        sets_max, units_max, units_per_line_max: the offer's limits; 0 = none.
        each_line: each line is counted by itself.
        goods: the units of each kind of goods.
    """

    offer_id: str
    kind: Literal["same_goods", "other_goods", "parts", "rates"]
    numbers: tuple[int, ...]
    off: Literal["percent", "amount", "price"] = "percent"
    amount: int = 1_000_000
    partial: bool = False
    cheapest_of_all: bool = False
    cheapest_first: bool = False
    sets_max: int = 0
    units_max: int = 0
    units_per_line_max: int = 0
    each_line: bool = False
    goods: tuple[tuple[UnitsSeen, ...], ...] = ()
