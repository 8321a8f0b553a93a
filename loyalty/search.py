"""Branch and bound over the choices of one component (receipt 4).

The search counts nodes, never time, so that both sides compute the same. Its bound: on the state
before any choice no offer takes less off than later, beside others, with fewer units to use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from loyalty.acting import act, most_taken
from loyalty.compilation import CLAIMING
from loyalty.limits import (
    CHOICES_SEARCHED_MAX,
    MEMBERS_TRIED_MAX,
    MIXED_DIVISIONS_TRIED,
    PACKING_DIVISIONS_TRIED,
    UNITS_DIVIDED_MAX,
)
from loyalty.packing import Packing, Shares
from loyalty.rewards import formed, units_held
from loyalty.scene import Candidate, Held, State
from loyalty.wanting import Claimant

_NO_VALUE = -1
_LINES_A_STEP = 20
_CHOICES_A_STEP = 8
_NOBODY = (1 << 200, "")
"""Stands behind every offer: of two sets that begin alike the fuller one comes first."""


Leave = Literal["never", "for_another", "freely"]
"""When none of a choice's members may act: only where an acting offer excludes each of them, or
whenever that serves the customer."""


@dataclass(slots=True)
class Choice:
    """One of `members` acts, or none where that is allowed."""

    members: list[Candidate]
    leave: Leave


@dataclass(slots=True)
class Component:
    """Offers that depend on each other, in acting order, and what there is to choose."""

    actors: list[Candidate]
    choices: list[Choice]


@dataclass(slots=True)
class Budget:
    """How many nodes may still be looked at."""

    nodes: int

    def spend(self, nodes: int) -> bool:
        """Take nodes; false when there were not so many left."""
        self.nodes -= nodes
        return self.nodes >= 0


@dataclass(slots=True)
class Found:
    """The best choice of a component.

    Attributes:
        held: the offers that act, by rank, with the units each holds; None = all it can use.
        lost_to: offer id -> id of the offer taken instead.
    """

    held: dict[int, Held | None] = field(default_factory=dict)
    lost_to: dict[str, str] = field(default_factory=dict)
    proven: bool = True
    gap_minor: int = 0


@dataclass(frozen=True, slots=True)
class Beside:
    """What a basket is worth beside its discounts.

    Attributes:
        worth: in minor units, from what acting offers have left.
        most: a bound of it.
    """

    worth: Callable[[State], int]
    most: int


@dataclass(frozen=True, slots=True)
class Aim:
    """What is sought: the most money off, or that and what the basket is worth beside it.

    Attributes:
        beside: counted with the discounts.
        most_minor: what the receipt allows in all, where that depends on which offers it cuts;
            below 0 = no maximum.
    """

    beside: Beside | None = None
    most_minor: int = -1


def search(component: Component, start: State, budget: Budget, aim: Aim) -> Found:
    """Return the best choice, or the best found within the budget and how much is open."""
    return _Search(component, start, budget, aim).run()


class _Search:
    """One search; `best` rises, `open_bound` is the most that unvisited choices could give.

    `most_of[at]` is a bound of what `choices[at]` and all behind it give.
    """

    def __init__(self, component: Component, start: State, budget: Budget, aim: Aim) -> None:
        self._start = start
        self._budget = budget
        self._aim = aim
        self._choices = component.choices
        deciding = {member.rank for choice in component.choices for member in choice.members}
        self._always = [actor for actor in component.actors if actor.rank not in deciding]
        self._alone = {a.rank: most_taken(a, start) for a in component.actors}
        self._most_of = [0]
        for choice in reversed(component.choices):
            most = max((self._alone[member.rank] for member in choice.members), default=0)
            self._most_of.insert(0, self._most_of[0] + most)
        self._best = _NO_VALUE
        self._best_acting: dict[int, tuple[Candidate, Held | None]] = {}
        self._open_bound = _NO_VALUE
        self._excludes = _exclusions(component.actors)
        self._most_beside = aim.beside.most if aim.beside else 0

    def run(self) -> Found:
        fixed = sum(self._alone[actor.rank] for actor in self._always)
        self._greedy_first(fixed)
        if len(self._choices) <= CHOICES_SEARCHED_MAX:
            self._descend(0, list(self._always), fixed + self._most_beside)
        else:
            self._open_bound = fixed + self._most_beside + self._most_of[0]
        if self._open_bound > self._best:
            self._better_by_hand()
        found = Found({rank: held for rank, (_, held) in self._best_acting.items()})
        if self._open_bound > self._best:
            found.proven = False
            found.gap_minor = self._open_bound - self._best
        self._say_losers(found)
        return found

    def _greedy_first(self, fixed: int) -> None:
        """Look at the choice of each choice's best member alone: a first value to beat."""
        acting = list(self._always)
        total = fixed
        for choice in self._choices:
            ranked = sorted(choice.members, key=lambda m: (-self._alone[m.rank], m.rank))
            member = next((m for m in ranked if self._fits(m, acting)), None)
            if member:
                acting.append(member)
                total += self._alone[member.rank]
        if self._choices:
            self._visit(acting, total + self._most_beside)

    def _descend(self, at: int, acting: list[Candidate], bound: int) -> None:
        """Choose for `choices[at]` and on; `bound` holds for what is chosen so far."""
        if self._beaten(bound + self._most_of[at]):
            return
        self._budget.spend(1 + len(self._choices) // _CHOICES_A_STEP)
        if at == len(self._choices):
            if self._may_leave_the_others(acting):
                self._visit(acting, bound)
            return
        choice = self._choices[at]
        fitting = [member for member in choice.members if self._fits(member, acting)]
        for member in fitting:
            self._descend(at + 1, [*acting, member], bound + self._alone[member.rank])
        if choice.leave != "never" or not fitting:
            self._descend(at + 1, acting, bound)

    def _better_by_hand(self) -> None:
        """Past the budget: let another member of a choice act for as long as that helps."""
        tries = MEMBERS_TRIED_MAX // (1 + len(self._best_acting) // _LINES_A_STEP)
        for choice in self._choices:
            for member in choice.members:
                acting = [
                    actor
                    for rank, (actor, _) in self._best_acting.items()
                    if all(rank != other.rank for other in choice.members)
                ]
                if member.rank in self._best_acting or not self._fits(member, acting):
                    continue
                tries -= 1
                if tries < 0:
                    return
                if self._may_leave_the_others([*acting, member]):
                    self._visit([*acting, member], self._open_bound)

    def _beaten(self, bound: int) -> bool:
        if self._budget.nodes <= 0 and self._best > _NO_VALUE:
            self._open_bound = max(self._open_bound, bound)
            return True
        return bound < self._best

    def _may_leave_the_others(self, acting: Sequence[Candidate]) -> bool:
        ranks = {actor.rank for actor in acting}
        return all(
            any(member.rank in ranks for member in choice.members)
            or all(
                not self._fits(member, acting)
                or (choice.leave == "freely" and _endangers(member, acting))
                for member in choice.members
            )
            for choice in self._choices
        )

    def _fits(self, member: Candidate, acting: Sequence[Candidate]) -> bool:
        excluded = self._excludes.get(member.rank)
        return not excluded or all(actor.rank not in excluded for actor in acting)

    def _visit(self, acting: list[Candidate], bound: int) -> None:
        """Find the best units for a set of acting offers."""
        acting = sorted(acting, key=lambda actor: actor.rank)
        # One set of offers may not spend what the others need.
        budget = Budget(max(0, self._budget.nodes) * 3 // 4) if self._choices else self._budget
        given = budget.nodes
        units = _Units(acting, self._start, budget, self._aim, self._alone, self._best)
        units.run(bound)
        if self._choices:
            self._budget.spend(given - budget.nodes)
        self._open_bound = max(self._open_bound, units.open_bound)
        better = units.best > self._best
        if better or (units.best == self._best and self._comes_first(acting)):
            self._best = units.best
            self._best_acting = {
                actor.rank: (actor, units.best_held.get(actor.rank)) for actor in acting
            }

    def _comes_first(self, acting: Sequence[Candidate]) -> bool:
        mine = [(actor, None) for actor in acting]
        return _preference(mine) < _preference(list(self._best_acting.values()))

    def _say_losers(self, found: Found) -> None:
        acting = {rank: actor for rank, (actor, _) in self._best_acting.items()}
        for choice in self._choices:
            for member in choice.members:
                if member.rank in acting:
                    continue
                winner = next((m for m in choice.members if m.rank in acting), None)
                excluded = self._excludes.get(member.rank, set())
                winner = winner or next((acting[r] for r in sorted(excluded) if r in acting), None)
                winner = winner or next(
                    (actor for actor in acting.values() if _endangers(member, [actor])), None
                )
                if winner:
                    found.lost_to[member.offer_id] = winner.offer_id


def _endangers(member: Candidate, acting: Sequence[Candidate]) -> bool:
    """Say whether a condition of an acting offer counts what this one would leave to pay."""
    return any(
        actor.rank > member.rank and not member.reach.isdisjoint(actor.counted_when_acting)
        for actor in acting
    )


def _preference(acting: Sequence[tuple[Candidate, object]]) -> list[tuple[int, str]]:
    in_order = sorted((-actor.offer.priority, actor.offer_id) for actor, _ in acting)
    return [*in_order, _NOBODY]


def _exclusions(actors: Sequence[Candidate]) -> dict[int, set[int]]:
    """Return, by rank, the ranks an offer may not act beside."""
    by_id = {actor.offer_id: actor.rank for actor in actors}
    excludes: dict[int, set[int]] = {}
    for actor in actors:
        for other in actor.compiled.offer.combines.not_with:
            if other in by_id and by_id[other] != actor.rank:
                excludes.setdefault(actor.rank, set()).add(by_id[other])
                excludes.setdefault(by_id[other], set()).add(actor.rank)
    return excludes


class _Units:
    """Which of the acting multi-buys holds each unit that several of them want."""

    def __init__(
        self,
        acting: Sequence[Candidate],
        start: State,
        budget: Budget,
        aim: Aim,
        alone: dict[int, int],
        to_beat: int,
    ) -> None:
        self._acting = acting
        self._start = start
        self._budget = budget
        self._aim = aim
        self._alone = alone
        self._to_beat = to_beat
        self.best = _NO_VALUE
        self.best_held: dict[int, Held] = {}
        self.open_bound = _NO_VALUE
        self._claims = [actor for actor in acting if actor.claims]
        self._contested = self._contested_lines()

    def _contested_lines(self) -> list[tuple[int, list[Candidate]]]:
        wanting: dict[int, list[Candidate]] = {}
        for actor in self._claims:
            for line in actor.reach:
                if self._start.scene.lines[line].pieces:
                    wanting.setdefault(line, []).append(actor)
        contested = [(line, actors) for line, actors in wanting.items() if len(actors) > 1]
        left, lines = self._start.left, self._start.scene.lines
        contested.sort(key=lambda at: (-left[at[0]] // lines[at[0]].pieces, at[0]))
        return contested

    def run(self, bound: int) -> None:
        """Find the best division; `bound` holds for all of them."""
        lines = sum(len(actor.lines) for actor in self._acting)
        if not self._contested:
            self._budget.spend(1 + lines // _LINES_A_STEP)
            self._simulate({})
            return
        if self._wanted_units() > UNITS_DIVIDED_MAX:
            self._simulate(self._greedy())
            self.open_bound = bound
            return
        packing = Packing(
            claimants=[self._claimant(actor) for actor in self._claims],
            pieces={
                line: self._start.scene.lines[line].pieces
                for actor in self._claims
                for line in actor.reach
            },
            fixed_minor=bound - sum(self._alone[actor.rank] for actor in self._claims),
            value=self._simulate,
            spend=self._budget.spend,
            to_beat=self._to_beat,
            try_steps=1 + lines // _LINES_A_STEP,
            # Beside other offers, and points, the bound of prices is too far off to prove much.
            divisions_tried=PACKING_DIVISIONS_TRIED
            if len(self._claims) == len(self._acting) and not self._aim.beside
            else MIXED_DIVISIONS_TRIED,
        )
        packing.run(
            {line: [actor.rank for actor in actors] for line, actors in self._contested},
            self._greedy(),
        )
        self.open_bound = packing.open_bound

    def _wanted_units(self) -> int:
        lines = self._start.scene.lines
        return sum(lines[line].pieces for actor in self._claims for line in actor.reach)

    def _claimant(self, actor: Candidate) -> Claimant:
        gives = actor.compiled.offer.gives
        assert isinstance(gives, CLAIMING)
        most = actor.compiled.offer.limits.discount_minor_max
        return Claimant(actor.rank, gives, units_held(actor, self._start, None), most)

    def _greedy(self) -> Shares:
        """Let the offer that takes most off take what it uses, then the next with what is left."""
        lines = self._start.scene.lines
        free = {line: lines[line].pieces for line, _ in self._contested}
        shares: Shares = {actor.rank: {} for actor in self._claims}
        waiting = list(self._claims)
        while waiting:
            offers = []
            for actor in waiting:
                held = {
                    line: (0, free.get(line, lines[line].pieces))
                    for line in actor.reach
                    if lines[line].pieces
                }
                offers.append((-most_taken(actor, self._start, held), actor.rank, held))
            _, rank, held = min(offers, key=lambda offer: offer[:2])
            actor = next(a for a in waiting if a.rank == rank)
            waiting.remove(actor)
            used = formed(actor, self._start, held).pieces
            for line in actor.reach & free.keys():
                shares[rank][line] = used.get(line, 0)
                free[line] -= used.get(line, 0)
        for line, actors in self._contested:
            shares[actors[0].rank][line] += free[line]
        return shares

    def _simulate(self, shares: Shares) -> int:
        """Let all offers act with their units, and return what that gives; keep the best."""
        held = self._held(shares) if shares else {}
        state = self._start.copy()
        before = sum(state.left)
        most = self._aim.most_minor
        for actor in self._acting:
            offs = act(actor, state, held.get(actor.rank), most)
            if most >= 0:
                most -= sum(offs.values())
        value = before - sum(state.left)
        if self._aim.beside:
            value += self._aim.beside.worth(state)
        if value > self.best:
            self.best = value
            self.best_held = held
        return value

    def _held(self, shares: Shares) -> dict[int, Held]:
        """Return what each multi-buy holds; of a line's units the earlier one has the dearer."""
        lines = self._start.scene.lines
        taken: dict[int, int] = {}
        held: dict[int, Held] = {}
        for actor in self._claims:
            own: dict[int, tuple[int, int]] = {}
            for line in actor.reach:
                if lines[line].pieces:
                    count = shares[actor.rank].get(line, lines[line].pieces)
                    skip = taken.get(line, 0)
                    own[line] = (skip, count)
                    taken[line] = skip + count
            held[actor.rank] = own
        return held
