"""The judge itself, on receipts worked out by hand; a judge nobody judges proves nothing."""

from collections.abc import Mapping

import pytest

from loyalty.basket import BasketLine
from loyalty.bundle import Bundle, Product, ReceiptTerms
from loyalty.offers import (
    AmountEach,
    AmountOff,
    BuyGet,
    Combines,
    EveryLine,
    EveryNth,
    FixedPrice,
    Limits,
    NeedsLines,
    NForM,
    Offer,
    Part,
    PartsSet,
    Percent,
    PercentOff,
    PointsPerMoney,
    PriceEach,
    PriceReward,
    Stamps,
    Step,
    Steps,
    UnitRates,
    Units,
)
from tests.oracle.judge import Court, verdicts
from tests.oracle.judge_arithmetic import halves_up, share_out
from tests.oracle.judge_state import Case
from tests.support.builders import account, basket, having, line, programme

HALF = PercentOff(rate_ppm=500_000)
FREE = PercentOff(rate_ppm=1_000_000)
BREAD = having("sku", "bread")
MILK = having("sku", "milk")
TWO_FOR_ONE = NForM(units=2, pay=1)


def case(lines: list[BasketLine], *offers: Offer, receipt: ReceiptTerms | None = None) -> Case:
    terms = programme()
    made = Bundle(version=1, programme=terms, offers=offers)
    if receipt:
        made = Bundle(
            version=1,
            programme=type(terms)(programme_id="p", currency="EUR", receipt=receipt),
            offers=offers,
        )
    return Case(basket=basket(*lines), bundle=made, account=account(counters={"stamps:cup": 4}))


def best(judged: Case) -> Mapping[str, Mapping[int, int]]:
    """Return by offer and line what the best choice takes off."""
    return max(verdicts(judged), key=lambda verdict: verdict.benefit).discounts


def milk(line_id: str, gross_minor: int, pieces: int = 1) -> BasketLine:
    return line(line_id, "milk", gross_minor=gross_minor, pieces=pieces)


def bread(line_id: str, gross_minor: int, pieces: int = 1) -> BasketLine:
    return line(line_id, "bread", gross_minor=gross_minor, pieces=pieces)


ONE_OFFER = [
    # Ten percent of 2.75 is 0.28, of which 0.165 and 0.11 belong to the lines.
    (Percent(rate_ppm=100_000), [milk("1", 165), milk("2", 110)], {0: 17, 1: 11}),
    (Percent(rate_ppm=100_000, rounding="line"), [milk("1", 5), milk("2", 5)], {0: 1, 1: 1}),
    (
        Percent(rate_ppm=500_000, units=Units(which="cheapest", count=2)),
        [milk("1", 50, 5), milk("2", 8)],
        {0: 5, 1: 4},
    ),
    (AmountOff(amount_minor=10), [milk("1", 20), milk("2", 10)], {0: 7, 1: 3}),
    (AmountOff(amount_minor=10, per="line"), [milk("1", 20), milk("2", 7)], {0: 10, 1: 7}),
    (AmountOff(amount_minor=4, per="unit"), [milk("1", 21, 3)], {0: 12}),
    (FixedPrice(amount_minor=6), [milk("1", 21, 3), milk("2", 5)], {0: 3}),
    (FixedPrice(amount_minor=20, per="receipt"), [milk("1", 20), milk("2", 10)], {0: 7, 1: 3}),
    # Second unit half, further ones at ten percent: 30, 20, 10, 10 give 0, 10, 1, 1.
    (
        UnitRates(rates_ppm=(0, 500_000, 100_000)),
        [milk("1", 30), milk("2", 20), milk("3", 20, 2)],
        {1: 10, 2: 2},
    ),
    (
        Steps(by="amount", steps=(Step(at_least=20, off=HALF), Step(at_least=30, off=FREE))),
        [milk("1", 25)],
        {0: 13},
    ),
    # Four stamps held and three cups here: the sixth is free, the dearest one.
    (Stamps(counter="cup", every=6, off=FREE), [milk("1", 20, 2), milk("2", 15)], {1: 15}),
    (NForM(units=3, pay=2, spread="rewarded"), [milk("1", 20, 2), milk("2", 7)], {1: 7}),
    # 10 10 7 | 7 3: only one full set.
    (
        NForM(units=3, pay=2, spread="rewarded"),
        [milk("1", 20, 2), milk("2", 14, 2), milk("3", 3)],
        {1: 7},
    ),
    (
        NForM(units=3, pay=2, free="cheapest_of_all", spread="rewarded"),
        [milk("1", 20, 2), milk("2", 14, 2), milk("3", 3)],
        {2: 3},
    ),
    (NForM(units=3, pay=2), [milk("1", 20, 2), milk("2", 10)], {0: 7, 1: 3}),
    (
        EveryNth(every=2, off=HALF, spread="rewarded"),
        [milk("1", 33, 3), milk("2", 10)],
        {0: 6, 1: 5},
    ),
    (
        BuyGet(buy_units=1, get_units=2, off=FREE, partial=True),
        [milk("1", 20, 2)],
        {0: 10},
    ),
    (BuyGet(buy_units=1, get_units=2, off=FREE), [milk("1", 20, 2)], {}),
    # Bread is bought; of the milk the dearest one is got.
    (
        BuyGet(buy_units=1, get_units=1, off=HALF, get_lines=MILK, spread="rewarded"),
        [bread("1", 5), milk("2", 30), milk("3", 10)],
        {1: 15},
    ),
    # Two sets at 25 each save 5 + 0; one set of the dearest saves as much, and is enough.
    (
        PartsSet(
            parts=(Part(name="a", lines=BREAD), Part(name="b", lines=MILK)),
            off=PriceEach(amount_minor=25),
        ),
        [bread("1", 20), bread("2", 15), milk("3", 10, 1), milk("4", 10, 1)],
        {0: 3, 2: 2},
    ),
    (
        PartsSet(
            parts=(Part(name="a", lines=BREAD), Part(name="b", lines=MILK)),
            off=AmountEach(amount_minor=4),
        ),
        [bread("1", 20, 2), milk("3", 20, 2)],
        {0: 4, 1: 4},
    ),
]


