"""What keeps an offer from acting: who, when, how often, and what must be there (receipt 3, 8)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from loyalty import counters
from loyalty.account import AccountSnapshot
from loyalty.basket import Basket, Moment
from loyalty.calculation import Reason
from loyalty.matching import Line, Matcher, compile_match, depends_on_line
from loyalty.offers import (
    EveryLine,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    Offer,
)
from loyalty.reasons import ReasonCode


@dataclass(slots=True)
class Situation:
    """Everything about a receipt that offers may ask for."""

    basket: Basket
    lines: Sequence[Line]
    gross_total: int
    account: AccountSnapshot
    moment: Moment


Found = tuple[ReasonCode, dict[str, int | str]]
Check = Callable[[Situation], Found | None]
"""Says what is missing, or None."""

RunningNeed = tuple[Matcher, int]
"""Lines, and what they must amount to when the offer acts, in minor units."""


def obstacle(
    offer: Offer, need: Check | None, situation: Situation, *, gives_points: bool
) -> Reason | None:
    """Return why the offer cannot act, or None when it can.

    Args:
        need: the offer's needs, compiled.
        gives_points: points need somebody to belong to.
    """
    found = (
        _who(offer, situation, gives_points=gives_points)
        or _when(offer, situation.moment)
        or _use_limit(offer, situation)
        or (need(situation) if need else None)
    )
    return found and Reason(offer_id=offer.offer_id, code=found[0], figures=found[1])


def _who(offer: Offer, situation: Situation, *, gives_points: bool) -> Found | None:
    who, account = offer.who, situation.account
    asks = who.asks_for_customer
    if not account.identified:
        if asks or gives_points or offer.limits.uses_per_account_max:
            return ReasonCode.NOT_IDENTIFIED, {}
        return None
    if not asks:
        return None
    if who.tiers and account.tier not in who.tiers:
        return ReasonCode.NOT_IN_TIER, {"tier": account.tier}
    if who.segments and not set(who.segments) & set(account.segments):
        return ReasonCode.NOT_IN_SEGMENT, {}
    if who.birthday and not account.in_birthday_window:
        return ReasonCode.NOT_BIRTHDAY, {}
    if who.personal and offer.offer_id not in account.personal_offers:
        return ReasonCode.NOT_PERSONAL, {}
    return _purchase_number(offer, account)


def _purchase_number(offer: Offer, account: AccountSnapshot) -> Found | None:
    who, number = offer.who, account.purchases + 1
    if not (who.purchases or who.every_purchases):
        return None
    if not account.account_id:
        return ReasonCode.NOT_THIS_PURCHASE, {}  # nobody here knows which one it is
    if (who.purchases and number not in who.purchases) or (
        who.every_purchases and number % who.every_purchases
    ):
        return ReasonCode.NOT_THIS_PURCHASE, {"number": number}
    return None


def _when(offer: Offer, moment: Moment) -> Found | None:
    when, local = offer.when, moment.local
    if (when.starts and local < when.starts) or (when.until and local >= when.until):
        return ReasonCode.NOT_THIS_HOUR, {"from": when.starts, "until": when.until}
    if when.weekdays:
        weekday = date.fromisoformat(moment.date).isoweekday()
        if weekday not in when.weekdays:
            return ReasonCode.NOT_TODAY, {"weekday": weekday}
    if when.hours:
        clock = local[11:16]
        if not any(start <= clock < end for start, end in when.hours):
            spans = ", ".join(f"{start}-{end}" for start, end in when.hours)
            return ReasonCode.NOT_THIS_HOUR, {"hours": spans, "now": clock}
    return None


def _use_limit(offer: Offer, situation: Situation) -> Found | None:
    limit = offer.limits.uses_per_account_max
    if not limit:
        return None
    name = counters.uses(offer, situation.moment.date)
    used = situation.account.counters.get(name, 0)
    if used < limit:
        return None
    figures: dict[str, int | str] = {
        "used": used,
        "limit": limit,
        "period": offer.limits.period,
    }
    if last := situation.account.last_used.get(name, ""):
        figures["last"] = last
    return ReasonCode.LIMIT_USED, figures


def compile_need(need: Need) -> Check:
    """Return a function that says what of a need is missing."""
    if isinstance(need, NeedsLines):
        return _lines_check(need)
    if isinstance(need, NeedsCode):
        accepts = need.accepts
        return lambda situation: (
            None if any(map(accepts, situation.basket.codes)) else (ReasonCode.CODE_MISSING, {})
        )
    if isinstance(need, NeedsTender):
        kinds = need.one_of
        return lambda situation: (
            None
            if situation.basket.tender in kinds
            else (ReasonCode.TENDER_MISSING, {"tender": kinds[0]})
        )
    parts = tuple(compile_need(part) for part in need.of)
    if isinstance(need, NeedsAll):
        return lambda situation: next((found for part in parts if (found := part(situation))), None)
    if isinstance(need, NeedsAny):
        return lambda situation: _first_unless_any_holds([part(situation) for part in parts])
    return lambda situation: (
        (ReasonCode.CONDITION_NOT_MET, {})
        if any(part(situation) is None for part in parts)
        else None
    )


def _first_unless_any_holds(found: list[Found | None]) -> Found | None:
    return None if None in found else found[0]


def running_needs(need: Need) -> Iterator[RunningNeed]:
    """Yield what must hold when the offer acts: running amounts in `needs` or in an `all` there."""
    if isinstance(need, NeedsLines):
        if need.basis == "running" and need.amount_minor_min:
            yield compile_match(need.match), need.amount_minor_min
    elif isinstance(need, NeedsAll):
        for part in need.of:
            yield from running_needs(part)


def line_needs(need: Need) -> Iterator[NeedsLines]:
    """Yield the thresholds that must all hold: in `needs` or in an `all` there."""
    if isinstance(need, NeedsLines):
        yield need
    elif isinstance(need, NeedsAll):
        for part in need.of:
            yield from line_needs(part)


def names_codes(need: Need) -> Iterator[NeedsCode]:
    """Yield every code the need asks for, wherever in the tree."""
    if isinstance(need, NeedsCode):
        yield need
    elif isinstance(need, NeedsAll | NeedsAny | NeedsNone):
        for part in need.of:
            yield from names_codes(part)


def _lines_check(need: NeedsLines) -> Check:
    every = isinstance(need.match, EveryLine)
    match, by_line = compile_match(need.match), depends_on_line(need.match)
    quantity, amount, distinct = need.quantity_min, need.amount_minor_min, need.distinct_min

    def check(situation: Situation) -> Found | None:
        if every and not (quantity or distinct):
            have = situation.gross_total
            return None if have >= amount else _missing(ReasonCode.AMOUNT_MISSING, have, amount)
        found = [
            line.source
            for line in situation.lines
            if every or match(line.seen() if by_line else line.view)
        ]
        if quantity and (have := sum(line.quantity for line in found)) < quantity:
            return _missing(ReasonCode.QUANTITY_MISSING, have, quantity)
        if amount and (have := sum(line.gross_minor for line in found)) < amount:
            return _missing(ReasonCode.AMOUNT_MISSING, have, amount)
        if distinct and (have := len({line.sku for line in found})) < distinct:
            return _missing(ReasonCode.DISTINCT_MISSING, have, distinct)
        return None

    return check


def _missing(code: ReasonCode, have: int, need: int) -> Found:
    return code, {"have": have, "need": need, "missing": need - have}
