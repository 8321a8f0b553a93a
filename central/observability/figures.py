"""The figures of the database that monitoring reads: fleet, queues, rights, rules, the feed.

Read together a few times a minute at most; none of it grows with accounts or receipts. The exposure
meter is read once a minute, apart: where it fails, it alone is missing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
import msgspec
import structlog

from central.availability.report import Recent, read_recent
from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.rights.exposure import Exposure, read_exposure
from central.rules.left_behind import LeftBehind, find_left_behind
from central.streams.durable import Durable

log = structlog.get_logger()
_SQL = load_queries("central.observability", "figures.sql")

SILENT_MS: Final = 660_000
"""A till is silent after so long without a word; one whose pull waits is heard every 9 minutes."""
COUNTED_MAX: Final = 100_000
"""Queues are counted up to here."""
NAMED_MAX: Final = 20
"""So many releases of programs and rules are told apart; the others are one."""
STORES_MAX: Final = 50
"""So many silent stores are named; how many there are in all is a figure of its own."""
OTHER: Final = "other"
SELDOM_MS: Final = 60_000
METER_S_MAX: Final = 2.0
"""So long the exposure meter may take, of what a reading of all may."""


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """Tills that are not revoked, and how long they have been silent.

    Attributes:
        quarantined: those that run on two machines.
        receipts_waiting: receipts tills had not handed in at their last word.
    """

    up: int
    silent: int
    new: int
    revoked: int
    silent_hour: int
    silent_day: int
    silent_week: int
    silence_max_ms: int
    receipts_waiting: int
    quarantined: int = 0


class SilentStore(msgspec.Struct, frozen=True, kw_only=True):
    """A store none of whose tills is heard."""

    store_id: str
    region: str
    banner: str
    tills: int
    silence_ms: int


class QuarantinedStore(msgspec.Struct, frozen=True, kw_only=True):
    """A store with tills that run on two machines."""

    store_id: str
    tills: int


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Records kept and not applied; counts up to `COUNTED_MAX`, ages of the oldest.

    Attributes:
        unequal_hour: receipts posted as printed within the last hour that the centre calculates
            otherwise. A count of all there ever were would stand still at the bound.
        quarantined_hour: records that could not be applied in the last hour.
        rejected_hour: receipts of the last hour that are kept and stand in no ledger.
    """

    waiting: int
    parked: int
    waiting_ms: int
    parked_ms: int
    unequal_hour: int
    quarantined_hour: int
    rejected_hour: int


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Events that no broker has yet, up to `COUNTED_MAX`, the oldest's age, and those refused."""

    waiting: int
    dead: int
    waiting_ms: int


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """Changes tills are not told yet, and for how long the oldest writing transaction is seen."""

    held: int
    transaction_ms: int


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """PostgreSQL itself."""

    connections: int
    connections_max: int
    bytes: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment.

    Attributes:
        quarantined: tills that run on two machines, `NAMED_MAX` at most.
        quarantined_stores: theirs, `STORES_MAX` at most, those with most of them first.
        software, rules: tills by version; of many versions those with fewest tills, or oldest, are
            `OTHER`.
        silent_stores: the first of them; `silent_stores_count` are there.
        releases: of rules, by state; `halted` are the versions halted within a day.
        left_behind: tills that sell with rules taken away and cannot be brought back.
        unsealed_days: of the ledger, that are over.
        recent: how customers were served lately.
        exposure: as it was read last, for `SELDOM_MS` at most; None where it could not be read.
        mark_ms: age of the oldest acknowledged record that tills may not forget yet; 0 = none.
    """

    fleet: Fleet
    quarantined: tuple[int, ...] = ()
    quarantined_stores: tuple[QuarantinedStore, ...] = ()
    software: dict[str, int]
    rules: dict[str, int]
    silent_stores: tuple[SilentStore, ...]
    silent_stores_count: int
    queue: Queue
    events: Events
    feed: Feed
    exposure: Exposure | None
    releases: dict[str, int]
    halted: tuple[int, ...]
    left_behind: tuple[LeftBehind, ...] = ()
    unsealed_days: int
    server: Server
    recent: tuple[Recent, ...]
    mark_ms: int = 0


@dataclass(slots=True)
class Seldom:
    """What is read once a minute: the exposure meter sums rights, the mark asks streams.

    Attributes:
        durable: what makes a record so; where its commit does, the mark is never behind.
    """

    durable: Durable = "commit"
    exposure: Exposure | None = None
    beyond_ms: int | None = None
    read_ms: int | None = None

    async def read(self, connection: Connection, *, now_ms: int) -> tuple[Exposure | None, int]:
        """Return the exposure and how old the mark is, ms; read anew where they are old.

        Outside any transaction: one that a statement fails in can be asked no more.
        """
        if self.read_ms is None or not 0 <= now_ms - self.read_ms < SELDOM_MS:
            if self.durable != "commit":
                self.beyond_ms = await connection.fetchval(_SQL["oldest_beyond"])
            self.exposure, self.read_ms = await self._read_meter(connection), now_ms
        mark_ms = 0 if self.beyond_ms is None else max(now_ms - self.beyond_ms, 0)
        return self.exposure, mark_ms

    async def _read_meter(self, connection: Connection) -> Exposure | None:
        try:
            return await read_exposure(connection, wait_s=METER_S_MAX)
        except (asyncpg.PostgresError, TimeoutError) as error:
            log.warning("exposure_not_read", why=repr(error))
            return None


@dataclass(slots=True)
class OldestTransaction:
    """How long the oldest transaction that writes has been seen running; a reader's memory."""

    xid: str = ""
    since_ms: int = 0

    def see(self, xid: str, *, runs: bool, now_ms: int) -> int:
        """Return for how long, milliseconds.

        Args:
            runs: it does; else it is the one that comes next.
        """
        if xid != self.xid or not runs:
            self.xid, self.since_ms = xid, now_ms
        return max(now_ms - self.since_ms, 0)


