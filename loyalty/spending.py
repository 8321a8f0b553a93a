"""How many points each lot gives: a small transport problem, solved exactly (design: receipt 5).

Lots that may pay for the same lines are one kind, lines that the same kinds may pay for are one
class, so the problem is as small as there are different restrictions. As many points as possible
are spent, and of all ways to do that the one that takes most from the first lot, then from the
second, and so on.

Money is counted in parts of a minor unit here: a point is worth `point_value_minor` parts, a minor
unit is `point_value_points` of them, so that whole points are whole numbers of parts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from loyalty.money import split


@dataclass(slots=True)
class Flow:
    """Money of each kind of lots in each class of lines.

    Attributes:
        reach: by kind, the classes it may pay for, as bits.
        free: by class, what may still be paid.
        paid: by kind, what it pays by class; only what is above zero.
        work: classes and kinds looked at so far.
    """

    reach: Sequence[int]
    free: list[int]
    paid: list[dict[int, int]] = field(default_factory=list)
    work: int = 0
    _open: int = 0
    _held: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.paid:
            self.paid = [{} for _ in self.reach]
            self._held = [0] * len(self.reach)
            self._open = sum(1 << at for at, free in enumerate(self.free) if free)

    def copy(self) -> "Flow":
        """Return a flow that can go on by itself."""
        paid = [paid.copy() for paid in self.paid]
        return Flow(self.reach, self.free[:], paid, self.work, self._open, self._held[:])

    def push(self, kind: int, most: int) -> int:
        """Let a kind pay as much as it may, but not more than `most`; returns how much.

        Where others have filled its classes they move to classes they reach as well: nobody pays
        less by that.
        """
        classes = list(_bits(self.reach[kind] & self._open))
        free = [self.free[at] for at in classes]
        self.work += len(classes) + 1
        moved = min(most, sum(free))
        if moved:
            for at, share in zip(classes, split(moved, free, free), strict=True):
                self._pay(kind, at, share)
        while moved < most and (step := self._make_room(kind, most - moved)):
            moved += step
        return moved

    def take_back(self, kind: int, amount: int) -> None:
        """Let a kind pay less, in its last classes first."""
        for at in sorted(self.paid[kind], reverse=True):
            step = min(amount, self.paid[kind][at])
            self._pay(kind, at, -step)
            amount -= step

    def _pay(self, kind: int, at: int, amount: int) -> None:
        paid, bit = self.paid[kind], 1 << at
        if paid.get(at, 0) + amount:
            paid[at] = paid.get(at, 0) + amount
            self._held[kind] |= bit
        else:
            paid.pop(at, None)
            self._held[kind] &= ~bit
        self.free[at] -= amount
        self._open = self._open | bit if self.free[at] else self._open & ~bit

    def _make_room(self, kind: int, most: int) -> int:
        """Move others out of the classes of a kind, and let it in; returns how much."""
        came = {kind: -1}
        queue = [kind]
        waiting = [other for other, held in enumerate(self._held) if held and other != kind]
        for taker in queue:
            reach = self.reach[taker]
            if reach & self._open:
                return self._move(came, taker, most)
            self.work += len(waiting) + 1
            found = [other for other in waiting if self._held[other] & reach]
            if found:
                came |= dict.fromkeys(found, taker)
                queue += found
                waiting = [other for other in waiting if other not in came]
        return 0

    def _move(self, came: dict[int, int], last: int, most: int) -> int:
        """Let `last` go to free classes, and each kind before it to what the next one leaves."""
        path = [last]
        while (taker := came[path[-1]]) >= 0:
            path.append(taker)
        places = [[(at, self.free[at]) for at in _bits(self.reach[last] & self._open)]]
        for mover, taker in pairwise(path):
            paid = self.paid[mover]
            places.append([(at, paid[at]) for at in _bits(self._held[mover] & self.reach[taker])])
        most = min(most, *(sum(amount for _, amount in each) for each in places))
        moved = [_first(each, most) for each in places]
        self.work += sum(map(len, places))
        for mover, taken, left in zip(path, moved, [*moved[1:], []], strict=True):
            for at, amount in left:
                self._pay(mover, at, -amount)
            for at, amount in taken:
                self._pay(mover, at, amount)
        return most


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _first(amounts: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    taken = []
    for at, amount in amounts:
        if most <= 0:
            break
        taken.append((at, min(amount, most)))
        most -= amount
    return taken


# How many points each lot gives


@dataclass(frozen=True, slots=True)
class Purse:
    """Lots of one kind that are spent one after the other.

    Attributes:
        kind: which lines they may pay for.
        points: what is in them together.
    """

    kind: int
    points: int


@dataclass(slots=True)
class Spending:
    """How many points each purse gives.

    Attributes:
        proven: no other way spends more points, or as many and more of the first purses.
    """

    points: list[int]
    proven: bool = True


@dataclass(slots=True)
class _Task:
    """What is asked: `purses` in the order they are to be spent, `wanted` points at most."""

    purses: Sequence[Purse]
    wanted: int
    worth: int
    work_max: int
    work: int = 0

    @property
    def spent_out(self) -> bool:
        """The budget has ended."""
        return self.work > self.work_max


def spend(
    purses: Sequence[Purse], flow: Flow, *, wanted: int, worth: int, work_max: int
) -> Spending:
    """Return how many points each purse gives.

    Purses that give as much as they can, one after the other, spend most in money. In points they
    may fall short where a point is worth more than a minor unit: a line may have no room for the
    last one. Then purses are looked at that leave out a point here and there. How many is bounded:
    as long as a kind gives fewer points than it could, and taking one from any other kind makes no
    room for one of it, each of these others stands behind a set of classes with less than a
    point's room; so in all sets together, and behind this kind alone, there is less room than
    others have points: a kind leaves out fewer points than there are kinds after it.

    Args:
        purses: in the order they are to be spent.
        flow: nothing paid yet; left as it is.
        wanted: points.
        worth: of a point, in parts of a minor unit.
        work_max: the budget; once it has ended, the best found is returned and is not proven.
    """
    task = _Task(purses, wanted, worth, work_max)
    greedy = _one_after_the_other(task, flow.copy())
    supply = [0] * len(flow.reach)
    for purse in purses:
        supply[purse.kind] += purse.points
    kinds = list(dict.fromkeys(purse.kind for purse in purses))
    if sum(greedy) == wanted:
        return Spending(greedy)
    most = min(wanted, _bound(task, flow, supply, kinds))
    if sum(greedy) == most:
        return Spending(greedy)
    search = _Search(task, kinds, _left_out(kinds, flow.reach), most)
    best = search.complete(flow, supply, [0] * len(supply))
    if sum(best) <= sum(greedy):
        return Spending(greedy, proven=not task.spent_out)
    return _in_order(task, flow.copy(), supply, search, best)


def _left_out(kinds: Sequence[int], reach: Sequence[int]) -> list[int]:
    """Return how many points each kind may have to leave out for those behind it."""
    behind: dict[int, int] = {}
    for connected in _connected(kinds, reach):
        behind |= {kind: len(connected) - 1 - at for at, kind in enumerate(connected)}
    return [max(0, behind[kind] - 1) for kind in kinds]


def _one_after_the_other(task: _Task, flow: Flow) -> list[int]:
    given: list[int] = []
    for purse in task.purses:
        points = min(purse.points, task.wanted - sum(given))
        given.append(_push(flow, purse.kind, points, task.worth))
    return given


def _push(flow: Flow, kind: int, points: int, worth: int) -> int:
    """Let a kind pay with whole points; returns how many."""
    paid = flow.push(kind, points * worth)
    given = paid // worth
    flow.take_back(kind, paid - given * worth)
    return given


def _bound(task: _Task, flow: Flow, supply: Sequence[int], kinds: Sequence[int]) -> int:
    """Return a bound on the points of some kinds: what a kind gives, and a bound on the others.

    It is exact where each two kinds are apart or one reaches all that the other does.
    """
    total = 0
    for connected in _connected(kinds, flow.reach):
        alone = flow.copy()
        alone.work = 0
        points = sum(alone.push(kind, supply[kind] * task.worth) for kind in connected)
        task.work += alone.work
        most = points // task.worth
        *others, last = connected
        if others and not task.spent_out:
            most = min(most, supply[last] + _bound(task, flow, supply, others))
        total += most
    return total


def _connected(kinds: Sequence[int], reach: Sequence[int]) -> list[list[int]]:
    """Return the kinds apart that share no class, not even by way of others; each in its order."""
    groups: list[tuple[int, list[int]]] = []
    for kind in kinds:
        mask, own = reach[kind], [kind]
        apart = []
        for other, members in groups:
            if other & mask:
                mask |= other
                own = members + own
            else:
                apart.append((other, members))
        groups = [*apart, (mask, own)]
    return [sorted(members, key=list(kinds).index) for _, members in groups]


@dataclass(slots=True)
class _Search:
    """Looks for most points with some given already.

    Attributes:
        kinds: in the order they are tried.
        less: by kind, how many points it may have to leave out.
        most: a bound; once it is reached nothing more is looked at.
    """

    task: _Task
    kinds: Sequence[int]
    less: Sequence[int]
    most: int
    best: list[int] = field(default_factory=list)

    def complete(self, flow: Flow, supply: Sequence[int], given: Sequence[int]) -> list[int]:
        """Return the most points by kind that go on from what is given already.

        Args:
            flow: with what is given; left as it is.
            supply: points of each kind that are left.
        """
        self.best = list(given)
        self._from(0, flow, supply, list(given))
        return self.best

    def _from(self, at: int, flow: Flow, supply: Sequence[int], given: list[int]) -> None:
        if sum(given) > sum(self.best):
            self.best = given
        if at == len(self.kinds) or sum(self.best) >= self.most or self.task.spent_out:
            return
        kind = self.kinds[at]
        flow = flow.copy()
        flow.work = 0
        points = min(supply[kind], self.most - sum(given))
        points = _push(flow, kind, points, self.task.worth)
        self.task.work += flow.work + sum(map(len, flow.paid)) + len(flow.free)
        for less in range(min(points, self.less[at]) + 1):
            if less:
                flow.take_back(kind, self.task.worth)
            more = given.copy()
            more[kind] += points - less
            self._from(at + 1, flow, supply, more)


def _in_order(
    task: _Task, flow: Flow, supply: Sequence[int], search: _Search, best: list[int]
) -> Spending:
    """Return how many points each purse gives where the first ones give most, as many in all.

    Args:
        best: points by kind of a way to spend so many.
    """
    left, given = list(supply), [0] * len(supply)
    most, spent = sum(best), []
    search.most = most
    for purse in task.purses:
        kind = purse.kind
        points = min(purse.points, most - sum(given), left[kind])
        sure = min(points, best[kind] - given[kind])
        if points > sure:
            trial = flow.copy()
            points = _push(trial, kind, points, task.worth)
            while points > sure:
                more = given.copy()
                more[kind] += points
                rest = left.copy()
                rest[kind] -= points
                found = search.complete(trial, rest, more)
                if sum(found) == most:
                    best, sure = found, points
                elif task.spent_out:
                    points = sure
                else:
                    trial.take_back(kind, task.worth)
                    points -= 1
        flow.push(kind, points * task.worth)
        given[kind] += points
        # What this purse cannot give, no later one of its kind can.
        left[kind] = left[kind] - points if points == purse.points else 0
        spent.append(points)
    return Spending(spent, proven=not task.spent_out)
