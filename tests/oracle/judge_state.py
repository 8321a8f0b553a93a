"""What the judge sees of a receipt: its lines, their pieces, and what is left to pay on each."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from loyalty.account import NOBODY, AccountSnapshot
from loyalty.basket import Basket
from loyalty.bundle import Bundle, Product
from loyalty.offers import (
    Attribute,
    BuyGet,
    CardPrice,
    ClaimingReward,
    LineMatch,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    Offer,
    PartsSet,
    SameLines,
)
from loyalty.offers import Need as OfferNeed
from tests.oracle.judge_arithmetic import MILLION, whole_up

PIECE = 1_000


@dataclass(frozen=True)
class Case:
    """One receipt to judge; offers have no windows, places and people to fail on."""

    basket: Basket
    bundle: Bundle
    account: AccountSnapshot = NOBODY


@dataclass(frozen=True)
class Sold:
    """A line of the basket; `barred` is what its product takes no part in."""

    index: int
    line_id: str
    sku: str
    quantity: int
    gross: int
    weighed: bool
    reduced: bool
    floor_per_unit: int
    barred: tuple[str, ...]

    @property
    def pieces(self) -> int:
        """Units that multi-buys may claim."""
        return 0 if self.weighed else self.quantity // PIECE

    @property
    def units(self) -> int:
        """Units of everything else that counts units."""
        return self.pieces or 1


class Unit(NamedTuple):
    """One unit of a line, `at` its place among the line's units, the dearest first."""

    price: int
    line: int
    at: int


def dearest_first(unit: Unit) -> tuple[int, int, int]:
    """Order units by price, ties by line."""
    return (-unit.price, unit.line, unit.at)


def cheapest_first(unit: Unit) -> tuple[int, int, int]:
    """Order units by price, ties by line."""
    return (unit.price, unit.line, unit.at)


def sold_lines(case: Case) -> list[Sold]:
    """Return the lines in the order of their ids."""
    lines = sorted(case.basket.lines, key=lambda line: line.line_id)
    return [
        Sold(
            index=index,
            line_id=line.line_id,
            sku=line.sku,
            quantity=line.quantity,
            gross=line.gross_minor,
            weighed=line.by_weight,
            reduced=line.pos_reduced,
            floor_per_unit=product.floor_minor_per_unit,
            barred=product.barred,
        )
        for index, line in enumerate(lines)
        for product in [case.bundle.catalogue.get(line.sku, Product())]
    ]


