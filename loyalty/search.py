"""Branch and bound over the choices of one component (receipt 4).

The search counts steps, never time, so that both sides compute the same. It has two bounds. On the
state before any choice no offer takes less off than later, beside others, with fewer units to use.
And under prices for the units that several offers want each gains what it gains, whoever else
acts: of offers that exclude each other only the best counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import prod
from typing import Literal

from loyalty.acting import most_taken
from loyalty.limits import (
    CHOICES_SEARCHED_MAX,
    MEMBERS_TRIED_MAX,
    MIXED_DIVISIONS_TRIED,
    PACKING_ROUNDS_FIRST,
    PPM,
)
from loyalty.pricing import Pricing, Rivals, whole
from loyalty.scene import Candidate, Held, State
from loyalty.sharing import NO_VALUE, Aim, Budget, Sharing, Sought, claimant_of
from loyalty.wanting import Claimant

_NO_CEILING = 1 << 200
_ACTORS_A_TRY = 4
_VISITS_A_BUDGET = 4
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


def search(component: Component, start: State, budget: Budget, aim: Aim) -> Found:
    """Return the best choice, or the best found within the budget and how much is open."""
    return _Search(component, start, budget, aim).run()


@dataclass(frozen=True, slots=True)
class _Most:
    """Two bounds: of what offers take off alone, and of what they gain at unit prices.

    Attributes:
        alone: in minor units.
        priced: in millionths.
    """

    alone: int
    priced: int

    def plus(self, other: "_Most") -> "_Most":
        return _Most(self.alone + other.alone, self.priced + other.priced)


@dataclass(slots=True)
class _Open:
    """Some choices made: what acts of them, and bounds of it and of all it can lead to."""

    bound: int
    at: int
    number: int
    acting: list[Candidate]
    most: _Most

    def __lt__(self, other: "_Open") -> bool:
        """Put first where most may be; of equal ones the one that is nearer to its end."""
        return (-self.bound, -self.at, self.number) < (-other.bound, -other.at, other.number)


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
        self._claimants = {a.rank: claimant_of(a, start) for a in component.actors if a.claims}
        self._best = NO_VALUE
        self._best_acting: dict[int, tuple[Candidate, Held | None]] = {}
        self._open_bound = NO_VALUE
        self._visited: set[frozenset[int]] = set()
        self._excludes = _exclusions(component.actors)
        most_beside = aim.beside.most if aim.beside else 0
        self._ceiling = aim.most_minor + most_beside if aim.most_minor >= 0 else _NO_CEILING
        self._gain = {rank: _Most(alone, alone * PPM) for rank, alone in self._alone.items()}
        self._prices: dict[int, int] = {}
        units = self._price(most_beside) if self._choices else 0
        fixed = _Most(most_beside, most_beside * PPM + units)
        for actor in self._always:
            fixed = fixed.plus(self._gain[actor.rank])
        self._fixed = fixed
        self._most_of = self._bounds_of_the_rest()

    def _price(self, most_beside: int) -> int:
        """Price the units that several offers want, whoever acts; return what all units cost.

        Of offers that exclude each other the one that gains most counts.
        """
        lines = self._start.scene.lines
        contested = _contested(self._claimants)
        pieces = {line: lines[line].pieces for line in contested}
        ways = prod(len(choice.members) + 1 for choice in self._choices)
        if not pieces or ways * sum(pieces.values()) <= MIXED_DIVISIONS_TRIED:
            return 0
        node = whole(self._claimants, contested, pieces)
        rivals = []
        fixed = sum(self._alone[a.rank] for a in self._always if a.rank not in self._claimants)
        for clique in self._cliques():
            members = [member.rank for choice in clique for member in choice.members]
            others = [self._alone[rank] for rank in members if rank not in self._claimants]
            wanting = tuple(rank for rank in members if rank in self._claimants)
            rivals.append(Rivals(wanting, max(others, default=0) * PPM))
        # A first value to beat says how far the bound may have to come down.
        self._visit(self._filled(self._always), NO_VALUE, 0)
        budget = Budget(self._budget.nodes // 3)
        pricing = Pricing(self._claimants, fixed, budget.spend, rivals)
        pricing.begin(node)
        pricing.better(node, PACKING_ROUNDS_FIRST, lambda: self._best - most_beside)
        self._budget.spend(self._budget.nodes // 3 - budget.nodes)
        for rank, wanted in node.wanted.items():
            self._gain[rank] = _Most(self._alone[rank], wanted.gain)
        self._prices = node.prices
        return pricing.slack + sum(price * pieces[line] for line, price in node.prices.items())

    def _cliques(self) -> list[list[Choice]]:
        """Return the choices, those together that all exclude each other."""
        if not self._excludes or len(self._choices) > CHOICES_SEARCHED_MAX:
            return [[choice] for choice in self._choices]
        cliques: list[list[Choice]] = []
        for choice in self._choices:
            for clique in cliques:
                if all(self._exclude(choice, other) for other in clique):
                    clique.append(choice)
                    break
            else:
                cliques.append([choice])
        return cliques

    def _exclude(self, one: Choice, other: Choice) -> bool:
        return all(
            member.rank in self._excludes.get(rival.rank, ())
            for member in one.members
            for rival in other.members
        )

    def _bounds_of_the_rest(self) -> list[_Most]:
        """Return for each choice the most that it and all behind it give."""
        clique_of = {
            id(choice): at for at, clique in enumerate(self._cliques()) for choice in clique
        }
        best: dict[int, _Most] = {}
        most = _Most(0, 0)
        found = [most]
        for choice in reversed(self._choices):
            gains = [self._gain[member.rank] for member in choice.members]
            before = best.get(clique_of[id(choice)], _Most(0, 0))
            now = _Most(
                max(before.alone, *(gain.alone for gain in gains)),
                max(before.priced, *(gain.priced for gain in gains)),
            )
            best[clique_of[id(choice)]] = now
            most = _Most(
                most.alone + now.alone - before.alone, most.priced + now.priced - before.priced
            )
            found.append(most)
        found.reverse()
        return found

    def _bound(self, most: _Most) -> int:
        return min(most.alone, most.priced // PPM, self._ceiling)

    def run(self) -> Found:
        if self._choices:
            acting = self._filled(self._always)
            most = self._fixed
            for actor in acting[len(self._always) :]:
                most = most.plus(self._gain[actor.rank])
            self._visit(acting, self._bound(most), self._share())
        if len(self._choices) <= CHOICES_SEARCHED_MAX:
            self._look_where_most_may_be()
        else:
            self._open_bound = self._bound_of(0, self._fixed)
        if self._open_bound > self._best:
            self._better_by_hand()
        found = Found({rank: held for rank, (_, held) in self._best_acting.items()})
        if self._open_bound > self._best:
            found.proven = False
            found.gap_minor = self._open_bound - self._best
        self._say_losers(found)
        return found

    def _filled(self, acting: Sequence[Candidate]) -> list[Candidate]:
        """Let those act too who still may, first who gains most at the prices."""
        filled = list(acting)
        ranks = {actor.rank for actor in acting}
        members = [
            (member, choice)
            for choice in self._choices
            if ranks.isdisjoint(member.rank for member in choice.members)
            for member in choice.members
        ]
        members.sort(key=lambda each: (-self._gain[each[0].rank].priced, each[0].rank))
        chosen: set[int] = set()
        for member, choice in members:
            if id(choice) not in chosen and self._fits(member, filled):
                chosen.add(id(choice))
                filled.append(member)
        return filled

    def _look_where_most_may_be(self) -> None:
        """Choose for one choice after the other, where the bound is highest first."""
        heap = [_Open(self._bound_of(0, self._fixed), 0, 0, list(self._always), self._fixed)]
        number = 0
        while heap:
            node = heappop(heap)
            if self._budget.nodes <= 0 and self._best > NO_VALUE:
                self._open_bound = max(self._open_bound, node.bound)
                return
            if self._beaten(node):
                continue
            self._budget.spend(1 + len(self._choices) // _CHOICES_A_STEP)
            at, acting, most = node.at, node.acting, node.most
            if at == len(self._choices):
                if self._may_leave_the_others(acting):
                    self._visit(acting, node.bound, self._share())
                continue
            choice = self._choices[at]
            fitting = [member for member in choice.members if self._fits(member, acting)]
            ways = [([*acting, member], most.plus(self._gain[member.rank])) for member in fitting]
            if choice.leave != "never" or not fitting:
                ways.append((acting, most))
            for way, most_of_way in ways:
                number += 1
                bound = min(node.bound, self._bound_of(at + 1, most_of_way))
                heappush(heap, _Open(bound, at + 1, number, way, most_of_way))

    def _bound_of(self, at: int, most: _Most) -> int:
        """Return a bound where all before `choices[at]` is chosen and gives no more than this."""
        return self._bound(most.plus(self._most_of[at]))

    def _better_by_hand(self) -> None:
        """Past the budget: let another member act for as long as that helps."""
        tries = MEMBERS_TRIED_MAX // (1 + len(self._best_acting) // _ACTORS_A_TRY)
        waiting = [(choice, member) for choice in self._choices for member in choice.members]
        tried = 0
        # Once round without finding any better, or as often as may be.
        while tries and tried < len(waiting):
            choice, member = waiting[0]
            waiting = [*waiting[1:], waiting[0]]
            tried += 1
            if member.rank in self._best_acting:
                continue
            beside = {other.rank for other in choice.members}
            beside |= self._excludes.get(member.rank, set())
            acting = [a for rank, (a, _) in self._best_acting.items() if rank not in beside]
            acting = self._filled([*acting, member])
            if self._may_leave_the_others(acting):
                tries -= 1
                before = self._best
                self._visit(acting, self._open_bound, 0)
                tried = 0 if self._best > before else tried

    def _beaten(self, node: _Open) -> bool:
        if node.bound != self._best:
            return node.bound < self._best
        # The fuller set comes first: what may still act stands for all that could.
        rest = [member for choice in self._choices[node.at :] for member in choice.members]
        return not self._comes_first([*node.acting, *rest])

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

    def _share(self) -> int:
        """Return what one set of offers may spend: the others need some, too."""
        return (
            max(0, self._budget.nodes) // _VISITS_A_BUDGET if self._choices else self._budget.nodes
        )

    def _visit(self, acting: list[Candidate], bound: int, nodes: int) -> None:
        """Find the best units for a set of acting offers."""
        acting = sorted(acting, key=lambda actor: actor.rank)
        ranks = frozenset(actor.rank for actor in acting)
        if nodes and ranks in self._visited:
            return
        if nodes:
            self._visited.add(ranks)
        budget = Budget(nodes)
        sought = Sought(self._alone, self._claimants, self._best, self._ceiling)
        sharing = Sharing(acting, self._start, budget, self._aim, sought)
        sharing.run(bound, self._prices)
        self._budget.spend(nodes - budget.nodes)
        self._open_bound = max(self._open_bound, min(bound, sharing.open_bound))
        better = sharing.best > self._best
        if better or (sharing.best == self._best and self._comes_first(acting)):
            self._best = sharing.best
            self._best_acting = {
                actor.rank: (actor, sharing.best_held.get(actor.rank)) for actor in acting
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


def _contested(claimants: Mapping[int, Claimant]) -> dict[int, list[int]]:
    """Return the lines that several offers want, and the ranks of these."""
    wanting: dict[int, list[int]] = {}
    for rank, claimant in claimants.items():
        for line in claimant.lines:
            wanting.setdefault(line, []).append(rank)
    return {line: wanting[line] for line in sorted(wanting) if len(wanting[line]) > 1}
