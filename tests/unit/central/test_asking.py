"""Whoever asks a database that hangs is answered in time, and it is asked once."""

import asyncio

import pytest

from central.database.asking import Asking


async def test_many_ask_one_question_and_nobody_waits_for_a_late_answer() -> None:
    asked = 0
    answered = asyncio.Event()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await answered.wait()
        return asked

    asking = Asking(ask)
    late = await asyncio.gather(*(asking.answer(wait_s=0.01) for _ in range(5)))
    assert (late, asked) == ([None] * 5, 1)
    waiting = [asyncio.create_task(asking.answer(wait_s=30)) for _ in range(3)]
    await asyncio.sleep(0)
    answered.set()
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    assert await asking.answer(wait_s=30) == 2


async def test_who_goes_away_takes_nobodys_answer_along() -> None:
    answered = asyncio.Event()

    async def ask() -> bool:
        await answered.wait()
        return True

    asking = Asking(ask)
    gone, stays = (asyncio.create_task(asking.answer(wait_s=30)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    answered.set()
    assert await stays is True


async def test_what_goes_wrong_is_told_to_who_asked() -> None:
    async def ask() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await Asking(ask).answer(wait_s=30)
