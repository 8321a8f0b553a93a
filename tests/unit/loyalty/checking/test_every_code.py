"""Every code has a bundle that brings it about and a repaired one that does not."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from loyalty.bundle import Bundle, Product, RedemptionTerms, ReturnTerms
from loyalty.checking import (
    ERRORS,
    Code,
    Finding,
    check_bundle,
    errors_of,
)
from loyalty.compilation import compile_bundle
from loyalty.errors import RuleSetError
from loyalty.offers import (
    AllOf,
    AmountEach,
    AmountOff,
    BuyGet,
    CardPrice,
    Combines,
    FixedPrice,
    Gift,
    IssuedCoupon,
    Limits,
    LotTerms,
    Message,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NForM,
    NoneOf,
    NumberRange,
    Offer,
    Part,
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
    Units,
    When,
    Where,
    Who,
)
from tests.support.builders import bundle, having, offer, percent, programme

TODAY = "2025-03-05"
CATALOGUE = {
    "milk": Product(department="food", category="dairy", brand="meadow"),
    "cheese": Product(department="food", category="dairy", brand="alp"),
    "vodka": Product(department="alcohol", floor_minor_per_unit=50_000),
    "tobacco": Product(department="tobacco", barred=("discount", "redeem", "earn")),
}
GROUPS = {"dairy": ("milk", "cheese"), "smokes": ("tobacco",)}


def rules(*offers: Offer) -> Bundle:
    """Return a bundle of these offers over the catalogue; every offer has a title."""
    titled = (replace(one, title=one.title or {"en": one.offer_id}) for one in offers)
    return bundle(*titled, catalogue=CATALOGUE, groups=GROUPS)


def grouped(group: str, mode: str = "best", **settings: object) -> Combines:
    return Combines(group=group, mode=mode, **settings)  # type: ignore[arg-type]


def multiplier(offer_id: str, *of: str, **settings: object) -> Offer:
    gives = PointsMultiplier(of=of, factor_ppm=2_000_000)
    return offer(offer_id, gives, **settings)  # type: ignore[arg-type]


MILK = having("sku", "milk")
CHEESE = having("sku", "cheese")
DAIRY = having("category", "dairy")
POINTS = PointsPerMoney(points=1, per_minor=100)
FULL = PointsPerMoney(points=1, per_minor=1)
DAYS = When(starts="2025-03-03", until="2025-03-05")
INITIAL = Combines(base="initial")


ONCE = NeedsCode(prefix="C-", uses_max=1)


def campaign(**most: object) -> Limits:
    return Limits(campaign=SharedLimit(**most))  # type: ignore[arg-type]


def returning(one: Offer, broken: Literal["keep", "charge_back"]) -> Bundle:
    terms = replace(programme(), returns=ReturnTerms(broken_condition=broken))
    return replace(rules(one), programme=terms)


@dataclass(frozen=True, slots=True)
class Case:
    """What brings a finding about, where it stands, and what repairs it."""

    bad: Bundle
    good: Bundle
    offers: tuple[str, ...]
    path: str = ""


def case(bad: Iterable[Offer], good: Iterable[Offer], offers: str = "a", path: str = "") -> Case:
    return Case(rules(*bad), rules(*good), tuple(offers.split()), path)


def one(path: str, bad: Offer, good: Offer) -> Case:
    return case([bad], [good], bad.offer_id, path)


CASES: dict[str, tuple[Code, Case]] = {
    "an id for two offers": (
        Code.OFFER_ID_TWICE,
        case([offer("a"), offer("a")], [offer("a"), offer("b", lines=MILK)]),
    ),
    "lines of a group that is not there": (
        Code.PRODUCT_GROUP_UNKNOWN,
        one(
            "lines.of[0].of[0]",
            offer("a", lines=AllOf(of=(NoneOf(of=(having("group", "dairy", "x"),)),))),
            offer("a", lines=AllOf(of=(NoneOf(of=(having("group", "dairy"),)),))),
        ),
    ),
    "needs of a group that is not there": (
        Code.PRODUCT_GROUP_UNKNOWN,
        one(
            "needs.of[0].match",
            offer(
                "a", needs=NeedsAny(of=(NeedsLines(match=having("group", "x"), distinct_min=1),))
            ),
            offer(
                "a",
                needs=NeedsAny(of=(NeedsLines(match=having("group", "dairy"), distinct_min=1),)),
            ),
        ),
    ),
    "other lines to get of a group that is not there": (
        Code.PRODUCT_GROUP_UNKNOWN,
        one(
            "gives.get_lines",
            offer(
                "a",
                BuyGet(
                    buy_units=1,
                    get_units=1,
                    off=PercentOff(rate_ppm=1),
                    get_lines=having("group", "x"),
                ),
            ),
            offer(
                "a",
                BuyGet(
                    buy_units=1,
                    get_units=1,
                    off=PercentOff(rate_ppm=1),
                    get_lines=having("group", "dairy"),
                ),
            ),
        ),
    ),
    "a part of a set of a group that is not there": (
        Code.PRODUCT_GROUP_UNKNOWN,
        one(
            "gives.parts[0].lines",
            offer(
                "a",
                PartsSet(
                    parts=(Part(name="p", lines=having("group", "x")),),
                    off=AmountEach(amount_minor=1),
                ),
            ),
            offer(
                "a",
                PartsSet(
                    parts=(Part(name="p", lines=having("group", "dairy")),),
                    off=AmountEach(amount_minor=1),
                ),
            ),
        ),
    ),
    "points for a group that is not there": (
        Code.PRODUCT_GROUP_UNKNOWN,
        one(
            "gives.lot.restriction",
            offer("a", PointsPerItem(points=1, lot=LotTerms(restriction="x"))),
            offer("a", PointsPerItem(points=1, lot=LotTerms(restriction="dairy"))),
        ),
    ),
    "not with an offer that is not there": (
        Code.OFFER_UNKNOWN,
        case(
            [offer("a", combines=Combines(not_with=("b",)))],
            [offer("a", combines=Combines(not_with=("b",))), offer("b", lines=MILK)],
            path="combines.not_with",
        ),
    ),
    "a multiplier of an offer that is not there": (
        Code.OFFER_UNKNOWN,
        case([multiplier("a", "b")], [multiplier("a", "b"), offer("b", POINTS)], path="gives.of"),
    ),
    "a window that ends before it starts": (
        Code.ENDS_BEFORE_START,
        one(
            "when",
            offer("a", when=When(starts="2025-03-07", until="2025-03-06")),
            offer("a", when=When(starts="2025-03-06", until="2025-03-07")),
        ),
    ),
    "a window that ends at the moment it starts": (
        Code.ENDS_BEFORE_START,
        one(
            "when",
            offer("a", when=When(starts="2025-03-06", until="2025-03-06T00:00:00")),
            offer("a", when=When(starts="2025-03-06", until="2025-03-06T00:00:01")),
        ),
    ),
    "a group with two modes": (
        Code.GROUP_MODES,
        case(
            [offer("a", combines=grouped("g")), offer("b", combines=grouped("g", "first"))],
            [offer("a", combines=grouped("g")), offer("b", combines=grouped("g"))],
            "a b",
            "combines.mode",
        ),
    ),
    "a group of discounts and points": (
        Code.GROUP_MIXED,
        case(
            [offer("a", combines=grouped("g")), offer("b", POINTS, combines=grouped("g"))],
            [offer("a", combines=grouped("g")), offer("b", POINTS, combines=grouped("h"))],
            "a b",
            "combines.group",
        ),
    ),
    "a hand-out in a group": (
        Code.GROUP_HAND_OUT,
        one(
            "combines.group",
            offer("a", IssuedCoupon(coupon="C"), combines=grouped("g")),
            offer("a", IssuedCoupon(coupon="C")),
        ),
    ),
    "members of a group by line act at different places": (
        Code.PER_LINE_ORDER,
        case(
            [
                offer("a", combines=grouped("g", "best_per_line")),
                offer("b", combines=grouped("g", "best_per_line", order=1)),
            ],
            [
                offer("a", combines=grouped("g", "best_per_line", order=1)),
                offer("b", combines=grouped("g", "best_per_line", order=1)),
            ],
            "a b",
            "combines.order",
        ),
    ),
    "members of a group by line work on different prices": (
        Code.PER_LINE_ORDER,
        case(
            [
                offer("a", combines=grouped("g", "best_per_line")),
                offer("b", combines=grouped("g", "best_per_line", base="initial")),
            ],
            [
                offer("a", combines=grouped("g", "best_per_line")),
                offer("b", combines=grouped("g", "best_per_line")),
            ],
            "a b",
            "combines.base",
        ),
    ),
    "a multi-buy in a group by line": (
        Code.PER_LINE_REWARD,
        one(
            "gives",
            offer("a", NForM(units=3, pay=2), combines=grouped("g", "best_per_line")),
            offer("a", NForM(units=3, pay=2), combines=grouped("g")),
        ),
    ),
    "the cheapest unit in a group by line": (
        Code.PER_LINE_REWARD,
        one(
            "gives",
            offer(
                "a",
                Percent(rate_ppm=1, units=Units(which="cheapest", count=1)),
                combines=grouped("g", "best_per_line"),
            ),
            offer("a", Percent(rate_ppm=1), combines=grouped("g", "best_per_line")),
        ),
    ),
    "an amount off the receipt in a group by line": (
        Code.PER_LINE_REWARD,
        one(
            "gives",
            offer("a", AmountOff(amount_minor=1), combines=grouped("g", "best_per_line")),
            offer(
                "a", AmountOff(amount_minor=1, per="line"), combines=grouped("g", "best_per_line")
            ),
        ),
    ),
    "points for the receipt in a group by line": (
        Code.PER_LINE_REWARD,
        one(
            "gives",
            offer("a", PointsPerReceipt(points=1), combines=grouped("g", "best_per_line")),
            offer("a", PointsPerItem(points=1), combines=grouped("g", "best_per_line")),
        ),
    ),
    "a limit of the receipt in a group by line": (
        Code.PER_LINE_SETTING,
        one(
            "limits.discount_minor_max",
            offer("a", combines=grouped("g", "best_per_line"), limits=Limits(discount_minor_max=1)),
            offer("a", combines=grouped("g", "best_per_line"), limits=Limits(units_per_line_max=1)),
        ),
    ),
    "a running amount in a group by line": (
        Code.PER_LINE_SETTING,
        one(
            "needs",
            offer(
                "a",
                combines=grouped("g", "best_per_line"),
                needs=NeedsLines(amount_minor_min=1, basis="running"),
            ),
            offer(
                "a", combines=grouped("g", "best_per_line"), needs=NeedsLines(amount_minor_min=1)
            ),
        ),
    ),
    "an exclusion in a group by line": (
        Code.PER_LINE_SETTING,
        case(
            [
                offer("a", combines=grouped("g", "best_per_line", not_with=("b",))),
                offer("b", lines=MILK),
            ],
            [offer("a", combines=grouped("g", not_with=("b",))), offer("b", lines=MILK)],
            "a",
            "combines.not_with",
        ),
    ),
    "a member of a group by line excluded": (
        Code.PER_LINE_EXCLUDED,
        case(
            [
                offer("a", combines=Combines(not_with=("b",))),
                offer("b", lines=MILK, combines=grouped("g", "best_per_line")),
            ],
            [
                offer("a", combines=Combines(not_with=("b",))),
                offer("b", lines=MILK, combines=grouped("g")),
            ],
            "a b",
            "combines.not_with",
        ),
    ),
    "multipliers in a circle": (
        Code.MULTIPLIER_CYCLE,
        case(
            [multiplier("a", "b"), multiplier("b", "a")],
            [multiplier("a", "c"), multiplier("b", "c"), offer("c", POINTS)],
            "a b",
            "gives.of",
        ),
    ),
    "a multiplier of itself": (
        Code.MULTIPLIER_CYCLE,
        case(
            [multiplier("a", "a", "c"), offer("c", POINTS)],
            [multiplier("a", "c"), offer("c", POINTS)],
            "a",
            "gives.of",
        ),
    ),
    "a multiplier of a multiplier": (
        Code.MULTIPLIER_OF_MULTIPLIER,
        case(
            [multiplier("a", "b"), multiplier("b", "c"), offer("c", POINTS)],
            [multiplier("a", "c"), multiplier("b", "c"), offer("c", POINTS)],
            "a b",
            "gives.of",
        ),
    ),
    "a multiplier of a discount": (
        Code.MULTIPLIER_OF_NO_POINTS,
        case(
            [multiplier("a", "b"), offer("b")],
            [multiplier("a", "b"), offer("b", POINTS)],
            "a b",
            "gives.of",
        ),
    ),
    "a running amount inside any": (
        Code.RUNNING_NEED_NESTED,
        one(
            "needs.of[0].of[1]",
            offer(
                "a",
                needs=NeedsAll(
                    of=(
                        NeedsAny(
                            of=(
                                NeedsCode(one_of=("C",)),
                                NeedsLines(amount_minor_min=1, basis="running"),
                            )
                        ),
                    )
                ),
            ),
            offer("a", needs=NeedsAll(of=(NeedsLines(amount_minor_min=1, basis="running"),))),
        ),
    ),
    "an offer that excludes itself": (
        Code.NOT_WITH_ITSELF,
        case(
            [offer("a", combines=Combines(not_with=("a",)))],
            [offer("a", combines=Combines(not_with=("b",))), offer("b", lines=MILK)],
            path="combines.not_with",
        ),
    ),
    "a stamp card with two ends": (
        Code.STAMPS_DIFFER,
        case(
            [
                offer("a", Stamps(counter="c", every=6, off=PercentOff(rate_ppm=1))),
                offer("b", Stamps(counter="c", every=5, off=PercentOff(rate_ppm=1))),
            ],
            [
                offer("a", Stamps(counter="c", every=6, off=PercentOff(rate_ppm=1))),
                offer("b", Stamps(counter="d", every=5, off=PercentOff(rate_ppm=1))),
            ],
            "b a",
            "gives.every",
        ),
    ),
    "a code that must and must not be there": (
        Code.NEEDS_NEVER_HOLD,
        one(
            "needs",
            offer(
                "a",
                needs=NeedsAll(
                    of=(NeedsCode(one_of=("C",)), NeedsNone(of=(NeedsCode(prefix="C"),)))
                ),
            ),
            offer(
                "a",
                needs=NeedsAll(
                    of=(NeedsCode(one_of=("C",)), NeedsNone(of=(NeedsCode(prefix="D"),)))
                ),
            ),
        ),
    ),
    "two kinds of payment at once": (
        Code.NEEDS_NEVER_HOLD,
        one(
            "needs",
            offer(
                "a",
                needs=NeedsAll(of=(NeedsTender(one_of=("card",)), NeedsTender(one_of=("cash",)))),
            ),
            offer(
                "a",
                needs=NeedsAll(
                    of=(NeedsTender(one_of=("card", "cash")), NeedsTender(one_of=("cash",)))
                ),
            ),
        ),
    ),
    "at least ten and less than five": (
        Code.NEEDS_NEVER_HOLD,
        one(
            "needs",
            offer(
                "a",
                needs=NeedsAll(
                    of=(
                        NeedsLines(amount_minor_min=10),
                        NeedsNone(of=(NeedsLines(amount_minor_min=5),)),
                    )
                ),
            ),
            offer(
                "a",
                needs=NeedsAll(
                    of=(
                        NeedsLines(amount_minor_min=5),
                        NeedsNone(of=(NeedsLines(amount_minor_min=10),)),
                    )
                ),
            ),
        ),
    ),
    "more different products than there are": (
        Code.NEEDS_NEVER_HOLD,
        one(
            "needs.of[1]",
            offer(
                "a",
                needs=NeedsAll(
                    of=(NeedsLines(), NeedsLines(match=having("group", "dairy"), distinct_min=3))
                ),
            ),
            offer(
                "a",
                needs=NeedsAll(
                    of=(NeedsLines(), NeedsLines(match=having("group", "dairy"), distinct_min=2))
                ),
            ),
        ),
    ),
    "more than a basket can hold": (
        Code.NEEDS_NEVER_HOLD,
        one(
            "needs",
            offer("a", needs=NeedsLines(distinct_min=2_001)),
            offer("a", needs=NeedsLines(distinct_min=2_000)),
        ),
    ),
    "none of the lines the offer is about": (
        Code.NEEDS_NEVER_HOLD,
        one(
            "needs",
            offer("a", lines=MILK, needs=NeedsNone(of=(NeedsLines(match=MILK, quantity_min=1),))),
            offer("a", lines=MILK, needs=NeedsNone(of=(NeedsLines(match=CHEESE, quantity_min=1),))),
        ),
    ),
    "lines of two SKUs at once": (
        Code.LINES_NEVER_MATCH,
        one(
            "lines",
            offer("a", lines=AllOf(of=(MILK, CHEESE))),
            offer("a", lines=AllOf(of=(MILK, DAIRY))),
        ),
    ),
    "ranges that do not meet": (
        Code.LINES_NEVER_MATCH,
        one(
            "lines",
            offer(
                "a",
                lines=AllOf(
                    of=(
                        NumberRange(name="quantity", at_least=2_000),
                        NumberRange(name="quantity", at_most=1_999),
                    )
                ),
            ),
            offer(
                "a",
                lines=AllOf(
                    of=(
                        NumberRange(name="quantity", at_least=2_000),
                        NumberRange(name="quantity", at_most=2_000),
                    )
                ),
            ),
        ),
    ),
    "card prices of other SKUs than the lines": (
        Code.LINES_NEVER_MATCH,
        one(
            "gives.prices",
            offer("a", CardPrice(prices={"milk": UnitPrice(amount_minor=1)}), lines=CHEESE),
            offer("a", CardPrice(prices={"milk": UnitPrice(amount_minor=1)}), lines=MILK),
        ),
    ),
    "no card price": (
        Code.LINES_NEVER_MATCH,
        one(
            "gives.prices",
            offer("a", CardPrice(prices={})),
            offer("a", CardPrice(prices={"milk": UnitPrice(amount_minor=1)})),
        ),
    ),
    "a part that none of the set's lines can fill": (
        Code.LINES_NEVER_MATCH,
        one(
            "gives.parts[0].lines",
            offer(
                "a",
                PartsSet(parts=(Part(name="p", lines=MILK),), off=AmountEach(amount_minor=1)),
                lines=CHEESE,
            ),
            offer(
                "a",
                PartsSet(parts=(Part(name="p", lines=MILK),), off=AmountEach(amount_minor=1)),
                lines=MILK,
            ),
        ),
    ),
    "a weekday that is not in the window": (
        Code.NEVER_OPEN,
        one(
            "when",
            offer("a", when=replace(DAYS, weekdays=(6,))),
            offer("a", when=replace(DAYS, weekdays=(1,))),
        ),
    ),
    "hours that are not in the window": (
        Code.NEVER_OPEN,
        one(
            "when",
            offer(
                "a",
                when=When(
                    starts="2025-03-05T20:00:00",
                    until="2025-03-06T08:00:00",
                    hours=(("09:00", "19:00"),),
                ),
            ),
            offer(
                "a",
                when=When(
                    starts="2025-03-05T20:00:00",
                    until="2025-03-06T10:00:00",
                    hours=(("09:00", "19:00"),),
                ),
            ),
        ),
    ),
    "a purchase that is the first and the tenth": (
        Code.NOBODY,
        one(
            "who",
            offer("a", who=Who(purchases=(1, 5), every_purchases=10)),
            offer("a", who=Who(purchases=(1, 10), every_purchases=10)),
        ),
    ),
    "once per code without a code": (
        Code.CODE_NOT_NEEDED,
        one(
            "limits.once_per_code",
            offer(
                "a",
                needs=NeedsAny(of=(NeedsCode(one_of=("C",)), NeedsLines())),
                limits=Limits(once_per_code=True),
            ),
            offer(
                "a",
                needs=NeedsAny(of=(NeedsCode(one_of=("C",)), NeedsCode(prefix="D"))),
                limits=Limits(once_per_code=True),
            ),
        ),
    ),
    "two words on one campaign": (
        Code.SHARED_LIMIT_DIFFERS,
        case(
            [
                offer("a", percent(5), limits=campaign(name="c", uses_max=1)),
                offer("b", percent(6), limits=campaign(name="c", uses_max=2)),
            ],
            [
                offer("a", percent(5), limits=campaign(name="c", uses_max=1)),
                offer("b", percent(6), limits=campaign(name="d", uses_max=2)),
            ],
            "b a",
            "limits.campaign.uses_max",
        ),
    ),
    "a campaign named like an offer with a limit of its own": (
        Code.SHARED_LIMIT_DIFFERS,
        case(
            [
                offer("a", percent(5), limits=campaign(uses_max=1)),
                offer("b", percent(6), limits=campaign(name="a", uses_max=1, period="day")),
            ],
            [
                offer("a", percent(5), limits=campaign(uses_max=1)),
                offer("b", percent(6), limits=campaign(name="a", uses_max=1)),
            ],
            "b a",
            "limits.campaign.period",
        ),
    ),
    "a code counted beside another condition": (
        Code.CODE_USES_NESTED,
        one(
            "needs.of[0].of[0]",
            offer("a", needs=NeedsAll(of=(NeedsAny(of=(ONCE, NeedsTender(one_of=("x",)))),))),
            offer("a", needs=NeedsAll(of=(ONCE,))),
        ),
    ),
    "two words on one code": (
        Code.CODE_USES_DIFFER,
        case(
            [
                offer("a", percent(5), needs=ONCE),
                offer("b", percent(6), needs=NeedsAll(of=(NeedsCode(prefix="C-", uses_max=2),))),
            ],
            [
                offer("a", percent(5), needs=ONCE),
                offer("b", percent(6), needs=NeedsCode(prefix="D-", uses_max=2)),
            ],
            "b a",
            "needs.of[0].uses_max",
        ),
    ),
    "a campaign of a group that chooses line by line": (
        Code.PER_LINE_SETTING,
        one(
            "limits.campaign",
            offer("a", combines=grouped("g", "best_per_line"), limits=campaign(uses_max=1)),
            offer("a", combines=grouped("g"), limits=campaign(uses_max=1)),
        ),
    ),
    "money of a campaign of points": (
        Code.LIMIT_NOT_APPLICABLE,
        case(
            [
                offer("a", POINTS, limits=campaign(name="c", discount_minor_max=1)),
                offer(
                    "b", IssuedCoupon(coupon="C"), limits=campaign(name="c", discount_minor_max=1)
                ),
            ],
            [
                offer("a", POINTS, limits=campaign(name="c", discount_minor_max=1)),
                offer("b", percent(5), limits=campaign(name="c", discount_minor_max=1)),
            ],
            "a",
            "limits.campaign.discount_minor_max",
        ),
    ),
    "units of a gift": (
        Code.LIMIT_NOT_APPLICABLE,
        one(
            "limits.units_max",
            offer("a", Gift(sku="mug"), limits=Limits(units_max=1)),
            offer("a", Gift(sku="mug"), limits=campaign(uses_max=1)),
        ),
    ),
    "cheaper goods of a discount": (
        Code.NOT_FOR_REWARD,
        one(
            "combines.on_discounted",
            offer("a", combines=Combines(on_discounted=False)),
            offer("a", POINTS, combines=Combines(on_discounted=False)),
        ),
    ),
    "a free unit that stays": (
        Code.RETURN_KEEPS_FREE,
        Case(
            returning(offer("a", NForM(units=3, pay=2, spread="rewarded")), "keep"),
            returning(offer("a", NForM(units=3, pay=2, spread="set")), "keep"),
            ("a",),
            "gives.spread",
        ),
    ),
    "a free unit that is charged for": (
        Code.RETURN_KEEPS_FREE,
        Case(
            returning(offer("a", NForM(units=3, pay=2, spread="rewarded")), "keep"),
            returning(offer("a", NForM(units=3, pay=2, spread="rewarded")), "charge_back"),
            ("a",),
            "gives.spread",
        ),
    ),
    "tobacco opens a discount": (
        Code.NEED_COUNTS_BARRED,
        Case(
            rules(offer("a", needs=NeedsLines(amount_minor_min=5_000))),
            rules(
                offer(
                    "a",
                    needs=NeedsLines(
                        match=NoneOf(of=(having("department", "tobacco"),)), amount_minor_min=5_000
                    ),
                )
            ),
            (),
            "offers",
        ),
    ),
    "a first one that others exclude": (
        Code.FIRST_EXCLUDED,
        case(
            [
                offer("a", combines=grouped("g", "first")),
                offer("b", percent(5), combines=Combines(not_with=("a",))),
            ],
            [
                offer("a", combines=grouped("g")),
                offer("b", percent(5), combines=Combines(not_with=("a",))),
            ],
            "a b",
            "combines.not_with",
        ),
    ),
    "a campaign that limits nothing": (
        Code.SETTING_UNUSED,
        one(
            "limits.campaign",
            offer("a", limits=campaign(name="c")),
            offer("a", limits=campaign(name="c", uses_max=1)),
        ),
    ),
    "a need without a threshold": (
        Code.SETTING_UNUSED,
        one(
            "needs",
            offer("a", needs=NeedsLines(match=MILK)),
            offer("a", needs=NeedsLines(match=MILK, quantity_min=1)),
        ),
    ),
    "sets of a percentage": (
        Code.LIMIT_NOT_APPLICABLE,
        one(
            "limits.sets_max",
            offer("a", percent(5), limits=Limits(sets_max=1)),
            offer("a", NForM(units=3, pay=2), limits=Limits(sets_max=1)),
        ),
    ),
    "points of a discount": (
        Code.LIMIT_NOT_APPLICABLE,
        one(
            "limits.points_max",
            offer("a", percent(5), limits=Limits(points_max=1)),
            offer("a", POINTS, limits=Limits(points_max=1)),
        ),
    ),
    "money of points": (
        Code.LIMIT_NOT_APPLICABLE,
        one(
            "limits.discount_minor_max",
            offer("a", POINTS, limits=Limits(discount_minor_max=1)),
            offer("a", percent(5), limits=Limits(discount_minor_max=1)),
        ),
    ),
    "points for a running amount": (
        Code.NOT_FOR_REWARD,
        one(
            "needs.basis",
            offer("a", POINTS, needs=NeedsLines(amount_minor_min=1, basis="running")),
            offer("a", needs=NeedsLines(amount_minor_min=1, basis="running")),
        ),
    ),
    "two of the initial price": (
        Code.TOGETHER_FREE,
        case(
            [
                offer("a", percent(40), lines=DAIRY, combines=INITIAL),
                offer("b", percent(70), lines=MILK, combines=INITIAL),
            ],
            [
                offer("a", percent(40), lines=DAIRY, combines=INITIAL),
                offer("b", percent(70), lines=MILK),
            ],
            "b a",
        ),
    ),
    "three of the initial price": (
        Code.TOGETHER_FREE,
        case(
            [
                offer(
                    name,
                    percent(34),
                    combines=INITIAL,
                    where=Where(stores=("s",) if name == "a" else ()),
                )
                for name in "abc"
            ],
            [
                offer(
                    name,
                    percent(34),
                    combines=grouped("g" if name < "c" else "", base="initial"),
                    where=Where(stores=("s",) if name == "a" else ()),
                )
                for name in "abc"
            ],
            "a b c",
        ),
    ),
    "the rest of the rest": (
        Code.TOGETHER_DEEP,
        case(
            [offer("a", percent(50)), offer("b", percent(80), lines=MILK)],
            [offer("a", percent(50)), offer("b", percent(70), lines=MILK)],
            "b a",
        ),
    ),
    "all free for everybody": (
        Code.FREE_FOR_ALL,
        one(
            "gives",
            offer("a", percent(100), lines=MILK),
            offer("a", percent(100), lines=MILK, needs=NeedsCode(one_of=("C",))),
        ),
    ),
    "as much off as must be bought": (
        Code.AMOUNT_COVERS_NEED,
        one(
            "needs.of[0]",
            offer(
                "a",
                AmountOff(amount_minor=500),
                needs=NeedsAll(of=(NeedsLines(amount_minor_min=500),)),
            ),
            offer(
                "a",
                AmountOff(amount_minor=500),
                needs=NeedsAll(of=(NeedsLines(amount_minor_min=501),)),
            ),
        ),
    ),
    "a step that frees the receipt": (
        Code.AMOUNT_COVERS_NEED,
        one(
            "gives.steps[0]",
            offer(
                "a",
                Steps(by="amount", steps=(Step(at_least=500, off=AmountEach(amount_minor=500)),)),
            ),
            offer(
                "a",
                Steps(by="amount", steps=(Step(at_least=500, off=AmountEach(amount_minor=50)),)),
            ),
        ),
    ),
    "points worth more than is paid": (
        Code.POINTS_WORTH_ALL,
        one("", offer("a", FULL), offer("a", POINTS)),
    ),
    "points multiplied to more than is paid": (
        Code.POINTS_WORTH_ALL,
        case(
            [
                offer("a", PointsPerMoney(points=1, per_minor=2)),
                multiplier("b", "a"),
            ],
            [
                offer("a", PointsPerMoney(points=1, per_minor=3)),
                multiplier("b", "a"),
            ],
            "a b",
        ),
    ),
    "a step down": (
        Code.STEP_GIVES_LESS,
        one(
            "gives.steps[1]",
            offer(
                "a",
                Steps(
                    by="quantity",
                    steps=(
                        Step(at_least=1_000, off=PriceEach(amount_minor=5)),
                        Step(at_least=2_000, off=PriceEach(amount_minor=5)),
                    ),
                ),
            ),
            offer(
                "a",
                Steps(
                    by="quantity",
                    steps=(
                        Step(at_least=1_000, off=PriceEach(amount_minor=5)),
                        Step(at_least=2_000, off=PriceEach(amount_minor=4)),
                    ),
                ),
            ),
        ),
    ),
    "a percentage of a regulated price": (
        Code.FLOOR_CUTS,
        one("lines", offer("a", lines=having("sku", "vodka")), offer("a", lines=MILK)),
    ),
    "a percentage of everything": (
        Code.FLOOR_CUTS,
        Case(
            rules(offer("a"), offer("b", FixedPrice(amount_minor=1))),
            rules(
                offer("a", lines=NoneOf(of=(having("department", "alcohol"),))),
                offer("b", FixedPrice(amount_minor=50_000)),
            ),
            (),
            "offers",
        ),
    ),
    "a price below the regulated one": (
        Code.PRICE_BELOW_FLOOR,
        one(
            "gives",
            offer(
                "a", CardPrice(prices={"vodka": UnitPrice(amount_minor=99_999, per_quantity=2_000)})
            ),
            offer(
                "a",
                CardPrice(prices={"vodka": UnitPrice(amount_minor=100_000, per_quantity=2_000)}),
            ),
        ),
    ),
    "a fixed price below the regulated one": (
        Code.PRICE_BELOW_FLOOR,
        one(
            "gives",
            offer("a", FixedPrice(amount_minor=1), lines=having("sku", "vodka")),
            offer("a", FixedPrice(amount_minor=50_000), lines=having("sku", "vodka")),
        ),
    ),
    "a window in the past": (
        Code.WINDOW_OVER,
        one(
            "when",
            offer("a", when=When(until="2025-03-05")),
            offer("a", when=When(until="2025-03-06")),
        ),
    ),
    "a weekday that is past": (
        Code.WINDOW_OVER,
        one(
            "when",
            offer("a", when=When(starts="2025-03-03", until="2025-03-07", weekdays=(2,))),
            offer("a", when=When(starts="2025-03-03", until="2025-03-07", weekdays=(2, 4))),
        ),
    ),
    "a category nothing is of": (
        Code.NO_PRODUCT,
        one("lines", offer("a", lines=having("category", "diary")), offer("a", lines=DAIRY)),
    ),
    "a brand of another category": (
        Code.NO_PRODUCT,
        one(
            "lines",
            offer("a", lines=AllOf(of=(CHEESE, having("brand", prefix="mea")))),
            offer("a", lines=AllOf(of=(MILK, having("brand", prefix="mea")))),
        ),
    ),
    "card prices of nothing in the lines": (
        Code.NO_PRODUCT,
        one(
            "gives.prices",
            offer("a", CardPrice(prices={"vodka": UnitPrice(amount_minor=60_000)}), lines=DAIRY),
            offer("a", CardPrice(prices={"milk": UnitPrice(amount_minor=60_000)}), lines=DAIRY),
        ),
    ),
    "a discount on tobacco": (
        Code.ALL_BARRED,
        one(
            "lines",
            offer("a", lines=having("sku", "tobacco")),
            offer("a", lines=having("sku", "tobacco", "milk")),
        ),
    ),
    "points for tobacco": (
        Code.ALL_BARRED,
        one(
            "lines",
            offer("a", POINTS, lines=having("group", "smokes")),
            offer("a", POINTS, lines=having("group", "smokes", "dairy")),
        ),
    ),
    "hidden by a larger priority": (
        Code.HIDDEN,
        case(
            [
                offer(
                    "a",
                    percent(50),
                    lines=MILK,
                    who=Who(tiers=("gold",)),
                    combines=grouped("g", "first"),
                ),
                offer("b", percent(5), lines=DAIRY, priority=1, combines=grouped("g", "first")),
            ],
            [
                offer(
                    "a",
                    percent(50),
                    lines=MILK,
                    who=Who(tiers=("gold",)),
                    priority=2,
                    combines=grouped("g", "first"),
                ),
                offer("b", percent(5), lines=DAIRY, priority=1, combines=grouped("g", "first")),
            ],
            "a b",
            "priority",
        ),
    ),
    "hidden by a better one": (
        Code.HIDDEN,
        case(
            [
                offer("a", percent(5), lines=MILK, combines=grouped("g")),
                offer("b", percent(10), lines=DAIRY, combines=grouped("g")),
            ],
            [
                offer("a", percent(5), lines=MILK, combines=grouped("g")),
                offer(
                    "b", percent(10), lines=DAIRY, who=Who(identified=True), combines=grouped("g")
                ),
            ],
            "a b",
            "priority",
        ),
    ),
    "a SKU that is not there": (
        Code.SKU_UNKNOWN,
        one(
            "lines",
            offer("a", lines=having("sku", "milk", "milc")),
            offer("a", lines=having("sku", "milk", "cheese")),
        ),
    ),
    "a product group with a SKU that is not there": (
        Code.SKU_UNKNOWN,
        Case(
            replace(rules(), groups={"dairy": ("milc",)}),
            replace(rules(), groups={"dairy": ("milk",)}),
            (),
            "groups.dairy",
        ),
    ),
    "points that may pay for tobacco alone": (
        Code.LOT_UNSPENDABLE,
        one(
            "gives.lot.restriction",
            offer("a", PointsPerItem(points=1, lot=LotTerms(restriction="smokes"))),
            offer("a", PointsPerItem(points=1, lot=LotTerms(restriction="dairy"))),
        ),
    ),
    "points nobody may spend": (
        Code.POINTS_UNSPENDABLE,
        Case(
            replace(
                rules(offer("a", POINTS)),
                programme=programme(redemption=RedemptionTerms(receipt_share_max_ppm=0)),
            ),
            rules(offer("a", POINTS)),
            (),
            "programme.redemption.receipt_share_max_ppm",
        ),
    ),
    "a mode without a group": (
        Code.SETTING_UNUSED,
        one(
            "combines.mode",
            offer("a", combines=Combines(mode="first")),
            offer("a", combines=grouped("g", "first")),
        ),
    ),
    "shared units of a percentage": (
        Code.SETTING_UNUSED,
        one(
            "combines.shares_units",
            offer("a", combines=Combines(shares_units=True)),
            offer("a", NForM(units=3, pay=2), combines=Combines(shares_units=True)),
        ),
    ),
    "a period of no limit": (
        Code.SETTING_UNUSED,
        one(
            "limits.period",
            offer("a", limits=Limits(period="day")),
            offer("a", limits=Limits(period="day", uses_per_account_max=1)),
        ),
    ),
    "a running quantity": (
        Code.SETTING_UNUSED,
        one(
            "needs.basis",
            offer("a", needs=NeedsLines(quantity_min=1, basis="running")),
            offer("a", needs=NeedsLines(amount_minor_min=1, basis="running")),
        ),
    ),
    "a group alone by a letter": (
        Code.GROUP_OF_ONE,
        case(
            [
                offer("a", combines=grouped("Dairy")),
                offer("b", lines=MILK, combines=grouped("dairy")),
                offer("c", lines=CHEESE, combines=grouped("dairy")),
            ],
            [
                offer("a", combines=grouped("dairy")),
                offer("b", lines=MILK, combines=grouped("dairy")),
                offer("c", lines=CHEESE, combines=grouped("bread")),
            ],
            "a",
            "combines.group",
        ),
    ),
    "first of two equals": (
        Code.SAME_PRIORITY,
        case(
            [
                offer("a", lines=DAIRY, combines=grouped("g", "first")),
                offer("b", lines=MILK, combines=grouped("g", "first")),
            ],
            [
                offer("a", lines=DAIRY, combines=grouped("g", "first")),
                offer("b", lines=having("sku", "vodka"), combines=grouped("g", "first")),
            ],
            "b a",
            "priority",
        ),
    ),
    "an amount before or behind a percentage": (
        Code.ORDER_BY_ID,
        case(
            [
                offer("a", AmountOff(amount_minor=100), lines=MILK),
                offer("b", percent(10), lines=DAIRY),
            ],
            [
                offer("a", AmountOff(amount_minor=100), lines=MILK),
                offer("b", percent(10), lines=DAIRY, combines=Combines(order=1)),
            ],
            "a b",
            "combines.order",
        ),
    ),
    "the same offer twice": (
        Code.TWINS,
        case([offer("b"), offer("a")], [offer("b"), offer("a", lines=MILK)], "a b"),
    ),
    "the same offer twice in a group": (
        Code.TWINS,
        case(
            [offer("b", combines=grouped("g")), offer("a", combines=grouped("g"))],
            [offer("b", combines=grouped("g")), offer("a", percent(9), combines=grouped("g"))],
            "a b",
        ),
    ),
    "no title": (
        Code.TITLE_MISSING,
        one("title", offer("a", title={"en": ""}), offer("a", title={"en": "A"})),
    ),
    "a title without one of the languages": (
        Code.TITLE_LANGUAGE,
        case(
            [offer("a", title={"en": "A"}), offer("b", lines=MILK, title={"en": "B", "ru": "Б"})],
            [
                offer("a", title={"en": "A", "ru": "А"}),
                offer("b", lines=MILK, title={"en": "B", "ru": "Б"}),
            ],
            "a",
            "title",
        ),
    ),
    "a message without one of the languages": (
        Code.TITLE_LANGUAGE,
        one(
            "gives.text",
            offer("a", Message(text={"en": "A"}), title={"en": "A", "ru": "А"}),
            offer("a", Message(text={"en": "A", "ru": "А"}), title={"en": "A", "ru": "А"}),
        ),
    ),
}

ABOUT_THE_CHECK = {Code.PAIRS_UNCHECKED, Code.MORE_FOUND}


def found(rule_set: Bundle, code: Code) -> list[Finding]:
    """Return the findings of one code."""
    return [each for each in check_bundle(rule_set, today=TODAY) if each.code == code]


@pytest.mark.parametrize("name", CASES)
def test_the_finding_stands_where_it_belongs(name: str) -> None:
    code, given = CASES[name]
    places = [(each.offers, each.path) for each in found(given.bad, code)]
    assert (given.offers, given.path) in places


@pytest.mark.parametrize("name", CASES)
def test_the_repaired_rules_do_not_have_it(name: str) -> None:
    code, given = CASES[name]
    assert not found(given.good, code)


@pytest.mark.parametrize("name", CASES)
def test_what_is_repaired_has_no_other_error(name: str) -> None:
    _, given = CASES[name]
    assert not [each for each in check_bundle(given.good) if each.severity == "error"]


@pytest.mark.parametrize("name", [name for name, (code, _) in CASES.items() if code in ERRORS])
def test_what_is_refused_at_publishing_is_refused_by_every_till(name: str) -> None:
    code, given = CASES[name]
    assert code in {each.code for each in errors_of(given.bad)}
    with pytest.raises(RuleSetError):
        compile_bundle(given.bad, "00")


@pytest.mark.parametrize("name", [name for name, (code, _) in CASES.items() if code not in ERRORS])
def test_a_warning_stops_no_till(name: str) -> None:
    _, given = CASES[name]
    assert compile_bundle(given.bad, "00").bundle == given.bad


def test_every_code_has_a_case() -> None:
    assert {code for code, _ in CASES.values()} | ABOUT_THE_CHECK == set(Code)


def test_there_is_one_list_of_errors() -> None:
    assert set(Code) > ERRORS
    for _, given in CASES.values():
        found = [each for each in check_bundle(given.bad) if each.code in ERRORS]
        assert sorted(map(str, found)) == sorted(map(str, errors_of(given.bad)))
