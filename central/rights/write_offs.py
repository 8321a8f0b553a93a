"""Rights of tills that are not heard of: frozen at their end, written off against the risk pool.

Freezing is for people and the meter, and releases nothing. A write-off gives the points back to
the customer and reserves the same amount from the pool, for the case that they were spent: no
pool, no write-off (design: sync 4.8). Should the till be heard of after all, its records free what
was reserved.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.errors import NotFoundError
from central.ledger.books import lock_account
from central.rights import grants
from central.rights.issuing import DAY_MS, RightsSettings
from central.rights.planner import wish_for_home

_SQL = load_queries("central.rights", "queries.sql")
_STREAMS = load_queries("central.streams", "queries.sql")

_AT_ONCE = 500


class WrittenOff(msgspec.Struct, frozen=True, kw_only=True):
    """What was written off, and what the pool could not pay for.

    Attributes:
        refused: rights that stay held, because the pool has less than they hold.
    """

    rights: int = 0
    points: int = 0
    refused: int = 0
    refused_points: int = 0


class HeldRight(msgspec.Struct, frozen=True, kw_only=True):
    """A right of which a till still holds points, as the centre sees it."""

    account_id: int
    grant_id: str
    purpose: str
    points: int
    state: str
    not_after_ms: int


async def freeze(pool: Pool, *, now_ms: int, silent_ms: int = 0) -> int:
    """Freeze rights past their end whose till has not been heard of since; returns how many.

    Those of a revoked till do not wait for their end.

    A till that speaks in another incarnation is not heard of in this one. Where all that is left of
    a right was given to siblings, it is they who have to be heard of.

    Args:
        silent_ms: who was not heard of since then is not, though it was after the right's end.
    """
    revoked = await _turn(pool, "to_freeze_of_revoked", was="open", becomes="frozen")
    silent = await _turn(pool, "to_freeze", now_ms, silent_ms, was="open", becomes="frozen")
    return revoked + silent


async def thaw(pool: Pool, *, silent_ms: int = 0) -> int:
    """Open frozen rights again whose till is heard of: it brings them home; returns how many."""
    return await _turn(pool, "to_thaw", silent_ms, was="frozen", becomes="open")


async def _turn(pool: Pool, name: str, *arguments: int, was: str, becomes: str) -> int:
    """Turn what a statement finds; what somebody else works on is left for the next time."""
    total = 0
    while rows := await pool.fetch(_SQL[name], *arguments, _AT_ONCE):
        async with pool.acquire() as connection, connection.transaction():
            free = await connection.fetch(_SQL["lock_free_rights"], *_by_account(rows))
            done = await connection.execute(_SQL["turn_rights"], *_by_account(free), was, becomes)
        count = int(done.rpartition(" ")[2])
        total += count
        if count < _AT_ONCE:
            break
    return total


def _by_account(rows: Sequence[asyncpg.Record]) -> tuple[list[int], list[str]]:
    return [row["account_id"] for row in rows], [row["grant_id"] for row in rows]


async def last_heard(pool: Pool, till_id: int) -> str:
    """Return when a till was last heard of, ISO 8601 in UTC, or `never`.

    Raises:
        NotFoundError: there is no such till.
    """
    row = await pool.fetchrow(_SQL["till_heard"], till_id)
    if row is None:
        raise NotFoundError(f"there is no till {till_id}; the status page lists the tills")
    if not row["last_seen_ms"]:
        return "never"
    return datetime.fromtimestamp(row["last_seen_ms"] / 1000, UTC).isoformat(timespec="seconds")


async def held_by(pool: Pool, till_id: int, grant_ids: Sequence[str] = ()) -> list[HeldRight]:
    """Return the rights of which a till still holds points; of `grant_ids` alone, if any."""
    rows = await pool.fetch(_SQL["held_by_till"], till_id, list(grant_ids))
    return [
        HeldRight(
            account_id=row["account_id"],
            grant_id=row["grant_id"],
            purpose=row["purpose"],
            points=row["outstanding"],
            state=row["state"],
            not_after_ms=row["not_after_ms"],
        )
        for row in rows
    ]


async def write_off_due(
    pool: Pool, *, now_ms: int, settings: RightsSettings, rights_max: int = _AT_ONCE
) -> WrittenOff:
    """Write off rights that have been frozen so long after their end that they count as lost."""
    before_ms = now_ms - settings.loss_days * DAY_MS
    rows = await pool.fetch(_SQL["due_for_write_off"], before_ms, rights_max)
    due = [(row["account_id"], row["grant_id"]) for row in rows]
    return await _write_off(pool, due, now_ms=now_ms, only_frozen=True)


async def write_off(pool: Pool, rights: Iterable[HeldRight], *, now_ms: int) -> WrittenOff:
    """Write rights off because an operator knows that their till will never be heard of again."""
    named = [(right.account_id, right.grant_id) for right in rights]
    return await _write_off(pool, named, now_ms=now_ms, only_frozen=False)


async def _write_off(
    pool: Pool, rights: Iterable[tuple[int, str]], *, now_ms: int, only_frozen: bool
) -> WrittenOff:
    """Write off one by one, each in a transaction of its own."""
    written, refused = [], []
    for account_id, grant_id in rights:
        async with pool.acquire() as connection, connection.transaction():
            account = await lock_account(connection, account_id)
            row = await grants.find(connection, grant_id)
            if row is None or not row["outstanding"]:
                continue  # its till was heard of while this was decided
            if only_frozen and row["state"] != "frozen":
                continue
            points = await grants.write_off(connection, account.account_id, grant_id, now_ms=now_ms)
            if not points:
                refused.append(row["outstanding"])
                continue
            written.append(points)
            await connection.execute(_STREAMS["tell_stores"], account.account_id)
            await wish_for_home(
                connection, account_id=account.account_id, home_store=account.home_store
            )
    return WrittenOff(
        rights=len(written),
        points=sum(written),
        refused=len(refused),
        refused_points=sum(refused),
    )
