"""Do the peers compute what the engine computes? A few receipts that are easy to do by hand.

Each case says what the customer saves; the engine and every peer that ran must say the same. On
the large baskets they differ on purpose, which is counted: here a unit serves in one N for M and
no line falls below zero, zen's models have no such rules; in oscar a unit takes part in one offer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.engine.workload import (
    MOMENT,
    PLACE,
    PlainBasket,
    PlainLine,
    PlainOffer,
    basket_of,
    offer_of,
)
from loyalty.bundle import Bundle, Product, Programme
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import compile_bundle


def _line(sku: str, units: int, unit_minor: int, *, category: str = "c1") -> PlainLine:
    return PlainLine(sku=sku, category=category, brand="b1", units=units, unit_minor=unit_minor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A receipt done by hand."""

    name: str
    offers: tuple[PlainOffer, ...]
    basket: PlainBasket
    off_minor: Mapping[str, int]


_MIXED = (_line("s1", 2, 500), _line("s2", 1, 300), _line("s3", 1, 1_000, category="c2"))
_TENTH = PlainOffer(
    offer_id="tenth", kind="percent", by="category", values=("c1",), rate_ppm=100_000
)
_LISTED = PlainOffer(
    offer_id="listed", kind="percent", by="sku", values=("s2", "s3", "s9"), rate_ppm=200_000
)
_THREE_FOR_TWO = PlainOffer(
    offer_id="three", kind="n_for_m", by="category", values=("c1",), units=3, pay=2
)
_SPEND = PlainOffer(
    offer_id="spend", kind="threshold", by="brand", values=("b1",), rate_ppm=50_000,
    spend_minor_min=2_300,
)  # fmt: skip
_SPEND_MORE = PlainOffer(
    offer_id="more", kind="threshold", by="all", rate_ppm=50_000, spend_minor_min=2_301
)

CASES = (
    Case(name="10 % off a category", offers=(_TENTH,), basket=_MIXED, off_minor={"tenth": 130}),
    Case(name="20 % off some SKUs", offers=(_LISTED,), basket=_MIXED, off_minor={"listed": 260}),
    Case(name="3 for 2", offers=(_THREE_FOR_TWO,), basket=_MIXED, off_minor={"three": 300}),
    Case(name="3 for 2, one missing", offers=(_THREE_FOR_TWO,), basket=_MIXED[1:], off_minor={}),
    Case(name="5 % from 23.00 on", offers=(_SPEND,), basket=_MIXED, off_minor={"spend": 115}),
    Case(name="5 % from 23.01 on", offers=(_SPEND_MORE,), basket=_MIXED, off_minor={}),
    Case(
        name="two offers side by side",
        offers=(
            _TENTH,
            PlainOffer(
                offer_id="other", kind="percent", by="category", values=("c2",), rate_ppm=200_000
            ),
        ),
        basket=_MIXED,
        off_minor={"tenth": 130, "other": 200},
    ),
)


def engine_off(offers: Sequence[PlainOffer], basket: PlainBasket) -> dict[str, int]:
    """Return what the engine takes off by offer, minor units."""
    programme = Programme(programme_id="bench", currency="USD")
    bundle = Bundle(
        version=1,
        programme=programme,
        offers=tuple(map(offer_of, offers)),
        catalogue={line.sku: Product(category=line.category, brand=line.brand) for line in basket},
    )
    rules = compile_bundle(bundle, "00")
    return off_by_offer(calculate(basket_of(basket), rules, moment=MOMENT, place=PLACE))


def off_by_offer(calculation: Calculation) -> dict[str, int]:
    """Return what each offer takes off, minor units, without those that take nothing."""
    off: dict[str, int] = {}
    for line in calculation.lines:
        for effect in line.effects:
            if effect.discount_minor:
                off[effect.offer_id] = off.get(effect.offer_id, 0) + effect.discount_minor
    return off


def agreement(
    ours: Sequence[Mapping[str, int]], theirs: Sequence[Mapping[str, int]]
) -> tuple[int, int]:
    """Return of how many offers that took something off both say the same, and how many there are.

    A minor unit more or less is the same: the peers round by their own rules.
    """
    equal = total = 0
    for mine, other in zip(ours, theirs, strict=True):
        names = mine.keys() | other.keys()
        total += len(names)
        equal += sum(abs(mine.get(name, 0) - other.get(name, 0)) <= 1 for name in names)
    return equal, total
