"""What an archived receipt holds, as columns: all its calculation is a function of, and its totals.

Of the customer only the account's number and what offers ask for; no card, no words about when and
where a limit was used up (they decide nothing).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from central.backtest.outcomes import effects_of
from loyalty.basket import BasketLine
from loyalty.calculation import Calculation
from sync.records import CalculationInputs

_TEXTS: Final = pa.list_(pa.string())
_COUNTS: Final = pa.map_(pa.string(), pa.int64())

LINE: Final = pa.struct(
    [
        ("line_id", pa.string()),
        ("sku", pa.string()),
        ("quantity", pa.int64()),
        ("gross_minor", pa.int64()),
        ("by_weight", pa.bool_()),
        ("pos_reduced", pa.bool_()),
        ("gtin", pa.string()),
        ("department", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("discount_minor", pa.int64()),  # as printed
    ]
)
LOT: Final = pa.struct(
    [
        ("lot_id", pa.int64()),
        ("points", pa.int64()),
        ("expires_on", pa.string()),
        ("restriction", pa.string()),
    ]
)
EFFECT: Final = pa.struct(
    [
        ("offer_id", pa.string()),
        ("discount_minor", pa.int64()),
        ("points", pa.int64()),
        ("handed_out", pa.int64()),
    ]
)
SCHEMA: Final = pa.schema(
    [
        # which receipt, and where and when it was made
        ("sale_key", pa.string()),
        ("store", pa.string()),
        ("region", pa.string()),
        ("banner", pa.string()),
        ("till", pa.string()),
        ("channel", pa.string()),
        ("moment", pa.string()),
        ("uncertainty_s", pa.int64()),
        ("bundle", pa.string()),
        # the basket
        ("lines", pa.list_(LINE)),
        ("codes", _TEXTS),
        ("tender", pa.string()),
        # the customer as the till knew him, and what he might spend
        ("identified", pa.bool_()),
        ("account_id", pa.int64()),
        ("tier", pa.string()),
        ("segments", _TEXTS),
        ("birthday", pa.bool_()),
        ("personal_offers", _TEXTS),
        ("purchases", pa.int64()),
        ("counters", _COUNTS),
        ("redeem_points", pa.int64()),
        ("redeem_all", pa.bool_()),
        ("right_points", pa.int64()),
        ("right_lots", pa.list_(LOT)),
        ("allowance_left", _COUNTS),
        ("used_codes", _TEXTS),
        # as it was printed, and whether the centre calculated the same
        ("equal", pa.bool_()),
        ("proven", pa.bool_()),
        ("gross_minor", pa.int64()),
        ("discount_minor", pa.int64()),
        ("redeemed_minor", pa.int64()),
        ("redeemed_points", pa.int64()),
        ("paid_minor", pa.int64()),
        ("earned_points", pa.int64()),
        ("effects", pa.list_(EFFECT)),
    ]
)
"""A row is a receipt. The business date is the name of the file's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedReceipt:
    """A receipt as the centre has it.

    Attributes:
        equal: the centre calculated it as it was printed.
    """

    sale_key: str
    inputs: CalculationInputs
    printed: Calculation
    equal: bool


def table_of(receipts: Iterable[PostedReceipt]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return receipts as a table of `SCHEMA`."""
    return pa.Table.from_pylist([_row(each) for each in receipts], schema=SCHEMA)


def _row(posted: PostedReceipt) -> dict[str, object]:
    inputs, totals = posted.inputs, posted.printed.totals
    place, account = inputs.place, inputs.account
    off = {line.line_id: line.discount_minor for line in posted.printed.lines}
    return {
        "sale_key": posted.sale_key,
        "store": place.store,
        "region": place.region,
        "banner": place.banner,
        "till": place.till,
        "channel": place.channel,
        "moment": inputs.moment.local,
        "uncertainty_s": inputs.moment.uncertainty_s,
        "bundle": inputs.bundle,
        "lines": [_line(line, off[line.line_id]) for line in inputs.basket.lines],
        "codes": inputs.basket.codes,
        "tender": inputs.basket.tender,
        "identified": account.identified,
        "account_id": account.account_id,
        "tier": account.tier,
        "segments": account.segments,
        "birthday": account.in_birthday_window,
        "personal_offers": account.personal_offers,
        "purchases": account.purchases,
        "counters": list(account.counters.items()),
        "redeem_points": inputs.request.points,
        "redeem_all": inputs.request.as_many_as_possible,
        "right_points": inputs.right.points,
        "right_lots": [
            {
                "lot_id": lot.lot_id,
                "points": lot.points,
                "expires_on": lot.expires_on,
                "restriction": lot.restriction,
            }
            for lot in inputs.right.lots
        ],
        "allowance_left": list(inputs.allowance.left.items()),
        "used_codes": list(inputs.allowance.used_codes),
        "equal": posted.equal,
        "proven": posted.printed.proven,
        "gross_minor": totals.gross_minor,
        "discount_minor": totals.discount_minor,
        "redeemed_minor": totals.redeemed_minor,
        "redeemed_points": totals.redeemed_points,
        "paid_minor": totals.paid_minor,
        "earned_points": totals.earned_points,
        "effects": [
            {
                "offer_id": offer_id,
                "discount_minor": effect.discount_minor,
                "points": effect.points,
                "handed_out": effect.handed_out,
            }
            for offer_id, effect in sorted(effects_of(posted.printed).items())
        ],
    }


def _line(line: BasketLine, discount_minor: int) -> dict[str, object]:
    return {
        "line_id": line.line_id,
        "sku": line.sku,
        "quantity": line.quantity,
        "gross_minor": line.gross_minor,
        "by_weight": line.by_weight,
        "pos_reduced": line.pos_reduced,
        "gtin": line.gtin,
        "department": line.department,
        "category": line.category,
        "brand": line.brand,
        "attributes": list(line.attributes.items()),
        "discount_minor": discount_minor,
    }
