"""Random sets of offers that may contradict each other, and what of them could be published."""

from dataclasses import replace

from hypothesis import strategies as st

from loyalty.bundle import Bundle
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    Combines,
    EveryLine,
    Limits,
    LineMatch,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NoneOf,
    NumberRange,
    Offer,
    PercentOff,
    PointsMultiplier,
    Reward,
    Stamps,
    When,
    Who,
)
from tests.support.offer_strategies import (
    CODES,
    GROUPS,
    SKUS,
    hand_outs,
    mostly,
    one_of,
    points_rewards,
    price_rewards,
    some,
    whens,
    whos,
)
from tests.support.receipt_strategies import bundles

_IDS = ("o0", "o1", "o2", "o3", "more")

_plain_matches: st.SearchStrategy[LineMatch] = st.one_of(
    st.just(EveryLine()),
    some(one_of(*SKUS), 3, 1).map(lambda skus: Attribute(name="sku", one_of=skus)),
    one_of(*GROUPS).map(lambda group: Attribute(name="group", one_of=(group,))),
    one_of("x", "y").map(lambda brand: Attribute(name="brand", one_of=(brand,))),
    one_of("food", "food/da", "h").map(lambda start: Attribute(name="department", prefix=start)),
    one_of("food", "food/dairy", "home").map(
        lambda node: Attribute(name="department", beneath=(node,))
    ),
    one_of("L", "M").map(lambda size: Attribute(name="size", one_of=(size,))),
    st.builds(
        NumberRange,
        name=one_of("unit_price_minor", "gross_minor", "quantity", "size"),
        at_least=one_of(0, 1, 100, 1_000),
        at_most=one_of(1_000, 3_000, 100_000),
    ),
)
line_matches: st.SearchStrategy[LineMatch] = st.one_of(
    _plain_matches,
    some(_plain_matches, 3).map(lambda of: AllOf(of=of)),
    some(_plain_matches, 3).map(lambda of: AnyOf(of=of)),
    some(_plain_matches, 2).map(lambda of: NoneOf(of=of)),
    st.tuples(_plain_matches, _plain_matches).map(
        lambda two: AllOf(of=(two[0], NoneOf(of=(two[1],))))
    ),
)

_plain_needs: st.SearchStrategy[Need] = st.one_of(
    st.builds(
        NeedsLines,
        match=line_matches,
        quantity_min=one_of(0, 1_000, 3_000),
        amount_minor_min=one_of(0, 100, 1_000),
        distinct_min=one_of(0, 1, 2, 3),
        basis=mostly("gross", "running"),
    ),
    some(one_of(*CODES), 2, 1).map(lambda codes: NeedsCode(one_of=codes)),
    st.just(NeedsCode(prefix="C")),
    some(one_of("card", "cash"), 2, 1).map(lambda kinds: NeedsTender(one_of=kinds)),
)
any_needs: st.SearchStrategy[Need] = st.one_of(
    _plain_needs,
    some(_plain_needs, 3).map(lambda of: NeedsAll(of=of)),
    some(_plain_needs, 2, 1).map(lambda of: NeedsAny(of=of)),
    some(_plain_needs, 2).map(lambda of: NeedsNone(of=of)),
    st.tuples(_plain_needs, _plain_needs).map(
        lambda two: NeedsAll(of=(two[0], NeedsNone(of=(two[1],))))
    ),
)

any_rewards: st.SearchStrategy[Reward] = st.one_of(
    price_rewards,
    points_rewards,
    hand_outs,
    st.builds(
        PointsMultiplier, of=some(one_of(*_IDS), 3, 1), factor_ppm=one_of(2_000_000, 1_000_001)
    ),
    st.builds(
        Stamps,
        counter=one_of("coffee", "tea"),
        every=one_of(1, 3),
        off=st.just(PercentOff(rate_ppm=1_000_000)),
    ),
)

any_combinations = st.builds(
    Combines,
    group=one_of("", "best-1", "first-1", "line-1", "points-best"),
    mode=one_of("best", "first", "best_per_line"),
    not_with=some(one_of(*_IDS), 2),
    order=one_of(100, 1),
    base=one_of("running", "initial"),
    on_reduced=st.booleans(),
    shares_units=st.booleans(),
)

any_limits = st.builds(
    Limits,
    discount_minor_max=mostly(0, 50),
    points_max=mostly(0, 20),
    units_max=mostly(0, 1, 2),
    units_per_line_max=mostly(0, 1),
    sets_max=mostly(0, 1, 2),
    unit_price_minor_min=mostly(0, 90),
    uses_per_account_max=mostly(0, 1),
    period=one_of("ever", "day", "week", "month", "year"),
    once_per_code=st.booleans(),
)


@st.composite
def changed(draw: st.DrawFn, offer: Offer) -> Offer:
    """Change one thing about an offer without looking at the others."""
    changes: dict[str, st.SearchStrategy[object]] = {
        "gives": any_rewards,
        "lines": line_matches,
        "needs": any_needs,
        "combines": any_combinations,
        "limits": any_limits,
        "offer_id": one_of(*_IDS),
        "who": st.one_of(whos, st.just(Who(purchases=(1,), every_purchases=2))),
        "when": st.one_of(whens, st.just(When(starts="2025-03-04", until="2025-03-03"))),
    }
    name = draw(one_of(*changes))
    return replace(offer, **{name: draw(changes[name])})  # type: ignore[arg-type]


@st.composite
def any_bundles(draw: st.DrawFn) -> Bundle:
    """Draw a bundle some of whose offers were changed carelessly."""
    rules = draw(bundles())
    offers = list(rules.offers)
    for _ in range(draw(one_of(1, 2, 3, 5))):
        at = draw(st.integers(0, len(offers) - 1))
        offers[at] = draw(changed(offers[at]))
    return replace(rules, offers=tuple(offers))
