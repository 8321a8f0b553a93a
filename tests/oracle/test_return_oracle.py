"""Charged returns against what the goods that stay would have cost by themselves.

Of a receipt with one offer some goods come back. What is charged is what the discount on the goods
that stay exceeds the discount that the same offer gives on a receipt of these goods alone.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from loyalty.basket import BasketLine
from loyalty.bundle import ReturnTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import Rules, compile_bundle
from loyalty.offers import (
    AmountEach,
    AmountOff,
    BuyGet,
    Combines,
    EveryNth,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsLines,
    NForM,
    Off,
    Offer,
    Part,
    PartsSet,
    Percent,
    PercentOff,
    PriceEach,
    PriceReward,
    Step,
    Steps,
    UnitRates,
)
from loyalty.returns import ReturnCalculation, Returned, ReturnItem, calculate_return
from loyalty.standing import what_stands
from tests.oracle.random_cases import Draw
from tests.support import builders
from tests.support.builders import basket, having, line, moment, offer, place

RECEIPTS_PER_SEED = 400
SKUS = "abc"


class Returning(Draw):
    """Random receipts of whole prices, and what comes back of them."""

    def lines(self) -> list[BasketLine]:
        """Return lines whose pieces all have the same price."""
        return [
            line(str(at), self.one(*SKUS), pieces=count, gross_minor=count * self.number(1, 50) * 4)
            for at in range(self.number(1, 5))
            for count in [self.number(1, 6)]
        ]

    def off(self) -> Off:
        """Return what comes off a unit or a set."""
        offs: tuple[Off, ...] = (
            PercentOff(rate_ppm=self.one(1_000_000, 500_000, 250_000)),
            AmountEach(amount_minor=self.number(1, 40)),
            PriceEach(amount_minor=self.number(0, 60)),
        )
        return self.one(*offs)

    def on_units(self) -> PriceReward:
        """Return a reward that counts units."""
        buy, get = self.number(1, 3), self.number(1, 3)
        some = having("sku", *self.one("a", "ab", "bc"))
        rewards: tuple[PriceReward, ...] = (
            NForM(units=buy + get, pay=buy, free=self.one("cheapest_of_set", "cheapest_of_all")),
            EveryNth(every=self.number(2, 4), off=self.off(), spread=self.one("set", "rewarded")),
            BuyGet(buy_units=buy, get_units=get, off=self.off(), partial=self.one(True, False)),  # noqa: FBT003
            BuyGet(buy_units=buy, get_units=get, off=self.off(), get_lines=some),
            PartsSet(
                parts=(
                    Part(name="x", lines=having("sku", "a"), units=buy),
                    Part(name="y", lines=having("sku", "b", "c"), units=get),
                ),
                off=self.off(),
            ),
            UnitRates(
                rates_ppm=self.one((0, 500_000), (0, 250_000, 500_000), (500_000, 0, 1_000_000)),
                per=self.one("receipt", "line"),
                first=self.one("dearest", "cheapest"),
            ),
        )
        return self.one(*rewards)

    def steps(self) -> Steps:
        """Return steps by quantity or amount."""
        kinds: tuple[Literal["quantity", "amount"], ...] = ("quantity", "amount")
        by = self.one(*kinds)
        one = 1_000 if by == "quantity" else 80
        return Steps(
            by=by,
            steps=tuple(
                Step(at_least=at * one, off=PercentOff(rate_ppm=at * 50_000)) for at in (2, 5, 9)
            ),
        )

    def thresholds(self) -> Need:
        """Return thresholds that goods reach."""
        some = [
            NeedsLines(
                match=having("sku", self.one(*SKUS)), quantity_min=self.number(1, 5) * 1_000
            ),
            NeedsLines(amount_minor_min=self.number(1, 900)),
            NeedsLines(distinct_min=self.number(1, 3)),
        ]
        needs: tuple[Need, ...] = (
            some[0],
            some[1],
            NeedsAll(of=tuple(some)),
            NeedsAny(of=tuple(some)),
            NeedsAny(of=(some[0], NeedsAll(of=tuple(some[1:])))),
        )
        return self.one(*needs)


def rules_of(*offers: Offer) -> Rules:
    terms = ReturnTerms(broken_condition="charge_back")
    programme = replace(builders.programme(), returns=terms)
    return compile_bundle(builders.bundle(*offers, of=programme), "00")


def sold_by(rules: Rules, lines: Sequence[BasketLine]) -> Calculation:
    return calculate(basket(*lines), rules, moment=moment(), place=place())


def brought_back(draw: Returning, lines: Sequence[BasketLine]) -> dict[str, int]:
    """Return pieces of some lines."""
    return {one.line_id: draw.number(0, one.quantity // 1_000) for one in lines}


def what_is_left(lines: Sequence[BasketLine], back: dict[str, int]) -> list[BasketLine]:
    left = []
    for one in lines:
        pieces = one.quantity // 1_000
        stay = pieces - back[one.line_id]
        if stay:
            each = one.gross_minor // pieces
            left.append(replace(one, quantity=stay * 1_000, gross_minor=each * stay))
    return left


def what_stays(sold: Calculation, back: dict[str, int]) -> dict[str, int]:
    """Return the frozen part of the discount on the goods that stay, by line."""
    return {
        one.line_id: sum(
            effect.discount_minor
            - effect.discount_minor * back[one.line_id] * 1_000 // one.quantity
            for effect in one.effects
        )
        for one in sold.lines
    }


def discount_that_stands(sold: Calculation, back: dict[str, int]) -> tuple[int, int]:
    """Return the frozen part of the goods that stay, and what of it stands."""
    stays = sum(what_stays(sold, back).values())
    found = what_stands(sold, {name: pieces * 1_000 for name, pieces in back.items()})
    return stays, stays - sum(one.stays - one.stands for one in found.values())


def test_of_sets_and_rates_stands_what_they_give_on_the_goods_that_stay(seed: int) -> None:
    draw = Returning(random.Random(seed))
    broken = 0
    for number in range(RECEIPTS_PER_SEED):
        gives = draw.on_units()
        rules = rules_of(offer("o", gives))
        lines = draw.lines()
        sold = sold_by(rules, lines)
        back = brought_back(draw, lines)
        alone = sold_by(rules, what_is_left(lines, back))
        stays, stands = discount_that_stands(sold, back)
        justified = min(stays, alone.totals.discount_minor)
        if isinstance(gives, UnitRates) and gives.per == "line":
            on_line = {one.line_id: one.discount_minor for one in alone.lines}
            justified = sum(
                min(stay, on_line.get(name, 0)) for name, stay in what_stays(sold, back).items()
            )
        assert stands == justified, f"receipt {number}: {sold} {back}"
        broken += stands < stays
    assert broken


def test_of_needs_stands_all_or_nothing(seed: int) -> None:
    draw = Returning(random.Random(seed))
    broken = 0
    for number in range(RECEIPTS_PER_SEED):
        rewards: tuple[PriceReward, ...] = (Percent(rate_ppm=250_000), AmountOff(amount_minor=30))
        gives = draw.one(*rewards)
        rules = rules_of(offer("o", gives, needs=draw.thresholds()))
        lines = draw.lines()
        sold = sold_by(rules, lines)
        back = brought_back(draw, lines)
        acts = sold_by(rules, what_is_left(lines, back)).totals.discount_minor > 0
        stays, stands = discount_that_stands(sold, back)
        assert stands == (stays if acts else 0), f"receipt {number}: {sold} {back}"
        broken += stands < stays
    assert broken


def test_of_steps_stands_the_one_that_is_still_reached(seed: int) -> None:
    draw = Returning(random.Random(seed))
    broken = 0
    for number in range(RECEIPTS_PER_SEED):
        rules = rules_of(offer("o", draw.steps()))
        lines = draw.lines()
        sold = sold_by(rules, lines)
        back = brought_back(draw, lines)
        alone = sold_by(rules, what_is_left(lines, back)).totals.discount_minor
        stays, stands = discount_that_stands(sold, back)
        # Each line has its share of a percentage that was rounded once.
        assert abs(stands - min(stays, alone)) <= len(lines), f"receipt {number}: {sold} {back}"
        broken += stands < stays
    assert broken


def test_a_running_amount_is_judged_by_what_earlier_offers_left(seed: int) -> None:
    draw = Returning(random.Random(seed))
    broken = 0
    for number in range(RECEIPTS_PER_SEED):
        need = NeedsLines(amount_minor_min=draw.number(50, 900), basis="running")
        rules = rules_of(
            offer("first", Percent(rate_ppm=500_000), combines=Combines(order=1)),
            offer("second", Percent(rate_ppm=500_000), needs=need, combines=Combines(order=2)),
        )
        lines = draw.lines()
        sold = sold_by(rules, lines)
        back = brought_back(draw, lines)
        alone = sold_by(rules, what_is_left(lines, back)).totals.discount_minor
        stays, stands = discount_that_stands(sold, back)
        assert stands == min(stays, alone), f"receipt {number}: {sold} {back}"
        broken += stands < stays
    assert broken


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_what_the_money_back_cannot_pay_is_charged_later_and_never_lost(
    seed: int, pieces: int
) -> None:
    draw = Returning(random.Random(seed))
    for number in range(RECEIPTS_PER_SEED // 4):
        rules = rules_of(offer("o", draw.on_units()))
        sold = sold_by(rules, draw.lines())
        left = {one.line_id: one.quantity for one in sold.lines}
        returned: dict[str, int] = dict.fromkeys(left, 0)
        paid = sold.totals.paid_minor
        charged = 0
        while any(left.values()):
            line_id = draw.one(*[name for name, quantity in left.items() if quantity])
            quantity = min(left[line_id], pieces * 1_000)
            found = calculate_return(
                sold,
                (ReturnItem(line_id=line_id, quantity=quantity),),
                Returned(quantities=returned, charged_back_minor=charged),
                date="2025-03-06",
            )
            assert isinstance(found, ReturnCalculation)
            left[line_id] -= quantity
            returned[line_id] += quantity
            paid -= found.money_back_minor
            charged += found.charged_back_minor
        assert (paid, charged) == (0, 0), f"receipt {number}: {sold}"
