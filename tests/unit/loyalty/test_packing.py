"""How contested pieces are divided among multi-buys, and the bound on what a division saves."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import pytest

from loyalty import multibuy
from loyalty.limits import PPM
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
from loyalty.packing import Packing, Shares
from loyalty.wanting import Bounds, Claimant, Prices, want
from tests.support.builders import having

FREE = PercentOff(rate_ppm=PPM)
HALF = PercentOff(rate_ppm=500_000)
ENOUGH = 1_000_000
Pieces = Mapping[int, tuple[int, int]]
"""By line: how many pieces, and the price of each."""


def units(pieces: Pieces, *lines: int) -> multibuy.Units:
    """Return the units of some lines, dearest first."""
    classes = [(pieces[line][1], line, pieces[line][0]) for line in lines if pieces[line][0]]
    return sorted(classes, key=lambda unit: (-unit[0], unit[1]))


def two_parts(off: PercentOff | AmountEach | PriceEach) -> PartsSet:
    """Return a set of one unit of line 0 and one of line 1."""
    parts = (Part(name="a", lines=having("sku", "a")), Part(name="b", lines=having("sku", "b")))
    return PartsSet(parts=parts, off=off)


def groups_of(gives: ClaimingReward, pieces: Pieces) -> list[multibuy.Units]:
    """Return what the reward forms its sets from: lines 0 and 1, in two kinds where it has two."""
    two_kinds = isinstance(gives, PartsSet) or (
        isinstance(gives, BuyGet)
        and gives.get_lines != BuyGet(buy_units=1, get_units=1, off=FREE).get_lines
    )
    return [units(pieces, 0), units(pieces, 1)] if two_kinds else [units(pieces, 0, 1)]


def saved(gives: ClaimingReward, pieces: Pieces, held: Mapping[int, int]) -> int:
    """Return what the reward takes off so many pieces of each line."""
    own = {line: (held.get(line, 0), price) for line, (_, price) in pieces.items()}
    return multibuy.form(gives, groups_of(gives, own), multibuy.Cap()).off_minor


REWARDS: dict[str, ClaimingReward] = {
    "three for two": NForM(units=3, pay=2),
    "four for two": NForM(units=4, pay=2),
    "every second at half": EveryNth(every=2, off=HALF),
    "every third for 30": EveryNth(every=3, off=PriceEach(amount_minor=30)),
    "two and one free": BuyGet(buy_units=2, get_units=1, off=FREE),
    "two and up to two free": BuyGet(buy_units=2, get_units=2, off=FREE, partial=True),
    "one and another for 5 less": BuyGet(
        buy_units=1, get_units=1, off=AmountEach(amount_minor=5), get_lines=having("sku", "b")
    ),
    "two and up to two others free": BuyGet(
        buy_units=2, get_units=2, off=FREE, get_lines=having("sku", "b"), partial=True
    ),
    "both for 100": two_parts(PriceEach(amount_minor=100)),
    "both at half": two_parts(HALF),
    "both for 45 less": two_parts(AmountEach(amount_minor=45)),
}
PIECES: Pieces = {0: (5, 80), 1: (4, 50)}


@pytest.mark.parametrize("prices", [{}, {0: 7 * PPM}, {0: 30 * PPM, 1: 11 * PPM}, {1: 50 * PPM}])
@pytest.mark.parametrize("name", REWARDS)
def test_no_holding_gains_more_than_what_is_wanted(name: str, prices: Mapping[int, int]) -> None:
    gives = REWARDS[name]
    claimant = Claimant(0, gives, groups_of(gives, PIECES))
    wanted = want(claimant, {}, prices)
    most = max(
        saved(gives, PIECES, {0: a, 1: b}) * PPM - a * prices.get(0, 0) - b * prices.get(1, 0)
        for a, b in product(range(6), range(5))
    )
    assert wanted.gain == most  # at these prices no percentage is rounded
    assert all(0 <= count <= PIECES[line][0] for line, count in wanted.units.items())


@pytest.mark.parametrize("name", REWARDS)
def test_what_is_wanted_gains_what_it_says(name: str) -> None:
    gives = REWARDS[name]
    prices = {0: 3 * PPM, 1: 2 * PPM}
    wanted = want(Claimant(0, gives, groups_of(gives, PIECES)), {}, prices)
    cost = sum(prices[line] * count for line, count in wanted.units.items())
    assert saved(gives, PIECES, wanted.units) * PPM - cost == wanted.gain


@pytest.mark.parametrize("name", REWARDS)
def test_at_prices_above_every_gain_nothing_is_wanted(name: str) -> None:
    gives = REWARDS[name]
    claimant = Claimant(0, gives, groups_of(gives, PIECES))
    wanted = want(claimant, {}, {0: 10**9, 1: 10**9})
    assert (wanted.gain, wanted.units) == (0, {})


def test_no_more_is_wanted_than_may_be_held() -> None:
    claimant = Claimant(0, NForM(units=2, pay=1), [((80, 0, 5), (50, 1, 4))])
    wanted = want(claimant, {0: (0, 2), 1: (0, 1)}, {})
    assert wanted.gain == 80 * PPM
    assert wanted.units == {0: 2}


def test_units_held_in_any_case_cost_nothing() -> None:
    claimant = Claimant(0, NForM(units=2, pay=1), [((80, 0, 5), (50, 1, 4))])
    wanted = want(claimant, {0: (2, 5), 1: (1, 4)}, {0: 90 * PPM, 1: 30 * PPM})
    # Two of 80 are there and one of 50; a second of 50 for 30 makes another pair.
    assert wanted.gain == (80 + 50 - 30) * PPM
    assert wanted.units == {0: 2, 1: 2}


def some_off(draw: random.Random) -> Off:
    """Return what is taken off a unit or a set; of even prices always whole."""
    offs: tuple[Off, ...] = (
        PercentOff(rate_ppm=draw.choice((PPM, 500_000))),
        AmountEach(amount_minor=draw.randint(1, 40)),
        PriceEach(amount_minor=draw.randint(0, 40)),
    )
    return draw.choice(offs)


def some_claimant(draw: random.Random, lines: Mapping[int, tuple[int, int]]) -> Claimant:
    """Return a multi-buy of any kind on some of the lines, now and then within limits."""

    def some() -> multibuy.Units:
        chosen = [line for line in lines if draw.random() < 0.7] or [0]
        return units(lines, *chosen)

    size = draw.randint(2, 4)
    parts = tuple(
        Part(name=name, lines=having("sku", "a"), units=draw.randint(1, 2))
        for name in "xyz"[: draw.randint(1, 3)]
    )
    buy, get = draw.randint(1, 3), draw.randint(1, 3)
    partial = draw.random() < 0.5
    same = BuyGet(buy_units=buy, get_units=get, off=some_off(draw), partial=partial)
    rewards: list[tuple[ClaimingReward, int]] = [
        (NForM(units=size, pay=draw.randint(1, size - 1)), 1),
        (EveryNth(every=size, off=some_off(draw)), 1),
        (same, 1),
        (replace(same, get_lines=having("sku", "b")), 2),
        (PartsSet(parts=parts, off=some_off(draw)), len(parts)),
    ]
    gives, kinds = draw.choice(rewards)
    cap = multibuy.Cap(sets=draw.choice((0, 0, 1, 2)))
    most_minor = draw.choice((0, 0, 0, draw.randint(1, 60)))
    return Claimant(0, gives, [some() for _ in range(kinds)], cap, most_minor)


def gained(claimant: Claimant, held: Mapping[int, int], bounds: Bounds, prices: Prices) -> int:
    """Return what an offer gains with these units after their prices."""
    cost = sum(prices.get(n, 0) * max(0, count - bounds[n][0]) for n, count in held.items())
    return claimant.saved(held).off_minor * PPM - cost


def test_what_is_wanted_within_bounds_and_limits_is_the_best_of_all_holdings(seed: int) -> None:
    draw = random.Random(seed)
    for number in range(150):
        lines = {n: (draw.choice((1, 1, 2, 5)), 2 * draw.randint(0, 20)) for n in range(4)}
        claimant = some_claimant(draw, lines)
        own = sorted(claimant.lines)
        prices = {n: draw.randint(0, 30 * PPM) for n in own if draw.random() < 0.8}
        bounds = {n: (0, lines[n][0]) for n in own}
        for n in own:
            if draw.random() < 0.4:
                least, most = sorted(draw.randint(0, lines[n][0]) for _ in range(2))
                bounds[n] = (least, most)
        wanted = want(claimant, bounds, prices)

        holdings = product(*(range(bounds[n][1] + 1) for n in own))
        best = max(
            gained(claimant, dict(zip(own, counts, strict=True)), bounds, prices)
            for counts in holdings
        )
        where = f"case {number}: {claimant} {bounds} {prices}"
        assert wanted.gain >= best, where
        if not claimant.most_minor and not isinstance(
            getattr(claimant.gives, "off", None), AmountEach
        ):
            assert wanted.gain == best, where
            held = {n: wanted.units.get(n, 0) for n in own}
            assert gained(claimant, held, bounds, prices) == best, where


def test_of_very_many_units_as_many_are_wanted_as_gain() -> None:
    """Sets of three that free one of 80: at 25 a piece they gain 5 each, at 27 they lose 1."""
    claimant = Claimant(0, NForM(units=3, pay=2), [((80, 0, 1_000_000),)])
    wanted = want(claimant, {}, {0: 25 * PPM})
    assert (wanted.gain, wanted.units) == (333_333 * 5 * PPM, {0: 999_999})
    assert want(claimant, {}, {0: 27 * PPM}).units == {}


def divisions(pieces: Pieces, count: int) -> Iterator[list[dict[int, int]]]:
    """Yield every way to divide the pieces among so many offers."""
    ways = [
        [way for way in product(range(have + 1), repeat=count) if sum(way) == have]
        for have, _ in pieces.values()
    ]
    for chosen in product(*ways):
        yield [{line: chosen[at][who] for at, line in enumerate(pieces)} for who in range(count)]


def best_of(gives: Sequence[ClaimingReward], pieces: Pieces) -> int:
    """Return the most that any division saves."""
    return max(
        sum(saved(each, pieces, held) for each, held in zip(gives, way, strict=True))
        for way in divisions(pieces, len(gives))
    )


def packed(gives: Sequence[ClaimingReward], pieces: Pieces, budget: int = ENOUGH) -> Packing:
    """Divide the pieces of lines 0 and 1."""
    left = budget

    def spend(steps: int) -> bool:
        nonlocal left
        left -= steps
        return left >= 0

    def value(shares: Shares) -> int:
        for line, (have, _) in pieces.items():
            assert sum(held.get(line, 0) for held in shares.values()) == have, shares
        return sum(saved(each, pieces, shares[rank]) for rank, each in enumerate(gives))

    packing = packing_of(gives, pieces, value, spend)
    first: Shares = {rank: dict.fromkeys(pieces, 0) for rank in range(len(gives))}
    first[0] = {line: have for line, (have, _) in pieces.items()}
    packing.run({}, lambda: first)
    return packing


def packing_of(
    gives: Sequence[ClaimingReward],
    pieces: Pieces,
    value: Callable[[Shares], int],
    spend: Callable[[int], bool],
    to_beat: int = -1,
) -> Packing:
    """Return the search for who holds which pieces of lines 0 and 1."""
    return Packing(
        claimants={
            rank: Claimant(rank, each, groups_of(each, pieces)) for rank, each in enumerate(gives)
        },
        pieces={line: have for line, (have, _) in pieces.items()},
        contested={line: list(range(len(gives))) for line in pieces},
        fixed_minor=0,
        value=value,
        spend=spend,
        to_beat=to_beat,
    )


CASES: list[tuple[tuple[str, ...], Pieces]] = [
    (("every second at half", "two and one free"), {0: (3, 80), 1: (2, 50)}),
    (("three for two", "every second at half"), {0: (5, 80), 1: (4, 50)}),
    (("three for two", "both for 100"), {0: (14, 80), 1: (13, 50)}),
    (("four for two", "two and up to two free"), {0: (13, 80), 1: (12, 79)}),
    (("both at half", "both for 45 less"), {0: (12, 70), 1: (13, 33)}),
    (("one and another for 5 less", "every third for 30"), {0: (11, 41), 1: (12, 64)}),
    (("two and up to two others free", "three for two"), {0: (12, 20), 1: (11, 90)}),
    (("three for two", "every second at half", "both for 100"), {0: (6, 80), 1: (5, 50)}),
    (("two and one free", "four for two", "both at half"), {0: (5, 31), 1: (6, 30)}),
]


@pytest.mark.parametrize(("names", "pieces"), CASES)
def test_no_division_saves_more_than_the_one_found(names: tuple[str, ...], pieces: Pieces) -> None:
    gives = [REWARDS[name] for name in names]
    packing, best = packed(gives, pieces), best_of(gives, pieces)
    assert packing.best == best
    assert packing.open_bound <= best


@pytest.mark.parametrize(("names", "pieces"), CASES)
def test_a_budget_that_ends_leaves_a_bound_that_holds(
    names: tuple[str, ...], pieces: Pieces
) -> None:
    gives = [REWARDS[name] for name in names]
    best = best_of(gives, pieces)
    for budget in range(0, 240, 4):
        packing = packed(gives, pieces, budget)
        assert packing.best <= best <= max(packing.best, packing.open_bound), budget


def test_a_search_that_cannot_reach_what_is_to_beat_ends_at_once() -> None:
    spent = 0

    def spend(steps: int) -> bool:
        nonlocal spent
        spent += steps
        return True

    pieces: Pieces = {0: (14, 80), 1: (13, 50)}
    gives = [REWARDS["three for two"], REWARDS["both for 100"]]
    packing = packing_of(
        gives,
        pieces,
        lambda shares: sum(saved(each, pieces, shares[at]) for at, each in enumerate(gives)),
        spend,
        to_beat=10**6,
    )
    packing.run({}, lambda: {0: {0: 14, 1: 13}, 1: {0: 0, 1: 0}})
    assert packing.open_bound < 10**6
    assert spent < 100
