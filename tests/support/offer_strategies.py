"""Small random offers of every kind: what they ask for, what they give, beside what they stand.

Few names and round figures, so that offers meet each other on the same lines.
"""

from itertools import combinations
from typing import Literal, TypeVar

from hypothesis import strategies as st

from loyalty.offers import (
    AllOf,
    AmountEach,
    AmountOff,
    AnyOf,
    Attribute,
    BuyGet,
    CardPrice,
    Combines,
    EveryLine,
    EveryNth,
    FixedPrice,
    Gift,
    IssuedCoupon,
    Limits,
    LineMatch,
    LotTerms,
    Message,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NForM,
    NoneOf,
    NumberRange,
    Off,
    Offer,
    Part,
    PartnerPoints,
    PartsSet,
    Percent,
    PercentOff,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    PriceEach,
    PriceReward,
    Reward,
    SameLines,
    Stamps,
    Step,
    Steps,
    UnitPrice,
    UnitRates,
    Units,
    When,
    Where,
    Who,
)

T = TypeVar("T")

SKUS = ("a", "b", "c", "d")
GROUPS = {"dairy": ("a", "b"), "fresh": ("b", "c"), "none": ()}
CODES = ("C1", "C2")
# The mode belongs to the group, so that no generated set contradicts itself.
Mode = Literal["best", "first", "best_per_line"]
MODES: dict[str, Mode] = {"": "best", "best-1": "best", "best-2": "best", "first-1": "first"}
POINTS_MODES: dict[str, Mode] = {
    "": "best",
    "points-best": "best",
    "points-first": "first",
    "points-line": "best_per_line",
}
BASES: tuple[Literal["running", "initial"], ...] = ("running", "initial")
PER_LINE = "line-1"
STAMPS_EVERY = {"coffee": 3, "tea": 5}


def some(of: st.SearchStrategy[T], most: int, least: int = 0) -> st.SearchStrategy[tuple[T, ...]]:
    """Draw a tuple of `least` to `most` values."""
    return st.lists(of, min_size=least, max_size=most).map(tuple)


def one_of(*values: T) -> st.SearchStrategy[T]:
    """Draw one of the values; the first one is the simplest."""
    return st.sampled_from(values)


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """Draw the usual value as often as all others together and one."""
    return st.sampled_from((*[usual] * (len(others) + 1), *others))


# Whole values to choose from: to draw each field by itself took most of the time.

_SKU_SETS = [skus for size in (1, 2, 3) for skus in combinations(SKUS, size)]
_ATTRIBUTES: list[Attribute] = [
    *(Attribute(name="sku", one_of=skus) for skus in _SKU_SETS),
    *(Attribute(name="group", one_of=(group,)) for group in GROUPS),
    *(Attribute(name="brand", one_of=(brand,)) for brand in ("x", "y")),
    *(Attribute(name="department", prefix=start) for start in ("food", "food/dairy")),
    *(Attribute(name="department", beneath=(node,)) for node in ("food", "food/dairy")),
    *(Attribute(name="size", one_of=(size,)) for size in ("L", "M")),
]
_PLAIN_MATCHES: list[LineMatch] = [
    EveryLine(),
    *_ATTRIBUTES,
    NumberRange(name="unit_price_minor", at_most=300),
    NumberRange(name="gross_minor", at_least=100),
    NumberRange(name="quantity", at_least=1_000, at_most=2_000),
]
attributes = st.sampled_from(_ATTRIBUTES)
plain_matches = st.sampled_from(_PLAIN_MATCHES)
joined_matches: st.SearchStrategy[LineMatch] = st.one_of(
    some(plain_matches, 2).map(lambda of: AllOf(of=of)),
    some(plain_matches, 2).map(lambda of: AnyOf(of=of)),
    some(plain_matches, 2).map(lambda of: NoneOf(of=of)),
)
matches: st.SearchStrategy[LineMatch] = st.one_of(plain_matches, plain_matches, joined_matches)
some_lines: st.SearchStrategy[LineMatch] = st.sampled_from([EveryLine()] * 10 + _PLAIN_MATCHES)