@pytest.mark.parametrize(("gives", "lines", "offs"), ONE_OFFER)
def test_one_offer_takes_off_what_was_worked_out(
    gives: PriceReward, lines: list[BasketLine], offs: Mapping[int, int]
) -> None:
    buys = BREAD if isinstance(gives, BuyGet) and gives.get_lines == MILK else None
    acting = Offer(offer_id="o", gives=gives, lines=buys or EveryLine())
    assert best(case(lines, acting)) == ({"o": offs} if offs else {})


def test_halves_go_up_and_ties_to_the_earlier_place() -> None:
    assert [halves_up(above, 10) for above in (4, 5, 14, 15)] == [0, 1, 1, 2]
    assert share_out(3, [1, 1]) == [2, 1]
    assert share_out(9, [2, 1, 1], [1, 9, 9]) == [1, 4, 4]


def test_what_a_floor_refuses_moves_to_the_other_lines() -> None:
    lines = [milk("1", 20), bread("2", 20)]
    offer = Offer(offer_id="o", gives=AmountOff(amount_minor=20))
    judged = case(lines, offer)
    floored = Bundle(
        version=1,
        programme=judged.bundle.programme,
        offers=(offer,),
        catalogue={"milk": Product(floor_minor_per_unit=15)},
    )
    assert best(Case(basket=judged.basket, bundle=floored)) == {"o": {0: 5, 1: 15}}


def test_the_receipts_maximum_leaves_less_to_the_later_offer() -> None:
    offers = [Offer(offer_id=name, gives=AmountOff(amount_minor=10)) for name in "ab"]
    found = best(case([milk("1", 50)], *offers, receipt=ReceiptTerms(discount_minor_max=15)))
    assert found == {"a": {0: 10}, "b": {0: 5}}


def test_two_multi_buys_share_the_pieces_as_the_customer_likes_best() -> None:
    lines = [milk("1", 90, 3), bread("2", 10), bread("3", 10)]
    any_two = Offer(offer_id="two", gives=TWO_FOR_ONE)
    milk_three = Offer(
        offer_id="three", gives=EveryNth(every=3, off=FREE), lines=MILK, combines=Combines(order=1)
    )
    # 0 to 3 milks for `three`: 30 30 | 30 10 | 10, then 30 30 | 10 10, then 30 10 | 10, at last
    # 30 30 30 for `three` and 10 10 for `two`.
    found = [verdict.discount_minor for verdict in verdicts(case(lines, any_two, milk_three))]
    assert found == [40, 40, 10, 40]


