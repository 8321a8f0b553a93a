"""Tells tills whom to forget, and hears how far each has come."""

from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from sync.forgetting import Forgotten, ForgottenAnswer
from sync.messages import Hello

_SQL = load_queries("central.privacy", "erasing.sql")

_ERASURES_AT_ONCE: Final = 500
_ACCOUNTS_AT_ONCE: Final = 1_000


async def note_forgotten(connection: Connection, till_id: int, hello: Hello, *, now_ms: int) -> int:
    """Keep how far a till says it has forgotten; returns the newest number there is.

    Returns:
        0 for a till whose software does not say: it is told of none.
    """
    if hello.forgotten is None:
        await connection.execute(_SQL["till_does_not_say"], till_id)
        return 0
    await connection.execute(_SQL["till_forgot"], till_id, hello.forgotten, now_ms)
    newest: int = await connection.fetchval(_SQL["newest"])
    return newest


async def tell_next(pool: Pool, till_id: int, asked: Forgotten, *, now_ms: int) -> ForgottenAnswer:
    """Keep how far a till has forgotten, and say whom it is to forget next."""
    await pool.execute(_SQL["till_forgot"], till_id, asked.through, now_ms)
    accounts: list[int] = []
    through = asked.through
    for row in await pool.fetch(_SQL["told"], asked.through, _ERASURES_AT_ONCE):
        if accounts and len(accounts) + len(row["accounts"]) > _ACCOUNTS_AT_ONCE:
            break
        accounts += row["accounts"]
        through = row["number"]
    return ForgottenAnswer(through=through, accounts=tuple(accounts))
