"""What a receipt keeps of what its offers needed, for returns that break it."""

from collections.abc import Iterable, Mapping

import pytest

from loyalty.basket import BasketLine
from loyalty.bundle import Programme, ReturnTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.frozen import Condition, LowerStep, Threshold, UnitRule, UnitsSeen
from loyalty.limits import ALTERNATIVES_MAX
from loyalty.offers import (
    AmountEach,
    AmountOff,
    BuyGet,
    Combines,
    EveryNth,
    Limits,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NForM,
    Offer,
    Part,
    PartsSet,
    PercentOff,
    PointsMultiplier,
    PointsPerMoney,
    PriceEach,
    PriceReward,
    Stamps,
    Step,
    Steps,
    UnitRates,
)
from tests.support.builders import (
    account,
    basket,
    having,
    line,
    moment,
    offer,
    percent,
    place,
    rules,
)

NO_COUNTERS: Mapping[str, int] = {}
FREE = PercentOff(rate_ppm=1_000_000)
HALF = PercentOff(rate_ppm=500_000)
MILK, TEA = having("sku", "milk"), having("sku", "tea")


def goods(line_id: str, sku: str, count: int, each: int = 100) -> BasketLine:
    """Return a line of some pieces."""
    return line(line_id, sku, pieces=count, gross_minor=each * count)


BOUGHT = (goods("1", "cake", 1), goods("2", "tea", 2), goods("3", "milk", 3, 90))


def sold(
    *offers: Offer,
    lines: Iterable[BasketLine] = BOUGHT,
    counters: Mapping[str, int] = NO_COUNTERS,
    codes: tuple[str, ...] = (),
    charges_back: bool = True,
) -> Calculation:
    """Return a receipt whose broken conditions are charged back, or kept."""
    returns = ReturnTerms(broken_condition="charge_back" if charges_back else "keep")
    return calculate(
        basket(*lines, codes=codes, tender="card"),
        rules(*offers, of=Programme(programme_id="green", currency="EUR", returns=returns)),
        moment=moment(),
        place=place(),
        account=account(counters=counters),
    )


def needing(need: Need, *, codes: tuple[str, ...] = ()) -> tuple[Condition, ...]:
    """Return what is kept of an offer's needs."""
    return sold(offer(needs=need), codes=codes).conditions


# Needs


def test_every_threshold_of_a_need_is_kept() -> None:
    lines = NeedsLines(match=TEA, quantity_min=2_000, amount_minor_min=200)
    assert needing(NeedsAll(of=(lines, NeedsLines(distinct_min=2)))) == (
        Condition(offer_id="offer", counts="quantity", at_least=2_000, lines=("2",)),
        Condition(offer_id="offer", counts="amount", at_least=200, lines=("2",)),
        Condition(offer_id="offer", counts="distinct", at_least=2),
    )


def test_every_line_is_said_by_naming_none() -> None:
    (condition,) = needing(NeedsLines(match=having("sku", "cake", "tea", "milk"), distinct_min=2))
    assert condition.lines == ()


def test_of_an_any_each_part_that_held_will_do() -> None:
    parts = (
        NeedsLines(match=MILK, quantity_min=3_000),
        NeedsLines(amount_minor_min=500),
        NeedsLines(quantity_min=7_000),
    )
    assert needing(NeedsAny(of=parts)) == (
        Condition(
            offer_id="offer",
            counts="quantity",
            at_least=3_000,
            lines=("3",),
            or_else=(Threshold(counts="amount", at_least=500),),
        ),
    )


def test_all_in_an_any_must_hold_together() -> None:
    both = NeedsAll(of=(NeedsLines(quantity_min=2_000), NeedsLines(distinct_min=3)))
    amount = Threshold(counts="amount", at_least=500)
    assert needing(NeedsAny(of=(both, NeedsLines(amount_minor_min=500)))) == (
        Condition(offer_id="offer", counts="quantity", at_least=2_000, or_else=(amount,)),
        Condition(offer_id="offer", counts="distinct", at_least=3, or_else=(amount,)),
    )


