"""Posts a receipt: recalculated and compared, rights settled, points redeemed and earned.

All of it under one account lock.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger import books
from central.ledger.books import Cause, LockedAccount, lock_account
from central.rights import counters as shared_counters
from central.rights import grants, planner
from central.rights.issuing import count_spent, lock_sale_key, settle_risk
from central.rules.library import RuleLibrary
from central.streams import business_date, counters, transfers
from central.streams.stored import Decision, StoredRecord, parked_for_card, rejected
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from sync.records import LotTaken, SaleRecord, Source, VoidRecord

_SQL = load_queries("central.streams", "queries.sql")

BEYOND_CAP: Final = "its till spent more since its last HELLO than it was told it may"
BEYOND_COUNTER: Final = "it gives more of what is limited over all customers than was set aside"
AFTER_WRITE_OFF: Final = "spent from a right that was written off before; the pool had kept it back"


async def apply_sale(
    connection: Connection,
    stored: StoredRecord,
    sale: SaleRecord,
    *,
    library: RuleLibrary,
    now_ms: int,
) -> Decision:
    """Post a receipt as printed.

    Returns:
        accepted; adjusted when the same sale key was posted with another content before; parked
        while nobody is known by the card.
    """
    await lock_sale_key(connection, sale.key)
    before = await connection.fetchrow(_SQL["receipt"], sale.key)
    if before is not None:
        return await _posted_before(connection, sale)
    account_id = sale.inputs.account.account_id
    if sale.card and not account_id:
        account_id = (
            await connection.fetchval(_SQL["account_of_card"], bytes.fromhex(sale.card)) or 0
        )
        if not account_id:
            return parked_for_card(sale.card)
    try:
        account = await _lock_accounts(connection, sale.key, account_id)
        printed = msgspec.json.decode(sale.calculation, type=Calculation)
    except (LookupError, msgspec.ValidationError) as error:
        return rejected(f"not a receipt of this centre: {error}")
    if not _points_add_up(printed):
        return rejected("its points do not add up")
    if not counters.is_sound(printed):
        return rejected("it counts what no receipt counts")
    recalculated = await recalculate(connection, sale, library)
    equal = recalculated == bytes(sale.calculation)
    if not await _insert(
        connection,
        stored,
        sale,
        printed,
        account_id=account_id,
        equal=equal,
        recalculated=recalculated,
        now_ms=now_ms,
    ):
        return await _posted_before(connection, sale)
    counts_at = await business_date.business_moment(connection, stored, sale)
    note = "" if counts_at == sale.inputs.moment.local else business_date.NOTE
    if account is not None:
        said = await _post(
            connection, stored, sale, printed, account, counts_at=counts_at, now_ms=now_ms
        )
        note = said or note
    note = await _draw(connection, stored, sale, printed) or note
    await _release_unused(connection, sale.key)
    await connection.execute(_SQL["unpark"], f"sale:{sale.key}")
    if not equal:
        note = "the centre calculates otherwise; posted as printed"
    return Decision("accepted", note)


async def _lock_accounts(
    connection: Connection, sale_key: str, account_id: int
) -> LockedAccount | None:
    """Lock every account the receipt can move points of, in order; returns the receipt's own.

    Raises:
        LookupError: there is no such account.
    """
    authorised = await grants.accounts_authorised(connection, sale_key)
    own = None
    for each in sorted({*authorised, account_id} - {0}):
        account = await lock_account(connection, each)
        if each == account_id:
            own = account
    return own


def _points_add_up(printed: Calculation) -> bool:
    """Say whether the ledger can follow a receipt: parts above zero that make its sums."""
    effects = [effect.points for line in printed.lines for effect in line.effects]
    earned = [lot.points for lot in printed.earned]
    redeemed = [part.points for part in printed.redeemed]
    return (
        min((*effects, 0)) == 0
        and min((*earned, *redeemed, 1)) > 0
        and sum(effects) == sum(earned) == printed.totals.earned_points
        and sum(redeemed) == printed.totals.redeemed_points
    )


async def recalculate(connection: Connection, sale: SaleRecord, library: RuleLibrary) -> bytes:
    """Return the calculation's canonical bytes as made here; empty where the bundle is unknown."""
    inputs = sale.inputs
    try:
        rules = await library.find(connection, inputs.bundle)
    except LookupError:
        return b""
    return canonical_bytes(
        calculate(
            inputs.basket,
            rules,
            moment=inputs.moment,
            place=inputs.place,
            account=inputs.account,
            request=inputs.request,
            right=inputs.right,
            allowance=inputs.allowance,
        )
    )


async def _posted_before(connection: Connection, sale: SaleRecord) -> Decision:
    """The sale key is known: same content is a repeat; other content is kept, changes nothing."""
    await counters.tell_again(connection, sale.key)
    body = await connection.fetchval(_SQL["body_of_receipt"], sale.key)
    if msgspec.json.decode(body).get("calculation") == msgspec.json.decode(sale.calculation):
        return Decision("accepted", "posted before")
    return Decision("adjusted", "already_recorded_differently")


