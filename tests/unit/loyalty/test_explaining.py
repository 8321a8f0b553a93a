"""Why an offer did what it did, and what is missing."""

from collections.abc import Mapping

import pytest

from loyalty.basket import BasketLine
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import (
    AmountEach,
    AmountOff,
    BuyGet,
    CardPrice,
    Combines,
    EveryNth,
    Gift,
    IssuedCoupon,
    Limits,
    Message,
    NForM,
    Offer,
    Part,
    PartnerPoints,
    PartsSet,
    Percent,
    PercentOff,
    PointsPerItem,
    PriceReward,
    Stamps,
    Step,
    Steps,
    UnitPrice,
)
from tests.support.builders import (
    account,
    basket,
    having,
    line,
    moment,
    offer,
    place,
    rules,
)

NO_COUNTERS: Mapping[str, int] = {}
FREE = PercentOff(rate_ppm=1_000_000)
FREE_CARD_PRICE = CardPrice(prices={"milk": UnitPrice(amount_minor=0)})
PERCENT = Percent(rate_ppm=100_000)
CAKE = having("sku", "cake")
COFFEE = having("sku", "coffee")


def calculated(
    *offers: Offer,
    lines: tuple[BasketLine, ...],
    counters: Mapping[str, int] = NO_COUNTERS,
) -> Calculation:
    """Calculate these lines."""
    return calculate(
        basket(*lines),
        rules(*offers),
        moment=moment(),
        place=place(),
        account=account(counters=counters),
    )


def pieces(line_id: str, sku: str, count: int, each: int = 100) -> BasketLine:
    """Return a line of some pieces."""
    return line(line_id, sku, pieces=count, gross_minor=each * count)


def hinted(result: Calculation) -> list[tuple[str, int]]:
    """Return code and `missing` of each hint."""
    return [(hint.code, int(hint.figures["missing"])) for hint in result.hints]


def reason(result: Calculation, offer_id: str = "offer") -> tuple[str, dict[str, int | str]]:
    """Return the code and the figures of an offer's reason."""
    found = next(each for each in result.reasons if each.offer_id == offer_id)
    return found.code, dict(found.figures)


@pytest.mark.parametrize(
    ("gives", "have", "missing"),
    [
        (NForM(units=3, pay=2), 1, 2),
        (NForM(units=3, pay=2), 2, 1),
        (NForM(units=3, pay=2), 4, 2),
        (EveryNth(every=2, off=FREE), 1, 1),
        (EveryNth(every=2, off=FREE), 3, 1),
        (BuyGet(buy_units=3, get_units=2, off=FREE), 1, 4),
        (BuyGet(buy_units=3, get_units=2, off=FREE), 4, 1),
        (BuyGet(buy_units=3, get_units=2, off=FREE), 6, 4),
        (BuyGet(buy_units=3, get_units=2, off=FREE, partial=True), 1, 3),
        (BuyGet(buy_units=3, get_units=2, off=FREE, partial=True), 3, 1),
    ],
)
def test_a_multi_buy_says_how_many_pieces_the_next_set_lacks(
    gives: PriceReward, have: int, missing: int
) -> None:
    result = calculated(offer(gives=gives), lines=(pieces("1", "milk", have),))
    assert hinted(result) == [("quantity_missing", missing * 1_000)]


@pytest.mark.parametrize(
    ("gives", "have"),
    [
        (NForM(units=3, pay=2), 3),
        (NForM(units=3, pay=2), 6),
        (EveryNth(every=2, off=FREE), 2),
        (BuyGet(buy_units=3, get_units=2, off=FREE), 5),
    ],
)
def test_full_sets_hint_at_nothing(gives: PriceReward, have: int) -> None:
    assert calculated(offer(gives=gives), lines=(pieces("1", "milk", have),)).hints == ()


@pytest.mark.parametrize(("have", "hints"), [(4, 1), (7, 0), (8, 0)])
def test_no_set_is_hinted_at_beyond_the_offers_limit(have: int, hints: int) -> None:
    result = calculated(
        offer(gives=NForM(units=3, pay=2), limits=Limits(sets_max=2)),
        lines=(pieces("1", "milk", have),),
    )
    assert len(result.hints) == hints