@pytest.mark.parametrize(
    "other",
    [
        NeedsCode(one_of=("TEN",)),
        NeedsTender(one_of=("card",)),
        NeedsNone(of=(NeedsLines(quantity_min=9_000),)),
        NeedsAll(),
    ],
)
def test_an_any_that_goods_cannot_break_is_not_kept(other: Need) -> None:
    need = NeedsAny(of=(NeedsLines(quantity_min=6_000), other))
    assert needing(need, codes=("TEN",)) == ()


def test_a_code_that_was_not_presented_does_not_hold() -> None:
    need = NeedsAny(of=(NeedsLines(quantity_min=6_000), NeedsCode(one_of=("TEN",))))
    (condition,) = needing(need)
    assert (condition.at_least, condition.or_else) == (6_000, ())


def test_ways_to_meet_a_need_are_kept_up_to_a_bound() -> None:
    one = NeedsAll(of=tuple(NeedsLines(quantity_min=at) for at in range(1, 11)))
    assert len(needing(NeedsAny(of=(one, one, one)))) == ALTERNATIVES_MAX


def test_a_running_amount_names_the_offers_that_acted_before() -> None:
    running = NeedsLines(amount_minor_min=300, basis="running")
    result = sold(
        offer("a", AmountOff(amount_minor=100), combines=Combines(order=1)),
        offer("b", AmountOff(amount_minor=9), lines=MILK, combines=Combines(order=2)),
        offer("c", AmountOff(amount_minor=10), needs=running, combines=Combines(order=3)),
        offer("d", AmountOff(amount_minor=10), combines=Combines(order=4)),
    )
    assert result.conditions == (
        Condition(offer_id="c", counts="running", at_least=300, offers=("a", "b")),
    )


def test_a_running_amount_that_nothing_lowered_is_a_gross_one() -> None:
    (condition,) = needing(NeedsLines(amount_minor_min=300, basis="running"))
    assert (condition.counts, condition.offers) == ("amount", ())


def test_conditions_are_kept_only_where_returns_ask_for_them() -> None:
    kept = sold(
        offer("a", NForM(units=3, pay=2)),
        offer("b", needs=NeedsLines(quantity_min=2_000)),
        charges_back=False,
    )
    assert (kept.conditions, kept.unit_rules) == ((), ())


def test_an_offer_that_took_nothing_leaves_no_condition() -> None:
    nothing = sold(offer(gives=NForM(units=4, pay=2), lines=MILK))
    assert (nothing.conditions, nothing.unit_rules) == ((), ())


# Rewards that ask for goods themselves


def steps(*rates: int, by: str = "quantity") -> Steps:
    """Return steps of one, two, three ... units, or of 100."""
    one = 1_000 if by == "quantity" else 100
    return Steps(
        by="quantity" if by == "quantity" else "amount",
        steps=tuple(
            Step(at_least=at * one, off=PercentOff(rate_ppm=rate * 10_000))
            for at, rate in enumerate(rates, start=1)
        ),
    )


def test_steps_keep_what_the_lower_ones_would_have_taken_off() -> None:
    result = sold(offer(gives=steps(10, 20, 30, 40), lines=having("sku", "milk", "cake")))
    assert result.totals.discount_minor == 148
    assert result.conditions == (
        Condition(
            offer_id="offer",
            counts="quantity",
            at_least=4_000,
            lines=("1", "3"),
            lower=(
                LowerStep(at_least=1_000, off_minor=(10, 27)),
                LowerStep(at_least=2_000, off_minor=(20, 54)),
                LowerStep(at_least=3_000, off_minor=(30, 81)),
            ),
        ),
    )


