"""How often secrets may be tried for a program's name: a program that is set up wrongly is slowed.

What was right a while ago is let in whoever tries wrong ones under the same name and address, so
that nobody can lock a program out.
"""

import hashlib
from collections import OrderedDict
from typing import Final

from central.api.till_rates import TillRates

PER_S: Final = 0.2
"""Secrets that were not right before, of one name from one address."""
_BURST_S: Final = 25
NAMES_MAX: Final = 10_000
RIGHT_MAX: Final = 1_000


class SecretTries:
    """What was tried, in this process; of names and secrets only hashes are remembered."""

    def __init__(self) -> None:
        """Begin with nobody known."""
        self._rates = TillRates(PER_S, burst_s=_BURST_S, tills_max=NAMES_MAX)
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def try_one(self, client_id: str, secret: str, came_from: str, *, now_ms: int) -> None:
        """Let a secret be looked up.

        Args:
            now_ms: of a clock that never runs back.

        Raises:
            TooManyRequestsError: too many were tried; says when to come again.
        """
        if _hash(client_id, secret) not in self._right:
            self._rates.take(_hash(client_id, came_from).hex(), now_ms=now_ms)

    def note(self, client_id: str, secret: str, *, is_right: bool) -> None:
        """Remember what came of it."""
        tried = _hash(client_id, secret)
        self._right.pop(tried, None)
        if is_right:
            self._right[tried] = None
            if len(self._right) > RIGHT_MAX:
                self._right.popitem(last=False)


def _hash(*texts: str) -> bytes:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=16).digest()
