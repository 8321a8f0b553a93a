"""When the centre is asked again for what it had no place for, each kind in its own time."""

from agent.system import System
from sync.errors import BusyError, RestartsError


class Turns:
    """The times of one till; monotonic milliseconds.

    Attributes:
        pull_at_ms: before this no pull is asked that may wait.
    """

    def __init__(self, system: System, *, report_interval_s: float) -> None:
        """Begin with nothing put off.

        Args:
            report_interval_s: how far apart reports are.
        """
        self.pull_at_ms = 0
        self._system = system
        self._report_interval_ms = int(report_interval_s * 1000)
        self._report_at_ms = 0
        self._push_at_ms: int | None = None
        self._look_at_ms: int | None = None

    def come_again_s(self, error: BusyError | RestartsError) -> float:
        """Return how long to wait: once to twice as long as asked."""
        return error.retry_after_s * (1 + self._system.jitter())

    def again_at_ms(self, error: BusyError) -> int:
        """Return when to come again."""
        return self._system.monotonic_ms() + int(self.come_again_s(error) * 1000)

    def put_push_off(self, error: BusyError) -> None:
        """Push later."""
        self._push_at_ms = self.again_at_ms(error)

    def pushed(self) -> None:
        """There was a place for it."""
        self._push_at_ms = None

    @property
    def push_is_off(self) -> bool:
        """Whether records wait for a place."""
        return self._push_at_ms is not None

    def put_look_off(self, error: BusyError) -> None:
        """Look later what else there is to say."""
        self._look_by(self.again_at_ms(error))

    def may_report(self) -> bool:
        """Say whether a report that is due may be made now; else it is looked for in its time."""
        if self._system.monotonic_ms() >= self._report_at_ms:
            return True
        self._look_by(self._report_at_ms)
        return False

    def reported(self) -> None:
        """Another one comes after a while."""
        self._report_at_ms = self._system.monotonic_ms() + self._report_interval_ms

    def put_report_off(self, error: BusyError) -> None:
        """Report later."""
        self._report_at_ms = self.again_at_ms(error)
        self._look_by(self._report_at_ms)

    def _look_by(self, at_ms: int) -> None:
        look_ms = self._look_at_ms
        # What comes later is put off again then; a time that has come is being looked at now.
        if look_ms is None or not self._system.monotonic_ms() < look_ms <= at_ms:
            self._look_at_ms = at_ms

    def begin(self) -> None:
        """Everything whose time has come is tried now."""
        now_ms = self._system.monotonic_ms()
        if self._push_at_ms is not None and now_ms >= self._push_at_ms:
            self._push_at_ms = None
        if self._look_at_ms is not None and now_ms >= self._look_at_ms:
            self._look_at_ms = None

    def until_s(self, most_s: float) -> float:
        """Return how long to wait at most: less where the time of something comes before."""
        for at_ms in (self._push_at_ms, self._look_at_ms):
            if at_ms is not None:
                most_s = min(most_s, self.rest_ms(at_ms) / 1000)
        return most_s

    def rest_ms(self, at_ms: int) -> int:
        """Return how long it is until then."""
        return max(0, at_ms - self._system.monotonic_ms())
