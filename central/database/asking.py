"""One question to the database at a time, whoever asks, and nobody waits longer than he said.

A database that hangs keeps whoever gives up a statement waiting, too: so the question goes on by
itself, and those who asked go without an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Asking(Generic[T]):
    """Asks once for all who want to know at the same time."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        """Take the question; what it raises is raised to everybody who asked."""
        self._ask = ask
        self._asked: asyncio.Task[T] | None = None

    async def answer(self, *, wait_s: float) -> T | None:
        """Return the answer; None where there is none in time."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._asks())
        done, _ = await asyncio.wait({self._asked}, timeout=wait_s)
        return self._asked.result() if done else None

    async def _asks(self) -> T:
        return await self._ask()
