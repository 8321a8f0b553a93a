"""Which multi-buy holds which units: branch and bound under prices for units (receipt 4).

Several multi-buys want the same units. Put a price on each contested unit and let every offer
choose for itself what it would buy at these prices: what they gain together, and what the units
cost, is at least what any division of the units can save (Lagrangian duality). Prices rise where
units are wanted twice. What is still wanted twice is divided in every possible way, the search
going on with each division. All is counted in millionths of a minor unit, in integers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from math import comb

from loyalty.limits import (
    PACKING_DIVISIONS_TRIED,
    PACKING_ROUNDS_FIRST,
    PACKING_ROUNDS_LATER,
    PPM,
)
from loyalty.wanting import Claimant, Wanted, want

Shares = dict[int, dict[int, int]]
"""Rank of an offer -> line index -> units it holds."""

_UNITS_A_STEP = 20
_PATIENCE = 4
"""Rounds after which smaller steps are taken, and after which a division is tried."""


@dataclass(slots=True)
class _Node:
    """A part of all divisions.

    Attributes:
        most: by rank and line, how many units the offer may hold.
        supply: units of each contested line that are still to be divided.
        open: ranks of the offers they are to be divided among.
    """

    most: Shares
    supply: dict[int, int]
    open: dict[int, list[int]]


@dataclass(slots=True)
class Packing:
    """The search.

    Attributes:
        fixed_minor: a bound of what all else gives.
        value: what a division is worth, everything counted, in minor units.
        spend: takes steps from the budget; false when it is used up.
        to_beat: only what is worth at least as much is of interest.
        divisions_tried: so few divisions are all tried.
        try_steps: what trying a division costs.
        open_bound: the most that divisions could give which were not looked at.
    """

    claimants: Sequence[Claimant]
    pieces: Mapping[int, int]
    fixed_minor: int
    value: Callable[[Shares], int]
    spend: Callable[[int], bool]
    to_beat: int
    try_steps: int = 1
    divisions_tried: int = PACKING_DIVISIONS_TRIED
    best: int = -1
    best_shares: Shares = field(default_factory=dict)
    open_bound: int = -1
    exhausted: bool = False
    _prices: dict[int, int] = field(default_factory=dict)

    def run(self, contested: Mapping[int, Sequence[int]], first: Shares) -> None:
        """Search all divisions of the contested lines.

        Args:
            contested: line -> ranks of the offers that want its units.
            first: a division to begin with.
        """
        self._try(first)
        most = {
            claimant.rank: {line: self.pieces[line] for line in _lines_of(claimant)}
            for claimant in self.claimants
        }
        self._prices = dict.fromkeys(contested, 0)
        node = _Node(
            most,
            {line: self.pieces[line] for line in contested},
            {line: list(ranks) for line, ranks in contested.items()},
        )
        if _divisions(node) > self.divisions_tried:
            self._prices, *_ = self._price(node, PACKING_ROUNDS_FIRST)
            self._better_by_hand(contested)
        self._descend(node, 1)

    def _try(self, shares: Shares) -> None:
        value = self.value(shares)
        if value > self.best:
            self.best, self.best_shares = value, shares

    def _better_by_hand(self, contested: Mapping[int, Sequence[int]]) -> None:
        """Give units of a line to another offer for as long as that helps."""
        helped = True
        while helped:
            helped = False
            for line, ranks in contested.items():
                for giver, taker in permutations(ranks, 2):
                    count = self.best_shares[giver].get(line, 0)
                    for moved in sorted({1, count}) if count else ():
                        shares = dict(self.best_shares)
                        shares[giver] = {**shares[giver], line: count - moved}
                        shares[taker] = {
                            **shares[taker],
                            line: shares[taker].get(line, 0) + moved,
                        }
                        before = self.best
                        self._try(shares)
                        if self.best > before:
                            helped = True
                            break
                        if not self.spend(self.try_steps):
                            return

    def _beaten(self, bound: int) -> bool:
        return bound <= self.best or bound < self.to_beat

    def _descend(self, node: _Node, rounds: int) -> None:
        prices, bound, wanted, finished = self._price(node, rounds)
        if self._beaten(bound):
            return
        if not node.open:
            self._try(node.most)
            return
        if finished and _divisions(node) <= self.divisions_tried:
            finished = self._try_all(node)
            if finished:
                return
        if not finished:
            self.exhausted = True
            self.open_bound = max(self.open_bound, bound)
            return
        line, rank = self._branch(node, wanted, prices)
        use = wanted[rank].units.get(line, 0)
        supply = node.supply[line]
        # What the offer wants at these prices comes first: the best is found early.
        for count in sorted(range(supply + 1), key=lambda c: (abs(c - use), -c)):
            self._prices = dict(prices)
            self._descend(_divided(node, line, rank, count), PACKING_ROUNDS_LATER)
            if self._beaten(bound):
                return
            if self.exhausted:
                self.open_bound = max(self.open_bound, bound)
                return

    def _try_all(self, node: _Node) -> bool:
        """Try every division of a small node; false when the budget ended before."""
        for shares in _all_divisions(node):
            if not self.spend(self.try_steps):
                return False
            self._try(shares)
        return True

    def _price(
        self, node: _Node, rounds: int
    ) -> tuple[dict[int, int], int, dict[int, Wanted], bool]:
        """Look for prices with a low bound; try the divisions they suggest.

        Returns:
            The best prices found, their bound in minor units, what each offer wants at them, and
            whether the budget held.
        """
        prices = {line: self._prices.get(line, 0) for line in node.open}
        best_prices, best_bound, best_wanted = prices, 1 << 200, {}
        sharpness, bettered = 2, 0
        wanted: dict[int, Wanted] = {}
        changed = set(self.pieces)
        for turn in range(rounds if node.open else 1):
            steps = self._want_anew(node, prices, changed, wanted)
            total = sum(each.gain for each in wanted.values())
            total += sum(prices[line] * node.supply[line] for line in node.open)
            bound = self.fixed_minor + (total + self._slack()) // PPM
            if bound < best_bound:
                best_prices, best_bound, best_wanted = dict(prices), bound, dict(wanted)
                bettered = turn
            elif turn % _PATIENCE == _PATIENCE - 1:
                sharpness += 1
            if not self.spend(steps):
                return best_prices, best_bound, best_wanted, False
            excess = _excess(node, wanted)
            fits = not any(excess.values())
            if fits or turn % _PATIENCE == 0:
                self._try(_feasible(node, wanted))
            if fits or self._beaten(best_bound) or turn - bettered > _PATIENCE * 3:
                break
            prices, changed = self._moved(prices, excess, total, sharpness)
        return best_prices, best_bound, best_wanted, True

    def _want_anew(
        self,
        node: _Node,
        prices: Mapping[int, int],
        changed: set[int],
        wanted: dict[int, Wanted],
    ) -> int:
        """Let the offers choose again whose lines have new prices; return the steps it took."""
        steps = 1
        for claimant in self.claimants:
            if not changed.isdisjoint(node.most[claimant.rank]):
                wanted[claimant.rank] = self._want(claimant, node, prices)
                steps += 1 + claimant.size // _UNITS_A_STEP
        return steps

    def _slack(self) -> int:
        """Return what rounding can add to the bound, in millionths."""
        return sum(claimant.rounds for claimant in self.claimants) * PPM // 2

    def _want(self, claimant: Claimant, node: _Node, prices: Mapping[int, int]) -> Wanted:
        """Units divided already have no price for the offer that holds them."""
        rank = claimant.rank
        own = {line: price for line, price in prices.items() if price and rank in node.open[line]}
        wanted = want(claimant, node.most[rank], own)
        if claimant.most_minor:
            wanted.gain = min(wanted.gain, claimant.most_minor * PPM)
        return wanted

    def _moved(
        self, prices: dict[int, int], excess: dict[int, int], total: int, sharpness: int
    ) -> tuple[dict[int, int], set[int]]:
        """Return prices a step on: up where units are wanted twice, down where none are."""
        norm = sum(each * each for each in excess.values())
        goal = max(self.best, self.to_beat) - self.fixed_minor
        step = 2 * max(PPM // 4, total - goal * PPM) // (norm * sharpness)
        moved = {line: max(0, price + step * excess.get(line, 0)) for line, price in prices.items()}
        return moved, {line for line in prices if moved[line] != prices[line]}

    def _branch(
        self, node: _Node, wanted: Mapping[int, Wanted], prices: Mapping[int, int]
    ) -> tuple[int, int]:
        """Return the line that is wanted twice most dearly, and the offer that gains most there."""
        excess = _excess(node, wanted)
        line = max(node.open, key=lambda at: (excess[at] > 0, prices[at] * node.supply[at], -at))
        rank = max(
            node.open[line],
            key=lambda r: (wanted[r].units.get(line, 0) > 0, wanted[r].gain, -r),
        )
        return line, rank


def _lines_of(claimant: Claimant) -> set[int]:
    return {line for units in claimant.units for _, line, _ in units}


def _excess(node: _Node, wanted: Mapping[int, Wanted]) -> dict[int, int]:
    return {
        line: sum(wanted[rank].units.get(line, 0) for rank in ranks) - node.supply[line]
        for line, ranks in node.open.items()
    }


def _divided(node: _Node, line: int, rank: int, count: int) -> _Node:
    """Return the part of the node where the offer holds so many units of the line."""
    others = [other for other in node.open[line] if other != rank]
    left = node.supply[line] - count
    most = {r: dict(lines) for r, lines in node.most.items()}
    most[rank][line] = count
    for other in others:
        most[other][line] = left
    supply, still_open = dict(node.supply), dict(node.open)
    if len(others) > 1 and left:
        supply[line], still_open[line] = left, others
    else:
        del supply[line], still_open[line]
    return _Node(most, supply, still_open)


def _divisions(node: _Node) -> int:
    """Return how many ways there are to divide what is open."""
    ways = 1
    for line, ranks in node.open.items():
        ways *= comb(node.supply[line] + len(ranks) - 1, len(ranks) - 1)
    return ways


def _all_divisions(node: _Node) -> Iterator[Shares]:
    for each in product(*(_parted(node.supply[line], len(node.open[line])) for line in node.open)):
        shares = {rank: dict(lines) for rank, lines in node.most.items()}
        for (line, ranks), counts in zip(node.open.items(), each, strict=True):
            for rank, count in zip(ranks, counts, strict=True):
                shares[rank][line] = count
        yield shares


def _parted(pieces: int, parts: int) -> list[tuple[int, ...]]:
    """Return every way to part pieces, most to the first ones first."""
    if parts == 1:
        return [(pieces,)]
    return [
        (first, *rest)
        for first in range(pieces, -1, -1)
        for rest in _parted(pieces - first, parts - 1)
    ]


def _feasible(node: _Node, wanted: Mapping[int, Wanted]) -> Shares:
    """Return a division close to what is wanted: who gains most takes first."""
    shares = {rank: dict(lines) for rank, lines in node.most.items()}
    order = sorted(wanted, key=lambda rank: (-wanted[rank].gain, rank))
    for line, ranks in node.open.items():
        left = node.supply[line]
        for rank in order:
            if rank in ranks:
                taken = min(left, wanted[rank].units.get(line, 0))
                shares[rank][line] = taken
                left -= taken
        shares[next(rank for rank in order if rank in ranks)][line] += left
    return shares
