"""Offers that stand in each other's way: hidden, undecided between them, the same twice."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from loyalty.checking.alone import asks_for_nothing
from loyalty.checking.finding import Code, Finding
from loyalty.checking.kinds import reward_kind
from loyalty.checking.meeting import Actor, Crossing, Meetings, claims, exclude_each_other
from loyalty.offers import (
    AmountEach,
    AmountOff,
    BuyGet,
    CardPrice,
    EveryLine,
    EveryNth,
    FixedPrice,
    Limits,
    Message,
    NeedsAll,
    Offer,
    PartsSet,
    Percent,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    PriceEach,
    Stamps,
    Steps,
    Who,
)


def check_rivals(actors: Sequence[Actor], meetings: Meetings) -> Iterator[Finding]:
    """Yield what offers do to each other's meaning."""
    yield from _twins(actors)
    groups: dict[str, list[Actor]] = {}
    for actor in actors:
        if actor.offer.combines.group:
            groups.setdefault(actor.offer.combines.group, []).append(actor)
    yield from _misspelt(groups)
    yield from _first_excluded(actors)
    for members in groups.values():
        mode = members[0].offer.combines.mode
        if mode in {"first", "best"}:
            yield from _hidden(members, meetings)
        if mode == "first":
            yield from _same_priority(members, meetings)
    yield from _order_by_id(actors, meetings)


def _finding(
    code: Code,
    actors: Iterable[Actor],
    path: str = "",
    figures: Mapping[str, int | str] | None = None,
) -> Finding:
    offers = tuple(actor.offer_id for actor in actors)
    return Finding(code=code, offers=offers, path=path, figures=figures or {})


def _misspelt(groups: Mapping[str, Sequence[Actor]]) -> Iterator[Finding]:
    """Yield offers alone in a group whose name differs from another one's by its writing alone."""
    spelt: dict[str, list[str]] = {}
    for name in groups:
        letters = "".join(letter for letter in name.casefold() if letter.isalnum())
        spelt.setdefault(letters, []).append(name)
    for names in spelt.values():
        for name in names:
            if len(names) > 1 and len(groups[name]) == 1:
                alike = next(other for other in names if other != name)
                figures = {"group": name, "alike": alike}
                yield _finding(Code.GROUP_OF_ONE, groups[name], "combines.group", figures)


def _first_excluded(actors: Iterable[Actor]) -> Iterator[Finding]:
    """Yield first members that others may exclude: nobody of the group acts in their place."""
    by_id = {actor.offer_id: actor for actor in actors}
    for actor in by_id.values():
        for other in actor.offer.combines.not_with:
            pair = [one for one in (actor, by_id.get(other)) if one]
            for one, excluding in zip(pair, pair[::-1], strict=True):
                combines = one.offer.combines
                if (
                    combines.group
                    and combines.mode == "first"
                    and reward_kind(one.offer) == reward_kind(excluding.offer) == "price"
                    and excluding.offer.combines.group != combines.group
                ):
                    figures = {"group": combines.group}
                    yield _finding(
                        Code.FIRST_EXCLUDED, (one, excluding), "combines.not_with", figures
                    )


# The same twice


def _twins(actors: Iterable[Actor]) -> Iterator[Finding]:
    first: dict[Hashable, Actor] = {}
    for actor in actors:
        other = first.setdefault(_meaning(actor.offer), actor)
        if other is actor:
            continue
        group = actor.offer.combines.group
        if group:
            yield _finding(Code.TWINS, (actor, other), "", {"group": group})
        elif not exclude_each_other(actor.offer, other.offer):
            yield _finding(Code.TWINS, (actor, other))


def _meaning(offer: Offer) -> Hashable:
    """Return all that an offer says, but its names."""
    gives: Hashable = offer.gives
    if isinstance(offer.gives, CardPrice):
        gives = frozenset(offer.gives.prices.items())
    elif isinstance(offer.gives, Message):
        gives = frozenset(offer.gives.text.items())
    return (
        type(offer.gives),
        gives,
        offer.when,
        offer.where,
        # Personal offers are handed out by their ids.
        (offer.who, offer.offer_id if offer.who.personal else ""),
        offer.lines,
        offer.needs,
        offer.combines,
        (offer.limits, offer.offer_id if _counts_alone(offer.limits) else ""),
    )


def _counts_alone(limits: Limits) -> bool:
    shared = (limits.campaign, limits.store, limits.account)
    own = any(limit.is_set and not limit.name for limit in shared)
    return own or bool(limits.uses_per_account_max)


# Hidden behind others


def _hidden(members: Sequence[Actor], meetings: Meetings) -> Iterator[Finding]:
    hiding = [actor for actor in members if _is_plain(actor.offer.limits)]
    crossing = Crossing(hiding)
    for actor in members:
        for other in crossing.holding(actor.reach.maybe):
            meetings.left -= 1
            if meetings.is_exhausted:
                meetings.cut_short = True
                return
            if other is not actor and _beats(other.offer, actor.offer) and _covers(other, actor):
                figures: dict[str, int | str] = {"group": actor.offer.combines.group}
                if actor.offer.combines.mode == "first":
                    figures["priority"] = other.offer.priority
                yield _finding(Code.HIDDEN, (actor, other), "priority", figures)
                break


def _is_plain(limits: Limits) -> bool:
    """Say whether nothing keeps the offer from giving something each time."""
    return not (
        limits.uses_per_account_max
        or limits.unit_price_minor_min
        or limits.once_per_code
        or limits.are_shared
    )


