"""Planted bugs: ways to keep a journal that a power cut must show; the product has none of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from agent.journal.journal import Journal
from bench.crash.day import SMALL_LOG, AsBuilt


class _AnchorFirst(Journal):
    """Tells the anchor of a spend before it is durable."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            if self.stream.moved_rights:
                self.drop_anchor()


class _AnchorNever(Journal):
    """Has an anchor and never writes it."""

    def drop_anchor(self) -> None:
        self.stream.moved_rights = False


class _AnchorIgnored(Journal):
    """Takes itself for what it was when the power went."""

    def doubt(self) -> str:
        return ""


class _SpendFirst(Journal):
    """Commits a record and the rights it takes one after the other."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            if self.stream.moved_rights:
                self._database.run("commit")
                self._database.run("begin immediate")
                self._database.run("update offline_limit set points_max = points_max")


PLANTS: Final = {
    "not-synced": AsBuilt(
        "the journal is committed without a sync",
        pragmas=tuple(p.replace("synchronous=full", "synchronous=normal") for p in SMALL_LOG),
    ),
    "anchor-first": AsBuilt("the anchor is written before the commit", journal=_AnchorFirst),
    "anchor-never": AsBuilt("the anchor is never written", journal=_AnchorNever),
    "anchor-ignored": AsBuilt("a journal that lost its tail goes on", journal=_AnchorIgnored),
}