_LINES_NEEDS: list[Need] = [
    NeedsLines(match=match, quantity_min=quantity, amount_minor_min=amount, distinct_min=distinct)
    for match in _PLAIN_MATCHES
    for quantity, amount, distinct in ((1_000, 0, 0), (3_000, 0, 0), (0, 100, 0), (0, 1_000, 2))
]
_NEEDS: list[Need] = [
    *_LINES_NEEDS,
    *[NeedsCode(one_of=codes) for codes in (("C1",), ("C2",), CODES)] * 10,
    *[NeedsCode(prefix="C")] * 10,
    *[NeedsTender(one_of=("card",))] * 10,
]
_RUNNING_NEEDS: list[Need] = [
    NeedsLines(match=match, amount_minor_min=amount, basis="running")
    for match in _PLAIN_MATCHES
    for amount in (100, 1_000)
]
plain_needs = st.sampled_from(_NEEDS)
needs: st.SearchStrategy[Need] = st.one_of(
    plain_needs,
    st.sampled_from(_RUNNING_NEEDS),
    some(st.sampled_from(_NEEDS + _RUNNING_NEEDS), 2).map(lambda of: NeedsAll(of=of)),
    some(plain_needs, 2, 1).map(lambda of: NeedsAny(of=of)),
    some(plain_needs, 2).map(lambda of: NeedsNone(of=of)),
)

lot_terms = st.sampled_from(
    [
        LotTerms(delay_days=delay, lifetime_days=lifetime, restriction=restriction)
        for lifetime in (365, 0, 1)
        for delay in (0, 14)
        for restriction in ("", *GROUPS)
    ]
)

rates = st.one_of(one_of(500_000, 1_000_000, 100_000), st.integers(1, 1_000_000))
card_prices = st.dictionaries(
    one_of(*SKUS),
    st.builds(UnitPrice, amount_minor=st.integers(0, 1_000), per_quantity=one_of(1_000, 3_000, 7)),
    min_size=1,
    max_size=3,
).map(lambda prices: CardPrice(prices=prices))
offs: st.SearchStrategy[Off] = st.one_of(
    rates.map(lambda rate: PercentOff(rate_ppm=rate)),
    st.integers(1, 300).map(lambda amount: AmountEach(amount_minor=amount)),
    st.integers(0, 300).map(lambda amount: PriceEach(amount_minor=amount)),
)
units = mostly(
    Units(),
    Units(which="cheapest", count=1),
    Units(which="cheapest", count=3),
    Units(which="dearest", count=2),
)
steps = st.builds(
    Steps,
    by=one_of("amount", "quantity"),
    steps=st.tuples(offs, offs).map(
        lambda two: (Step(at_least=100, off=two[0]), Step(at_least=3_000, off=two[1]))
    ),
    basis=one_of("gross", "running"),
)
stamps: st.SearchStrategy[PriceReward] = st.builds(
    lambda counter, off, which: Stamps(
        counter=counter, every=STAMPS_EVERY[counter], off=off, which=which
    ),
    one_of(*STAMPS_EVERY),
    offs,
    one_of("dearest", "cheapest"),
)
line_rewards = st.one_of(
    st.builds(Percent, rate_ppm=rates, rounding=one_of("offer", "line")),
    card_prices,
    st.builds(AmountOff, amount_minor=st.integers(1, 300), per=one_of("line", "unit")),
    st.builds(FixedPrice, amount_minor=st.integers(0, 300), per=one_of("line", "unit")),
)
plain_rewards = st.one_of(
    st.builds(Percent, rate_ppm=rates, units=units, rounding=mostly("offer", "line")),
    st.builds(
        AmountOff,
        amount_minor=st.integers(1, 2_000),
        per=one_of("receipt", "line", "unit"),
        units=units,
    ),
    st.builds(
        FixedPrice,
        amount_minor=st.integers(0, 2_000),
        per=one_of("unit", "line", "receipt"),
        units=units,
    ),
    card_prices,
    st.builds(
        UnitRates,
        rates_ppm=one_of((0, 500_000), (300_000, 0, 1_000_000), (1,)),
        per=one_of("receipt", "line"),
        first=one_of("dearest", "cheapest"),
    ),
    steps,
    stamps,
)
claiming_rewards = st.one_of(
    st.builds(
        NForM,
        units=one_of(2, 3),
        pay=st.just(1),
        free=mostly("cheapest_of_set", "cheapest_of_all"),
        spread=one_of("rewarded", "set"),
    ),
    st.builds(EveryNth, every=one_of(2, 3), off=offs, spread=one_of("rewarded", "set")),
    st.builds(
        BuyGet,
        buy_units=one_of(1, 2),
        get_units=one_of(1, 2),
        off=offs,
        get_lines=st.one_of(st.just(SameLines()), some_lines),
        partial=st.booleans(),
        spread=one_of("rewarded", "set"),
    ),
    st.builds(
        PartsSet,
        parts=st.tuples(some_lines, some_lines).map(
            lambda two: (Part(name="p", lines=two[0]), Part(name="q", lines=two[1]))
        ),
        off=offs,
    ),
)
price_rewards = st.one_of(plain_rewards, plain_rewards, claiming_rewards)