def _beats(winner: Offer, loser: Offer) -> bool:
    """Say whether the first one is taken wherever both may act."""
    if winner.combines.not_with:
        return False
    ours, theirs = winner.gives, loser.gives
    if winner.combines.mode == "first":
        return winner.priority > loser.priority and isinstance(
            ours, Percent | AmountOff | PointsPerItem | PointsPerReceipt
        )
    if winner.limits != _NO_LIMITS or winner.combines.base != loser.combines.base:
        return False
    if isinstance(ours, Percent) and isinstance(theirs, Percent):
        if winner.combines.order != loser.combines.order or ours.units.which != "all":
            return False
        return ours.rate_ppm > theirs.rate_ppm
    if isinstance(ours, PointsPerMoney) and isinstance(theirs, PointsPerMoney):
        return (
            ours.basis == theirs.basis
            and ours.counting == "proportional"
            and ours.points * theirs.per_minor > theirs.points * ours.per_minor
        )
    return False


def _covers(one: Actor, other: Actor) -> bool:
    """Say whether the first offer may act wherever the second one may."""
    ours, theirs = one.offer, other.offer
    return (
        _holds_place(one, other)
        and _holds_customer(ours.who, theirs.who)
        and one.window.holds(other.window)
        and _holds_needs(ours, theirs)
        and (ours.combines.on_reduced or not theirs.combines.on_reduced)
        and (ours.combines.on_discounted or not theirs.combines.on_discounted)
        and _holds_lines(one, other)
    )


def _holds_place(one: Actor, other: Actor) -> bool:
    if one.places is None:
        return True
    if other.places is None:
        return False
    return all(
        not ours or (theirs and ours >= theirs)
        for ours, theirs in zip(one.places, other.places, strict=True)
    )


def _holds_customer(ours: Who, theirs: Who) -> bool:
    if ours in (_EVERYBODY, theirs):
        return not ours.personal
    return (
        (not ours.asks_for_customer or theirs.asks_for_customer)
        and (not ours.tiers or (bool(theirs.tiers) and set(ours.tiers) >= set(theirs.tiers)))
        and (
            not ours.segments
            or (bool(theirs.segments) and set(ours.segments) >= set(theirs.segments))
        )
        and (not ours.birthday or theirs.birthday)
        and not (ours.personal or ours.purchases or ours.every_purchases)
    )


_EVERYBODY = Who()
_NO_LIMITS = Limits()


def _holds_needs(ours: Offer, theirs: Offer) -> bool:
    if asks_for_nothing(ours.needs) or ours.needs == theirs.needs:
        return True
    return isinstance(theirs.needs, NeedsAll) and ours.needs in theirs.needs.of


def _holds_lines(one: Actor, other: Actor) -> bool:
    if isinstance(one.offer.lines, EveryLine) or one.lines == other.lines:
        return True
    return other.reach.maybe <= one.reach.surely


# Undecided


def _same_priority(members: Sequence[Actor], meetings: Meetings) -> Iterator[Finding]:
    crossings: dict[int, Crossing] = {}
    for actor in members:
        crossing = crossings.setdefault(actor.offer.priority, Crossing())
        other = next(
            (one for one in crossing.sharing(actor.reach.maybe) if meetings.can_meet(one, actor)),
            None,
        )
        if other is not None:
            figures: dict[str, int | str] = {
                "group": actor.offer.combines.group,
                "priority": actor.offer.priority,
            }
            yield _finding(Code.SAME_PRIORITY, (actor, other), "priority", figures)
        crossing.add(actor)


def _order_by_id(actors: Sequence[Actor], meetings: Meetings) -> Iterator[Finding]:
    """Yield amounts and prices that act beside what acts otherwise, in an order nobody chose."""
    crossings: dict[tuple[int, int], dict[str, Crossing]] = {}
    for actor in actors:
        offer = actor.offer
        if reward_kind(offer) == "price":
            place = (offer.combines.order, offer.priority)
            by_form = crossings.setdefault(place, {})
            by_form.setdefault(_form(offer), Crossing()).add(actor)
    for by_form in crossings.values():
        if len(by_form) == 1:
            continue
        # Each pair is named once, by the one that is rarer beside shares: amounts, then prices.
        shares = by_form.get("share", Crossing())
        amounts = by_form.get("amount", Crossing())
        for actor in amounts.members:
            yield from _first_in_between(actor, [shares], meetings)
        for actor in by_form.get("price", Crossing()).members:
            yield from _first_in_between(actor, [shares, amounts], meetings)


def _first_in_between(
    actor: Actor, others: Iterable[Crossing], meetings: Meetings
) -> Iterator[Finding]:
    for crossing in others:
        for other in crossing.sharing(actor.reach.maybe):
            bases = {actor.offer.combines.base, other.offer.combines.base}
            if exclude_each_other(actor.offer, other.offer) or bases == {"initial"}:
                continue
            if claims(actor.offer) and claims(other.offer):
                continue  # no unit is in sets of both
            if meetings.can_act_together(actor, other):
                yield _finding(Code.ORDER_BY_ID, (actor, other), "combines.order")
                return


def _form(offer: Offer) -> str:
    """Return `share`, `amount` or `price`: two of one form take off the same in either order."""
    gives = offer.gives
    off: object = gives
    if isinstance(gives, EveryNth | BuyGet | PartsSet | Stamps):
        off = gives.off
    elif isinstance(gives, Steps):
        off = gives.steps[-1].off
    if isinstance(off, AmountOff | AmountEach):
        return "amount"
    return "price" if isinstance(off, FixedPrice | PriceEach | CardPrice) else "share"
