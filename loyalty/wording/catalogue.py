"""The form of a message catalogue: plain dicts of texts and how the language writes figures.

Each code has one or more texts, the fullest first; the first whose figures are all known is said,
and the last one needs none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Texts = Mapping[str, tuple[str, ...]]
Noun = Literal["piece", "product", "point", "stamp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Everything one language needs.

    Attributes:
        reasons: texts by reason code, for the cashier.
        reasons_for_customer: those that differ for the customer.
        outcomes: texts by outcome, in the same way.
        nouns: forms of a noun behind a number, in the order `noun_form` counts them.
        weekdays: Monday first, as the texts of `not_today` need them.
        periods: what the periods of a limit are called behind "1 of 1".
        scopes: for whom a limit over all customers holds.
        store_form: a `store`, behind a moment.
        day_form: a day from `year`, `month` and `day`.
        noun_form: which form follows a number that is not negative.
    """

    reasons: Texts
    reasons_for_customer: Texts
    outcomes: Texts
    outcomes_for_customer: Texts
    nouns: Mapping[Noun, tuple[str, ...]]
    weekdays: tuple[str, ...]
    periods: Mapping[str, str]
    scopes: Mapping[str, str]
    store_form: str
    kilogram: str
    decimal_mark: str
    day_form: str
    noun_form: Callable[[int], int]
