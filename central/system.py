"""The centre's only reader of the clock, of randomness and of new ids."""

import os
import time
import uuid


class System:
    """The world as it is; tests and the simulation override its methods."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 in UTC; may jump when the clock is set."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return milliseconds since some moment; never runs back, for measuring spans alone."""
        return time.monotonic_ns() // 1_000_000

    def worked_us(self) -> int:
        """Return microseconds of processor time that the calling thread has used."""
        return time.thread_time_ns() // 1_000

    def random_bytes(self, count: int) -> bytes:
        """Return `count` bytes fit for keys and codes."""
        return os.urandom(count)

    def new_uuid7(self) -> uuid.UUID:
        """Return an id that sorts by the millisecond it was made in (RFC 9562, 5.7)."""
        random_part = int.from_bytes(self.random_bytes(10), "big")
        value = (self.now_ms() & (1 << 48) - 1) << 80 | random_part
        value = value & ~(0xF << 76) | 7 << 76  # version
        value = value & ~(0b11 << 62) | 0b10 << 62  # variant
        return uuid.UUID(int=value)
