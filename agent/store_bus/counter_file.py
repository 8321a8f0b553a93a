"""A counter that never says the same number twice over restarts, with one durable write a start.

Envelopes are numbered with it: a till that began anew at 1 would be taken for its own replay.
"""

import os
from pathlib import Path

_RESERVED_AT_ONCE = 2**40
"""More than one run of the agent can use up; 2**24 starts use up 8 bytes."""
_PER_MS = 2**16


def reserve_counters(path: Path, now_ms: int) -> int:
    """Return the first number of this run; those after it are its own too.

    Where the file was lost the clock stands in, so that the others go on hearing this till. A clock
    that is wrong as well costs being heard until the next incarnation, nothing else.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        first = int(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        first = max(now_ms, 0) * _PER_MS
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(str(first + _RESERVED_AT_ONCE))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return first
