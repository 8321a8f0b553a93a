"""The pure function over an archive, in processes of this machine."""

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from central.backtest.archive import Archive, Period, Piece, pieces_of, read_piece
from central.backtest.batch import USUAL, Terms, backtest_batch
from central.backtest.change import RuleChange
from central.backtest.figures import Figures
from central.backtest.pairs import Pairs
from central.system import System

PIECE_RECEIPTS: Final = 10_000
_WAITING_A_PROCESS: Final = 2

Told = Callable[[int, int], None]
"""Progress: how many receipts of how many are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is asked of an archive.

    Attributes:
        folder: of the archive; for Spark it may be an address.
        stores: none = all.
    """

    folder: str
    period: Period
    change: RuleChange
    stores: frozenset[str] = frozenset()
    terms: Terms = USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of it.

    Attributes:
        days: dates of the period the archive has receipts of.
        work_ms: of all processes together, reading included.
    """

    figures: Figures = field(default_factory=Figures)
    days: tuple[str, ...] = ()
    work_ms: int = 0


def backtest_archive(
    task: Task, *, jobs: int, told: Told = lambda _done, _of: None, system: System | None = None
) -> Ran:
    """Calculate the receipts of a period without and with a change.

    Args:
        jobs: processes; 1 = this one alone.
    """
    archive = Archive(Path(task.folder))
    days = archive.days(task.period)
    parts = [part for day in days for part in archive.parts(day)]
    pieces = list(pieces_of(parts, rows_most=PIECE_RECEIPTS))
    rows = sum(piece.rows for piece in pieces)
    figures, done, work_ms = Figures(), 0, 0
    for piece, found, took_ms in _done(task, pieces, jobs, system or System()):
        figures.add(found)
        work_ms += took_ms
        done += piece.rows
        told(done, rows)
    return Ran(figures=figures, days=tuple(days), work_ms=work_ms)


def _done(
    task: Task, pieces: Sequence[Piece], jobs: int, system: System
) -> Iterator[tuple[Piece, Figures, int]]:
    if jobs == 1:
        worker = _Worker(task, system)
        for piece in pieces:
            yield piece, *worker.work(piece)
        return
    # Spawned, as everywhere but on Linux: nothing of this process is copied into the others.
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(task,)
    ) as pool:
        waiting: dict[Future[tuple[Figures, int]], Piece] = {}
        rest = iter(pieces)
        while True:
            # So few are handed out that an early end leaves little to wait for.
            for next_piece in islice(rest, jobs * _WAITING_A_PROCESS - len(waiting)):
                waiting[pool.submit(_work, next_piece)] = next_piece
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), *future.result()


class _Worker:
    """A process's part: the rules of the bundles it meets, kept from piece to piece."""

    def __init__(self, task: Task, system: System) -> None:
        self._task = task
        self._system = system
        self._pairs = Pairs(task.change, Archive(Path(task.folder)).read_bundle)

    def work(self, piece: Piece) -> tuple[Figures, int]:
        """Return the figures of a piece and the milliseconds it took."""
        begun = self._system.monotonic_ms()
        found = backtest_batch(
            read_piece(piece, self._task.stores),
            self._pairs,
            terms=self._task.terms,
            clock=self._system.monotonic_ms,
        )
        return found, self._system.monotonic_ms() - begun


_workers: list[_Worker] = []
"""The one of this process."""


def _begin(task: Task) -> None:
    # A calculation leaves no cycles behind; looking for them again and again takes time.
    gc.disable()
    _workers[:] = [_Worker(task, System())]


def _work(piece: Piece) -> tuple[Figures, int]:
    found = _workers[0].work(piece)
    gc.collect()
    gc.freeze()
    return found
