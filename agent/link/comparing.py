"""Compares the accounts known here with the centre's: where the feed cannot go on, and once a day.

A sum tells versions, and a centre that went back numbers what changes then as it did before, with
other content. Where it says that the feed cannot go on, whatever was told before is therefore
doubted: its bucket's sum is sent as a wrong one until the bucket is told again (design: sync 1.7,
4.2).
"""

from collections.abc import Iterable

import msgspec
import structlog

from agent.till_service.till import Till
from sync.fingerprints import SUM_BYTES
from sync.limits import PULL_BYTES_DEFAULT
from sync.messages import Compare, CompareAnswer, Cursor

log = structlog.get_logger()

_COMPARE_MS = 86_400_000


class Compared(msgspec.Struct, frozen=True):
    """When the accounts were last compared with the centre's; hygiene, so the clock will do."""

    at_ms: int


class Doubted(msgspec.Struct, frozen=True):
    """Buckets with accounts that were told up to a cursor, and not since in the centre's epoch."""

    cursor: Cursor = Cursor()
    epoch: int = 0
    buckets: bytes = b""


class Comparing:
    """Runs on the till's thread."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._must = False
        self._doubts = False

    def must(self, *, if_said: bool) -> None:
        """Compare in this conversation if the centre has said that the feed cannot go on."""
        self._must = self._must or if_said
        self._doubts = self._doubts or if_said

    def to_say(self) -> Compare | None:
        """Say what is known of accounts, if that is to be compared."""
        cache, now_ms = self._till.cache, self._till.clock.now_ms()
        last = cache.value("compared", Compared)
        if last is None:
            cache.put_value("compared", Compared(at_ms=now_ms))
        elif not 0 <= now_ms - last.at_ms < _COMPARE_MS:
            self._must = True
        if not self._must:
            return None
        sums = _spoilt(cache.sums(), self._doubted().buckets)
        return Compare(sums=sums, bytes_max=PULL_BYTES_DEFAULT)

    def answered(self, answer: CompareAnswer) -> bool:
        """Take the buckets told; the cursor last, when they are all the centre's.

        Returns:
            Whether the centre is in another epoch than this till was told of.
        """
        cache, cursor, epoch = self._till.cache, self._till.cache.cursor(), answer.cursor.epoch
        is_new = epoch != cursor.epoch
        doubted = self._doubted()
        if (is_new or self._doubts) and (doubted.cursor, doubted.epoch) != (cursor, epoch):
            doubted = Doubted(cursor, epoch, cache.buckets_here())
        left = bytes(set(doubted.buckets) - set(answer.buckets))
        cache.put_buckets(answer.buckets, answer.accounts, answer.applied)
        if doubted.buckets:
            cache.put_value("doubted", msgspec.structs.replace(doubted, buckets=left))
        if answer.buckets:
            log.info("accounts_compared", buckets=len(answer.buckets), rows=len(answer.accounts))
        if not answer.more and not left:
            self._must = self._doubts = False
            cache.put_value("cursor", answer.cursor)
            cache.put_value("compared", Compared(at_ms=self._till.clock.now_ms()))
        return is_new

    def _doubted(self) -> Doubted:
        return self._till.cache.value("doubted", Doubted) or Doubted()


def _spoilt(sums: bytes, buckets: Iterable[int]) -> bytes:
    """Return sums of which those of some buckets are certainly other than what is known."""
    spoilt = bytearray(sums)
    for bucket in buckets:
        for place in range(bucket * SUM_BYTES, (bucket + 1) * SUM_BYTES):
            spoilt[place] ^= 0xFF
    return bytes(spoilt)
