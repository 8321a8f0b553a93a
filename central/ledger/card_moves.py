"""A card goes from one account to another; points and receipts stay: accounts own them."""

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, NotFoundError
from central.ledger.merging import check_reason, lock_both
from central.ledger.places import follow
from central.programmes.registry import programme_of_account
from central.staff.audit import note

_SQL = load_queries("central.ledger", "merging.sql")
_STREAMS = load_queries("central.streams", "queries.sql")


class CardMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A card that belongs to another account now; points stay where they are."""

    move_id: int
    from_account: int
    to_account: int


async def move_card(
    pool: Pool, card: bytes, to_account: int, *, person: str, reason: str, now_ms: int
) -> CardMoved:
    """Give a card to another account. Receipts made with it so far stay with the one before.

    Wallets of other programmes that the card leads to stay where they are.

    Args:
        card: its keyed hash.

    Raises:
        BadRequestError: it is that account's already, or no reason.
        NotFoundError: there is no such card or account.
    """
    check_reason(reason)
    async with pool.acquire() as connection, connection.transaction():
        programme = await programme_of_account(connection, to_account)
        if programme is None:
            raise NotFoundError(f"there is no account {to_account}")
        from_account = await connection.fetchval(_SQL["lock_card"], card, programme)
        if from_account is None:
            raise NotFoundError("nobody is known by this card")
        if from_account == to_account:
            raise BadRequestError("$.to", "the card is this account's already")
        await lock_both(connection, from_account, to_account)
        await _give_card(connection, (card, programme), from_account, to_account)
        move_id = await connection.fetchval(
            _SQL["insert_move"], card, from_account, to_account, person, reason, now_ms, programme
        )
        await note(
            connection, person=person, action="card.move", subject=f"account:{to_account}",
            detail={"move": move_id, "from": from_account, "reason": reason}, now_ms=now_ms,
        )  # fmt: skip
    return CardMoved(move_id=move_id, from_account=from_account, to_account=to_account)


async def undo_move(pool: Pool, move_id: int, *, person: str, now_ms: int) -> CardMoved:
    """Give a card back to the account it was taken from.

    Raises:
        NotFoundError: there is no such move.
        BadRequestError: it was undone, or the card has gone on since.
    """
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_SQL["move"], move_id)
        if row is None:
            raise NotFoundError(f"there is no move {move_id} of a card")
        if row["undone_at_ms"] is not None:
            raise BadRequestError("$.move", "it was undone before")
        which = (row["card"], row["programme"])
        if await connection.fetchval(_SQL["lock_card"], *which) != row["to_account"]:
            raise BadRequestError("$.move", "the card has gone on to another account since")
        await lock_both(connection, row["from_account"], row["to_account"])
        await _give_card(connection, which, row["to_account"], row["from_account"])
        await connection.execute(_SQL["end_move"], move_id, now_ms, person)
        await note(
            connection, person=person, action="card.move_back",
            subject=f"account:{row['from_account']}", detail={"move": move_id}, now_ms=now_ms,
        )  # fmt: skip
    return CardMoved(
        move_id=move_id, from_account=row["to_account"], to_account=row["from_account"]
    )


async def _give_card(
    connection: Connection, which: tuple[bytes, str], from_account: int, to_account: int
) -> None:
    """Have a card lead to another account in a programme; who signed in by it is signed out."""
    card, programme = which
    await connection.execute(_SQL["move_card"], card, to_account, programme)
    await follow(connection, from_account, to_account, cards=[card])
    await connection.execute(_SQL["end_sessions"], from_account, [card])
    await connection.execute(_SQL["copy_interests"], from_account, to_account)
    for account_id in (from_account, to_account):
        await connection.execute(_STREAMS["touch_account"], account_id)
        await connection.execute(_STREAMS["tell_stores"], account_id)
