"""Bounds that types check in their code, as keywords of JSON Schema, for `schemas`.

A bound here must be one the type holds to; which two fields must fit together is not told here.
"""

from collections.abc import Mapping
from typing import Any, Final

from loyalty.account import LotPart, RedeemRequest
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import Bundle, Product, Programme, ReceiptTerms, RedemptionTerms, ReturnTerms
from loyalty.cases import CaseAccount, CaseDocument
from loyalty.limits import (
    AMOUNT_MINOR_MAX,
    BASKET_CODES_MAX,
    BASKET_LINES_MAX,
    BUNDLE_OFFERS_MAX,
    BUNDLE_PRODUCTS_MAX,
    LINE_ATTRIBUTES_MAX,
    LOT_DAYS_MAX,
    POINTS_MAX,
    PPM,
    QUANTITY_THOUSANDTHS_MAX,
    SET_UNITS_MAX,
    TEXT_CHARACTERS_MAX,
    UNCERTAINTY_S_MAX,
)
from loyalty.offers import (
    AmountEach,
    AmountOff,
    Attribute,
    BuyGet,
    EveryNth,
    FixedPrice,
    Gift,
    IssuedCoupon,
    Limits,
    LotTerms,
    Message,
    NeedsAny,
    NeedsCode,
    NeedsTender,
    NForM,
    NumberRange,
    Offer,
    Part,
    PartnerPoints,
    PartsSet,
    Percent,
    PercentOff,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    PriceEach,
    SharedLimit,
    Stamps,
    Step,
    Steps,
    UnitPrice,
    UnitRates,
    Units,
    When,
    Who,
)

Keywords = Mapping[str, Any]


def _between(least: int, most: int | None = None) -> Keywords:
    return {"minimum": least} | ({} if most is None else {"maximum": most})


_NOT_NEGATIVE: Final = _between(0)
_POSITIVE: Final = _between(1)
_SHARE: Final = _between(0, PPM)
_RATE: Final = _between(1, PPM)
_PRICE: Final = _between(0, AMOUNT_MINOR_MAX)
_AMOUNT: Final = _between(1, AMOUNT_MINOR_MAX)
_POINTS: Final = _between(1, POINTS_MAX)
_WISH: Final = _between(0, POINTS_MAX)
_LOT_DAYS: Final = _between(0, LOT_DAYS_MAX)
_NAMED: Final[Keywords] = {"minLength": 1}
_SHORT: Final[Keywords] = {"maxLength": TEXT_CHARACTERS_MAX}
_NAME: Final[Keywords] = {**_NAMED, **_SHORT}
_NOT_EMPTY: Final[Keywords] = {"minItems": 1}
_EACH_NAMED: Final[Keywords] = {"items": _NAMED}

_DAY: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME: Final = "T[0-9]{2}:[0-9]{2}:[0-9]{2}"
_MOMENT: Final[Keywords] = {"pattern": f"^{_DAY}{_TIME}$"}
_DAY_OR_MOMENT: Final[Keywords] = {"pattern": f"^({_DAY}({_TIME})?)?$"}
_CLOCK: Final[Keywords] = {"pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"}

