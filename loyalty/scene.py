"""A basket while offers act on it: what stays, what is left to pay, and who wants to act."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from loyalty.compilation import CompiledOffer
from loyalty.drawing import Draw, note
from loyalty.matching import Line
from loyalty.offers import Offer, Steps


@dataclass(slots=True)
class Scene:
    """The basket as offers act on it, by line index; nothing in it changes while they act.

    Attributes:
        floor_minor: the least that discounts leave to pay on the line.
        any_barred: some line's product takes no part in something.
    """

    lines: Sequence[Line]
    gross: list[int]
    floor_minor: list[int]
    any_barred: bool
    any_reduced: bool


_NO_LINES: frozenset[int] = frozenset()

Held = Mapping[int, tuple[int, int]]
"""By line index: how many of the line's units others hold before, how many this offer holds."""


@dataclass(slots=True, eq=False)
class Candidate:
    """An offer that may act.

    Attributes:
        lines: indexes of the lines it may act on, rising.
        parts: the same for each part of a set, or for the other lines of `buy_get`.
        counted: indexes of the lines each of its running needs counts.
        counter: stamps the account holds.
        rank: its place in the acting order.
        offer_id: the offer's id.
        codes: how many of the presented codes it asks for.
        presented: the codes that may be used, where their uses are counted.
        draws: counters of all customers it draws on.
        members: for a group that acts as one, its members.
    """

    compiled: CompiledOffer
    lines: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...] = ()
    counted: tuple[tuple[tuple[int, ...], int], ...] = ()
    counter: int = 0
    codes: int = 0
    members: tuple["Candidate", ...] = ()
    presented: tuple[str, ...] = ()
    draws: tuple[Draw, ...] = ()
    rank: int = field(init=False)
    offer_id: str = field(init=False)
    _reach: frozenset[int] | None = None

    def __post_init__(self) -> None:
        self.rank = self.compiled.rank
        self.offer_id = self.compiled.offer.offer_id

    @property
    def offer(self) -> Offer:
        """The offer."""
        return self.compiled.offer

    @property
    def claims(self) -> bool:
        """It uses units that no other such offer may use."""
        offer = self.compiled.offer
        return self.compiled.claiming and not offer.combines.shares_units

    @property
    def counted_lines(self) -> frozenset[int]:
        """Lines whose amount decides whether it acts."""
        # Members of a group that acts as one have no needs (`checking`).
        if not self.counted:
            return _NO_LINES
        return frozenset(line for lines, _ in self.counted for line in lines)

    @property
    def counted_when_acting(self) -> frozenset[int]:
        """Lines on which earlier discounts can take this offer's condition away."""
        gives = self.compiled.offer.gives
        if isinstance(gives, Steps) and gives.by == "amount" and gives.basis == "running":
            return self.counted_lines | frozenset(self.lines)
        return self.counted_lines

    @property
    def touches(self) -> Collection[int | str]:
        """Lines and counters that tie it to the other offers that touch them."""
        if not (self.parts or self.counted or self.members or self.draws):
            return self.lines
        lines: frozenset[int | str] = self.reach | self.counted_lines
        return lines.union(draw.counter.name for draw in self.draws) if self.draws else lines

    @property
    def endangered(self) -> bool:
        """Other offers may keep it from acting, or what they take off may."""
        return self.compiled.endangered or any(member.endangered for member in self.members)

    @property
    def reach(self) -> frozenset[int]:
        """All lines it may take something off."""
        if self._reach is None:
            self._reach = frozenset(self.lines).union(*self.parts)
        return self._reach


@dataclass(slots=True)
class State:
    """What is left to pay on each line, and what multi-buys took off it so far.

    Attributes:
        drawn: what was drawn on counters of all customers.
        excluding: offers that acted and may not stand beside some others.
    """

    scene: Scene
    left: list[int]
    claimed_off: list[int]
    drawn: dict[str, int] = field(default_factory=dict)
    excluding: tuple[Candidate, ...] = ()

    def take(self, candidate: Candidate, offs: Mapping[int, int]) -> None:
        """Take off the lines what the offer takes."""
        left = self.left
        for line, off in offs.items():
            left[line] -= off
        if candidate.compiled.claiming:
            for line, off in offs.items():
                self.claimed_off[line] += off
        if candidate.draws and offs:
            note(candidate.draws, sum(offs.values()), self.drawn)
        if candidate.compiled.excludes and offs:
            self.excluding += (candidate,)

    def copy(self) -> "State":
        """Return a state that can go on by itself."""
        return State(
            self.scene, self.left[:], self.claimed_off[:], self.drawn.copy(), self.excluding
        )


def begin(scene: Scene) -> State:
    """Return the state before any offer."""
    return State(scene, scene.gross[:], [0] * len(scene.gross))
