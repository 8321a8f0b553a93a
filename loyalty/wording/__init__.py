"""Reasons and outcomes in words, for the cashier and for the customer, in English and Russian.

The engine speaks in codes and figures; nothing but this package knows how people say them.
"""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Final, Literal

from loyalty.calculation import Reason
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.reasons import ReasonCode
from loyalty.wording.catalogue import Catalogue, Noun
from loyalty.wording.english import ENGLISH
from loyalty.wording.russian import RUSSIAN

Audience = Literal["cashier", "customer"]
Figures = Mapping[str, int | str]

CATALOGUES: Final[Mapping[str, Catalogue]] = {"en": ENGLISH, "ru": RUSSIAN}

_MINOR_IN_WHOLE = 100
_AMOUNTS = {"have", "need", "missing", "stamps"}
_NO_TITLES: Final[Mapping[str, str]] = {}
_LAST_USED: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[T ](?P<clock>\d{2}:\d{2})(:\d{2})?( store (?P<store>.+))?"
)


def say_reason(
    reason: Reason,
    title: str,
    language: str,
    *,
    audience: Audience = "cashier",
    titles: Mapping[str, str] = _NO_TITLES,
) -> str:
    """Say why an offer did or did not act, or what is missing for it to act (a hint).

    Args:
        title: the offer's name in that language; empty = its id.
        language: `en`, `ru` or a tag that begins so (`ru-RU`); anything else is said in English.
        titles: names in that language by offer id, for another offer the reason speaks of;
            customers hear no id.
    """
    catalogue = _catalogue(language)
    figures = {name: _said(name, reason, catalogue) for name in reason.figures}
    figures |= _handed_out(reason, catalogue)
    figures["to_title"] = titles.get(str(reason.figures.get("to", "")), "")
    texts = catalogue.reasons.get(reason.code, ("{title}: {code}.",))
    if audience == "customer":
        texts = catalogue.reasons_for_customer.get(reason.code, texts)
    return _fullest(texts, {**figures, "title": title or reason.offer_id, "code": reason.code})


def say_outcome(
    outcome: str, figures: Figures, language: str, *, audience: Audience = "cashier"
) -> str:
    """Say what became of a request or a record.

    Args:
        outcome: a name of `outcomes.Outcome`; one that is not known here is said as it is.
        figures: what is known of it; names ending in `_minor` are money in minor units, `points`
            and names ending in `_points` are points, others are said as they are.
        language: as in `say_reason`.
    """
    catalogue = _catalogue(language)
    said = {name: _said_by_name(name, figures[name], catalogue) for name in figures}
    texts = catalogue.outcomes.get(outcome, ("{outcome}.",))
    if audience == "customer":
        texts = catalogue.outcomes_for_customer.get(outcome, texts)
    return _fullest(texts, {**said, "outcome": str(outcome)})


def money(amount_minor: int, language: str) -> str:
    """Return an amount with two decimals, `-12.05` or `-12,05`."""
    return _money(amount_minor, _catalogue(language))


def points(number: int, language: str) -> str:
    """Return a number of points with its noun, `1 point`, `5 баллов`."""
    return _counted(number, "point", _catalogue(language))


