"""Which offers can meet: on one receipt, on one line.

Pairs are found through the SKUs they share, never by trying all offers with all, and what is
compared has a budget of pairs, so that the cost of a check stays in sight.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from loyalty.checking.alone import asks_for_nothing
from loyalty.checking.contradictions import Groups, line_can_match, needs_can_hold
from loyalty.checking.kinds import reward_kind
from loyalty.checking.reach import Assortment, Reach, SkuSet
from loyalty.checking.windows import Window, window_of
from loyalty.offers import (
    AllOf,
    AnyOf,
    BuyGet,
    ClaimingReward,
    EveryLine,
    LineMatch,
    Need,
    NeedsNone,
    NeedsTender,
    Offer,
    PartsSet,
    SameLines,
    Who,
)

PAIRS_MAX: Final = 500_000

_NUMBER_BITS = 20

_BARS: Final = {"price": "discount", "points": "earn"}
_EVERYBODY: Final = Who()


@dataclass(slots=True, eq=False)
class Actor:
    """An offer with what decides whether it meets others, worked out once.

    Attributes:
        number: its place in the bundle.
        lines: the lines it gives something for.
        reach: the SKUs of these lines, barred products left out.
        places: what each field of `where` allows; None = everywhere.
        excludes: its needs can stand against another offer's needs.
        names: attributes its lines are told by.
    """

    number: int
    offer: Offer
    lines: LineMatch
    reach: Reach
    window: Window
    places: tuple[frozenset[str], ...] | None
    excludes: bool
    names: frozenset[str]

    @property
    def offer_id(self) -> str:
        """The offer's id."""
        return self.offer.offer_id


def actors_of(offers: Iterable[Offer], assortment: Assortment) -> list[Actor]:
    """Work out what decides which offers meet, in the order given."""
    return [_actor(number, offer, assortment) for number, offer in enumerate(offers)]


def _actor(number: int, offer: Offer, assortment: Assortment) -> Actor:
    where = offer.where
    places = (where.stores, where.regions, where.banners, where.tills, where.channels)
    lines = _rewarded_lines(offer)
    return Actor(
        number,
        offer,
        lines,
        assortment.taking_part(offer, _BARS.get(reward_kind(offer), "")),
        window_of(offer.when),
        tuple(frozenset(names) for names in places) if any(places) else None,
        _excludes(offer.needs),
        frozenset(_names(lines)),
    )


def _rewarded_lines(offer: Offer) -> LineMatch:
    gives = offer.gives
    if isinstance(gives, BuyGet) and not isinstance(gives.get_lines, SameLines):
        return gives.get_lines
    if isinstance(gives, PartsSet):
        parts = AnyOf(of=tuple(part.lines for part in gives.parts))
        return parts if isinstance(offer.lines, EveryLine) else AllOf(of=(offer.lines, parts))
    return offer.lines


def _excludes(need: Need) -> bool:
    if isinstance(need, NeedsTender | NeedsNone):
        return True
    return any(_excludes(part) for part in getattr(need, "of", ()))


def _names(match: LineMatch) -> Iterator[str]:
    if isinstance(name := getattr(match, "name", None), str):
        yield name
    for part in getattr(match, "of", ()):
        yield from _names(part)


@dataclass(slots=True)
class Meetings:
    """Says which offers can meet, and counts what it was asked.

    Attributes:
        cut_short: a budget ended somewhere, so that offers may meet that nobody looked at.
    """

    groups: Groups
    left: int = PAIRS_MAX
    compared: int = 0
    cut_short: bool = False
    _known: dict[int, bool] = field(default_factory=dict)

    @property
    def is_exhausted(self) -> bool:
        """The budget is used up: from now on no offers meet."""
        return self.left < 0

    def can_act_together(self, one: Actor, other: Actor) -> bool:
        """Say whether two offers that share a SKU can both act on one line."""
        key = pair_key(one, other)
        known = self._known.get(key)
        if known is None:
            known = self.can_meet(one, other) and not exclude_each_other(one.offer, other.offer)
            if not self.is_exhausted:
                self._known[key] = known
        return known

    def can_meet(self, one: Actor, other: Actor) -> bool:
        """Say whether two offers that share a SKU can find each other on one line."""
        self.left -= 1
        if self.is_exhausted:
            self.cut_short = True
            return False
        self.compared += 1
        return (
            _share_a_place(one, other)
            and _share_a_customer(one.offer.who, other.offer.who)
            and (one.window is other.window or one.window.meets(other.window))
            and self._share_a_line(one, other)
            and self._share_a_receipt(one, other)
        )

    def _share_a_line(self, one: Actor, other: Actor) -> bool:
        if one.names.isdisjoint(other.names) or (
            one.reach.surely == one.reach.maybe and other.reach.surely == other.reach.maybe
        ):
            return True
        return line_can_match(one.lines, other.lines)

    def _share_a_receipt(self, one: Actor, other: Actor) -> bool:
        if not (one.excludes or other.excludes):
            return True
        if asks_for_nothing(one.offer.needs) or asks_for_nothing(other.offer.needs):
            return True
        return needs_can_hold([one.offer.needs, other.offer.needs], (), self.groups)


