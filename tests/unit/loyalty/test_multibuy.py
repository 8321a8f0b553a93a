"""How a multi-buy forms its sets; units are (price, line, count), dearest first."""

import pytest

from loyalty.multibuy import Cap, Formed, Units, form, taken_off, units_of
from loyalty.offers import (
    AmountEach,
    BuyGet,
    ClaimingReward,
    EveryNth,
    NForM,
    Off,
    Part,
    PartsSet,
    PercentOff,
    PriceEach,
)
from tests.support.builders import having

NO_CAP = Cap()
FREE = PercentOff(rate_ppm=1_000_000)
HALF = PercentOff(rate_ppm=500_000)
SIX: Units = ((600, 0, 1), (500, 1, 1), (400, 2, 1), (300, 3, 1), (200, 4, 1), (100, 5, 1))
"""One unit on each of six lines."""


def parts(*sizes: int, off: Off) -> PartsSet:
    """Return a set with a part of each size."""
    return PartsSet(
        parts=tuple(
            Part(name=str(at), lines=having("sku", str(at)), units=size)
            for at, size in enumerate(sizes)
        ),
        off=off,
    )


def cake_with_coffee(
    *, buy: int = 1, get: int = 1, partial: bool = False, off: Off = FREE
) -> BuyGet:
    """Return an offer that gives units of other lines."""
    return BuyGet(
        buy_units=buy, get_units=get, off=off, partial=partial, get_lines=having("sku", "cake")
    )


@pytest.mark.parametrize(
    ("skip", "count", "units"),
    [
        (0, 3, [(34, 7, 1), (33, 7, 2)]),
        (0, 1, [(34, 7, 1)]),
        (1, 2, [(33, 7, 2)]),
        (1, 1, [(33, 7, 1)]),
        (2, 1, [(33, 7, 1)]),
        (0, 0, []),
    ],
)
def test_a_lines_price_is_shared_among_its_pieces_the_dearer_first(
    skip: int, count: int, units: list[tuple[int, int, int]]
) -> None:
    assert units_of(100, 3, 7, skip, count) == units


def test_pieces_that_divide_evenly_are_one_class() -> None:
    assert units_of(99, 3, 0, 0, 3) == [(33, 0, 3)]


def test_two_dearer_pieces_are_skipped_one_by_one() -> None:
    assert units_of(101, 3, 0, 1, 2) == [(34, 0, 1), (33, 0, 1)]


@pytest.mark.parametrize(
    ("off", "taken"),
    [
        (FREE, 251),
        (HALF, 126),  # 125.5, rounded once
        (PercentOff(rate_ppm=333_333), 84),  # 83.67
        (AmountEach(amount_minor=70), 191),  # 70 + 70 + 51
        (AmountEach(amount_minor=100), 251),
        (PriceEach(amount_minor=60), 80),  # 40 + 40, the third is cheaper as it is
        (PriceEach(amount_minor=0), 251),
        (PriceEach(amount_minor=100), 0),
    ],
)
def test_what_comes_off_two_units_of_100_and_one_of_51(off: Off, taken: int) -> None:
    assert taken_off(off, [(100, 0, 2), (51, 1, 1)]) == taken


@pytest.mark.parametrize(
    ("gives", "sets", "off_minor", "rewarded"),
    [
        (NForM(units=3, pay=2), 2, 500, {2: 400, 5: 100}),
        (NForM(units=3, pay=1), 2, 1_200, {1: 500, 2: 400, 4: 200, 5: 100}),
        (NForM(units=4, pay=3), 1, 300, {3: 300}),
        (NForM(units=6, pay=5), 1, 100, {5: 100}),
        (NForM(units=7, pay=6), 0, 0, {}),
        (NForM(units=2, pay=1, free="cheapest_of_all"), 3, 600, {3: 300, 4: 200, 5: 100}),
        (NForM(units=4, pay=2, free="cheapest_of_all"), 1, 300, {4: 200, 5: 100}),
        (EveryNth(every=2, off=HALF), 3, 450, {1: 500, 3: 300, 5: 100}),
        (EveryNth(every=5, off=AmountEach(amount_minor=50)), 1, 50, {4: 200}),
        (BuyGet(buy_units=2, get_units=1, off=FREE), 2, 500, {2: 400, 5: 100}),
        (BuyGet(buy_units=1, get_units=2, off=PriceEach(amount_minor=350)), 2, 200, {}),
        (BuyGet(buy_units=3, get_units=2, off=FREE), 1, 500, {3: 300, 4: 200}),
    ],
)
def test_six_units_form_sets(
    gives: ClaimingReward, sets: int, off_minor: int, rewarded: dict[int, int]
) -> None:
    formed = form(gives, [SIX], NO_CAP)
    assert (formed.sets, formed.off_minor) == (sets, off_minor)
    assert formed.rewarded == rewarded or not rewarded


