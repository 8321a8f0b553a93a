"""Errors between offers, and of what they name: groups, other offers, stamp cards.

One walk over the offers; nothing here looks at the catalogue or compares offers in pairs.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from loyalty.bundle import Bundle
from loyalty.checking.finding import Code, Finding
from loyalty.checking.kinds import POINTS, reward_kind
from loyalty.checking.windows import window_of
from loyalty.offers import (
    AmountOff,
    Attribute,
    BuyGet,
    CardPrice,
    EveryLine,
    FixedPrice,
    LineMatch,
    Need,
    NeedsAll,
    NeedsLines,
    NumberRange,
    Offer,
    PartsSet,
    Percent,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    SameLines,
    Stamps,
    When,
    only_qualifies,
)

_PER_LINE_LIMITS = ("discount_minor_max", "points_max", "units_max", "sets_max", "once_per_code")


def structural_errors(bundle: Bundle) -> tuple[Finding, ...]:
    """Return what does not fit together, in the order of the offers."""
    groups = _Groups()
    by_id: dict[str, Offer] = {}
    found: list[Finding] = []
    counters: dict[str, tuple[int, str]] = {}
    for offer in bundle.offers:
        if offer.offer_id in by_id:
            found.append(Finding(code=Code.OFFER_ID_TWICE, offers=(offer.offer_id,)))
        by_id[offer.offer_id] = offer
        found += _alone(offer, bundle.groups)
        if offer.combines.group:
            found += groups.add(offer)
        if isinstance(offer.gives, Stamps):
            found += _counter(offer.offer_id, offer.gives, counters)
    circles = _circles(by_id)
    found += [Finding(code=Code.MULTIPLIER_CYCLE, offers=ids, path="gives.of") for ids in circles]
    in_circles = {offer_id for ids in circles for offer_id in ids}
    for offer in bundle.offers:
        if offer.combines.not_with or isinstance(offer.gives, PointsMultiplier):
            found += _named_offers(offer, by_id, in_circles)
    return tuple(found)


def matches_of(offer: Offer) -> Iterator[tuple[str, LineMatch]]:
    """Yield path and lines of every place where an offer says lines, its needs apart."""
    if not isinstance(offer.lines, EveryLine):
        yield "lines", offer.lines
    if isinstance(offer.gives, BuyGet) and not isinstance(offer.gives.get_lines, SameLines):
        yield "gives.get_lines", offer.gives.get_lines
    if isinstance(offer.gives, PartsSet):
        for number, part in enumerate(offer.gives.parts):
            yield f"gives.parts[{number}].lines", part.lines


def needs_lines_of(need: Need, path: str = "needs") -> Iterator[tuple[str, NeedsLines]]:
    """Yield path and need of every threshold in a tree."""
    if isinstance(need, NeedsLines):
        yield path, need
    else:
        for number, part in enumerate(getattr(need, "of", ())):
            yield from needs_lines_of(part, f"{path}.of[{number}]")


def _alone(offer: Offer, groups: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    offers = (offer.offer_id,)
    for path, group in _groups_named(offer):
        if group not in groups:
            yield Finding(
                code=Code.PRODUCT_GROUP_UNKNOWN, offers=offers, path=path, figures={"group": group}
            )
    if offer.when != _ALWAYS and (window := window_of(offer.when)).starts_s >= window.until_s:
        figures = {"starts": offer.when.starts, "until": offer.when.until}
        yield Finding(code=Code.ENDS_BEFORE_START, offers=offers, path="when", figures=figures)
    for path, _ in _nested_running(offer.needs, "needs", within=False):
        yield Finding(code=Code.RUNNING_NEED_NESTED, offers=offers, path=path)


_ALWAYS = When()


def _groups_named(offer: Offer) -> Iterator[tuple[str, str]]:
    for path, match in matches_of(offer):
        yield from _groups_in(match, path)
    if not isinstance(offer.needs, NeedsAll) or offer.needs.of:
        for path, need in needs_lines_of(offer.needs):
            yield from _groups_in(need.match, f"{path}.match")
    if isinstance(offer.gives, POINTS) and offer.gives.lot.restriction:
        yield "gives.lot.restriction", offer.gives.lot.restriction


def _groups_in(match: LineMatch, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(match, Attribute):
        if match.name == "group":
            for group in match.one_of:
                yield path, group
    elif not isinstance(match, EveryLine | NumberRange):
        for number, part in enumerate(match.of):
            yield from _groups_in(part, f"{path}.of[{number}]")


def _nested_running(need: Need, path: str, *, within: bool) -> Iterator[tuple[str, Need]]:
    if isinstance(need, NeedsLines):
        if within and need.basis == "running":
            yield path, need
        return
    nested = within or not isinstance(need, NeedsAll)
    for number, part in enumerate(getattr(need, "of", ())):
        yield from _nested_running(part, f"{path}.of[{number}]", within=nested)


def _counter(
    offer_id: str, gives: Stamps, counters: dict[str, tuple[int, str]]
) -> Iterator[Finding]:
    every, other = counters.setdefault(gives.counter, (gives.every, offer_id))
    if every != gives.every:
        yield Finding(
            code=Code.STAMPS_DIFFER,
            offers=(offer_id, other),
            path="gives.every",
            figures={"counter": gives.counter, "every": gives.every, "other_every": every},
        )


# Groups of offers


@dataclass(slots=True)
class _Groups:
    """The first member of each group, which the others are held against."""

    first: dict[str, Offer] = field(default_factory=dict)
    broken: set[tuple[str, Code]] = field(default_factory=set)

    def add(self, offer: Offer) -> Iterator[Finding]:
        """Yield what is wrong with a member beside the first one."""
        combines = offer.combines
        if reward_kind(offer) == "hand_out":
            yield self._finding(Code.GROUP_HAND_OUT, offer)
            return
        first = self.first.setdefault(combines.group, offer)
        if _group_kind(first) != _group_kind(offer):
            yield from self._once(Code.GROUP_MIXED, first, offer)
            return
        if first.combines.mode != combines.mode:
            yield from self._once(Code.GROUP_MODES, first, offer)
            return
        if combines.mode == "best_per_line":
            yield from self._per_line(first, offer)

    def _per_line(self, first: Offer, offer: Offer) -> Iterator[Finding]:
        for name, ours, theirs in (
            ("order", offer.combines.order, first.combines.order),
            ("base", offer.combines.base, first.combines.base),
        ):
            if ours != theirs and reward_kind(offer) == "price":
                figures = {"group": offer.combines.group, "setting": name}
                yield Finding(
                    code=Code.PER_LINE_ORDER,
                    offers=(first.offer_id, offer.offer_id),
                    path=f"combines.{name}",
                    figures={**figures, "value": str(ours), "other_value": str(theirs)},
                )
        if not _acts_line_by_line(offer):
            figures = {"group": offer.combines.group, "reward": offer.gives.kind}
            yield Finding(
                code=Code.PER_LINE_REWARD, offers=(offer.offer_id,), path="gives", figures=figures
            )
        for path in _of_the_receipt(offer):
            figures = {"group": offer.combines.group}
            yield Finding(
                code=Code.PER_LINE_SETTING, offers=(offer.offer_id,), path=path, figures=figures
            )

    def _once(self, code: Code, first: Offer, offer: Offer) -> Iterator[Finding]:
        # A group of a thousand members with one odd one is one mistake.
        if (offer.combines.group, code) not in self.broken:
            self.broken.add((offer.combines.group, code))
            yield self._finding(code, first, offer)

    def _finding(self, code: Code, *offers: Offer) -> Finding:
        return Finding(
            code=code,
            offers=tuple(offer.offer_id for offer in offers),
            path="combines.mode" if code == Code.GROUP_MODES else "combines.group",
            figures={"group": offers[0].combines.group},
        )


def _group_kind(offer: Offer) -> str:
    """Return what a group's members have in common: points to spend are weighed apart."""
    return "qualifying" if only_qualifies(offer.gives) else reward_kind(offer)