def pair_key(one: Actor, other: Actor) -> int:
    """Return a number that names the pair."""
    first, second = sorted((one.number, other.number))
    return first << _NUMBER_BITS | second


def claims(offer: Offer) -> bool:
    """Say whether the offer uses units that no other such offer may use."""
    return isinstance(offer.gives, ClaimingReward) and not offer.combines.shares_units


def exclude_each_other(one: Offer, other: Offer) -> bool:
    """Say whether the rules of combination never let both act on a line."""
    ours, theirs = one.combines, other.combines
    return (
        bool(ours.group and ours.group == theirs.group)
        or other.offer_id in ours.not_with
        or one.offer_id in theirs.not_with
    )


def _share_a_place(one: Actor, other: Actor) -> bool:
    if one.places is None or other.places is None:
        return True
    return not any(
        ours and theirs and ours.isdisjoint(theirs)
        for ours, theirs in zip(one.places, other.places, strict=True)
    )


def _share_a_customer(ours: Who, theirs: Who) -> bool:
    if ours in (_EVERYBODY, theirs) or theirs == _EVERYBODY:
        return True
    if ours.tiers and theirs.tiers and set(ours.tiers).isdisjoint(theirs.tiers):
        return False
    numbers = [set(who.purchases) for who in (ours, theirs) if who.purchases]
    if not numbers:
        return True
    steps = [who.every_purchases for who in (ours, theirs) if who.every_purchases]
    return any(not any(number % step for step in steps) for number in set.intersection(*numbers))


# Finding those that share a SKU


class Crossing:
    """Offers by the SKUs they reach, to find those that another one shares a SKU with.

    Offers that reach the same SKUs, as all those of one category do, are kept together.
    """

    def __init__(self, actors: Iterable[Actor] = ()) -> None:
        """Begin with these offers."""
        self.members: list[Actor] = []
        self._alike: dict[SkuSet, list[Actor]] = {}
        self._narrow: dict[str, list[SkuSet]] = defaultdict(list)
        self._wide: list[SkuSet] = []
        self._holding: dict[SkuSet, list[SkuSet]] = {}
        for actor in actors:
            self.add(actor)

    def add(self, actor: Actor) -> None:
        """Let later ones find this offer."""
        self.members.append(actor)
        skus = actor.reach.maybe
        if skus in self._alike:
            self._alike[skus].append(actor)
            return
        self._alike[skus] = [actor]
        if skus.all_but:
            self._wide.append(skus)
        else:
            narrow = self._narrow
            for sku in skus.named:
                narrow[sku].append(skus)

    def sharing(self, skus: SkuSet) -> Iterator[Actor]:
        """Yield each offer that shares a SKU with these once, in a fixed order."""
        if skus.all_but:
            for theirs, actors in self._alike.items():
                if theirs.meets(skus):
                    yield from actors
            return
        for theirs in self._wide:
            if theirs.meets(skus):
                yield from self._alike[theirs]
        seen: set[int] = set()
        for sku in sorted(skus.named):
            for theirs in self._narrow.get(sku, ()):
                if id(theirs) not in seen:
                    seen.add(id(theirs))
                    yield from self._alike[theirs]

    def holding(self, skus: SkuSet) -> Iterator[Actor]:
        """Yield each offer that reaches all of these; ask when no more are added."""
        found = self._holding.get(skus)
        if found is None:
            candidates = list(self._wide)
            if not skus.all_but and skus.named:
                rarest = min(skus.named, key=lambda sku: len(self._narrow.get(sku, ())))
                candidates += self._narrow.get(rarest, ())
            found = [theirs for theirs in candidates if skus <= theirs]
            self._holding[skus] = found
        for theirs in found:
            yield from self._alike[theirs]
