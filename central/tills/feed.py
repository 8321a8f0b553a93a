"""The change feed's epochs, its sweeping, and comparing what a till knows of accounts with it.

A cursor names a transaction of one life of the cluster. After a restore, or a failover that lost
something, the numbers no longer mean what they meant: the epoch rises, and a till with an old one
compares its accounts in buckets, which costs what differs and not everything
(design: sync 1.6, 1.7, 4.2).
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import asyncpg
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.tills.account_rows import ROW_BYTES_ABOUT, account_row, bytes_about
from central.tills.budgets import ANSWER_BYTES_MAX
from sync.fingerprints import bucket_of, differing, fingerprint
from sync.messages import AccountRow, Compare, CompareAnswer, Cursor

_SQL = load_queries("central.tills", "queries.sql")
log = structlog.get_logger()

FEED_DAYS: Final = 40
"""Rows stay so long; a till that was away for longer compares."""
_MARK_MS: Final = 3_600_000
SWEPT_MAX: Final = 20_000
"""Rows in one sweep; where so many went there are more."""


async def find_epoch(connection: Connection) -> int:
    """Return the epoch cursors have now."""
    epoch: int = await connection.fetchval(_SQL["feed_epoch"])
    return epoch


async def find_newest(connection: Connection) -> tuple[Cursor, int]:
    """Return the cursor of the transaction's snapshot, and the version of the blocked cards in it.

    All that is older than the cursor is in the snapshot.
    """
    row = await connection.fetchrow(_SQL["feed_now"])
    assert row is not None
    return Cursor(epoch=row["epoch"], transaction=row["transaction"]), row["blocked"]


async def can_go_on(connection: Connection, cursor: Cursor) -> bool:
    """Say whether everything past a cursor is still in the feed, under the same numbers."""
    return bool(await connection.fetchval(_SQL["feed_goes_on"], cursor.epoch, cursor.transaction))


async def compare(connection: Connection, store_id: str, asked: Compare) -> CompareAnswer:
    """Tell the buckets of a store's accounts that a till does not have as they are.

    Call it in a repeatable read: sums, rows and cursor are of one snapshot.
    """
    held = await connection.fetch(_SQL["accounts_held"], store_id)
    ours = fingerprint((row["card"], row["account_id"], row["version"]) for row in held)
    wrong = differing(ours, asked.sums)
    bytes_max = min(asked.bytes_max, ANSWER_BYTES_MAX)
    likely = _fitting(wrong, held, bytes_max)
    found = await connection.fetch(_SQL["rows_of_buckets"], store_id, likely)
    told, accounts = _cut(likely, tuple(map(account_row, found)), bytes_max)
    cursor, _ = await find_newest(connection)
    return CompareAnswer(
        cursor=cursor,
        buckets=bytes(told),
        accounts=accounts,
        more=len(told) < len(wrong),
    )


def _fitting(wrong: Sequence[int], held: Sequence[asyncpg.Record], bytes_max: int) -> list[int]:
    """Return the first of the buckets that fit into an answer, at least one."""
    sizes = dict.fromkeys(wrong, 0)
    for row in held:
        if (bucket := bucket_of(row["card"])) in sizes:
            sizes[bucket] += ROW_BYTES_ABOUT
    told: list[int] = []
    size_bytes = 0
    for bucket in wrong:
        size_bytes += sizes[bucket]
        if told and size_bytes > bytes_max:
            break
        told.append(bucket)
    return told


def _cut(
    buckets: Sequence[int], rows: Sequence[AccountRow], bytes_max: int
) -> tuple[list[int], tuple[AccountRow, ...]]:
    """Return what fits by the true size of its rows, at least one bucket."""
    by_bucket: dict[int, list[AccountRow]] = {bucket: [] for bucket in buckets}
    for row in rows:
        by_bucket[bucket_of(row.card)].append(row)
    sizes = accumulate(sum(map(bytes_about, by_bucket[bucket])) for bucket in buckets)
    fitting = sum(size_bytes <= bytes_max for size_bytes in sizes)
    told = list(buckets[: max(1, fitting)])
    return told, tuple(row for bucket in told for row in by_bucket[bucket])


async def watch_epoch(pool: Pool, *, now_ms: int) -> bool:
    """Begin a new epoch if the cluster is another one than before; says whether it did."""
    return bool(await pool.fetchval(_SQL["watch_epoch"], now_ms // 1000))


async def begin_epoch(pool: Pool, *, now_ms: int) -> int:
    """Begin a new epoch at a person's word, e.g. after a restore; returns it.

    The second it begins in is its number, so that one copy put back twice begins two epochs.
    """
    epoch: int = await pool.fetchval(_SQL["begin_epoch"], now_ms // 1000)
    return epoch


async def sweep(pool: Pool, *, now_ms: int, days: int = FEED_DAYS) -> int:
    """Take old rows out of the feed, a bounded number at a time; returns how many.

    Where there are terms of tiers, what tiers have not read stays, however old: it is nowhere else.
    """
    await pool.execute(_SQL["mark_feed"], now_ms, now_ms - _MARK_MS)
    async with pool.acquire() as connection, connection.transaction():
        found = await connection.fetchrow(_SQL["floor_of"], now_ms - days * 86_400_000)
        assert found is not None
        floor = found["old"]
        if floor is None:
            return 0
        if found["unread"] is not None:
            floor = found["unread"]
            log.warning("feed_kept_for_tiers", why="old rows that tiers have not read; it grows")
        await connection.execute(_SQL["raise_floor"], floor)
        swept = await connection.execute(_SQL["sweep_feed"], floor, SWEPT_MAX)
        await connection.execute(_SQL["forget_marks"], floor)
    return int(swept.rpartition(" ")[2])
