"""Posts a return: worked out from the posted receipt and what came back of it, as they arrive.

Of each line at most as much comes back as was sold (design: sync 4.12). Money is a fact of the
register: what it handed out is kept, whatever is worked out here. Points are posted as worked out
here; a till that knew of every earlier return has shown the very same (`docs/returns.md`).
"""

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger import books
from central.ledger.books import Cause, lock_account
from central.outreach import outbox
from central.outreach.events import Event, ReceiptReturned, account_key
from central.rights import counters as shared_counters
from central.rights import courier
from central.rights.planner import wish_for_home
from central.rules.library import RuleLibrary
from central.streams import counters, partner_points
from central.streams.stored import (
    GIVEN_UP,
    RECEIPT_GIVEN_UP,
    Decision,
    StoredRecord,
    parked_for_sale,
    rejected,
)
from loyalty.bundle import ReturnTerms
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.outcomes import Outcome
from loyalty.returns import (
    ReturnCalculation,
    ReturnItem,
    ReturnMade,
    already_returned,
    calculate_return,
)
from sync.records import RefundRecord

_SQL = load_queries("central.streams", "queries.sql")

_NOT_SHOWN = b"{}"


async def apply_refund(
    connection: Connection, library: RuleLibrary, stored: StoredRecord, refund: RefundRecord, *,
    now_ms: int,
) -> Decision:  # fmt: skip
    """Reverse what came back of a posted receipt.

    Returns:
        accepted; parked while the receipt has not come; adjusted when the points are others than
        shown, and also when a line is unknown or not so much of it is left: then nothing is given
        back or taken, the money is the register's matter; rejected_kept when somebody gave the
        return or its receipt up, though the receipt may be there by now.
    """
    if await connection.fetchrow(_SQL["refund"], refund.key) is not None:
        return await _not_posted(connection, refund, Decision("accepted", "posted before"))
    receipt = await connection.fetchrow(_SQL["lock_receipt"], refund.original_key)
    # Asked after the receipt: who gives a return up does so before its receipt can be posted.
    over = await connection.fetch(_SQL["given_up"], refund.key, refund.original_key)
    if "refund" in (kinds := {row["kind"] for row in over}):
        return await _not_posted(connection, refund, rejected(GIVEN_UP))
    if receipt is None and kinds:
        return rejected(RECEIPT_GIVEN_UP)
    if receipt is None:
        if refund.receipt_code:
            await courier.hear(connection, refund.receipt_code, now_ms=now_ms)
        return parked_for_sale(refund.original_key)
    original = msgspec.json.decode(receipt["calculation"], type=Calculation)
    shown = shown_of(refund)
    already = already_returned(original, await returns_of(connection, refund.original_key))
    result = calculate_return(
        original,
        refund.lines,
        already,
        date=refund.moment.date,
        available_points=shown.available_points if shown else None,
    )
    if isinstance(result, Outcome):
        return await _not_posted(connection, refund, Decision("adjusted", str(result)))
    let_go = 0
    if receipt["account_id"] is not None:
        let_go = await _post_points(
            connection, stored, refund, result,
            account_id=receipt["account_id"], terms=original.terms.returns, now_ms=now_ms,
        )  # fmt: skip
    back = ((each.counter, each.plus) for each in result.counted_back)
    await shared_counters.take_back(connection, shared_counters.by_name(back))
    await _insert(connection, stored, refund, result, shown, let_go=let_go)
    await partner_points.note_return(
        connection, library, original, already, result,
        sale_key=refund.original_key, refund_key=refund.key, now_ms=now_ms,
    )  # fmt: skip
    event = _event(refund, result, shown, account_id=receipt["account_id"], let_go=let_go)
    key = f"till/{stored.till_id}" if event.account is None else account_key(event.account)
    await outbox.write(connection, [Event(key, event)], now_ms=now_ms)
    return _decision(refund, result, shown, let_go=let_go)


async def _not_posted(connection: Connection, refund: RefundRecord, decision: Decision) -> Decision:
    """Tell the account all the same: its till goes on counting the return until it hears of it."""
    await counters.tell_again(connection, refund.original_key)
    return decision


async def returns_of(connection: Connection, sale_key: str) -> list[ReturnMade]:
    """Return what came back of a receipt so far, by the returns posted here."""
    found: dict[str, ReturnMade] = {}
    for row in await connection.fetch(_SQL["returns_of_receipt"], sale_key):
        key = row["refund_key"]
        before = found[key].items if key in found else ()
        item = ReturnItem(line_id=row["line_id"], quantity=row["quantity"])
        found[key] = ReturnMade(
            key=key, items=(*before, item), charged_back_minor=row["charged_back_minor"]
        )
    return list(found.values())


