"""Exposures nobody comes back for: closed against the pool's losses, by an operator alone.

The pool keeps points back for a right that was written off until records of its till come. A till
that never returns keeps them there for ever. After a long silence an operator may close them: they
count as spent and lost, so that nothing can be overdrawn, whatever comes. Records that come after
all are posted like any others, and give the pool what they account for back (design: sync 4.8, 4.11
and 5, I13).
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.errors import CentralError, NotFoundError
from central.ledger.books import Cause, lock_account, write
from central.rights.issuing import DAY_MS
from loyalty import entries

_SQL = load_queries("central.rights", "queries.sql")
_LEDGER = load_queries("central.ledger", "queries.sql")

_AT_ONCE = 500


class TillHeardOfError(CentralError):
    """The till was heard of not long ago: its records may still come."""


class ExposedRight(msgspec.Struct, frozen=True, kw_only=True):
    """A right written off for which the pool keeps points back."""

    account_id: int
    grant_id: str
    points: int
    written_off_at_ms: int


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """What was closed."""

    rights: int = 0
    points: int = 0


async def exposed_by(pool: Pool, till_id: int, grant_ids: Sequence[str] = ()) -> list[ExposedRight]:
    """Return the exposures of a till's rights; of `grant_ids` alone, if any."""
    rows = await pool.fetch(_SQL["exposures_of_till"], till_id, list(grant_ids))
    return [
        ExposedRight(
            account_id=row["account_id"],
            grant_id=row["grant_id"],
            points=row["exposure"],
            written_off_at_ms=row["written_off_at_ms"],
        )
        for row in rows
    ]


async def require_silence(pool: Pool, till_id: int, *, days: int, now_ms: int) -> None:
    """Refuse a till that was heard of in the last days.

    Raises:
        NotFoundError: there is no such till.
        TillHeardOfError: it was; the message says when.
    """
    row = await pool.fetchrow(_SQL["till_heard"], till_id)
    if row is None:
        raise NotFoundError(f"there is no till {till_id}; the status page lists the tills")
    heard_ms = row["last_seen_ms"]
    if now_ms - heard_ms < days * DAY_MS:
        on = datetime.fromtimestamp(heard_ms / 1000, UTC).date().isoformat()
        raise TillHeardOfError(
            f"till {till_id} was heard of on {on}; exposures are closed after {days} days without"
            " a word of it (EXPOSURE_DAYS)"
        )


async def give_up(pool: Pool, rights: Sequence[ExposedRight], *, days: int, now_ms: int) -> GivenUp:
    """Close exposures, each in a transaction of its own: their points are lost.

    Those written off less than `days` ago stay, whatever the till's silence.
    """
    closed: list[int] = []
    for right in rights:
        if now_ms - right.written_off_at_ms < days * DAY_MS:
            continue
        async with pool.acquire() as connection, connection.transaction():
            account = await lock_account(connection, right.account_id)
            whose = (account.account_id, right.grant_id)
            points = await connection.fetchval(_SQL["exposure_of"], *whose)
            if not points:
                continue  # records came while this was decided
            await connection.execute(_SQL["give_up_exposure"], *whose)
            await connection.execute(_SQL["lose_exposure"], points)
            cause = Cause(right.grant_id, None, now_ms)
            await write(connection, account.account_id, entries.given_up(points), cause)
            closed.append(points)
    return GivenUp(rights=len(closed), points=sum(closed))


async def settle_found(pool: Pool, *, now_ms: int, rights_max: int = _AT_ONCE) -> int:
    """Give the pool back what records accounted for after it was given up; returns the points.

    What the pool could not pay in the meantime it pays with that.
    """
    total = 0
    for row in await pool.fetch(_SQL["found_rights"], rights_max):
        async with pool.acquire() as connection, connection.transaction():
            account = await lock_account(connection, row["account_id"])
            points = await connection.fetchval(
                _SQL["recover_found"], account.account_id, row["grant_id"]
            )
            if not points:
                continue
            await connection.execute(_LEDGER["pool_recovers"], points)
            cause = Cause(row["grant_id"], None, now_ms)
            await write(connection, account.account_id, entries.found(points), cause)
            await connection.execute(_SQL["cover_uncovered"])
            total += points
    return total
