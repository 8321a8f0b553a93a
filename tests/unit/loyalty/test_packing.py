"""How contested pieces are divided among multi-buys, and the bound on what a division saves."""

from collections.abc import Iterator, Mapping, Sequence
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
    Part,
    PartsSet,
    PercentOff,
    PriceEach,
)
from loyalty.packing import Packing, Shares
from loyalty.wanting import Claimant, want
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
    wanted = want(claimant, {0: 5, 1: 4}, prices)
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
    wanted = want(Claimant(0, gives, groups_of(gives, PIECES)), {0: 5, 1: 4}, prices)
    cost = sum(prices[line] * count for line, count in wanted.units.items())
    assert saved(gives, PIECES, wanted.units) * PPM - cost == wanted.gain


@pytest.mark.parametrize("name", REWARDS)
def test_at_prices_above_every_gain_nothing_is_wanted(name: str) -> None:
    gives = REWARDS[name]
    claimant = Claimant(0, gives, groups_of(gives, PIECES))
    wanted = want(claimant, {0: 5, 1: 4}, {0: 10**9, 1: 10**9})
    assert (wanted.gain, wanted.units) == (0, {})


def test_no_more_is_wanted_than_may_be_held() -> None:
    claimant = Claimant(0, NForM(units=2, pay=1), [((80, 0, 5), (50, 1, 4))])
    wanted = want(claimant, {0: 2, 1: 1}, {})
    assert wanted.gain == 80 * PPM
    assert wanted.units == {0: 2}


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

    packing = Packing(
        claimants=[
            Claimant(rank, each, groups_of(each, pieces)) for rank, each in enumerate(gives)
        ],
        pieces={line: have for line, (have, _) in pieces.items()},
        fixed_minor=0,
        value=value,
        spend=spend,
        to_beat=-1,
    )
    first = {rank: dict.fromkeys(pieces, 0) for rank in range(len(gives))}
    first[0] = {line: have for line, (have, _) in pieces.items()}
    packing.run({line: list(range(len(gives))) for line in pieces}, first)
    return packing


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
    assert not packing.exhausted


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
    packing = Packing(
        claimants=[
            Claimant(rank, each, groups_of(each, pieces)) for rank, each in enumerate(gives)
        ],
        pieces={0: 14, 1: 13},
        fixed_minor=0,
        value=lambda shares: sum(saved(each, pieces, shares[at]) for at, each in enumerate(gives)),
        spend=spend,
        to_beat=10**6,
    )
    packing.run({0: [0, 1], 1: [0, 1]}, {0: {0: 14, 1: 13}, 1: {0: 0, 1: 0}})
    assert packing.open_bound < 10**6
    assert spent < 100
