"""Look-ups that follow cards and rights from one account to another (docs/growth.md).

Beside them the list of blocked cards, which is told to tills whose store does not keep the account.
"""

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
        await add_cards(connection, to_account, cards)
    if grants:
        keys = await connection.fetchval(_SQL["keys_of_rights"], to_account, list(grants))
        await connection.execute(_SQL["move_places"], to_account, keys, list(grants))


async def add_cards(
    connection: Connection, account_id: int, cards: Sequence[bytes], *, is_new: bool = False
) -> None:
    """Have new cards found at their account, and blocked where it is.

    Args:
        is_new: so is the account: nobody has blocked it.
    """
    await connection.execute(_SQL["put_account_cards"], account_id, list(cards))
    if not is_new:
        await note_cards_of(connection, account_id, cards)


async def drop_cards(
    connection: Connection, account_id: int, cards: Sequence[bytes], *, programme: str
) -> None:
    """Forget cards that are nobody's any more; a block went with them."""
    await connection.execute(_SQL["drop_account_cards"], account_id, list(cards))
    await connection.execute(_SQL["note_blocked_cards"], sorted(cards), programme, False)  # noqa: FBT003 - SQL's order


async def note_cards_of(
    connection: Connection, account_id: int, cards: Sequence[bytes] | None = None
) -> None:
    """Have cards blocked as their account is; None = all it has."""
    which = None if cards is None else list(cards)
    rows = await connection.fetch(_SQL["cards_of"], account_id, which)
    if rows:
        of_account = (rows[0]["programme"], rows[0]["blocked"])
        noted = [row["card"] for row in rows]
        await connection.execute(_SQL["note_blocked_cards"], noted, *of_account)