FACTS: Final[Mapping[type[Any], Mapping[str, Keywords]]] = {
    # Basket, moment, account
    BasketLine: {
        "line_id": _NAME,
        "sku": _NAME,
        "quantity": _between(1, QUANTITY_THOUSANDTHS_MAX),
        "gross_minor": _PRICE,
        **dict.fromkeys(("gtin", "department", "category", "brand"), _SHORT),
        "attributes": {
            "maxProperties": LINE_ATTRIBUTES_MAX,
            "propertyNames": _SHORT,
            "additionalProperties": _SHORT,
        },
    },
    Basket: {
        "lines": {"maxItems": BASKET_LINES_MAX},
        "codes": {"maxItems": BASKET_CODES_MAX, "items": _SHORT},
    },
    Moment: {"local": _MOMENT, "uncertainty_s": _between(0, UNCERTAINTY_S_MAX)},
    Place: {"store": _SHORT},
    LotPart: {"points": _POINTS},
    RedeemRequest: {"points": _WISH},
    CaseAccount: {"right_points": _WISH},
    CaseDocument: {
        "moment": _MOMENT,
        "place": _SHORT,
        "basket": {"maxItems": BASKET_LINES_MAX},
        "codes": {"maxItems": BASKET_CODES_MAX, "items": _SHORT},
        "redeem": _WISH,
        "allowances": {"additionalProperties": _WISH},
    },
    # Bundle
    RedemptionTerms: {
        "receipt_share_max_ppm": _SHARE,
        "line_share_max_ppm": _SHARE,
        "left_to_pay_minor_min": _NOT_NEGATIVE,
        "line_left_minor_min": _NOT_NEGATIVE,
        "points_min": _POSITIVE,
        "points_per_day_max": _NOT_NEGATIVE,
    },
    ReceiptTerms: {
        "discount_minor_max": _NOT_NEGATIVE,
        "discount_share_max_ppm": _SHARE,
        "line_left_minor_min": _NOT_NEGATIVE,
    },
    ReturnTerms: {"grace_days": _LOT_DAYS},
    Programme: {"point_value_minor": _POSITIVE, "point_value_points": _POSITIVE},
    Product: {"floor_minor_per_unit": _PRICE},
    Bundle: {
        "version": _POSITIVE,
        "offers": {"maxItems": BUNDLE_OFFERS_MAX},
        "catalogue": {"maxProperties": BUNDLE_PRODUCTS_MAX},
    },
    # Offer: when, who, which lines, on what condition, how often
    Offer: {"offer_id": _NAME},
    When: {
        "starts": _DAY_OR_MOMENT,
        "until": _DAY_OR_MOMENT,
        "weekdays": {"items": _between(1, 7)},
        "hours": {"items": {"items": _CLOCK}},
    },
    Who: {"purchases": {"items": _POSITIVE}, "every_purchases": _NOT_NEGATIVE},
    Attribute: {"name": _NAMED, "one_of": _EACH_NAMED, "beneath": _EACH_NAMED},
    NumberRange: {"name": _NAMED},
    NeedsCode: dict.fromkeys(("uses_max", "uses_per_account_max"), _PRICE),
    NeedsTender: {"one_of": _NOT_EMPTY},
    NeedsAny: {"of": _NOT_EMPTY},
    Limits: dict.fromkeys(
        (
            "discount_minor_max",
            "points_max",
            "units_max",
            "units_per_line_max",
            "sets_max",
            "unit_price_minor_min",
            "uses_per_account_max",
        ),
        _NOT_NEGATIVE,
    ),
    SharedLimit: {
        "name": _SHORT,
        **dict.fromkeys(("uses_max", "discount_minor_max", "points_max"), _PRICE),
    },
    # Rewards on prices
    Units: {"count": _NOT_NEGATIVE},
    PercentOff: {"rate_ppm": _RATE},
    AmountEach: {"amount_minor": _AMOUNT},
    PriceEach: {"amount_minor": _PRICE},
    UnitPrice: {"amount_minor": _PRICE, "per_quantity": _POSITIVE},
    Percent: {"rate_ppm": _RATE},
    AmountOff: {"amount_minor": _AMOUNT},
    FixedPrice: {"amount_minor": _PRICE},
    UnitRates: {"rates_ppm": {**_NOT_EMPTY, "items": _SHARE}},
    Step: {"at_least": _POSITIVE},
    Steps: {"steps": _NOT_EMPTY},
    Stamps: {"counter": _NAMED, "every": _POSITIVE},
    NForM: {"units": _between(2, SET_UNITS_MAX), "pay": _between(1, SET_UNITS_MAX - 1)},
    EveryNth: {"every": _between(2, SET_UNITS_MAX)},
    BuyGet: dict.fromkeys(("buy_units", "get_units"), _between(1, SET_UNITS_MAX - 1)),
    Part: {"name": _NAMED, "units": _between(1, SET_UNITS_MAX)},
    PartsSet: {"parts": _NOT_EMPTY},
    # Points and things to hand out
    LotTerms: {"delay_days": _LOT_DAYS, "lifetime_days": _LOT_DAYS},
    PointsPerMoney: {"points": _POINTS, "per_minor": _POSITIVE},
    PointsPerItem: {"points": _POINTS},
    PointsPerReceipt: {"points": _POINTS},
    PointsMultiplier: {"of": _NOT_EMPTY, "factor_ppm": _between(PPM + 1, 1_000 * PPM)},
    Gift: {"sku": _NAMED, "units": _POSITIVE, "for_each_units": _NOT_NEGATIVE},
    IssuedCoupon: {"coupon": _NAME},
    Message: {"text": {"minProperties": 1}},
    PartnerPoints: {"partner": _NAMED, "points": _POINTS, "per_minor": _POSITIVE},
}
"""By type and field; keywords of `items` hold for the things in a list."""
