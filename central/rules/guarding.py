"""Looks after releases that are on their way to tills, and halts one that a guard speaks against.

Nothing is done while no release is young. Receipts are counted by bundle in steps of ten seconds;
each look counts the last steps anew, so that what was committed late is counted and nothing twice.
What a person has resumed is judged by what came after that.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError
from central.observability.meters import RULES_HALTED
from central.rules.guards import GUARD, Figures, GuardSettings, judge, read_guards
from central.rules.moments import come_at, first_ms
from central.rules.releases import halt
from central.system import System
from sync.errors import MalformedMessageError
from sync.records import SaleRecord, decode_record

log = structlog.get_logger()
_SQL = load_queries("central.rules", "guarding.sql")

YOUNG_MS: Final = 72 * 3_600_000
"""So long a release is looked after: after its last ring or pin, or it was resumed, or had begun at
all stores, whichever was last.
"""
BUCKET_MS: Final = 10_000
_LATE_MS: Final = 30_000
"""A receipt's transaction is committed by then."""
_STEP_MS: Final = 600_000
"""Receipts of so long are counted by one statement, which is short at any chain's rate."""
_BASELINE_RECEIPTS: Final = 5_000
_BASELINE_AMONG: Final = 100_000
"""Looked for among so many."""


@dataclass(frozen=True, slots=True)
class Halted:
    """A release that was halted, and what was known of it then.

    Attributes:
        left_behind: tills that keep it because nothing signed can bring them back.
    """

    version: int
    why: str
    release: Figures
    control: Figures
    left_behind: int = 0


