"""Which multi-buy holds which units: branch and bound under prices for units (receipt 4).

Prices for contested units bound what any division of them can save (`pricing`). What offers want at
these prices is made a division, which is then bettered (`dividing`). Who holds what is settled
wherever the contrary could not be better than what was found; then the search branches: an offer
holds so many units of a line, or fewer. It goes on where most may be, until nowhere is more than
was found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import product
from math import comb

from loyalty.dividing import Division
from loyalty.limits import (
    PACKING_DIVISIONS_TRIED,
    PACKING_ROUNDS_FIRST,
    PACKING_ROUNDS_LATER,
    PPM,
)
from loyalty.pricing import Node, Pricing, whole
from loyalty.wanting import Claimant, want

Shares = dict[int, dict[int, int]]
"""Rank of an offer -> line index -> units it holds."""

_BEYOND_ALL = 1 << 300
_ROUNDS_A_DIVISION = 20
_NODES_A_DIVISION = 8
"""How often what is wanted is made a division: of the first prices, and while branching."""


@dataclass(slots=True)
class Packing:
    """The search.

    Attributes:
        pieces: of each line that several offers want, its units.
        contested: and the ranks of these offers.
        fixed_minor: a bound of what all else gives.
        value: what a division is worth, everything counted, in minor units.
        spend: takes steps from the budget; false when it is used up.
        to_beat: only what is worth at least as much is of interest.
        ceiling: no division is worth more.
        try_steps: what trying a division costs.
        divisions_tried: so few divisions are all tried.
        open_bound: the most that divisions could give which were not looked at.
    """

    claimants: Mapping[int, Claimant]
    pieces: Mapping[int, int]
    contested: Mapping[int, Sequence[int]]
    fixed_minor: int
    value: Callable[[Shares], int]
    spend: Callable[[int], bool]
    to_beat: int
    ceiling: int = 1 << 200
    try_steps: int = 1
    divisions_tried: int = PACKING_DIVISIONS_TRIED
    best: int = -1
    open_bound: int = -1
    _most_saved: int = -1
    _pricing: Pricing = field(init=False)

    def __post_init__(self) -> None:
        self._pricing = Pricing(self.claimants, self.fixed_minor, self.spend)

    def run(self, prices: Mapping[int, int], first: Callable[[], Shares]) -> None:
        """Search all divisions of the contested lines.

        Args:
            prices: of units by line, to begin with; none = none are known.
            first: a division to begin with where there are few.
        """
        root = whole(self.claimants, self.contested, self.pieces)
        root.prices |= {line: price for line, price in prices.items() if line in self.contested}
        if _divisions(root) <= self.divisions_tried:
            self._try(first())
            self._pricing.better(root, 1, self._goal)
            if root.bound >= self._goal() and not self._try_all(root):
                self.open_bound = root.bound
            return
        if not root.prices:
            self._pricing.begin(root)
        self._branch_and_bound(root)

    def _try(self, shares: Shares) -> None:
        self.best = max(self.best, self.value(shares))

    def _goal(self) -> int:
        return max(self.best + 1, self.to_beat) if self.best < self.ceiling else _BEYOND_ALL

    def _try_all(self, node: Node) -> bool:
        """Try every division of a small node; false when the budget ended before."""
        for shares in self._all_divisions(node):
            if not self.spend(self.try_steps):
                return False
            self._try(shares)
        return True

    def _branch_and_bound(self, root: Node) -> None:
        heap: list[tuple[int, int, Node]] = [(-root.bound, 0, root)]
        number = 0
        while heap:
            _, _, node = heappop(heap)
            if node.bound < self._goal():
                return
            held = self._better(node, number)
            if node.bound < self._goal():
                continue
            if held and self._over(node) * 2 < node.fixed_over:
                settled = self._settled(node)
                if settled is None:
                    continue
                node = settled
            if held and _divisions(node) <= self.divisions_tried:
                held = self._try_all(node)
                if held:
                    continue
            if not held:
                self.open_bound = max(node.bound, *(-bound for bound, _, _ in heap), -1)
                return
            for child in self._children(node):
                number += 1
                heappush(heap, (-child.bound, number, child))

    def _better(self, node: Node, number: int) -> bool:
        """Better a node's bound, and now and then the best division; false = the budget ended."""
        if number:
            held = self._pricing.better(node, PACKING_ROUNDS_LATER, self._goal)
            if number % _NODES_A_DIVISION == 0 and node.bound >= self._goal():
                self._divide(node)
            return held

        def divide(turn: int) -> None:
            if turn % _ROUNDS_A_DIVISION == 0:
                self._divide(node)

        held = self._pricing.better(node, PACKING_ROUNDS_FIRST, self._goal, divide)
        self._divide(node)
        return held

    def _divide(self, node: Node) -> None:
        """Make a division of what is wanted, better it and try it."""
        division = Division(self.claimants, self.pieces, self.spend)
        division.make(node.wanted, node.prices)
        division.better(node.prices)
        if division.total > self._most_saved:
            self._most_saved = division.total
            self._try(self._shares(division))

    def _shares(self, division: Division) -> Shares:
        """Return who holds what, the units that nobody uses given to the first who wants them."""
        shares: Shares = {rank: {} for rank in self.claimants}
        for line, ranks in self.contested.items():
            for rank in ranks:
                shares[rank][line] = division.held[rank].get(line, 0)
            shares[ranks[0]][line] += division.free[line]
        return shares

    # Parts of all divisions

    def _over(self, node: Node) -> int:
        """Return by how much it may be as good as what is looked for, in millionths."""
        total = self._pricing.total(node, node.prices, node.wanted)
        return total - (self._goal() - self.fixed_minor) * PPM

    def _settled(self, node: Node) -> Node | None:
        """Settle who holds what wherever the contrary is not good enough; None = nothing is."""
        node.fixed_over = over = self._over(node)
        found: list[tuple[int, int, tuple[int, int]]] = []
        for line, price in node.prices.items():
            if price <= over:
                continue
            for rank in node.open[line]:
                claimant, bounds, wanted = (
                    self.claimants[rank],
                    node.bounds[rank],
                    node.wanted[rank],
                )
                least, most = bounds.get(line, (0, self.pieces[line]))
                self.spend(claimant.steps)
                if wanted.units.get(line, 0) > least:
                    settled, contrary, paid = (least + 1, most), (least, least), 0
                else:
                    settled, contrary, paid = (least, least), (least + 1, most), price
                gain = want(claimant, {**bounds, line: contrary}, node.prices).gain - paid
                if gain + over < wanted.gain:
                    found.append((line, rank, settled))
        part: Node | None = node
        for line, rank, (least, most) in found:
            if part and line in part.open:
                now_least, now_most = part.bounds[rank].get(line, (0, self.pieces[line]))
                part = self._part(part, line, rank, (max(least, now_least), min(most, now_most)))
        return part

    def _children(self, node: Node) -> Iterator[Node]:
        """Part a node: an offer holds so many units of a line, or fewer."""
        wanted, prices = node.wanted, node.prices
        excess = self._pricing.excess(node, wanted)
        line = max(node.open, key=lambda at: (excess[at] > 0, prices[at] * node.supply[at], -at))
        rank = max(
            node.open[line],
            key=lambda r: (wanted[r].units.get(line, 0) > 0, wanted[r].gain, -r),
        )
        least, most = node.bounds[rank].get(line, (0, self.pieces[line]))
        most = min(most, least + node.supply[line])
        at = min(max(wanted[rank].units.get(line, 0), least + 1), most)
        for bounds in ((at, most), (least, at - 1)):
            if child := self._part(node, line, rank, bounds):
                yield child

    def _part(self, node: Node, line: int, rank: int, of_rank: tuple[int, int]) -> Node | None:
        """Return the part of a node where an offer's units of a line are within these bounds."""
        pieces = self.pieces[line]
        own = {r: node.bounds[r].get(line, (0, pieces)) for r in self.contested[line]}
        own[rank] = of_rank
        left = pieces - sum(least for least, _ in own.values())
        able = sum(min(most - least, left) for least, most in own.values())
        if left < 0 or able < left or any(most < least for least, most in own.values()):
            return None
        for r, (least, most) in own.items():
            # What nobody else may hold it holds in any case.
            room = min(most - least, left)
            own[r] = (least + max(0, left - able + room), least + room)
        left = pieces - sum(least for least, _ in own.values())
        bounds = dict(node.bounds)
        for r, (least, most) in own.items():
            bounds[r] = {**bounds[r], line: (least, min(most, least + left))}
        supply, still_open, prices = dict(node.supply), dict(node.open), dict(node.prices)
        if left:
            supply[line] = left
            still_open[line] = [r for r in own if bounds[r][line][1] > bounds[r][line][0]]
        else:
            del supply[line], still_open[line], prices[line]
        changed = {line} | (node.changed or set())
        return Node(
            bounds, supply, still_open, prices, node.bound, node.wanted, changed, node.fixed_over
        )

    def _all_divisions(self, node: Node) -> Iterator[Shares]:
        least: Shares = {rank: {} for rank in self.claimants}
        for line, ranks in self.contested.items():
            for rank in ranks:
                least[rank][line] = node.bounds[rank].get(line, (0, 0))[0]
        ways = (_parted(node.supply[line], len(node.open[line])) for line in node.open)
        for each in product(*ways):
            shares = {rank: dict(lines) for rank, lines in least.items()}
            for (line, ranks), counts in zip(node.open.items(), each, strict=True):
                for rank, count in zip(ranks, counts, strict=True):
                    shares[rank][line] += count
            yield shares


def _divisions(node: Node) -> int:
    """Return how many ways there are to divide what is open, or more than that."""
    ways = 1
    for line, ranks in node.open.items():
        ways *= comb(node.supply[line] + len(ranks) - 1, len(ranks) - 1)
    return ways


def _parted(pieces: int, parts: int) -> list[tuple[int, ...]]:
    """Return every way to part pieces, most to the first ones first."""
    if parts == 1:
        return [(pieces,)]
    return [
        (first, *rest)
        for first in range(pieces, -1, -1)
        for rest in _parted(pieces - first, parts - 1)
    ]