async def returnable_points(connection: Connection, sale_key: str, date: str) -> int | None:
    """Return what a return on a day could take from the receipt's account; None for nobody's."""
    account_id = await connection.fetchval(_SQL["account_of_receipt"], sale_key)
    if account_id is None:
        return None
    points: int = await connection.fetchval(_SQL["returnable_points"], account_id, sale_key, date)
    return points


def shown_of(refund: RefundRecord) -> ReturnCalculation | None:
    """Return what the till showed; None where it did not know the receipt, or what is no return."""
    try:
        shown = msgspec.json.decode(refund.calculation, type=ReturnCalculation)
    except msgspec.ValidationError:
        return None
    return shown if shown.money_back_minor >= 0 else None


async def _post_points(
    connection: Connection,
    stored: StoredRecord,
    refund: RefundRecord,
    result: ReturnCalculation,
    *,
    account_id: int,
    terms: ReturnTerms,
    now_ms: int,
) -> int:
    """Give back, take back and uncount; returns points that were to be taken and are let go."""
    account = await lock_account(connection, account_id)
    cause = Cause(refund.key, stored.arrival, now_ms)
    sale_key, date = refund.original_key, refund.moment.date
    await books.give_back(
        connection,
        account,
        result.points_back,
        sale_key=sale_key,
        date=date,
        grace_days=terms.grace_days,
        cause=cause,
    )
    # What the account had was asked when the goods came back, if anybody could be asked. If not,
    # the terms are kept now: only what it has is taken.
    owes = terms.earned != "within_balance" or result.available_points is not None
    _, missing = await books.take_back(
        connection,
        account,
        result.taken_back,
        sale_key=sale_key,
        date=date,
        owes=owes,
        cause=cause,
    )
    await counters.take_back(connection, sale_key, result)
    if account.erased:
        await connection.execute(_SQL["come_back"], account.account_id, sale_key)
    await connection.execute(_SQL["tell_stores"], account.account_id)
    await wish_for_home(connection, account_id=account.account_id, home_store=account.home_store)
    return 0 if owes else missing


async def _insert(
    connection: Connection,
    stored: StoredRecord,
    refund: RefundRecord,
    result: ReturnCalculation,
    shown: ReturnCalculation | None,
    *,
    let_go: int,
) -> None:
    money_minor = shown.money_back_minor if shown else result.money_back_minor
    paid_minor = sum(line.paid_minor for line in result.lines)
    await connection.execute(
        _SQL["insert_refund"], refund.key, refund.original_key, stored.arrival, money_minor,
        # What was withheld in fact, so that the last part evens out what a till did not know.
        paid_minor - result.deducted_minor - money_minor,
        result.deducted_minor, result.deducted_points,
        result.points_back_total, result.taken_back_total - let_go,
        counters.qualifying(result.counted_back),
    )  # fmt: skip
    await connection.execute(
        _SQL["insert_returned_lines"], refund.original_key, refund.key,
        [item.line_id for item in result.items], [item.quantity for item in result.items],
    )  # fmt: skip


def _event(
    refund: RefundRecord,
    result: ReturnCalculation,
    shown: ReturnCalculation | None,
    *,
    account_id: int | None,
    let_go: int,
) -> ReceiptReturned:
    return ReceiptReturned(
        refund=refund.key,
        receipt=refund.original_key,
        account=account_id,
        money_back_minor=shown.money_back_minor if shown else result.money_back_minor,
        points_back=result.points_back_total,
        points_taken=result.taken_back_total - let_go,
    )


def _decision(
    refund: RefundRecord,
    result: ReturnCalculation,
    shown: ReturnCalculation | None,
    *,
    let_go: int,
) -> Decision:
    if bytes(refund.calculation) == _NOT_SHOWN:
        return Decision("accepted")
    if shown is None:
        return Decision("adjusted", "what was shown cannot be read; worked out anew")
    posted = result.points_back_total - result.taken_back_total + let_go
    points = posted - (shown.points_back_total - shown.taken_back_total)
    if canonical_bytes(result) != bytes(refund.calculation):
        return Decision("adjusted", "the till did not know of other returns", points=points)
    if let_go:
        return Decision("adjusted", "the account no longer had all points", points=points)
    return Decision("accepted")
