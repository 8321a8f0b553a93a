"""Offers that take off too much together: each is harmless, and they meet on one line.

For every set of SKUs that the same offers reach, the offers that take most off are sought: pairs
first, since those are what people can act on, then larger sets by branch and bound.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from loyalty.bundle import Programme
from loyalty.checking.finding import Code, Finding
from loyalty.checking.meeting import Actor, Meetings, claims, pair_key
from loyalty.checking.reach import SkuSet
from loyalty.limits import PPM
from loyalty.offers import (
    BuyGet,
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

_TAKERS_TRIED_MAX: Final = 50
_SETS_TRIED_MAX: Final = 300
_SETS_TRIED_IN_ALL_MAX: Final = 100_000
_SETS_FOUND_MAX: Final = 500
_NO_EXAMPLE: Final = ""
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


def money_taken_together(
    actors: Iterable[Actor], known: Collection[str], meetings: Meetings
) -> Iterator[Finding]:
    """Yield sets of offers that can take all of a line's price, or nearly all.

    Args:
        known: the SKUs of the catalogue; none where there is no catalogue.
    """
    takers = []
    for actor in actors:
        offer = actor.offer
        rate = share_taken_ppm(offer)
        # What makes goods free by itself is meant to.
        if 0 < rate < PPM:
            adds = offer.combines.base == "initial"
            takers.append(_Taker(actor, rate, adds=adds, claims=claims(offer)))
    for found in _Worst(meetings, known, DEEP_PPM).sets(takers):
        code = Code.TOGETHER_FREE if found.share_ppm >= PPM else Code.TOGETHER_DEEP
        yield _finding(code, found, "off_ppm")


def points_given_together(
    actors: Sequence[Actor], programme: Programme, known: Collection[str], meetings: Meetings
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
        taker = _Taker(actor, rate, adds=True, claims=False)
        if rate >= PPM:
            yield _finding(Code.POINTS_WORTH_ALL, _Set((taker,), rate, _NO_EXAMPLE), "worth_ppm")
        elif rate:
            takers.append(taker)
    for found in _Worst(meetings, known, PPM).sets(takers):
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


@dataclass(frozen=True, slots=True)
class _Most:
    """What offers could take off together in whatever order: first shares, then sums.

    Attributes:
        left: of `_SCALE`, what shares of the rest leave.
    """

    left: int = _SCALE
    adds_ppm: int = 0

    @staticmethod
    def of_all(parts: Iterable["_Most"]) -> "_Most":
        """Return the most of several parts together."""
        left, adds_ppm = _SCALE, 0
        for part in parts:
            left = left * part.left // _SCALE
            adds_ppm += part.adds_ppm
        return _Most(left, adds_ppm)

    def beside(self, taker: _Taker) -> "_Most":
        """Return the most with another offer beside."""
        if taker.adds:
            return _Most(self.left, self.adds_ppm + taker.rate_ppm)
        return _Most(self.left - self.left * taker.rate_ppm // PPM, self.adds_ppm)

    @property
    def share_ppm(self) -> int:
        """The share, rounded up."""
        return (_SCALE - self.left) * PPM // _SCALE + 1 + self.adds_ppm


def _most(takers: Iterable[_Taker]) -> _Most:
    most = _Most()
    for taker in takers:
        most = most.beside(taker)
    return most


# The worst sets


@dataclass(frozen=True, slots=True)
class _Set:
    """Offers that can meet on lines of `sku` and take `share_ppm` of the price together."""

    takers: tuple[_Taker, ...]
    share_ppm: int
    sku: str


def _finding(code: Code, found: _Set, figure: str) -> Finding:
    figures: dict[str, int | str] = {figure: found.share_ppm}
    if found.sku != _NO_EXAMPLE:
        figures["sku"] = found.sku
    offers = tuple(taker.actor.offer_id for taker in sorted(found.takers, key=_by_preference))
    return Finding(code=code, offers=offers, figures=figures)


def _by_preference(taker: _Taker) -> tuple[int, int]:
    return taker.preference


class _Worst:
    """Looks through classes of SKUs for sets of offers that take `least_ppm` or more."""

    def __init__(self, meetings: Meetings, known: Collection[str], least_ppm: int) -> None:
        self._meetings = meetings
        self._known = known
        self._least_ppm = least_ppm
        self._found: dict[frozenset[int], int] = {}
        self._found_with: dict[int, list[frozenset[int]]] = {}
        self._judged: set[int] = set()
        self._left = _SETS_TRIED_IN_ALL_MAX

    def sets(self, takers: Sequence[_Taker]) -> Iterator[_Set]:
        """Yield sets none of which could lose an offer, each once."""
        for sku, meeting in _classes(takers, self._known, self._least_ppm):
            if len(self._found) > _SETS_FOUND_MAX:
                self._meetings.cut_short = True
                return
            ranked = sorted(meeting, key=_by_preference)
            for one in (*self._pairs(ranked, sku), *self._larger(ranked, sku)):
                key = frozenset(taker.actor.number for taker in one.takers)
                if key not in self._found:
                    self._found[key] = one.share_ppm
                    self._found_with.setdefault(min(key), []).append(key)
                    yield one

    def _pairs(self, ranked: Sequence[_Taker], sku: str) -> list[_Set]:
        found = []
        for at, one in enumerate(ranked):
            for place in range(at + 1, len(ranked)):
                other = ranked[place]
                if one.rate_ppm + other.rate_ppm < self._least_ppm:
                    break
                pair = pair_key(one.actor, other.actor)
                if pair not in self._judged:
                    self._judged.add(pair)
                    share = _share_ppm((one, other))
                    if share >= self._least_ppm and self._meet(one, other):
                        found.append(_Set((one, other), share, sku))
            if at + 1 < len(ranked) and one.rate_ppm + ranked[at + 1].rate_ppm < self._least_ppm:
                break
        return found

    def _larger(self, ranked: Sequence[_Taker], sku: str) -> list[_Set]:
        """Return the set that takes most off, cut to what is needed, unless a known one is here."""
        most = _most(_one_of_each_group(ranked))
        least = PPM if most.adds_ppm and most.share_ppm >= PPM else self._least_ppm
        if most.share_ppm < self._least_ppm or self._is_known(ranked, least):
            return []
        search = _Search(ranked[:_TAKERS_TRIED_MAX], self._meet, min(_SETS_TRIED_MAX, self._left))
        best = search.run(self._least_ppm)
        self._left -= search.tried
        self._meetings.cut_short |= self._left < 0
        share = _share_ppm(best)
        if share < self._least_ppm:
            return []
        least = PPM if share >= PPM else self._least_ppm
        for taker in sorted(best, key=_by_preference, reverse=True):
            without = tuple(each for each in best if each is not taker)
            if _share_ppm(without) >= least:
                best = without
        return [_Set(best, _share_ppm(best), sku)]

    def _is_known(self, ranked: Sequence[_Taker], least_ppm: int) -> bool:
        here = {taker.actor.number for taker in ranked}
        return any(
            key <= here and self._found[key] >= least_ppm
            for number in here
            for key in self._found_with.get(number, ())
        )

    def _meet(self, one: _Taker, other: _Taker) -> bool:
        if one.claims and other.claims:
            return False
        return self._meetings.can_act_together(one.actor, other.actor)


class _Search:
    """Branch and bound for the offers of one class that take most off together."""

    def __init__(
        self,
        ranked: Sequence[_Taker],
        meet: Callable[[_Taker, _Taker], bool],
        tries_max: int,
    ) -> None:
        self._ranked = ranked
        self._meet = meet
        self._tries_max = tries_max
        self._best: tuple[_Taker, ...] = ()
        self._best_ppm = 0
        self.tried = 0
        # What all offers from a place on could add at most.
        self._rest = [_Most()]
        for taker in reversed(ranked):
            self._rest.append(self._rest[-1].beside(taker))
        self._rest.reverse()

    def run(self, least_ppm: int) -> tuple[_Taker, ...]:
        """Return the best set found; it need not reach the least."""
        self._best_ppm = least_ppm - 1
        self._descend(0, (), _Most())
        return self._best

    def _descend(self, at: int, chosen: tuple[_Taker, ...], most: _Most) -> None:
        self.tried += 1
        if at == len(self._ranked) or self.tried > self._tries_max or self._best_ppm >= PPM:
            return
        if _Most.of_all((most, self._rest[at])).share_ppm <= self._best_ppm:
            return
        taker = self._ranked[at]
        if all(self._meet(taker, other) for other in chosen):
            wider = (*chosen, taker)
            share = _share_ppm(wider)
            if share > self._best_ppm:
                self._best, self._best_ppm = wider, share
            self._descend(at + 1, wider, most.beside(taker))
        self._descend(at + 1, chosen, most)


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


def _one_of_each_group(ranked: Sequence[_Taker]) -> list[_Taker]:
    """Return of each group what takes most off the initial price, and what most off the rest."""
    groups: set[tuple[str, bool]] = set()
    kept = []
    for taker in ranked:
        group = (taker.actor.offer.combines.group, taker.adds)
        if not group[0] or group not in groups:
            kept.append(taker)
            groups.add(group)
    return kept


@dataclass(slots=True, eq=False)
class _Alike:
    """Offers that reach the same SKUs, and what they could take off at most."""

    skus: SkuSet
    takers: list[_Taker] = field(default_factory=list)
    most: _Most = field(default_factory=_Most)


def _classes(
    takers: Sequence[_Taker], known: Collection[str], least_ppm: int
) -> Iterator[tuple[str, Sequence[_Taker]]]:
    """Yield, with a SKU as example, the offers that reach it; the same offers once.

    What reaches all but some SKUs is not looked up for each of them: only where it does not reach.
    """
    by_skus: dict[SkuSet, _Alike] = {}
    for taker in takers:
        skus = taker.actor.reach.maybe
        alike = by_skus.setdefault(skus, _Alike(skus))
        alike.takers.append(taker)
        alike.most = alike.most.beside(taker)
    wide = [alike for alike in by_skus.values() if alike.skus.all_but]
    left_out = _by_sku(wide)
    narrow = _by_sku([alike for alike in by_skus.values() if not alike.skus.all_but])
    looked_at = set(narrow)
    if known and all(sku in left_out for sku in known):
        looked_at |= left_out.keys() & known
    elif wide:
        # Some SKU all of these reach; others that fewer of them reach need no look.
        yield _NO_EXAMPLE, [taker for alike in wide for taker in alike.takers]
    seen: set[tuple[int, ...]] = set()
    for sku in sorted(looked_at):
        without = left_out.get(sku, ())
        here = [*narrow.get(sku, ()), *(alike for alike in wide if alike not in without)]
        signature = tuple(map(id, here))
        if signature not in seen:
            seen.add(signature)
            if _Most.of_all(alike.most for alike in here).share_ppm >= least_ppm:
                yield sku, [taker for alike in here for taker in alike.takers]


def _by_sku(alikes: Iterable[_Alike]) -> dict[str, list[_Alike]]:
    """Return by each SKU they name those that name it, in the order given."""
    by_sku: dict[str, list[_Alike]] = defaultdict(list)
    for alike in alikes:
        for sku in alike.skus.named:
            by_sku[sku].append(alike)
    return by_sku