def test_weighed_goods_are_no_units_of_a_set() -> None:
    weighed = line("1", "milk", quantity=3_000, gross_minor=900, by_weight=True)
    result = calculated(offer(gives=NForM(units=3, pay=2)), lines=(weighed,))
    assert reason(result) == ("quantity_missing", {"have": 0, "need": 3_000, "missing": 3_000})


@pytest.mark.parametrize(
    ("coffees", "cakes", "partial", "expected"),
    [
        (1, 2, False, ("quantity_missing", {"have": 1_000, "need": 2_000, "missing": 1_000})),
        (2, 0, False, ("quantity_missing", {"have": 0, "need": 2_000, "missing": 2_000})),
        (2, 1, False, ("quantity_missing", {"have": 1_000, "need": 2_000, "missing": 1_000})),
        (3, 1, False, ("quantity_missing", {"have": 1_000, "need": 2_000, "missing": 1_000})),
        (2, 0, True, ("quantity_missing", {"have": 0, "need": 1_000, "missing": 1_000})),
        (2, 2, False, ("applied", {"discount_minor": 200})),
        (2, 1, True, ("applied", {"discount_minor": 100})),
    ],
)
def test_buy_get_says_which_side_is_missing(
    coffees: int, cakes: int, partial: bool, expected: tuple[str, dict[str, int | str]]
) -> None:
    gives = BuyGet(buy_units=2, get_units=2, off=FREE, get_lines=CAKE, partial=partial)
    bought = tuple(
        pieces(str(at), sku, count)
        for at, (sku, count) in enumerate((("coffee", coffees), ("cake", cakes)))
        if count
    )
    result = calculated(offer(gives=gives, lines=COFFEE), lines=bought)
    assert reason(result) == expected


def test_units_needed_to_buy_are_not_counted_as_units_to_get() -> None:
    """Two cakes: one must be bought, so that one is left to get where two are needed."""
    gives = BuyGet(buy_units=1, get_units=2, off=FREE, get_lines=CAKE)
    result = calculated(offer(gives=gives, lines=CAKE), lines=(pieces("1", "cake", 2),))
    assert reason(result) == (
        "quantity_missing",
        {"have": 1_000, "need": 2_000, "missing": 1_000},
    )


def lunch() -> PartsSet:
    """Return two coffees and a cake for 2.50."""
    return PartsSet(
        parts=(Part(name="drinks", lines=COFFEE, units=2), Part(name="sweet", lines=CAKE)),
        off=AmountEach(amount_minor=50),
    )


@pytest.mark.parametrize(
    ("coffees", "cakes", "part", "have", "missing"),
    [(1, 1, "drinks", 1_000, 1_000), (0, 2, "drinks", 0, 2_000), (2, 0, "sweet", 0, 1_000)],
)
def test_a_set_names_the_part_that_is_missing(
    coffees: int, cakes: int, part: str, have: int, missing: int
) -> None:
    bought = tuple(
        pieces(str(at), sku, count)
        for at, (sku, count) in enumerate((("coffee", coffees), ("cake", cakes)))
        if count
    )
    result = calculated(offer(gives=lunch()), lines=bought)
    assert reason(result) == ("part_missing", {"part": part, "have": have, "missing": missing})
    assert hinted(result) == [("part_missing", missing)]


def test_parts_that_compete_for_the_same_units_lack_units() -> None:
    gives = PartsSet(
        parts=(Part(name="one", lines=CAKE, units=2), Part(name="two", lines=CAKE)),
        off=AmountEach(amount_minor=50),
    )
    result = calculated(offer(gives=gives), lines=(pieces("1", "cake", 2),))
    assert reason(result) == (
        "quantity_missing",
        {"have": 2_000, "need": 3_000, "missing": 1_000},
    )


def test_a_multi_buy_whose_units_another_holds_has_lost_to_it() -> None:
    result = calculated(
        offer("a", NForM(units=2, pay=1)),
        offer("b", EveryNth(every=2, off=PercentOff(rate_ppm=100_000))),
        lines=(pieces("1", "milk", 2),),
    )
    assert reason(result, "a") == ("applied", {"discount_minor": 100})
    assert reason(result, "b") == ("lost_to", {"to": "a"})


