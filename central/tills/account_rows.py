"""Accounts as tills are told them, beside which of the till's own records they hold."""

from collections.abc import Sequence

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.tills.budgets import AnswerBudget, ByteClass
from loyalty.account import AccountSnapshot
from sync.limits import WAITING_RECORDS_MAX
from sync.messages import AccountRow, Applied, SnapshotAnswer

_SQL = load_queries("central.tills", "queries.sql")

ROW_BYTES_ABOUT = 120
"""Of a plain row once it is packed; what its lists make it longer counts in full."""
_ROW_BYTES_PLAIN = 400


async def find_account(pool: Pool, card: bytes, programme: str = "") -> AccountRow | None:
    """Return the account behind a card's keyed hash in a programme, as it is now."""
    account_id = await pool.fetchval(_SQL["account_of_card"], card, programme)
    row = await pool.fetchrow(_SQL["account_row_of_card"], account_id, card)
    return account_row(row) if row else None


def snapshot_answer(row: asyncpg.Record, streams: str, incarnation: bytes) -> SnapshotAnswer:
    """Return the account behind a card as a till is told it, beside its records.

    Args:
        streams: the till's, a JSON array of incarnation, last record applied and those waiting.
        incarnation: of the till's live session.
    """
    links = [
        (bytes.fromhex(link), last_seq, waiting)
        for link, last_seq, waiting in msgspec.json.decode(streams)
    ]
    return SnapshotAnswer(account=account_row(row), applied=_applied(links, incarnation))


async def find_applied(
    connection: Connection, *, till_id: int, incarnation: bytes
) -> tuple[Applied, ...]:
    """Return which of a till's records are in the accounts, in the transaction's snapshot."""
    rows = await connection.fetch(_SQL["applied_streams"], till_id, incarnation)
    return _applied([tuple(row) for row in rows], incarnation)


def _applied(
    streams: Sequence[tuple[bytes, int, list[int]]], incarnation: bytes
) -> tuple[Applied, ...]:
    told = {incarnation: Applied(incarnation=incarnation, through=0)}
    for link, last_seq, waiting in streams:
        if len(waiting) > WAITING_RECORDS_MAX:
            # Nobody applies so far ahead of what waits: of the rest nothing is in the accounts.
            last_seq = waiting[WAITING_RECORDS_MAX] - 1  # noqa: PLW2901 - the end that can be told
        named = tuple(waiting[:WAITING_RECORDS_MAX])
        told[link] = Applied(incarnation=link, through=last_seq, waiting=named)
    return tuple(told.values())


def account_row(row: asyncpg.Record) -> AccountRow:
    """Return an account as tills may know it."""
    names: list[str] = row["counter_names"] or []
    snapshot = AccountSnapshot(
        identified=True,
        account_id=row["account_id"],
        tier=row["tier"],
        segments=tuple(sorted(row["segments"])),
        points=row["points"],
        in_birthday_window=row["in_birthday_window"],
        personal_offers=tuple(row["personal_offers"]),
        purchases=row["purchases"],
        counters=dict(zip(names, row["counter_values"] or [], strict=True)),
        last_used=dict(zip(names, row["counter_uses"] or [], strict=True)),
        version=row["version"],
    )
    return AccountRow(
        card=row["card"],
        snapshot=snapshot,
        blocked=row["blocked"],
        points=row["points"],
        held_points=row["held"],
    )


def cut_page(
    changes: Sequence[asyncpg.Record], accounts: Sequence[AccountRow], bytes_max: int
) -> tuple[int, tuple[AccountRow, ...]]:
    """Return how many changes fit into an answer, at least one, and the accounts they are about.

    Args:
        changes: rows of the feed, in their order.
        accounts: of all of them, a row for each card.
    """
    by_id = _by_account(accounts)
    told: dict[int, list[AccountRow]] = {}
    size_bytes = 0
    fitting = len(changes)
    for count, change in enumerate(changes):
        account_id = change["account_id"]
        rows = [] if account_id in told else by_id.get(account_id, [])
        size_bytes += sum(map(bytes_about, rows)) or ROW_BYTES_ABOUT
        if count and size_bytes > bytes_max:
            fitting = count
            break
        if rows:
            told[account_id] = rows
    return fitting, tuple(row for rows in told.values() for row in rows)


def cut_whole(
    accounts: Sequence[AccountRow], budget: AnswerBudget
) -> tuple[tuple[AccountRow, ...], tuple[int, ...]]:
    """Return accounts that fit into an answer, and the numbers of those that do not.

    Args:
        accounts: a row for each card; an account is told with all its cards or not at all.
    """
    by_id = _by_account(accounts)
    sizes = [sum(map(bytes_about, rows)) for rows in by_id.values()]
    taken = budget.take(ByteClass.ACCOUNTS, sizes)
    told = list(by_id.values())[:taken]
    return tuple(row for rows in told for row in rows), tuple(list(by_id)[taken:])


def _by_account(accounts: Sequence[AccountRow]) -> dict[int, list[AccountRow]]:
    by_id: dict[int, list[AccountRow]] = {}
    for account in accounts:
        by_id.setdefault(account.snapshot.account_id, []).append(account)
    return by_id


def bytes_about(row: AccountRow) -> int:
    """Return how many bytes a row takes about, once it is packed with others."""
    return ROW_BYTES_ABOUT + max(0, len(msgspec.msgpack.encode(row)) - _ROW_BYTES_PLAIN)
