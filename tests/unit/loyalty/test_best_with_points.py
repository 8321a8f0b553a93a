"""Where points are benefit, the choice of money off knows what it costs in points.

Each way to take one member of each group is put through the engine by itself, with nothing left to
choose; the engine's own choice must be worth as much as the best of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from random import Random

import pytest

from loyalty.account import Allowance
from loyalty.basket import BasketLine
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import (
    AmountOff,
    Combines,
    EveryLine,
    Limits,
    LineMatch,
    Offer,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    SharedLimit,
)
from tests.support.builders import (
    account,
    basket,
    combines,
    having,
    line,
    moment,
    offer,
    place,
    programme,
    rules,
)

SKUS = ("milk", "tea", "rye")
IN_BENEFIT = replace(programme(), points_in_benefit=True)
SHARED = Limits(campaign=SharedLimit(name="c", uses_max=9))


def price_offers(draw: Random) -> list[Offer]:
    """Return amounts off, some in groups, some of one campaign."""
    return [
        offer(
            f"o{at}",
            AmountOff(amount_minor=draw.randint(1, 60)),
            lines=having("sku", draw.choice(SKUS)),
            combines=combines(draw.choice(("", "g", "h")), order=draw.randint(1, 3)),
            limits=draw.choice((SHARED, Limits())),
        )
        for at in range(draw.randint(2, 5))
    ]


def points_offers(draw: Random, beside: Sequence[Offer]) -> list[Offer]:
    """Return points that give way to some of these, or to each other, or to cheaper goods."""
    made: list[Offer] = []
    for at in range(draw.randint(1, 3)):
        lines: LineMatch = draw.choice((having("sku", draw.choice(SKUS)), EveryLine()))
        not_with = tuple(
            one.offer_id
            for one in (*beside, *made)
            if draw.random() < (0.4 if one in made else 0.25)
        )
        made.append(
            offer(
                f"p{at}",
                draw.choice(
                    (
                        PointsPerReceipt(points=draw.randint(1, 60)),
                        PointsPerMoney(points=1, per_minor=draw.randint(1, 9)),
                    )
                ),
                lines=lines,
                combines=Combines(
                    not_with=not_with,
                    on_discounted=draw.random() < 0.7,
                    order=draw.randint(1, 3),
                ),
                limits=draw.choice((SHARED, Limits())),
            )
        )
    return made


def receipt(offers: Iterable[Offer], lines: Iterable[BasketLine], uses: int) -> Calculation:
    return calculate(
        basket(*lines),
        rules(*offers, of=IN_BENEFIT),
        moment=moment(),
        place=place(),
        account=account(),
        allowance=Allowance(left={"campaign.uses:c": uses}),
    )


def worth(found: Calculation) -> int:
    return found.totals.discount_minor + found.totals.earned_points


def among(points: Offer, chosen: Iterable[Offer]) -> Offer:
    """Return the offer as it stands beside the chosen ones alone."""
    here = {one.offer_id for one in chosen}
    not_with = tuple(o for o in points.combines.not_with if o in here or o.startswith("p"))
    return replace(points, combines=replace(points.combines, not_with=not_with))


@pytest.mark.parametrize("number", range(150))
def test_no_other_choice_is_worth_more(number: int) -> None:
    draw = Random(number)
    prices = price_offers(draw)
    points = points_offers(draw, prices)
    lines = [line(sku, sku, gross_minor=draw.randint(1, 80)) for sku in SKUS]
    uses = draw.randint(1, 3)
    groups: dict[str, list[Offer]] = {}
    for one in prices:
        groups.setdefault(one.combines.group or one.offer_id, []).append(one)
    each = (
        receipt([*chosen, *(among(one, chosen) for one in points)], lines, uses)
        for chosen in product(*groups.values())
    )
    found = receipt([*prices, *points], lines, uses)
    assert found.proven
    assert worth(found) == max(map(worth, each))


def test_points_that_are_best_line_by_line_count_with_all_their_lines() -> None:
    per_line = Combines(group="p", mode="best_per_line", on_discounted=False)
    ten = PointsPerItem(points=10)
    milk_or_tea, rye = having("sku", "milk", "tea"), having("sku", "rye")
    result = receipt(
        [
            offer("dear", AmountOff(amount_minor=12), lines=milk_or_tea, combines=combines("g")),
            offer("cheap", AmountOff(amount_minor=1), lines=rye, combines=combines("g")),
            offer("p-milk", ten, lines=having("sku", "milk"), combines=per_line),
            offer("p-tea", ten, lines=having("sku", "tea"), combines=per_line),
        ],
        [line(sku, sku, gross_minor=50) for sku in SKUS],
        uses=0,
    )
    assert (result.totals.discount_minor, result.totals.earned_points) == (1, 20)
    assert result.proven
