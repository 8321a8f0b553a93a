"""How far a long command is: a line on the terminal, drawn in place; elsewhere nothing."""

import sys
from types import TracebackType
from typing import Self


class Progress:
    """Draws `12,000 of 90,000 receipts (13 %)` while its block runs."""

    def __init__(self, what: str) -> None:
        """Take what is counted, a plural."""
        self._what = what
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            print(file=sys.stderr)

    def told(self, done: int, total: int, where: str = "") -> None:
        """Say how far it is.

        Args:
            where: said before, a date or a file.
        """
        if not sys.stderr.isatty():
            return
        share = 100 * done // total if total else 100
        line = f"{where and where + ': '}{done:,} of {total:,} {self._what} ({share} %)"
        if line != self._shown:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self._shown = line
