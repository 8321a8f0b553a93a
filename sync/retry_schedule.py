"""When to try again: exponential, bounded, jittered.

The jitter is given, so that the module needs no randomness.
"""

RETRY_DELAY_S_FIRST = 0.5


def retry_delay_s(attempt: int, *, delay_s_max: float, jitter: float) -> float:
    """Return how long to wait before the next try.

    Args:
        attempt: failures in a row, 1 or more.
        jitter: 0 to 1; full jitter, so that thousands of tills do not come back together.
    """
    ceiling = min(delay_s_max, RETRY_DELAY_S_FIRST * 2.0 ** min(attempt - 1, 30))
    return ceiling * (0.1 + 0.9 * jitter)
