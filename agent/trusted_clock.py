"""Time as the centre told it, carried on by the monotonic clock (design: sync 4.3).

For windows, hygiene and people; never for money. Before the first word of the centre in this boot
the machine's clock counts, but not before the ratchet, the latest time the journal knows, and not
where it is wrong beyond doubt: then time goes on from the ratchet.
"""

from dataclasses import dataclass
from typing import Final, Literal

import structlog

from agent.journal.told_time import ToldTime
from agent.system import System

log = structlog.get_logger()

Quality = Literal["good", "suspect"]

AHEAD_MS_MAX: Final = 400 * 86_400_000
"""A machine's clock later after the ratchet than this was set wrong."""
OFF_MS_MAX: Final = 300_000
"""What a clock may be off and still be good; windows are never opened wider than this."""
DRIFT_PPM: Final = 100
_STEPS_S: Final = (0, 5, 30, OFF_MS_MAX // 1_000)


@dataclass(frozen=True, slots=True)
class _Base:
    """A moment from which time is counted on.

    Attributes:
        off_by_ms: how far it may be off; None where nobody told the time in this boot.
    """

    at_ms: int
    monotonic_ms: int
    off_by_ms: int | None


class TrustedClock:
    """Answers `now_ms`; what it is told is the caller's to keep (`ToldTimes`)."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._base: _Base | None = None
        self._asked_ms = system.monotonic_ms()
        if not system.boot_id():
            log.warning("boot_unnamed", lost="the centre's time, at each restart without a line")

    def recall(self, told: ToldTime | None, written_ms: int) -> None:
        """Go on after a start.

        Args:
            told: what the journal kept.
            written_ms: time of the newest record written since; 0 for none.
        """
        monotonic_ms = self._system.monotonic_ms()
        if told is None and not written_ms:
            return
        same_boot = (
            told is not None
            and bool(told.boot_id)
            and told.boot_id == self._system.boot_id()
            and told.monotonic_ms <= monotonic_ms
        )
        if told is not None and same_boot:
            self._base = _Base(told.told_ms, told.monotonic_ms, told.off_by_ms)
        else:
            ratchet_ms = max(told.told_ms if told else 0, written_ms)
            self._base = _Base(ratchet_ms, monotonic_ms, None)

    def asking(self) -> None:
        """Note that the centre is asked now; its answer is at most so much older than its word."""
        self._asked_ms = self._system.monotonic_ms()

    def adjust(self, server_time_ms: int) -> ToldTime:
        """Take the centre's time, told between `asking` and now; returns it for the journal."""
        monotonic_ms = self._system.monotonic_ms()
        half_ms = max(0, monotonic_ms - self._asked_ms) // 2
        told = ToldTime(server_time_ms + half_ms, monotonic_ms, self._system.boot_id(), half_ms)
        self._base = _Base(told.told_ms, monotonic_ms, half_ms)
        return told

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        base, machine_ms = self._base, self._system.now_ms()
        if base is None:
            return machine_ms
        counted_ms = base.at_ms + self._passed_ms(base)
        if base.off_by_ms is None and counted_ms < machine_ms <= counted_ms + AHEAD_MS_MAX:
            return machine_ms
        return counted_ms

    def quality(self) -> Quality:
        """Say whether the machine's clock, and so the register's, can be right."""
        base, machine_ms = self._base, self._system.now_ms()
        if base is None:
            return "good"
        counted_ms = base.at_ms + self._passed_ms(base)
        ahead_ms_max = AHEAD_MS_MAX if base.off_by_ms is None else OFF_MS_MAX
        if counted_ms - OFF_MS_MAX <= machine_ms <= counted_ms + ahead_ms_max:
            return "good"
        return "suspect"

    def uncertainty_s(self) -> int:
        """Return how far the register's moment may be off, in few steps; 300 at most.

        The register runs on this machine, so its clock is off by as much as this one's. Where that
        is more than `OFF_MS_MAX` the register's own (fiscal) clock is all there is.
        """
        base = self._base
        if base is None:
            return 0
        if base.off_by_ms is None:
            return _STEPS_S[-1]
        passed_ms = self._passed_ms(base)
        apart_ms = abs(self._system.now_ms() - base.at_ms - passed_ms)
        if apart_ms > OFF_MS_MAX:
            return _STEPS_S[-1]
        off_ms = base.off_by_ms + passed_ms * DRIFT_PPM // 1_000_000 + apart_ms
        return next((step for step in _STEPS_S if off_ms < (step or 1) * 1_000), _STEPS_S[-1])

    def _passed_ms(self, base: _Base) -> int:
        return max(0, self._system.monotonic_ms() - base.monotonic_ms)
