"""What the centre had no place for is asked again in its own time; nothing else waits for it."""

import pytest

from agent.link.turns import Turns
from sync.errors import CrowdedError
from tests.support.till import SetSystem

MOST_S = 600.0


@pytest.fixture
def turns(system: SetSystem) -> Turns:
    return Turns(system, report_interval_s=60)


def test_while_nothing_is_put_off_nothing_shortens_a_wait(turns: Turns) -> None:
    turns.begin()
    assert not turns.push_is_off
    assert turns.may_report()
    assert turns.until_s(MOST_S) == MOST_S


def test_who_is_to_come_again_waits_once_to_twice_as_long(turns: Turns, system: SetSystem) -> None:
    system.let_pass(1_000)
    error = CrowdedError(30)
    assert turns.come_again_s(error) == 30 * (1 + system.jitter())
    assert turns.again_at_ms(error) == 46_000
    assert (turns.rest_ms(46_000), turns.rest_ms(0)) == (45_000, 0)


def test_a_push_waits_until_its_time_or_until_there_was_a_place(
    turns: Turns, system: SetSystem
) -> None:
    turns.put_push_off(CrowdedError(30))
    system.let_pass(44_999)
    turns.begin()
    assert turns.push_is_off
    assert turns.until_s(MOST_S) == 0.001
    system.let_pass(1)
    turns.begin()
    assert turns.until_s(MOST_S) == MOST_S
    turns.put_push_off(CrowdedError(30))
    turns.pushed()
    assert turns.until_s(MOST_S) == MOST_S


def test_news_that_come_too_soon_after_a_report_are_looked_for_a_minute_after_it(
    turns: Turns, system: SetSystem
) -> None:
    turns.reported()
    system.let_pass(20_000)
    turns.begin()
    assert not turns.may_report()
    assert turns.until_s(MOST_S) == 40
    system.let_pass(40_000)
    turns.begin()
    assert turns.may_report()
    assert turns.until_s(MOST_S) == MOST_S


def test_a_report_that_was_turned_away_keeps_no_push_back(turns: Turns, system: SetSystem) -> None:
    turns.put_report_off(CrowdedError(30))
    assert not turns.push_is_off
    assert not turns.may_report()
    assert turns.until_s(MOST_S) == 45
    system.let_pass(45_000)
    turns.begin()
    assert turns.may_report()


def test_what_else_is_put_off_is_looked_for_at_the_earliest_of_their_times(
    turns: Turns, system: SetSystem
) -> None:
    turns.put_look_off(CrowdedError(10))
    turns.put_report_off(CrowdedError(60))
    assert turns.until_s(MOST_S) == 15
    system.let_pass(15_000)
    turns.begin()
    assert turns.until_s(MOST_S) == MOST_S
    assert not turns.may_report()
    turns.put_look_off(CrowdedError(120))
    assert turns.until_s(MOST_S) == 75


def test_a_time_that_has_come_keeps_nothing_that_is_put_off_then(
    turns: Turns, system: SetSystem
) -> None:
    turns.put_look_off(CrowdedError(10))
    system.let_pass(15_000)
    turns.put_look_off(CrowdedError(60))
    assert turns.until_s(MOST_S) == 90
