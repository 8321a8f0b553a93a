"""Which lines an offer acts on, and what keeps it from acting."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from loyalty.account import AccountSnapshot
from loyalty.basket import Basket, BasketLine, Moment
from loyalty.bundle import Product
from loyalty.calculation import Reason
from loyalty.compilation import Rules
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    LineMatch,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsTender,
    NoneOf,
    Offer,
    PointsPerItem,
    PointsPerMoney,
)
from loyalty.reasons import ReasonCode


@dataclass(frozen=True, slots=True)
class Line:
    """A basket line with what the catalogue adds.

    Attributes:
        index: its place in the canonical order.
        attributes: every attribute offers may ask for, groups apart.
        floor_minor: the least that must stay to be paid because of a regulated price.
    """

    index: int
    source: BasketLine
    product: Product
    groups: tuple[str, ...]
    attributes: dict[str, str]
    floor_minor: int

    @property
    def units(self) -> int:
        """Whole pieces; a weighed line is one."""
        return 1 if self.source.by_weight else self.source.quantity // UNIT_THOUSANDTHS


def canonical_lines(basket: Basket, rules: Rules) -> list[Line]:
    """Return the lines completed from the catalogue.

    They are ordered by id, so that the order of scanning cannot matter.
    """
    lines = []
    for index, source in enumerate(sorted(basket.lines, key=lambda line: line.line_id)):
        product = rules.product(source.sku)
        attributes = {
            **source.attributes,
            "sku": source.sku,
            "gtin": source.gtin,
            "department": source.department or product.department,
            "category": source.category or product.category,
            "brand": source.brand or product.brand,
        }
        floor = -(-product.floor_minor_per_unit * source.quantity // UNIT_THOUSANDTHS)
        lines.append(
            Line(index, source, product, rules.groups_of.get(source.sku, ()), attributes, floor)
        )
    return lines


def matches(match: LineMatch, line: Line) -> bool:
    """Say whether the line belongs to the match."""
    if isinstance(match, Attribute):
        if match.name == "group":
            return any(group in match.one_of for group in line.groups)
        value = line.attributes.get(match.name, "")
        return value in match.one_of if match.one_of else value.startswith(match.prefix)
    if isinstance(match, AllOf):
        return all(matches(part, line) for part in match.of)
    if isinstance(match, AnyOf):
        return any(matches(part, line) for part in match.of)
    if isinstance(match, NoneOf):
        return not any(matches(part, line) for part in match.of)
    return True


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything about a receipt that offers may ask for."""

    basket: Basket
    lines: list[Line]
    account: AccountSnapshot
    moment: Moment


def obstacle(offer: Offer, situation: Situation) -> Reason | None:
    """Return why the offer cannot act, or None when it can."""
    for check in (_who, _when):
        if found := check(offer, situation):
            return found
    return _unmet(offer.needs, offer, situation)


def _who(offer: Offer, situation: Situation) -> Reason | None:
    who, account = offer.who, situation.account
    # Points need somebody to belong to.
    asks = who.identified or who.tiers or who.segments or who.birthday
    if (asks or isinstance(offer.gives, PointsPerMoney | PointsPerItem)) and not account.identified:
        return Reason(offer_id=offer.offer_id, code=ReasonCode.NOT_IDENTIFIED)
    if who.tiers and account.tier not in who.tiers:
        return Reason(
            offer_id=offer.offer_id, code=ReasonCode.NOT_IN_TIER, figures={"tier": account.tier}
        )
    if who.segments and not set(who.segments) & set(account.segments):
        return Reason(offer_id=offer.offer_id, code=ReasonCode.NOT_IN_SEGMENT)
    if who.birthday and not account.in_birthday_window:
        return Reason(offer_id=offer.offer_id, code=ReasonCode.NOT_BIRTHDAY)
    return None


def _when(offer: Offer, situation: Situation) -> Reason | None:
    when, local = offer.when, situation.moment.local
    if (when.starts and local < when.starts) or (when.until and local >= when.until):
        return Reason(
            offer_id=offer.offer_id,
            code=ReasonCode.NOT_THIS_HOUR,
            figures={"from": when.starts, "until": when.until},
        )
    if when.weekdays:
        weekday = date.fromisoformat(situation.moment.date).isoweekday()
        if weekday not in when.weekdays:
            return Reason(
                offer_id=offer.offer_id, code=ReasonCode.NOT_TODAY, figures={"weekday": weekday}
            )
    clock = local[11:16]
    if when.hours and not any(start <= clock < end for start, end in when.hours):
        spans = ", ".join(f"{start}-{end}" for start, end in when.hours)
        return Reason(
            offer_id=offer.offer_id,
            code=ReasonCode.NOT_THIS_HOUR,
            figures={"hours": spans, "now": clock},
        )
    return None


def _unmet(need: Need, offer: Offer, situation: Situation) -> Reason | None:
    if isinstance(need, NeedsAll):
        return next((found for part in need.of if (found := _unmet(part, offer, situation))), None)
    if isinstance(need, NeedsLines):
        return _lines_missing(need, offer, situation)
    if isinstance(need, NeedsCode):
        held = bool(set(need.one_of) & set(situation.basket.codes))
        return None if held else Reason(offer_id=offer.offer_id, code=ReasonCode.CODE_MISSING)
    if isinstance(need, NeedsTender):
        held = situation.basket.tender in need.one_of
        return (
            None
            if held
            else Reason(
                offer_id=offer.offer_id,
                code=ReasonCode.TENDER_MISSING,
                figures={"tender": need.one_of[0]},
            )
        )
    parts = [_unmet(part, offer, situation) for part in need.of]
    if isinstance(need, NeedsAny):
        return None if None in parts else next(iter(parts), None)
    return (
        Reason(offer_id=offer.offer_id, code=ReasonCode.CONDITION_NOT_MET)
        if None in parts
        else None
    )


def _lines_missing(need: NeedsLines, offer: Offer, situation: Situation) -> Reason | None:
    found = [line for line in situation.lines if matches(need.match, line)]
    asks: tuple[tuple[ReasonCode, int, Callable[[], int]], ...] = (
        (
            ReasonCode.QUANTITY_MISSING,
            need.quantity_min,
            lambda: sum(line.source.quantity for line in found),
        ),
        (
            ReasonCode.AMOUNT_MISSING,
            need.amount_minor_min,
            lambda: sum(line.source.gross_minor for line in found),
        ),
        (
            ReasonCode.DISTINCT_MISSING,
            need.distinct_min,
            lambda: len({line.source.sku for line in found}),
        ),
    )
    for code, wanted, count in asks:
        if wanted and (have := count()) < wanted:
            return Reason(
                offer_id=offer.offer_id,
                code=code,
                figures={"have": have, "need": wanted, "missing": wanted - have},
            )
    return None