def test_a_set_names_all_its_units_and_what_they_cost() -> None:
    units = ((200, 0, 2), (100, 1, 3))  # 2 + 1 make a set, two units are left over
    formed = form(NForM(units=3, pay=2), [units], NO_CAP)
    assert formed == Formed(
        off_minor=100,
        sets=1,
        rewarded={1: 100},
        claimed={0: 400, 1: 100},
        pieces={0: 2, 1: 1},
    )


def test_cheapest_of_all_claims_what_is_left_over_too() -> None:
    formed = form(
        NForM(units=2, pay=1, free="cheapest_of_all"), [((200, 0, 2), (100, 1, 1))], NO_CAP
    )
    assert (formed.sets, formed.off_minor) == (1, 100)
    assert formed.pieces == {0: 2, 1: 1}


def test_pieces_of_one_line_may_serve_in_several_sets() -> None:
    formed = form(EveryNth(every=2, off=HALF), [((100, 0, 7),)], NO_CAP)
    assert (formed.sets, formed.off_minor, formed.pieces) == (3, 150, {0: 6})


@pytest.mark.parametrize(
    ("pieces", "sets", "off_minor"),
    [(3, 0, 0), (4, 1, 100), (5, 1, 200), (8, 1, 200), (9, 2, 300), (10, 2, 400)],
)
def test_the_last_set_may_be_short_of_what_it_gives(pieces: int, sets: int, off_minor: int) -> None:
    gives = BuyGet(buy_units=3, get_units=2, off=FREE, partial=True)
    formed = form(gives, [((100, 0, pieces),)], NO_CAP)
    assert (formed.sets, formed.off_minor) == (sets, off_minor)


def test_a_short_set_gives_its_cheapest_units() -> None:
    gives = BuyGet(buy_units=3, get_units=2, off=FREE, partial=True)
    assert form(gives, [SIX[:4]], NO_CAP).rewarded == {3: 300}


@pytest.mark.parametrize(("sets_max", "off_minor"), [(0, 900), (1, 500), (2, 800), (3, 900)])
def test_no_more_sets_than_the_limit_the_dearest_first(sets_max: int, off_minor: int) -> None:
    assert form(NForM(units=2, pay=1), [SIX], Cap(sets=sets_max)).off_minor == off_minor


def test_a_limit_of_sets_leaves_the_further_units_alone() -> None:
    formed = form(NForM(units=2, pay=1), [SIX], Cap(sets=1))
    assert (formed.sets, formed.pieces) == (1, {0: 1, 1: 1})


@pytest.mark.parametrize(("units_max", "off_minor"), [(1, 500), (2, 800), (3, 900), (9, 900)])
def test_only_so_many_units_are_made_cheaper(units_max: int, off_minor: int) -> None:
    formed = form(NForM(units=2, pay=1), [SIX], Cap(units=units_max))
    assert (formed.sets, formed.off_minor) == (3, off_minor)


def test_units_beyond_a_limit_are_not_among_the_rewarded() -> None:
    assert form(NForM(units=2, pay=1), [SIX], Cap(units=1)).rewarded == {1: 500}


def test_only_so_many_units_of_a_line_are_made_cheaper() -> None:
    units = ((101, 0, 1), (100, 0, 3), (50, 1, 2))
    formed = form(NForM(units=2, pay=1), [units], Cap(units_per_line=1))
    assert formed.rewarded == {0: 100, 1: 50}


