"""A bundle becomes an index that finds every offer that could act, or is refused with advice."""

import pytest

from loyalty.basket import Place
from loyalty.bundle import Product
from loyalty.calculate import calculate
from loyalty.compilation import PlaceIndex, compile_bundle
from loyalty.errors import RuleSetError
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    BuyGet,
    CardPrice,
    LineMatch,
    LotTerms,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NoneOf,
    Offer,
    Part,
    PartsSet,
    PercentOff,
    PointsPerItem,
    PriceEach,
    UnitPrice,
    When,
    Where,
)
from tests.support.builders import (
    basket,
    bundle,
    combines,
    having,
    line,
    moment,
    offer,
    place,
    rules,
)

DAY = "2025-03-05"
EVERYWHERE = ("", "")


def found_by(index: PlaceIndex) -> set[tuple[str, str]]:
    """Return every key under which the index holds offers."""
    anywhere = {EVERYWHERE} if index.wholesale or index.anywhere else set()
    codes = {("code", code) for compiled in index.coded for code in compiled.codes}
    return {*index.by_key, *codes, *anywhere}


def keys(one: Offer) -> set[tuple[str, str]]:
    """Return the keys under which the index holds the offer."""
    compiled = rules(one, groups={"g": (), "h": ()})
    return found_by(compiled.on(place(), DAY))


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (having("sku", "a", "b"), {("sku", "a"), ("sku", "b")}),
        (having("group", "g"), {("group", "g")}),
        (having("size", "L"), {("size", "L")}),
        (having("brand", prefix="A"), {EVERYWHERE}),
        (AllOf(of=(having("sku", "a", "b"), having("brand", "x"))), {("brand", "x")}),
        (AllOf(of=(having("brand", prefix="A"), having("sku", "a"))), {("sku", "a")}),
        (AllOf(of=()), {EVERYWHERE}),
        (AnyOf(of=(having("sku", "a"), having("brand", "x"))), {("sku", "a"), ("brand", "x")}),
        (AnyOf(of=(having("sku", "a"), having("brand", prefix="x"))), {EVERYWHERE}),
        (NoneOf(of=(having("sku", "a"),)), {EVERYWHERE}),
    ],
)
def test_an_offer_is_found_by_keys_every_matching_line_carries(
    match: LineMatch, expected: set[tuple[str, str]]
) -> None:
    assert keys(offer(lines=match)) == expected


def test_an_offer_on_a_tree_is_found_by_its_node() -> None:
    dairy = Attribute(name="department", beneath=("food/dairy",))
    assert keys(offer(lines=dairy)) == {("department/", "food/dairy")}


def test_a_set_is_found_by_the_keys_of_all_its_parts() -> None:
    parts = (
        Part(name="soup", lines=having("sku", "a")),
        Part(name="tea", lines=having("sku", "b")),
    )
    lunch = PartsSet(parts=parts, off=PriceEach(amount_minor=500))
    assert keys(offer(gives=lunch)) == {("sku", "a"), ("sku", "b")}


def test_goods_to_get_are_found_too() -> None:
    gives = BuyGet(
        buy_units=1, get_units=1, off=PercentOff(rate_ppm=500_000), get_lines=having("sku", "b")
    )
    assert keys(offer(lines=having("sku", "a"), gives=gives)) == {("sku", "a"), ("sku", "b")}


def test_a_card_price_is_found_by_its_skus() -> None:
    prices = {"a": UnitPrice(amount_minor=1), "b": UnitPrice(amount_minor=2)}
    assert keys(offer(gives=CardPrice(prices=prices))) == {("sku", "a"), ("sku", "b")}


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (NeedsCode(one_of=("A", "B")), {("code", "A"), ("code", "B")}),
        (NeedsAll(of=(NeedsLines(), NeedsCode(one_of=("A",)))), {("code", "A")}),
        (NeedsAny(of=(NeedsCode(one_of=("A",)), NeedsLines())), {EVERYWHERE}),
        (NeedsNone(of=(NeedsCode(one_of=("A",)),)), {EVERYWHERE}),
    ],
)
def test_an_offer_that_cannot_do_without_a_code_is_found_by_it(
    needs: NeedsAll, expected: set[tuple[str, str]]
) -> None:
    assert keys(offer(needs=needs)) == expected


def test_a_code_opens_its_offers_whenever_it_is_asked_for() -> None:
    compiled = rules(
        offer("a", needs=NeedsCode(one_of=("X-1", "Y"))),
        offer("b", needs=NeedsCode(prefix="X-")),
        offer("c"),
    )
    index = compiled.on(place(), DAY)
    assert index.offers_for_codes(()) == []
    for _ in range(2):
        assert [each.offer.offer_id for each in index.offers_for_codes(("X-1",))] == ["a", "b"]
    assert [each.offer.offer_id for each in index.offers_for_codes(("Y", "Z"))] == ["a"]


