"""How many bytes of one answer to a pull each kind of news may take, in the order of its weight.

Each class has a share of the answer that no other can take from it, and none but the last can take
more than its own: so a thousand changed balances never keep a block, a recall or new rules from a
till, nor a list of blocked cards the balances. What does not fit comes with the next answer. The
last class has what the others leave, at least its share (design: sync 3.3, I14).

One piece that is larger than its class travels as its only one, or nothing would ever move. Pieces
of bundles come after all this, one request each (`sync.cycle`).
"""

from collections.abc import Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Final

ANSWER_BYTES_MAX: Final = 1_048_576
"""Whatever a till asks for."""


class ByteClass(IntEnum):
    """What an answer is made of; the first is the last that a thin line is kept from."""

    BLOCKED = 1
    """Cards of blocked accounts."""
    RECALLS = 2
    """Points and uses asked back."""
    GRANTS = 3
    RULES = 4
    """Manifest, delta and the store's roster; never cut, for a part of one is nothing."""
    ACCOUNTS = 5
    """Changed accounts, and what became of records."""


SHARES_PERCENT: Final = MappingProxyType({
    ByteClass.BLOCKED: 20,
    ByteClass.RECALLS: 15,
    ByteClass.GRANTS: 25,
    ByteClass.RULES: 15,
    ByteClass.ACCOUNTS: 25,
})  # fmt: skip


class AnswerBudget:
    """What is left of one answer."""

    def __init__(self, bytes_max: int) -> None:
        """Begin an answer.

        Args:
            bytes_max: of the whole answer, as the till asks.
        """
        self._bytes_max = min(bytes_max, ANSWER_BYTES_MAX)
        self._used_bytes = dict.fromkeys(ByteClass, 0)

    def room_bytes(self, kind: ByteClass) -> int:
        """Return how much may still be told of a class."""
        share_bytes = self._bytes_max * SHARES_PERCENT[kind] // 100
        if kind is ByteClass.ACCOUNTS:
            others_bytes = sum(self._used_bytes.values()) - self._used_bytes[kind]
            share_bytes = max(share_bytes, self._bytes_max - others_bytes)
        return max(0, share_bytes - self._used_bytes[kind])

    def spend(self, kind: ByteClass, size_bytes: int) -> None:
        """Note what is told, whether there was room for it or not."""
        self._used_bytes[kind] += size_bytes

    def used_bytes(self, kind: ByteClass) -> int:
        """Return how much is told of a class."""
        return self._used_bytes[kind]

    def take(self, kind: ByteClass, sizes_bytes: Sequence[int]) -> int:
        """Return how many of some pieces, in their order, are told now.

        As many as there is room for; the first one in any case, if nothing of the class is told.
        """
        taken = 0
        for size_bytes in sizes_bytes:
            is_first = not self._used_bytes[kind]
            if size_bytes > self.room_bytes(kind) and not is_first:
                break
            self.spend(kind, size_bytes)
            taken += 1
        return taken