@dataclass
class State:
    """What is left to pay, and what multi-buys took, while offers act one after the other."""

    lines: list[Sold]
    left: list[int] = field(default_factory=list)
    claimed: list[int] = field(default_factory=list)
    taken: dict[str, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = [line.gross for line in self.lines]
        self.claimed = [0] * len(self.lines)

    @property
    def total(self) -> int:
        """The whole discount so far."""
        return sum(line.gross for line in self.lines) - sum(self.left)

    def take(self, offer: Offer, offs: Mapping[int, int]) -> None:
        """Take an offer's amounts off the lines."""
        found = {index: off for index, off in offs.items() if off}
        for index, off in found.items():
            self.left[index] -= off
            if isinstance(offer.gives, ClaimingReward):
                self.claimed[index] += off
        if found:
            self.taken[offer.offer_id] = found

    def base(self, offer: Offer, line: Sold) -> int:
        """Return the price of the whole line that the offer works on."""
        return line.gross if offer.combines.base == "initial" else self.left[line.index]

    def units(self, offer: Offer, line: Sold) -> list[Unit]:
        """Return the line's units, the dearest first; what multi-buys took is not seen."""
        price = line.gross
        if offer.combines.base == "running":
            price = self.left[line.index] + self.claimed[line.index]
        each, dearer = divmod(price, line.units)
        return [Unit(each + (at < dearer), line.index, at) for at in range(line.units)]

    def room(self, case: Case, offer: Offer, line: Sold) -> int:
        """Return the most the offer may take off the line."""
        floor = max(
            whole_up(line.floor_per_unit * line.quantity, PIECE),
            min(case.bundle.programme.receipt.line_left_minor_min, line.gross),
            whole_up(offer.limits.unit_price_minor_min * line.quantity, PIECE),
        )
        return max(0, self.left[line.index] - floor)


def receipt_maximum(case: Case) -> int:
    """Return the most all offers may take off together."""
    terms = case.bundle.programme.receipt
    gross = sum(line.gross_minor for line in case.basket.lines)
    most = gross
    if terms.discount_minor_max:
        most = min(most, terms.discount_minor_max)
    if terms.discount_share_max_ppm:
        most = min(most, gross * terms.discount_share_max_ppm // MILLION)
    return most


# Which lines, and on what condition


def belongs(match: LineMatch, sku: str) -> bool:
    """Say whether a SKU is meant; the judge's rule sets name SKUs or every line."""
    return match.kind == "every" or (isinstance(match, Attribute) and sku in match.one_of)


def takes_part(offer: Offer, line: Sold) -> bool:
    """Say whether any discount of the offer may touch the line."""
    return "discount" not in line.barred and (offer.combines.on_reduced or not line.reduced)


def matched(offer: Offer, lines: Collection[Sold], match: LineMatch | None = None) -> list[Sold]:
    """Return the lines of the offer, or of one of its other matches, that take part."""
    found = [
        line
        for line in lines
        if takes_part(offer, line) and belongs(offer.lines if match is None else match, line.sku)
    ]
    if isinstance(offer.gives, CardPrice):
        return [line for line in found if line.sku in offer.gives.prices]
    return found


def reached(offer: Offer, lines: Collection[Sold]) -> list[Sold]:
    """Return every line the offer may touch, those of its parts and those to get among them."""
    gives = offer.gives
    if isinstance(gives, PartsSet):
        matches = [part.lines for part in gives.parts]
    elif isinstance(gives, BuyGet) and not isinstance(gives.get_lines, SameLines):
        matches = [offer.lines, gives.get_lines]
    else:
        return matched(offer, lines)
    indexes = {line.index for match in matches for line in matched(offer, lines, match)}
    return [line for line in lines if line.index in indexes]


def codes_needed(need: OfferNeed) -> set[str]:
    """Return every code the need names."""
    if isinstance(need, NeedsCode):
        return set(need.one_of)
    if isinstance(need, NeedsAll | NeedsAny):
        return {code for part in need.of for code in codes_needed(part)}
    return set()


def holds(need: OfferNeed, case: Case, lines: list[Sold], left: list[int] | None = None) -> bool:
    """Say whether a need is met.

    Args:
        left: what is left to pay, once the offer acts; before, running amounts are not asked for.
    """
    if isinstance(need, NeedsAll):
        return all(holds(part, case, lines, left) for part in need.of)
    if isinstance(need, NeedsAny):
        return any(holds(part, case, lines, left) for part in need.of)
    if isinstance(need, NeedsNone):
        return not any(holds(part, case, lines, left) for part in need.of)
    if isinstance(need, NeedsCode):
        return any(
            code in need.one_of or (need.prefix and code.startswith(need.prefix))
            for code in case.basket.codes
        )
    if isinstance(need, NeedsTender):
        return case.basket.tender in need.one_of
    found = [line for line in lines if belongs(need.match, line.sku)]
    amounts = [line.gross for line in found]
    if need.basis == "running" and left is not None:
        amounts = [left[line.index] for line in found]
    return (
        sum(line.quantity for line in found) >= need.quantity_min
        and sum(amounts) >= need.amount_minor_min
        and len({line.sku for line in found}) >= need.distinct_min
    )


def running_needs(need: OfferNeed) -> list[NeedsLines]:
    """Return the needs that look at what earlier offers left."""
    if isinstance(need, NeedsAll):
        return [found for part in need.of for found in running_needs(part)]
    if isinstance(need, NeedsLines) and need.basis == "running" and need.amount_minor_min:
        return [need]
    return []
