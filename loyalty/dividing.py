"""A division of units among multi-buys: made from what they want, and bettered (receipt 4).

Of a line that several offers want each holds some units and the rest is free. An offer betters the
division by taking units that are free, or that others hold, at prices for these: what it gains has
to outweigh what the others lose when they form their sets anew.
"""

from collections.abc import Callable, Mapping

from loyalty.limits import PPM
from loyalty.wanting import Claimant, Prices, Wanted, want

_WANTS_A_TAKING = 2
"""Taking units costs about as much as wanting so often."""

Units = dict[int, int]
"""By line."""


class Division:
    """Who holds which units of contested lines, and what each offer saves with them."""

    def __init__(
        self,
        claimants: Mapping[int, Claimant],
        pieces: Mapping[int, int],
        spend: Callable[[int], bool],
    ) -> None:
        self._claimants = claimants
        self._pieces = pieces
        self._spend = spend
        self._own = {
            rank: [line for line in sorted(claimant.lines) if line in pieces]
            for rank, claimant in claimants.items()
        }
        self._wanting: dict[int, list[int]] = {line: [] for line in pieces}
        for rank, lines in self._own.items():
            for line in lines:
                self._wanting[line].append(rank)
        self.free = dict(pieces)
        self.held: dict[int, Units] = {rank: {} for rank in claimants}
        self.saved: dict[int, int] = dict.fromkeys(claimants, 0)

    @property
    def total(self) -> int:
        """What all of them save, in minor units."""
        return sum(self.saved.values())

    def make(self, wanted: Mapping[int, Wanted], prices: Prices) -> None:
        """Give the offers what they want, who gains most first; who is late wants anew."""
        for rank in sorted(wanted, key=lambda rank: (-wanted[rank].gain, rank)):
            units = wanted[rank].units
            if any(units.get(line, 0) > self.free[line] for line in self._own[rank]):
                bounds = {line: (0, self.free[line]) for line in self._own[rank]}
                units = want(self._claimants[rank], bounds, prices).units
            have = {line: min(units.get(line, 0), self.free[line]) for line in self._own[rank]}
            self._settle(rank, have, self.free)
        for rank in wanted:
            self._settle(rank, self._in_reach(rank, self.held[rank], self.free), self.free)

    def better(self, prices: Prices) -> None:
        """Let offers take what betters the whole, for as long as any does."""
        waiting = dict.fromkeys(self._claimants)
        while waiting:
            rank = next(iter(waiting))
            del waiting[rank]
            if not self._spend(_WANTS_A_TAKING * self._claimants[rank].steps):
                return
            for line in self._take(rank, prices):
                waiting |= dict.fromkeys(other for other in self._wanting[line])

    def _in_reach(self, rank: int, held: Mapping[int, int], free: Mapping[int, int]) -> Units:
        return {line: held.get(line, 0) + free[line] for line in self._own[rank]}

    def _settle(self, rank: int, have: Units, free: Units) -> None:
        """Let an offer use what it has; the rest is free."""
        held, self.saved[rank] = self._used(rank, have)
        _exchange(free, self.held[rank], held)
        self.held[rank] = held

    def _used(self, rank: int, have: Units) -> tuple[Units, int]:
        formed = self._claimants[rank].saved(have)
        if not formed.off_minor:
            return {}, 0
        pieces = formed.pieces
        return {line: pieces[line] for line in self._own[rank] if line in pieces}, formed.off_minor

    def _take(self, rank: int, prices: Prices) -> set[int]:
        """Better the division; return the lines that changed hands."""
        mine = self._in_reach(rank, self.held[rank], self.free)
        bounds = {line: (count, self._pieces[line]) for line, count in mine.items()}
        wanted = want(self._claimants[rank], bounds, prices)
        if wanted.gain <= self.saved[rank] * PPM:
            return set()
        units = wanted.units
        free = dict(self.free)
        losing: dict[int, Units] = {}
        have = dict(mine)
        for line, count in mine.items():
            missing = units.get(line, 0) - count
            if missing <= 0:
                continue
            for other in self._wanting[line]:
                held = losing.get(other, self.held[other])
                if other != rank and missing and (lost := min(missing, held.get(line, 0))):
                    losing.setdefault(other, dict(held))[line] = held[line] - lost
                    missing -= lost
                    have[line] += lost
                    free[line] += lost
        after: dict[int, tuple[Units, int]] = {rank: self._used(rank, have)}
        _exchange(free, self.held[rank], after[rank][0])
        gain = after[rank][1] - self.saved[rank]
        for other, held in losing.items():
            # What it lost is already free.
            after[other] = self._used(other, self._in_reach(other, held, free))
            _exchange(free, held, after[other][0])
            gain += after[other][1] - self.saved[other]
        changed: set[int] = set()
        if gain > 0:
            for each, (held, saved) in after.items():
                before = self.held[each]
                changed |= {line for line in self._own[each] if before.get(line) != held.get(line)}
                self.held[each], self.saved[each] = held, saved
            self.free = free
        return changed


def _exchange(free: Units, before: Mapping[int, int], after: Mapping[int, int]) -> None:
    for line, count in before.items():
        free[line] += count
    for line, count in after.items():
        free[line] -= count
