"""A till's clock may be wrong: what may be open within its uncertainty is open."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.basket import Moment
from loyalty.calculate import calculate
from loyalty.errors import AmountError
from loyalty.limits import UNCERTAINTY_S_MAX
from loyalty.offers import When
from loyalty.opening import closed
from tests.support.builders import basket, offer, place, rules

HAPPY = When(hours=(("18:00", "19:00"),))


def is_open(when: When, local: str, uncertainty_s: int = 0) -> bool:
    """Say whether the offer acts, with a whole receipt around it."""
    found = calculate(
        basket(),
        rules(offer(when=when)),
        moment=Moment(local=local, uncertainty_s=uncertainty_s),
        place=place(),
    )
    return bool(found.totals.discount_minor)


@pytest.mark.parametrize(
    ("when", "local", "least_s"),
    [
        (HAPPY, "2025-03-05T17:59:50", 10),
        (HAPPY, "2025-03-05T19:00:00", 1),
        (HAPPY, "2025-03-05T19:00:29", 30),
        (When(hours=(("22:00", "24:00"),)), "2025-03-05T00:00:10", 11),
        (When(hours=(("00:00", "02:00"),)), "2025-03-05T23:59:00", 60),
        (When(weekdays=(4,)), "2025-03-05T23:59:59", 1),
        (When(weekdays=(2,)), "2025-03-05T00:01:00", 61),
        (When(starts="2025-03-06"), "2025-03-05T23:59:30", 30),
        (When(until="2025-03-05"), "2025-03-05T00:00:00", 1),
        (When(starts="2025-03-05T12:00:00"), "2025-03-05T11:59:59", 1),
        (When(until="2025-03-05T12:00:00"), "2025-03-05T12:00:04", 5),
        (When(weekdays=(4,), hours=(("00:00", "01:00"),)), "2025-03-05T23:59:00", 60),
    ],
)
def test_the_customer_gets_the_benefit_of_the_doubt(when: When, local: str, least_s: int) -> None:
    assert not is_open(when, local)
    assert not is_open(when, local, least_s - 1)
    assert is_open(when, local, least_s)


def test_what_cannot_be_open_says_why() -> None:
    early = Moment(local="2025-03-05T17:00:00", uncertainty_s=60)
    hours: dict[str, int | str] = {"hours": "18:00-19:00", "now": "17:00"}
    assert closed(HAPPY, early) == ("not_this_hour", hours)
    assert closed(When(weekdays=(1,)), early) == ("not_today", {"weekday": 3})
    ended = When(until="2025-03-05T12:00:00")
    assert closed(ended, early) == ("not_this_hour", {"from": "", "until": ended.until})


def test_a_window_and_its_hours_are_open_together() -> None:
    """The window ends before the hours begin, though each of them may be open by itself."""
    when = When(until="2025-03-05T17:59:00", hours=(("18:00", "19:00"),))
    assert not is_open(when, "2025-03-05T17:59:30", 120)


@pytest.mark.parametrize("uncertainty_s", [-1, UNCERTAINTY_S_MAX + 1])
def test_an_uncertainty_beyond_a_day_is_no_moment(uncertainty_s: int) -> None:
    with pytest.raises(AmountError):
        Moment(local="2025-03-05T12:00:00", uncertainty_s=uncertainty_s)


days = st.sampled_from(["", "2025-03-05", "2025-03-06", "2025-03-05T23:59:58"])
whens = st.builds(
    When,
    starts=days,
    until=days,
    weekdays=st.sampled_from([(), (3,), (4,), (2, 4)]),
    hours=st.sampled_from(
        [(), (("00:00", "00:01"),), (("23:59", "24:00"),), (("12:00", "13:00"),)]
    ),
)


@given(whens, st.integers(-70, 70), st.integers(0, 15))
def test_it_is_open_where_it_is_open_at_some_second_it_may_be(
    when: When, from_midnight_s: int, uncertainty_s: int
) -> None:
    at = datetime.fromisoformat("2025-03-06") + timedelta(seconds=from_midnight_s)
    seconds = [at + timedelta(seconds=off) for off in range(-uncertainty_s, uncertainty_s + 1)]
    known = any(closed(when, Moment(local=second.isoformat())) is None for second in seconds)
    unsure = Moment(local=at.isoformat(), uncertainty_s=uncertainty_s)
    assert (closed(when, unsure) is None) == known
