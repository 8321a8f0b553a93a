"""Which of the offers that may act do act, and which units each multi-buy holds (receipt 4).

The choice is the best for the customer within the rules of combination. What no choice can
influence is settled first; what is left falls apart into components that share no line and no rule,
each searched by itself (`search`). The order in which chosen offers act is fixed, so that a value
belongs to every choice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from loyalty.acting import act, member_takes, takes
from loyalty.bundle import ReceiptTerms
from loyalty.limits import COMBINATION_NODES_MAX, PPM, SETS_WALKED_MAX
from loyalty.offers import AmountOff, Percent, PriceEach, Steps
from loyalty.rewards import could_form_a_set, step_reached
from loyalty.scene import Candidate, Held, Scene, State, begin
from loyalty.search import Choice, Component, Leave, search
from loyalty.sharing import Aim, Beside, Budget


@dataclass(slots=True)
class Combination:
    """The chosen set: money off by offer and line.

    Attributes:
        discounts: offer id -> line index -> minor units, only what is above zero.
        acted: the offers that acted, in that order, with the units each multi-buy held and the
            state it met.
        lost_to: offer id -> id of the offer that was taken instead.
        settled: by rank, what offers take off whatever is chosen.
        most_minor: the receipt's own maximum; below 0 = none.
        cut: offers that it left nothing for.
        left: what is left to pay, by line index.
    """

    left: list[int]
    discounts: dict[str, dict[int, int]] = field(default_factory=dict)
    held: dict[str, Held | None] = field(default_factory=dict)
    settled: dict[int, dict[int, int]] = field(default_factory=dict)
    lost_to: dict[str, str] = field(default_factory=dict)
    most_minor: int = -1
    cut: set[str] = field(default_factory=set)
    proven: bool = True
    gap_minor: int = 0
    acted: list[tuple[Candidate, State]] = field(default_factory=list)

    @property
    def off_minor(self) -> int:
        """What all of them take off."""
        return sum(sum(by_line.values()) for by_line in self.discounts.values())


def best_combination(
    candidates: Sequence[Candidate],
    scene: Scene,
    terms: ReceiptTerms,
    *,
    beside: Beside | None = None,
    nodes_max: int = COMBINATION_NODES_MAX,
) -> Combination:
    """Return the choice of price offers that serves the customer best.

    Ties go to the set whose members come first by priority, then by id.

    Args:
        candidates: in acting order.
        beside: counted with the discounts where the programme says so.
        nodes_max: what the search may look at before it answers with the best found and a bound.
    """
    most_minor = _most_off(scene, terms)
    result = Combination(scene.gross[:], most_minor=most_minor)
    able = [c for c in candidates if not c.compiled.claiming or could_form_a_set(c, scene)]
    actors = _settle_groups(able, scene, result)
    tied = [actor for actor in actors if actor.compiled.tied]
    choices = _choices(actors, tied)
    contesting = _contesting(tied, scene)
    if not choices and not contesting:
        _act_all([(actor, None) for actor in actors], scene, result)
        return result
    lost_before = dict(result.lost_to)
    sought = _Terms(choices, contesting, Aim(beside, most_minor) if beside else Aim(), nodes_max)
    _act_all(_choose(actors, scene, sought, result), scene, result)
    if beside is None and most_minor >= 0:
        if choices and result.off_minor >= most_minor:
            # Many choices may reach the maximum, also some that were less before it was cut.
            again = Combination(scene.gross[:], most_minor=most_minor, lost_to=lost_before)
            sought = _Terms(choices, contesting, Aim(most_minor=most_minor), nodes_max)
            _act_all(_choose(actors, scene, sought, again), scene, again)
            result = again if again.off_minor >= most_minor else result
        result.gap_minor = min(result.gap_minor, most_minor - result.off_minor)
        result.proven = not result.gap_minor
    return result


# Groups that no search is needed for


def _settle_groups(
    candidates: Sequence[Candidate], scene: Scene, result: Combination
) -> list[Candidate]:
    """Keep one member of groups of mode `first`; let groups that are best per line act as one."""
    groups: dict[str, list[Candidate]] = {}
    settled: list[Candidate] = []
    for candidate in candidates:
        if group := candidate.compiled.group:
            groups.setdefault(group, []).append(candidate)
        else:
            settled.append(candidate)
    if not groups:
        return settled
    start = begin(scene)
    for members in groups.values():
        mode = members[0].offer.combines.mode
        if mode == "best":
            settled += members
        elif mode == "first":
            by_priority = _by_preference(members)
            winner = next((member for member in by_priority if takes(member, start)), None)
            if winner:
                settled.append(winner)
                _beaten(members, winner, result)
        else:
            lines = sorted(frozenset().union(*(c.lines for c in members)))
            settled.append(Candidate(members[0].compiled, tuple(lines), members=tuple(members)))
    settled.sort(key=lambda c: c.rank)
    return settled


def _beaten(members: Iterable[Candidate], winner: Candidate, result: Combination) -> None:
    for member in members:
        if member is not winner:
            result.lost_to[member.offer_id] = winner.offer_id


# What is there to choose


def _choices(actors: Sequence[Candidate], tied: Sequence[Candidate]) -> list[Choice]:
    """Return the choices there are: group members, offers that exclude or endanger each other.

    Args:
        tied: those that a rule ties to others.
    """
    groups: dict[str, list[Candidate]] = {}
    for actor in tied:
        if actor.compiled.group and not actor.members:
            groups.setdefault(actor.compiled.group, []).append(actor)
    endangered = any(actor.endangered for actor in tied)
    optional = _optional(actors) if endangered else {}
    if not groups and not optional:
        return []
    choices = [
        Choice(_by_preference(members), _leave(members, optional))
        for members in groups.values()
        if len(members) > 1 or members[0].rank in optional
    ]
    chosen = {member.rank for choice in choices for member in choice.members}
    choices += [
        Choice([actor], _leave([actor], optional))
        for actor in actors
        if actor.rank in optional and actor.rank not in chosen
    ]
    return choices


def _by_preference(members: Iterable[Candidate]) -> list[Candidate]:
    return sorted(members, key=lambda c: (-c.offer.priority, c.offer_id))


def _leave(members: Iterable[Candidate], optional: Mapping[int, Leave]) -> Leave:
    found = {optional.get(member.rank, "never") for member in members}
    return "freely" if "freely" in found else "for_another" if "for_another" in found else "never"


def _optional(actors: Sequence[Candidate]) -> dict[int, Leave]:
    """Return, by rank, offers that may be left out: so that another can act, or gives more."""
    optional: dict[int, Leave] = {}
    present = {actor.offer_id: actor for actor in actors}
    for actor in actors:
        for other in actor.compiled.offer.combines.not_with:
            if other in present and other != actor.offer_id:
                optional.setdefault(actor.rank, "for_another")
                optional.setdefault(present[other].rank, "for_another")
        counted = actor.counted_when_acting
        for earlier in actors:
            if earlier.rank < actor.rank and not earlier.reach.isdisjoint(counted):
                optional[earlier.rank] = "freely"
    return optional


# What the choices can influence


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the search is about, and what it may spend."""

    choices: list[Choice]
    contesting: set[int]
    aim: Aim
    nodes_max: int


