"""What a pull tells of the list of blocked cards (design: sync 3.3)."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from sync.fields import Count
from sync.limits import MESSAGE_BYTES_MAX

BLOCKED_CARD_BYTES: Final = 8
"""Of a card's hash, from its beginning; two cards that share them are one in 2^64."""

Cards = Annotated[bytes, Meta(max_length=MESSAGE_BYTES_MAX)]


class BlockedCards(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Cards whose account was blocked, or is no more, since the version that was asked from.

    Attributes:
        epoch: of the change feed; versions of another one mean nothing.
        version: up to which it is told.
        is_whole: the list begins here: what the till had is over once it is here to its end.
        blocked, lifted: beginnings of the cards' hashes, one after the other.
        goes_on: that is not all yet, another pull tells more.
    """

    epoch: Count
    version: Count
    is_whole: bool = False
    blocked: Cards = b""
    lifted: Cards = b""
    goes_on: bool = False


def cards_in(told: bytes) -> list[bytes]:
    """Return the cards of a list; what is left of one that was cut short is none."""
    whole = len(told) // BLOCKED_CARD_BYTES
    return [
        told[place * BLOCKED_CARD_BYTES : (place + 1) * BLOCKED_CARD_BYTES]
        for place in range(whole)
    ]
