"""What a receipt's cost grows with: the offers that touch it, not the offers there are.

A basket of 50 lines; an offer is a percentage off 20 SKUs. One that touches the basket names one of
its SKUs; no other SKU of a list is in the basket. The lines take turns.
"""

from collections.abc import Sequence
from statistics import median

from bench.engine.timing import Said, time_us
from bench.engine.workload import (
    MOMENT,
    PLACE,
    PlainBasket,
    PlainOffer,
    World,
    basket_of,
    bundle_of,
)
from loyalty.calculate import calculate
from loyalty.compilation import compile_bundle

_LINES, _LISTED = 50, 20
_RATE_PPM = 10_000
_REPEATS = 25
TOUCHING_HELD, EXISTING_HELD = 50, 10_000
TOUCHING = (0, 10, 50, 100, 200, 500)
EXISTING = (100, 1_000, 10_000, 50_000)
EXISTING_SMALL = (100, 1_000)


def measure(
    seed: int, *, existing: Sequence[int] = EXISTING, held: int = EXISTING_HELD
) -> dict[str, object]:
    """Return both tables, times in milliseconds.

    Args:
        existing: numbers of offers there are, at least `TOUCHING_HELD` each.
        held: offers there are where those that touch grow.
    """
    world = World(seed)
    (basket,) = world.baskets(1, _LINES)
    said = Said("growth")
    by_touching = [
        {"existing": held, "touching": count, "engine_ms": _median_ms(world, basket, count, held)}
        for count in TOUCHING
    ]
    said.step(1, 2)
    by_existing = [
        {
            "existing": count,
            "touching": TOUCHING_HELD,
            "engine_ms": _median_ms(world, basket, TOUCHING_HELD, count),
        }
        for count in existing
    ]
    return {"by_touching": by_touching, "by_existing": by_existing}


def _median_ms(world: World, basket: PlainBasket, touching: int, existing: int) -> float:
    rules = compile_bundle(bundle_of(world, _offers(world, basket, touching, existing)), "00")
    ours = basket_of(basket)
    calculate(ours, rules, moment=MOMENT, place=PLACE)
    took = time_us(lambda: calculate(ours, rules, moment=MOMENT, place=PLACE), repeats=_REPEATS)
    return round(median(took) / 1e3, 4)


def _offers(world: World, basket: PlainBasket, touching: int, existing: int) -> list[PlainOffer]:
    here = [line.sku for line in basket]
    others = [sku for sku in world.catalogue() if sku not in set(here)]
    offers = []
    for number in range(existing):
        begin = number * _LISTED % (len(others) - _LISTED)
        listed = others[begin : begin + _LISTED]
        if number < touching:
            listed[0] = here[number % len(here)]
        offers.append(
            PlainOffer(
                offer_id=f"o{number:06}",
                kind="percent",
                by="sku",
                values=tuple(listed),
                rate_ppm=_RATE_PPM,
            )
        )
    return offers
