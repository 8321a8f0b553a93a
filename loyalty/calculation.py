"""What a calculation says: every line, every effect, every reason, in integers.

The bytes of a calculation (`canonical.canonical_bytes`)
are what the till records and the centre repeats.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar, dataclass_transform

from loyalty.bundle import ReturnTerms
from loyalty.frozen import Condition, UnitRule

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def _record(kind: type[T]) -> type[T]:
    """Make a dataclass that only type checking holds frozen: a receipt has hundreds of these.

    One that is frozen at run time takes four times as long to make.
    """
    return dataclass(slots=True)(kind)


@_record
class Effect:
    """What one offer does to one line: money off, or points earned."""

    offer_id: str
    discount_minor: int = 0
    points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemedPart:
    """Points of one lot that pay for one line; lot 0 = covered by the risk budget.

    Attributes:
        expires_on: the lot's end as the till knew it, `YYYY-MM-DD`; empty = never, or not known.
    """

    line_id: str
    lot_id: int
    points: int
    expires_on: str = ""


@_record
class CalculatedLine:
    """One line after the calculation; `gross_minor = discount_minor + redeemed_minor + paid_minor`.

    Attributes:
        line_id: the register's name of the line; amounts spread evenly over its pieces, so that a
            part of them can be returned (`returns`) or printed (`fiscal`).
    """

    line_id: str
    sku: str
    quantity: int
    gross_minor: int
    discount_minor: int
    redeemed_minor: int
    redeemed_points: int
    paid_minor: int
    earned_points: int
    effects: tuple[Effect, ...] = ()
    by_weight: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EarnedLot:
    """Points one offer gives for this receipt, as the lot they become."""

    offer_id: str
    points: int
    name: str
    active_from: str
    expires_on: str
    restriction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """Something the cashier hands out, the register prints or a partner is told.

    Attributes:
        kind: `gift`, `coupon`, `message` or `partner_points`.
        what: SKU, coupon or partner; for a message empty, its text is in the offer.
        quantity: pieces, or points.
    """

    offer_id: str
    kind: str
    what: str
    quantity: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What posting this receipt adds to a counter of the account.

    Attributes:
        counter: each once, but points that only qualify line by line (`counters.QUALIFYING`).
        lines: those whose units it counts (stamps): each unit that comes back takes its own off
            again; none = it is taken off when nothing of the receipt stays sold.
    """

    counter: str
    plus: int
    lines: tuple[str, ...] = ()


@_record
class Reason:
    """Why an offer was or was not applied.

    Attributes:
        code: one of `reasons`.
        figures: numbers and names the wording needs.
    """

    offer_id: str
    code: str
    figures: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenTerms:
    """What printing and returning this receipt need of the programme it was calculated with.

    Frozen here, because a return comes when the till may no longer have that bundle.

    Attributes:
        point_value_minor: with `point_value_points`, what points are worth.
        mode: how redeemed points appear on the receipt (`bundle.RedemptionTerms`).
    """

    point_value_minor: int = 1
    point_value_points: int = 1
    mode: Literal["discount", "tender"] = "discount"
    returns: ReturnTerms = field(default_factory=ReturnTerms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the lines, always equal to them."""

    gross_minor: int = 0
    discount_minor: int = 0
    redeemed_minor: int = 0
    redeemed_points: int = 0
    paid_minor: int = 0
    earned_points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calculation:
    """The result for one basket.

    Attributes:
        bundle: hash of the rule bundle, hexadecimal.
        proven: no other combination serves the customer better;
            else `gap_minor` bounds what might be missing.
        redeemable_points_max: what the caps would allow with enough points,
            whatever the spend right.
        redemption_proven: no other way to spend the lots redeems more points, nor as many and more
            of the special ones.
        conditions, unit_rules: what offers that acted needed; only where the programme charges
            broken conditions back.
        hints: reasons worth telling the customer ("2.00 more and ...").
    """

    bundle: str
    rounding: str
    account_id: int
    moment: str
    store: str
    lines: tuple[CalculatedLine, ...]
    totals: Totals
    earned: tuple[EarnedLot, ...] = ()
    redeemed: tuple[RedeemedPart, ...] = ()
    redeemable_points_max: int = 0
    redemption_proven: bool = True
    hand_outs: tuple[HandOut, ...] = ()
    counted: tuple[Counted, ...] = ()
    conditions: tuple[Condition, ...] = ()
    unit_rules: tuple[UnitRule, ...] = ()
    reasons: tuple[Reason, ...] = ()
    hints: tuple[Reason, ...] = ()
    proven: bool = True
    gap_minor: int = 0
    terms: FrozenTerms = field(default_factory=FrozenTerms)