def test_shared_units_serve_two_multi_buys() -> None:
    shared = Combines(shares_units=True)
    offers = [Offer(offer_id=name, gives=TWO_FOR_ONE, combines=shared) for name in "ab"]
    assert best(case([milk("1", 20, 2)], *offers)) == {"a": {0: 10}, "b": {0: 10}}


def test_of_a_group_one_acts() -> None:
    group = Combines(group="g")
    ten = Offer(offer_id="ten", gives=Percent(rate_ppm=100_000), combines=group)
    five = Offer(offer_id="five", gives=AmountOff(amount_minor=5), combines=group)
    assert best(case([milk("1", 100)], ten, five)) == {"ten": {0: 10}}
    first = Combines(group="g", mode="first")
    ten = Offer(offer_id="ten", gives=Percent(rate_ppm=100_000), combines=first)
    five = Offer(offer_id="five", gives=AmountOff(amount_minor=5), combines=first, priority=1)
    assert best(case([milk("1", 100)], ten, five)) == {"five": {0: 5}}


def test_per_line_the_better_one_acts() -> None:
    group = Combines(group="g", mode="best_per_line")
    ten = Offer(offer_id="ten", gives=Percent(rate_ppm=100_000), combines=group)
    five = Offer(offer_id="five", gives=AmountOff(amount_minor=5, per="line"), combines=group)
    judged = case([milk("1", 100), bread("2", 30)], ten, five)
    assert best(judged) == {"ten": {0: 10}, "five": {1: 5}}


def test_offers_that_refuse_each_other_are_a_choice() -> None:
    one = Offer(offer_id="one", gives=AmountOff(amount_minor=5))
    other = Offer(
        offer_id="other", gives=AmountOff(amount_minor=7), combines=Combines(not_with=("one",))
    )
    judged = case([milk("1", 100)], one, other)
    assert len(verdicts(judged)) == 2
    assert best(judged) == {"other": {0: 7}}


def test_an_offer_may_be_left_out_before_a_running_threshold_only() -> None:
    early = Offer(offer_id="early", gives=AmountOff(amount_minor=5), combines=Combines(order=1))
    need = NeedsLines(amount_minor_min=100, basis="running")
    late = Offer(offer_id="late", gives=AmountOff(amount_minor=20), needs=need)
    assert best(case([milk("1", 100)], early, late)) == {"late": {0: 20}}
    plain = Offer(offer_id="late", gives=AmountOff(amount_minor=20))
    assert len(verdicts(case([milk("1", 100)], early, plain))) == 1


def test_points_may_outweigh_money() -> None:
    group = Combines(group="g")
    money = Offer(offer_id="money", gives=AmountOff(amount_minor=10), combines=group, lines=MILK)
    less = Offer(offer_id="less", gives=AmountOff(amount_minor=9), combines=group, lines=BREAD)
    points = Offer(offer_id="points", gives=PointsPerMoney(points=1, per_minor=2), lines=MILK)
    judged = case([milk("1", 100), bread("2", 100)], money, less, points)
    assert best(judged) == {"money": {0: 10}}
    terms = type(judged.bundle.programme)(programme_id="p", currency="EUR", points_in_benefit=True)
    counted = Bundle(version=1, programme=terms, offers=judged.bundle.offers)
    assert best(Case(judged.basket, counted, judged.account)) == {"less": {1: 9}}


def test_limits_of_units_choose_the_dearest() -> None:
    offer = Offer(offer_id="o", gives=Percent(rate_ppm=500_000), limits=Limits(units_max=2))
    assert best(case([milk("1", 30, 3), milk("2", 40)], offer)) == {"o": {0: 5, 1: 20}}


def test_a_later_multi_buy_sees_prices_without_what_an_earlier_one_took() -> None:
    lines = [milk("1", 40, 4)]
    one = Offer(offer_id="a", gives=TWO_FOR_ONE)
    other = Offer(offer_id="b", gives=EveryNth(every=2, off=HALF), combines=Combines(order=200))
    court = Court(case(lines, one, other))
    state = court.play([one, other], {0: {"a": 2, "b": 2}})
    assert state.taken == {"a": {0: 10}, "b": {0: 5}}
