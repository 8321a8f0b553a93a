"""Questions gathered into flushes: none waits for a window, none fails for another's trouble."""

import asyncio
from collections.abc import Sequence

import pytest

from central.database.doors import CrowdedError
from central.database.gathering import Gathering


class Answering:
    """Doubles numbers, when it is let; refuses 13, and 7 breaks whatever it is asked with."""

    def __init__(self) -> None:
        self.flushes: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.flushes.append(list(numbers))
        await self.gate.wait()
        if 7 in numbers:
            raise ValueError("seven")
        return [LookupError("thirteen") if each == 13 else 2 * each for each in numbers]


async def test_one_caller_waits_for_nobody_and_many_share_a_flush() -> None:
    answering = Answering()
    gathering = Gathering(answering, flushes_max=1)
    assert await gathering.ask(1) == 2
    answering.gate.clear()
    first = asyncio.create_task(gathering.ask(2))
    await asyncio.sleep(0)
    rest = [asyncio.create_task(gathering.ask(number)) for number in range(3, 6)]
    await asyncio.sleep(0)
    answering.gate.set()
    assert await asyncio.gather(first, *rest) == [4, 6, 8, 10]
    assert answering.flushes == [[1], [2], [3, 4, 5]]


async def test_a_flush_holds_no_more_than_it_may() -> None:
    answering = Answering()
    gathering = Gathering(answering, together_max=2, flushes_max=1)
    assert await asyncio.gather(*map(gathering.ask, range(5))) == [0, 2, 4, 6, 8]
    assert max(map(len, answering.flushes)) == 2


async def test_what_one_question_breaks_is_answered_to_the_others() -> None:
    gathering = Gathering(Answering(), flushes_max=1)
    answers = await asyncio.gather(*map(gathering.ask, (1, 7, 13, 4)), return_exceptions=True)
    assert (answers[0], answers[3]) == (2, 8)
    assert isinstance(answers[1], ValueError)
    assert isinstance(answers[2], LookupError)


async def test_beyond_the_bound_callers_are_told_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering = Answering()
    answering.gate.clear()
    gathering = Gathering(answering, flushes_max=1, waiting_max=2)
    first = asyncio.create_task(gathering.ask(0))
    for _ in range(3):
        await asyncio.sleep(0)
    waiting = [asyncio.create_task(gathering.ask(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    told_s: list[float] = []
    with monkeypatch.context() as clock:
        clock.setattr(asyncio.get_running_loop(), "time", lambda: 1_000.0)
        for _ in range(3):
            with pytest.raises(CrowdedError) as caught:
                await gathering.ask(3)
            told_s.append(caught.value.retry_after_s)
    assert told_s[0] == 1.0  # and not all at one moment
    assert told_s[0] < told_s[1] < told_s[2] < 1.1
    answering.gate.set()
    assert await first == 0
    assert await asyncio.gather(*waiting) == [2, 4]
    assert await gathering.ask(3) == 6


async def test_a_caller_that_went_away_is_not_asked_for() -> None:
    answering = Answering()
    answering.gate.clear()
    gathering = Gathering(answering, flushes_max=1)
    first = asyncio.create_task(gathering.ask(1))
    await asyncio.sleep(0)
    gone = asyncio.create_task(gathering.ask(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    last = asyncio.create_task(gathering.ask(3))
    await asyncio.sleep(0)
    answering.gate.set()
    assert (await first, await last) == (2, 6)
    assert answering.flushes == [[1], [3]]
