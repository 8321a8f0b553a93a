"""How often one till may call: enough for a queue of customers, too little to hold up the others.

A partner has a bucket as well, so that its nightly file does not stand before customers' apps; so
have wrong secrets by where they come from.

What a till hands in has a bucket of its own, so that questions never stand in the way of receipts;
what is refused stays with the till, which is told when to come again. Only tills that have signed
are counted: nobody can use up another's.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from central.errors import TooManyRequestsError

TILLS_MAX: Final = 100_000
"""So many are remembered, those that called last; each takes some hundred bytes."""
PARTNER_CALLS_PER_S: Final = 50.0
BY_NUMBER_PER_S: Final = 1.0
"""A till asks for an account by its number when somebody has typed a code: now and then."""
_BURST_S: Final = 5


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class TillRates:
    """A bucket of calls for each till and kind, filled at a steady rate."""

    def __init__(
        self, per_s: float, *, burst_s: int = _BURST_S, tills_max: int = TILLS_MAX
    ) -> None:
        """Make the buckets.

        Args:
            per_s: calls of one till in a second.
            burst_s: so many seconds' worth may come at once.
            tills_max: of each kind that are remembered.
        """
        self._per_s = per_s
        self._most = per_s * burst_s
        self._tills_max = tills_max
        self._buckets: dict[bool, OrderedDict[int | str, _Bucket]] = {
            False: OrderedDict(),
            True: OrderedDict(),
        }
        self.refused = 0

    def take(self, caller: int | str, *, now_ms: int, brings_records: bool = False) -> None:
        """Let a till or a partner in.

        Args:
            caller: who has proven to be it: the till's number, the partner's name.
            now_ms: of a clock that never runs back.

        Raises:
            TooManyRequestsError: it has called too often; says when to come again.
        """
        now_s, most = now_ms / 1000, self._most
        buckets = self._buckets[brings_records]
        bucket = buckets.pop(caller, None) or _Bucket(most, now_s)
        buckets[caller] = bucket  # now the newest
        if len(buckets) > self._tills_max:
            buckets.popitem(last=False)
        bucket.tokens = min(most, bucket.tokens + (now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            self.refused += 1
            raise TooManyRequestsError((1 - bucket.tokens) / self._per_s)
        bucket.tokens -= 1

    def has(self, caller: int | str, *, now_ms: int) -> bool:
        """Say whether the next call would be let in; takes nothing."""
        bucket = self._buckets[False].get(caller)
        return bucket is None or bucket.tokens + (now_ms / 1000 - bucket.at_s) * self._per_s >= 1

    def __len__(self) -> int:
        """Return how many buckets there are."""
        return sum(map(len, self._buckets.values()))