def placeholders(text: str) -> frozenset[str]:
    """Return the names of the figures a text needs."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)


def _catalogue(language: str) -> Catalogue:
    primary = language.replace("_", "-").split("-", maxsplit=1)[0].lower()
    return CATALOGUES.get(primary, ENGLISH)


def _fullest(texts: tuple[str, ...], said: Mapping[str, str]) -> str:
    known = {name for name, words in said.items() if words}
    text = next((text for text in texts if placeholders(text) <= known), texts[-1])
    return text.format_map(said)


def _said(name: str, reason: Reason, catalogue: Catalogue) -> str:
    value = reason.figures[name]
    if isinstance(value, int) and name in _AMOUNTS:
        return _amount(value, reason, catalogue)
    if isinstance(value, int) and name == "weekday":
        return catalogue.weekdays[value - 1]
    if isinstance(value, str) and name in {"from", "until"}:
        return _moment(value, catalogue)
    if isinstance(value, str) and name == "period":
        return catalogue.periods.get(value, value)
    if isinstance(value, str) and name == "scope":
        return catalogue.scopes.get(value, value)
    if isinstance(value, str) and name == "last":
        return _last_used(value, catalogue)
    return _said_by_name(name, value, catalogue)


def _amount(value: int, reason: Reason, catalogue: Catalogue) -> str:
    if reason.code == ReasonCode.QUANTITY_MISSING:
        return _quantity(value, _is_weighed(reason.figures), catalogue)
    if reason.code == ReasonCode.AMOUNT_MISSING:
        return _money(value, catalogue)
    if reason.code == ReasonCode.DISTINCT_MISSING:
        return _counted(value, "product", catalogue)
    if reason.code == ReasonCode.PART_MISSING:
        return _quantity(value, False, catalogue)  # noqa: FBT003 - units come whole
    if reason.code == ReasonCode.STAMPS_MISSING:
        return _counted(value, "stamp", catalogue)
    return str(value)


def _handed_out(reason: Reason, catalogue: Catalogue) -> dict[str, str]:
    """Name what an offer handed out by its kind: pieces, a code and points are said differently."""
    quantity, kind = reason.figures.get("quantity"), reason.figures.get("kind")
    if kind == "coupon":
        return {"coupon": str(reason.figures.get("what", ""))}
    if kind == "partner_points" and isinstance(quantity, int):
        return {"partner_points": _counted(quantity, "point", catalogue)}
    if kind == "gift" and isinstance(quantity, int):
        return {"gift_quantity": _counted(quantity, "piece", catalogue)}
    return {}


def _said_by_name(name: str, value: int | str, catalogue: Catalogue) -> str:
    if isinstance(value, int):
        if name.endswith("_minor"):
            return _money(value, catalogue)
        if name == "points" or name.endswith("_points"):
            return _counted(value, "point", catalogue)
    return str(value)


def _money(amount_minor: int, catalogue: Catalogue) -> str:
    whole, rest = divmod(abs(amount_minor), _MINOR_IN_WHOLE)
    return f"{'-' if amount_minor < 0 else ''}{whole}{catalogue.decimal_mark}{rest:02}"


def _counted(number: int, noun: Noun, catalogue: Catalogue) -> str:
    return f"{number} {catalogue.nouns[noun][catalogue.noun_form(abs(number))]}"


def _is_weighed(figures: Figures) -> bool:
    # Pieces come whole: a part of a unit in any figure tells that the goods are weighed.
    return any(isinstance(v, int) and v % UNIT_THOUSANDTHS for v in figures.values())


def _quantity(thousandths: int, weighed: bool, catalogue: Catalogue) -> str:  # noqa: FBT001
    whole, rest = divmod(thousandths, UNIT_THOUSANDTHS)
    if not weighed:
        return _counted(whole, "piece", catalogue)
    decimals = f"{catalogue.decimal_mark}{rest:03}".rstrip("0") if rest else ""
    return f"{whole}{decimals} {catalogue.kilogram}"


def _moment(text: str, catalogue: Catalogue) -> str:
    if not text:
        return ""
    day, _, clock = text.partition("T")
    year, month, of_month = day.split("-")
    said = catalogue.day_form.format(year=year, month=month, day=of_month)
    return f"{said} {clock[:5]}".strip()


def _last_used(text: str, catalogue: Catalogue) -> str:
    found = _LAST_USED.fullmatch(text)
    if not found:
        return text
    moment = _moment(f"{found['day']}T{found['clock']}", catalogue)
    store = catalogue.store_form.format(store=found["store"]) if found["store"] else ""
    return f"{moment} {store}".strip()
