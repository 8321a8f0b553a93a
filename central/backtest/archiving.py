"""Posted receipts become files of the archive, each once, a small batch at a time.

What is archived already is known from the archive alone: a date is done by looking which of its
sale keys are not in its files yet. So a run that was broken off is simply run again, and receipts
that came late are added by the next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import msgspec
import zstandard

from central.backtest.archive import Archive, PartWriter, Period
from central.backtest.columns import PostedReceipt, table_of
from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.rules.library import load_bundle
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.documents import encode
from sync.errors import MalformedMessageError
from sync.records import SaleRecord, decode_record

_SQL = load_queries("central.backtest", "queries.sql")

BATCH_RECEIPTS: Final = 2_000
PART_RECEIPTS: Final = 100_000
"""Of one file; a run that is broken off loses the file it was writing, no other."""

Told = Callable[[str, int, int], None]
"""Progress: a date, and how many receipts of how many that it lacked are archived."""


@dataclass(slots=True)
class Archived:
    """What one run did.

    Attributes:
        known: receipts that were archived before.
        unreadable: sale keys whose record this release cannot read; they stay out.
    """

    days: int = 0
    receipts: int = 0
    known: int = 0
    files: int = 0
    bundles: int = 0
    unreadable: int = 0


async def archive_receipts(
    connection: Connection,
    archive: Archive,
    period: Period,
    *,
    told: Told = lambda _day, _done, _of: None,
    batch_receipts: int = BATCH_RECEIPTS,
    part_receipts: int = PART_RECEIPTS,
) -> Archived:
    """Archive the receipts of a period that are not archived yet.

    Raises:
        ArchiveError: somebody else archives into the same folder.
    """
    done = Archived()
    with archive.locked():
        bundles = archive.bundle_hashes()
        day = date.fromisoformat(period.first)
        while day.isoformat() <= period.last:
            lacking = await _lacking(connection, archive, day, done)
            for first in range(0, len(lacking), part_receipts):
                keys = lacking[first : first + part_receipts]
                with archive.new_part(day.isoformat()) as part:
                    for at in range(0, len(keys), batch_receipts):
                        some = keys[at : at + batch_receipts]
                        await _add(connection, archive, part, some, bundles, done)
                        told(day.isoformat(), first + at + len(some), len(lacking))
                done.files += bool(part.rows)
            done.days += 1
            day += timedelta(days=1)
    return done


async def _lacking(
    connection: Connection, archive: Archive, day: date, done: Archived
) -> list[str]:
    """Return the sale keys of a date that the archive lacks, those of a store together."""
    after = (day + timedelta(days=1)).isoformat()
    rows = await connection.fetch(_SQL["keys_of_day"], day.isoformat(), after)
    known = archive.keys(day.isoformat())
    done.known += len(known)
    return [row["sale_key"] for row in rows if row["sale_key"] not in known]


async def _add(
    connection: Connection,
    archive: Archive,
    part: PartWriter,
    keys: Sequence[str],
    bundles: set[str],
    done: Archived,
) -> None:
    rows = {row["sale_key"]: row for row in await connection.fetch(_SQL["receipts"], keys)}
    found = []
    for key in keys:
        posted = _posted(rows[key]["body"], equal=rows[key]["equal"]) if key in rows else None
        if posted is None:
            done.unreadable += 1
            continue
        await _keep_bundle(connection, archive, posted.inputs.bundle, bundles, done)
        found.append(posted)
    if found:
        part.add(table_of(found))
        done.receipts += len(found)


def _posted(body: bytes, *, equal: bool) -> PostedReceipt | None:
    """Read a receipt's record; None when this release cannot."""
    try:
        sale = decode_record(body)
        if not isinstance(sale, SaleRecord):
            return None
        printed = msgspec.json.decode(sale.calculation, type=Calculation)
    except (MalformedMessageError, msgspec.ValidationError):
        return None
    return PostedReceipt(sale_key=sale.key, inputs=sale.inputs, printed=printed, equal=equal)


async def _keep_bundle(
    connection: Connection, archive: Archive, bundle_hash: str, bundles: set[str], done: Archived
) -> None:
    """Keep a bundle beside the first receipt that was calculated with it."""
    if not bundle_hash or bundle_hash in bundles:
        return
    bundles.add(bundle_hash)
    try:
        bundle = await load_bundle(connection, bundle_hash)
    except LookupError:
        return  # its receipts are left out of back-tests, which say so
    archive.add_bundle(bundle_hash, zstandard.compress(canonical_bytes(encode(bundle))))
    done.bundles += 1
