"""How offers act beside each other, and which of them do."""

from collections.abc import Mapping

import pytest

from loyalty.basket import BasketLine
from loyalty.bundle import Product
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.limits import COMBINATION_NODES_MAX
from loyalty.offers import AmountOff, CardPrice, Offer, Percent, UnitPrice
from tests.support.builders import (
    basket,
    combines,
    having,
    line,
    moment,
    offer,
    percent,
    place,
    rules,
)

NO_PRODUCTS: Mapping[str, Product] = {}


def priced(
    *offers: Offer,
    lines: tuple[BasketLine, ...] = (),
    catalogue: Mapping[str, Product] = NO_PRODUCTS,
    nodes_max: int = COMBINATION_NODES_MAX,
) -> Calculation:
    """Calculate a line of 10.00, or the lines given."""
    compiled = rules(*offers, catalogue=catalogue)
    return calculate(basket(*lines), compiled, moment=moment(), place=place(), nodes_max=nodes_max)


def taken(result: Calculation) -> dict[str, int]:
    """Return what each offer took off."""
    found: dict[str, int] = {}
    for one in result.lines:
        for effect in one.effects:
            found[effect.offer_id] = found.get(effect.offer_id, 0) + effect.discount_minor
    return found


def off(result: Calculation) -> list[int]:
    """Return the discount of each line."""
    return [one.discount_minor for one in result.lines]


def code_of(result: Calculation, offer_id: str) -> str:
    """Return the code of the offer's reason."""
    return next(reason.code for reason in result.reasons if reason.offer_id == offer_id)


def test_a_percentage_is_rounded_once_and_spread_by_largest_remainder() -> None:
    lines = tuple(line(str(i), gross_minor=5) for i in range(3))
    assert off(priced(offer(gives=percent(10)), lines=lines)) == [1, 1, 0]


def test_an_amount_is_spread_by_price() -> None:
    lines = (line("1", gross_minor=300), line("2", gross_minor=100))
    assert off(priced(offer(gives=AmountOff(amount_minor=100)), lines=lines)) == [75, 25]


def test_an_amount_takes_no_more_than_the_lines_cost() -> None:
    assert off(priced(offer(gives=AmountOff(amount_minor=5_000)))) == [1_000]


@pytest.mark.parametrize(("pieces", "paid"), [(1, 167), (2, 333), (3, 500), (4, 667)])
def test_a_card_price_for_three_holds_at_any_quantity(pieces: int, paid: int) -> None:
    prices = CardPrice(prices={"milk": UnitPrice(amount_minor=500, per_quantity=3_000)})
    bought = line(pieces=pieces, gross_minor=pieces * 1_000)
    assert priced(offer(gives=prices), lines=(bought,)).totals.paid_minor == paid


def test_a_card_price_above_the_price_takes_nothing() -> None:
    result = priced(offer("o", CardPrice(prices={"milk": UnitPrice(amount_minor=1_001)})))
    assert taken(result) == {}
    assert code_of(result, "o") == "nothing_to_give"


def test_offers_outside_groups_act_together() -> None:
    assert taken(priced(offer("a", percent(10)), offer("b", percent(20)))) == {"a": 100, "b": 180}


def test_a_smaller_order_acts_earlier() -> None:
    result = priced(
        offer("late", percent(10), combines=combines(order=2)),
        offer("soon", AmountOff(amount_minor=500), combines=combines(order=1)),
    )
    assert taken(result) == {"soon": 500, "late": 50}


def test_within_an_order_the_larger_priority_acts_earlier() -> None:
    result = priced(offer("a", percent(10)), offer("b", AmountOff(amount_minor=500), priority=1))
    assert taken(result) == {"b": 500, "a": 50}


def test_within_a_priority_the_smaller_id_acts_earlier() -> None:
    result = priced(offer("b", percent(10)), offer("a", AmountOff(amount_minor=500)))
    assert taken(result) == {"a": 500, "b": 50}


