"""What an offer gives beside money off: points in lots, and things to hand out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from loyalty.errors import AmountError
from loyalty.limits import LOT_DAYS_MAX, POINTS_MAX, PPM, TEXT_CHARACTERS_MAX


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


Purpose = Literal["spend", "qualify"]
"""What points are for: a lot to pay with, or to count to the tier and nothing else."""

PaidBasis = Literal["paid", "discounted", "gross"]
"""What points are counted on: money paid, that and redeemed points, the register's price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsPerMoney:
    """`points` for each `per_minor` spent on the matched lines.

    Attributes:
        basis: what is spent.
        counting: `proportional` rounds down once at the end; `whole_steps` gives `points` for each
            full `per_minor` only.
        purpose: `qualify` makes no lot: the points count to the tier and cannot be spent.
    """

    kind: ClassVar[str] = "points_per_money"
    points: int
    per_minor: int
    basis: PaidBasis = "paid"
    counting: Literal["proportional", "whole_steps"] = "proportional"
    lot: LotTerms = field(default_factory=LotTerms)
    purpose: Purpose = "spend"

    def __post_init__(self) -> None:
        if not 0 < self.points <= POINTS_MAX or self.per_minor <= 0:
            raise AmountError("points and per_minor must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsPerItem:
    """`points` for each whole unit of the matched lines; a weighed line is one.

    Attributes:
        purpose: `qualify` makes no lot: the points count to the tier and cannot be spent.
    """

    kind: ClassVar[str] = "points_per_item"
    points: int
    lot: LotTerms = field(default_factory=LotTerms)
    purpose: Purpose = "spend"

    def __post_init__(self) -> None:
        if not 0 < self.points <= POINTS_MAX:
            raise AmountError("points must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsPerReceipt:
    """`points` once for the receipt, booked on the matched lines by what is paid for them.

    Attributes:
        purpose: `qualify` makes no lot: the points count to the tier and cannot be spent.
    """

    kind: ClassVar[str] = "points_per_receipt"
    points: int
    lot: LotTerms = field(default_factory=LotTerms)
    purpose: Purpose = "spend"

    def __post_init__(self) -> None:
        if not 0 < self.points <= POINTS_MAX:
            raise AmountError("points must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsMultiplier:
    """More of what other offers give on the matched lines: 2000000 doubles it.

    Attributes:
        of: ids of the offers that are multiplied; none of them may be a multiplier, and none give
            points that only qualify.
        factor_ppm: what their points become, in millionths; what exceeds them is this offer's.
    """

    kind: ClassVar[str] = "points_multiplier"
    of: tuple[str, ...]
    factor_ppm: int
    lot: LotTerms = field(default_factory=LotTerms)

    def __post_init__(self) -> None:
        if not self.of:
            raise AmountError("of must name at least one offer")
        if not PPM < self.factor_ppm <= 1_000 * PPM:
            raise AmountError(f"factor_ppm must be {PPM + 1} to {1_000 * PPM}")


PointsReward = PointsPerMoney | PointsPerItem | PointsPerReceipt | PointsMultiplier


def only_qualifies(gives: object) -> bool:
    """Say whether a reward gives points that count to the tier and cannot be spent."""
    return (
        isinstance(gives, PointsPerMoney | PointsPerItem | PointsPerReceipt)
        and gives.purpose == "qualify"
    )


# Things to hand out or to say


@dataclass(frozen=True, slots=True, kw_only=True)
class Gift:
    """Goods the cashier hands out beside the receipt.

    Attributes:
        for_each_units: one gift for so many matched units; 0 = one for the receipt.
    """

    kind: ClassVar[str] = "gift"
    sku: str
    units: int = 1
    for_each_units: int = 0

    def __post_init__(self) -> None:
        if not self.sku or self.units < 1 or self.for_each_units < 0:
            raise AmountError("a gift needs a sku, units >= 1 and for_each_units >= 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCoupon:
    """A coupon for a later purchase, printed by the register."""

    kind: ClassVar[str] = "coupon"
    coupon: str

    def __post_init__(self) -> None:
        if not 0 < len(self.coupon) <= TEXT_CHARACTERS_MAX:
            raise AmountError("a coupon needs a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A text on the display or on the receipt, by language code."""

    kind: ClassVar[str] = "message"
    text: Mapping[str, str]
    shown_on: Literal["display", "receipt"] = "receipt"

    def __post_init__(self) -> None:
        if not self.text:
            raise AmountError("text needs at least one language")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerPoints:
    """Points of a partner's programme; told to the partner, no lot of ours."""

    kind: ClassVar[str] = "partner_points"
    partner: str
    points: int
    per_minor: int

    def __post_init__(self) -> None:
        if not self.partner or not 0 < self.points <= POINTS_MAX or self.per_minor <= 0:
            raise AmountError("partner_points need a partner; points and per_minor are positive")


HandOutReward = Gift | IssuedCoupon | Message | PartnerPoints
