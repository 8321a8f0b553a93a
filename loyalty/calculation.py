"""What a calculation says: every line, every effect, every reason, in integers.

The bytes of a calculation (`canonical.canonical_bytes`)
are what the till records and the centre repeats.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one offer does to one line: money off, or points earned."""

    offer_id: str
    discount_minor: int = 0
    points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemedPart:
    """Points of one lot that pay for one line; lot 0 = covered by the risk budget."""

    line_id: str
    lot_id: int
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalculatedLine:
    """One line after the calculation; `gross_minor = discount_minor + redeemed_minor + paid_minor`.

    Attributes:
        source_line_id: the register's line this one belongs to;
            more than one may where fiscal rules split a line.
    """

    line_id: str
    source_line_id: str
    sku: str
    quantity: int
    gross_minor: int
    discount_minor: int
    redeemed_minor: int
    redeemed_points: int
    paid_minor: int
    earned_points: int
    effects: tuple[Effect, ...] = ()


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
        redeemable_points_max: what the caps would allow with enough points,
            whatever the spend right.
        proven: no other combination serves the customer better;
            else `gap_minor` bounds what might be missing.
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
    reasons: tuple[Reason, ...] = ()
    hints: tuple[Reason, ...] = ()
    proven: bool = True
    gap_minor: int = 0
