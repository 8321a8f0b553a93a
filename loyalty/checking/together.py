"""Offers that take off too much together: each is harmless, and they meet on one line.

For every set of SKUs that the same offers reach, the offers that take most off are sought: pairs
first, since those are what people can act on, then larger sets by branch and bound.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from loyalty.bundle import Programme
from loyalty.checking.finding import Code, Finding
from loyalty.checking.meeting import Actor, Meetings
from loyalty.checking.reach import OTHER
from loyalty.limits import PPM
from loyalty.offers import (
    BuyGet,
    ClaimingReward,
    EveryNth,
    NForM,
    Offer,
    PartsSet,
    Percent,
    PercentOff,
    PointsMultiplier,
    PointsPerMoney,
    SameLines,
    Stamps,
    Steps,
    UnitRates,
)

DEEP_PPM: Final = 900_000
"""Offers that take so much off together are worth a look, even where each works on the rest."""

_SETS_TRIED_MAX: Final = 300
_SCALE: Final = 10**15


@dataclass(slots=True, eq=False)
class _Taker:
    """An offer and the share of a line it can take.

    Attributes:
        adds: the share is of the initial price, so that shares add up.
        claims: it uses units no other such offer may use.
    """

    actor: Actor
    rate_ppm: int
    adds: bool
    claims: bool

    @property
    def preference(self) -> tuple[int, int]:
        """The most taken first."""
        return (-self.rate_ppm, self.actor.number)


def money_taken_together(actors: Iterable[Actor], meetings: Meetings) -> Iterator[Finding]:
    """Yield sets of offers that can take all of a line's price, or nearly all."""
    takers = []
    for actor in actors:
        offer = actor.offer
        rate = share_taken_ppm(offer)
        # What makes goods free by itself is meant to.
        if 0 < rate < PPM:
            claims = isinstance(offer.gives, ClaimingReward) and not offer.combines.shares_units
            takers.append(_Taker(actor, rate, offer.combines.base == "initial", claims))
    for found in _Worst(meetings, DEEP_PPM).sets(takers):
        code = Code.TOGETHER_FREE if found.share_ppm >= PPM else Code.TOGETHER_DEEP
        yield _finding(code, found, "off_ppm")


def points_given_together(
    actors: Sequence[Actor], programme: Programme, meetings: Meetings
) -> Iterator[Finding]:
    """Yield offers that can give points worth all that is spent, alone or together."""
    worth = {
        actor.offer_id: _worth_ppm(actor.offer.gives, programme)
        for actor in actors
        if isinstance(actor.offer.gives, PointsPerMoney)
    }
    takers = []
    for actor in actors:
        gives = actor.offer.gives
        rate = worth.get(actor.offer_id, 0)
        if isinstance(gives, PointsMultiplier):
            multiplied = sum(worth.get(other, 0) for other in gives.of)
            rate = multiplied * (gives.factor_ppm - PPM) // PPM
        if rate >= PPM:
            yield _finding(
                Code.POINTS_WORTH_ALL,
                _Set((_Taker(actor, rate, True, False),), rate, OTHER),
                "worth_ppm",
            )
        elif rate:
            takers.append(_Taker(actor, rate, adds=True, claims=False))
    for found in _Worst(meetings, PPM).sets(takers):
        yield _finding(Code.POINTS_WORTH_ALL, found, "worth_ppm")


def share_taken_ppm(offer: Offer) -> int:
    """Return the largest share of a line's price that a reward in percent can take off it.

    Of multi-buys it is the share of a whole set, however its units stand on lines.
    """
    gives = offer.gives
    if isinstance(gives, Percent):
        return gives.rate_ppm
    if isinstance(gives, UnitRates):
        return max(gives.rates_ppm)
    if isinstance(gives, Steps):
        return max(_rate(step.off) for step in gives.steps)
    if isinstance(gives, NForM):
        return PPM * (gives.units - gives.pay) // gives.units
    if isinstance(gives, EveryNth):
        return _rate(gives.off) // gives.every
    if isinstance(gives, BuyGet):
        if isinstance(gives.get_lines, SameLines):
            return _rate(gives.off) * gives.get_units // (gives.buy_units + gives.get_units)
        return _rate(gives.off)
    return _rate(gives.off) if isinstance(gives, PartsSet | Stamps) else 0


def _rate(off: object) -> int:
    return off.rate_ppm if isinstance(off, PercentOff) else 0


def _worth_ppm(gives: PointsPerMoney, programme: Programme) -> int:
    per_point = programme.point_value_points * gives.per_minor
    return PPM * gives.points * programme.point_value_minor // per_point


# The worst sets


@dataclass(frozen=True, slots=True)
class _Set:
    """Offers that can meet on lines of `sku` and take `share_ppm` of the price together."""

    takers: tuple[_Taker, ...]
    share_ppm: int
    sku: str


def _finding(code: Code, found: _Set, figure: str) -> Finding:
    figures: dict[str, int | str] = {figure: found.share_ppm}
    if found.sku != OTHER:
        figures["sku"] = found.sku
    offers = tuple(taker.actor.offer_id for taker in sorted(found.takers, key=_by_preference))
    return Finding(code=code, offers=offers, figures=figures)


def _by_preference(taker: _Taker) -> tuple[int, int]:
    return taker.preference


