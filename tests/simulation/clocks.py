"""The clock of a simulated machine, which may be wrong by years."""

import random

from agent.system import System
from tests.simulation.centre import BEGINNING_MS
from tests.simulation.kernel import Kernel


class TillClock(System):
    """The clock and randomness of one machine; the clock may be wrong by years."""

    def __init__(self, kernel: Kernel, draws: random.Random) -> None:
        self._kernel = kernel
        self._draws = draws
        self._booted_ms = kernel.now_ms
        self._boots = 0
        self.off_by_ms = 0

    def now_ms(self) -> int:
        """Return what the machine takes for the time."""
        return BEGINNING_MS + self._kernel.now_ms + self.off_by_ms

    def monotonic_ms(self) -> int:
        """Return time since the machine was started."""
        return self._kernel.now_ms - self._booted_ms

    def awake_ms(self) -> int:
        """Return the same: these machines never sleep."""
        return self.monotonic_ms()

    def boot(self) -> None:
        """Start the monotonic clock anew."""
        self._booted_ms = self._kernel.now_ms
        self._boots += 1

    def boot_id(self) -> str:
        """Return a name of this start of the machine."""
        return f"boot {self._boots}"

    def random_bytes(self, count: int) -> bytes:
        """Return bytes out of the seed."""
        return self._draws.randbytes(count)
