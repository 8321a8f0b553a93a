"""A counter that never says the same number twice over restarts, with one durable write a start.

Envelopes are numbered with it: a till that began anew at 1 would be taken for its own replay. So
would one whose file came back with an image of its disk, for as many messages as the run said that
the image knows nothing of: each run begins where the clock is by now, past all it ever said.
"""

import os
from pathlib import Path

_PER_MS = 2**20
"""More than a till says in a millisecond; the year 2248 still leaves half of 8 bytes."""
_CLOCK_MS_MAX = 2**43
"""Of a clock that is beyond it nothing is believed but that: the file would keep it for ever."""
_RESERVED = 1_000 * _PER_MS
"""More than a run of years says, and no more than the clock passes until the next start."""
_NUMBERS = 2**64


def reserve_counters(path: Path, now_ms: int) -> int:
    """Return the first number of this run; those after it are its own too.

    The file alone keeps numbers from coming twice where the clock went back. Where clock and file
    are both of the past, or the clock was far ahead once and is not now, the others are deaf to
    this till until its next incarnation or their own next start.

    Raises:
        OSError: the file cannot be written.
    """
    first = max(_kept(path), min(now_ms, _CLOCK_MS_MAX) * _PER_MS)
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(str(first + _RESERVED))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return first


def _kept(path: Path) -> int:
    """Return the number in the file; 0 where there is none that can be."""
    try:
        kept = int(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return 0
    return kept if 0 <= kept < _NUMBERS - _RESERVED else 0
