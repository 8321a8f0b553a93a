"""What offers may still give of what is limited over all tills (receipt 3, sync 4.8).

What is left is an input, the allowance: a till gives from what was set aside for it. Offers draw on
it in acting order; money and points are cut to what is left, and without a use left nothing acts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from loyalty import counters
from loyalty.account import Allowance
from loyalty.counters import Measure, SharedCounter
from loyalty.money import split
from loyalty.offers import Offer, PointsReward, PriceReward
from loyalty.reasons import ReasonCode

Drawn = Mapping[str, int]
"""What was drawn on this receipt already, by counter."""

NOTHING_DRAWN: Final[Drawn] = {}


@dataclass(frozen=True, slots=True)
class Draw:
    """A counter an offer draws on, and what the allowance leaves of it."""

    counter: SharedCounter
    left: int


def draws_of(
    offer: Offer, store: str, local_day: str, allowance: Allowance, account_id: int = 0
) -> tuple[Draw, ...]:
    """Return what an offer draws on when it acts, whatever is left of it."""
    gives = offer.gives
    counted: set[Measure] = {"uses"}
    if isinstance(gives, PriceReward):
        counted.add("minor")
    elif isinstance(gives, PointsReward):
        counted.add("points")
    return tuple(
        Draw(counter, allowance.left.get(counter.name, 0))
        for counter in counters.shared(offer, store, local_day, account_id)
        if counter.counts in counted
    )


def most_allowed(draws: Iterable[Draw], drawn: Drawn, counts: Measure) -> int:
    """Return how much an offer may give; 0 = it may not act, below 0 = as much as it likes."""
    most = -1
    for draw in draws:
        left = draw.left - drawn.get(draw.counter.name, 0)
        if left <= 0:
            return 0
        if draw.counter.counts == counts and (most < 0 or left < most):
            most = left
    return most


def note(draws: Iterable[Draw], given: int, drawn: dict[str, int]) -> None:
    """Add what an offer that gave something has drawn.

    Args:
        given: minor units or points.
    """
    for draw in draws:
        name = draw.counter.name
        drawn[name] = drawn.get(name, 0) + (1 if draw.counter.counts == "uses" else given)


def cut(by_line: dict[int, int], most: int) -> dict[int, int]:
    """Return what lines get of no more than `most`, by what each would have got."""
    if most < 0 or sum(by_line.values()) <= most:
        return by_line
    shares = split(most, list(by_line.values()))
    return {line: share for line, share in zip(by_line, shares, strict=True) if share}


def used_up(
    draws: Iterable[Draw], drawn: Drawn = NOTHING_DRAWN
) -> tuple[ReasonCode, dict[str, int | str]] | None:
    """Return why an offer may not act, or None when something of everything is left."""
    for draw in draws:
        counter = draw.counter
        if draw.left <= drawn.get(counter.name, 0):
            limit = "limit" if counter.counts == "uses" else f"limit_{counter.counts}"
            return ReasonCode.NO_ALLOWANCE, {
                limit: counter.most,
                "period": counter.period,
                "scope": counter.scope,
            }
    return None
