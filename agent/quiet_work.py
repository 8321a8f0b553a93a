"""What no register should wait for: done after an answer, and more of it the longer nobody calls.

A call that comes meanwhile goes first; whatever is left then is done after its answer.
"""

import asyncio
import gc

import structlog

from agent.errors import JournalDamagedError, JournalUnavailableError
from agent.journal.database import LOG_PAGES_RUSH
from agent.till_service.till import Till
from agent.till_thread import TillThread

log = structlog.get_logger()

ANSWERED_S = 0.005
"""So long after a call its answer has left; the sale it noted is entered."""
SILENT_S = 0.5
"""So long without a call the journal's log is moved into its file: that takes some syncs."""
IDLE_S = 5.0
"""So long without a call objects that stay are counted out of the garbage collector's rounds."""


class QuietWork:
    """The quiet work of one till; lives on the event loop."""

    def __init__(self, till: Till, thread: TillThread, *, journal_damaged: asyncio.Event) -> None:
        """Use a till.

        Args:
            journal_damaged: set when the journal failed for good.
        """
        self._till = till
        self._thread = thread
        self._journal_damaged = journal_damaged
        self._task: asyncio.Task[None] | None = None
        self._settled: object = None

    def call_begins(self) -> None:
        """Let a call go first."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def call_ended(self) -> None:
        """Begin when its answer has left."""
        self.call_begins()
        self._task = asyncio.create_task(self._work(), name="quiet work")

    async def _work(self) -> None:
        journal = self._till.journal
        try:
            await asyncio.sleep(ANSWERED_S)
            await self._thread.run(journal.catch_up)
            await self._thread.run(journal.tidy, LOG_PAGES_RUSH)
            await asyncio.sleep(SILENT_S)
            await self._thread.run(journal.tidy)
        except JournalUnavailableError as error:
            log.warning("journal_behind", why=str(error))
        except JournalDamagedError:
            self._journal_damaged.set()
            return
        if self._settled is not self._till.books.active:
            await asyncio.sleep(IDLE_S)
            self._settled = self._till.books.active
            await self._thread.run(settle_objects)

    async def close(self) -> None:
        """Stop; the journal does what is left when it closes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def settle_objects() -> None:
    """Have the collector look at what comes from now on only; rules stay for days.

    A round over all of them takes longer than a sale may.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
