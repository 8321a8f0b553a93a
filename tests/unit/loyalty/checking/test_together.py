"""Offers that meet on one line are added up as they act, and found whatever stands around."""

from itertools import combinations
from random import Random

import pytest

from loyalty.bundle import Bundle, Product
from loyalty.checking import Code, Finding, check_bundle
from loyalty.checking.together import DEEP_PPM, share_taken_ppm
from loyalty.limits import PPM
from loyalty.offers import (
    AmountOff,
    BuyGet,
    Combines,
    EveryLine,
    EveryNth,
    LineMatch,
    NForM,
    NoneOf,
    Offer,
    Part,
    PartsSet,
    PercentOff,
    PriceEach,
    Reward,
    Stamps,
    Step,
    Steps,
    UnitRates,
    Where,
)
from tests.support.builders import bundle, having, offer, percent

HALF = PercentOff(rate_ppm=PPM // 2)
SKUS = tuple("abcdef")
CATALOGUE = {sku: Product(brand=sku.upper()) for sku in SKUS}
TOO_MUCH = {Code.TOGETHER_FREE, Code.TOGETHER_DEEP}


def too_much(rules: Bundle) -> list[Finding]:
    return [each for each in check_bundle(rules) if each.code in TOO_MUCH]


@pytest.mark.parametrize(
    ("gives", "share"),
    [
        (percent(30), 300_000),
        (UnitRates(rates_ppm=(100_000, 400_000)), 400_000),
        (Steps(by="amount", steps=(Step(at_least=1, off=HALF),)), 500_000),
        (NForM(units=3, pay=2), 333_333),
        (EveryNth(every=2, off=HALF), 250_000),
        (BuyGet(buy_units=2, get_units=1, off=HALF), 166_666),
        (BuyGet(buy_units=2, get_units=1, off=HALF, get_lines=EveryLine()), 500_000),
        (PartsSet(parts=(Part(name="p", lines=EveryLine()),), off=HALF), 500_000),
        (Stamps(counter="c", every=6, off=HALF), 500_000),
        (AmountOff(amount_minor=100), 0),
        (EveryNth(every=2, off=PriceEach(amount_minor=1)), 0),
    ],
)
def test_the_share_of_a_line_a_reward_can_take(gives: Reward, share: int) -> None:
    assert share_taken_ppm(offer(gives=gives)) == share


def test_a_share_of_the_rest_is_less_than_one_of_the_whole() -> None:
    initial, early = Combines(base="initial"), Combines(base="initial", order=1)
    rest_first = bundle(offer("a", percent(50)), offer("b", percent(60), combines=initial))
    (found,) = too_much(rest_first)
    assert (found.code, found.figures["off_ppm"]) == (Code.TOGETHER_FREE, 1_100_000)
    whole_first = bundle(offer("a", percent(50)), offer("b", percent(80), combines=early))
    (found,) = too_much(whole_first)
    assert (found.code, found.figures["off_ppm"]) == (Code.TOGETHER_DEEP, DEEP_PPM)


def test_multi_buys_that_cannot_share_a_unit_are_not_added_up() -> None:
    def sets(*, shared: bool) -> Bundle:
        combines = Combines(base="initial", shares_units=shared)
        two = offer("a", NForM(units=5, pay=2), combines=combines)
        return bundle(two, offer("b", NForM(units=5, pay=2), priority=1, combines=combines))

    assert not too_much(sets(shared=False))
    assert [found.code for found in too_much(sets(shared=True))] == [Code.TOGETHER_FREE]


def test_what_is_free_by_itself_is_meant_to_be() -> None:
    assert not too_much(bundle(offer("a", percent(100)), offer("b", percent(10))))


def test_no_offer_is_named_that_is_not_needed_for_it() -> None:
    initial = Combines(base="initial")
    offers = [offer(str(rate), percent(rate), combines=initial) for rate in (45, 40, 20, 5, 4)]
    (found,) = too_much(bundle(*offers))
    assert found.offers == ("45", "40", "20")


def brute_force(offers: list[Offer], sku: str) -> int:
    """Return the most that offers may take off a line of a SKU together, in millionths."""
    here = [
        one
        for one in offers
        if isinstance(one.lines, EveryLine)
        or (isinstance(one.lines, NoneOf) and sku not in one.lines.of[0].one_of)  # type: ignore[union-attr]
        or sku in getattr(one.lines, "one_of", ())
    ]
    most = 0
    for count in range(2, len(here) + 1):
        for chosen in combinations(here, count):
            groups = [one.combines.group for one in chosen if one.combines.group]
            stores = [set(one.where.stores) for one in chosen if one.where.stores]
            if len(set(groups)) < len(groups) or (stores and not set.intersection(*stores)):
                continue
            left = 1.0
            for one in sorted(chosen, key=lambda one: (one.combines.order, one.offer_id)):
                rate = share_taken_ppm(one) / PPM
                left -= rate if one.combines.base == "initial" else max(0.0, left) * rate
            most = max(most, round((1 - left) * PPM))
    return most


@pytest.mark.parametrize("drawn", range(150))
def test_it_is_found_exactly_where_brute_force_finds_it(drawn: int) -> None:
    draw = Random(drawn)
    offers = []
    for number in range(draw.randint(2, 7)):
        skus = draw.sample(SKUS, draw.randint(1, 3))
        some, but = having("sku", *skus), NoneOf(of=(having("sku", *skus),))
        several: list[LineMatch] = [EveryLine(), some, some, but]
        combines = Combines(
            group=draw.choice(["", "", "g"]),
            order=draw.choice([1, 2]),
            base=draw.choice(["initial", "running"]),
        )
        stores = draw.choice([(), (), ("1",), ("1", "2"), ("2",)])
        rate = draw.choice([15, 25, 40, 55, 70])
        offers.append(
            offer(
                str(number),
                percent(rate),
                lines=draw.choice(several),
                combines=combines,
                where=Where(stores=stores),
            )
        )
    found = too_much(bundle(*offers, catalogue=CATALOGUE))
    most = max(brute_force(offers, sku) for sku in SKUS)
    worst = (
        {Code.TOGETHER_FREE} if most >= PPM else {Code.TOGETHER_DEEP} if most >= DEEP_PPM else set()
    )
    assert {each.code for each in found} >= worst
    assert bool(found) == bool(worst)
    if not worst & {Code.TOGETHER_FREE}:
        assert {each.code for each in found} == worst