def test_a_member_of_a_group_acts_in_its_order_among_the_others() -> None:
    result = priced(
        offer("alone", percent(10)),
        offer("member", AmountOff(amount_minor=500), combines=combines("g", order=1)),
    )
    assert taken(result) == {"member": 500, "alone": 50}


def test_a_base_of_the_initial_price_is_not_lowered_by_earlier_offers() -> None:
    result = priced(
        offer("a", AmountOff(amount_minor=500)),
        offer("b", percent(10), combines=combines(base="initial")),
    )
    assert taken(result) == {"a": 500, "b": 100}


def test_together_offers_take_no_more_than_the_price() -> None:
    initial = combines(base="initial")
    result = priced(
        offer("a", percent(70), combines=initial), offer("b", percent(70), combines=initial)
    )
    assert taken(result) == {"a": 700, "b": 300}
    assert result.totals.paid_minor == 0


def test_a_group_of_mode_best_takes_the_member_that_saves_most() -> None:
    result = priced(
        offer("small", percent(10), priority=9, combines=combines("g")),
        offer("large", AmountOff(amount_minor=101), combines=combines("g")),
    )
    assert taken(result) == {"large": 101}
    assert code_of(result, "small") == "lost_to"


def test_a_group_of_mode_first_takes_the_highest_priority() -> None:
    first = combines("g", mode="first")
    result = priced(
        offer("small", percent(10), priority=9, combines=first),
        offer("large", percent(50), combines=first),
    )
    assert taken(result) == {"small": 100}


def test_a_group_of_mode_first_passes_over_members_that_give_nothing() -> None:
    first = combines("g", mode="first")
    dear = CardPrice(prices={"milk": UnitPrice(amount_minor=2_000)})
    result = priced(
        offer("empty", dear, priority=9, combines=first), offer("full", percent(5), combines=first)
    )
    assert taken(result) == {"full": 50}


def test_equal_members_are_decided_by_priority_then_by_id() -> None:
    group = combines("g")
    by_priority = priced(
        offer("a", percent(10), combines=group), offer("b", percent(10), priority=1, combines=group)
    )
    by_id = priced(offer("b", percent(10), combines=group), offer("a", percent(10), combines=group))
    assert (taken(by_priority), taken(by_id)) == ({"b": 100}, {"a": 100})


def test_the_best_set_is_not_the_set_of_the_best_members() -> None:
    # Alone `half` saves most; beside `rest`, which takes what it leaves, `other` does.
    lines = (line("1", "x", gross_minor=1_000), line("2", "y", gross_minor=490))
    result = priced(
        offer("half", percent(50), lines=having("sku", "x"), combines=combines("g", order=2)),
        offer("other", percent(100), lines=having("sku", "y"), combines=combines("g", order=2)),
        offer("rest", AmountOff(amount_minor=900), lines=having("sku", "x")),
        lines=lines,
    )
    assert taken(result) == {"rest": 900, "other": 490}
    assert result.proven


def test_a_member_that_gives_nothing_has_beaten_nobody() -> None:
    dear = CardPrice(prices={"milk": UnitPrice(amount_minor=2_000)})
    result = priced(
        offer("a", dear, combines=combines("g")), offer("b", dear, combines=combines("g"))
    )
    assert [reason.code for reason in result.reasons] == ["nothing_to_give"] * 2


REGULATED = {"vodka": Product(floor_minor_per_unit=900)}
BOTTLE = line("1", "vodka", gross_minor=1_000)
BREAD = line("2", "bread", gross_minor=1_000)


def test_no_line_goes_below_its_floor() -> None:
    result = priced(offer(gives=percent(100)), lines=(BOTTLE, BREAD), catalogue=REGULATED)
    assert off(result) == [100, 1000]


def test_a_percentage_of_all_lines_refused_by_a_floor_moves_to_other_lines() -> None:
    result = priced(offer(gives=percent(20)), lines=(BOTTLE, BREAD), catalogue=REGULATED)
    assert off(result) == [100, 300]


