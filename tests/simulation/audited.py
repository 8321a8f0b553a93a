"""What an auditor may look at: the centre's tables, the tills' files, the registers' paper."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import asyncpg

from tests.simulation.chronicle import Chronicle
from tests.simulation.paper import Paper

Rows = list[tuple[Any, ...]]


class TillFiles(Protocol):
    """What the auditor reads of a till; two machines of one till have the same number."""

    name: str
    number: int
    store: str
    greeted_ms: int

    def catch_up(self) -> bool:
        """Have the agent do what it postponed; says whether its files can be read."""
        ...

    def journal_rows(self, sql: str) -> Rows:
        """Return rows of the journal."""
        ...

    def cache_rows(self, sql: str) -> Rows:
        """Return rows of the cache."""
        ...


@dataclass(slots=True, kw_only=True)
class World:
    """What an auditor may look at.

    Attributes:
        tills: machines, by a number of their own.
        opening: points by account.
        revoked: numbers of revoked tills.
        dead: machines that are gone for good.
        restored: tills whose disk came back from an image, and the points its rights were worth:
            the most such a till may spend a second time (design: sync 5, I1).
        came_back: tills whose disk came back from an image, those, too, that found out at once.
        rights_seen_twice: the same by right, as the centre names it.
        asks_seen_twice: open asks by courier in an image; grants for them may be taken twice.
        old_streams: incarnations that came back from an image.
        failed_over_ms: when the centre was thrown back last; it knows of no till what came since.
        forgotten: rights it gave meanwhile: they are bounded, not covered.
        uncovered: rights and budgets that were given meanwhile: the most the pool may lack for.
        overtaken: those of them that somebody had seen more of, and who: their tills must find out.
    """

    pool: "asyncpg.Pool[asyncpg.Record]"
    tills: Mapping[int, TillFiles]
    paper: Paper
    chronicle: Chronicle
    opening: dict[int, int]
    revoked: set[int] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    restored: Counter[int] = field(default_factory=Counter)
    old_streams: set[bytes] = field(default_factory=set)
    came_back: set[int] = field(default_factory=set)
    rights_seen_twice: Counter[str] = field(default_factory=Counter)
    asks_seen_twice: set[bytes] = field(default_factory=set)
    overtaken: dict[bytes, str] = field(default_factory=dict)
    failed_over_ms: int = -1
    forgotten: set[str] = field(default_factory=set)
    uncovered: int = 0

    def is_revoked(self, till: TillFiles) -> bool:
        """Say whether a till was revoked."""
        return till.number in self.revoked