def test_the_limit_of_a_line_counts_units_of_all_prices() -> None:
    units = ((101, 0, 2), (100, 0, 2))  # 101 101 | 100 100
    formed = form(NForM(units=2, pay=1), [units], Cap(units_per_line=1))
    assert formed.rewarded == {0: 101}


@pytest.mark.parametrize(
    ("coffees", "cakes", "sets", "off_minor"),
    [(1, 1, 1, 300), (2, 1, 1, 300), (2, 2, 2, 500), (1, 2, 1, 300), (0, 2, 0, 0), (2, 0, 0, 0)],
)
def test_the_dearest_of_the_other_lines_are_given(
    coffees: int, cakes: int, sets: int, off_minor: int
) -> None:
    cake = ((300, 1, 1), (200, 2, 1))[:cakes]
    formed = form(cake_with_coffee(), [((100, 0, coffees),) if coffees else (), cake], NO_CAP)
    assert (formed.sets, formed.off_minor) == (sets, off_minor)


def test_two_for_three_of_other_lines_names_all_units() -> None:
    formed = form(cake_with_coffee(buy=2, get=3), [((100, 0, 5),), ((70, 1, 4),)], NO_CAP)
    assert formed == Formed(
        off_minor=210,
        sets=1,
        rewarded={1: 210},
        claimed={0: 200, 1: 210},
        pieces={0: 2, 1: 3},
    )


@pytest.mark.parametrize(("cakes", "off_minor"), [(0, 0), (1, 70), (2, 140), (3, 210), (4, 280)])
def test_other_lines_may_be_short_where_a_part_is_enough(cakes: int, off_minor: int) -> None:
    held = [((100, 0, 4),), ((70, 1, cakes),) if cakes else ()]
    gives = cake_with_coffee(buy=2, get=2, partial=True)
    assert form(gives, held, NO_CAP).off_minor == off_minor


def test_a_unit_that_could_serve_as_both_serves_once() -> None:
    both = ((500, 0, 1), (200, 1, 1))
    formed = form(cake_with_coffee(), [both, both], NO_CAP)
    assert (formed.off_minor, formed.rewarded, formed.pieces) == (500, {0: 500}, {0: 1, 1: 1})


def test_what_can_only_be_bought_is_bought_first() -> None:
    formed = form(cake_with_coffee(), [((500, 0, 1), (100, 2, 1)), ((500, 0, 1),)], NO_CAP)
    assert (formed.rewarded, formed.claimed) == ({0: 500}, {0: 500, 2: 100})


def test_sets_of_other_lines_stop_at_the_limit() -> None:
    held = [((100, 0, 5),), ((70, 1, 5),)]
    assert form(cake_with_coffee(), held, Cap(sets=2)).off_minor == 140


def test_a_further_set_is_not_formed_when_it_gives_dear_units_away() -> None:
    # One set: buy 100, get 500. Two sets would have to buy the 300 and give 500 and nothing more.
    both = ((500, 0, 1), (300, 1, 1), (100, 2, 1))
    formed = form(cake_with_coffee(off=HALF), [both, both], NO_CAP)
    assert (formed.sets, formed.off_minor) == (1, 250)


@pytest.mark.parametrize(
    ("off", "off_minor"),
    [
        (PriceEach(amount_minor=500), 200),
        (PercentOff(rate_ppm=100_000), 70),
        (AmountEach(amount_minor=90), 90),
        (AmountEach(amount_minor=900), 700),
        (PriceEach(amount_minor=701), 0),
    ],
)
def test_a_set_takes_the_dearest_unit_of_each_part(off: Off, off_minor: int) -> None:
    held = [((400, 0, 1), (100, 1, 1)), ((300, 2, 1),)]
    formed = form(parts(1, 1, off=off), held, NO_CAP)
    assert formed.off_minor == off_minor
    if off_minor:
        assert formed.claimed == formed.rewarded == {0: 400, 2: 300}