def test_a_percentage_of_each_line_refused_by_a_floor_is_lost() -> None:
    each = Percent(rate_ppm=200_000, rounding="line")
    assert off(priced(offer(gives=each), lines=(BOTTLE, BREAD), catalogue=REGULATED)) == [100, 200]


def test_an_amount_refused_by_a_floor_moves_to_other_lines() -> None:
    amount = offer(gives=AmountOff(amount_minor=600))
    assert off(priced(amount, lines=(BOTTLE, BREAD), catalogue=REGULATED)) == [100, 500]


def test_a_line_already_below_its_floor_is_left_alone() -> None:
    cheap = line("1", "vodka", gross_minor=800)
    assert off(priced(offer(), lines=(cheap,), catalogue=REGULATED)) == [0]


def test_a_later_offer_finds_the_floor_already_reached() -> None:
    result = priced(
        offer("a", percent(10)), offer("b", percent(10)), lines=(BOTTLE,), catalogue=REGULATED
    )
    assert taken(result) == {"a": 100}


@pytest.mark.parametrize("gives", [percent(50), AmountOff(amount_minor=900)])
def test_a_maximum_is_spread_over_the_lines(gives: AmountOff) -> None:
    lines = (line("1", gross_minor=1_500), line("2", gross_minor=500))
    result = priced(offer(gives=gives, discount_minor_max=100), lines=lines)
    assert off(result) == [75, 25]


def test_a_maximum_holds_for_card_prices_too() -> None:
    prices = {"x": UnitPrice(amount_minor=100), "y": UnitPrice(amount_minor=700)}
    lines = (line("1", "x"), line("2", "y"))
    result = priced(offer(gives=CardPrice(prices=prices), discount_minor_max=400), lines=lines)
    assert off(result) == [300, 100]


def test_a_maximum_decides_what_is_best() -> None:
    result = priced(
        offer("capped", percent(90), discount_minor_max=99, combines=combines("g")),
        offer("free", percent(10), combines=combines("g")),
    )
    assert taken(result) == {"free": 100}


def many_groups(count: int) -> list[Offer]:
    """Return groups of two whose best set takes one line to zero, whatever is chosen alone."""
    return [
        offer(
            f"{number:02}{name}",
            AmountOff(amount_minor=amount),
            lines=having("sku", "shared", f"{name}{number}"),
            combines=combines(f"g{number:02}"),
        )
        for number in range(count)
        for name, amount in (("a", 100), ("b", 90))
    ]


@pytest.mark.parametrize("nodes_max", [1, 5, 30])
def test_past_the_node_budget_the_result_says_so_and_bounds_what_is_missing(
    nodes_max: int,
) -> None:
    groups = 9
    lines = (
        line("0", "shared", gross_minor=500),
        *(line(f"b{number:02}", f"b{number}", gross_minor=90) for number in range(groups)),
    )
    result = priced(*many_groups(groups), lines=lines, nodes_max=nodes_max)
    assert not result.proven
    # Five members `a` take the shared line to zero; the other groups' `b` take a line of their own.
    optimum = 500 + (groups - 5) * 90
    assert result.totals.discount_minor <= optimum
    assert result.totals.discount_minor + result.gap_minor >= optimum


def test_within_the_node_budget_the_same_set_is_proven() -> None:
    lines = (
        line("0", "shared", gross_minor=500),
        *(line(f"b{n}", f"b{n}", gross_minor=90) for n in range(7)),
    )
    result = priced(*many_groups(7), lines=lines)
    assert result.proven
    assert result.gap_minor == 0
    assert result.totals.discount_minor == 500 + 2 * 90


def test_components_that_share_nothing_have_budgets_of_their_own() -> None:
    # 20 groups of two on a line each: a million sets together, two sets each.
    offers = [
        offer(f"{n:02}{m}", percent(m), lines=having("sku", str(n)), combines=combines(f"g{n}"))
        for n in range(20)
        for m in (5, 6)
    ]
    result = priced(*offers, lines=tuple(line(f"{n:02}", str(n)) for n in range(20)))
    assert result.proven
    assert result.totals.discount_minor == 20 * 60
