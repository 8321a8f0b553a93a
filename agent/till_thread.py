"""The till's only thread: journal, rules and rights are touched nowhere else, without any lock.

Network waits happen on the event loop between the steps of a generator, never on this thread.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

R = TypeVar("R")
A = TypeVar("A")
S = TypeVar("S")


@dataclass(slots=True)
class _Work:
    """A function on its way to the thread, and where its result is waited for."""

    function: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]

    def run(self) -> None:
        if self.done.cancelled():
            return  # nobody waits for it any more, and it has not begun
        result, failure = None, None
        try:
            result = self.function()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(self._end, result, failure)

    def _end(self, result: object, failure: BaseException | None) -> None:
        if self.done.cancelled():
            return
        if failure is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(failure)


class TillThread:
    """Runs plain functions and generators one at a time.

    A queue and a thread of its own: an executor takes twice as long to hand work over and back.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="till", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            work.run()

    async def run(self, function: Callable[..., R], *values: object) -> R:
        """Run a function on the till's thread.

        Raises:
            RuntimeError: the thread was closed.
        """
        if not self._thread.is_alive():
            raise RuntimeError("the till's thread was closed")
        loop = asyncio.get_running_loop()
        work = _Work(partial(function, *values), loop, loop.create_future())
        self._queue.put(work)
        result: R = await work.done
        return result

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
        self._queue.put(None)
        self._thread.join()


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
