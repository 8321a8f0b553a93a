"""What happened in a world: the log that names a run, faults by kind, and rare things."""

import hashlib
from collections import Counter, deque

from tests.simulation.kernel import Kernel

_TAIL_EVENTS = 40


class ViolationError(Exception):
    """Something happened that must not happen, whatever fails."""


class Chronicle:
    """The log of one run.

    Attributes:
        faults: injected, by kind.
        touched: those of the machines, by kind and the machine's name.
        sometimes: rare events that did happen; each must be seen in a large run.
        figures: plain counts, such as sales.
        tail: the last events, for whoever looks for a cause.
        error: what the product raised and nobody named, with its traceback.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._digest = hashlib.sha256()
        self.faults: Counter[str] = Counter()
        self.touched: Counter[tuple[str, str]] = Counter()
        self.sometimes: Counter[str] = Counter()
        self.figures: Counter[str] = Counter()
        self.error: BaseException | None = None
        self.tail: deque[str] = deque(maxlen=_TAIL_EVENTS)

    @property
    def now_ms(self) -> int:
        """Virtual time since the world's beginning."""
        return self._kernel.now_ms

    def note(self, text: str) -> None:
        """Write an event."""
        line = f"{self._kernel.now_ms / 1000:12.3f} {text}"
        self._digest.update(line.encode() + b"\n")
        self.tail.append(line)

    def fault(self, kind: str, text: str = "") -> None:
        """Write and count an injected fault."""
        self.faults[kind] += 1
        self.touched[kind, text.partition(" ")[0].rstrip(",")] += 1
        self.note(f"FAULT {kind} {text}")

    def digest(self) -> str:
        """Return the hash of everything noted; equal for equal runs."""
        return self._digest.hexdigest()


def require(condition: object, text: str) -> None:
    """State what must be true.

    Raises:
        ViolationError: it is not.
    """
    if not condition:
        raise ViolationError(text)
