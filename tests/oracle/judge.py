"""The judge of the best basket: every choice the rules allow, played through one by one.

Chosen are, in every combination: the offers of which some exclude others (groups of mode `best`,
`not_with`), the offers left out before a threshold on running prices, and which multi-buy each
piece goes to. It shares no code with the engine, only the plain data of baskets and rules, and is
far too slow for anything but small baskets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from loyalty.offers import ClaimingReward, Offer, Steps
from tests.oracle.judge_arithmetic import share_out
from tests.oracle.judge_claims import claimed, could_form_a_set
from tests.oracle.judge_plain import Scene, codes_held, wished
from tests.oracle.judge_points import gives_points, points_earned
from tests.oracle.judge_state import (
    Case,
    Sold,
    State,
    Unit,
    belongs,
    holds,
    reached,
    receipt_maximum,
    running_needs,
    sold_lines,
)

CHOICES_MAX = 600
NOBODY = (1_000_000, "")

Discounts = Mapping[str, Mapping[int, int]]
"""Minor units by offer id and by the line's place in the order of line ids."""

Allotment = Mapping[int, Mapping[str, int]]
"""How many pieces of a line, the dearest first, each multi-buy holds."""


class TooManyChoicesError(Exception):
    """The basket is too large for the judge."""


@dataclass(frozen=True)
class Verdict:
    """What one choice gives.

    Attributes:
        acting: who acts, so that of choices that serve equally the smallest is taken: larger
            priority first, then by id, and one who acts before nobody.
        benefit: in minor units.
    """

    acting: tuple[tuple[int, str], ...]
    discounts: Discounts
    benefit: int

    @property
    def discount_minor(self) -> int:
        """The whole discount."""
        return sum(sum(by_line.values()) for by_line in self.discounts.values())


def verdicts(case: Case) -> list[Verdict]:
    """Return what every allowed choice gives.

    Raises:
        TooManyChoicesError: there are more than `CHOICES_MAX`.
    """
    court = Court(case)
    found: list[Verdict] = []
    for acting, allotment in court.choices():
        if len(found) >= CHOICES_MAX:
            raise TooManyChoicesError
        found.append(court.judged(acting, court.play(acting, allotment)))
    return found


def acting_order(offer: Offer) -> tuple[int, int, str]:
    """Order offers as they act."""
    return (offer.combines.order, -offer.priority, offer.offer_id)


def excludes(one: Offer, other: Offer) -> bool:
    """Say whether two offers may not act together."""
    group = one.combines.group
    return (
        bool(group and group == other.combines.group and one.combines.mode == "best")
        or one.offer_id in other.combines.not_with
        or other.offer_id in one.combines.not_with
    )


