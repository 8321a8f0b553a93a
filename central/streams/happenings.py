"""What a posted receipt means to other systems: one event of it, and of the points it moved."""

from collections.abc import Iterable, Iterator

from central.outreach.events import (
    Event,
    PointsEarned,
    PointsLot,
    PointsRedeemed,
    ReceiptPosted,
    account_key,
)
from central.streams.items import NewReceipt


def events_of(receipts: Iterable[NewReceipt]) -> Iterator[Event]:
    """Yield the events of receipts that are being posted, in their order."""
    for receipt in receipts:
        yield from _events_of(receipt)


def _events_of(receipt: NewReceipt) -> Iterator[Event]:
    sale, totals, account = receipt.sale, receipt.printed.totals, receipt.account_id
    till_id = receipt.item.stored.till_id
    key = account_key(account) if account is not None else f"till/{till_id}"
    yield Event(
        key,
        ReceiptPosted(
            receipt=sale.key,
            account=account,
            store=sale.inputs.place.store,
            till=till_id,
            moment=sale.inputs.moment.local,
            bundle=sale.inputs.bundle,
            gross_minor=totals.gross_minor,
            discount_minor=totals.discount_minor,
            redeemed_minor=totals.redeemed_minor,
            redeemed_points=totals.redeemed_points,
            paid_minor=totals.paid_minor,
            earned_points=totals.earned_points,
            as_calculated=receipt.is_equal,
        ),
    )
    if account is None:
        return
    if totals.redeemed_points:
        yield Event(
            key,
            PointsRedeemed(account=account, receipt=sale.key, points=totals.redeemed_points),
        )
    if totals.earned_points:
        lots = tuple(
            PointsLot(
                points=lot.points,
                active_from=lot.active_from,
                expires_on=lot.expires_on,
                restriction=lot.restriction,
                offer=lot.offer_id,
            )
            for lot in receipt.printed.earned
        )
        yield Event(
            key,
            PointsEarned(account=account, receipt=sale.key, points=totals.earned_points, lots=lots),
        )