def test_lower_steps_act_on_what_the_offer_met() -> None:
    result = sold(
        offer("a", percent(50), combines=Combines(order=1)),
        offer("b", steps(10, 20, by="amount"), lines=TEA, combines=Combines(order=2)),
    )
    (condition,) = result.conditions
    assert (condition.counts, condition.at_least) == ("amount", 200)
    assert condition.lower == (LowerStep(at_least=100, off_minor=(10,)),)


@pytest.mark.parametrize(("held", "units_max", "rewards"), [(4, 0, 2), (4, 1, 1), (9, 0, 2)])
def test_stamps_keep_how_many_the_card_had(held: int, units_max: int, rewards: int) -> None:
    card = Stamps(counter="c", every=5, off=FREE)
    result = sold(
        offer(gives=card, limits=Limits(units_max=units_max)), counters={"stamps:c": held}
    )
    assert result.conditions == (
        Condition(offer_id="offer", counts="units", at_least=5, sets=rewards, had=held % 5),
    )


def seen(line_id: str, units: int, price_minor: int) -> UnitsSeen:
    return UnitsSeen(line_id=line_id, units=units, price_minor=price_minor)


ALL_SEEN = (seen("1", 1, 100), seen("2", 2, 200), seen("3", 3, 270))


@pytest.mark.parametrize(
    ("gives", "rule"),
    [
        (
            NForM(units=3, pay=2),
            UnitRule(offer_id="offer", kind="same_goods", numbers=(2, 1), goods=(ALL_SEEN,)),
        ),
        (
            NForM(units=3, pay=2, free="cheapest_of_all"),
            UnitRule(
                offer_id="offer",
                kind="same_goods",
                numbers=(2, 1),
                cheapest_of_all=True,
                goods=(ALL_SEEN,),
            ),
        ),
        (
            EveryNth(every=2, off=AmountEach(amount_minor=30)),
            UnitRule(
                offer_id="offer",
                kind="same_goods",
                numbers=(1, 1),
                off="amount",
                amount=30,
                goods=(ALL_SEEN,),
            ),
        ),
        (
            BuyGet(buy_units=1, get_units=2, off=PriceEach(amount_minor=5), partial=True),
            UnitRule(
                offer_id="offer",
                kind="same_goods",
                numbers=(1, 2),
                off="price",
                amount=5,
                partial=True,
                goods=(ALL_SEEN,),
            ),
        ),
        (
            BuyGet(buy_units=2, get_units=1, off=HALF, get_lines=MILK),
            UnitRule(
                offer_id="offer",
                kind="other_goods",
                numbers=(2, 1),
                amount=500_000,
                goods=(ALL_SEEN, (seen("3", 3, 270),)),
            ),
        ),
        (
            PartsSet(
                parts=(Part(name="x", lines=TEA), Part(name="y", lines=MILK, units=2)),
                off=PriceEach(amount_minor=200),
            ),
            UnitRule(
                offer_id="offer",
                kind="parts",
                numbers=(1, 2),
                off="price",
                amount=200,
                goods=((seen("2", 2, 200),), (seen("3", 3, 270),)),
            ),
        ),
        (
            UnitRates(rates_ppm=(0, 500_000), first="cheapest"),
            UnitRule(
                offer_id="offer",
                kind="rates",
                numbers=(0, 500_000),
                cheapest_first=True,
                goods=(ALL_SEEN,),
            ),
        ),
        (
            UnitRates(rates_ppm=(0, 500_000), per="line"),
            UnitRule(
                offer_id="offer",
                kind="rates",
                numbers=(0, 500_000),
                each_line=True,
                goods=(ALL_SEEN,),
            ),
        ),
    ],
)
def test_rewards_on_units_keep_their_rule_and_the_units_they_had(
    gives: PriceReward, rule: UnitRule
) -> None:
    assert sold(offer(gives=gives)).unit_rules == (rule,)


def test_rates_that_never_rise_need_nothing() -> None:
    assert sold(offer(gives=UnitRates(rates_ppm=(500_000, 250_000)))).unit_rules == ()


