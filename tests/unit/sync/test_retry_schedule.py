"""Waiting grows to a ceiling, never falls to nothing, and differs from till to till."""

import pytest

from sync.retry_schedule import RETRY_DELAY_S_FIRST, retry_delay_s


@pytest.mark.parametrize("attempt", [1, 2, 3, 10, 31, 10_000])
@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_delay_is_within_its_bounds(attempt: int, jitter: float) -> None:
    ceiling = min(600.0, RETRY_DELAY_S_FIRST * 2.0 ** min(attempt - 1, 100))
    delay = retry_delay_s(attempt, delay_s_max=600.0, jitter=jitter)
    assert ceiling / 10 <= delay <= ceiling
    assert delay == pytest.approx(ceiling * (0.1 + 0.9 * jitter))


def test_delay_doubles_until_it_reaches_the_maximum() -> None:
    delays = [retry_delay_s(n, delay_s_max=10.0, jitter=1.0) for n in range(1, 8)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_maximum_below_the_first_delay_holds() -> None:
    assert retry_delay_s(1, delay_s_max=0.2, jitter=1.0) == pytest.approx(0.2)


def test_jitter_spreads_tills_over_most_of_the_interval() -> None:
    delays = [retry_delay_s(12, delay_s_max=600.0, jitter=n / 10) for n in range(11)]
    assert delays == sorted(set(delays))
    assert delays[-1] - delays[0] == pytest.approx(540.0)
