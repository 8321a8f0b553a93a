"""Customers who are to be forgotten: told in their order, forgotten, confirmed by each till.

A till says at HELLO how far it has forgotten, and asks whom else when it hears of a newer number,
until nobody is left; each ask confirms what went before. Numbers rise for ever, also over a centre
whose older copy was put back (design: centre 8).
"""

from typing import Annotated, Final

from msgspec import Meta

from sync.fields import Count
from sync.messages import Message

PATH_FORGOTTEN: Final = "/v1/till/forgotten"
FORGET_ACCOUNTS_MAX: Final = 10_000


class Forgotten(Message, frozen=True, kw_only=True):
    """Nothing is left here of the customers up to a number; who is next?"""

    through: Count


class ForgottenAnswer(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The next customers: whatever a till keeps to know them by goes.

    Attributes:
        through: the number up to which nobody is left to forget then.
        accounts: none where all are forgotten.
    """

    through: Count
    accounts: Annotated[tuple[Count, ...], Meta(max_length=FORGET_ACCOUNTS_MAX)] = ()