def _acts_line_by_line(offer: Offer) -> bool:
    gives = offer.gives
    if isinstance(gives, CardPrice | PointsPerMoney | PointsPerItem):
        return True
    if isinstance(gives, Percent):
        return gives.units.which == "all"
    if isinstance(gives, AmountOff | FixedPrice):
        return gives.units.which == "all" and gives.per != "receipt"
    return False


def _of_the_receipt(offer: Offer) -> Iterator[str]:
    """Yield what an offer says about the receipt as a whole, beside its gross needs."""
    for name in _PER_LINE_LIMITS:
        if getattr(offer.limits, name):
            yield f"limits.{name}"
    for name in ("campaign", "store", "account"):
        if getattr(offer.limits, name).is_set:
            yield f"limits.{name}"
    if offer.combines.not_with:
        yield "combines.not_with"
    for path, need in needs_lines_of(offer.needs):
        if need.basis == "running":
            yield path


def chooses_line_by_line(offer: Offer) -> bool:
    """Say whether the offer stands in a group that takes the best one for each line."""
    return bool(offer.combines.group) and offer.combines.mode == "best_per_line"


# Offers that name offers


def _named_offers(offer: Offer, by_id: Mapping[str, Offer], circles: set[str]) -> Iterator[Finding]:
    ours = offer.offer_id
    for other in offer.combines.not_with:
        if other == ours:
            yield Finding(code=Code.NOT_WITH_ITSELF, offers=(ours,), path="combines.not_with")
        elif other in by_id and chooses_line_by_line(by_id[other]):
            yield Finding(
                code=Code.PER_LINE_EXCLUDED, offers=(ours, other), path="combines.not_with"
            )
    yield from _unknown(ours, offer.combines.not_with, "combines.not_with", by_id)
    if not isinstance(offer.gives, PointsMultiplier):
        return
    yield from _unknown(ours, offer.gives.of, "gives.of", by_id)
    for other in offer.gives.of:
        named = by_id.get(other)
        if named is None:
            continue
        if isinstance(named.gives, PointsMultiplier):
            if not {ours, other} <= circles:
                yield _of(Code.MULTIPLIER_OF_MULTIPLIER, ours, other)
        elif not isinstance(named.gives, POINTS) or only_qualifies(named.gives):
            yield _of(Code.MULTIPLIER_OF_NO_POINTS, ours, other)


