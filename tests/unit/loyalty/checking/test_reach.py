"""Which SKUs an offer can reach, as the catalogue tells it."""

import pytest

from loyalty.bundle import Bundle, Product
from loyalty.checking.meeting import Crossing, Meetings, actors_of
from loyalty.checking.reach import ALL, NONE, Assortment, SkuSet
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    BuyGet,
    CardPrice,
    Combines,
    EveryLine,
    LineMatch,
    NeedsTender,
    NoneOf,
    NumberRange,
    Offer,
    Part,
    PartsSet,
    PercentOff,
    UnitPrice,
    When,
    Where,
    Who,
)
from tests.support.builders import bundle, having, offer

CATALOGUE = {
    "milk": Product(department="food/dairy", category="milk", brand="meadow"),
    "cheese": Product(department="food/dairy", category="cheese", brand="alp"),
    "bread": Product(department="food/bread", category="bread"),
    "vodka": Product(department="drink", barred=("discount",)),
}
GROUPS = {"white": ("milk", "cheese"), "empty": ()}
FREE = PercentOff(rate_ppm=1_000_000)


def rules(*offers: Offer) -> Bundle:
    return bundle(*offers, catalogue=CATALOGUE, groups=GROUPS)


def named(*skus: str) -> SkuSet:
    return SkuSet(frozenset(skus))


def test_sets_of_skus_count_like_sets() -> None:
    few, more = named("a", "b"), named("b", "c")
    assert few & more == named("b")
    assert few | more == named("a", "b", "c")
    assert few & ~more == named("a")
    assert ~few & ~more == ~named("a", "b", "c")
    assert ~few | more == ~named("a")
    assert ("a" in few, "a" in ~few) == (True, False)
    assert NONE.is_empty
    assert not ALL.is_empty


@pytest.mark.parametrize("ours", [named(), named("a"), named("a", "b"), ~named("a"), ALL])
@pytest.mark.parametrize("theirs", [named(), named("a"), named("a", "b"), ~named("a", "b"), ALL])
def test_holding_and_meeting_follow_from_the_intersection(ours: SkuSet, theirs: SkuSet) -> None:
    assert (ours <= theirs) == (ours & ~theirs).is_empty
    assert ours.meets(theirs) == (not (ours & theirs).is_empty)


@pytest.mark.parametrize(
    ("match", "surely", "maybe"),
    [
        (EveryLine(), ALL, ALL),
        (having("sku", "milk", "unheard-of"), named("milk", "unheard-of"), None),
        (having("sku", prefix="m"), named("milk"), None),
        (having("group", "white"), named("milk", "cheese"), None),
        (having("group", "empty"), NONE, None),
        (having("category", "bread"), named("bread"), None),
        (having("brand", "unheard-of"), NONE, None),
        (having("department", prefix="food"), named("milk", "cheese", "bread"), None),
        (Attribute(name="department", beneath=("food/dairy",)), named("milk", "cheese"), None),
        (Attribute(name="department", beneath=("foo",)), NONE, None),
        (having("size", "L"), NONE, ALL),
        (having("gtin", "1"), NONE, ALL),
        (NumberRange(name="quantity"), NONE, ALL),
        (NoneOf(of=(having("sku", "milk"),)), ~named("milk"), None),
        (NoneOf(of=(having("size", "L"),)), NONE, ALL),
        (AllOf(of=(having("group", "white"), having("size", "L"))), NONE, named("milk", "cheese")),
        (AnyOf(of=(having("sku", "milk"), having("size", "L"))), named("milk"), ALL),
        (AnyOf(of=()), NONE, None),
        (AllOf(of=()), ALL, None),
    ],
)
def test_a_match_reaches_what_the_catalogue_says(
    match: LineMatch, surely: SkuSet, maybe: SkuSet | None
) -> None:
    reach = Assortment(rules()).reach(match)
    assert (reach.surely, reach.maybe) == (surely, surely if maybe is None else maybe)


def test_without_a_catalogue_only_skus_and_groups_are_known() -> None:
    known = Assortment(bundle(groups=GROUPS))
    assert known.reach(having("brand", "x")).maybe == ALL
    assert known.reach(having("sku", prefix="x")).maybe == ALL
    assert known.reach(having("group", "white")).maybe == named("milk", "cheese")


@pytest.mark.parametrize(
    ("one", "skus"),
    [
        (offer(), ~named("vodka")),
        (offer(lines=having("sku", "vodka", "milk")), named("milk")),
        (
            offer(
                gives=CardPrice(prices={"milk": UnitPrice(amount_minor=1)}),
                lines=having("sku", "milk", "bread"),
            ),
            named("milk"),
        ),
        (
            offer(
                gives=BuyGet(
                    buy_units=1, get_units=1, off=FREE, get_lines=having("sku", "bread", "vodka")
                ),
                lines=having("sku", "milk"),
            ),
            named("bread"),
        ),
        (
            offer(
                gives=PartsSet(
                    parts=(
                        Part(name="a", lines=having("sku", "milk")),
                        Part(name="b", lines=having("department", prefix="food/")),
                    ),
                    off=FREE,
                ),
                lines=NoneOf(of=(having("sku", "cheese"),)),
            ),
            named("milk", "bread"),
        ),
    ],
)
def test_an_offer_reaches_what_it_makes_cheaper(one: Offer, skus: SkuSet) -> None:
    (actor,) = actors_of([one], Assortment(rules(one)))
    assert actor.reach.maybe == skus


