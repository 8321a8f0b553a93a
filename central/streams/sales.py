"""Posts a receipt: recalculated and compared, rights settled, points redeemed and earned.

All of it under the locks of its batch, on what the batch has read and the records before changed.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from central.ledger.account_books import AccountBook
from central.ledger.books import Cause
from central.rights import counters as shared_counters
from central.streams import business_date, counters
from central.streams.batch import Batch, spender
from central.streams.items import Item, NewReceipt
from central.streams.stored import GIVEN_UP, Decision, parked_for_card, rejected
from loyalty.calculation import Calculation
from sync.records import LotTaken, SaleRecord, Source, VoidRecord

BEYOND_CAP: Final = "its till spent more since its last HELLO than it was told it may"
BEYOND_COUNTER: Final = "it gives more of what is limited over all customers than was set aside"
ANOTHER_PROGRAMME: Final = "its customer's account is of another programme than its store"
AFTER_WRITE_OFF: Final = "spent from a right that was written off before; the pool had kept it back"


def post_sale(batch: Batch, item: Item, sale: SaleRecord) -> Decision:
    """Post a receipt as printed.

    Returns:
        accepted; accepted_stale when a newer release was due at its till; adjusted when the same
        sale key was posted with another content before; parked while nobody is known by the card;
        rejected_kept when somebody gave it up meanwhile.
    """
    if sale.key in batch.receipts or sale.key in batch.given_up:
        return _known_before(batch, item, sale)
    if sale.card and not item.account_id:
        return parked_for_card(sale.card, batch.programme_of(item.stored.till_id))
    printed = item.printed
    try:
        account = _account_of(batch, item)
    except LookupError as error:
        return rejected(f"not a receipt of this centre: {error}")
    if isinstance(printed, msgspec.ValidationError):
        return _rejected(batch, item.account_id, f"not a receipt of this centre: {printed}")
    if not isinstance(printed, Calculation):
        raise printed or TypeError("no calculation")
    if wrong := _what_is_wrong(printed):
        return _rejected(batch, item.account_id, wrong)
    if isinstance(item.recalculated, Exception):
        raise item.recalculated
    is_equal = item.recalculated == bytes(sale.calculation)
    printed_at = sale.inputs.moment.local
    counts_at = business_date.clamped(
        printed_at,
        zone=batch.homes.zone_of(sale.inputs.place.store),
        not_before_ms=item.stored.not_before_ms,
        received_at_ms=item.stored.received_at_ms,
    )
    batch.post(
        NewReceipt(
            item=item,
            sale=sale,
            printed=printed,
            account_id=account.account_id if account is not None else None,
            business_moment="" if counts_at == printed_at else counts_at,
            recalculation=b"" if is_equal else item.recalculated,
            is_equal=is_equal,
        )
    )
    note = "" if counts_at == printed_at else business_date.NOTE
    if account is not None:
        note = _post(batch, item, sale, printed, account, counts_at=counts_at) or note
    note = _draw(batch, item, sale, printed) or note
    batch.rights.release(sale.key)
    if not is_equal:
        note = "the centre calculates otherwise; posted as printed"
    return _accepted(item, note, batch.codes.use(item, sale))


def _accepted(item: Item, *notes: str) -> Decision:
    if item.stale is None:
        return Decision("accepted", "; ".join(filter(None, notes)))
    return Decision("accepted_stale", "; ".join(filter(None, (item.stale.reason, *notes))))


def _account_of(batch: Batch, item: Item) -> AccountBook | None:
    """Return whose a receipt is; None for nobody's.

    Raises:
        LookupError: there is no such account, or it is no wallet of the store's programme.
    """
    if not item.account_id:
        return None
    account = batch.account(item.account_id)
    if batch.is_of_another_programme(account.account_id, item.stored.till_id):
        raise LookupError(ANOTHER_PROGRAMME)
    return account


def _what_is_wrong(printed: Calculation) -> str:
    if not _points_add_up(printed):
        return "its points do not add up"
    return "" if counters.is_sound(printed) else "it counts what no receipt counts"


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


def _known_before(batch: Batch, item: Item, sale: SaleRecord) -> Decision:
    """The sale key is known: same content is a repeat; other content is kept, changes nothing.

    So is a receipt that somebody gave up while it waited.
    """
    before = batch.receipts.get(sale.key)
    if before is None:
        return _rejected(batch, item.account_id, GIVEN_UP)
    _tell_again(batch, before.account_id)
    known = msgspec.json.decode(before.body).get("calculation")
    if known == msgspec.json.decode(sale.calculation):
        return Decision("accepted", "posted before")
    return Decision("adjusted", "already_recorded_differently")


def _rejected(batch: Batch, account_id: int, reason: str) -> Decision:
    _tell_again(batch, account_id)
    return rejected(reason)


def _tell_again(batch: Batch, account_id: int | None) -> None:
    """Tell an account that a record did not change.

    A till counts its record by itself until an account arrives that holds it, at its new place in
    a new stream, too.
    """
    account = batch.accounts.find(account_id or 0)
    if account is not None:
        account.version += 1
        account.is_told = True


def _post(
    batch: Batch,
    item: Item,
    sale: SaleRecord,
    printed: Calculation,
    account: AccountBook,
    *,
    counts_at: str,
) -> str:
    """Post what a receipt moved; returns a note where its till spent what it should not have.

    Args:
        counts_at: local moment by which points begin, end and are looked for.
    """
    cause = Cause(sale.key, item.stored.arrival, batch.now_ms)
    held, note = _settle_sources(batch, item, sale, printed, account)
    uncovered = printed.totals.redeemed_points - sum(lot.points for lot in held)
    date = counts_at[:10]
    batch.accounts.redeem(account, held, uncovered=uncovered, date=date, cause=cause)
    printed_at = sale.inputs.moment.local
    earned = business_date.redated(printed.earned, printed=printed_at, counts_at=counts_at)
    batch.accounts.earn(account, earned, cause)
    batch.counted.count(account, printed)
    store_id = sale.inputs.place.store
    batch.homes.visit(account, store_id=store_id, day=date, now_ms=batch.now_ms)
    account.is_told = True
    return note


def _draw(batch: Batch, item: Item, sale: SaleRecord, printed: Calculation) -> str:
    """Take what the receipt draws out of its till's grants; a note where they were too little."""
    is_beyond = batch.shared.use(
        till_id=item.stored.till_id,
        drawn=sale.drawn,
        counted=shared_counters.by_name((each.counter, each.plus) for each in printed.counted),
        used_at=f"{printed.moment[:19]} store {printed.store}",
    )
    return BEYOND_COUNTER if is_beyond else ""


