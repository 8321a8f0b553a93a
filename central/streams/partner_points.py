"""Points of partners' own programmes that tills hand out: from receipts into partners' statements.

They are no points of ours and no lot; the chain owes the partner for them (design: centre 2).
Posting notes them beside the receipt and waits for nobody; `settle` gives them their place in the
statement soon afterwards, partner by partner.
"""

from collections.abc import Iterable
from typing import Final

import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.ledger.account_books import columns
from central.ledger.liability import day_of
from central.rules.library import RuleLibrary
from central.streams.items import NewReceipt
from loyalty.calculation import Calculation
from loyalty.handing_back import Basis, ForPartner, bases, for_partners, handed_back
from loyalty.limits import POINTS_MAX, TEXT_CHARACTERS_MAX
from loyalty.returns import ReturnCalculation, Returned
from sync.errors import MalformedMessageError
from sync.records import SaleRecord, decode_record

log = structlog.get_logger()
_SQL = load_queries("central.streams", "partner_points.sql")

ONCE_MAX: Final = 5_000
"""Lines of one partner put into its statement in one transaction."""


async def note_receipts(
    connection: Connection, receipts: Iterable[NewReceipt], *, now_ms: int
) -> None:
    """Note what receipts that are being posted hand out; nothing is asked where that is nothing."""
    rows = []
    for receipt in receipts:
        for each in for_partners(receipt.printed):
            if not _is_sound(each):
                log.warning("hand_out_not_noted", receipt=receipt.sale.key, offer=each.offer_id)
                continue
            day = (receipt.business_moment or receipt.sale.inputs.moment.local)[:10]
            rows.append(
                (receipt.sale.key, "", each.offer_id, each.partner, each.points, day, now_ms)
            )
    if rows:
        await connection.execute(_SQL["note"], *columns(rows))


def _is_sound(given: ForPartner) -> bool:
    """Say whether a statement can hold it; another one is no work of an engine."""
    return 0 < given.points <= POINTS_MAX and all(
        0 < len(name) <= TEXT_CHARACTERS_MAX and "\x00" not in name
        for name in (given.offer_id, given.partner)
    )


async def note_return(
    connection: Connection,
    library: RuleLibrary,
    original: Calculation,
    already: Returned,
    result: ReturnCalculation,
    *,
    sale_key: str,
    refund_key: str,
    now_ms: int,
) -> None:
    """Note what goes back with goods of a posted receipt; call it under the receipt's lock.

    Args:
        already: what came back before.
        result: what comes back now.
    """
    if not for_partners(original):
        return
    noted = {(row["offer"], row["partner"]) for row in
             await connection.fetch(_SQL["handed_out"], sale_key)}  # fmt: skip
    if not noted:
        return
    after = dict(already.quantities)
    for item in result.items:
        after[item.line_id] = after.get(item.line_id, 0) + item.quantity
    known = await _bases(connection, library, sale_key)
    rows = [
        (sale_key, refund_key, each.offer_id, each.partner, each.points, result.date, now_ms)
        for each in handed_back(original, known, already.quantities, after)
        if (each.offer_id, each.partner) in noted
    ]
    if rows:
        await connection.execute(_SQL["note"], *columns(rows))


async def _bases(connection: Connection, library: RuleLibrary, sale_key: str) -> dict[str, Basis]:
    """Return what the offers of a posted receipt count by; nothing where that cannot be found."""
    arrival = await connection.fetchval(_SQL["arrival"], sale_key)
    body = await connection.fetchval(_SQL["body"], arrival)
    try:
        record = decode_record(body)
        if not isinstance(record, SaleRecord):
            return {}
        inputs = record.inputs
        return bases(
            inputs.basket,
            await library.find(connection, inputs.bundle),
            moment=inputs.moment,
            place=inputs.place,
            account=inputs.account,
            allowance=inputs.allowance,
        )
    except (LookupError, MalformedMessageError):
        return {}


async def settle(pool: Pool, *, now_ms: int, once_max: int = ONCE_MAX) -> int:
    """Put what was noted into the statements of its partners; returns how many lines.

    Several processes may do so: who holds a partner's day goes first. What names no partner that
    is known here stays noted until there is one.
    """
    lines = 0
    day = day_of(now_ms)
    for row in await pool.fetch(_SQL["partners_waiting"]):
        client_id: str = row["client_id"]
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["open_day"], client_id, day)
            await connection.execute(_SQL["lock_day"], client_id, day)
            lines += await connection.fetchval(_SQL["settle"], client_id, day, once_max)
    return lines
