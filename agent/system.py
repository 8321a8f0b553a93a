"""The only reader of the clock, randomness and new ids on the till; a simulator gives its own."""

import os
import time
import uuid
from pathlib import Path


class System:
    """Clock, randomness and ids of the machine."""

    def now_ms(self) -> int:
        """Return the wall clock, Unix milliseconds; may jump, decides no money."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return a clock that never goes back from one boot to the next, and goes on in sleep.

        Of Linux's clocks `time.monotonic` is the one that stands still while the machine sleeps; on
        Windows it does not.
        """
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        return time.monotonic_ns() // 1_000_000

    def awake_ms(self) -> int:
        """Return a clock for how long work takes: it stands still in sleep, where one does."""
        return time.monotonic_ns() // 1_000_000

    def boot_id(self) -> str:
        """Return a name of this boot of the machine, for which `monotonic_ms` goes on; or none."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def random_bytes(self, count: int) -> bytes:
        """Return unpredictable bytes."""
        return os.urandom(count)

    def new_id(self) -> str:
        """Return a new UUID version 7: milliseconds first, so that ids sort by age."""
        bits = self.now_ms() << 80 | int.from_bytes(self.random_bytes(10), "big")
        bits = bits & ~(0xF << 76) | 0x7 << 76
        bits = bits & ~(0x3 << 62) | 0x2 << 62
        return str(uuid.UUID(int=bits & (1 << 128) - 1))

    def jitter(self) -> float:
        """Return a number from 0 to 1 that differs from till to till."""
        return int.from_bytes(self.random_bytes(4), "big") / 0xFFFFFFFF
