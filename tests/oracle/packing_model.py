"""Multi-buys over many lines as an integer programme, solved by HiGHS: the judge of large baskets.

It holds for rule sets of multi-buys alone, on lines whose pieces cost the same, at prices of which
every rate is a whole number: then the order of acting changes nothing, nothing is rounded, and the
best basket is the best packing of pieces into sets. Pieces are counted by line. That of each set
the cheapest ones are cheaper becomes, for every price: the sets whose cheaper pieces reach this
price have only pieces to pay that reach it too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import highspy

from loyalty.offers import (
    AmountEach,
    BuyGet,
    EveryNth,
    LineMatch,
    NForM,
    Off,
    Offer,
    PartsSet,
    PercentOff,
    SameLines,
)
from tests.oracle.judge_arithmetic import MILLION
from tests.oracle.judge_state import belongs

SOLVER_NODES_MAX = 2_000
_WHOLE = 1e-4

Term = Any
"""A variable or a linear expression of HiGHS, which has no types."""


@dataclass(frozen=True)
class Pile:
    """A line: so many pieces, each at the same price."""

    sku: str
    price: int
    pieces: int


@dataclass(frozen=True)
class Optimum:
    """The best packing: what it saves, and the least that is proven to be out of reach above it."""

    saving: int
    bound: int


def best_packing(piles: Sequence[Pile], offers: Sequence[Offer]) -> Optimum:
    """Return what the best packing saves."""
    return _Model(piles).solved(offers)


class _Model:
    """One integer programme."""

    def __init__(self, piles: Sequence[Pile]) -> None:
        self._piles = piles
        self._solver = highspy.Highs()  # type: ignore[no-untyped-call]
        self._solver.silent()
        self._solver.setOptionValue("threads", 1)
        self._solver.setOptionValue("mip_rel_gap", 0.0)
        self._solver.setOptionValue("mip_abs_gap", 0.5)
        self._solver.setOptionValue("mip_max_nodes", SOLVER_NODES_MAX)
        self._used: dict[int, list[Term]] = {index: [] for index in range(len(piles))}
        self._acts: dict[str, Term] = {}

    def solved(self, offers: Sequence[Offer]) -> Optimum:
        """Return the optimum over all offers."""
        savings = [self._saving(offer) for offer in offers]
        for index, terms in self._used.items():
            if terms:
                self._solver.addConstr(_sum(terms) <= self._piles[index].pieces)
        for one, other in combinations(offers, 2):
            group = one.combines.group
            if (
                (group and group == other.combines.group)
                or one.offer_id in other.combines.not_with
                or other.offer_id in one.combines.not_with
            ):
                self._solver.addConstr(self._acts[one.offer_id] + self._acts[other.offer_id] <= 1)
        self._solver.maximize(_sum(savings))
        info = self._solver.getInfo()
        return Optimum(
            saving=round(info.objective_function_value),
            bound=int(info.mip_dual_bound + _WHOLE),
        )

    def _saving(self, offer: Offer) -> Term:
        acts = self._solver.addBinary()
        self._acts[offer.offer_id] = acts
        gives = offer.gives
        if isinstance(gives, PartsSet):
            saving = self._parts_set(offer, gives, acts)
        elif isinstance(gives, BuyGet) and not isinstance(gives.get_lines, SameLines):
            saving = self._other_lines(offer, gives, acts)
        else:
            saving = self._one_kind(offer, acts)
        if offer.limits.discount_minor_max:
            capped = self._solver.addVariable(0, offer.limits.discount_minor_max)
            self._solver.addConstr(capped <= saving)
            return capped
        return saving

    def _one_kind(self, offer: Offer, acts: Term) -> Term:
        pay, free, off = _set_of_one_kind(offer)
        lines = self._matched(offer.lines)
        partial = isinstance(offer.gives, BuyGet) and offer.gives.partial
        sets = self._sets(offer, acts, lines, pay + (1 if partial else free))
        paid, cheaper = self._taken(lines), self._taken(lines)
        self._solver.addConstr(_sum(paid.values()) == pay * sets)
        if partial:
            self._solver.addConstr(_sum(cheaper.values()) <= free * sets)
        else:
            self._solver.addConstr(_sum(cheaper.values()) == free * sets)
        for price in sorted({self._piles[index].price for index in lines}):
            reach = [index for index in lines if self._piles[index].price >= price]
            dear = self._solver.addIntegral(0, highspy.kHighsInf)
            self._solver.addConstr(_sum(cheaper[i] for i in reach) <= free * dear)
            self._solver.addConstr(pay * dear <= _sum(paid[i] for i in reach))
        return self._off(off, cheaper)

    def _other_lines(self, offer: Offer, gives: BuyGet, acts: Term) -> Term:
        assert not isinstance(gives.get_lines, SameLines)
        buys, gets = self._matched(offer.lines), self._matched(gives.get_lines)
        size = gives.buy_units + (1 if gives.partial else gives.get_units)
        sets = self._sets(offer, acts, sorted({*buys, *gets}), size)
        bought, got = self._taken(buys), self._taken(gets)
        self._solver.addConstr(_sum(bought.values()) == gives.buy_units * sets)
        if gives.partial:
            self._solver.addConstr(_sum(got.values()) <= gives.get_units * sets)
        else:
            self._solver.addConstr(_sum(got.values()) == gives.get_units * sets)
        return self._off(gives.off, got)

    def _parts_set(self, offer: Offer, gives: PartsSet, acts: Term) -> Term:
        of_part = [self._matched(part.lines) for part in gives.parts]
        size = sum(part.units for part in gives.parts)
        sets = self._sets(offer, acts, sorted({i for part in of_part for i in part}), size)
        cost: list[Term] = []
        for part, lines in zip(gives.parts, of_part, strict=True):
            taken = self._taken(lines)
            self._solver.addConstr(_sum(taken.values()) == part.units * sets)
            cost += [self._piles[index].price * count for index, count in taken.items()]
        off = gives.off
        if isinstance(off, PercentOff):
            return _sum(cost) * (off.rate_ppm / MILLION)
        if isinstance(off, AmountEach):
            saving = self._solver.addVariable(0, highspy.kHighsInf)
            self._solver.addConstr(saving <= off.amount_minor * sets)
            self._solver.addConstr(saving <= _sum(cost))
            return saving
        return _sum(cost) - off.amount_minor * sets

    def _matched(self, match: LineMatch) -> list[int]:
        return [index for index, pile in enumerate(self._piles) if belongs(match, pile.sku)]

    def _sets(self, offer: Offer, acts: Term, lines: Sequence[int], size: int) -> Term:
        most = sum(self._piles[index].pieces for index in lines) // size
        if offer.limits.sets_max:
            most = min(most, offer.limits.sets_max)
        sets = self._solver.addIntegral(0, most)
        self._solver.addConstr(sets <= most * acts)
        return sets

    def _taken(self, lines: Iterable[int]) -> dict[int, Term]:
        """Return how many pieces of each line are taken for something."""
        taken = {index: self._solver.addIntegral(0, self._piles[index].pieces) for index in lines}
        for index, count in taken.items():
            self._used[index].append(count)
        return taken

    def _off(self, off: Off, cheaper: Mapping[int, Term]) -> Term:
        return _sum(
            _off_one(off, self._piles[index].price) * count for index, count in cheaper.items()
        )


def _set_of_one_kind(offer: Offer) -> tuple[int, int, Off]:
    """Return how many pieces of a set are paid, how many are cheaper, and what is off these."""
    gives = offer.gives
    if isinstance(gives, NForM):
        return gives.pay, gives.units - gives.pay, PercentOff(rate_ppm=MILLION)
    if isinstance(gives, EveryNth):
        return gives.every - 1, 1, gives.off
    assert isinstance(gives, BuyGet), gives
    return gives.buy_units, gives.get_units, gives.off


def _off_one(off: Off, price: int) -> int:
    """Return what is taken off one piece."""
    if isinstance(off, PercentOff):
        whole, rest = divmod(price * off.rate_ppm, MILLION)
        assert not rest, "the model holds only where every rate is a whole number"
        return whole
    if isinstance(off, AmountEach):
        return min(off.amount_minor, price)
    return max(0, price - off.amount_minor)


def _sum(terms: Iterable[Term]) -> Term:
    return highspy.Highs.qsum(list(terms))
