"""Receipts as tills hand them in: real baskets, sold to drawn customers under the real rules.

The tills' part of the work is done before anything is measured: baskets are calculated and records
encoded here, so that the clock runs over the centre's part alone.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from bench.till.shop import Shop, receipt_id
from loyalty.account import NOBODY, AccountSnapshot, LotPart, RedeemRequest, SpendRight
from loyalty.basket import Basket, Moment, Place
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.compilation import Rules
from sync.messages import Grant
from sync.records import CalculationInputs, LotTaken, SaleRecord, Source, encode_record

MEMBER_PER_CENT = 80
"""So many receipts of a hundred show a card."""
REDEEMED_POINTS = 20


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom a receipt is for; 0 = nobody."""

    account_id: int


class Trade:
    """Draws receipts: baskets in their order, customers at random."""

    def __init__(self, shop: Shop, rules: Rules, *, accounts: int, seed: int) -> None:
        self._shop = shop
        self._rules = rules
        self._accounts = accounts
        self._draw = random.Random(seed)
        self._seed = seed
        self._made = 0

    def customer(self) -> int:
        """Return an account, 0 for a receipt without a card."""
        if self._draw.randrange(100) >= MEMBER_PER_CENT:
            return 0
        return self._draw.randint(1, self._accounts)

    def new_key(self) -> str:
        """Return the sale key of another receipt."""
        self._made += 1
        return receipt_id(self._made, series=self._seed)

    def sale(self, key: str, place: Place, account_id: int, right: Grant | None = None) -> bytes:
        """Return the record of a receipt.

        Args:
            right: what was authorised for it; all of it is redeemed.
        """
        sale = self._shop.sales[self._made % len(self._shop.sales)]
        points = right.points if right is not None else 0
        lots = right.lots if right is not None else ()
        inputs = CalculationInputs(
            bundle=self._rules.bundle_hash,
            basket=Basket(lines=sale.lines, codes=sale.codes),
            moment=Moment(local=sale.moment),
            place=place,
            account=_snapshot(account_id),
            request=RedeemRequest(points=points),
            right=SpendRight(points=points, lots=lots),
        )
        calculation = calculate(
            inputs.basket,
            self._rules,
            moment=inputs.moment,
            place=inputs.place,
            account=inputs.account,
            request=inputs.request,
            right=inputs.right,
        )
        redeemed = calculation.totals.redeemed_points
        record = SaleRecord(
            at_ms=1,
            key=key,
            version=1,
            inputs=inputs,
            calculation=msgspec.Raw(canonical_bytes(calculation)),
            sources=_sources(right, lots, redeemed),
            link_up=True,
        )
        return encode_record(record)

    def sales(self, count: int, place: Place) -> Iterator[bytes]:
        """Yield records of receipts that redeem nothing."""
        for _ in range(count):
            key = self.new_key()
            yield self.sale(key, place, self.customer())


def _snapshot(account_id: int) -> AccountSnapshot:
    if not account_id:
        return NOBODY
    return AccountSnapshot(identified=True, account_id=account_id, points=500, version=1)


def _sources(right: Grant | None, lots: Sequence[LotPart], points: int) -> tuple[Source, ...]:
    if right is None or not points:
        return ()
    taken, rest = [], points
    for lot in lots:
        if part := min(lot.points, rest):
            taken.append(LotTaken(lot.lot_id, part))
            rest -= part
    return (
        Source(kind="authorisation", grant_id=right.grant_id, points=points, lots=tuple(taken)),
    )
