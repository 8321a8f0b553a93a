"""How many examples random tests draw: what CI has time for, or many times as many (`--times`)."""

_times = [1]


def try_times(times: int) -> None:
    """Have every number of examples that is asked for from now on be so many times as high.

    Args:
        times: 1 or more.
    """
    _times[0] = times


def examples(count: int) -> int:
    """Return how many examples to draw where CI draws `count`."""
    return count * _times[0]
