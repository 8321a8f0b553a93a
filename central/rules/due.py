"""Which release a till should have had at a moment, where it had an older one (design: sync 4.4).

Only what is open now is ever due: of a release that was halted or withdrawn nobody says that a till
should have had it. Where history is not kept (a pin that was moved since) nothing is said.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rules.moments import last_ms
from central.rules.rings import EVERYWHERE, Ring
from central.rules.ways import TillRules, ring_of

_SQL = load_queries("central.rules", "due.sql")

GRACE_MS: Final = 3_600_000
"""So long after a release was announced to a till, or began, older rules are nobody's fault.

A till that talks hears in seconds and has fetched in minutes, over 64 kbit/s, too; a receipt keeps
the rules of its first total while the customer looks for a card; clocks are off by minutes. An hour
is above all of these together and far below the outages the outcome is there to show.
"""
_GRACE: Final = timedelta(milliseconds=GRACE_MS)

_Scope = tuple[str, str]
"""`till` or `store`, and its name."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release, as far as it can be due.

    Attributes:
        activate_at: local moment at each store; empty = at once.
        since_ms: when it was published, or resumed if that was later.
        rings: each with when it was added, Unix milliseconds.
    """

    version: int
    bundle: str
    programme: str
    activate_at: str
    since_ms: int
    rings: tuple[tuple[Ring, int], ...]

    def announced_ms(self, till: TillRules) -> int | None:
        """Return since when a till could hear of it by its rings; None where none holds it."""
        holding = [
            added_at_ms
            for ring, added_at_ms in self.rings
            if ring.holds(
                till_id=till.till_id,
                store_id=till.store_id,
                region=till.region,
                release=self.version,
            )
        ]
        return max(self.since_ms, min(holding)) if holding else None

    def has_begun(self, local: str) -> bool:
        """Say whether its moment had come; a text that is no moment has, as on the till."""
        try:
            return datetime.fromisoformat(local) >= datetime.fromisoformat(self.activate_at)
        except ValueError:
            return True


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything that decides, of one moment.

    Attributes:
        published: of each bundle all its releases, the newest first; of base rules those of the
            bundle they come from.
        standing: open ones whose content was not taken away since, the newest first.
        newest: bundles that nothing is newer than, for any till: of the newest open release of a
            programme where that is for everybody; and base rules of them.
        pins: those that count.
        pins_changed_ms: when a pin was set, moved or taken away last.
    """

    published: Mapping[str, Sequence[Release]] = field(default_factory=dict)
    standing: Sequence[Release] = ()
    newest: frozenset[str] = frozenset()
    pins: Mapping[_Scope, Release] = field(default_factory=dict)
    pins_changed_ms: Mapping[_Scope, int] = field(default_factory=dict)


class DueRules:
    """One process's memory of releases, rings and pins; read anew when they have changed."""

    def __init__(self) -> None:
        self._number = 0
        self._known = _Known()

    async def refresh(self, database: Connection | Pool, number: int) -> None:
        """Read anew what has changed.

        Args:
            number: of the last change, read before (`rule_change`).
        """
        if number != self._number:
            self._known = await _read(database)
            self._number = number

    def is_newest(self, bundle: str) -> bool:
        """Say whether nothing is newer than a bundle, whatever till has it; most receipts' is."""
        return bundle in self._known.newest

    def newer(self, till: TillRules) -> Iterator[Release]:
        """Yield open releases of a till that are newer than what it has, the newest first.

        Nothing is newer than no rules or unknown ones; of what a till has, the programme counts.
        """
        known = self._known
        own = self._own(till)
        if own is None:
            return
        bundle, programme = own.bundle, own.programme
        pinned = next((known.pins[each] for each in _scopes(till) if each in known.pins), None)
        for each in known.standing if pinned is None else (pinned,):
            if each.version <= own.version:
                return
            if (
                each.programme == programme
                and each.bundle not in (bundle, till.refused)
                and (pinned is not None or each.announced_ms(till) is not None)
            ):
                yield each

    def _own(self, till: TillRules) -> Release | None:
        """Return the release a till has its rules of; None for none, and unknown ones."""
        had = self._known.published.get(till.bundle)
        if not had:
            return None
        return next((each for each in had if each.announced_ms(till) is not None), had[-1])

    def find(self, till: TillRules, *, local: str, at_ms: int) -> Release | None:
        """Return the release a till should have had in place of what it had.

        Args:
            local: earliest moment of the store's local time a receipt can have been begun at.
            at_ms: the same in Unix milliseconds.

        Returns:
            None where it had what it should, within `GRACE_MS`, or nobody can tell any more: its
            pin was moved since, or its store has changed its programme.
        """
        known = self._known
        told_by_ms = at_ms - GRACE_MS
        if any(known.pins_changed_ms.get(each, 0) > told_by_ms for each in _scopes(till)):
            return None
        begun_by = (datetime.fromisoformat(local) - _GRACE).isoformat()
        newer = tuple(self.newer(till))
        for place, each in enumerate(newer, 1):
            if each.programme != till.programme:
                return None
            announced_ms = each.announced_ms(till)
            since_ms = each.since_ms if announced_ms is None else announced_ms  # pinned: no ring
            since_ms = max(since_ms, _offered_ms(each, (self._own(till), *newer[place:])))
            if since_ms <= told_by_ms and each.has_begun(begun_by):
                return each
        return None