@pytest.mark.parametrize(
    ("where", "here"),
    [
        (Where(), True),
        (Where(stores=("store-1", "store-2")), True),
        (Where(stores=("store-2",)), False),
        (Where(regions=("north",)), True),
        (Where(regions=("south",)), False),
        (Where(banners=("red",)), False),
        (Where(tills=("till-1",)), True),
        (Where(tills=("till-2",)), False),
        (Where(channels=("app",)), False),
        (Where(stores=("store-1",), channels=("app",)), False),
    ],
)
def test_an_offer_is_in_the_index_of_its_places(where: Where, *, here: bool) -> None:
    assert bool(found_by(rules(offer(where=where)).on(place(), DAY))) is here


@pytest.mark.parametrize(
    ("when", "today"),
    [
        (When(), True),
        (When(starts=DAY), True),
        (When(starts="2025-03-05T23:00:00"), True),
        (When(starts="2025-03-06"), False),
        (When(until=DAY), False),
        (When(until="2025-03-05T00:00:00"), False),
        (When(until="2025-03-05T00:00:01"), True),
        (When(until="2025-03-06"), True),
    ],
)
def test_an_offer_is_in_the_index_of_the_days_its_window_touches(
    when: When, *, today: bool
) -> None:
    assert bool(found_by(rules(offer(when=when)).on(place(), DAY))) is today


def test_many_places_and_days_change_no_index() -> None:
    compiled = rules(offer("a", where=Where(stores=("store-3",))), offer("b"))
    first = [one.offer.offer_id for one in compiled.on(place("store-3"), DAY).wholesale]
    for number in range(20):
        compiled.on(place(f"store-{number}"), f"2025-03-{number + 1:02}")
    again = compiled.on(place("store-3"), DAY).wholesale
    assert [one.offer.offer_id for one in again] == first == ["a", "b"]


def test_places_that_no_offer_tells_apart_share_an_index() -> None:
    compiled = rules(offer("a", where=Where(stores=("store-3",))), offer("b"))
    one = Place(store="store-3", till="till-1", region="north")
    other = Place(store="store-3", till="till-2", region="south")
    assert compiled.on(one, DAY) is compiled.on(other, DAY)
    assert compiled.on(one, DAY) is not compiled.on(Place(store="store-4"), DAY)


def test_the_indexes_used_last_are_kept() -> None:
    compiled = rules(offer("a", where=Where(stores=("store-0",))))
    first = compiled.on(Place(store="store-0"), DAY)
    for number in range(1, 20):
        compiled.on(Place(store=f"store-{number}"), DAY)
        assert compiled.on(Place(store="store-0"), DAY) is first


def test_a_sku_knows_its_groups_in_order() -> None:
    compiled = rules(groups={"b": ("milk",), "a": ("milk", "soap")})
    assert compiled.groups_of == {"milk": ("a", "b"), "soap": ("a",)}


def test_an_unknown_sku_is_an_empty_product() -> None:
    assert rules().on(place(), DAY).view(line(sku="?")).product == Product()


def test_only_offers_that_touch_the_basket_are_considered() -> None:
    compiled = rules(
        offer("milk", lines=having("sku", "milk")),
        offer("soap", lines=having("sku", "soap")),
        offer("coupon", needs=NeedsCode(one_of=("C",))),
    )
    result = calculate(basket(line(sku="milk")), compiled, moment=moment(), place=place())
    assert [reason.offer_id for reason in result.reasons] == ["milk"]


LACKING = "names product group 'x', which the bundle lacks; add it to groups"
REFUSED = {
    "one id for two offers": ([offer("a"), offer("a")], "offer 'a' stands in the bundle twice"),
    "lines of no group": ([offer(lines=having("group", "x"))], LACKING),
    "lines of no group, deep down": (
        [offer(lines=AllOf(of=(NoneOf(of=(having("group", "g", "x"),)),)))],
        LACKING,
    ),
    "needs of no group": (
        [offer(needs=NeedsAny(of=(NeedsLines(match=having("group", "x")),)))],
        LACKING,
    ),
    "points for no group": (
        [offer(gives=PointsPerItem(points=1, lot=LotTerms(restriction="x")))],
        LACKING,
    ),
    "ends before it starts": (
        [offer(when=When(starts="2025-02-01", until="2025-01-01"))],
        "ends before it starts; swap when.starts and when.until",
    ),
    "ends as it starts": (
        [offer(when=When(starts="2025-02-01", until="2025-02-01"))],
        "ends before it starts",
    ),
    "two modes in a group": (
        [offer("a", combines=combines("g")), offer("b", combines=combines("g", mode="first"))],
        "offers 'a' and 'b' give group 'g' two modes; choose one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_set_that_contradicts_itself_is_refused_with_what_to_do(name: str) -> None:
    offers, problem = REFUSED[name]
    with pytest.raises(RuleSetError, match=problem):
        compile_bundle(bundle(*offers, groups={"g": ()}), "00")