MEET: dict[str, tuple[Offer, Offer, bool]] = {
    "everything": (offer("a"), offer("b"), True),
    "one group": (
        offer("a", combines=Combines(group="g")),
        offer("b", combines=Combines(group="g")),
        False,
    ),
    "excluded by the other": (
        offer("a"),
        offer("b", combines=Combines(not_with=("a",))),
        False,
    ),
    "one of the stores": (
        offer("a", where=Where(stores=("1", "2"))),
        offer("b", where=Where(stores=("2", "3"))),
        True,
    ),
    "other stores": (
        offer("a", where=Where(stores=("1", "2"))),
        offer("b", where=Where(stores=("3",))),
        False,
    ),
    "a store and a banner": (
        offer("a", where=Where(stores=("1",))),
        offer("b", where=Where(banners=("x",))),
        True,
    ),
    "other tiers": (offer("a", who=Who(tiers=("g",))), offer("b", who=Who(tiers=("s",))), False),
    "other segments": (
        offer("a", who=Who(segments=("g",))),
        offer("b", who=Who(segments=("s",))),
        True,
    ),
    "the third and the tenth purchase": (
        offer("a", who=Who(purchases=(3,))),
        offer("b", who=Who(purchases=(10,))),
        False,
    ),
    "the tenth purchase and every fifth": (
        offer("a", who=Who(purchases=(3, 10))),
        offer("b", who=Who(every_purchases=5)),
        True,
    ),
    "the third purchase and every fifth": (
        offer("a", who=Who(purchases=(3,))),
        offer("b", who=Who(every_purchases=5)),
        False,
    ),
    "mornings and evenings": (
        offer("a", when=When(hours=(("08:00", "12:00"),))),
        offer("b", when=When(hours=(("12:00", "20:00"),))),
        False,
    ),
    "card and cash": (
        offer("a", needs=NeedsTender(one_of=("card",))),
        offer("b", needs=NeedsTender(one_of=("cash",))),
        False,
    ),
    "small and large": (
        offer("a", lines=having("size", "S")),
        offer("b", lines=having("size", "L")),
        False,
    ),
    "small and red": (
        offer("a", lines=having("size", "S")),
        offer("b", lines=having("colour", "red")),
        True,
    ),
}


@pytest.mark.parametrize("name", MEET)
def test_offers_meet_where_nothing_keeps_them_apart(name: str) -> None:
    first, second, expected = MEET[name]
    meetings = Meetings(GROUPS)
    one, other = actors_of([first, second], Assortment(rules(first, second)))
    assert meetings.can_act_together(one, other) is expected
    assert meetings.can_act_together(other, one) is expected
    assert meetings.compared == 1, "a pair is compared once"


def test_with_no_pairs_left_nothing_meets_and_it_is_said() -> None:
    meetings = Meetings(GROUPS, left=1)
    actors = actors_of([offer("a"), offer("b"), offer("c")], Assortment(rules()))
    assert meetings.can_act_together(actors[0], actors[1])
    assert not meetings.cut_short
    assert not meetings.can_act_together(actors[0], actors[2])
    assert meetings.cut_short


def test_a_crossing_finds_those_that_share_a_sku_once() -> None:
    matches: tuple[LineMatch, ...] = (
        having("sku", "milk"),
        having("group", "white"),
        having("sku", "bread"),
        EveryLine(),
        NoneOf(of=(having("sku", "milk"),)),
        having("sku", "milk"),
    )
    offers = [offer(str(number), lines=match) for number, match in enumerate(matches)]
    actors = actors_of(offers, Assortment(bundle(catalogue=CATALOGUE, groups=GROUPS)))
    crossing = Crossing(actors)

    def sharing(number: int) -> list[str]:
        return sorted(one.offer_id for one in crossing.sharing(actors[number].reach.maybe))

    def holding(number: int) -> list[str]:
        return sorted(one.offer_id for one in crossing.holding(actors[number].reach.maybe))

    assert sharing(0) == ["0", "1", "3", "5"]
    assert sharing(1) == ["0", "1", "3", "4", "5"]
    assert sharing(2) == ["2", "3", "4"]
    assert sharing(3) == ["0", "1", "2", "3", "4", "5"]
    assert holding(0) == ["0", "1", "3", "5"]
    assert holding(1) == ["1", "3"]
    assert holding(2) == ["2", "3", "4"]
    assert holding(3) == ["3"]
