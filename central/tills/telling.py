"""What a till is told by a pull: each class of news within its bytes, all of one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.observability.meters import PULL_BYTES
from central.tills.account_rows import (
    ROW_BYTES_ABOUT,
    account_row,
    bytes_about,
    cut_page,
    cut_whole,
    find_applied,
)
from central.tills.blocked_cards import read_blocked
from central.tills.budgets import AnswerBudget, ByteClass
from central.tills.feed import can_go_on, find_newest
from sync.blocked import BlockedCards
from sync.messages import AccountRow, Applied, Cursor, OutcomeRow, Pull, PullAnswer

_SQL = load_queries("central.tills", "queries.sql")

_ROWS_PER_PULL: Final = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who pulls, and what it may hear.

    Attributes:
        whole: accounts to be told whatever has changed.
    """

    till_id: int
    store_id: str
    revoked: bool
    programme: str = ""
    whole: tuple[int, ...] = ()


def size_of(*parts: object) -> int:
    """Return how many bytes parts of an answer take, before they are packed."""
    return sum(len(msgspec.msgpack.encode(part)) for part in parts if part is not None)


def within(budget: AnswerBudget, kind: ByteClass, pieces: Sequence[T]) -> tuple[T, ...]:
    """Return those of some pieces that are told now."""
    taken = budget.take(kind, [size_of(piece) for piece in pieces])
    return tuple(pieces[:taken])


def in_turn(
    budget: AnswerBudget, kind: ByteClass, pieces: tuple[T, ...], moment_ms: int
) -> tuple[T, ...]:
    """Return those that are told now; where not all fit, others each time.

    Some may stay as they are for long, e.g. what a till cannot give back yet.
    """
    if size_of(*pieces) > budget.room_bytes(kind):
        first = moment_ms % len(pieces)
        pieces = pieces[first:] + pieces[:first]
    return within(budget, kind, pieces)


async def read_news(
    connection: Connection, asker: Asker, pull: Pull, budget: AnswerBudget
) -> PullAnswer:
    """Return what has changed since the cursor: blocked cards, accounts, outcomes.

    Call it in a repeatable read, when all other classes have taken their bytes.
    """
    goes_on = await can_go_on(connection, pull.cursor)
    now, newest_blocked = await find_newest(connection)
    blocked: BlockedCards | None = None
    has_more_blocked = False
    if pull.blocked is not None and not asker.revoked:
        blocked, has_more_blocked = await read_blocked(
            connection, pull.blocked, programme=asker.programme, epoch=now.epoch,
            newest=newest_blocked,
            room_bytes=budget.room_bytes(ByteClass.BLOCKED),
        )  # fmt: skip
    if blocked is not None:
        budget.spend(ByteClass.BLOCKED, len(blocked.blocked) + len(blocked.lifted))
    told_whole, whole_left = await _whole(connection, asker, budget)
    changes = await _changes(connection, asker, pull if goes_on else None, budget)
    applied, streams = await _applied(connection, asker, pull)
    cursor = pull.cursor
    if goes_on and not changes.has_more:
        cursor = now  # past every change there was, of other stores too
    elif changes.last is not None:
        cursor = Cursor(
            epoch=pull.cursor.epoch, transaction=changes.last["transaction"], row=changes.last["id"]
        )
    accounts = {row.card: row for row in (*changes.accounts, *told_whole)}
    told = {row.snapshot.account_id for row in accounts.values()}
    return PullAnswer(
        cursor=cursor,
        applied_through=applied,
        more=changes.has_more or has_more_blocked,
        accounts=tuple(accounts.values()),
        outcomes=changes.outcomes,
        applied=streams,
        compare=not goes_on and not asker.revoked,
        blocked=blocked,
        whole_left=tuple(number for number in whole_left if number not in told),
    )


def measure(budget: AnswerBudget) -> None:
    """Count what an answer took of each class, for the graph of how a store's day grows."""
    for kind in ByteClass:
        PULL_BYTES.labels(kind.name.lower()).inc(budget.used_bytes(kind))


def measure_rules(*parts: object) -> None:
    """Count what an answer took that told of rules alone."""
    PULL_BYTES.labels(ByteClass.RULES.name.lower()).inc(size_of(*parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    accounts: tuple[AccountRow, ...]
    outcomes: tuple[OutcomeRow, ...]
    has_more: bool
    last: asyncpg.Record | None


async def _changes(
    connection: Connection, asker: Asker, pull: Pull | None, budget: AnswerBudget
) -> _Changes:
    """Return a page of the feed, at least one change; nothing of a feed that cannot go on."""
    if pull is None:
        return _Changes(accounts=(), outcomes=(), has_more=False, last=None)
    scopes = [f"till:{asker.till_id}"]
    if not asker.revoked:
        scopes.append(f"store:{asker.store_id}")
    room_bytes = budget.room_bytes(ByteClass.ACCOUNTS)
    rows_max = max(1, min(_ROWS_PER_PULL, room_bytes // ROW_BYTES_ABOUT))
    rows = await connection.fetch(
        _SQL["pull_rows"], scopes, pull.cursor.transaction, pull.cursor.row, rows_max
    )
    account_ids = sorted({row["account_id"] for row in rows} - {None})
    found = await connection.fetch(_SQL["account_rows"], account_ids)
    fitting, accounts = cut_page(rows, tuple(map(account_row, found)), room_bytes)
    has_more = fitting < len(rows) or len(rows) == rows_max
    rows = rows[:fitting]
    arrivals = [row["arrival"] for row in rows if row["arrival"] is not None]
    found_outcomes = await connection.fetch(_SQL["outcome_rows"], arrivals)
    outcomes = tuple(OutcomeRow(**row) for row in found_outcomes)
    budget.spend(ByteClass.ACCOUNTS, sum(map(bytes_about, accounts)) + size_of(*outcomes))
    return _Changes(
        accounts=accounts,
        outcomes=outcomes,
        has_more=has_more,
        last=rows[-1] if rows else None,
    )


async def _whole(
    connection: Connection, asker: Asker, budget: AnswerBudget
) -> tuple[tuple[AccountRow, ...], tuple[int, ...]]:
    """Return accounts that were asked for and fit, and the numbers of those that did not."""
    if not asker.whole or asker.revoked:
        return (), ()
    found = await connection.fetch(_SQL["accounts_asked"], asker.store_id, asker.whole)
    return cut_whole(tuple(map(account_row, found)), budget)


async def _applied(
    connection: Connection, asker: Asker, pull: Pull
) -> tuple[int, tuple[Applied, ...]]:
    applied: int = await connection.fetchval(
        _SQL["applied_through"], asker.till_id, pull.incarnation
    )
    streams = await find_applied(connection, till_id=asker.till_id, incarnation=pull.incarnation)
    return applied, streams
