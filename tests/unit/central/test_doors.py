"""Doors: who waits for whom, who is told to come again, and when."""

import asyncio
from collections import Counter

import pytest

from central.database.doors import (
    AGAIN_PER_S,
    AGAIN_S_MAX,
    ComingAgain,
    CrowdedError,
    Door,
    others_door,
    purchases_door,
    strangers_door,
)
from central.errors import OverloadedError

LONG_S = 600.0


async def turns() -> None:
    """Let everybody go on who can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Visit:
    """A call that is at work until it is let go."""

    def __init__(self, door: Door, order: list[int], number: int) -> None:
        self.going = asyncio.Event()
        self._door, self._order, self._number = door, order, number
        self.task = asyncio.create_task(self._come())

    async def _come(self) -> None:
        async with self._door:
            self._order.append(self._number)
            await self.going.wait()


async def free_places(door: Door) -> int:
    """Take all places there are at once; returns how many."""
    places = 0
    while door.is_free:
        assert await door.enter()
        places += 1
    return places


async def test_so_many_are_at_work_so_many_wait_and_the_others_come_again() -> None:
    order: list[int] = []
    door = Door(running_max=2, waiting_max=3, wait_s_max=LONG_S)
    visits = [Visit(door, order, number) for number in range(5)]
    await turns()
    assert (order, door.waiting) == ([0, 1], 3)
    with pytest.raises(CrowdedError):
        async with door:
            raise AssertionError("there is no room")
    assert door.refused == 1
    visits[1].going.set()
    await turns()
    assert (order, door.waiting) == ([0, 1, 2], 2)
    for visit in visits:
        visit.going.set()
    await asyncio.gather(*(visit.task for visit in visits))
    assert order == [0, 1, 2, 3, 4]
    assert (door.waiting, await free_places(door)) == (0, 2)


async def test_whoever_waits_too_long_comes_again_and_the_door_loses_no_place() -> None:
    door = Door(running_max=1, waiting_max=9, wait_s_max=0.0)
    assert await door.enter()
    assert [await door.enter() for _ in range(3)] == [False] * 3
    assert (door.refused, door.waiting) == (3, 0)
    door.leave()
    assert await free_places(door) == 1


async def test_who_goes_away_while_waiting_takes_no_place_with_him() -> None:
    order: list[int] = []
    door = Door(running_max=1, waiting_max=9, wait_s_max=LONG_S)
    first, gone, last = (Visit(door, order, number) for number in range(3))
    await turns()
    gone.task.cancel()
    first.going.set()
    last.going.set()
    await asyncio.gather(first.task, gone.task, last.task, return_exceptions=True)
    assert order == [0, 2]
    assert (door.waiting, await free_places(door)) == (0, 1)


async def test_what_fails_inside_gives_its_place_back() -> None:
    door = Door(running_max=1, waiting_max=0, wait_s_max=LONG_S)
    for _ in range(3):
        with pytest.raises(ValueError, match="inside"):
            async with door:
                raise ValueError("inside")
    assert await free_places(door) == 1


async def test_what_is_waited_for_before_a_place_counts_as_waiting() -> None:
    door = Door(running_max=1, waiting_max=1, wait_s_max=LONG_S)
    opening = asyncio.Event()

    async def until() -> None:
        await opening.wait()

    waiting = asyncio.create_task(door.enter(until))
    await turns()
    assert (door.waiting, door.has_room) == (1, False)
    assert not await door.enter(until)
    assert await door.enter()  # without such a wait there is a place
    door.leave()
    opening.set()
    assert await waiting


async def test_where_places_become_free_too_seldom_nobody_waits_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door(running_max=1, waiting_max=100, wait_s_max=2.0, counts_on_pace=True)
    now_s = 1_000.0
    with monkeypatch.context() as clock:
        clock.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
        assert await door.enter()
        waiting = [asyncio.create_task(door.enter(wait_s_max=LONG_S)) for _ in range(10)]
        await turns()
        door.turn_away()  # nothing is known of its pace
        for left in range(9, -1, -1):
            now_s += 0.5
            door.leave()
            await turns()
            assert (door.waiting, door.has_room) == (left, left <= 4 or left == 9)
            if not door.has_room:
                with pytest.raises(CrowdedError):
                    door.turn_away()
        assert door.refused == 4
        assert await asyncio.gather(*waiting) == [True] * 10
        door.leave()
    assert (door.has_room, await free_places(door)) == (True, 1)


# When to come again


async def test_one_that_finds_no_room_comes_again_soon_and_a_fleet_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = ComingAgain()
    with monkeypatch.context() as clock:
        clock.setattr(asyncio.get_running_loop(), "time", lambda: 1_000.0)
        told_s = [again.after_s() for _ in range(5_000)]
    assert told_s[0] == 1.0
    assert told_s == sorted(told_s)
    seconds = Counter(map(int, told_s))
    assert max(seconds.values()) <= AGAIN_PER_S + 1
    assert len(seconds) >= 5_000 / AGAIN_PER_S


async def test_however_many_find_no_room_nobody_is_told_to_stay_away_for_long() -> None:
    again = ComingAgain()
    told_s = [again.after_s() for _ in range(100_000)]
    assert max(told_s) <= AGAIN_S_MAX


def test_to_be_crowded_is_to_be_overloaded_in_the_same_words() -> None:
    assert isinstance(CrowdedError(7.0), OverloadedError)
    assert str(CrowdedError(7.0)) == str(OverloadedError())
    assert CrowdedError(7.0).retry_after_s == 7.0


# The tills' connections

LISTENING = 1
"""Keeps a connection for itself."""


@pytest.mark.parametrize("connections_max", [8, 12, 16, 40])
async def test_all_doors_together_leave_a_connection_to_what_is_answered_together(
    connections_max: int,
) -> None:
    purchases, others, strangers = [
        await free_places(door)
        for door in (
            purchases_door(connections_max), others_door(connections_max), strangers_door(),
        )
    ]  # fmt: skip
    assert purchases + others + strangers + LISTENING < connections_max
    assert strangers <= others <= purchases


@pytest.mark.parametrize("connections_max", [1, 2, 3])
async def test_however_few_connections_there_are_each_door_has_a_place(
    connections_max: int,
) -> None:
    for door in (purchases_door(connections_max), others_door(connections_max)):
        assert await free_places(door) == 1


async def test_who_stands_behind_comes_again_after_what_goes_first_and_alters_nobody_elses_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door(running_max=1, waiting_max=0, wait_s_max=LONG_S)
    told_s = []
    with monkeypatch.context() as clock:
        clock.setattr(asyncio.get_running_loop(), "time", lambda: 1_000.0)
        for behind_s in (40.0, 30.0, 900.0, 40.0):
            with pytest.raises(CrowdedError) as caught:
                door.turn_away(behind_s=behind_s)
            told_s.append(caught.value.retry_after_s)
        async with door:
            with pytest.raises(CrowdedError) as caught:
                door.turn_away()
    assert told_s == [41.0, 31.0, AGAIN_S_MAX, 41.0]
    assert (caught.value.retry_after_s, door.refused) == (1.0, 5)
    door.turn_away()
