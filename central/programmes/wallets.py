"""The wallets of one customer: accounts of several programmes that the same cards lead to."""

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import NotFoundError
from central.ledger.books import current_account

_SQL = load_queries("central.programmes", "queries.sql")


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """An account, and how many cards lead to it and to the one that was asked for alike.

    Attributes:
        programme: empty = the default one.
        points: all there are, those set aside for tills too, less what is owed.
    """

    account_id: int
    programme: str
    points: int
    blocked: bool
    cards: int


async def list_wallets(connection: Connection, account_id: int) -> list[Wallet]:
    """Return the wallets that cards of an account lead to, its own too, by programme.

    Cards move within a programme: what one card leads to is one person's as far as cards can tell.

    Raises:
        NotFoundError: there is no such account.
    """
    account_id = await current_account(connection, account_id)
    cards = [row["card"] for row in await connection.fetch(_SQL["cards_of_account"], account_id)]
    found = await connection.fetch(_SQL["accounts_of_cards"], cards)
    shared = {row["account_id"]: row["cards"] for row in found} or {account_id: 0}
    rows = await connection.fetch(_SQL["accounts"], sorted(shared))
    if not rows:
        raise NotFoundError(f"there is no account {account_id}")
    return [Wallet(**row, cards=shared[row["account_id"]]) for row in rows]
