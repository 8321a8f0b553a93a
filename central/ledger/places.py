"""Look-ups that follow cards and rights from one account to another (docs/growth.md)."""

from collections.abc import Sequence

from central.database.named_sql import load_queries
from central.database.pool import Connection

_SQL = load_queries("central.ledger", "places.sql")


async def follow(
    connection: Connection,
    from_account: int,
    to_account: int,
    *,
    cards: Sequence[bytes] = (),
    grants: Sequence[str] = (),
) -> None:
    """Have cards and rights found at the account they are of by now."""
    if cards:
        await connection.execute(_SQL["drop_account_cards"], from_account, list(cards))
        await connection.execute(_SQL["put_account_cards"], to_account, list(cards))
    if grants:
        keys = await connection.fetchval(_SQL["keys_of_rights"], to_account, list(grants))
        await connection.execute(_SQL["move_places"], to_account, keys, list(grants))
