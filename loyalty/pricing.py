"""Prices for units that several multi-buys want (receipt 4).

Put a price on each contested unit and let every offer choose for itself what it would buy at these
prices: what they gain together, and what the units cost, is at least what any division of the units
can save (Lagrangian duality). Prices rise where units are wanted twice and fall where they are left
over, in steps that grow with what is still between the bound and the best value known (Polyak).
All is counted in millionths of a minor unit, in integers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from loyalty.limits import PPM
from loyalty.wanting import Claimant, Wanted, want

_NO_BOUND = 1 << 200
_FIRST_SHARE_PERCENT = 80
_LINES_A_STEP = 10
_SHARPNESS_FIRST = 4
_SHARPNESS_LAST = 1 << 10
_PATIENCE = 4
"""Rounds without a better bound after which steps are halved."""


@dataclass(slots=True)
class Node:
    """A part of all divisions, and what prices say of it.

    Attributes:
        bounds: by rank and line, units the offer holds in any case, and those it may hold.
        supply: units of each line that several offers may still get.
        open: ranks of these offers.
        prices: of one unit by line.
        bound: the most that a division of it saves, with all else, in minor units.
        wanted: what each offer wants at these prices.
        changed: lines on which something has changed since; None = nothing is known yet.
        fixed_over: what it could be over the best when last its units were fixed.
    """

    bounds: dict[int, dict[int, tuple[int, int]]]
    supply: dict[int, int]
    open: dict[int, list[int]]
    prices: dict[int, int]
    bound: int = _NO_BOUND
    wanted: dict[int, Wanted] = field(default_factory=dict)
    changed: set[int] | None = None
    fixed_over: int = _NO_BOUND


def whole(
    claimants: Mapping[int, Claimant],
    contested: Mapping[int, Sequence[int]],
    pieces: Mapping[int, int],
) -> Node:
    """Return all divisions of the contested lines."""
    return Node(
        {rank: {} for rank in claimants},
        dict(pieces),
        {line: list(ranks) for line, ranks in contested.items()},
        {},
    )


@dataclass(frozen=True, slots=True)
class Rivals:
    """Offers of which one acts at most, or one that wants no units.

    Attributes:
        least: what that one gives, in millionths.
    """

    ranks: tuple[int, ...]
    least: int = 0


class Pricing:
    """Looks for prices with a low bound.

    Attributes:
        slack: what rounding can add to the bound, in millionths.
    """

    def __init__(
        self,
        claimants: Mapping[int, Claimant],
        fixed_minor: int,
        spend: Callable[[int], bool],
        rivals: Sequence[Rivals] = (),
    ) -> None:
        self._claimants = claimants
        self._fixed_minor = fixed_minor
        self._spend = spend
        self._rivals = rivals
        in_rivalry = {rank for each in rivals for rank in each.ranks}
        self._always = [rank for rank in claimants if rank not in in_rivalry]
        self.slack = sum(claimant.slack for claimant in claimants.values())

    def begin(self, node: Node) -> None:
        """Let prices be about what the second one of those that want a unit would bid."""
        bids: dict[int, list[int]] = {line: [] for line in node.open}
        for claimant in self._claimants.values():
            self._spend(claimant.steps)
            free = want(claimant, {}, {})
            lines = [line for line in free.units if line in bids]
            units = sum(free.units[line] for line in lines)
            for line in lines:
                bids[line].append(free.gain // units)
        for line, each in bids.items():
            second = sorted(each)[-2] if len(each) > 1 else 0
            node.prices[line] = second * _FIRST_SHARE_PERCENT // 100

    def better(
        self,
        node: Node,
        rounds: int,
        goal_minor: Callable[[], int],
        after: Callable[[int], None] | None = None,
    ) -> bool:
        """Better the prices and the bound of a node.

        Args:
            goal_minor: a bound below it is as good as any.
            after: is called after each round with its number, when `node` has its result.

        Returns:
            Whether the budget held.
        """
        prices = {line: node.prices.get(line, 0) for line in node.open}
        wanted, changed = node.wanted, node.changed
        pull: dict[int, int] = dict.fromkeys(prices, 0)
        sharpness, since = _SHARPNESS_FIRST, 0
        for turn in range(rounds if node.open else 1):
            wanted, steps = self._want_anew(node, prices, changed, wanted)
            total = self.total(node, prices, wanted)
            bound = self._fixed_minor + total // PPM
            if bound < node.bound or not turn:
                since = 0
                node.bound = min(bound, node.bound)
                node.prices, node.wanted, node.changed = prices, wanted, set()
            else:
                since += 1
            if not self._spend(steps):
                return False
            if after:
                after(turn)
            if node.bound < goal_minor() or sharpness > _SHARPNESS_LAST:
                break
            if since >= _PATIENCE:
                prices, wanted, since = node.prices, node.wanted, 0
                total = self.total(node, prices, wanted)
                sharpness, pull = sharpness * 2, dict.fromkeys(prices, 0)
            over = max(PPM // 4, total - (goal_minor() - self._fixed_minor) * PPM)
            moved = _moved(prices, self.excess(node, wanted), pull, over // sharpness)
            changed = {line for line, price in moved.items() if price != prices[line]}
            if not changed:
                break
            prices = moved
        return True

    def _want_anew(
        self,
        node: Node,
        prices: Mapping[int, int],
        changed: set[int] | None,
        before: Mapping[int, Wanted],
    ) -> tuple[dict[int, Wanted], int]:
        """Let the offers choose again on whose lines something changed; say what that took."""
        wanted, steps = dict(before), 1 + len(prices) // _LINES_A_STEP
        for rank, claimant in self._claimants.items():
            if changed is None or not changed.isdisjoint(claimant.lines):
                # Units divided already have no price for the offer that holds them.
                wanted[rank] = want(claimant, node.bounds[rank], prices)
                steps += claimant.steps
        return wanted, steps

    def total(self, node: Node, prices: Mapping[int, int], wanted: Mapping[int, Wanted]) -> int:
        """Return what the offers gain and what the units cost, in millionths: a bound."""
        total = self.slack + sum(wanted[rank].gain for rank in self._always)
        for each in self._rivals:
            total += max([each.least, *(wanted[rank].gain for rank in each.ranks)])
        return total + sum(price * node.supply[line] for line, price in prices.items())

    def excess(self, node: Node, wanted: Mapping[int, Wanted]) -> dict[int, int]:
        """Return by line how many more units are wanted than there are."""
        excess = {line: -node.supply[line] for line in node.open}
        acting = list(self._always)
        for each in self._rivals:
            best = max(each.ranks, key=lambda rank: wanted[rank].gain, default=None)
            if best is not None and wanted[best].gain > each.least:
                acting.append(best)
        for rank in acting:
            bounds = node.bounds[rank]
            for line, count in wanted[rank].units.items():
                if line in excess:
                    least = bounds[line][0] if line in bounds else 0
                    excess[line] += max(0, count - least)
        return excess


def _moved(
    prices: Mapping[int, int], excess: Mapping[int, int], pull: dict[int, int], over: int
) -> dict[int, int]:
    """Return prices a step on: up where units are wanted twice, down where some are left over.

    Args:
        pull: by line, of the steps before; it goes on in this one, half as strong.
    """
    for line, count in excess.items():
        along = 4 * count + pull[line] // 2
        pull[line] = 0 if along < 0 and not prices[line] else along
    norm = sum(each * each for each in pull.values())
    if not norm:
        return dict(prices)
    return {line: max(0, price + 8 * over * pull[line] // norm) for line, price in prices.items()}