def _of(code: Code, ours: str, other: str) -> Finding:
    return Finding(code=code, offers=(ours, other), path="gives.of")


def _unknown(
    ours: str, named: Iterable[str], path: str, by_id: Mapping[str, Offer]
) -> Iterator[Finding]:
    for other in named:
        if other not in by_id:
            yield Finding(
                code=Code.OFFER_UNKNOWN, offers=(ours,), path=path, figures={"named": other}
            )


def _circles(by_id: Mapping[str, Offer]) -> list[tuple[str, ...]]:
    """Return multipliers that lead from one to the other back to themselves, together what meets.

    What leads nowhere, or is led to from nowhere, is taken away until circles are left.
    """
    onward = {
        offer.offer_id: [other for other in offer.gives.of if other in by_id]
        for offer in by_id.values()
        if isinstance(offer.gives, PointsMultiplier)
    }
    onward = {ours: [other for other in named if other in onward] for ours, named in onward.items()}
    back: dict[str, list[str]] = {ours: [] for ours in onward}
    for ours, named in onward.items():
        for other in named:
            back[other].append(ours)
    left = _peeled(_peeled(set(onward), onward, back), back, onward)
    circles = []
    while left:
        circle: set[str] = set()
        near = [min(left)]
        while near:
            ours = near.pop()
            if ours in left:
                left.remove(ours)
                circle.add(ours)
                near += onward[ours] + back[ours]
        circles.append(tuple(sorted(circle)))
    return circles


def _peeled(
    left: set[str], ways: Mapping[str, list[str]], ways_back: Mapping[str, list[str]]
) -> set[str]:
    """Take away, again and again, what has no way on."""
    open_ways = {ours: sum(other in left for other in ways[ours]) for ours in left}
    ended = [ours for ours, count in open_ways.items() if not count]
    while ended:
        ours = ended.pop()
        left.remove(ours)
        for other in ways_back[ours]:
            if other in left:
                open_ways[other] -= 1
                if not open_ways[other]:
                    ended.append(other)
    return left
