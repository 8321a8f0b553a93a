"""The list of blocked cards, for tills whose store does not keep the account (design: sync 3.3).

The database keeps it by itself (migration 0028): one row a card with the version of its last
change. A till says which version it has and is told what has changed since. Versions are of one
epoch of the change feed: a till that names another epoch, or nothing, is told the list from its
beginning.
"""

from central.database.named_sql import load_queries
from central.database.pool import Connection
from sync.blocked import BLOCKED_CARD_BYTES, BlockedCards
from sync.limits import BLOCKED_CARDS_MAX

_SQL = load_queries("central.tills", "queries.sql")


async def read_blocked(
    connection: Connection,
    known: tuple[int, int],
    *,
    programme: str,
    epoch: int,
    newest: int,
    room_bytes: int,
    list_max: int = BLOCKED_CARDS_MAX,
) -> tuple[BlockedCards | None, bool]:
    """Return what a till does not know of the list, and whether that is not all yet.

    Call it in a repeatable read, with version and epoch of the same snapshot.

    Args:
        known: epoch and version the till has.
        programme: of the till's store; in another one the same card may be as good as any.
        newest: the list's version.
        room_bytes: of the cards told; one is told in any case.
        list_max: cards a till keeps; of more those blocked last are told.
    """
    if known == (epoch, newest):
        return None, False
    known_epoch, version = known
    is_new = known_epoch != epoch or not 0 < version <= newest
    if is_new:
        version = await connection.fetchval(_SQL["blocked_floor"], list_max, programme) or 0
    cards_max = max(1, room_bytes // BLOCKED_CARD_BYTES)
    rows = await connection.fetch(
        _SQL["blocked_cards"], version, not is_new, cards_max + 1, programme
    )
    has_more, told = len(rows) > cards_max, rows[:cards_max]
    return BlockedCards(
        epoch=epoch,
        version=told[-1]["version"] if has_more else newest,
        is_whole=is_new,
        blocked=b"".join(row["beginning"] for row in told if row["is_blocked"]),
        lifted=b"".join(row["beginning"] for row in told if not row["is_blocked"]),
        goes_on=has_more,
    ), has_more