@dataclass(frozen=True, slots=True)
class _Young:
    """A release that is looked after.

    Attributes:
        since_ms: when it came to more tills last: by a ring, a pin, or because a person resumed it.
        resumed_ms: when a person resumed it last; 0 = nobody has.
        begins_ms: from when on it may have begun somewhere.
    """

    version: int
    bundle: str
    since_ms: int
    resumed_ms: int
    begins_ms: int
    settings: GuardSettings

    @property
    def judged_ms(self) -> int:
        """Since when its receipts are judged, in whole steps: none from before it was resumed."""
        begin_ms = max(self.since_ms, self.begins_ms) // BUCKET_MS * BUCKET_MS
        return max(begin_ms, -(-self.resumed_ms // BUCKET_MS) * BUCKET_MS)


@dataclass(slots=True)
class RuleGuard:
    """Guards the releases of a centre; one process's memory of how far it has looked."""

    pool: Pool
    system: System
    _counted_to_ms: int = 0
    _decided_to_ms: int = 0
    _swept_ms: int = 0
    _unposted: dict[int, tuple[str, int]] = field(default_factory=dict)
    _baselines: dict[tuple[int, int], Figures] = field(default_factory=dict)

    async def look(self) -> tuple[Halted, ...]:
        """Look once at all young releases; returns those that were halted."""
        now_ms = self.system.now_ms()
        async with self.pool.acquire() as connection:
            oldest_ms = now_ms - YOUNG_MS
            rows = await connection.fetch(_SQL["young"], oldest_ms, come_at(oldest_ms))
            young = [_young(row) for row in rows]
            if not young:
                self._unposted.clear()
                return ()
            since_ms = min(each.judged_ms for each in young)
            await self._count(connection, since_ms, now_ms)
            await self._find_unposted(connection, since_ms, now_ms)
            versions = [each.version for each in young]
            halted = [await self._judge(connection, each, versions) for each in young]
        return tuple(each for each in halted if each is not None)

    async def _count(self, connection: Connection, since_ms: int, now_ms: int) -> None:
        """Count on in time's order: back to `since_ms` nothing is missing below what was counted.

        Before that there may be gaps, of times in which no release was young.
        """
        if not self._counted_to_ms:  # the process before this one, or another, may have counted
            self._counted_to_ms = await connection.fetchval(_SQL["counted_last"], now_ms) or 0
        begin_ms = max(since_ms, self._counted_to_ms - _LATE_MS) // BUCKET_MS * BUCKET_MS
        end_ms = (now_ms // BUCKET_MS + 1) * BUCKET_MS
        for at_ms in range(begin_ms, end_ms, _STEP_MS):
            to_ms = min(at_ms + _STEP_MS, end_ms)
            await connection.execute(_SQL["count_receipts"], at_ms, to_ms, BUCKET_MS)
            self._counted_to_ms = min(to_ms, now_ms)
        self._counted_to_ms = now_ms
        if now_ms - self._swept_ms > YOUNG_MS:
            await connection.execute(_SQL["forget_counts"], now_ms - 2 * YOUNG_MS)
            self._swept_ms = now_ms

    async def _find_unposted(self, connection: Connection, since_ms: int, now_ms: int) -> None:
        begin_ms = max(since_ms, self._decided_to_ms - _LATE_MS)
        # Several processes post: what arrived earlier may be decided later.
        known = [each for each, (_, at_ms) in self._unposted.items() if at_ms >= begin_ms]
        for row in await connection.fetch(_SQL["unposted"], begin_ms, known):
            self._unposted[row["arrival"]] = _bundle_of(row["body"]), row["decided_at_ms"]
        self._decided_to_ms = now_ms

    async def _judge(
        self, connection: Connection, young: _Young, versions: Collection[int]
    ) -> Halted | None:
        ours, theirs = Figures(), Figures()
        counted = await connection.fetch(_SQL["counts"], young.judged_ms)
        told = await connection.fetch(_SQL["told"], young.bundle, young.since_ms, young.resumed_ms)
        asked = (young.version, young.bundle, versions)
        not_normal = {row["bundle"] for row in await connection.fetch(_SQL["not_normal"], *asked)}
        for row in (*counted, *told):
            if row["bundle"] == young.bundle:
                ours = _sum((ours, _figures(row)))
            elif row["bundle"] not in not_normal:
                # Tills of a newer release are its to answer for, not what is normal, while that is
                # looked after itself; those of another programme have other offers.
                theirs = _sum((theirs, _figures(row)))
        ours = msgspec.structs.replace(ours, unequal=ours.unequal + self._not_posted(young))
        if theirs.receipts < young.settings.receipts_min <= ours.receipts:
            theirs = _sum((theirs, await self._baseline(connection, young, not_normal)))
        if not (why := judge(young.settings, ours, theirs)):
            return None
        try:
            done = await halt(connection, young.version, why=why, by=GUARD, system=self.system)
        except BadRequestError:  # somebody was quicker
            return None
        RULES_HALTED.inc()
        log.error(
            "release_halted", release=young.version, why=why, receipts=ours.receipts,
            left_behind=done.left_behind,
        )  # fmt: skip
        return Halted(young.version, why, ours, theirs, done.left_behind)

    def _not_posted(self, young: _Young) -> int:
        return sum(
            bundle == young.bundle and decided_ms >= young.judged_ms
            for bundle, decided_ms in self._unposted.values()
        )

    async def _baseline(
        self, connection: Connection, young: _Young, not_normal: Collection[str]
    ) -> Figures:
        """Return what the last receipts before a release began show; asked once a beginning."""
        asked = young.version, young.judged_ms
        found = self._baselines.get(asked)
        if found is None:
            row = await connection.fetchrow(
                _SQL["baseline"], young.judged_ms, _BASELINE_RECEIPTS, young.bundle,
                sorted(not_normal), _BASELINE_AMONG,
            )  # fmt: skip
            assert row is not None
            found = self._baselines[asked] = _figures(row)
        return found


def _young(row: asyncpg.Record) -> _Young:
    return _Young(
        version=row["version"],
        bundle=row["bundle"],
        since_ms=max(row["given_ms"], row["resumed_ms"]),
        resumed_ms=row["resumed_ms"],
        begins_ms=first_ms(row["activate_at"]),
        settings=read_guards(row["guards"]),
    )


def _figures(row: asyncpg.Record) -> Figures:
    known = {name: int(value or 0) for name, value in row.items() if name in _NAMES}
    return Figures(**known)


_NAMES: Final = frozenset(Figures.__struct_fields__)


def _sum(figures: Iterable[Figures]) -> Figures:
    columns = zip(*(msgspec.structs.astuple(each) for each in figures), strict=True)
    return Figures(**dict(zip(Figures.__struct_fields__, map(sum, columns), strict=True)))


def _bundle_of(body: bytes) -> str:
    """Return the bundle a record that could not be applied was sold under; empty for no sale."""
    try:
        record = decode_record(body)
    except MalformedMessageError:
        return ""
    return record.inputs.bundle if isinstance(record, SaleRecord) else ""