def _choose(
    actors: Sequence[Candidate], scene: Scene, terms: _Terms, result: Combination
) -> list[tuple[Candidate, Held | None]]:
    deciding = {member.rank for choice in terms.choices for member in choice.members}
    deciding |= terms.contesting
    start = begin(scene)
    dependent = list(actors)
    if not terms.aim.ties:
        dependent = _dependent(actors, deciding, start, result)
        dependent = _without_tails(dependent, deciding, scene)
    budget = Budget(terms.nodes_max)
    held: dict[int, Held | None] = {}
    left_out: set[int] = set()
    components = (
        [Component(dependent, terms.choices)]
        if terms.aim.ties
        else _components(dependent, terms.choices)
    )
    for component in components:
        found = search(component, start, budget, terms.aim)
        held.update(found.held)
        left_out |= {actor.rank for actor in component.actors} - found.held.keys()
        result.lost_to.update(found.lost_to)
        result.proven = result.proven and found.proven
        result.gap_minor += found.gap_minor
    return [(actor, held.get(actor.rank)) for actor in actors if actor.rank not in left_out]


def _contesting(actors: Sequence[Candidate], scene: Scene) -> set[int]:
    """Return the ranks of multi-buys some of whose units another one wants."""
    wanting: dict[int, list[int]] = {}
    for actor in actors:
        if actor.claims:
            for line in actor.reach:
                if scene.lines[line].pieces:
                    wanting.setdefault(line, []).append(actor.rank)
    return {rank for ranks in wanting.values() if len(ranks) > 1 for rank in ranks}