def _settle_sources(
    batch: Batch, item: Item, sale: SaleRecord, printed: Calculation, account: AccountBook
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
    rights, till_id = batch.rights, item.stored.till_id
    held: list[LotTaken] = []
    note = ""
    spent = sum(source.points for source in sale.sources if source.kind != "authorisation")
    if spent and rights.count_spent(spender(item.stored), spent):
        note = BEYOND_CAP
    for source in sorted(sale.sources, key=lambda source: source.kind == "risk"):
        if source.kind == "risk":
            rights.settle_risk(spender(item.stored), source.points)
            continue
        right = rights.rights.get(source.grant_id)
        if (
            right is not None
            and right.account_id == account.account_id
            and right.sale_key in ("", sale.key)
            and rights.may_spend(
                right,
                source,
                till_id=till_id,
                is_same_store=batch.are_of_one_store(right.till_id, till_id),
            )
        ):
            rights.note_spent(account.account_id, source, till_id=till_id)
            if right.exposure:
                note = AFTER_WRITE_OFF
            held += rights.consume(right, source.lots)
    return held, note


def _add_up(sources: Sequence[Source], redeemed_points: int) -> bool:
    """Say whether the sources, and the lots of each, name exactly the points redeemed."""
    return sum(source.points for source in sources) == redeemed_points and all(
        source.kind == "risk" or source.points == sum(lot.points for lot in source.lots)
        for source in sources
    )


def post_void(batch: Batch, item: Item, record: VoidRecord) -> Decision:
    """A receipt was given up: what was authorised for it is free again."""
    batch.void(record.key, item.stored.arrival)
    batch.rights.release(record.key)
    return Decision("accepted")
