"""What keeps an offer from acting: who, when, how often, and what must be there (receipt 3, 8)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loyalty import counters
from loyalty.account import NO_ALLOWANCE, AccountSnapshot, Allowance
from loyalty.basket import Basket, Moment
from loyalty.calculation import Reason
from loyalty.coupons import missing
from loyalty.drawing import draws_of, used_up
from loyalty.matching import Line, Matcher, compile_match, depends_on_line
from loyalty.offers import (
    EveryLine,
    LineMatch,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    Offer,
)
from loyalty.opening import closed
from loyalty.reasons import ReasonCode


@dataclass(slots=True)
class Situation:
    """Everything about a receipt that offers may ask for."""

    basket: Basket
    lines: Sequence[Line]
    gross_total: int
    account: AccountSnapshot
    moment: Moment
    store: str = ""
    allowance: Allowance = NO_ALLOWANCE


Found = tuple[ReasonCode, dict[str, int | str]]
Check = Callable[[Situation, Sequence[int]], Found | None]
"""Says what is missing, or None; also told the indexes of the lines the offer is about."""

RunningNeed = tuple[Matcher, int]
"""Lines, and what they must amount to when the offer acts, in minor units."""


def obstacle(
    offer: Offer,
    need: Check | None,
    situation: Situation,
    lines: Sequence[int],
    *,
    gives_points: bool,
) -> Reason | None:
    """Return why the offer cannot act, or None when it can.

    Args:
        need: the offer's needs, compiled.
        lines: indexes of the lines it is about.
        gives_points: points need somebody to belong to.
    """
    found = (
        _who(offer, situation, gives_points=gives_points)
        or closed(offer.when, situation.moment)
        or _use_limit(offer, situation)
        or (_allowance(offer, situation) if offer.limits.are_shared else None)
        or (need(situation, lines) if need else None)
    )
    return found and Reason(offer.offer_id, *found)


def _who(offer: Offer, situation: Situation, *, gives_points: bool) -> Found | None:
    who, account = offer.who, situation.account
    if not account.identified:
        if who.asks_for_customer or gives_points or _is_of_account(offer):
            return ReasonCode.NOT_IDENTIFIED, {}
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


def _allowance(offer: Offer, situation: Situation) -> Found | None:
    day = situation.moment.date
    account_id = situation.account.account_id
    return used_up(draws_of(offer, situation.store, day, situation.allowance, account_id))


def _is_of_account(offer: Offer) -> bool:
    return bool(offer.limits.uses_per_account_max) or offer.limits.account.is_set


def compile_need(need: Need, own: LineMatch | None = None) -> Check:
    """Return a function that says what of a need is missing.

    Args:
        own: the lines the offer is about, where the check will be told them: they are not
            looked for again.
    """
    if isinstance(need, NeedsLines):
        return _lines_check(need, own)
    if isinstance(need, NeedsCode):
        if need.is_counted:
            return lambda situation, _: missing(
                need, situation.basket.codes, situation.account, situation.allowance
            )
        accepts = need.accepts
        return lambda situation, _: (
            None if any(map(accepts, situation.basket.codes)) else (ReasonCode.CODE_MISSING, {})
        )
    if isinstance(need, NeedsTender):
        kinds = need.one_of
        return lambda situation, _: (
            None
            if situation.basket.tender in kinds
            else (ReasonCode.TENDER_MISSING, {"tender": kinds[0]})
        )
    parts = tuple(compile_need(part, own) for part in need.of)
    if isinstance(need, NeedsAll):
        return lambda situation, lines: next(
            (found for part in parts if (found := part(situation, lines))), None
        )
    if isinstance(need, NeedsAny):
        return lambda situation, lines: _first_unless_any_holds(
            [part(situation, lines) for part in parts]
        )
    return lambda situation, lines: (
        (ReasonCode.CONDITION_NOT_MET, {})
        if any(part(situation, lines) is None for part in parts)
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


def _lines_check(need: NeedsLines, own: LineMatch | None) -> Check:
    every = isinstance(need.match, EveryLine)
    match, by_line = compile_match(need.match), depends_on_line(need.match)
    is_own = need.match == own
    quantity, amount, distinct = need.quantity_min, need.amount_minor_min, need.distinct_min

    def check(situation: Situation, lines: Sequence[int]) -> Found | None:
        if every and not (quantity or distinct):
            have = situation.gross_total
            return None if have >= amount else _missing(ReasonCode.AMOUNT_MISSING, have, amount)
        if is_own:
            found = [situation.lines[at].source for at in lines]
        else:
            found = [
                line.source
                for line in situation.lines
                if every or match(line.seen() if by_line else line.view)
            ]
        if quantity and (have := sum([line.quantity for line in found])) < quantity:
            return _missing(ReasonCode.QUANTITY_MISSING, have, quantity)
        if amount and (have := sum([line.gross_minor for line in found])) < amount:
            return _missing(ReasonCode.AMOUNT_MISSING, have, amount)
        if distinct and (have := len({line.sku for line in found})) < distinct:
            return _missing(ReasonCode.DISTINCT_MISSING, have, distinct)
        return None

    return check


def _missing(code: ReasonCode, have: int, need: int) -> Found:
    return code, {"have": have, "need": need, "missing": need - have}
