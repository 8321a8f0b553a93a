"""Small random receipts that reach every kind of condition, reward and group.

Few names and round figures, so that offers meet each other on the same lines.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

from hypothesis import strategies as st

from loyalty.account import AccountSnapshot, LotPart, RedeemRequest, SpendRight
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import Bundle, Product, Programme, RedemptionTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import compile_bundle
from loyalty.offers import (
    AllOf,
    AmountOff,
    AnyOf,
    Attribute,
    CardPrice,
    Combines,
    EveryLine,
    LineMatch,
    LotTerms,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NoneOf,
    Offer,
    Percent,
    PointsPerItem,
    PointsPerMoney,
    UnitPrice,
    When,
    Where,
    Who,
)

T = TypeVar("T")

SKUS = ("a", "b", "c", "d")
UNKNOWN_SKU = "?"
GROUPS = {"dairy": ("a", "b"), "fresh": ("b", "c"), "none": ()}
CODES = ("C1", "C2")
# The mode belongs to the group, so that no generated set contradicts itself.
MODES = {"": "best", "best-1": "best", "best-2": "best", "first-1": "first"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """All inputs of one calculation."""

    basket: Basket
    bundle: Bundle
    account: AccountSnapshot
    request: RedeemRequest
    right: SpendRight
    moment: Moment
    place: Place

    def calculate(self) -> Calculation:
        """Calculate with a bundle compiled for this one receipt."""
        return calculate(
            self.basket,
            compile_bundle(self.bundle, "00"),
            moment=self.moment,
            place=self.place,
            account=self.account,
            request=self.request,
            right=self.right,
        )


def some(of: st.SearchStrategy[T], most: int, least: int = 0) -> st.SearchStrategy[tuple[T, ...]]:
    """Draw a tuple of `least` to `most` values."""
    return st.lists(of, min_size=least, max_size=most).map(tuple)


def one_of(*values: T) -> st.SearchStrategy[T]:
    """Draw one of the values; the first one is the simplest."""
    return st.sampled_from(values)


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """Draw the usual value as often as all others together and one."""
    return st.sampled_from((*[usual] * (len(others) + 1), *others))


amounts = st.one_of(st.integers(0, 300), st.integers(0, 100_000))

attributes: st.SearchStrategy[Attribute] = st.one_of(
    some(one_of(*SKUS), 3, 1).map(lambda skus: Attribute(name="sku", one_of=skus)),
    one_of(*GROUPS).map(lambda group: Attribute(name="group", one_of=(group,))),
    one_of("x", "y").map(lambda brand: Attribute(name="brand", one_of=(brand,))),
    one_of("food", "food/dairy").map(lambda start: Attribute(name="department", prefix=start)),
    one_of("L", "M").map(lambda size: Attribute(name="size", one_of=(size,))),
)

# Two levels by hand: drawing `st.recursive` took most of the time, and offers seldom acted.
plain_matches: st.SearchStrategy[LineMatch] = st.one_of(st.just(EveryLine()), attributes)
joined_matches: st.SearchStrategy[LineMatch] = st.one_of(
    some(plain_matches, 2).map(lambda of: AllOf(of=of)),
    some(plain_matches, 2).map(lambda of: AnyOf(of=of)),
    some(plain_matches, 2).map(lambda of: NoneOf(of=of)),
)
matches: st.SearchStrategy[LineMatch] = st.one_of(
    st.just(EveryLine()),
    attributes,
    joined_matches,
    some(st.one_of(plain_matches, joined_matches), 2, 1).map(lambda of: AnyOf(of=of)),
)

plain_needs: st.SearchStrategy[Need] = st.one_of(
    st.builds(
        NeedsLines,
        match=plain_matches,
        quantity_min=one_of(0, 1_000, 3_000),
        amount_minor_min=one_of(0, 100, 1_000),
        distinct_min=one_of(0, 1, 2),
    ),
    some(one_of(*CODES), 2, 1).map(lambda codes: NeedsCode(one_of=codes)),
    st.just(NeedsTender(one_of=("card",))),
)
needs: st.SearchStrategy[Need] = st.one_of(
    plain_needs,
    some(plain_needs, 2).map(lambda of: NeedsAll(of=of)),
    some(plain_needs, 2, 1).map(lambda of: NeedsAny(of=of)),
    some(plain_needs, 2).map(lambda of: NeedsNone(of=of)),
)

lot_terms = st.builds(
    LotTerms,
    delay_days=st.integers(0, 20),
    lifetime_days=st.integers(0, 400),
    restriction=one_of("", *GROUPS),
)

price_rewards = st.one_of(
    st.integers(1, 1_000_000).map(lambda rate: Percent(rate_ppm=rate)),
    st.integers(1, 2_000).map(lambda amount: AmountOff(amount_minor=amount)),
    st.dictionaries(
        one_of(*SKUS),
        st.builds(
            UnitPrice, amount_minor=st.integers(0, 1_000), per_quantity=one_of(1_000, 3_000, 7)
        ),
        min_size=1,
        max_size=3,
    ).map(lambda prices: CardPrice(prices=prices)),
)

points_rewards = st.one_of(
    st.builds(
        PointsPerMoney, points=st.integers(1, 50), per_minor=one_of(1, 7, 100), lot=lot_terms
    ),
    st.builds(PointsPerItem, points=st.integers(1, 50), lot=lot_terms),
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
)

combinations = one_of(*MODES).flatmap(
    lambda group: st.builds(
        Combines,
        group=st.just(group),
        mode=st.just(MODES[group]),
        order=one_of(100, 1, 2),
        base=one_of("running", "initial"),
        on_reduced=st.booleans(),
    )
)


Rewards = (
    st.SearchStrategy[Percent | AmountOff | CardPrice]
    | st.SearchStrategy[PointsPerMoney | PointsPerItem]
)


def open_offers(rewards: Rewards) -> st.SearchStrategy[Offer]:
    """Draw an offer for everybody, everywhere and always."""
    return st.builds(
        Offer,
        offer_id=st.just("offer"),
        gives=rewards,
        priority=st.integers(-1, 1),
        lines=st.one_of(st.just(EveryLine()), attributes),
        combines=combinations,
        discount_minor_max=mostly(0, 50),
        points_max=mostly(0, 20),
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
        combines=combinations,
    )


products = st.builds(
    Product,
    department=one_of("", "food/dairy", "home"),
    brand=one_of("", "x", "y"),
    floor_minor_per_unit=mostly(0, 1, 90, 500),
    barred=mostly((), ("discount",), ("redeem",), ("earn",), ("discount", "redeem")),
)

programmes = st.builds(
    Programme,
    programme_id=st.just("p"),
    currency=st.just("EUR"),
    point_value_minor=one_of(1, 10, 100),
    point_value_points=one_of(1, 3, 10),
    redemption=st.builds(
        RedemptionTerms,
        receipt_share_max_ppm=mostly(500_000, 1_000_000, 333_333, 0),
        line_share_max_ppm=one_of(1_000_000, 990_000, 300_000),
        left_to_pay_minor_min=one_of(0, 1, 100),
        line_left_minor_min=one_of(0, 1, 10),
        points_min=one_of(1, 10),
    ),
)


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Draw a bundle of a few offers with ids of their own, in random order."""
    found = [
        *draw(st.lists(open_offers(price_rewards), min_size=1, max_size=4)),
        *draw(st.lists(guarded_offers(price_rewards), max_size=3)),
        *draw(st.lists(open_offers(points_rewards), max_size=2)),
        *draw(st.lists(guarded_offers(points_rewards), max_size=2)),
    ]
    named = [_named(one, f"o{number}") for number, one in enumerate(found)]
    return Bundle(
        version=1,
        programme=draw(programmes),
        offers=tuple(draw(st.permutations(named))),
        catalogue=draw(st.dictionaries(one_of(*SKUS), products, max_size=len(SKUS))),
        groups=GROUPS,
    )