@pytest.mark.parametrize(
    ("by", "have", "code", "missing"),
    [
        ("quantity", 1, "quantity_missing", 1_000),
        ("quantity", 2, "quantity_missing", 2_000),
        ("amount", 1, "amount_missing", 1_900),
        ("amount", 21, "amount_missing", 1_900),
    ],
)
def test_steps_say_what_the_next_one_lacks(by: str, have: int, code: str, missing: int) -> None:
    steps = (Step(at_least=2_000, off=FREE), Step(at_least=4_000, off=FREE))
    gives = Steps(by="quantity" if by == "quantity" else "amount", steps=steps)
    result = calculated(offer(gives=gives), lines=(pieces("1", "milk", have),))
    assert hinted(result) == [(code, missing)]


def test_the_last_step_hints_at_nothing() -> None:
    gives = Steps(by="quantity", steps=(Step(at_least=1_000, off=FREE),))
    assert calculated(offer(gives=gives), lines=(pieces("1", "milk", 1),)).hints == ()


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (0, ("stamps_missing", {"stamps": 1, "missing": 2})),
        (1, ("stamps_missing", {"stamps": 2, "missing": 1})),
        (2, ("applied", {"discount_minor": 100})),
        (3, ("stamps_missing", {"stamps": 1, "missing": 2})),
    ],
)
def test_a_stamp_card_says_how_many_stamps_are_missing(
    held: int, expected: tuple[str, dict[str, int | str]]
) -> None:
    card = offer(gives=Stamps(counter="coffee", every=3, off=FREE))
    result = calculated(card, lines=(pieces("1", "milk", 1),), counters={"stamps:coffee": held})
    assert reason(result) == expected


def test_what_is_handed_out_is_told() -> None:
    result = calculated(
        offer("c", IssuedCoupon(coupon="next-time")),
        offer("g", Gift(sku="cup", units=2, for_each_units=3)),
        offer("m", Message(text={"en": "Thank you"})),
        offer("p", PartnerPoints(partner="air", points=3, per_minor=250)),
        lines=(pieces("1", "milk", 7),),
    )
    assert reason(result, "c") == (
        "applied",
        {"quantity": 1, "kind": "coupon", "what": "next-time"},
    )
    assert reason(result, "g") == ("applied", {"quantity": 4, "kind": "gift", "what": "cup"})
    assert reason(result, "m") == ("applied", {"quantity": 1, "kind": "message"})
    # 7.00 paid: 700 * 3 / 250 = 8.4.
    assert reason(result, "p") == (
        "applied",
        {"quantity": 8, "kind": "partner_points", "what": "air"},
    )


def test_a_gift_for_more_units_than_there_are_is_not_handed_out() -> None:
    result = calculated(
        offer(gives=Gift(sku="cup", for_each_units=3)), lines=(pieces("1", "milk", 2),)
    )
    assert (reason(result), result.hand_outs) == (("nothing_to_give", {}), ())


@pytest.mark.parametrize(
    "gives",
    [PERCENT, NForM(units=2, pay=1), AmountOff(amount_minor=30, per="unit"), FREE_CARD_PRICE],
)
def test_an_offer_that_floors_refuse_says_what_the_goods_cost(gives: PriceReward) -> None:
    floor = Limits(unit_price_minor_min=100)
    result = calculated(
        offer(gives=gives, limits=floor), lines=(pieces("1", "milk", 3), pieces("2", "milk", 2))
    )
    assert reason(result) == ("price_floor", {"left_minor": 500})


def test_what_costs_nothing_anyway_is_at_no_floor() -> None:
    result = calculated(offer(gives=PERCENT), lines=(pieces("1", "milk", 3, each=0),))
    assert reason(result) == ("nothing_to_give", {})


def test_goods_that_take_no_part_are_counted() -> None:
    result = calculated(
        offer(gives=PERCENT, combines=Combines(on_reduced=False)),
        lines=(line("1", pos_reduced=True), line("2", pos_reduced=True)),
    )
    assert reason(result) == ("lines_excluded", {"lines": 2, "reduced": 2})


def test_points_that_lost_name_the_member_that_was_taken() -> None:
    group = Combines(group="g")
    result = calculated(
        offer("a", PointsPerItem(points=1), combines=group),
        offer("b", PointsPerItem(points=2), combines=group),
        lines=(pieces("1", "milk", 3),),
    )
    assert reason(result, "a") == ("lost_to", {"to": "b"})
    assert reason(result, "b") == ("applied", {"points": 6})
