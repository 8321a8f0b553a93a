"""From columns back to the inputs of calculations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from pyarrow import compute

from loyalty.account import (
    NO_ALLOWANCE,
    NO_REDEMPTION,
    NO_RIGHT,
    NOBODY,
    AccountSnapshot,
    Allowance,
    LotPart,
    RedeemRequest,
    SpendRight,
)
from loyalty.basket import Basket, BasketLine, Moment, Place

_PLACE: Final = ("store", "region", "banner", "till", "channel")
_PLAIN: Final = ("line_id", "sku", "quantity", "gross_minor", "by_weight", "pos_reduced")
_OWN: Final = ("gtin", "department", "category", "brand")
_ACCOUNT: Final = (
    "identified",
    "account_id",
    "tier",
    "segments",
    "birthday",
    "personal_offers",
    "purchases",
    "counters",
)
_NOBODY: Final[tuple[object, ...]] = (False, 0, "", [], False, [], 0, [])


@dataclass(slots=True)
class Inputs:
    """What one receipt is calculated from, but for the rules."""

    basket: Basket
    moment: Moment
    place: Place
    account: AccountSnapshot
    request: RedeemRequest
    right: SpendRight
    allowance: Allowance


def places_of(batch: Any) -> list[Place]:  # noqa: ANN401 - pyarrow has no types
    """Return where each receipt was made; equal places are one object."""
    known: dict[tuple[str, ...], Place] = {}
    found = []
    for names in zip(*(batch.column(name).to_pylist() for name in _PLACE), strict=True):
        place = known.get(names)
        if place is None:
            place = known[names] = Place(**dict(zip(_PLACE, names, strict=True)))
        found.append(place)
    return found


def moments_of(batch: Any) -> list[Moment]:  # noqa: ANN401 - pyarrow has no types
    """Return when each receipt was made."""
    return [
        Moment(local=local, uncertainty_s=uncertainty_s)
        for local, uncertainty_s in zip(
            batch.column("moment").to_pylist(),
            batch.column("uncertainty_s").to_pylist(),
            strict=True,
        )
    ]


def spans_of(column: Any) -> list[tuple[int, int]]:  # noqa: ANN401 - pyarrow has no types
    """Return where each row's values begin and end in the flattened column."""
    offsets = column.offsets.to_pylist()
    first = offsets[0] if offsets else 0
    return [(a - first, b - first) for a, b in pairwise(offsets)]


def own_attributes(rows: Any) -> dict[str, list[Any]]:  # noqa: ANN401 - pyarrow has no types
    """Return what some line carries beside its SKU, by name; nothing where no line does.

    Args:
        rows: the flattened lines.
    """
    own = {
        name: rows.field(name).to_pylist()
        for name in _OWN
        if compute.any(compute.not_equal(rows.field(name), "")).as_py()
    }
    attributes = rows.field("attributes")
    if len(attributes) and attributes.offsets[0] != attributes.offsets[-1]:
        own["attributes"] = [dict(each) for each in attributes.to_pylist()]
    return own


def lines_of(rows: Any) -> list[BasketLine]:  # noqa: ANN401 - pyarrow has no types
    """Return the flattened lines."""
    plain = zip(*(rows.field(name).to_pylist() for name in _PLAIN), strict=True)
    own = own_attributes(rows)
    if not own:
        return [
            BasketLine(
                line_id=line_id,
                sku=sku,
                quantity=quantity,
                gross_minor=gross_minor,
                by_weight=by_weight,
                pos_reduced=pos_reduced,
            )
            for line_id, sku, quantity, gross_minor, by_weight, pos_reduced in plain
        ]
    return [
        BasketLine(**dict(zip(_PLAIN, line, strict=True)), **dict(zip(own, beside, strict=True)))
        for line, beside in zip(plain, zip(*own.values(), strict=True), strict=True)
    ]


def inputs_of(batch: Any) -> Iterator[Inputs]:  # noqa: ANN401 - pyarrow has no types
    """Yield what the receipts of a batch are calculated from, in their order."""
    lines = lines_of(batch.column("lines").flatten())
    baskets = (
        Basket(lines=tuple(lines[first:last]), codes=tuple(codes), tender=tender)
        for (first, last), codes, tender in zip(
            spans_of(batch.column("lines")),
            batch.column("codes").to_pylist(),
            batch.column("tender").to_pylist(),
            strict=True,
        )
    )
    parts = zip(
        baskets,
        moments_of(batch),
        places_of(batch),
        _accounts(batch),
        _requests(batch),
        _rights(batch),
        _allowances(batch),
        strict=True,
    )
    for each in parts:
        yield Inputs(*each)


def _accounts(batch: Any) -> Iterator[AccountSnapshot]:  # noqa: ANN401 - pyarrow has no types
    columns = (batch.column(name).to_pylist() for name in _ACCOUNT)
    for row in zip(*columns, strict=True):
        if row == _NOBODY:
            yield NOBODY
            continue
        identified, account_id, tier, segments, birthday, personal, purchases, counters = row
        yield AccountSnapshot(
            identified=identified,
            account_id=account_id,
            tier=tier,
            segments=tuple(segments),
            in_birthday_window=birthday,
            personal_offers=tuple(personal),
            purchases=purchases,
            counters=dict(counters),
        )


def _requests(batch: Any) -> Iterator[RedeemRequest]:  # noqa: ANN401 - pyarrow has no types
    for points, is_all in zip(
        batch.column("redeem_points").to_pylist(),
        batch.column("redeem_all").to_pylist(),
        strict=True,
    ):
        if points or is_all:
            yield RedeemRequest(points=points, as_many_as_possible=is_all)
        else:
            yield NO_REDEMPTION


def _rights(batch: Any) -> Iterator[SpendRight]:  # noqa: ANN401 - pyarrow has no types
    for points, lots in zip(
        batch.column("right_points").to_pylist(),
        batch.column("right_lots").to_pylist(),
        strict=True,
    ):
        if points:
            yield SpendRight(points=points, lots=tuple(LotPart(**lot) for lot in lots))
        else:
            yield NO_RIGHT


def _allowances(batch: Any) -> Iterator[Allowance]:  # noqa: ANN401 - pyarrow has no types
    for left, used_codes in zip(
        batch.column("allowance_left").to_pylist(),
        batch.column("used_codes").to_pylist(),
        strict=True,
    ):
        if left or used_codes:
            used: Mapping[str, str] = dict.fromkeys(used_codes, "")
            yield Allowance(left=dict(left), used_codes=used)
        else:
            yield NO_ALLOWANCE
