"""Wakes tills for what is asked back of an account, and stores for its block.

Triggers do the same in a database of one machine; spread tables have none (docs/growth.md).
"""

from collections.abc import Sequence

from central.database.named_sql import load_queries
from central.database.pool import Connection

_SQL = load_queries("central.rights", "waking.sql")


async def wake_holders(
    connection: Connection, account_id: int, asked_back: Sequence[tuple[str, int]]
) -> None:
    """Wake the tills that hold rights of an account, when this is committed.

    Args:
        asked_back: a right's number and its till.
    """
    if not asked_back:
        return
    grants = [grant_id for grant_id, _ in asked_back]
    rows = await connection.fetch(_SQL["receivers"], account_id, grants)
    tills = {till_id for _, till_id in asked_back} | {till_id for (till_id,) in rows}
    await _wake(connection, [f"till:{till_id}" for till_id in sorted(tills)])


async def wake_stores(connection: Connection, account_id: int) -> None:
    """Wake the tills of the stores that keep an account, when this is committed."""
    rows = await connection.fetch(_SQL["stores_keeping"], account_id)
    await _wake(connection, [f"store:{store_id}" for (store_id,) in rows])


async def _wake(connection: Connection, whom: Sequence[str]) -> None:
    # A statement of its own: of one that also reads a spread table, a worker would do the waking.
    if whom:
        await connection.execute(_SQL["wake"], list(whom))