def _dependent(
    actors: Sequence[Candidate], deciding: set[int], start: State, result: Combination
) -> list[Candidate]:
    """Return the offers whose discount depends on a choice; let the others act on the state.

    An offer none of whose lines a choice has touched yet acts the same whatever is chosen. It may
    act before offers that come earlier elsewhere: they share no line with it.
    """
    touched: set[int | str] = set()
    dependent = []
    for actor in actors:
        touches = actor.touches
        if actor.rank in deciding or not touched.isdisjoint(touches):
            touched.update(touches)
            dependent.append(actor)
        else:
            result.settled[actor.rank] = act(actor, start)
    return dependent


def _without_tails(dependent: list[Candidate], deciding: set[int], scene: Scene) -> list[Candidate]:
    """Drop late offers whose discount falls by a cent at most for each cent taken off before.

    What acts last, on the sum of at least all lines of a component, is best served by the
    component's own best: it ties nothing together and cannot change a choice.
    """
    drawing = Counter(draw.counter.name for actor in dependent for draw in actor.draws)
    tails = {
        actor.rank
        for actor in dependent
        if actor.rank not in deciding
        and _acts_on_a_sum(actor, scene)
        # What others draw on leaves less, or none, whatever the lines cost.
        and all(drawing[draw.counter.name] == 1 for draw in actor.draws)
    }
    if not tails:
        return dependent
    reaches = _reaches([actor for actor in dependent if actor.rank not in tails])
    earlier = [actor.reach for actor in dependent if actor.rank in tails]
    kept: list[Candidate] = []
    for actor in reversed(dependent):
        if actor.rank in tails:
            own = earlier.pop()
            if all(
                own.isdisjoint(other.reach) for other in kept if other.rank > actor.rank
            ) and all(own.isdisjoint(reach) or reach <= own for reach in (*reaches, *earlier)):
                continue
        kept.append(actor)
    kept.reverse()
    return kept


def _reaches(actors: Sequence[Candidate]) -> list[frozenset[int]]:
    """Return all lines of each component."""
    return [
        frozenset().union(*(actor.reach for actor in component.actors))
        for component in _components(actors, [])
    ]


def _acts_on_a_sum(actor: Candidate, scene: Scene) -> bool:
    """Say whether what the offer takes depends on its lines' sum alone, however it is spread.

    Floors change nothing in that: what one line refuses moves to the others.
    """
    compiled = actor.compiled
    gives, limits = compiled.offer.gives, compiled.offer.limits
    if actor.members or actor.counted_lines or compiled.selects or limits.unit_price_minor_min:
        return False
    if isinstance(gives, Steps):
        if actor.counted_when_acting:
            return False
        _, reached = step_reached(actor, gives, begin(scene))
        return not reached or not isinstance(gives.steps[reached - 1].off, PriceEach)
    if isinstance(gives, Percent):
        return gives.rounding == "offer" and gives.units.which == "all"
    return isinstance(gives, AmountOff) and gives.per == "receipt" and gives.units.which == "all"


