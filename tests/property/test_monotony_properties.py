"""More goods never make other goods dearer, where the rules promise it (receipt 10).

The promise cannot hold everywhere: a group takes another offer for the new goods, a set takes other
pieces, a maximum is shared by more lines, a share that a floor refuses finds another place. It
holds, and is tested here, for offers that act line by line (exactly), for percentages rounded once
for the whole offer (up to their rounding), and for the total of multi-buys.
"""

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from loyalty.account import LotPart
from loyalty.basket import Basket
from loyalty.bundle import Product
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import compile_bundle
from loyalty.offers import (
    BuyGet,
    Combines,
    EveryNth,
    Limits,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsLines,
    NForM,
    Offer,
    Part,
    PartsSet,
    Percent,
    PriceReward,
    SameLines,
)
from tests.support.builders import basket, bundle, moment, place
from tests.support.effort import examples
from tests.support.offer_strategies import (
    GROUPS,
    PER_LINE,
    SKUS,
    line_rewards,
    offs,
    one_of,
    plain_matches,
    rates,
    some,
    some_lines,
)
from tests.support.published import publishable
from tests.support.receipt_strategies import Receipt, basket_lines, products, receipts

# Thresholds that more goods can only reach
rising_needs: st.SearchStrategy[Need] = st.one_of(
    st.just(NeedsAll()),
    st.builds(
        NeedsLines,
        match=plain_matches,
        quantity_min=one_of(0, 1_000, 5_000),
        amount_minor_min=one_of(0, 100, 1_000),
        distinct_min=one_of(0, 1, 2, 3),
    ),
)
needs: st.SearchStrategy[Need] = st.one_of(
    rising_needs,
    some(rising_needs, 2).map(lambda of: NeedsAll(of=of)),
    some(rising_needs, 2, 1).map(lambda of: NeedsAny(of=of)),
)


def offers_of(
    rewards: st.SearchStrategy[PriceReward],
    beside: st.SearchStrategy[Combines],
    limits: st.SearchStrategy[Limits],
) -> st.SearchStrategy[tuple[Offer, ...]]:
    """Draw a few offers with ids of their own."""
    each = st.builds(
        Offer,
        offer_id=st.just("offer"),
        gives=rewards,
        priority=st.integers(-1, 1),
        lines=some_lines,
        needs=needs,
        combines=beside,
        limits=limits,
    )
    return some(each, 5, 1).map(
        lambda of: tuple(replace(one, offer_id=f"o{n}") for n, one in enumerate(of))
    )


alone = st.builds(Combines, order=one_of(100, 1, 3), base=one_of("running", "initial"))
per_line = st.just(Combines(group=PER_LINE, mode="best_per_line", order=2))
line_limits = one_of(
    Limits(), Limits(), Limits(units_per_line_max=1), Limits(unit_price_minor_min=90)
)


@st.composite
def growing_baskets(draw: st.DrawFn) -> tuple[Basket, Basket]:
    """Draw a basket, and the same one with more lines among its own."""
    lines = tuple(
        draw(basket_lines(line_id)) for line_id in ("2", "4", "6")[: draw(one_of(1, 2, 3))]
    )
    more = tuple(
        draw(basket_lines(line_id)) for line_id in ("1", "5", "7")[: draw(one_of(1, 2, 3))]
    )
    return basket(*lines), basket(*lines, *more)


def left_by_line(result: Calculation) -> dict[str, int]:
    """Return what discounts leave to pay on each line."""
    return {one.line_id: one.gross_minor - one.discount_minor for one in result.lines}


def calculated(
    goods: Basket, offers: tuple[Offer, ...], catalogue: dict[str, Product]
) -> Calculation:
    """Calculate for nobody in particular."""
    published = publishable(bundle(*offers, catalogue=catalogue, groups=GROUPS))
    compiled = compile_bundle(published, "00")
    return calculate(goods, compiled, moment=moment(), place=place())


def _by_line(reward: PriceReward) -> PriceReward:
    return replace(reward, rounding="line") if isinstance(reward, Percent) else reward


catalogues = st.dictionaries(one_of(*SKUS), products, max_size=2)


@settings(max_examples=examples(150))
@given(
    growing_baskets(),
    offers_of(line_rewards.map(_by_line), st.one_of(alone, per_line), line_limits),
    catalogues,
)
def test_a_line_more_makes_no_other_line_dearer_where_offers_act_line_by_line(
    goods: tuple[Basket, Basket], offers: tuple[Offer, ...], catalogue: dict[str, Product]
) -> None:
    few, many = (calculated(each, offers, catalogue) for each in goods)
    after = left_by_line(many)
    event("lowered" if few.totals.discount_minor else "not lowered")
    for line_id, left in left_by_line(few).items():
        assert after[line_id] <= left


@settings(max_examples=examples(150))
@given(
    growing_baskets(),
    offers_of(st.builds(Percent, rate_ppm=rates), st.just(Combines()), st.just(Limits())),
)
def test_a_line_more_moves_a_percentage_by_no_more_than_its_rounding(
    goods: tuple[Basket, Basket], offers: tuple[Offer, ...]
) -> None:
    # Rounded once and split, a line's share is less than 1.5 from the exact one: two bases differ
    # by less than 3, whole numbers by 2 at most, for each offer that acts before the line is paid.
    few, many = (calculated(each, offers, {}) for each in goods)
    after = left_by_line(many)
    for line_id, left in left_by_line(few).items():
        assert after[line_id] <= left + 2 * len(offers)


multi_buys: st.SearchStrategy[PriceReward] = st.one_of(
    st.builds(NForM, units=one_of(2, 3, 4), pay=st.just(1)),
    st.builds(EveryNth, every=one_of(2, 3), off=offs),
    st.builds(
        BuyGet,
        buy_units=one_of(1, 2),
        get_units=one_of(1, 2),
        off=offs,
        get_lines=st.one_of(st.just(SameLines()), some_lines),
        partial=st.booleans(),
    ),
    st.builds(
        PartsSet,
        parts=st.tuples(some_lines, some_lines).map(
            lambda two: (Part(name="p", lines=two[0]), Part(name="q", lines=two[1]))
        ),
        off=offs,
    ),
)


@settings(max_examples=examples(100))
@given(
    growing_baskets(),
    offers_of(
        multi_buys, st.builds(Combines, order=one_of(100, 1)), one_of(Limits(), Limits(sets_max=1))
    ),
)
def test_a_line_more_never_makes_the_discount_of_multi_buys_smaller(
    goods: tuple[Basket, Basket], offers: tuple[Offer, ...]
) -> None:
    few, many = (calculated(each, offers, {}) for each in goods)
    event("lowered" if few.totals.discount_minor else "not lowered")
    assert many.totals.discount_minor + many.gap_minor >= few.totals.discount_minor


@settings(max_examples=examples(60))
@given(receipts, st.integers(1, 300), one_of("", *GROUPS))
def test_a_lot_more_never_redeems_less(receipt: Receipt, points: int, restriction: str) -> None:
    lots = (*receipt.right.lots, LotPart(lot_id=99, points=points, restriction=restriction))
    more = replace(receipt.right, points=receipt.right.points + points, lots=lots)
    before, after = (
        replace(receipt, right=right).calculate().totals for right in (receipt.right, more)
    )
    event("redeemed" if before.redeemed_points else "not redeemed")
    assert after.redeemed_minor >= before.redeemed_minor
