"""A basket while offers act on it: what stays, what is left to pay, and who wants to act."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loyalty.compilation import CompiledOffer
from loyalty.matching import Line
from loyalty.offers import BuyGet, EveryNth, NForM, Offer, PartsSet, Steps

CLAIMING = (NForM, EveryNth, BuyGet, PartsSet)
"""Rewards that use units in sets."""


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
        codes: how many of the presented codes it asks for.
        members: for a group that acts as one, its members.
    """

    compiled: CompiledOffer
    lines: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...] = ()
    counted: tuple[tuple[tuple[int, ...], int], ...] = ()
    counter: int = 0
    codes: int = 0
    members: tuple["Candidate", ...] = ()

    @property
    def offer(self) -> Offer:
        """The offer."""
        return self.compiled.offer

    @property
    def rank(self) -> int:
        """Its place in the acting order."""
        return self.compiled.rank

    @property
    def offer_id(self) -> str:
        """The offer's id."""
        return self.compiled.offer.offer_id

    @property
    def claims(self) -> bool:
        """It uses units that no other such offer may use."""
        offer = self.compiled.offer
        return isinstance(offer.gives, CLAIMING) and not offer.combines.shares_units

    @property
    def counted_lines(self) -> frozenset[int]:
        """Lines whose amount decides whether it acts."""
        own = frozenset(line for lines, _ in self.counted for line in lines)
        return own.union(*(member.counted_lines for member in self.members))

    @property
    def counted_when_acting(self) -> frozenset[int]:
        """Lines on which earlier discounts can take this offer's condition away."""
        gives = self.compiled.offer.gives
        if isinstance(gives, Steps) and gives.by == "amount" and gives.basis == "running":
            return self.counted_lines | frozenset(self.lines)
        return self.counted_lines

    @property
    def endangered(self) -> bool:
        """Other offers may keep it from acting, or what they take off may."""
        return self.compiled.endangered or any(member.endangered for member in self.members)

    @property
    def reach(self) -> frozenset[int]:
        """All lines it may take something off."""
        return frozenset(self.lines).union(*self.parts)


@dataclass(slots=True)
class State:
    """What is left to pay on each line, and what multi-buys took off it so far."""

    scene: Scene
    left: list[int]
    claimed_off: list[int]

    def copy(self) -> "State":
        """Return a state that can go on by itself."""
        return State(self.scene, self.left[:], self.claimed_off[:])


def begin(scene: Scene) -> State:
    """Return the state before any offer."""
    return State(scene, scene.gross[:], [0] * len(scene.gross))
