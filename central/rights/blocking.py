"""Blocks accounts: no rights from now on, and what tills hold is asked back (design: sync 4.8)."""

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError
from central.ledger.books import lock_account
from central.ledger.places import note_cards_of
from central.rights.planner import wish_for_home
from central.rights.waking import wake_stores

_SQL = load_queries("central.rights", "queries.sql")
_STREAMS = load_queries("central.streams", "queries.sql")


async def set_blocked(connection: Connection, account_id: int, *, blocked: bool) -> bool:
    """Block an account or lift the block; returns whether anything changed.

    From now on nothing is authorised or set aside for it, and what tills hold of it is asked back
    at their next contact. What they spend until then the hold honours.

    Raises:
        LookupError: there is no such account.
        BadRequestError: the block of an account whose customer was erased is never lifted.
    """
    account = await lock_account(connection, account_id)
    if account.blocked == blocked:
        return False
    if account.erased:
        raise BadRequestError("$.account", f"the customer of account {account_id} was erased")
    account_id = account.account_id
    await connection.execute(_SQL["set_blocked"], account_id, blocked)
    await note_cards_of(connection, account_id)
    await wake_stores(connection, account_id)
    home_store = "" if blocked else account.home_store
    await wish_for_home(connection, account_id=account_id, home_store=home_store)
    await connection.execute(_STREAMS["tell_stores"], account_id)
    return True