class _Worst:
    """Looks through classes of SKUs for sets of offers that take `least_ppm` or more."""

    def __init__(self, meetings: Meetings, least_ppm: int) -> None:
        self._meetings = meetings
        self._least_ppm = least_ppm
        self._found: set[frozenset[int]] = set()
        self._found_with: dict[int, list[frozenset[int]]] = {}
        self._tried = 0

    def sets(self, takers: Sequence[_Taker]) -> Iterator[_Set]:
        """Yield sets none of which could lose an offer, each once."""
        for sku, meeting in _classes(takers, self._least_ppm):
            ranked = sorted(meeting, key=_by_preference)
            found = list(self._pairs(ranked, sku))
            if not found and not self._is_covered(ranked):
                found = self._largest(ranked, sku)
            for one in found:
                key = frozenset(taker.actor.number for taker in one.takers)
                if key not in self._found:
                    self._found.add(key)
                    self._found_with.setdefault(min(key), []).append(key)
                    yield one

    def _is_covered(self, ranked: Sequence[_Taker]) -> bool:
        here = {taker.actor.number for taker in ranked}
        return any(key <= here for number in here for key in self._found_with.get(number, ()))

    def _pairs(self, ranked: Sequence[_Taker], sku: str) -> Iterator[_Set]:
        for at, one in enumerate(ranked):
            for other in ranked[at + 1 :]:
                if one.rate_ppm + other.rate_ppm < self._least_ppm:
                    break
                share = _share_ppm((one, other))
                if share >= self._least_ppm and self._meet(one, other):
                    yield _Set((one, other), share, sku)

    def _meet(self, one: _Taker, other: _Taker) -> bool:
        if one.claims and other.claims:
            return False
        return self._meetings.can_act_together(one.actor, other.actor)

    def _largest(self, ranked: Sequence[_Taker], sku: str) -> list[_Set]:
        """Return the set that takes most off, cut to what is needed; none below the least."""
        self._tried = 0
        best = self._descend(ranked, 0, (), ())
        share = _share_ppm(best)
        if share < self._least_ppm:
            return []
        least = PPM if share >= PPM else self._least_ppm
        for taker in sorted(best, key=_by_preference, reverse=True):
            without = tuple(each for each in best if each is not taker)
            if _share_ppm(without) >= least:
                best = without
        return [_Set(best, _share_ppm(best), sku)]

    def _descend(
        self,
        ranked: Sequence[_Taker],
        at: int,
        chosen: tuple[_Taker, ...],
        best: tuple[_Taker, ...],
    ) -> tuple[_Taker, ...]:
        self._tried += 1
        if _share_ppm(chosen) > _share_ppm(best):
            best = chosen
        if at == len(ranked) or self._tried > _SETS_TRIED_MAX or _share_ppm(best) >= PPM:
            return best
        most = _share_ppm_max((*chosen, *ranked[at:]))
        if most < self._least_ppm or most <= _share_ppm(best):
            return best
        taker = ranked[at]
        if all(self._meet(taker, other) for other in chosen):
            best = self._descend(ranked, at + 1, (*chosen, taker), best)
        return self._descend(ranked, at + 1, chosen, best)


def _share_ppm(takers: Sequence[_Taker]) -> int:
    """Return what these take off together, acting in their order."""
    left = _SCALE
    for taker in sorted(takers, key=_acting_order):
        if taker.adds:
            left -= _SCALE // PPM * taker.rate_ppm
        else:
            left -= max(0, left) * taker.rate_ppm // PPM
    return (_SCALE - left) * PPM // _SCALE


def _acting_order(taker: _Taker) -> tuple[int, int, str]:
    offer = taker.actor.offer
    return (offer.combines.order, -offer.priority, offer.offer_id)


def _share_ppm_max(takers: Iterable[_Taker]) -> int:
    """Return what these could take off together in whatever order: first shares, then sums."""
    left, added = _SCALE, 0
    for taker in takers:
        if taker.adds:
            added += taker.rate_ppm
        else:
            left -= left * taker.rate_ppm // PPM
    return (_SCALE - left) * PPM // _SCALE + 1 + added


def _classes(takers: Sequence[_Taker], least_ppm: int) -> Iterator[tuple[str, Sequence[_Taker]]]:
    """Yield, with a SKU as example, the offers that reach it; the same offers once.

    What reaches all but some SKUs is not looked up for each of them: only where it does not reach.
    """
    narrow: dict[str, list[_Taker]] = {}
    left_out: dict[str, set[int]] = {}
    wide = []
    for taker in takers:
        skus = taker.actor.reach.maybe
        if skus.all_but:
            wide.append(taker)
            for sku in skus.named:
                left_out.setdefault(sku, set()).add(taker.actor.number)
        else:
            for sku in skus.named:
                narrow.setdefault(sku, []).append(taker)
    if wide:
        yield OTHER, wide
    in_wide = sum(taker.rate_ppm for taker in wide)
    seen: set[tuple[tuple[int, ...], frozenset[int]]] = set()
    for sku in sorted(narrow):
        here = narrow[sku]
        if in_wide + sum(taker.rate_ppm for taker in here) < least_ppm:
            continue
        without = frozenset(left_out.get(sku, ()))
        signature = (tuple(taker.actor.number for taker in here), without)
        if signature not in seen:
            seen.add(signature)
            yield sku, [*here, *_but(wide, without)]


def _but(wide: Sequence[_Taker], without: frozenset[int]) -> Sequence[_Taker]:
    if not without:
        return wide
    return [taker for taker in wide if taker.actor.number not in without]