async def read_figures(
    connection: Connection, *, now_ms: int, oldest: OldestTransaction, seldom: Seldom
) -> Figures:
    """Read all figures, but those read seldom in a transaction of one snapshot."""
    exposure, mark_ms = await seldom.read(connection, now_ms=now_ms)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        today = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()
        return Figures(
            fleet=Fleet(**await _row(connection, "tills", now_ms, SILENT_MS)),
            quarantined=tuple(
                row["till_id"] for row in await connection.fetch(_SQL["quarantined"], NAMED_MAX)
            ),
            quarantined_stores=tuple(
                QuarantinedStore(**row)
                for row in await connection.fetch(_SQL["quarantined_stores"], STORES_MAX)
            ),
            software=_bounded(await connection.fetch(_SQL["software"])),
            rules=_bounded(await connection.fetch(_SQL["rules"])),
            silent_stores=tuple(
                SilentStore(**row)
                for row in await connection.fetch(
                    _SQL["silent_stores"], now_ms, SILENT_MS, STORES_MAX
                )
            ),
            silent_stores_count=await connection.fetchval(
                _SQL["silent_stores_count"], now_ms, SILENT_MS
            ),
            queue=Queue(
                **await _row(connection, "unapplied", COUNTED_MAX),
                **await _row(connection, "inbox", now_ms, COUNTED_MAX),
            ),
            events=Events(**await _row(connection, "events", now_ms, COUNTED_MAX)),
            feed=await _feed(connection, now_ms, oldest),
            exposure=exposure,
            mark_ms=mark_ms,
            releases={
                row["state"]: row["releases"] for row in await connection.fetch(_SQL["releases"])
            },
            halted=tuple(row["version"] for row in await connection.fetch(_SQL["halted"], now_ms)),
            left_behind=tuple((await find_left_behind(connection)).values()),
            unsealed_days=await connection.fetchval(_SQL["seals"], today) or 0,
            server=Server(**await _row(connection, "server")),
            recent=await read_recent(connection, now_ms=now_ms),
        )


async def _feed(connection: Connection, now_ms: int, oldest: OldestTransaction) -> Feed:
    row = await connection.fetchrow(_SQL["feed"], COUNTED_MAX)
    assert row is not None
    transaction_ms = oldest.see(row["oldest"], runs=row["runs"], now_ms=now_ms)
    return Feed(held=row["held"], transaction_ms=transaction_ms)


async def _row(connection: Connection, name: str, *values: object) -> dict[str, int]:
    row = await connection.fetchrow(_SQL[name], *values)
    assert row is not None
    return dict(row)


def _bounded(rows: list[asyncpg.Record]) -> dict[str, int]:
    """Return tills by version, the first as they come and all the others together."""
    named = {str(row["version"]): int(row["tills"]) for row in rows[:NAMED_MAX]}
    if rows[NAMED_MAX:]:
        named[OTHER] = sum(int(row["tills"]) for row in rows[NAMED_MAX:])
    return named
