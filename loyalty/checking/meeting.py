"""Which offers can meet: on one receipt, on one line.

Pairs are found through the SKUs they share, never by trying all offers with all, and what is
compared has a budget of pairs, so that the cost of a check stays in sight.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from loyalty.checking.alone import asks_for_nothing
from loyalty.checking.contradictions import Groups, line_can_match, needs_can_hold
from loyalty.checking.reach import Assortment, Reach, SkuSet
from loyalty.checking.structure import reward_kind
from loyalty.checking.windows import Window, window_of
from loyalty.offers import (
    AllOf,
    AnyOf,
    BuyGet,
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
    reach = assortment.of_offer(offer)
    barred = assortment.barred(_BARS.get(reward_kind(offer), ""))
    if not barred.is_empty:
        reach = reach & Reach(~barred, ~barred)
    lines = _rewarded_lines(offer)
    return Actor(
        number,
        offer,
        lines,
        reach,
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
    """Says which offers can meet, and counts what it was asked."""

    groups: Groups
    left: int = PAIRS_MAX
    compared: int = 0
    _known: dict[int, bool] = field(default_factory=dict)

    @property
    def is_exhausted(self) -> bool:
        """The budget is used up: from now on no offers meet."""
        return self.left < 0

    def can_act_together(self, one: Actor, other: Actor) -> bool:
        """Say whether two offers that share a SKU can both act on one line."""
        if one.number > other.number:
            one, other = other, one
        key = one.number << _NUMBER_BITS | other.number
        known = self._known.get(key)
        if known is None:
            known = not exclude_each_other(one.offer, other.offer) and self.can_meet(one, other)
            if not self.is_exhausted:
                self._known[key] = known
        return known

    def can_meet(self, one: Actor, other: Actor) -> bool:
        """Say whether two offers that share a SKU can find each other on one line."""
        self.left -= 1
        if self.is_exhausted:
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


@dataclass(slots=True)
class Crossing:
    """Offers by the SKUs they reach, to find those that another one shares a SKU with.

    Attributes:
        narrow: by SKU, the offers that name what they reach.
        wide: offers that reach all but something.
    """

    narrow: dict[str, list[Actor]] = field(default_factory=dict)
    wide: list[Actor] = field(default_factory=list)
    members: list[Actor] = field(default_factory=list)

    def add(self, actor: Actor) -> None:
        """Let later ones find this offer."""
        self.members.append(actor)
        skus = actor.reach.maybe
        if skus.all_but:
            self.wide.append(actor)
        else:
            for sku in skus.named:
                self.narrow.setdefault(sku, []).append(actor)

    def sharing(self, skus: SkuSet) -> Iterator[Actor]:
        """Yield each offer that shares a SKU with these once, in the order they were added."""
        if skus.all_but:
            for actor in self.members:
                if not (actor.reach.maybe & skus).is_empty:
                    yield actor
            return
        seen: set[int] = set()
        for actor in self.wide:
            if not (actor.reach.maybe & skus).is_empty:
                yield actor
        for sku in sorted(skus.named):
            for actor in self.narrow.get(sku, ()):
                if actor.number not in seen:
                    seen.add(actor.number)
                    yield actor

    def at(self, sku: str) -> Iterator[Actor]:
        """Yield the offers that reach a SKU."""
        yield from self.narrow.get(sku, ())
        yield from (actor for actor in self.wide if sku in actor.reach.maybe)

    def rarest(self, skus: SkuSet) -> str:
        """Return that of the named SKUs which fewest offers reach."""
        return min(skus.named, key=lambda sku: (len(self.narrow.get(sku, ())), sku))


def crossed(actors: Sequence[Actor]) -> Crossing:
    """Return a crossing of these offers."""
    crossing = Crossing()
    for actor in actors:
        crossing.add(actor)
    return crossing
