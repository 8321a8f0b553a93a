"""Which of the offers that may act do act: the set that serves the customer best (receipt 4).

Offers of one group exclude each other. Offers that share no line, directly or through a group,
cannot influence each other, so each independent component is searched by itself. The order in which
chosen offers act on a line is fixed (order, then priority, then id): a value belongs to every set.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

from loyalty.limits import COMBINATION_NODES_MAX, PPM
from loyalty.matching import Line
from loyalty.money import round_half_up, split
from loyalty.offers import AmountOff, CardPrice, Offer, Percent


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer that may act, with the lines it may act on."""

    offer: Offer
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Combination:
    """The chosen set: money off by offer and line.

    Attributes:
        discounts: offer id -> line index -> minor units, only what is above zero.
        lost_to: offer id -> id of the member of its group that was taken instead.
    """

    discounts: dict[str, dict[int, int]] = field(default_factory=dict)
    lost_to: dict[str, str] = field(default_factory=dict)
    proven: bool = True
    gap_minor: int = 0


def best_combination(candidates: Sequence[Candidate]) -> Combination:
    """Return the set of price offers that takes most off the basket.

    Ties go to the set whose members come first by priority, then by id. The search counts nodes,
    never time; past `COMBINATION_NODES_MAX` a component takes each group's best member by itself
    and the result says how much more another choice might have given.
    """
    result = Combination()
    for component in _components(candidates):
        _search(component, result)
    return result


def _components(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    parent = list(range(len(candidates)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_seen: dict[int | str, int] = {}
    for i, candidate in enumerate(candidates):
        ties: list[int | str] = [line.index for line in candidate.lines]
        if candidate.offer.combines.group:
            ties.append(candidate.offer.combines.group)
        for tie in ties:
            parent[root(i)] = root(first_seen.setdefault(tie, i))
    components: dict[int, list[Candidate]] = {}
    for i, candidate in enumerate(candidates):
        components.setdefault(root(i), []).append(candidate)
    return list(components.values())


def _search(component: list[Candidate], result: Combination) -> None:
    free = [c for c in component if not c.offer.combines.group]
    groups: dict[str, list[Candidate]] = {}
    for candidate in sorted(component, key=lambda c: (-c.offer.priority, c.offer.offer_id)):
        if candidate.offer.combines.group:
            groups.setdefault(candidate.offer.combines.group, []).append(candidate)
    choices = [_members_to_try(members) for _, members in sorted(groups.items())]
    nodes = 1
    for members in choices:
        nodes *= len(members)
    if nodes > COMBINATION_NODES_MAX:
        result.proven = False
        result.gap_minor += _upper_bound(
            [*free, *(c for members in groups.values() for c in members)]
        )
        choices = [[max(members, key=lambda c: _total(_act([c])))] for members in choices]
    best: dict[str, dict[int, int]] = {}
    best_total = -1
    taken: tuple[Candidate, ...] = ()
    for chosen in product(*choices):
        discounts = _act([*free, *chosen])
        if (total := _total(discounts)) > best_total:
            best, best_total, taken = discounts, total, chosen
    if nodes > COMBINATION_NODES_MAX:
        result.gap_minor -= best_total
    result.discounts.update(best)
    for winner in taken:
        # A winner that gives nothing has beaten nobody.
        if winner.offer.offer_id in best:
            result.lost_to.update(
                {
                    member.offer.offer_id: winner.offer.offer_id
                    for member in groups[winner.offer.combines.group]
                    if member is not winner
                }
            )


def _members_to_try(members: list[Candidate]) -> list[Candidate]:
    if members[0].offer.combines.mode == "first":
        return next(([m] for m in members if _total(_act([m]))), members[:1])
    return members


def _upper_bound(candidates: Iterable[Candidate]) -> int:
    # Alone, on the untouched price, no offer gives less than beside others.
    return sum(_total(_act([c])) for c in candidates)


def _total(discounts: dict[str, dict[int, int]]) -> int:
    return sum(sum(by_line.values()) for by_line in discounts.values())


def _act(chosen: Iterable[Candidate]) -> dict[str, dict[int, int]]:
    """Let the chosen offers act one after the other; return what each takes off each line."""
    running: dict[int, int] = {}
    discounts: dict[str, dict[int, int]] = {}
    key = _acting_order
    for candidate in sorted(chosen, key=key):
        room = [
            max(0, running.setdefault(line.index, line.source.gross_minor) - line.floor_minor)
            for line in candidate.lines
        ]
        bases = _bases(candidate, running)
        wanted = _wanted(candidate, bases)
        taken: dict[int, int] = {}
        for line, off in zip(candidate.lines, _within(candidate.offer, wanted, room), strict=True):
            if off:
                taken[line.index] = off
                running[line.index] -= off
        if taken:
            discounts[candidate.offer.offer_id] = taken
    return discounts


def _acting_order(candidate: Candidate) -> tuple[int, int, str]:
    return (candidate.offer.combines.order, -candidate.offer.priority, candidate.offer.offer_id)


def _bases(candidate: Candidate, running: dict[int, int]) -> list[int]:
    if candidate.offer.combines.base == "initial":
        return [line.source.gross_minor for line in candidate.lines]
    return [running[line.index] for line in candidate.lines]


def _wanted(candidate: Candidate, bases: list[int]) -> list[int]:
    """What the reward would take off each line if nothing stood in its way."""
    gives = candidate.offer.gives
    if isinstance(gives, Percent):
        total = round_half_up(sum(bases) * gives.rate_ppm, PPM)
        return split(total, bases) if total else [0] * len(bases)
    if isinstance(gives, AmountOff):
        total = min(gives.amount_minor, sum(bases))
        return split(total, bases) if total else [0] * len(bases)
    if isinstance(gives, CardPrice):
        wanted = []
        for line, base in zip(candidate.lines, bases, strict=True):
            price = gives.prices[line.source.sku]
            wanted.append(
                max(
                    0,
                    base
                    - round_half_up(price.amount_minor * line.source.quantity, price.per_quantity),
                )
            )
        return wanted
    raise TypeError(f"{type(gives).__name__} takes nothing off a price")


def _within(offer: Offer, wanted: list[int], room: list[int]) -> list[int]:
    """Cut what is wanted to the lines' floors and the offer's maximum.

    For amounts, refused shares move to other lines.
    """
    total = min(sum(wanted), sum(room))
    if offer.discount_minor_max:
        total = min(total, offer.discount_minor_max)
    if isinstance(offer.gives, AmountOff):
        weights = [w if r else 0 for w, r in zip(wanted, room, strict=True)]
        total = min(total, sum(r for r, w in zip(room, weights, strict=True) if w))
        return split(total, weights, room) if total else [0] * len(wanted)
    cut = [min(w, r) for w, r in zip(wanted, room, strict=True)]
    if sum(cut) > total:
        return split(total, cut, cut)
    return cut
