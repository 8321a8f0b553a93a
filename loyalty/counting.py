"""What posting a receipt adds to counters: of the account, and of what all customers share."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from loyalty import counters, coupons
from loyalty.basket import Moment
from loyalty.calculation import Counted, HandOut
from loyalty.candidates import Candidates
from loyalty.combination import Combination
from loyalty.drawing import note
from loyalty.earning import Earning
from loyalty.offers import Stamps
from loyalty.rewards import stamps_on, units_served
from loyalty.scene import Candidate, Scene, begin


def counted(  # noqa: PLR0913 - each of them counts something
    found: Candidates,
    combination: Combination,
    earning: Earning,
    given: Iterable[HandOut],
    *,
    qualifying: Earning,
    scene: Scene,
    moment: Moment,
    identified: bool,
    redeemed: int,
) -> tuple[Counted, ...]:
    """Return what posting the receipt adds to counters, by name.

    Args:
        qualifying: points that count to the tier alone.
        redeemed: points, where the programme limits them a day; else 0.
    """
    handed = {each.offer_id: {0: 0} for each in given}
    acted = {**combination.discounts, **earning.by_offer, **qualifying.by_offer, **handed}
    plus: dict[str, Counted] = {}
    shared: dict[str, int] = {}
    for candidate in (*found.prices, *found.points, *found.qualifying, *found.hand_outs):
        if not candidate.compiled.counts:
            continue
        offer_id = candidate.offer_id
        if identified:
            for one in _of_account(candidate, scene, moment, acted=offer_id in acted):
                if one.counter not in plus or one.plus > plus[one.counter].plus:
                    plus[one.counter] = one
        if offer_id not in acted:
            continue
        if candidate.draws:
            note(candidate.draws, sum(acted[offer_id].values()), shared)
        if candidate.presented:
            # A code that opens several offers is used once.
            plus |= {one.counter: one for one in _codes(candidate, combination, scene)}
    plus |= {name: Counted(counter=name, plus=drawn) for name, drawn in shared.items()}
    if redeemed and identified:
        name = counters.redeemed(moment.date)
        plus[name] = Counted(counter=name, plus=redeemed)
    by_name = (plus[name] for name in sorted(plus) if plus[name].plus)
    return (*by_name, *_qualifying(qualifying.by_offer, scene))


def _qualifying(by_offer: Mapping[str, Mapping[int, int]], scene: Scene) -> Iterator[Counted]:
    """Yield the points of each line apart, so that they come back with it."""
    by_line: Counter[int] = Counter()
    for points in by_offer.values():
        by_line.update(points)
    for line in sorted(by_line):
        yield Counted(
            counter=counters.QUALIFYING,
            plus=by_line[line],
            lines=(scene.lines[line].source.line_id,),
        )


def drawn_by(
    candidates: Iterable[Candidate], given: Mapping[str, Mapping[int, int]], drawn: dict[str, int]
) -> None:
    """Add what offers that gave something have drawn.

    Args:
        given: offer id -> line index -> minor units or points.
    """
    for candidate in candidates:
        if candidate.draws and candidate.offer_id in given:
            note(candidate.draws, sum(given[candidate.offer_id].values()), drawn)


def _of_account(
    candidate: Candidate, scene: Scene, moment: Moment, *, acted: bool
) -> Iterator[Counted]:
    offer = candidate.compiled.offer
    if offer.limits.uses_per_account_max and acted:
        yield Counted(counter=counters.uses(offer, moment.date), plus=1)
    if isinstance(offer.gives, Stamps):
        # Offers that share a card see the same units: a unit is stamped once.
        stamped = stamps_on(candidate, scene)
        if not acted:
            # A reward that was due and could not be given stays due.
            before = offer.gives.every - 1 - candidate.counter % offer.gives.every
            stamped = min(stamped, before)
        lines = tuple(scene.lines[line].source.line_id for line in candidate.lines)
        yield Counted(counter=counters.stamps(offer.gives.counter), plus=stamped, lines=lines)


def _codes(candidate: Candidate, combination: Combination, scene: Scene) -> Iterator[Counted]:
    offer = candidate.compiled.offer
    count = 0
    if offer.limits.once_per_code:
        state = next(
            (state for actor, state in combination.acted if actor is candidate), begin(scene)
        )
        count = units_served(candidate, state, combination.held.get(candidate.offer_id))
    return coupons.used(offer.needs, candidate.presented, count)
