"""Finds receipts with older rules than were due at their till, and what those cost.

They are posted as printed like all others; only what is told of them differs. Judged before any
lock is taken: by memory alone, until a receipt's till seems to have been behind (design: sync 4.4
and 4.7).
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.rules.due import DueRules, Release
from central.rules.library import RuleLibrary
from central.rules.ways import TillRules
from central.streams import business_date
from central.streams.items import Item, Stale
from central.streams.recalculating import recalculate
from loyalty.calculation import Calculation
from sync.records import SaleRecord

log = structlog.get_logger()
_SQL = load_queries("central.streams", "queries.sql")

HELD_MS_MAX: Final = 24 * 3_600_000
"""So long a register may keep a receipt open; a key that says more was not made when it began."""
_KEY_VERSION: Final = 7
_DATABASE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


async def judge(
    connection: Connection, items: Sequence[Item], due: DueRules, library: RuleLibrary
) -> None:
    """Note in receipts that a newer release was due; asks the database only where one may be."""
    doubtful = [item for item in items if _may_be_stale(item, due)]
    if not doubtful:
        return
    rows = await connection.fetch(
        _SQL["tills_that_sold"], sorted({item.stored.till_id for item in doubtful})
    )
    tills = {row["till_id"]: row for row in rows}
    for item in doubtful:
        assert isinstance(item.record, SaleRecord)
        assert isinstance(item.printed, Calculation)
        row = tills[item.stored.till_id]
        if (release := _due(item, item.record, row, due)) is not None:
            item.stale = await _against(
                connection, item.record, item.printed, release, library=library
            )
            await asyncio.sleep(0)  # others of this process wait for one calculation at most


def _due(item: Item, sale: SaleRecord, row: asyncpg.Record, due: DueRules) -> Release | None:
    begun = begun_at(item, sale, row["time_zone"])
    if begun is None:
        return None
    till = TillRules(
        till_id=row["till_id"],
        store_id=row["store_id"],
        region=row["region"],
        bundle=sale.inputs.bundle,
        refused=row["refused"],
        programme=row["programme"],
    )
    return due.find(till, local=begun[0], at_ms=begun[1])


def _may_be_stale(item: Item, due: DueRules) -> bool:
    """Say by what the receipt itself says of its till whether anything newer may be its own."""
    sale = item.record
    if not isinstance(sale, SaleRecord) or item.stale is not None:
        return False
    if due.is_newest(sale.inputs.bundle) or not isinstance(item.printed, Calculation):
        return False  # or it will not be posted
    place = sale.inputs.place
    till = TillRules(item.stored.till_id, place.store, place.region, sale.inputs.bundle)
    return next(due.newer(till), None) is not None


def begun_at(item: Item, sale: SaleRecord, zone: str | None) -> tuple[str, int] | None:
    """Return the earliest moment a receipt can have been begun at.

    A receipt keeps the rules of its first total; its key is made before that. Of a clock that
    cannot be right only what the centre knows by itself counts.

    Returns:
        The store's local time, and Unix milliseconds; None where nothing is known.
    """
    stored, moment = item.stored, sale.inputs.moment
    counts_at = business_date.clamped(
        moment.local,
        zone=zone,
        not_before_ms=stored.not_before_ms,
        received_at_ms=stored.received_at_ms,
    )
    if sale.clock_q == "suspect" or counts_at != moment.local:
        if not stored.not_before_ms:
            return None
        return business_date.earliest_local(stored.not_before_ms, zone), stored.not_before_ms
    at_ms = business_date.earliest_ms(moment.local, zone)
    before = timedelta(milliseconds=_held_ms(sale.key, at_ms), seconds=moment.uncertainty_s)
    local = (datetime.fromisoformat(moment.local) - before).isoformat(timespec="seconds")
    return local, at_ms - before // timedelta(milliseconds=1)


def _held_ms(key: str, at_ms: int) -> int:
    """Return how long a receipt had been open, by its key; 0 for a key that does not say."""
    try:
        made = UUID(key)
    except ValueError:
        return 0
    held_ms = at_ms - (made.int >> 80)
    return held_ms if made.version == _KEY_VERSION and 0 < held_ms <= HELD_MS_MAX else 0


async def _against(
    connection: Connection,
    sale: SaleRecord,
    printed: Calculation,
    release: Release,
    *,
    library: RuleLibrary,
) -> Stale:
    """Calculate a receipt as it should have been, and say what it cost more."""
    bare = Stale(release.version, release.bundle)
    inputs = msgspec.structs.replace(sale.inputs, bundle=release.bundle)
    try:
        should = (await recalculate(connection, inputs, library)).calculation
    except _DATABASE:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the receipt is posted
        log.warning("due_rules_failed", release=release.version, why=repr(error))
        return bare
    if should is None:
        return bare
    return Stale(
        release.version,
        release.bundle,
        printed.totals.discount_minor - should.totals.discount_minor,
        printed.totals.earned_points - should.totals.earned_points,
    )