def _components(dependent: Sequence[Candidate], choices: Sequence[Choice]) -> list[Component]:
    parent = list(range(len(dependent)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_seen: dict[int | str, int] = {}
    at = {actor.offer_id: i for i, actor in enumerate(dependent)}
    for i, actor in enumerate(dependent):
        ties: list[int | str] = list(actor.touches)
        combines = actor.compiled.offer.combines
        if combines.group:
            ties.append(f"group {combines.group}")
        for tie in ties:
            parent[root(i)] = root(first_seen.setdefault(tie, i))
        for other in combines.not_with:
            if other in at:
                parent[root(i)] = root(at[other])
    members: dict[int, list[Candidate]] = {}
    for i, actor in enumerate(dependent):
        members.setdefault(root(i), []).append(actor)
    of_member = {member.rank: choice for choice in choices for member in choice.members}
    return [
        Component(
            actors,
            list({id(c): c for a in actors if (c := of_member.get(a.rank))}.values()),
        )
        for actors in members.values()
    ]


# The chosen offers act


def _act_all(
    chosen: Sequence[tuple[Candidate, Held | None]],
    scene: Scene,
    result: Combination,
) -> None:
    state = begin(scene)
    most = result.most_minor
    for actor, held in chosen:
        before = state.copy() if actor.compiled.keeps_state else state
        per_member = _by_member(actor, state) if actor.members else None
        known = result.settled.get(actor.rank) if most < 0 else None
        if known is None:
            offs = act(actor, state, held, most)
        else:
            offs = known
            state.take(actor, known)
        if most >= 0:
            if not offs and takes(actor, state, held):
                result.cut.add(actor.offer_id)
            most -= sum(offs.values())
        result.acted.append((actor, before))
        if held is not None:
            result.held[actor.offer_id] = held
        if per_member is not None:
            _book_members(actor, offs, per_member, result)
        elif offs:
            result.discounts[actor.offer_id] = offs
    result.left = state.left
    _admit_unseen_sets(chosen, scene, result)


def _admit_unseen_sets(
    chosen: Sequence[tuple[Candidate, Held | None]], scene: Scene, result: Combination
) -> None:
    """Say that more sets than are looked at might have saved more."""
    for actor, _ in chosen:
        limits = actor.compiled.offer.limits
        if actor.parts and limits.units_per_line_max:
            sets = sum(scene.lines[at].pieces for at in actor.lines)
            if sets > SETS_WALKED_MAX:
                result.proven = False
                result.gap_minor += sum(result.left[at] for at in actor.reach)


def _most_off(scene: Scene, terms: ReceiptTerms) -> int:
    limits = []
    if terms.discount_minor_max:
        limits.append(terms.discount_minor_max)
    if terms.discount_share_max_ppm:
        limits.append(sum(scene.gross) * terms.discount_share_max_ppm // PPM)
    return min(limits, default=-1)


def _by_member(actor: Candidate, state: State) -> dict[int, Candidate]:
    """Return the member that takes most off each line."""
    best: dict[int, tuple[int, Candidate]] = {}
    for member in actor.members:
        for line, off in member_takes(member, state).items():
            if line not in best or off > best[line][0]:
                best[line] = (off, member)
    return {line: member for line, (_, member) in best.items()}


def _book_members(
    actor: Candidate, offs: dict[int, int], by_line: dict[int, Candidate], result: Combination
) -> None:
    for line, off in offs.items():
        result.discounts.setdefault(by_line[line].offer_id, {})[line] = off
    if not offs:
        return
    for member in actor.members:
        if member.offer_id not in result.discounts:
            line = next((line for line in member.lines if line in by_line), min(by_line))
            result.lost_to[member.offer_id] = by_line[line].offer_id
