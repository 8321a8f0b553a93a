"""Real baskets as a centre would have archived them: sold under given rules, printed by them."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import zstandard

from bench.grocery.data import RealBasket
from central.backtest.archive import Archive
from central.backtest.archiving import BATCH_RECEIPTS
from central.backtest.columns import PostedReceipt, table_of
from loyalty.account import NO_REDEMPTION, NO_RIGHT, AccountSnapshot, RedeemRequest, SpendRight
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import Bundle
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import encode
from sync.records import CalculationInputs

_INDEXES_KEPT = 512


class RealArchive:
    """An archive of receipts that were sold under one bundle."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        """Begin an archive in a new folder."""
        content = canonical_bytes(encode(bundle))
        self.archive = Archive(folder)
        self.rules: Rules = compile_bundle(
            bundle, sha256(content).hexdigest(), indexes_kept=_INDEXES_KEPT
        )
        self.archive.add_bundle(self.rules.bundle_hash, zstandard.compress(content))

    def write(self, posted: Iterable[PostedReceipt], *, one_file: bool = False) -> None:
        """Write receipts, those of a date in the order of their stores.

        Args:
            one_file: all into one file, as if they were a date's: the data's households make
                hardly a hundred receipts a date, a chain fills files of `PART_RECEIPTS`.
        """
        in_order = sorted(
            posted, key=lambda each: (each.inputs.moment.date, each.inputs.place.store)
        )
        by_file: dict[str, list[PostedReceipt]] = {}
        for each in in_order:
            day = in_order[0].inputs.moment.date if one_file else each.inputs.moment.date
            by_file.setdefault(day, []).append(each)
        for day, receipts in by_file.items():
            with self.archive.new_part(day) as part:
                for at in range(0, len(receipts), BATCH_RECEIPTS):
                    part.add(table_of(receipts[at : at + BATCH_RECEIPTS]))

    def sold(
        self,
        key: str,
        basket: Basket,
        *,
        moment: Moment,
        place: Place,
        account: AccountSnapshot,
        request: RedeemRequest = NO_REDEMPTION,
        right: SpendRight = NO_RIGHT,
    ) -> PostedReceipt:
        """Return a receipt as it is printed under the archive's rules."""
        return PostedReceipt(
            sale_key=key,
            inputs=CalculationInputs(
                bundle=self.rules.bundle_hash,
                basket=basket,
                moment=moment,
                place=place,
                account=account,
                request=request,
                right=right,
            ),
            printed=calculate(
                basket,
                self.rules,
                moment=moment,
                place=place,
                account=account,
                request=request,
                right=right,
            ),
            equal=True,
        )

    def sold_real(self, baskets: Sequence[RealBasket]) -> Iterable[PostedReceipt]:
        """Yield real baskets, each bought with its household's card and no coupon."""
        for real in baskets:
            yield self.sold(
                str(real.basket_id),
                Basket(
                    lines=tuple(
                        BasketLine(
                            line_id=f"{number:03d}",
                            sku=line.sku,
                            quantity=line.quantity,
                            gross_minor=line.gross_minor,
                            by_weight=line.by_weight,
                        )
                        for number, line in enumerate(real.lines, start=1)
                    )
                ),
                moment=Moment(local=real.moment),
                place=Place(store=real.store_id),
                account=AccountSnapshot(identified=True, account_id=real.household_id),
            )