def _offered_ms(release: Release, older: Iterable[Release | None]) -> int:
    """Return from when on a till can be offered a release that begins after others of its own.

    It keeps one that waits; what begins next is for the time after (`central.rules.ways`).
    """
    before = [each.activate_at for each in older if each]
    return max(
        (last_ms(moment) for moment in before if "" < moment < release.activate_at), default=0
    )


def _scopes(till: TillRules) -> tuple[_Scope, _Scope]:
    return ("till", str(till.till_id)), ("store", till.store_id)


async def _read(database: Connection | Pool) -> _Known:
    rings: dict[int, list[tuple[Ring, int]]] = {}
    for row in await database.fetch(_SQL["rings"]):
        rings.setdefault(row["release"], []).append((ring_of(row), row["added_at_ms"]))
    published: dict[str, list[Release]] = {}
    standing: dict[int, Release] = {}
    gone: set[str] = set()
    for row in await database.fetch(_SQL["releases"]):
        release = _release(row, rings.get(row["version"], ()))
        of_bundle = published.setdefault(release.bundle, [])
        of_bundle.append(release)
        if row["base_hash"]:
            published[row["base_hash"]] = of_bundle
        if row["state"] != "open":
            gone.add(release.bundle)
        elif release.bundle not in gone:
            standing[release.version] = release
    tops = {each.programme: each for each in reversed(standing.values())}
    newest = {
        each.bundle for each in tops.values() if any(ring == EVERYWHERE for ring, _ in each.rings)
    }
    rows = await database.fetch(_SQL["pins"])
    changed: dict[_Scope, int] = {}
    for row in rows:
        scope = row["scope"], row["name"]
        changed[scope] = max(changed.get(scope, 0), row["changed_at_ms"])
    pins = {
        (row["scope"], row["name"]): standing[row["release"]]
        for row in rows
        if row["release"] in standing
    }
    return _Known(
        published=published,
        standing=tuple(standing.values()),
        newest=frozenset(name for name, had in published.items() if had[0].bundle in newest),
        pins=pins,
        pins_changed_ms=changed,
    )


def _release(row: asyncpg.Record, rings: Iterable[tuple[Ring, int]]) -> Release:
    return Release(
        version=row["version"],
        bundle=row["bundle"],
        programme=row["programme"],
        activate_at=row["activate_at"],
        since_ms=row["since_ms"],
        rings=tuple(rings),
    )


# Looking


class StaleReceipts(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts that were calculated with older rules than a release that was due.

    Attributes:
        tills: they came from.
        discount_minor: printed less what the release would have given; above zero they cost more.
        points: earned, in the same way.
        unknown: receipts the release cannot calculate; their part of the two sums is not known.
    """

    release: int
    bundle: str
    state: str
    receipts: int
    tills: int
    discount_minor: int
    points: int
    unknown: int
    last_posted_at_ms: int


async def list_stale(connection: Connection) -> tuple[StaleReceipts, ...]:
    """Return what receipts with older rules cost, by the release that was due.

    The newest first, a thousand at most.
    """
    rows = await connection.fetch(_SQL["stale_by_release"])
    return tuple(
        msgspec.convert({**row, "state": row["state"] or ""}, StaleReceipts) for row in rows
    )