def test_a_second_set_is_formed_while_it_saves() -> None:
    held = [((400, 0, 1), (350, 1, 1), (100, 2, 1)), ((300, 3, 3),)]
    formed = form(parts(1, 1, off=PriceEach(amount_minor=500)), held, NO_CAP)
    # 200, then 200 + 150; the third, 100 + 300 for 500, would cost more than it saves.
    assert (formed.sets, formed.off_minor) == (2, 350)
    assert formed.pieces == {0: 1, 1: 1, 3: 2}


def test_a_set_of_more_units_of_a_part_needs_them_all() -> None:
    set_ = parts(2, 1, off=AmountEach(amount_minor=50))
    assert form(set_, [((100, 0, 1),), ((100, 1, 5),)], NO_CAP).off_minor == 0
    assert form(set_, [((100, 0, 4),), ((100, 1, 5),)], NO_CAP).off_minor == 100
    assert form(set_, [((100, 0, 4),), ((100, 1, 5),)], Cap(sets=1)).off_minor == 50


def test_a_unit_serves_in_one_part_of_a_set() -> None:
    either = ((400, 0, 1),)
    free = parts(1, 1, off=FREE)
    assert form(free, [either, either], NO_CAP) == Formed()
    assert form(free, [either, (*either, (100, 1, 1))], NO_CAP).claimed == {0: 400, 1: 100}


def test_units_move_between_parts_to_make_room() -> None:
    """The dearest fits both parts and comes first; the next fits only the part it took."""
    formed = form(
        parts(1, 1, off=FREE),
        [((400, 0, 1), (300, 1, 1)), ((400, 0, 1), (50, 2, 1))],
        NO_CAP,
    )
    assert formed.claimed == {0: 400, 1: 300}


def test_units_move_along_a_chain_of_parts() -> None:
    a, b, c = (90, 0, 1), (80, 1, 1), (70, 2, 1)
    formed = form(parts(1, 1, 1, off=FREE), [(a, c), (a, b), (b,)], NO_CAP)
    assert formed.claimed == {0: 90, 1: 80, 2: 70}


def test_parts_that_compete_for_too_few_units_form_no_set() -> None:
    two = ((90, 0, 1), (80, 1, 1))
    assert form(parts(2, 1, off=FREE), [two, two], NO_CAP) == Formed()


MILLION = 1_000_000


def test_a_million_pieces_of_each_part_form_a_million_sets() -> None:
    held: list[Units] = [((7, 0, MILLION),), ((5, 1, MILLION),)]
    formed = form(parts(1, 1, off=PriceEach(amount_minor=9)), held, NO_CAP)
    assert (formed.off_minor, formed.sets) == (3 * MILLION, MILLION)
    assert formed.pieces == {0: MILLION, 1: MILLION}


def test_units_that_fill_several_parts_are_shared_out_however_many_there_are() -> None:
    """Part 1 takes every unit, part 0 only those of line 0: sets end with the cheap units."""
    both: Units = ((7, 0, MILLION), (5, 1, 3 * MILLION))
    formed = form(parts(1, 1, off=PriceEach(amount_minor=9)), [both[:1], both], NO_CAP)
    assert (formed.off_minor, formed.sets) == (3 * MILLION, MILLION)
    assert formed.pieces == {0: MILLION, 1: MILLION}


def test_of_a_million_pieces_that_are_both_the_cheapest_are_bought() -> None:
    both: Units = ((7, 0, MILLION), (5, 1, MILLION))
    formed = form(cake_with_coffee(), [both, both], NO_CAP)
    assert (formed.off_minor, formed.rewarded) == (7 * MILLION, {0: 7 * MILLION})
    assert formed.claimed == {0: 7 * MILLION, 1: 5 * MILLION}


def test_where_rounding_makes_sets_equal_the_fewest_are_formed() -> None:
    """A hundredth of 10 a set: after five sets half a unit is rounded up, fourteen are no more."""
    held: list[Units] = [((10, 0, 14),)]
    formed = form(parts(1, off=PercentOff(rate_ppm=10_000)), held, NO_CAP)
    assert (formed.off_minor, formed.sets) == (1, 5)
