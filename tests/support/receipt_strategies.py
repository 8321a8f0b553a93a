"""Small random receipts that reach every kind of condition, reward and group."""

from collections.abc import Container
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from loyalty.account import AccountSnapshot, LotPart, RedeemRequest, SpendRight
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import (
    Bundle,
    Product,
    Programme,
    ReceiptTerms,
    RedemptionTerms,
    ReturnTerms,
)
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import Rules, compile_bundle
from loyalty.offers import (
    Gift,
    IssuedCoupon,
    Limits,
    Message,
    NeedsAll,
    Offer,
    PartnerPoints,
    Percent,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsReward,
    only_qualifies,
)
from tests.support.offer_strategies import (
    CODES,
    GROUPS,
    POINTS_MODES,
    SKUS,
    Mode,
    coupon_offers,
    guarded_offers,
    hand_outs,
    matches,
    mostly,
    one_of,
    open_offers,
    per_line_offers,
    points_rewards,
    price_rewards,
    some,
)
from tests.support.published import publishable

UNKNOWN_SKU = "?"

amounts = st.one_of(st.integers(0, 300), st.integers(0, 100_000))


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

    def calculate(self, rules: Rules | None = None) -> Calculation:
        """Calculate with these rules, or with the bundle compiled for this one receipt."""
        return calculate(
            self.basket,
            rules or compile_bundle(self.bundle, "00"),
            moment=self.moment,
            place=self.place,
            account=self.account,
            request=self.request,
            right=self.right,
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
    points_in_benefit=st.booleans(),
    receipt=st.builds(
        ReceiptTerms,
        discount_minor_max=mostly(0, 200),
        discount_share_max_ppm=mostly(0, 300_000),
        line_left_minor_min=mostly(0, 1, 50),
    ),
    returns=st.builds(ReturnTerms, broken_condition=one_of("keep", "charge_back")),
    redemption=st.builds(
        RedemptionTerms,
        receipt_share_max_ppm=mostly(500_000, 1_000_000, 333_333, 0),
        line_share_max_ppm=one_of(1_000_000, 990_000, 300_000),
        left_to_pay_minor_min=one_of(0, 1, 100),
        line_left_minor_min=one_of(0, 1, 10),
        points_min=one_of(1, 10),
        points_per_day_max=mostly(0, 25),
        mode=mostly("discount", "tender"),
    ),
)


rates = st.builds(Percent, rate_ppm=one_of(100_000, 333_333))


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Draw a bundle of a few offers with ids of their own, in random order."""
    found = [
        *draw(st.lists(open_offers(price_rewards), min_size=1, max_size=4)),
        *draw(st.lists(st.one_of(guarded_offers(price_rewards), coupon_offers), max_size=2)),
        *draw(st.lists(per_line_offers, max_size=2)),
        *draw(st.lists(open_offers(points_rewards), max_size=2)),
        *draw(st.lists(guarded_offers(st.one_of(points_rewards, hand_outs)), max_size=1)),
    ]
    points_group = draw(one_of(*POINTS_MODES.items()))
    named = [_named(one, f"o{number}", points_group) for number, one in enumerate(found)]
    per_line = {one.offer_id for one in named if one.combines.mode == "best_per_line"}
    named = [_without(one, {one.offer_id, *per_line}, len(named)) for one in named]
    giving = tuple(
        one.offer_id
        for one in named
        if isinstance(one.gives, PointsReward) and not only_qualifies(one.gives)
    )
    is_multiplied = draw(st.booleans())
    if giving and is_multiplied:
        multiplier = PointsMultiplier(of=giving[:2], factor_ppm=draw(one_of(2_000_000, 1_500_000)))
        named.append(Offer(offer_id="more", gives=multiplier, lines=draw(matches)))
    drawn = Bundle(
        version=1,
        programme=draw(programmes),
        offers=tuple(draw(st.permutations(named))),
        catalogue=draw(st.dictionaries(one_of(*SKUS), products, max_size=len(SKUS))),
        groups=GROUPS,
    )
    kept = publishable(drawn)
    return kept if kept.offers else replace(kept, offers=(Offer(offer_id="o0", gives=draw(rates)),))


def _named(one: Offer, offer_id: str, points_group: tuple[str, Mode]) -> Offer:
    """Give an offer its id and, where it gives points or things, a group that may hold them."""
    group, mode = one.combines.group, one.combines.mode
    if isinstance(one.gives, PointsReward):
        group, mode = points_group if group else ("", "best")
        by_line = isinstance(one.gives, PointsPerMoney | PointsPerItem)
        if only_qualifies(one.gives) or (
            mode == "best_per_line"
            and not (by_line and one.limits == Limits() and one.needs == NeedsAll())
        ):
            group, mode = "", "best"
    elif isinstance(one.gives, Gift | IssuedCoupon | Message | PartnerPoints):
        group, mode = "", "best"
    return replace(one, offer_id=offer_id, combines=replace(one.combines, group=group, mode=mode))


def _without(one: Offer, refused: Container[str], count: int) -> Offer:
    """Let an offer exclude only offers that there are and that may be excluded."""
    ids = {f"o{number}" for number in range(count)}
    not_with = one.combines.not_with if one.combines.mode != "best_per_line" else ()
    kept = tuple(other for other in not_with if other in ids and other not in refused)
    return replace(one, combines=replace(one.combines, not_with=kept))


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
            restriction=draw(one_of("", *GROUPS)),
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
    personal_offers=one_of((), ("o1", "o4", "o5")),
    purchases=st.integers(0, 3),
    counters=st.fixed_dictionaries(
        {},
        optional={
            "uses:o0": st.integers(0, 3),
            "uses:o1@2025-03-05": st.integers(0, 3),
            "stamps:coffee": st.integers(0, 7),
            "stamps:tea": st.integers(0, 7),
            "redeemed@2025-03-05": st.integers(0, 30),
        },
    ),
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