async def _insert(
    connection: Connection,
    stored: StoredRecord,
    sale: SaleRecord,
    printed: Calculation,
    *,
    account_id: int,
    equal: bool,
    recalculated: bytes,
    now_ms: int,
) -> bool:
    totals = printed.totals
    inserted = await connection.fetchval(
        _SQL["insert_receipt"], sale.key, account_id or None, stored.arrival, stored.till_id,
        sale.inputs.place.store, sale.inputs.moment.local, sale.inputs.bundle,
        totals.gross_minor, totals.discount_minor, totals.redeemed_minor,
        totals.redeemed_points, totals.paid_minor, totals.earned_points,
        sale.link_up, equal, bytes(sale.calculation),
        b"" if equal else recalculated, now_ms,
    )  # fmt: skip
    return inserted is not None


async def _post(
    connection: Connection,
    stored: StoredRecord,
    sale: SaleRecord,
    printed: Calculation,
    account: LockedAccount,
    *,
    counts_at: str,
    now_ms: int,
) -> str:
    """Post what a receipt moved; returns a note where its till spent what it should not have.

    Args:
        counts_at: local moment by which points begin, end and are looked for.
    """
    cause = Cause(sale.key, stored.arrival, now_ms)
    held, note = await _settle_sources(connection, stored, sale, printed, account)
    uncovered = printed.totals.redeemed_points - sum(lot.points for lot in held)
    date = counts_at[:10]
    await books.redeem(connection, account, held, uncovered=uncovered, date=date, cause=cause)
    printed_at = sale.inputs.moment.local
    earned = business_date.redated(printed.earned, printed=printed_at, counts_at=counts_at)
    await books.earn(connection, account, earned, cause)
    await counters.count(connection, account.account_id, printed, now_ms=now_ms)
    store_id = sale.inputs.place.store
    await planner.visit(connection, account, store_id=store_id, day=date, now_ms=now_ms)
    await connection.execute(_SQL["tell_stores"], account.account_id)
    return note


async def _draw(
    connection: Connection, stored: StoredRecord, sale: SaleRecord, printed: Calculation
) -> str:
    """Take what the receipt draws out of its till's grants; a note where they were too little."""
    counted = shared_counters.by_name((each.counter, each.plus) for each in printed.counted)
    is_beyond = await shared_counters.use(
        connection,
        till_id=stored.till_id,
        drawn=sale.drawn,
        counted=counted,
        used_at=f"{printed.moment[:19]} store {printed.store}",
    )
    return BEYOND_COUNTER if is_beyond else ""


async def _settle_sources(
    connection: Connection,
    stored: StoredRecord,
    sale: SaleRecord,
    printed: Calculation,
    account: LockedAccount,
) -> tuple[list[LotTaken], str]:
    """Consume the rights a receipt names.

    Returns:
        The held lots taken, and a note where the rights were not as they should be; what the lots
        do not cover the pool may have to pay.
    """
    if not _add_up(sale.sources, printed.totals.redeemed_points):
        # A till that names other sources than it redeemed is wrong about its rights:
        # none of them is touched.
        return [], ""
    held: list[LotTaken] = []
    note = ""
    spent = sum(source.points for source in sale.sources if source.kind != "authorisation")
    if spent and await count_spent(
        connection,
        till_id=stored.till_id,
        incarnation=stored.incarnation,
        seq=stored.seq,
        points=spent,
    ):
        note = BEYOND_CAP
    # Accounts are locked before tills, and those before the pool.
    for source in sorted(sale.sources, key=lambda source: source.kind == "risk"):
        if source.kind == "risk":
            await settle_risk(connection, till_id=stored.till_id, points=source.points)
            continue
        grant = await grants.find(connection, source.grant_id)
        if (
            grant is not None
            and grant["account_id"] == account.account_id
            and grant["sale_key"] in ("", sale.key)
            and (
                grant["till_id"] == stored.till_id
                or await transfers.may_spend(connection, stored, grant, source)
            )
        ):
            await transfers.note_spent(connection, account.account_id, stored, source)
            if grant["exposure"]:
                note = AFTER_WRITE_OFF
            held += await grants.consume(
                connection, account.account_id, source.grant_id, source.lots
            )
    return held, note


def _add_up(sources: Sequence[Source], redeemed_points: int) -> bool:
    """Say whether the sources, and the lots of each, name exactly the points redeemed."""
    return sum(source.points for source in sources) == redeemed_points and all(
        source.kind == "risk" or source.points == sum(lot.points for lot in source.lots)
        for source in sources
    )


async def apply_void(connection: Connection, stored: StoredRecord, record: VoidRecord) -> Decision:
    """A receipt was given up: what was authorised for it is free again."""
    await lock_sale_key(connection, record.key)
    await connection.execute(_SQL["insert_void"], record.key, stored.arrival)
    await _release_unused(connection, record.key)
    return Decision("accepted")


async def _release_unused(connection: Connection, sale_key: str) -> None:
    """Free what was authorised for a receipt and not used, whoever's card it was asked for with."""
    for account_id in await grants.accounts_authorised(connection, sale_key):
        await lock_account(connection, account_id)
        await grants.close_of_sale(connection, account_id, sale_key)
