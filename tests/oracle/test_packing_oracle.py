"""Large baskets under many multi-buys, against an integer programme that shares no code."""

import random
import sys

from loyalty.calculate import calculate
from loyalty.compilation import compile_bundle
from loyalty.offers import (
    AmountEach,
    Attribute,
    BuyGet,
    Combines,
    EveryLine,
    EveryNth,
    Limits,
    LineMatch,
    NForM,
    Off,
    Offer,
    Part,
    PartsSet,
    PercentOff,
    PriceEach,
    PriceReward,
    SameLines,
)
from tests.oracle.packing_model import Pile, best_packing
from tests.oracle.random_cases import Draw
from tests.support import builders

BASKETS_PER_SEED = 40
SKUS = "abcdefghijklmnopqrstuvwxyz"


class Packing(Draw):
    """Random large baskets; whole hundreds and whole percents keep all amounts whole."""

    def piles(self) -> list[Pile]:
        """Return 10 to 40 lines."""
        prices = [100 * self.number(1, 30) for _ in range(self.number(3, 12))]
        return [
            Pile(self.one(*SKUS), self.one(*prices), self.pieces())
            for _ in range(self.seldom(self.number(17, 40), self.number(10, 16)))
        ]

    def pieces(self) -> int:
        """Return a few, on one line in twenty as many as a wholesaler sells."""
        return self.seldom(self.number(7, 5_000), self.one(1, 1, 1, 2, 2, 3, 6), 0.05)

    def some(self) -> LineMatch:
        """Return a few SKUs, or every line."""
        if self.rare():
            return EveryLine()
        return Attribute(name="sku", one_of=tuple(self.rng.sample(SKUS, self.number(2, 10))))

    def whole_off(self) -> Off:
        """Return what is taken off, always whole."""
        offs: tuple[Off, ...] = (
            PercentOff(rate_ppm=10_000 * self.number(1, 100)),
            PercentOff(rate_ppm=1_000_000),
            AmountEach(amount_minor=self.number(1, 1_500)),
            PriceEach(amount_minor=self.number(0, 1_500)),
        )
        return self.one(*offs)

    def reward(self) -> PriceReward:
        """Return a multi-buy."""
        units = self.number(2, 5)
        gets: tuple[SameLines | LineMatch, ...] = (SameLines(), SameLines(), self.some())
        parts = tuple(
            Part(name=name, lines=self.some(), units=self.one(1, 1, 2))
            for name in "xyz"[: self.number(2, 3)]
        )
        set_offs: tuple[Off, ...] = (
            PriceEach(amount_minor=self.number(500, 5_000)),
            PercentOff(rate_ppm=10_000 * self.number(1, 50)),
            AmountEach(amount_minor=self.number(50, 2_000)),
        )
        rewards: tuple[PriceReward, ...] = (
            NForM(units=units, pay=self.number(1, units - 1)),
            EveryNth(every=self.number(2, 4), off=self.whole_off()),
            BuyGet(
                buy_units=self.number(1, 3),
                get_units=self.number(1, 2),
                off=self.whole_off(),
                get_lines=self.one(*gets),
                partial=self.rare(0.3),
            ),
            PartsSet(
                parts=parts,
                off=self.one(*set_offs),
            ),
        )
        return self.one(*rewards)

    def offers(self) -> list[Offer]:
        """Return 4 to 12 multi-buys, excluding each other now and then, or in every basket."""
        exclude = self.one(0.1, 0.1, 0.5)
        return [
            Offer(
                offer_id=f"o{number}",
                gives=(gives := self.reward()),
                lines=EveryLine() if isinstance(gives, PartsSet) else self.some(),
                limits=Limits(
                    sets_max=self.seldom(self.number(1, 3), 0, 0.15),
                    discount_minor_max=self.seldom(self.number(500, 3_000), 0, 0.1),
                ),
                combines=Combines(
                    group=self.seldom(self.one("g", "h", "i"), "", exclude),
                    not_with=(f"o{self.number(0, number - 1)}",)
                    if number and self.rare(exclude / 2)
                    else (),
                    order=self.number(1, 3),
                ),
            )
            for number in range(self.number(4, 12))
        ]


def test_no_packing_saves_more_than_the_engine_says(seed: int) -> None:
    draw = Packing(random.Random(seed))
    proven = 0
    for number in range(BASKETS_PER_SEED):
        piles, offers = draw.piles(), draw.offers()
        lines = [
            builders.line(f"{n:02}", p.sku, pieces=p.pieces, gross_minor=p.price * p.pieces)
            for n, p in enumerate(piles)
        ]
        rules = compile_bundle(builders.bundle(*offers), "00")
        basket = builders.basket(*lines)
        answer = calculate(basket, rules, moment=builders.moment(), place=builders.place())
        saving, optimum = answer.totals.discount_minor, best_packing(piles, offers)
        proven += answer.proven
        where = f"basket {number}: {piles} {offers}"
        assert saving <= optimum.bound, where
        assert optimum.saving <= saving + answer.gap_minor, where
        assert answer.proven == (answer.gap_minor == 0), where
    # Shown with -s, or when the test fails.
    sys.stdout.write(f"seed {seed}: {proven} of {BASKETS_PER_SEED} baskets proven\n")
