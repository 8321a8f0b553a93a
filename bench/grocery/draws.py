"""Choices that look random and are the same for the same seed and name, on every machine."""

from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of choices that depends on its seed and name alone."""

    def __init__(self, seed: int, *name: object) -> None:
        self._key = "/".join(map(str, (seed, *name))).encode()
        self._count = 0

    def bits(self, count: int) -> int:
        """Return a number of `count` bits, 1 to 256."""
        self._count += 1
        digest = sha256(self._key + b"/%d" % self._count).digest()
        return int.from_bytes(digest, "big") >> (256 - count)

    def below(self, end: int) -> int:
        """Return 0 to `end` - 1."""
        return self.bits(64) * end >> 64

    def between(self, first: int, last: int) -> int:
        """Return `first` to `last`, both included."""
        return first + self.below(last - first + 1)

    def happens(self, per_mille: int) -> bool:
        """Return True in `per_mille` of 1000 cases."""
        return self.below(1000) < per_mille

    def one_of(self, choices: Sequence[T]) -> T:
        """Return one of the choices."""
        return choices[self.below(len(choices))]
