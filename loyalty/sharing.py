"""Which of several acting multi-buys holds each unit that they want (receipt 4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from loyalty.acting import act, most_taken
from loyalty.compilation import CLAIMING
from loyalty.drawing import most_allowed
from loyalty.limits import MIXED_DIVISIONS_TRIED, PACKING_DIVISIONS_TRIED
from loyalty.multibuy import Cap
from loyalty.packing import Packing, Shares
from loyalty.rewards import formed, units_held
from loyalty.scene import Candidate, Held, State
from loyalty.wanting import Claimant

NO_VALUE = -1
_LINES_A_STEP = 20


@dataclass(slots=True)
class Budget:
    """How many nodes may still be looked at."""

    nodes: int

    def spend(self, nodes: int) -> bool:
        """Take nodes; false when there were not so many left."""
        self.nodes -= nodes
        return self.nodes >= 0


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

    @property
    def ties(self) -> bool:
        """All offers depend on each other: points and a maximum count what all leave."""
        return self.beside is not None or self.most_minor >= 0


def claimant_of(actor: Candidate, start: State) -> Claimant:
    """Return a multi-buy with the units it could use."""
    offer = actor.compiled.offer
    gives, limits = offer.gives, offer.limits
    assert isinstance(gives, CLAIMING)
    sets = limits.sets_max
    if limits.once_per_code:
        sets = min(sets, actor.codes) if sets else actor.codes
    cap = Cap(sets, limits.units_max, limits.units_per_line_max)
    units = units_held(actor, start, None)
    if limits.once_per_code and not actor.codes:
        units = [[] for _ in units]
    most = limits.discount_minor_max
    allowed = most_allowed(actor.draws, start.drawn, "minor")
    if allowed > 0:
        most = min(most, allowed) if most else allowed
    return Claimant(actor.rank, gives, units, cap, most)


@dataclass(frozen=True, slots=True)
class Sought:
    """What is known before units are divided.

    Attributes:
        alone: by rank, the most an offer takes off.
        to_beat: only what gives at least as much is of interest.
        ceiling: no more can be given.
    """

    alone: Mapping[int, int]
    claimants: Mapping[int, Claimant]
    to_beat: int
    ceiling: int


class Sharing:
    """Which of the acting multi-buys holds each unit that several of them want."""

    def __init__(
        self,
        acting: Sequence[Candidate],
        start: State,
        budget: Budget,
        aim: Aim,
        sought: Sought,
    ) -> None:
        self._acting = acting
        self._start = start
        self._budget = budget
        self._aim = aim
        self._sought = sought
        self.best = NO_VALUE
        self.best_held: dict[int, Held] = {}
        self.open_bound = NO_VALUE
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

    def run(self, bound: int, prices: Mapping[int, int]) -> None:
        """Find the best division; `bound` holds for all of them."""
        lines = sum(len(actor.lines) for actor in self._acting)
        try_steps = 1 + lines // _LINES_A_STEP
        if not self._contested:
            self._budget.spend(try_steps)
            self._simulate({})
            return
        sought, of_lines = self._sought, self._start.scene.lines
        others = [actor for actor in self._acting if not actor.claims]
        beside = self._aim.beside
        packing = Packing(
            claimants={actor.rank: sought.claimants[actor.rank] for actor in self._claims},
            pieces={line: of_lines[line].pieces for line, _ in self._contested},
            contested={line: [actor.rank for actor in actors] for line, actors in self._contested},
            fixed_minor=sum(sought.alone[actor.rank] for actor in others)
            + (beside.most if beside else 0),
            value=self._simulate,
            spend=self._budget.spend,
            to_beat=sought.to_beat,
            ceiling=sought.ceiling,
            try_steps=try_steps,
            # Beside other offers, and points, the bound of prices is too far off to prove much.
            divisions_tried=MIXED_DIVISIONS_TRIED if others or beside else PACKING_DIVISIONS_TRIED,
        )
        packing.run(prices, self._greedy)
        self.open_bound = min(bound, packing.open_bound)

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
