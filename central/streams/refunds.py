"""Posts a return: worked out from the posted receipt, in order of arrival.

Each line comes back at most once (design: sync 4.12).
"""

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger import books
from central.ledger.books import Cause, lock_account
from central.rights.issuing import wish_for_home
from central.streams.stored import Decision, StoredRecord, parked_for_sale
from loyalty.calculation import Calculation
from loyalty.outcomes import Outcome
from loyalty.returns import calculate_return
from sync.records import RefundRecord

_SQL = load_queries("central.streams", "queries.sql")


async def apply_refund(
    connection: Connection, stored: StoredRecord, refund: RefundRecord, *, now_ms: int
) -> Decision:
    """Reverse whole lines of a posted receipt.

    Returns:
        accepted; parked while the receipt has not come; adjusted when a line is unknown or came
        back
        before: then nothing is given back or taken, the money is the register's matter.
    """
    if await connection.fetchrow(_SQL["refund"], refund.key) is not None:
        return Decision("accepted", "posted before")
    receipt = await connection.fetchrow(_SQL["lock_receipt"], refund.original_key)
    if receipt is None:
        return parked_for_sale(refund.original_key)
    returned = {
        row["line_id"]
        for row in await connection.fetch(_SQL["returned_lines"], refund.original_key)
    }
    original = msgspec.json.decode(receipt["calculation"], type=Calculation)
    result = calculate_return(original, refund.lines, returned)
    if isinstance(result, Outcome):
        return Decision("adjusted", str(result))
    await connection.execute(
        _SQL["insert_refund"], refund.key, refund.original_key, stored.arrival, list(result.lines),
        result.money_back_minor, result.points_back_total, result.taken_back_total,
    )  # fmt: skip
    await connection.execute(
        _SQL["insert_returned_lines"], refund.original_key, list(result.lines), refund.key
    )
    if receipt["account_id"] is not None:
        account = await lock_account(connection, receipt["account_id"])
        cause = Cause(refund.key, stored.arrival, now_ms)
        await books.give_back(
            connection, account, result.points_back, sale_key=refund.original_key, cause=cause
        )
        await books.take_back(
            connection, account, result.taken_back, sale_key=refund.original_key, cause=cause
        )
        await connection.execute(_SQL["tell_stores"], account.account_id)
        await wish_for_home(
            connection, account_id=account.account_id, home_store=account.home_store
        )
    return Decision("accepted")
