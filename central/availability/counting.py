"""Counts posted receipts by minute, store, banner and region, each exactly once.

Receipts posted longer than `SETTLE_MS` ago are folded into rows of minutes, with the place up to
which that was done in the same transaction. What was posted since is asked of the receipts
themselves, so that a minute is complete as soon as its receipts are here. A receipt that comes
late, after an outage, is counted in the minute it was sold in.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg
import structlog

from central.availability.packing import NOTHING, Counts, add, pack, unpack
from central.availability.service import Service, posted_before
from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.ledger.account_books import columns

log = structlog.get_logger()
_SQL = load_queries("central.availability", "availability.sql")

SETTLE_MS: Final = 300_000
"""A receipt is committed so long after its `posted_at_ms`, whatever it had to wait for."""
ONCE_MAX: Final = 20_000
"""Receipts folded in one transaction."""
KEEP_HOURS: Final = 24 * 400
"""So long minutes are kept by store; those of banners and regions are kept for ever."""
MINUTE_MS: Final = 60_000
HOUR_MINUTES: Final = 60
_KINDS: Final = tuple(Service)


@dataclass(frozen=True, slots=True)
class Place:
    """A store, and what it belongs to."""

    store_id: str
    region: str = ""
    banner: str = ""


@dataclass(slots=True)
class Tally:
    """Receipts by minute since 1970, UTC, and place."""

    counts: dict[tuple[int, Place], Counts] = field(default_factory=dict)

    def count(self, minute: int, place: Place, service: Service, receipts: int) -> None:
        """Add receipts."""
        more = tuple(receipts if kind is service else 0 for kind in _KINDS)
        before = self.counts.get((minute, place), NOTHING)
        self.counts[minute, place] = add(before, (more[0], more[1], more[2], more[3]))


async def fold(pool: Pool, *, now_ms: int, once_max: int = ONCE_MAX) -> int:
    """Fold the next receipts that are settled; returns how many rows of minutes that made or moved.

    Several processes may do so: one works, the others find the work done.
    """
    async with pool.acquire() as connection, connection.transaction():
        begin_ms: int = await connection.fetchval(_SQL["lock_state"])
        settled_ms = now_ms - SETTLE_MS
        first_ms = await connection.fetchval(_SQL["first_posted"], begin_ms, settled_ms)
        if first_ms is None:
            if settled_ms > begin_ms:
                await connection.execute(_SQL["move_state"], settled_ms)
            return 0
        beyond_ms = await connection.fetchval(
            _SQL["posted_after_many"], first_ms, settled_ms, once_max
        )
        end_ms = settled_ms if beyond_ms is None else max(beyond_ms, first_ms + 1)
        tally = await tally_posted(connection, first_ms, end_ms)
        await _write_hours(connection, tally)
        await _write_minutes(connection, tally)
        await connection.execute(_SQL["move_state"], end_ms)
    return len(tally.counts)


async def sweep(pool: Pool, *, now_ms: int) -> None:
    """Forget minutes by store that are too old."""
    await pool.execute(_SQL["forget_hours"], now_ms // MINUTE_MS // HOUR_MINUTES - KEEP_HOURS)


async def tally_posted(connection: Connection, begin_ms: int, end_ms: int) -> Tally:
    """Count the receipts posted in a span, by the minute they were sold in."""
    rows = await connection.fetch(_SQL["served"], begin_ms, end_ms)
    places, zones = await _places(connection, {row["store_id"] for row in rows})
    tally = Tally()
    for row in rows:
        store_id = row["store_id"]
        minute = _minute(row["minute"], zones.get(store_id, UTC))
        tally.count(
            minute, places.get(store_id, Place(store_id)), _service(row), row["receipts"]
        )  # fmt: skip
    return tally


async def _places(
    connection: Connection, store_ids: Iterable[str]
) -> tuple[Mapping[str, Place], Mapping[str, tzinfo]]:
    rows = await connection.fetch(_SQL["stores"], sorted(store_ids))
    places = {row["store_id"]: Place(row["store_id"], row["region"], row["banner"]) for row in rows}
    return places, {row["store_id"]: _zone(row["time_zone"]) for row in rows}


def _service(row: asyncpg.Record) -> Service:
    if row["service"]:
        return _named(row["service"])
    return posted_before(
        bundle="known" if row["has_rules"] else "", is_equal=row["equal"], link_up=row["link_up"]
    )


@functools.cache
def _named(service: str) -> Service:
    """Return what a receipt says; a name of a later release is taken for the worst that was given.

    After going back a release counting must go on. Once in a process it is said in the log.
    """
    try:
        return Service(service)
    except ValueError:
        log.warning("service_unknown", service=service, counted_as=Service.DEGRADED.value)
        return Service.DEGRADED


def _minute(local: str, zone: tzinfo) -> int:
    """Return the minute since 1970 of a local time; of an hour that comes twice the first."""
    at = datetime.fromisoformat(local).replace(tzinfo=zone)
    return int(at.timestamp()) // 60


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


async def _write_hours(connection: Connection, tally: Tally) -> None:
    hours: dict[tuple[int, str], dict[int, Counts]] = {}
    for (minute, place), counts in tally.counts.items():
        hour = hours.setdefault((minute // HOUR_MINUTES, place.store_id), {})
        at = minute % HOUR_MINUTES
        hour[at] = add(hour.get(at, NOTHING), counts)
    keys = sorted(hours)
    for row in await connection.fetch(_SQL["hours"], *columns(keys)) if keys else ():
        hour = hours[row["hour"], row["store_id"]]
        for at, counts in unpack(row["minutes"]):
            hour[at] = add(hour.get(at, NOTHING), counts)
    rows = [(*key, pack(hours[key])) for key in keys]
    if rows:
        await connection.execute(_SQL["put_hours"], *columns(rows))


async def _write_minutes(connection: Connection, tally: Tally) -> None:
    grouped: dict[tuple[int, str, str], Counts] = {}
    for (minute, place), counts in tally.counts.items():
        key = (minute, place.banner, place.region)
        grouped[key] = add(grouped.get(key, NOTHING), counts)
    rows: Sequence[tuple[object, ...]] = [(*key, *grouped[key]) for key in sorted(grouped)]
    if rows:
        await connection.execute(_SQL["add_minutes"], *columns(rows))
