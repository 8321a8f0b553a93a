"""Issues, consumes and takes back grants and authorisations (design: sync 4.6 and 4.8).

A right is never released by time: only a record of the till, or the proof that the till can never
have received it, brings its points back, or a write-off that the risk pool pays for in advance
(design: sync 0.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.books import LockedAccount
from loyalty.account import LotPart
from loyalty.limits import POINTS_MAX
from sync.messages import Grant
from sync.records import LotTaken
from sync.signing import SigningKey, sign_message

_SQL = load_queries("central.rights", "queries.sql")
_LEDGER = load_queries("central.ledger", "queries.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whom a right is for: one session of one incarnation of one till."""

    till_id: int
    incarnation: bytes
    session: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a right is issued.

    Attributes:
        date: local day on which its lots must count.
        last_date: the lots must live longer than this day.
        long_lived_first: a grant takes the lots that end last,
            an authorisation those that end first.
        told_as: the account's number as its till knows it, where it was merged since; 0 = its own.
        points_min: fewer are not worth a right of their own.
    """

    purpose: Literal["grant", "authorisation"]
    sale_key: str
    not_after_ms: int
    date: str
    last_date: str
    now_ms: int
    long_lived_first: bool
    told_as: int = 0
    points_min: int = 1


async def issue(
    connection: Connection,
    account: LockedAccount,
    *,
    points: int,
    holder: Holder,
    terms: Terms,
    grant_id: str,
    key: SigningKey,
) -> Grant | None:
    """Move up to `points` from available to held and return the signed right.

    None if nothing is available, or too little.
    """
    rows = await connection.fetch(
        _LEDGER["spendable_lots"], account.account_id, terms.date, terms.last_date
    )
    lots = _choose(rows, points, long_lived_first=terms.long_lived_first)
    total = sum(lot.points for lot in lots)
    if total < terms.points_min:
        return None
    grant = sign_message(
        Grant(
            grant_id=grant_id,
            purpose=terms.purpose,
            account_id=terms.told_as or account.account_id,
            till_id=holder.till_id,
            incarnation=holder.incarnation,
            session=holder.session,
            points=total,
            lots=tuple(lots),
            not_after_ms=terms.not_after_ms,
            sale_key=terms.sale_key,
        ),
        key,
    )
    await connection.execute(
        _SQL["place_right"], account.account_id, grant_id, terms.sale_key, holder.till_id
    )
    if terms.purpose == "grant":
        await connection.execute(_SQL["count_till_rights"], [holder.till_id], [-total])
    await connection.execute(
        _SQL["insert_grant"], account.account_id, grant_id, terms.purpose, holder.till_id,
        holder.incarnation, holder.session, terms.sale_key, total,
        terms.purpose == "authorisation", terms.not_after_ms, msgspec.msgpack.encode(grant),
        terms.now_ms,
    )  # fmt: skip
    parts = [lot.lot_id for lot in lots], [lot.points for lot in lots]
    await connection.execute(_LEDGER["hold"], account.account_id, *parts)
    await connection.execute(_SQL["insert_grant_lots"], account.account_id, grant_id, *parts)
    await connection.execute(_LEDGER["change_account"], account.account_id, 0, total, 0)
    return grant


def _choose(
    rows: Sequence[asyncpg.Record], points: int, *, long_lived_first: bool
) -> list[LotPart]:
    chosen: list[LotPart] = []
    for row in reversed(rows) if long_lived_first else rows:
        if part := min(row["available"], points):
            chosen.append(LotPart(lot_id=row["lot_id"], points=part, expires_on=row["expires_on"]))
            points -= part
    return sorted(chosen, key=lambda lot: lot.lot_id)


async def find(connection: Connection, grant_id: str) -> asyncpg.Record | None:
    """Return a right's row."""
    return await connection.fetchrow(_SQL["find_grant"], grant_id)


