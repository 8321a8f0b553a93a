"""The hardest baskets: 200 lines and 50 multi-buys that all want the same units.

Each offer is an N for M, an every n-th, a buy X get Y of the same or of other lines, or a set of
two or three parts, on lines drawn at random. The choice of who gets which unit is what the search
must prove best; where its budget of nodes ends first, the calculation says by how much at most a
better choice could exceed what was found (`gap_minor`).
"""

from collections.abc import Callable, Sequence
from random import Random
from statistics import median
from time import perf_counter

from bench.engine.timing import US_PER_S, Said, in_ms, percentile
from bench.engine.workload import MOMENT, PLACE
from loyalty.basket import Basket, BasketLine
from loyalty.bundle import Bundle, Programme
from loyalty.calculate import calculate
from loyalty.compilation import compile_bundle
from loyalty.offers import (
    AmountEach,
    Attribute,
    BuyGet,
    EveryLine,
    EveryNth,
    NForM,
    Off,
    Offer,
    Part,
    PartsSet,
    PercentOff,
    PriceEach,
    PriceReward,
)

LINES, OFFERS, SEEDS = 200, 50, 300
LINES_SMALL, OFFERS_SMALL, SEEDS_SMALL = 30, 4, 3
LADDER = ((50, 5), (50, 10), (50, 20), (200, 10), (200, 20))
"""Easier ones beside them: lines and offers."""
_LADDER_SEEDS = 50
_MATCHED_PERCENT = (4, 20)
"""Of the lines, those an offer is about: 8 to 40 of 200."""
_PRICES_MINOR = (50, 2_000)


def measure(seed: int, *, quick: bool = False) -> dict[str, object]:
    """Return the figures of the hardest baskets, and of easier ones beside them.

    Args:
        quick: a few easy ones only.
    """
    if quick:
        return {**_figures(seed, LINES_SMALL, OFFERS_SMALL, SEEDS_SMALL), "ladder": []}
    return {
        "ladder": [_figures(seed, lines, offers, _LADDER_SEEDS) for lines, offers in LADDER],
        **_figures(seed, LINES, OFFERS, SEEDS),
    }


def _figures(seed: int, lines: int, offers: int, seeds: int) -> dict[str, object]:
    said = Said(f"hard: {lines} lines, {offers} multi-buys")
    proven_us: list[float] = []
    others_us: list[float] = []
    gaps: list[float] = []
    for number in range(seeds):
        draw = Random(f"hard/{seed}/{lines}/{offers}/{number}")
        bundle, basket = _bundle(draw, lines, offers), _basket(draw, lines)
        rules = compile_bundle(bundle, "00")
        # The day's index is there before, as in a till that sells.
        calculate(Basket(lines=()), rules, moment=MOMENT, place=PLACE)
        begun = perf_counter()
        found = calculate(basket, rules, moment=MOMENT, place=PLACE)
        took_us = (perf_counter() - begun) * US_PER_S
        if found.proven:
            proven_us.append(took_us)
        else:
            others_us.append(took_us)
            gaps.append(found.gap_minor / max(1, found.totals.discount_minor))
        said.step(number + 1, seeds)
    return {
        "lines": lines,
        "offers": offers,
        "baskets": seeds,
        "proven_share": round(len(proven_us) / seeds, 4),
        "all": in_ms([*proven_us, *others_us]),
        "to_proof": in_ms(proven_us) if proven_us else None,
        "without_proof": in_ms(others_us) if others_us else None,
        "gap_share_median": round(median(gaps), 4) if gaps else 0.0,
        "gap_share_p99": round(percentile(gaps, 99), 4) if gaps else 0.0,
    }


def _basket(draw: Random, lines: int) -> Basket:
    return Basket(
        lines=tuple(
            BasketLine(
                line_id=f"{number:03}",
                sku=f"s{number}",
                quantity=1000 * (pieces := draw.choices((1, 2, 3), weights=(7, 2, 1))[0]),
                gross_minor=pieces * draw.randint(*_PRICES_MINOR),
            )
            for number in range(lines)
        )
    )


def _bundle(draw: Random, lines: int, offers: int) -> Bundle:
    return Bundle(
        version=1,
        programme=Programme(programme_id="bench", currency="USD"),
        offers=tuple(_offer(draw, lines, number) for number in range(offers)),
    )


def _offer(draw: Random, lines: int, number: int) -> Offer:
    some = _some_lines(draw, lines)
    gives = _KINDS[number % len(_KINDS)](draw, lines)
    # The parts of a set say its lines; few lines would be of two draws at once.
    return Offer(
        offer_id=f"o{number:03}",
        lines=EveryLine() if isinstance(gives, PartsSet) else some,
        gives=gives,
    )


def _some_lines(draw: Random, lines: int) -> Attribute:
    count = lines * draw.randint(*_MATCHED_PERCENT) // 100
    chosen = draw.sample(range(lines), max(1, count))
    return Attribute(name="sku", one_of=tuple(f"s{number}" for number in chosen))


def _off(draw: Random) -> Off:
    return draw.choice(
        (
            PercentOff(rate_ppm=draw.choice((250_000, 500_000, 1_000_000))),
            AmountEach(amount_minor=draw.randint(20, 300)),
            PriceEach(amount_minor=draw.randint(1, 200)),
        )
    )


def _n_for_m(draw: Random, _: int) -> PriceReward:
    units = draw.randint(2, 4)
    return NForM(units=units, pay=draw.randint(1, units - 1))


def _every_nth(draw: Random, _: int) -> PriceReward:
    return EveryNth(every=draw.randint(2, 4), off=_off(draw))


def _buy_get_same(draw: Random, _: int) -> PriceReward:
    return BuyGet(
        buy_units=draw.randint(1, 3),
        get_units=1,
        off=_off(draw),
        partial=draw.random() < 0.5,
    )


def _buy_get_other(draw: Random, lines: int) -> PriceReward:
    return BuyGet(
        buy_units=draw.randint(1, 2),
        get_units=draw.randint(1, 2),
        off=_off(draw),
        get_lines=_some_lines(draw, lines),
    )


def _set(draw: Random, lines: int) -> PriceReward:
    parts = tuple(
        Part(name=name, lines=_some_lines(draw, lines), units=draw.randint(1, 2))
        for name in ("one", "two", "three")[: draw.randint(2, 3)]
    )
    return PartsSet(parts=parts, off=PriceEach(amount_minor=draw.randint(200, 2_000)))


_KINDS: Sequence[Callable[[Random, int], PriceReward]] = (
    _n_for_m,
    _every_nth,
    _buy_get_same,
    _buy_get_other,
    _set,
)