purposes = mostly("spend", "qualify")
points_rewards = st.one_of(
    st.builds(
        PointsPerMoney,
        points=st.integers(1, 50),
        per_minor=one_of(1, 7, 100),
        basis=mostly("paid", "discounted", "gross"),
        counting=one_of("proportional", "whole_steps"),
        lot=lot_terms,
        purpose=purposes,
    ),
    st.builds(PointsPerItem, points=st.integers(1, 50), lot=lot_terms, purpose=purposes),
    st.builds(PointsPerReceipt, points=st.integers(1, 50), lot=lot_terms, purpose=purposes),
)

hand_outs = st.one_of(
    st.builds(Gift, sku=one_of(*SKUS), units=one_of(1, 2), for_each_units=one_of(0, 1, 3)),
    st.just(IssuedCoupon(coupon="next")),
    st.just(Message(text={"en": "Hello"})),
    st.builds(PartnerPoints, partner=st.just("air"), points=one_of(1, 5), per_minor=one_of(7, 100)),
)

whens = one_of(
    When(),
    When(starts="2025-03-05T12:00:00"),
    When(until="2025-03-05T12:00:00"),
    When(weekdays=(3, 6)),
    When(hours=(("09:00", "12:30"), ("18:00", "24:00"))),
)

whos = one_of(
    Who(),
    Who(identified=True),
    Who(tiers=("gold",)),
    Who(segments=("s",)),
    Who(birthday=True),
    Who(personal=True),
    Who(purchases=(1, 3)),
    Who(every_purchases=2),
)

beside = st.sampled_from(
    [
        Combines(
            group=group,
            mode=mode,
            not_with=not_with,
            order=order,
            base=base,
            on_reduced=on_reduced,
            shares_units=shares_units,
        )
        for group, mode in MODES.items()
        for not_with in ((), (), ("o0",), ("o1", "o2"))
        for order in (100, 1, 2)
        for base in BASES
        for on_reduced in (True, True, False)
        for shares_units in (False, False, True)
    ]
)
limits = mostly(
    Limits(),
    Limits(discount_minor_max=50),
    Limits(points_max=20),
    Limits(units_max=2),
    Limits(units_per_line_max=1),
    Limits(sets_max=1),
    Limits(unit_price_minor_min=90),
    Limits(discount_minor_max=120, units_max=1, sets_max=2, points_max=7),
    Limits(uses_per_account_max=2),
    Limits(uses_per_account_max=2, period="day"),
)


Rewards = st.SearchStrategy[Reward]


def open_offers(rewards: Rewards) -> st.SearchStrategy[Offer]:
    """Draw an offer for everybody, everywhere and always."""
    return st.builds(
        Offer,
        offer_id=st.just("offer"),
        gives=rewards,
        priority=st.integers(-1, 1),
        lines=some_lines,
        combines=beside,
        limits=limits,
    )


def guarded_offers(rewards: Rewards) -> st.SearchStrategy[Offer]:
    """Draw an offer with conditions of every kind."""
    return st.builds(
        Offer,
        offer_id=st.just("offer"),
        gives=rewards,
        priority=st.integers(-1, 1),
        when=whens,
        where=mostly(Where(), Where(stores=("s1",))),
        who=whos,
        lines=matches,
        needs=st.one_of(st.just(NeedsAll()), needs),
        combines=beside,
        limits=limits,
    )


coupon_offers = st.builds(
    Offer,
    offer_id=st.just("offer"),
    gives=price_rewards,
    lines=matches,
    needs=one_of(NeedsCode(one_of=CODES), NeedsCode(prefix="C")),
    limits=one_of(Limits(), Limits(once_per_code=True)),
)
per_line_offers = st.builds(
    Offer,
    offer_id=st.just("offer"),
    gives=line_rewards,
    priority=st.integers(-1, 1),
    lines=some_lines,
    combines=st.just(Combines(group=PER_LINE, mode="best_per_line", order=2)),
)