async def consume(
    connection: Connection,
    account_id: int,
    grant_id: str,
    lots: Sequence[LotTaken],
    *,
    ends_as: Literal["settled", "returned"] = "settled",
) -> list[LotTaken]:
    """Take points out of a right for good, at most what it still has.

    The caller says what becomes of them. The account's lock is held. The lots named by the till are
    taken first; where the right holds fewer of one lot than named, others of the same right stand
    in. Points of a right that was written off went back to the account then: of them nothing is
    returned, and the pool has its exposure free again to pay with (design: sync 4.8).

    Args:
        ends_as: the state of a right of which nothing is left.
    """
    wanted = {lot.lot_id: lot.points for lot in lots}
    missing = sum(wanted.values())
    taken: dict[int, int] = {}
    rows = {
        row["lot_id"]: row["points"]
        for row in await connection.fetch(_SQL["grant_lots"], account_id, grant_id)
    }
    for by_name in (True, False):
        for lot_id, left in rows.items():
            most = wanted.get(lot_id, 0) if by_name else missing
            if part := min(most, left - taken.get(lot_id, 0), missing):
                taken[lot_id] = taken.get(lot_id, 0) + part
                missing -= part
    total = sum(taken.values())
    if total:
        till_id = await connection.fetchval(
            _SQL["take_from_grant"], account_id, grant_id, total, ends_as
        )
        if till_id is not None:
            await connection.execute(_SQL["count_till_rights"], [till_id], [total])
        await connection.execute(
            _SQL["take_from_grant_lots"], account_id, grant_id, list(taken), list(taken.values())
        )
    if missing:
        await _free_exposure(connection, account_id, grant_id, missing)
    return [LotTaken(lot_id, points) for lot_id, points in taken.items()]


async def _free_exposure(
    connection: Connection, account_id: int, grant_id: str, points: int
) -> None:
    """Free what the pool keeps for a right that was written off, at most `points` of it."""
    freed = await connection.fetchval(_SQL["take_exposure"], account_id, grant_id, points)
    if freed:
        await connection.execute(_SQL["free_exposure"], freed)


async def take_home(
    connection: Connection, account_id: int, grant_id: str, lots: Sequence[LotTaken]
) -> int:
    """Bring points of a right back to available; returns how many. The account's lock is held.

    Of a right that was written off none come: they are home already, and the pool has its
    exposure back.
    """
    home = await consume(connection, account_id, grant_id, lots, ends_as="returned")
    total = sum(lot.points for lot in home)
    if total:
        parts = [lot.lot_id for lot in home], [lot.points for lot in home]
        await connection.execute(_LEDGER["unhold"], account_id, *parts)
        await connection.execute(_LEDGER["change_account"], account_id, 0, -total, 0)
    return total


async def close(connection: Connection, account_id: int, grant_id: str) -> int:
    """Bring everything a right still has back to available. The account's lock is held.

    What the pool keeps for it, had it been written off, is free again.
    """
    rows = await connection.fetch(_SQL["grant_lots"], account_id, grant_id)
    home = await take_home(
        connection, account_id, grant_id, [LotTaken(row["lot_id"], row["points"]) for row in rows]
    )
    await _free_exposure(connection, account_id, grant_id, POINTS_MAX)
    return home


async def write_off(connection: Connection, account_id: int, grant_id: str, *, now_ms: int) -> int:
    """Give a right's points back to the customer, the same amount reserved from the pool.

    The account's lock is held. The only way home without a record of the till: paid for in advance,
    so that a late spend of it can not overdraw (design: sync N3).

    Returns:
        How many points; 0 when the right has none or the pool can not keep as many back.
    """
    row = await find(connection, grant_id)
    if row is None or not row["outstanding"]:
        return 0
    points: int = row["outstanding"]
    if not await connection.fetchval(_SQL["reserve_exposure"], points):
        return 0
    await close(connection, account_id, grant_id)
    await connection.execute(_SQL["write_off"], account_id, grant_id, points, now_ms)
    return points
