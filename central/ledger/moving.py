"""Lots, rights and redemptions of one account become another's.

Their tables are spread by the account, so a row that changes it may be on another machine from then
on: no update does that, rows are taken out here and written anew there (docs/growth.md). Lots come
before what refers to them. Both accounts are locked by the caller, and totals are the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.rights.waking import wake_holders

_SQL = load_queries("central.ledger", "moving.sql")
_RIGHTS = load_queries("central.rights", "queries.sql")


class _Numbered(msgspec.Struct, frozen=True):
    grant_id: str


_numbers = msgspec.json.Decoder(list[_Numbered])


@dataclass(frozen=True, slots=True)
class RightsUnderway:
    """Rights taken out of an account and not written to the other one yet, as JSON rows.

    Attributes:
        grants: their numbers, sorted.
    """

    grants: tuple[str, ...]
    rights: str
    lots: str
    transfers: str


async def take_rights(
    connection: Connection, both: tuple[int, int], grants: Sequence[str] | None = None
) -> RightsUnderway:
    """Take rights out of an account; what tills hold of them is asked back.

    Args:
        both: the account they are of, and the one they go to.
        grants: the numbers of those to take; None = all.
    """
    which = None if grants is None else list(grants)
    if tills := await connection.fetchval(_SQL["tills_of_rights"], both[0], which):
        # What tills hold is counted with their rights: in the order of tills, everybody.
        await connection.execute(_RIGHTS["count_till_rights"], tills, [0] * len(tills))
    asked_back = await connection.fetch(_SQL["ask_back"], both[0], which)
    await wake_holders(connection, both[0], [tuple(row) for row in asked_back])
    lots = await connection.fetchval(_SQL["take_right_lots"], *both, which)
    transfers = await connection.fetchval(_SQL["take_transfers"], *both, which)
    rights = await connection.fetchval(_SQL["take_rights"], *both, which)
    numbers = sorted(each.grant_id for each in _numbers.decode(rights))
    return RightsUnderway(tuple(numbers), rights, lots, transfers)


async def put_rights(connection: Connection, underway: RightsUnderway) -> None:
    """Write rights to the account they go to; their lots are there."""
    await connection.execute(_SQL["put_rights"], underway.rights)
    await connection.execute(_SQL["put_right_lots"], underway.lots)
    await connection.execute(_SQL["put_transfers"], underway.transfers)


async def move_lots(
    connection: Connection, both: tuple[int, int], lot_ids: Sequence[int] | None = None
) -> None:
    """Move lots that no right refers to at the account they are of; None = all."""
    which = None if lot_ids is None else list(lot_ids)
    taken = await connection.fetchval(_SQL["take_lots"], *both, which)
    await connection.execute(_SQL["put_lots"], taken)


async def split_lot(
    connection: Connection, both: tuple[int, int], lot_id: int, *, held: int, redeemed: int
) -> None:
    """Move a lot but for what stays of it, which is a lot of its own with the same number.

    Args:
        held: points of it that rights hold which stay.
        redeemed: points of it that were redeemed by receipts which stay.
    """
    goes = await connection.fetchval(_SQL["lot_without"], *both, lot_id, held, redeemed)
    await connection.execute(_SQL["keep_of_lot"], both[0], lot_id, held, redeemed)
    await connection.execute(_SQL["put_lots"], goes)


async def move_redemptions(
    connection: Connection, both: tuple[int, int], sale_keys: Sequence[str] | None = None
) -> None:
    """Move what receipts have redeemed of which lots; None = of all receipts."""
    which = None if sale_keys is None else list(sale_keys)
    taken = await connection.fetchval(_SQL["take_redemptions"], *both, which)
    await connection.execute(_SQL["put_redemptions"], taken)
