"""Calls that may go through much of the base: one at a time in a process, and not for long.

Whoever waits for one has a place of the office's (`central.api.traffic`); the others stay free.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from central.database.doors import Door
from central.errors import TakesTooLongError

LONGEST_S: Final = 30.0
WAITING_MAX: Final = 16
WAIT_S_MAX: Final = 2.0


class LongCalls:
    """The place that such calls have together."""

    def __init__(self) -> None:
        """Make the place."""
        self._door = Door(running_max=1, waiting_max=WAITING_MAX, wait_s_max=WAIT_S_MAX)

    @asynccontextmanager
    async def one(self, command: str) -> AsyncIterator[None]:
        """Take the place for the length of the block, and give the block up when it takes too long.

        Args:
            command: does the same and takes its time.

        Raises:
            CrowdedError: another call has the place.
            TakesTooLongError: it is given up.
        """
        async with self._door:
            try:
                async with asyncio.timeout(LONGEST_S):
                    yield
            # The server may have thought so before: it gives a statement as long.
            except (TimeoutError, asyncpg.QueryCanceledError) as error:
                raise TakesTooLongError(LONGEST_S, command) from error