def _named(one: Offer, offer_id: str) -> Offer:
    named = replace(one, offer_id=offer_id)
    if isinstance(one.gives, PointsPerMoney | PointsPerItem):
        # Groups hold for price offers only; a bundle that says otherwise is refused.
        return replace(named, combines=replace(one.combines, group=""))
    return named


@st.composite
def basket_lines(draw: st.DrawFn, line_id: str) -> BasketLine:
    """Draw a line sold by piece or by weight."""
    by_weight = draw(st.booleans())
    return BasketLine(
        line_id=line_id,
        sku=draw(one_of(*SKUS, *SKUS, UNKNOWN_SKU)),
        quantity=draw(st.integers(1, 5_000) if by_weight else one_of(1_000, 2_000, 6_000)),
        gross_minor=draw(amounts),
        by_weight=by_weight,
        pos_reduced=draw(st.booleans()),
        brand=draw(one_of("", "x")),
        attributes=draw(one_of({}, {"size": "L"}, {"size": "M", "colour": "red"})),
    )


@st.composite
def baskets(draw: st.DrawFn, lines_max: int = 6) -> Basket:
    """Draw a basket, now and then an empty one; its lines are not in the order of their ids."""
    every_id = ("B", "a", "3", "10", "2", "1")
    ids = draw(st.permutations(every_id))[: draw(one_of(*range(1, lines_max + 1), 0))]
    return Basket(
        lines=tuple(draw(basket_lines(line_id)) for line_id in ids),
        codes=draw(some(one_of(*CODES, "C9"), 3)),
        tender=draw(one_of("", "card", "cash")),
    )


@st.composite
def rights(draw: st.DrawFn) -> SpendRight:
    """Draw a right over some lots and sometimes more."""
    lots = tuple(
        LotPart(
            lot_id=number,
            points=draw(st.integers(1, 500)),
            expires_on=draw(one_of("", "2025-04-01", "2026-01-01")),
            restriction=draw(one_of("", "", "dairy")),
        )
        for number in range(1, 1 + draw(st.integers(0, 3)))
    )
    return SpendRight(
        points=sum(lot.points for lot in lots) + draw(one_of(0, 37, 10_000)), lots=lots
    )


accounts = st.builds(
    AccountSnapshot,
    identified=st.integers(0, 3).map(bool),
    account_id=one_of(0, 7),
    tier=one_of("", "gold"),
    segments=one_of((), ("s",)),
    in_birthday_window=st.booleans(),
)

receipts = st.builds(
    Receipt,
    basket=baskets(),
    bundle=bundles(),
    account=accounts,
    request=st.builds(
        RedeemRequest, points=one_of(30, 5_000, 1, 0), as_many_as_possible=st.booleans()
    ),
    right=rights(),
    moment=one_of(
        Moment(local="2025-03-05T12:00:00"),
        Moment(local="2025-03-05T11:59:59"),
        Moment(local="2025-03-08T20:00:00"),
    ),
    place=one_of(Place(store="s1"), Place(store="s2")),
)
