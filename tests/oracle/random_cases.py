"""Small random receipts for the judge: few pieces, prices where roundings and ties abound.

Offers name SKUs and nothing else, so that no window, place or person stands in their way.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from loyalty.basket import BasketLine
from loyalty.bundle import Bundle, Product, Programme, ReceiptTerms
from loyalty.offers import (
    AmountEach,
    AmountOff,
    Attribute,
    BuyGet,
    CardPrice,
    Combines,
    EveryLine,
    EveryNth,
    FixedPrice,
    Limits,
    LineMatch,
    Need,
    NeedsAll,
    NeedsCode,
    NeedsLines,
    NForM,
    Off,
    Offer,
    Part,
    PartsSet,
    Percent,
    PercentOff,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    PointsReward,
    PriceEach,
    PriceReward,
    SameLines,
    Spread,
    Stamps,
    Step,
    Steps,
    UnitPrice,
    UnitRates,
    Units,
)
from tests.oracle.judge_state import Case
from tests.support import builders
from tests.support.published import publishable

T = TypeVar("T")

SKUS = "abc"
CODES = ("C1", "C2", "C3")
MODES = {"best-1": "best", "best-2": "best", "first": "first", "per-line": "best_per_line"}
POINTS_MODES = {"p-best": "best", "p-first": "first", "p-line": "best_per_line"}
MULTIPLIER_MODES = {"q-best": "best", "q-first": "first"}
PIECES_MAX = 9


class Draw:
    """Random parts of receipts and rules out of one seed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.every = {"coffee": self.number(1, 5), "tea": self.number(1, 3)}

    # Small things

    def one(self, *of: T) -> T:
        """Return one of the values."""
        return self.rng.choice(of)

    def rare(self, share: float = 0.1) -> bool:
        """Say yes one time in ten, or as often as told."""
        return self.rng.random() < share

    def seldom(self, value: T, usual: T, share: float = 0.2) -> T:
        """Return the value now and then, else the usual one."""
        return value if self.rare(share) else usual

    def number(self, least: int, most: int) -> int:
        """Return a number between two bounds, both inside."""
        return self.rng.randint(least, most)

    def rate(self, most: int = 100) -> int:
        """Return a rate in millionths: a round percentage, or any."""
        return self.seldom(self.number(1, 10_000 * most), 10_000 * self.number(1, most))

    def price(self) -> int:
        """Return a price at which ties and halves are frequent, or any."""
        return self.one(self.number(0, 12), self.number(1, 60), 10 * self.number(1, 9))

    def skus(self, least: int = 1) -> Attribute:
        """Return a match of some SKUs."""
        return Attribute(
            name="sku", one_of=tuple(self.rng.sample(SKUS, self.number(least, len(SKUS))))
        )

    def lines_match(self) -> LineMatch:
        """Return every line or some SKUs."""
        return self.skus() if not self.rare(0.3) else EveryLine()

    # Rewards

    def off(self) -> Off:
        """Return what is taken off a unit or a set."""
        offs: tuple[Off, ...] = (
            PercentOff(rate_ppm=self.seldom(1_000_000, self.rate(), 0.4)),
            AmountEach(amount_minor=self.number(1, 20)),
            PriceEach(amount_minor=self.number(0, 20)),
        )
        return self.one(*offs)

    def units(self) -> Units:
        """Return all units, or some."""
        return self.one(
            Units(),
            Units(),
            Units(which="cheapest", count=self.number(1, 3)),
            Units(which="dearest", count=self.number(1, 3)),
        )

    def line_reward(self) -> PriceReward:
        """Return a reward that a group chosen line by line may hold."""
        rewards: tuple[PriceReward, ...] = (
            Percent(rate_ppm=self.rate(), rounding=self.one("offer", "line")),
            self.card_price(),
            AmountOff(amount_minor=self.number(1, 20), per=self.one("line", "unit")),
            FixedPrice(amount_minor=self.number(0, 30), per=self.one("line", "unit")),
        )
        return self.one(*rewards)

    def card_price(self) -> CardPrice:
        """Return prices of some SKUs."""
        prices = {
            sku: UnitPrice(
                amount_minor=self.number(0, 40), per_quantity=self.one(1_000, 1_000, 3_000)
            )
            for sku in self.rng.sample(SKUS, self.number(1, len(SKUS)))
        }
        return CardPrice(prices=prices)

    def plain_reward(self) -> PriceReward:
        """Return a reward that claims no units."""
        makers: tuple[Callable[[], PriceReward], ...] = (
            lambda: Percent(
                rate_ppm=self.rate(), units=self.units(), rounding=self.one("offer", "line")
            ),
            lambda: AmountOff(
                amount_minor=self.number(1, 60),
                per=self.one("receipt", "line", "unit"),
                units=self.units(),
            ),
            lambda: FixedPrice(
                amount_minor=self.number(0, 60),
                per=self.one("receipt", "line", "unit"),
                units=self.units(),
            ),
            self.card_price,
            self.unit_rates,
            self.steps,
            self.stamps,
        )
        return self.one(*makers)()

    def unit_rates(self) -> UnitRates:
        """Return rates by unit."""
        rates = [self.one(0, self.rate()) for _ in range(self.number(1, 3))]
        return UnitRates(
            rates_ppm=tuple(rates) if any(rates) else (0, 500_000),
            per=self.one("receipt", "line"),
            first=self.one("dearest", "cheapest"),
        )

    def steps(self) -> Steps:
        """Return steps by quantity or by amount."""
        kinds: tuple[Literal["quantity", "amount"], ...] = ("quantity", "amount", "amount")
        by = self.one(*kinds)
        starts = self.rng.sample(
            [1_000, 2_000, 3_000, 5_000] if by == "quantity" else [5, 10, 30, 60, 100],
            self.number(1, 3),
        )
        return Steps(
            by=by,
            steps=tuple(Step(at_least=start, off=self.off()) for start in sorted(starts)),
            basis=self.one("gross", "running"),
        )

    def stamps(self) -> Stamps:
        """Return a stamp card."""
        counter = self.one(*self.every)
        return Stamps(
            counter=counter,
            every=self.every[counter],
            off=self.off(),
            which=self.one("cheapest", "dearest"),
        )

    def claiming_reward(self) -> PriceReward:
        """Return a reward that claims units."""
        spreads: tuple[Spread, ...] = ("rewarded", "set")
        spread = self.one(*spreads)
        gets: tuple[EveryLine | Attribute | SameLines, ...] = (
            SameLines(),
            self.skus(),
            EveryLine(),
        )
        units = self.number(2, 4)
        makers: tuple[Callable[[], PriceReward], ...] = (
            lambda: NForM(
                units=units,
                pay=self.number(1, units - 1),
                free=self.one("cheapest_of_set", "cheapest_of_set", "cheapest_of_all"),
                spread=spread,
            ),
            lambda: EveryNth(every=self.number(2, 3), off=self.off(), spread=spread),
            lambda: BuyGet(
                buy_units=self.number(1, 2),
                get_units=self.number(1, 2),
                off=self.off(),
                get_lines=self.one(*gets),
                partial=self.rare(0.5),
                spread=spread,
            ),
            lambda: PartsSet(
                parts=tuple(
                    Part(name=name, lines=self.lines_match(), units=self.one(1, 1, 2))
                    for name in "xyz"[: self.number(1, 3)]
                ),
                off=self.off(),
                spread=spread,
            ),
        )
        return self.one(*makers)()

    # Offers

    def limits(self, gives: PriceReward) -> Limits:
        """Return limits that mean something for the reward, most often none."""
        claims = isinstance(gives, NForM | EveryNth | BuyGet | PartsSet)
        by_unit = not isinstance(gives, PartsSet | UnitRates)
        return Limits(
            discount_minor_max=self.seldom(self.number(1, 30), 0),
            units_max=self.seldom(self.number(1, 3), 0, 0.1) if by_unit else 0,
            units_per_line_max=self.seldom(self.number(1, 2), 0, 0.1) if by_unit else 0,
            sets_max=self.seldom(self.number(1, 2), 0) if claims else 0,
            unit_price_minor_min=self.seldom(self.number(1, 20), 0, 0.1),
        )

    def needs(self, *, running: bool) -> Need:
        """Return what must be there, most often nothing; now and then on running prices."""
        if not self.rare(0.3):
            return NeedsAll()
        lines = NeedsLines(
            match=self.lines_match(),
            quantity_min=self.seldom(1_000 * self.number(1, 3), 0),
            amount_minor_min=self.number(0, 60),
            basis="running" if running and self.rare(0.7) else "gross",
        )
        both = NeedsAll(of=(lines, NeedsCode(one_of=CODES[:2])))
        return lines if self.rare(0.5) else both

    def price_offer(self, name: str, *, claims: bool) -> Offer:
        """Return an offer that takes something off."""
        group = self.seldom(self.one(*MODES), "", 0.35)
        order, base = self.number(1, 3), self.one("running", "running", "initial")
        if group == "per-line":
            # The group acts as one, at one place and on one price.
            gives, order, base = self.line_reward(), 2, "running"
            limits = Limits(
                units_per_line_max=self.seldom(self.number(1, 2), 0),
                unit_price_minor_min=self.seldom(self.number(1, 20), 0, 0.1),
            )
        else:
            gives = self.claiming_reward() if claims else self.plain_reward()
            limits = self.limits(gives)
        needs = self.needs(running=group != "per-line")
        if not isinstance(gives, UnitRates) and self.rare(0.05) and group != "per-line":
            needs, limits = NeedsCode(one_of=CODES), replace(limits, once_per_code=True)
        return Offer(
            offer_id=name,
            gives=gives,
            lines=EveryLine() if isinstance(gives, PartsSet) else self.lines_match(),
            needs=needs,
            priority=self.number(0, 2),
            limits=limits,
            combines=Combines(
                group=group,
                mode=MODES.get(group, "best"),  # type: ignore[arg-type]
                order=order,
                base=base,  # type: ignore[arg-type]
                on_reduced=not self.rare(0.2),
                shares_units=claims and group != "per-line" and self.rare(0.2),
            ),
        )

    def points_offer(self, name: str) -> Offer:
        """Return an offer that gives points."""
        combines = self.points_group()
        rewards: tuple[PointsReward, ...] = (
            PointsPerMoney(
                points=self.number(1, 20),
                per_minor=self.one(1, 3, 10),
                basis=self.one("paid", "discounted", "gross"),
                counting=self.one("proportional", "whole_steps"),
            ),
            PointsPerItem(points=self.number(1, 20)),
            PointsPerReceipt(points=self.number(1, 20)),
        )
        by_line = combines.mode == "best_per_line"
        return Offer(
            offer_id=name,
            gives=self.one(*rewards[:2]) if by_line else self.one(*rewards),
            lines=self.lines_match(),
            priority=self.number(0, 2),
            limits=Limits(points_max=0 if by_line else self.seldom(self.number(1, 30), 0)),
            combines=combines,
        )

    def points_group(self) -> Combines:
        """Return what the points offer stands beside."""
        group = self.seldom(self.one(*POINTS_MODES), "", 0.4)
        return Combines(group=group, mode=POINTS_MODES.get(group, "best"))  # type: ignore[arg-type]

    def multiplier(self, name: str, of: Sequence[str]) -> Offer:
        """Return an offer that multiplies points of others."""
        gives = PointsMultiplier(of=tuple(of), factor_ppm=self.one(2_000_000, 1_300_000, 1_000_001))
        group = self.seldom(self.one(*MULTIPLIER_MODES), "", 0.6)
        mode = MULTIPLIER_MODES.get(group, "best")
        return Offer(
            offer_id=name,
            gives=gives,
            lines=self.lines_match(),
            priority=self.number(0, 2),
            combines=Combines(group=group, mode=mode),  # type: ignore[arg-type]
            limits=Limits(points_max=self.seldom(self.number(1, 30), 0)),
        )

    def points_offers(self) -> list[Offer]:
        """Return some, now and then with one that multiplies others."""
        offers = [self.points_offer(f"p{number}") for number in range(self.number(1, 4))]
        names = [offer.offer_id for offer in offers]
        multipliers = self.seldom(self.number(1, 3), 0, 0.4)
        return offers + [
            self.multiplier(f"q{number}", self.rng.sample(names, self.number(1, len(names))))
            for number in range(multipliers)
        ]

    # The whole

    def basket_lines(self, most: int = 5) -> list[BasketLine]:
        """Return a few lines with few pieces."""
        left = PIECES_MAX
        lines = []
        for number in range(self.number(1, most)):
            by_weight = self.rare(0.15)
            pieces = max(1, min(self.one(1, 1, 2, 2, 3, 4), left))
            left -= pieces
            line = builders.line(
                "31254"[number],
                self.one(*SKUS),
                quantity=self.number(1, 3_000) if by_weight else pieces * 1_000,
                gross_minor=self.seldom(self.number(0, 90), self.price() * pieces, 0.3),
                by_weight=by_weight,
                pos_reduced=self.rare(),
            )
            lines.append(line)
        return lines

    def programme(self) -> Programme:
        """Return a programme, now and then with maximums for the whole receipt."""
        receipt = ReceiptTerms(
            discount_minor_max=self.seldom(self.number(1, 60), 0, 0.1),
            discount_share_max_ppm=self.seldom(self.rate(90), 0, 0.1),
            line_left_minor_min=self.seldom(1, 0, 0.2),
        )
        return replace(
            builders.programme(
                point_value_minor=self.one(1, 3), point_value_points=self.one(1, 1, 7)
            ),
            points_in_benefit=self.rare(0.25),
            receipt=receipt,
        )

    def case(self) -> Case:
        """Return a whole receipt with its rules."""
        claims = self.one(0.2, 0.5, 0.8)
        names = self.rng.sample([f"o{n}" for n in range(9)], self.number(2, 5))
        offers = [self.price_offer(name, claims=self.rng.random() < claims) for name in names]
        single = [n for n, o in enumerate(offers) if o.combines.group != "per-line"]
        if len(single) > 1 and self.rare(0.25):
            one, other = self.rng.sample(single, 2)
            combined = replace(offers[one].combines, not_with=(offers[other].offer_id,))
            offers[one] = replace(offers[one], combines=combined)
        programme = self.programme()
        if programme.points_in_benefit:
            offers += self.points_offers()
        floors = {
            sku: Product(floor_minor_per_unit=self.number(1, 30)) for sku in SKUS if self.rare()
        }
        barred = {
            sku: Product(barred=(self.one("discount", "earn"),)) for sku in SKUS if self.rare()
        }
        return Case(
            basket=builders.basket(
                *self.basket_lines(), codes=self.rng.sample(CODES, self.number(0, 3))
            ),
            bundle=publishable(
                Bundle(
                    version=1, programme=programme, offers=tuple(offers), catalogue=floors | barred
                )
            ),
            account=builders.account(
                counters={"stamps:coffee": self.number(0, 9), "stamps:tea": self.number(0, 3)}
            ),
        )
