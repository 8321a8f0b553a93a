"""The rule bundle: programme, catalogue, product groups and offers.

It is immutable and named by the hash of its bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from loyalty.errors import AmountError
from loyalty.limits import (
    AMOUNT_MINOR_MAX,
    BUNDLE_OFFERS_MAX,
    BUNDLE_PRODUCTS_MAX,
    LOT_DAYS_MAX,
    PPM,
)
from loyalty.offers import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class RedemptionTerms:
    """What redeeming may take from a receipt (design: receipt 5).

    Attributes:
        receipt_share_max_ppm: share of what is left to pay that points may pay.
        line_share_max_ppm: the same for each line.
        left_to_pay_minor_min: what must be left to pay on the receipt.
        line_left_minor_min: what must be left to pay on each line;
            fiscal rules allow no line of zero.
        points_min: fewer points than this are not redeemed at all.
        points_per_day_max: the most one account redeems on a local day; 0 = no maximum.
        banners: where points may pay; none = under every banner that has the programme.
        mode: `discount` lowers the lines' prices, so that no line falls below
            `line_left_minor_min`; `tender` is a payment beside money, prices stay.
    """

    receipt_share_max_ppm: int = 500_000
    line_share_max_ppm: int = 990_000
    left_to_pay_minor_min: int = 1
    line_left_minor_min: int = 1
    points_min: int = 1
    points_per_day_max: int = 0
    mode: Literal["discount", "tender"] = "discount"
    banners: tuple[str, ...] = ()

    def accepts(self, banner: str) -> bool:
        """Say whether points may pay under a banner."""
        return not self.banners or banner in self.banners

    def __post_init__(self) -> None:
        if not (0 <= self.receipt_share_max_ppm <= PPM and 0 <= self.line_share_max_ppm <= PPM):
            raise AmountError(f"shares must be 0 to {PPM}")
        minimums = (self.left_to_pay_minor_min, self.line_left_minor_min, self.points_per_day_max)
        if min(minimums) < 0 or self.points_min < 1:
            raise AmountError("minimums must not be negative, points_min at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptTerms:
    """What all offers together may take off a receipt; 0 = no maximum.

    Attributes:
        discount_share_max_ppm: share of the gross amount.
        line_left_minor_min: what discounts leave to pay on each line;
            fiscal rules allow no line of zero.
        on_reduced: offers take something off lines whose price the register has reduced by itself,
            those that do not refuse it; false = none does.
    """

    discount_minor_max: int = 0
    discount_share_max_ppm: int = 0
    line_left_minor_min: int = 0
    on_reduced: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.discount_share_max_ppm <= PPM:
            raise AmountError(f"discount_share_max_ppm must be 0 to {PPM}")
        if min(self.discount_minor_max, self.line_left_minor_min) < 0:
            raise AmountError("maximums and minimums must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnTerms:
    """What a return does to points and to offers it breaks (design: receipt 7).

    Attributes:
        earned: which earned points a return takes back: `only_pending` those not active yet,
            `within_balance` what the account still has, `unlimited` all (what is missing is owed
            and repaid by later earnings), `from_refund` what is missing is deducted from the money.
        grace_days: a lot that has expired since gets points back with so many days to spend them.
        broken_condition: what remains of a discount whose condition the return breaks stays
            (`keep`) or is deducted from the money refunded (`charge_back`).
    """

    earned: Literal["only_pending", "within_balance", "unlimited", "from_refund"] = "unlimited"
    grace_days: int = 14
    broken_condition: Literal["keep", "charge_back"] = "keep"

    def __post_init__(self) -> None:
        if not 0 <= self.grace_days <= LOT_DAYS_MAX:
            raise AmountError(f"grace_days must be 0 to {LOT_DAYS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """One loyalty programme: one purse, one currency.

    Attributes:
        points_in_benefit: points count at their value where the best combination is sought.
        point_value_minor: with `point_value_points`, what points are worth:
            10 points = 1.00 is 100 and 10.
    """

    programme_id: str
    currency: str
    point_value_minor: int = 1
    point_value_points: int = 1
    points_in_benefit: bool = False
    receipt: ReceiptTerms = field(default_factory=ReceiptTerms)
    returns: ReturnTerms = field(default_factory=ReturnTerms)
    redemption: RedemptionTerms = field(default_factory=RedemptionTerms)

    def __post_init__(self) -> None:
        if self.point_value_minor <= 0 or self.point_value_points <= 0:
            raise AmountError("point_value_minor and point_value_points must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What the catalogue says of a SKU.

    Attributes:
        floor_minor_per_unit: state-regulated minimum price of one unit (1000 thousandths);
            0 = none.
        barred: what the product takes no part in.
    """

    department: str = ""
    category: str = ""
    brand: str = ""
    floor_minor_per_unit: int = 0
    barred: tuple[Literal["discount", "redeem", "earn"], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.floor_minor_per_unit <= AMOUNT_MINOR_MAX:
            raise AmountError(f"floor_minor_per_unit must be 0 to {AMOUNT_MINOR_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything a till needs to calculate, except the customer.

    Attributes:
        catalogue: by SKU.
        groups: product groups by name, SKUs each.
        version: strictly rising per programme.
    """

    kind: ClassVar[str] = "tillside-bundle/1"
    version: int
    programme: Programme
    offers: tuple[Offer, ...] = ()
    catalogue: Mapping[str, Product] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.version < 1:
            raise AmountError("version must be at least 1")
        if len(self.offers) > BUNDLE_OFFERS_MAX or len(self.catalogue) > BUNDLE_PRODUCTS_MAX:
            raise AmountError(
                f"a bundle has at most {BUNDLE_OFFERS_MAX} offers"
                f" and {BUNDLE_PRODUCTS_MAX} products"
            )


EMPTY_BUNDLE = Bundle(
    version=1,
    programme=Programme(
        programme_id="none", currency="XXX", redemption=RedemptionTerms(receipt_share_max_ppm=0)
    ),
)
"""What a till sells under before its first bundle: no offers, nothing earned."""
