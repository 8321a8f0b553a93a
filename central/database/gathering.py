"""Questions of many callers answered together: one statement, one commit for all that wait.

There is no window to wait for: what comes while a flush is under way goes with the next one, so a
single caller waits for nobody and many share what one costs (design: stack 4.3). What waits is
bounded; beyond that callers are told to come again instead of all becoming slow.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import asyncpg

from central.database.doors import ComingAgain, CrowdedError

Q = TypeVar("Q")
A = TypeVar("A")

TOGETHER_MAX = 500
FLUSHES_MAX = 2
WAITING_MAX = 4_000
BYTES_MAX = 16_777_216
"""Of one flush; four times as much may wait."""
_GONE = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)
"""The database went away: asking it for each caller alone would only take longer."""


class Gathering(Generic[Q, A]):
    """Gathers questions of one kind; answers come back one for one, an exception for one alone."""

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]],
        *,
        together_max: int = TOGETHER_MAX,
        flushes_max: int = FLUSHES_MAX,
        waiting_max: int = WAITING_MAX,
        size_of: Callable[[Q], int] = lambda _: 0,
    ) -> None:
        """Join what answers.

        Args:
            answer: answers many questions, in their order.
            together_max: the most in one flush.
            flushes_max: so many are under way at a time, a connection each.
            waiting_max: the most that wait for one.
            size_of: the bytes of a question, where they are many.
        """
        self._answer = answer
        self._together_max = together_max
        self._flushes_max = flushes_max
        self._waiting_max = waiting_max
        self._size_of = size_of
        self._waiting_bytes = 0
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._flushes: set[asyncio.Task[None]] = set()
        self._again = ComingAgain()

    async def ask(self, question: Q) -> A:
        """Return the answer, when everything it says is committed.

        Raises:
            CrowdedError: too many wait; says when to come again.
        """
        if len(self._waiting) >= self._waiting_max or self._waiting_bytes > 4 * BYTES_MAX:
            raise CrowdedError(self._again.after_s())
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._waiting_bytes += self._size_of(question)
        if len(self._flushes) < self._flushes_max:
            self._flushes.add(asyncio.create_task(self._flush()))
        return await future

    async def _flush(self) -> None:
        """Answer what waits until nothing does."""
        try:
            while self._waiting:
                batch = self._next_batch()
                if batch:
                    await self._answer_all(batch)
        finally:
            # At once, not in a callback a turn later: whoever asks next counts it no more.
            task = asyncio.current_task()
            assert task is not None
            self._flushes.discard(task)

    def _next_batch(self) -> list[tuple[Q, asyncio.Future[A]]]:
        """Take what goes together: so many, and so many bytes unless one alone is more."""
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        size_bytes = 0
        while self._waiting and len(batch) < self._together_max and size_bytes < BYTES_MAX:
            question, future = self._waiting.popleft()
            own_bytes = self._size_of(question)
            self._waiting_bytes -= own_bytes
            if not future.done():  # its caller may have gone
                batch.append((question, future))
                size_bytes += own_bytes
        return batch

    async def _answer_all(self, batch: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._answer([question for question, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is each caller's to name
            if len(batch) > 1 and not isinstance(error, _GONE):
                # One may be what all fail of: halve until it stands alone.
                middle = len(batch) // 2
                await self._answer_all(batch[:middle])
                await self._answer_all(batch[middle:])
                return
            answers = [error] * len(batch)
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