def test_units_are_kept_at_the_prices_the_offer_met() -> None:
    result = sold(
        offer("a", percent(50), combines=Combines(order=1)),
        offer("b", NForM(units=2, pay=1), lines=TEA, combines=Combines(order=2)),
        offer("c", UnitRates(rates_ppm=(0, 500_000)), lines=TEA, combines=Combines(order=3)),
        offer(
            "d",
            UnitRates(rates_ppm=(0, 10_000)),
            lines=TEA,
            combines=Combines(order=4, base="initial"),
        ),
    )
    assert [rule.goods for rule in result.unit_rules] == [
        ((seen("2", 2, 100),),),
        # Units cost what they did before multi-buys; 50 of the 100 were free.
        ((seen("2", 2, 100),),),
        ((seen("2", 2, 200),),),
    ]


def test_of_a_line_that_two_hold_each_keeps_its_own_units() -> None:
    result = sold(
        offer("a", NForM(units=3, pay=2)),
        offer("b", EveryNth(every=2, off=HALF)),
        lines=(goods("1", "milk", 5),),
    )
    assert [rule.goods for rule in result.unit_rules] == [
        ((seen("1", 3, 300),),),
        ((seen("1", 2, 200),),),
    ]


def test_the_limits_of_sets_are_kept() -> None:
    limits = Limits(sets_max=3, units_max=2, units_per_line_max=1, once_per_code=True)
    made = offer(gives=NForM(units=2, pay=1), limits=limits, needs=NeedsCode(prefix="X"))
    (rule,) = sold(made, codes=("X1", "X2")).unit_rules
    assert (rule.sets_max, rule.units_max, rule.units_per_line_max) == (2, 2, 1)


# Points


def test_points_keep_what_they_needed() -> None:
    need = NeedsLines(amount_minor_min=500)
    result = sold(offer("p", PointsPerMoney(points=1, per_minor=10), needs=need))
    assert result.conditions == (Condition(offer_id="p", counts="amount", at_least=500),)


@pytest.mark.parametrize(
    ("basis", "counts"), [("paid", "paid"), ("discounted", "discounted"), ("gross", "amount")]
)
def test_points_for_whole_steps_keep_how_many_there_were(basis: str, counts: str) -> None:
    gives = PointsPerMoney(
        points=7,
        per_minor=150,
        counting="whole_steps",
        basis=basis,  # type: ignore[arg-type]
    )
    result = sold(offer("p", gives))
    assert [(c.counts, c.at_least, c.sets) for c in result.conditions] == [(counts, 150, 3)]


def test_of_points_cut_to_a_maximum_only_the_steps_that_count_are_needed() -> None:
    gives = PointsPerMoney(points=7, per_minor=100, counting="whole_steps")
    (condition,) = sold(offer("p", gives, points_max=14)).conditions
    assert condition.sets == 2


def test_whole_steps_that_are_best_for_each_line_are_kept_for_each_line() -> None:
    gives = PointsPerMoney(points=1, per_minor=100, counting="whole_steps")
    result = sold(offer("p", gives, combines=Combines(group="g", mode="best_per_line")))
    assert [(c.lines, c.sets, c.each_line) for c in result.conditions] == [
        (("1",), 1, True),
        (("2",), 2, True),
        (("3",), 2, True),
    ]


def test_a_multiplier_goes_where_the_points_go_that_it_multiplies() -> None:
    result = sold(
        offer("p", PointsPerMoney(points=1, per_minor=10), needs=NeedsLines(amount_minor_min=500)),
        offer("q", PointsPerMoney(points=1, per_minor=10)),
        offer("x", PointsMultiplier(of=("p",), factor_ppm=2_000_000)),
        offer("y", PointsMultiplier(of=("q",), factor_ppm=2_000_000)),
    )
    assert result.conditions[1:] == (
        Condition(offer_id="x", counts="points", at_least=1, offers=("p",)),
    )
