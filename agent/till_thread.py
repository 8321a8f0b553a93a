"""The till's only thread: journal, rules and rights are touched nowhere else, without any lock.

Network waits happen on the event loop between the steps of a generator, never on this thread.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

R = TypeVar("R")
A = TypeVar("A")
S = TypeVar("S")


class TillThread:
    """Runs plain functions and generators one at a time."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="till")

    async def run(self, function: Callable[..., R], *values: object) -> R:
        """Run a function on the till's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *values)

    async def drive(self, steps: Generator[A, S, R], answer: Callable[[A], Awaitable[S]]) -> R:
        """Run a generator to its end: its code on the till's thread, its asking on the event loop.

        Args:
            answer: given what the generator yields; what it raises is thrown into the generator.
        """
        done, value = await self.run(_advance, steps, None)
        while not done:
            try:
                reply: Any = await answer(value)
            except Exception as error:  # noqa: BLE001 - thrown into the generator, which decides
                done, value = await self.run(_throw, steps, error)
            else:
                done, value = await self.run(_advance, steps, reply)
        return value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Wait for what is running and stop."""
        self._executor.shutdown()


def _advance(steps: Generator[Any, Any, Any], reply: object) -> tuple[bool, Any]:
    try:
        return False, steps.send(reply)
    except StopIteration as end:
        return True, end.value


def _throw(steps: Generator[Any, Any, Any], error: Exception) -> tuple[bool, Any]:
    try:
        return False, steps.throw(error)
    except StopIteration as end:
        return True, end.value
