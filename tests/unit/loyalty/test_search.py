"""Which offers act where they are a choice, and which multi-buy holds which pieces."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from loyalty.account import NOBODY, AccountSnapshot
from loyalty.basket import BasketLine
from loyalty.bundle import Programme, ReceiptTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.limits import COMBINATION_NODES_MAX
from loyalty.offers import (
    AmountEach,
    AmountOff,
    BuyGet,
    Combines,
    EveryNth,
    Limits,
    NeedsLines,
    NForM,
    Offer,
    Part,
    PartsSet,
    Percent,
    PercentOff,
    PointsPerMoney,
    Step,
    Steps,
    Units,
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

FREE = PercentOff(rate_ppm=1_000_000)
HALF = PercentOff(rate_ppm=500_000)
PLAIN = Programme(programme_id="green", currency="EUR")


def calculated(
    *offers: Offer,
    lines: tuple[BasketLine, ...],
    of: Programme = PLAIN,
    who: AccountSnapshot = NOBODY,
    nodes_max: int = COMBINATION_NODES_MAX,
) -> Calculation:
    """Calculate these lines."""
    return calculate(
        basket(*lines),
        rules(*offers, of=of),
        moment=moment(),
        place=place(),
        account=who,
        nodes_max=nodes_max,
    )


def by_offer(result: Calculation) -> dict[str, list[int]]:
    """Return what each offer takes off, line by line, where it takes anything."""
    found: dict[str, list[int]] = {}
    for at, one in enumerate(result.lines):
        for effect in one.effects:
            if effect.discount_minor:
                off = found.setdefault(effect.offer_id, [0] * len(result.lines))
                off[at] += effect.discount_minor
    return found


def lost(result: Calculation) -> dict[str, object]:
    """Return who was taken instead, by the offer that lost."""
    return {each.offer_id: each.figures["to"] for each in result.reasons if each.code == "lost_to"}


def lines(*prices_minor: int) -> tuple[BasketLine, ...]:
    """Return lines of one piece each, of SKUs `s0`, `s1`, ..."""
    return tuple(line(str(at), f"s{at}", gross_minor=p) for at, p in enumerate(prices_minor))


def without(*others: str, order: int = 100) -> Combines:
    """Return that an offer never acts beside these."""
    return Combines(not_with=others, order=order)


def amount(minor: int) -> AmountOff:
    """Return so much off the receipt."""
    return AmountOff(amount_minor=minor)


# Offers that exclude each other


@pytest.mark.parametrize(("a", "b", "winner"), [(30, 20, "a"), (20, 30, "b"), (20, 20, "a")])
def test_of_two_that_exclude_each_other_the_better_one_acts(a: int, b: int, winner: str) -> None:
    result = calculated(
        offer("a", amount(a)), offer("b", amount(b), combines=without("a")), lines=lines(100)
    )
    assert list(by_offer(result)) == [winner]
    assert lost(result) == {({"a", "b"} - {winner}).pop(): winner}


def test_it_does_not_matter_which_of_two_names_the_other() -> None:
    for first, second in ((without("b"), Combines()), (Combines(), without("a"))):
        result = calculated(
            offer("a", amount(20), combines=first),
            offer("b", amount(30), combines=second),
            lines=lines(100),
        )
        assert by_offer(result) == {"b": [30]}


def test_two_together_outweigh_the_one_that_excludes_both() -> None:
    offers = (offer("a", amount(20)), offer("b", amount(20)))
    for alone, acting in ((39, {"a", "b"}), (41, {"c"})):
        rival = offer("c", amount(alone), combines=without("a", "b"))
        result = calculated(*offers, rival, lines=lines(100))
        assert by_offer(result).keys() == acting


def test_on_a_tie_the_larger_priority_acts_then_the_smaller_id() -> None:
    result = calculated(
        offer("a", amount(20)),
        offer("b", amount(20), priority=1, combines=without("a")),
        lines=lines(100),
    )
    assert by_offer(result) == {"b": [20]}


def test_an_offer_that_gives_nothing_excludes_nobody_from_what_is_better() -> None:
    result = calculated(
        offer("a", NForM(units=2, pay=1), combines=without("b")),
        offer("b", amount(5)),
        lines=lines(100),
    )
    assert by_offer(result) == {"b": [5]}


def test_groups_and_exclusions_are_chosen_together() -> None:
    """The best member of the group excludes an offer that is worth more than the difference."""
    group = Combines(group="g", not_with=("c",))
    result = calculated(
        offer("a", amount(30), combines=group),
        offer("b", amount(25), combines=Combines(group="g")),
        offer("c", amount(10)),
        lines=lines(100),
    )
    assert by_offer(result) == {"b": [25], "c": [10]}
    assert lost(result) == {"a": "b"}


def test_three_in_a_ring_of_exclusions_let_the_best_one_act() -> None:
    result = calculated(
        offer("a", amount(10), combines=without("b")),
        offer("b", amount(20), combines=without("c")),
        offer("c", amount(15), combines=without("a")),
        lines=lines(100),
    )
    assert by_offer(result) == {"b": [20]}


# Running thresholds


def test_an_offer_is_left_out_so_that_a_threshold_stays_reached() -> None:
    early = offer("a", amount(10), combines=Combines(order=1))
    needs = NeedsLines(amount_minor_min=100, basis="running")
    for late, acting in ((11, {"b": [11]}), (9, {"a": [10]})):
        result = calculated(early, offer("b", amount(late), needs=needs), lines=lines(100))
        assert by_offer(result) == acting


def test_an_offer_is_left_out_so_that_a_higher_step_is_reached() -> None:
    early = offer("a", amount(10), combines=Combines(order=1))
    steps = Steps(
        by="amount",
        basis="running",
        steps=(
            Step(at_least=50, off=AmountEach(amount_minor=5)),
            Step(at_least=100, off=AmountEach(amount_minor=30)),
        ),
    )
    result = calculated(early, offer("b", steps), lines=lines(100))
    assert by_offer(result) == {"b": [30]}
    assert lost(result) == {"a": "b"}


def test_a_threshold_on_other_lines_is_no_reason_to_leave_an_offer_out() -> None:
    early = offer("a", amount(10), lines=having("sku", "s1"), combines=Combines(order=1))
    needs = NeedsLines(match=having("sku", "s0"), amount_minor_min=100, basis="running")
    result = calculated(early, offer("b", amount(50), needs=needs), lines=lines(100, 100))
    # 50 by what is left to pay: 100 and 90.
    assert by_offer(result) == {"a": [0, 10], "b": [26, 24]}


# Points as benefit


@pytest.mark.parametrize(
    "points_group",
    [
        Combines(),
        Combines(group="p"),
        Combines(group="p", mode="first"),
        Combines(group="p", mode="best_per_line"),
    ],
)
def test_points_may_outweigh_money(points_group: Combines) -> None:
    of = Programme(programme_id="green", currency="EUR", points_in_benefit=True)
    group = Combines(group="g")
    points = offer(
        "p",
        PointsPerMoney(points=3, per_minor=1),
        lines=having("sku", "s0"),
        combines=points_group,
    )
    cheap = offer("a", amount(30), lines=having("sku", "s0"), combines=group)
    other = offer("b", amount(20), lines=having("sku", "s1"), combines=group)
    bought = lines(100, 100)
    # 30 off cost 90 points; 20 off elsewhere cost none.
    assert by_offer(calculated(cheap, other, points, lines=bought, of=of, who=account())) == {
        "b": [0, 20]
    }
    assert by_offer(calculated(cheap, other, points, lines=bought, who=account())) == {"a": [30, 0]}


def test_points_worth_little_do_not_outweigh_money() -> None:
    of = Programme(
        programme_id="green", currency="EUR", points_in_benefit=True, point_value_points=100
    )
    group = Combines(group="g")
    result = calculated(
        offer("a", amount(30), lines=having("sku", "s0"), combines=group),
        offer("b", amount(20), lines=having("sku", "s1"), combines=group),
        offer("p", PointsPerMoney(points=3, per_minor=1), lines=having("sku", "s0")),
        lines=lines(100, 100),
        of=of,
        who=account(),
    )
    assert by_offer(result) == {"a": [30, 0]}


# Pieces that several multi-buys want


def test_each_piece_serves_in_one_multi_buy() -> None:
    bought = (line("1", pieces=4, gross_minor=400),)
    result = calculated(
        offer("a", NForM(units=3, pay=2)), offer("b", EveryNth(every=2, off=HALF)), lines=bought
    )
    # 100 of three and nothing for the fourth, or twice 50; the larger sum is one of them alone.
    assert result.totals.discount_minor == 100
    five = (line("1", pieces=5, gross_minor=500),)
    result = calculated(
        offer("a", NForM(units=3, pay=2)), offer("b", EveryNth(every=2, off=HALF)), lines=five
    )
    assert by_offer(result) == {"a": [100], "b": [50]}


def test_shared_units_serve_in_both() -> None:
    bought = (line("1", pieces=2, gross_minor=200),)
    shares = Combines(shares_units=True)
    result = calculated(
        offer("a", EveryNth(every=2, off=HALF), combines=shares),
        offer("b", EveryNth(every=2, off=PercentOff(rate_ppm=200_000))),
        lines=bought,
    )
    assert by_offer(result) == {"a": [50], "b": [20]}


def test_a_piece_goes_where_it_makes_the_larger_set() -> None:
    """Three for two wants all three; a set with the dearest of them is worth more."""
    combo = PartsSet(
        parts=(
            Part(name="x", lines=having("sku", "s0")),
            Part(name="y", lines=having("sku", "s3")),
        ),
        off=AmountEach(amount_minor=120),
    )
    wide = offer("a", NForM(units=3, pay=2), lines=having("sku", "s0", "s1", "s2"))
    result = calculated(wide, offer("b", combo), lines=lines(100, 100, 100, 50))
    assert by_offer(result) == {"b": [80, 0, 0, 40]}
    small = offer("b", PartsSet(parts=combo.parts, off=AmountEach(amount_minor=90)))
    result = calculated(wide, small, lines=lines(100, 100, 100, 50))
    assert sum(by_offer(result)["a"]) == 100
    assert lost(result) == {"b": "a"}


def test_of_a_lines_pieces_the_earlier_offer_holds_the_dearer_ones() -> None:
    """Five pieces for 9 cost 2, 2, 2, 2 and 1: two pairs of the dear ones save most."""
    bought = (line("1", pieces=5, gross_minor=9),)
    result = calculated(
        offer("a", EveryNth(every=2, off=FREE), combines=Combines(order=1)),
        offer("b", NForM(units=3, pay=2), combines=Combines(order=2)),
        lines=bought,
    )
    assert result.totals.discount_minor == 4
    assert result.proven


def test_multi_buys_of_different_goods_do_not_touch_each_other() -> None:
    result = calculated(
        offer("a", NForM(units=2, pay=1), lines=having("sku", "s0", "s1")),
        offer("b", BuyGet(buy_units=1, get_units=1, off=HALF), lines=having("sku", "s2", "s3")),
        lines=lines(100, 90, 80, 70),
    )
    assert by_offer(result) == {"a": [47, 43, 0, 0], "b": [0, 0, 19, 16]}


def test_many_pieces_are_divided_as_well_as_can_be() -> None:
    """Of 17 pieces: five threes save 500 and a pair 50; four threes and two pairs only 500."""
    bought = (line("1", pieces=17, gross_minor=1_700),)
    result = calculated(
        offer("a", NForM(units=3, pay=2)), offer("b", EveryNth(every=2, off=HALF)), lines=bought
    )
    assert (result.totals.discount_minor, result.proven) == (550, True)


def rivals(count: int) -> tuple[Offer, ...]:
    """Return offers of 10, 11, 12, 10, 11, ... off, each of which excludes the one before it."""
    return tuple(
        offer(
            f"o{at}",
            amount(10 + at % 3),
            combines=without(f"o{at - 1}") if at else None,
        )
        for at in range(count)
    )


@pytest.mark.parametrize("nodes_max", [0, 1, 2, 5, 1_000])
def test_a_budget_that_ends_leaves_an_answer_and_a_bound(nodes_max: int) -> None:
    best = calculated(*rivals(9), lines=lines(1_000)).totals.discount_minor
    result = calculated(*rivals(9), lines=lines(1_000), nodes_max=nodes_max)
    found = result.totals.discount_minor
    assert found <= best <= found + result.gap_minor
    assert result.proven == (result.gap_minor == 0)
    acting = sorted(int(name[1:]) for name in by_offer(result))
    assert all(later - earlier > 1 for earlier, later in pairwise(acting))


def test_the_best_of_a_chain_of_exclusions_is_proven() -> None:
    """0..8 give 10 11 12 10 11 12 10 11 12, no two neighbours: 0 2 4 6 8 give 55."""
    result = calculated(*rivals(9), lines=lines(1_000))
    assert (result.totals.discount_minor, result.proven, result.gap_minor) == (55, True, 0)
    assert list(by_offer(result)) == ["o0", "o2", "o4", "o6", "o8"]


def test_the_receipts_maximum_leaves_the_choice_as_it_is() -> None:
    of = Programme(
        programme_id="green", currency="EUR", receipt=ReceiptTerms(discount_minor_max=15)
    )
    result = calculated(
        offer("a", amount(30)),
        offer("b", amount(20), combines=without("a")),
        lines=lines(100),
        of=of,
    )
    assert by_offer(result) == {"a": [15]}


@pytest.mark.parametrize(("most_minor", "acting"), [(15, "b"), (20, "b"), (21, "a")])
def test_of_choices_that_reach_the_receipts_maximum_priority_decides(
    most_minor: int, acting: str
) -> None:
    of = Programme(
        programme_id="green", currency="EUR", receipt=ReceiptTerms(discount_minor_max=most_minor)
    )
    group = Combines(group="g")
    result = calculated(
        offer("a", amount(30), combines=group),
        offer("b", amount(20), priority=10, combines=group),
        lines=lines(100),
        of=of,
    )
    assert by_offer(result) == {acting: [most_minor]}
    assert result.proven


def test_a_maximum_that_is_reached_proves_the_best() -> None:
    """The budget ends long before all sets are seen, but no more can be given than the maximum."""
    of = Programme(
        programme_id="green", currency="EUR", receipt=ReceiptTerms(discount_minor_max=40)
    )
    result = calculated(*rivals(12), lines=lines(1_000), of=of, nodes_max=5)
    assert (result.totals.discount_minor, result.proven) == (40, True)


def overlapping(count: int, combines: Callable[[int], Combines]) -> tuple[Offer, ...]:
    """Return multi-buys that want units of their neighbours."""
    return tuple(
        offer(
            f"o{at:02}",
            NForM(units=2 + at % 3, pay=1),
            lines=having("sku", *(f"s{(at * 3 + step) % 30}" for step in range(8))),
            combines=combines(at),
        )
        for at in range(count)
    )


def test_groups_of_overlapping_multi_buys_are_bounded_together() -> None:
    """The members of a group do not count beside each other: 36 offers, 12 groups of three."""
    offers = overlapping(36, lambda at: Combines(group=f"g{at // 3}"))
    bought = lines(*(500 + at * 37 % 300 for at in range(30)))
    result = calculated(*offers, lines=bought)
    found = result.totals.discount_minor
    assert found > 0
    assert result.gap_minor * 10 <= found


def test_multi_buys_that_exclude_each_other_all_are_proven() -> None:
    names = [f"o{at:02}" for at in range(12)]
    offers = overlapping(12, lambda at: without(*(n for n in names if n != names[at])))
    bought = lines(*(500 + at * 37 % 300 for at in range(30)))
    result = calculated(*offers, lines=bought)
    alone = [
        calculated(one, lines=bought).totals.discount_minor
        for one in overlapping(12, lambda _: Combines())
    ]
    assert (result.totals.discount_minor, result.proven) == (max(alone), True)


def test_a_percentage_after_a_choice_counts_what_the_choice_left() -> None:
    group = Combines(group="g", order=1)
    result = calculated(
        offer("a", amount(50), combines=group),
        offer("b", amount(40), combines=group),
        offer("z", Percent(rate_ppm=100_000)),
        lines=lines(100),
    )
    assert by_offer(result) == {"a": [50], "z": [5]}


def test_a_threshold_that_is_lost_for_other_reasons_leaves_nobody_out() -> None:
    needs = NeedsLines(amount_minor_min=101, basis="running")
    result = calculated(
        offer("a", amount(10), combines=Combines(order=1)),
        offer("b", percent(50), needs=needs),
        lines=lines(100),
    )
    assert by_offer(result) == {"a": [10]}


@pytest.mark.parametrize(
    "late",
    [
        offer("z", AmountOff(amount_minor=60, per="line")),
        offer("z", AmountOff(amount_minor=60, per="unit")),
        offer("z", Percent(rate_ppm=1_000_000, units=Units(which="dearest", count=1))),
        offer("z", Percent(rate_ppm=1_000_000), limits=Limits(units_max=1)),
    ],
)
def test_the_choice_looks_at_what_a_later_offer_makes_of_it(late: Offer) -> None:
    """50 off the first line leave the later offer less than 45 off the second one."""
    group = Combines(group="g", order=1)
    result = calculated(
        offer("a", amount(50), lines=having("sku", "s0"), combines=group),
        offer("b", amount(45), lines=having("sku", "s1"), combines=group),
        late,
        lines=lines(100, 110) if isinstance(late.gives, AmountOff) else lines(100, 90),
    )
    assert set(by_offer(result)) == {"b", "z"}


def test_a_tie_is_decided_by_priority_beside_an_offer_that_gives_nothing() -> None:
    group = Combines(group="g", order=1)
    unreached = Steps(by="amount", steps=(Step(at_least=10_000, off=AmountEach(amount_minor=5)),))
    result = calculated(
        offer("a", amount(30), combines=Combines(group="g", order=1, not_with=("c",))),
        offer("b", amount(25), priority=1, combines=group),
        offer("c", amount(5), combines=Combines(order=1)),
        offer("z", unreached),
        lines=lines(100),
    )
    assert by_offer(result) == {"b": [25], "c": [5]}
