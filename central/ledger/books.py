"""Writes to one account under its row lock: lots, totals and the balanced entries behind them.

Every function expects to run inside a transaction that holds the account's lock; each leaves lots,
account totals and postings in agreement, which `verify-ledger` proves over the whole base.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from central.database.named_sql import load_queries
from central.database.pool import Connection
from loyalty import entries
from loyalty.calculation import EarnedLot, RedeemedPart
from loyalty.entries import Entry
from loyalty.returns import EarnedBack, end_after_return

_SQL = load_queries("central.ledger", "queries.sql")


@dataclass(frozen=True, slots=True)
class LockedAccount:
    """An account's totals as read under its lock; `available = posted - held` is never negative.

    Attributes:
        programme: whose wallet it is; empty = the default one's.
        erased: its customer was forgotten; nobody is behind it any more.
    """

    account_id: int
    posted: int
    held: int
    debt: int
    version: int
    home_store: str
    blocked: bool
    programme: str
    erased: bool


@dataclass(frozen=True, slots=True)
class Cause:
    """What an entry is for: the key of a sale or return, the record that brought it, the time."""

    subject: str
    arrival: int | None
    at_ms: int


async def lock_account(connection: Connection, account_id: int) -> LockedAccount:
    """Lock an account for the rest of the transaction; of one that was merged, the other one.

    What is read by the account's number after that has to be read by `LockedAccount.account_id`.

    Raises:
        LookupError: there is no such account.
    """
    while True:
        row = await connection.fetchrow(_SQL["lock_account"], account_id)
        if row is None:
            raise LookupError(f"account {account_id}")
        fields = dict(row)
        merged_into = fields.pop("merged_into")
        if merged_into is None:
            return LockedAccount(**fields)
        account_id = merged_into


async def current_account(connection: Connection, account_id: int) -> int:
    """Return the account that a number stands for: another one, where it was merged."""
    current: int | None = await connection.fetchval(_SQL["current_account"], account_id)
    return account_id if current is None else current


async def write(connection: Connection, account_id: int, entry: Entry, cause: Cause) -> None:
    """Write one balanced entry."""
    entry_id = await connection.fetchval(
        _SQL["write_entry"], account_id, entry.kind, cause.subject, cause.arrival, cause.at_ms
    )
    await connection.execute(
        _SQL["write_postings"],
        account_id,
        entry_id,
        list(range(1, len(entry.postings) + 1)),
        [posting.ledger_account for posting in entry.postings],
        [posting.lot_id for posting in entry.postings],
        [posting.points for posting in entry.postings],
    )


async def earn(
    connection: Connection, account: LockedAccount, lots: Sequence[EarnedLot], cause: Cause
) -> None:
    """Post the lots a receipt earned; a debt is repaid out of them at once."""
    if not lots:
        return
    made: list[tuple[int, int]] = []
    for lot in lots:
        lot_id = await connection.fetchval(
            _SQL["new_lot"], account.account_id, lot.name, lot.restriction, lot.active_from,
            lot.expires_on, cause.subject, lot.offer_id, lot.points,
        )  # fmt: skip
        made.append((lot_id, lot.points))
    total = sum(points for _, points in made)
    await write(connection, account.account_id, entries.earned(made), cause)
    await connection.execute(_SQL["change_account"], account.account_id, total, 0, 0)
    if account.debt:
        await _repay(connection, account, made, cause)


async def _repay(
    connection: Connection, account: LockedAccount, lots: Iterable[tuple[int, int]], cause: Cause
) -> None:
    rest = account.debt
    repaid: list[tuple[int, int]] = []
    for lot_id, points in lots:
        if part := min(points, rest):
            await connection.execute(_SQL["take_back"], account.account_id, lot_id, part)
            repaid.append((lot_id, part))
            rest -= part
    paid = account.debt - rest
    await write(connection, account.account_id, entries.repaid(repaid), cause)
    await connection.execute(_SQL["change_account"], account.account_id, -paid, 0, -paid)


async def give_back(
    connection: Connection,
    account: LockedAccount,
    parts: Sequence[RedeemedPart],
    *,
    sale_key: str,
    date: str,
    grace_days: int,
    cause: Cause,
) -> int:
    """Give redeemed points back to the lots that paid, what the risk pool paid back to it.

    Points of a lot that has ended become a lot of their own that lives through the grace; what
    else was in the ended lot stays ended.

    Args:
        date: local day of the return, `YYYY-MM-DD`.

    Returns:
        Points that went back to the customer.
    """
    if not parts:
        return 0
    rows = await connection.fetch(_SQL["redemption_lots"], account.account_id, sale_key)
    lots = {row["lot_id"]: row for row in rows}
    back = _by_lot(parts, {row["lot_id"]: row["points"] for row in rows})
    recovered = back.pop(0, 0)
    into: list[tuple[int, int]] = []
    for lot_id, points in back.items():
        lot, target = lots[lot_id], lot_id
        end = end_after_return(lot["expires_on"], date, grace_days)
        if end == lot["expires_on"]:
            await connection.execute(_SQL["give_back"], account.account_id, lot_id, points)
        else:
            target = await connection.fetchval(
                _SQL["new_lot"], account.account_id, lot["name"], lot["restriction"], date, end,
                cause.subject, "", points,
            )  # fmt: skip
        into.append((target, points))
        await connection.execute(
            _SQL["note_given_back"], account.account_id, sale_key, lot_id, points
        )
    if recovered:
        await connection.execute(_SQL["pool_recovers"], recovered)
        await connection.execute(
            _SQL["note_given_back"], account.account_id, sale_key, 0, recovered
        )
    total = sum(back.values())
    if total or recovered:
        await write(
            connection,
            account.account_id,
            entries.given_back(into, recovered=recovered),
            cause,
        )
        await connection.execute(_SQL["change_account"], account.account_id, total, 0, 0)
    return total


def _by_lot(parts: Sequence[RedeemedPart], paid_by: dict[int, int]) -> dict[int, int]:
    """Return what goes back to each lot, taking it off what the lots paid and still have out."""
    back: dict[int, int] = {}
    for part in parts:
        rest = part.points
        # The lot the receipt names first; where settlement took others, those, and the pool last.
        for lot_id in (part.lot_id, *paid_by):
            points = min(rest, paid_by.get(lot_id, 0))
            if points:
                paid_by[lot_id] -= points
                back[lot_id] = back.get(lot_id, 0) + points
                rest -= points
    return back


async def take_back(
    connection: Connection,
    account: LockedAccount,
    parts: Sequence[EarnedBack],
    *,
    sale_key: str,
    date: str,
    owes: bool,
    cause: Cause,
) -> tuple[int, int]:
    """Take earned points back: from their lots, then from others that still count.

    Points held for tills are never touched (design: sync N19).

    Args:
        date: local day of the return, `YYYY-MM-DD`.
        owes: what is not there is owed; otherwise it is let go.

    Returns:
        Points taken, and points that were not there.
    """
    wanted = sum(part.points for part in parts)
    if not wanted:
        return 0, 0
    taken: dict[int, int] = {}
    own = await connection.fetch(_SQL["lots_of_sale"], account.account_id, sale_key)
    for part in parts:
        rest = part.points
        for row in own:
            points = (
                min(rest, row["available"] - taken.get(row["lot_id"], 0))
                if row["offer_id"] == part.offer_id
                else 0
            )
            if points:
                taken[row["lot_id"]] = taken.get(row["lot_id"], 0) + points
                rest -= points
    rest = wanted - sum(taken.values())
    if rest:
        for row in await connection.fetch(
            _SQL["spendable_lots"], account.account_id, "9999-12-31", date
        ):
            if points := min(rest, row["available"] - taken.get(row["lot_id"], 0)):
                taken[row["lot_id"]] = taken.get(row["lot_id"], 0) + points
                rest -= points
    for lot_id, points in taken.items():
        await connection.execute(_SQL["take_back"], account.account_id, lot_id, points)
    debt = rest if owes else 0
    if taken or debt:
        entry = entries.taken_back(taken.items(), debt=debt)
        await write(connection, account.account_id, entry, cause)
        await connection.execute(
            _SQL["change_account"], account.account_id, -sum(taken.values()), 0, debt
        )
    return sum(taken.values()), rest
