"""A whole receipt as one document: everything a calculation needs except the rules.

People and foreign programs write cases, so that some parts have a short form: a moment and a place
may be a text, a basket may be a list of lines, points to redeem may be a number.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from loyalty.account import (
    NO_ALLOWANCE,
    NO_REDEMPTION,
    NO_RIGHT,
    NOBODY,
    AccountSnapshot,
    Allowance,
    LotPart,
    RedeemRequest,
    SpendRight,
)
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.documents import decode
from loyalty.errors import AmountError, DocumentError
from loyalty.limits import POINTS_MAX

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAccount(AccountSnapshot):
    """The customer of a case and the points this receipt may spend.

    Attributes:
        account_id: that of an unknown account is 0.
        lots: points set aside for this receipt.
        right_points: how many points may be spent, where that is more than the lots hold (the rest
            has no lot); 0 = what the lots hold.
    """

    identified: bool = True
    account_id: int = 1
    lots: tuple[LotPart, ...] = ()
    right_points: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.right_points <= POINTS_MAX:
            raise AmountError(f"right_points must be 0 to {POINTS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDocument:
    """One receipt to calculate: a line of the input of `tillside-central calculate`.

    Attributes:
        id: the writer's name of the case, repeated in the answer; empty = the number of the line.
        moment: local time of the store, `YYYY-MM-DDTHH:MM:SS`, or with its uncertainty.
        place: the store, or the store and what else offers ask for.
        basket: the lines, or the whole basket.
        account: nobody is identified without one.
        codes: coupons presented beside those in the basket.
        redeem: how many points the customer wants to redeem; `max` = as many as possible.
        allowances: what the till may still give of what is limited over all customers: uses, minor
            units or points by counter.
        used_codes: codes known to be used up, and when and where, as people say it.
    """

    moment: str | Moment
    place: str | Place
    basket: tuple[BasketLine, ...] | Basket
    id: str | int = ""
    account: CaseAccount = CaseAccount(identified=False, account_id=0)
    codes: tuple[str, ...] = ()
    redeem: int | Literal["max"] | RedeemRequest = 0
    allowances: Mapping[str, int] = field(default_factory=dict)
    used_codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The inputs of one calculation; `case_id` is empty where the writer gave none."""

    case_id: str | int = ""
    basket: Basket
    moment: Moment
    place: Place
    account: AccountSnapshot = NOBODY
    request: RedeemRequest = NO_REDEMPTION
    right: SpendRight = NO_RIGHT
    allowance: Allowance = NO_ALLOWANCE


def read_case(value: object) -> Case:
    """Read a case.

    Args:
        value: what a JSON parser returns of a case's document.

    Raises:
        DocumentError: a field is unknown, missing, of another type or out of bounds; the path says
            which, as the case is written.
    """
    case = _document(value)
    account, basket = case.account, case.basket
    if not isinstance(basket, Basket):
        basket = _made(Basket, "$.basket", lines=basket)
    points = account.right_points or sum(lot.points for lot in account.lots)
    return Case(
        case_id=case.id,
        basket=_made(
            Basket,
            "$.codes",
            lines=basket.lines,
            codes=(*basket.codes, *case.codes),
            tender=basket.tender,
        ),
        moment=_made(Moment, "$.moment", local=case.moment)
        if isinstance(case.moment, str)
        else case.moment,
        place=_made(Place, "$.place", store=case.place)
        if isinstance(case.place, str)
        else case.place,
        account=AccountSnapshot(
            **{each.name: getattr(account, each.name) for each in fields(AccountSnapshot)}
        ),
        request=_request(case.redeem),
        right=_made(SpendRight, "$.account.right_points", points=points, lots=account.lots),
        allowance=_made(
            Allowance, "$.allowances", left=case.allowances, used_codes=case.used_codes
        ),
    )


def _request(redeem: int | str | RedeemRequest) -> RedeemRequest:
    if isinstance(redeem, RedeemRequest):
        return redeem
    if isinstance(redeem, str):
        return replace(NO_REDEMPTION, as_many_as_possible=True)
    return _made(RedeemRequest, "$.redeem", points=redeem)


def _document(value: object) -> CaseDocument:
    if not isinstance(value, dict):
        raise DocumentError("$", "must be an object")
    forms = _forms()
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if name not in forms:
            known = ", ".join(sorted(forms))
            raise DocumentError(f"$.{name}", f"is not a field here; known: {known}")
        found[name] = decode(_form_of(forms[name], inner, f"$.{name}"), inner, f"$.{name}")
    for name in ("moment", "place", "basket"):
        if name not in found:
            raise DocumentError(f"$.{name}", "is missing")
    return CaseDocument(**found)


@cache
def _forms() -> dict[str, Any]:
    return get_type_hints(CaseDocument)


def _form_of(annotation: Any, value: object, path: str) -> type[Any]:  # noqa: ANN401 - a type or a union of types
    """Return the one form that is written with the JSON type of the value."""
    is_choice = get_origin(annotation) in (Union, types.UnionType)
    forms = get_args(annotation) if is_choice else (annotation,)
    for form in forms:
        if _json_type(form) is type(value):
            found: type[Any] = form
            return found
    allowed = dict.fromkeys(_WORDS[_json_type(form)] for form in forms)
    raise DocumentError(path, f"must be {' or '.join(allowed)}")


_WORDS: dict[type, str] = {str: "a text", int: "an integer", list: "a list", dict: "an object"}


def _json_type(form: Any) -> type:  # noqa: ANN401 - whatever may stand after a field's colon
    if is_dataclass(form):
        return dict
    written: dict[Any, Any] = {tuple: list, Literal: str, Mapping: dict}
    found: type = written.get(get_origin(form), form)
    return found


def _made(kind: type[T], path: str, **parts: object) -> T:
    try:
        return kind(**parts)
    except AmountError as error:
        raise DocumentError(path, str(error)) from error