class Court:
    """One case with what follows from it for every choice."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.lines = sold_lines(case)
        self.maximum = receipt_maximum(case)
        self.reach = {offer.offer_id: reached(offer, self.lines) for offer in case.bundle.offers}
        self.candidates = self._candidates()

    # Who may act

    def _candidates(self) -> list[Offer]:
        found = [
            offer
            for offer in sorted(self.case.bundle.offers, key=acting_order)
            if not gives_points(offer)
            and self.reach[offer.offer_id]
            and holds(offer.needs, self.case, self.lines)
            and (codes_held(self.case, offer) or not offer.limits.once_per_code)
            and (not isinstance(offer.gives, ClaimingReward) or could_form_a_set(offer, self.lines))
        ]
        for group in {offer.combines.group for offer in found if offer.combines.mode == "first"}:
            members = [offer for offer in found if group and offer.combines.group == group]
            members.sort(key=lambda o: (-o.priority, o.offer_id))
            first = next((o for o in members if self.play([o], self._all_to(o)).taken), None)
            found = [offer for offer in found if offer not in members or offer is first]
        return found

    def _all_to(self, offer: Offer) -> Allotment:
        return {line.index: {offer.offer_id: line.pieces} for line in self.lines}

    def _acting_sets(self) -> Iterator[list[Offer]]:
        """Yield every set in which all act whom nothing keeps from it.

        An offer is kept from acting by one that acts and excludes it, or left out before a running
        threshold that acts.
        """
        actors = self._actors(self.candidates)
        for size in range(len(actors) + 1):
            for acting in combinations(actors, size):
                if any(self._exclude_each_other(*pair) for pair in combinations(acting, 2)):
                    continue
                if all(
                    any(self._keeps_from_acting(one, actor) for one in acting)
                    for actor in actors
                    if actor not in acting
                ):
                    yield [offer for actor in acting for offer in actor]

    def _exclude_each_other(self, some: Sequence[Offer], others: Sequence[Offer]) -> bool:
        return any(excludes(one, other) for one in some for other in others)

    def _keeps_from_acting(self, one: Sequence[Offer], other: Sequence[Offer]) -> bool:
        return self._exclude_each_other(one, other) or self._looks_at(one, other)

    def _actors(self, acting: Sequence[Offer]) -> list[list[Offer]]:
        """Return the offers in acting order; a group chosen line by line is one actor."""
        actors: list[list[Offer]] = []
        together: dict[str, list[Offer]] = {}
        for offer in sorted(acting, key=acting_order):
            group = offer.combines.group
            if group and offer.combines.mode == "best_per_line":
                if group not in together:
                    together[group] = []
                    actors.append(together[group])
                together[group].append(offer)
            else:
                actors.append([offer])
        return actors

    def _looks_at(self, late: Sequence[Offer], early: Sequence[Offer]) -> bool:
        """Say whether a running threshold of the later actor sees what the earlier one takes."""
        if acting_order(late[0]) <= acting_order(early[0]):
            return False
        touched = [line for offer in early for line in self.reach[offer.offer_id]]
        return any(line in touched for offer in late for line in self._watched(offer))

    def _watched(self, offer: Offer) -> list[Sold]:
        """Return the lines whose running price decides whether the offer acts, or how."""
        gives = offer.gives
        steps = isinstance(gives, Steps) and gives.by == "amount" and gives.basis == "running"
        needs = running_needs(offer.needs)
        own = self.reach[offer.offer_id] if steps else ()
        return [
            line
            for line in self.lines
            if line in own or any(belongs(n.match, line.sku) for n in needs)
        ]

    # Which units go to whom

    def choices(self) -> Iterator[tuple[list[Offer], Allotment]]:
        """Yield every choice: who acts, and how many pieces of each line each multi-buy holds."""
        for acting in self._acting_sets():
            per_line = [list(self._shares_of(line, acting)) for line in self.lines]
            for shares in product(*per_line):
                yield acting, dict(enumerate(shares))

    def _shares_of(self, line: Sold, acting: Sequence[Offer]) -> Iterator[dict[str, int]]:
        claimants = [
            offer.offer_id
            for offer in acting
            if isinstance(offer.gives, ClaimingReward)
            and not offer.combines.shares_units
            and line in self.reach[offer.offer_id]
        ]
        if not claimants:
            yield {}
            return
        for counts in compositions(line.pieces, len(claimants)):
            yield dict(zip(claimants, counts, strict=True))

    # What comes of it

    def play(self, acting: Sequence[Offer], allotment: Allotment) -> State:
        """Let offers act one after the other."""
        state = State(self.lines)
        for actor in self._actors(acting):
            offer = actor[0]
            if offer.combines.group and offer.combines.mode == "best_per_line":
                self._play_per_line(actor, state)
            elif holds(offer.needs, self.case, self.lines, state.left):
                state.take(offer, self._offs(offer, state, allotment))
        return state

    def _offs(self, offer: Offer, state: State, allotment: Allotment) -> dict[int, int]:
        scene = Scene(self.case, offer, self.reach[offer.offer_id], state)
        if isinstance(offer.gives, ClaimingReward):
            wish = claimed(scene, self._held(offer, state, allotment))
        else:
            wish = wished(scene)
        return scene.settled(wish, self.maximum - state.total)

    def _held(self, offer: Offer, state: State, allotment: Allotment) -> list[Unit]:
        held: list[Unit] = []
        for line in self.reach[offer.offer_id]:
            if not line.pieces:
                continue
            units = state.units(offer, line)
            if not offer.combines.shares_units:
                counts = allotment[line.index]
                before = list(counts).index(offer.offer_id)
                start = sum(list(counts.values())[:before])
                units = units[start : start + counts[offer.offer_id]]
            held += units
        return held

    def _play_per_line(self, members: Sequence[Offer], state: State) -> None:
        """Let on each line the member act that takes most off it, each line by itself."""
        best: dict[int, tuple[int, str]] = {}
        most = self.maximum - state.total
        for offer in members:
            if not holds(offer.needs, self.case, self.lines, state.left):
                continue
            for line in self.reach[offer.offer_id]:
                scene = Scene(self.case, offer, [line], state)
                off = scene.settled(wished(scene), line.gross)[line.index]
                if off > best.get(line.index, (0, ""))[0]:
                    best[line.index] = (off, offer.offer_id)
        indexes = sorted(best)
        shares = [best[index][0] for index in indexes]
        if sum(shares) > most:
            shares = share_out(most, shares)
        for offer in members:
            won = dict(zip(indexes, shares, strict=True))
            state.take(offer, {i: off for i, off in won.items() if best[i][1] == offer.offer_id})

    def judged(self, acting: Sequence[Offer], state: State) -> Verdict:
        """Return what the customer has of it."""
        benefit = state.total
        programme = self.case.bundle.programme
        if programme.points_in_benefit:
            earned = points_earned(self.case, state.left, state.left)
            points = sum(sum(by_line.values()) for by_line in earned.values())
            benefit += points * programme.point_value_minor // programme.point_value_points
        order = sorted((-offer.priority, offer.offer_id) for offer in acting)
        return Verdict(
            (*order, NOBODY), {name: dict(offs) for name, offs in state.taken.items()}, benefit
        )


def compositions(total: int, places: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to divide a total among places."""
    if places == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, places - 1):
            yield (first, *rest)
