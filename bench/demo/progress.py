"""A progress line: drawn in place on a terminal, a line now and then elsewhere."""

import sys
import time

_WIDTH = 30
_EVERY_S = 5.0


class Progress:
    """Progress through a known number of steps."""

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._done = 0
        self._phase = ""
        self._started_s = time.monotonic()
        self._said_s = 0.0
        self._live = sys.stderr.isatty()

    def phase(self, words: str) -> None:
        """Say what is going on now."""
        self._phase = words
        self._draw(force=True)

    def step(self) -> None:
        """One more is done."""
        self.steps(1)

    def steps(self, count: int) -> None:
        """Some more are done."""
        self._done += count
        self._draw(force=self._done == self._total)

    def _draw(self, *, force: bool) -> None:
        now_s = time.monotonic()
        if not force and now_s - self._said_s < (0.1 if self._live else _EVERY_S):
            return
        self._said_s = now_s
        share = self._done / self._total
        bar = "#" * int(share * _WIDTH)
        line = (
            f"[{bar:<{_WIDTH}}] {share:4.0%} {self._done}/{self._total}"
            f" {now_s - self._started_s:4.0f} s  {self._phase}"
        )
        if self._live:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._live:
            print(file=sys.stderr)
