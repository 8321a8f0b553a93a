"""Receipts the centre calculates otherwise than their tills: which they are, both calculations.

Such a receipt is posted as printed, and what the centre came to is kept beside it (`sales`).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import NotFoundError
from sync.limits import COUNT_MAX

_SQL = load_queries("central.streams", "unequal.sql")

ROWS_MAX: Final = 50
ROWS_DEFAULT: Final = 20
KEY_CHARACTERS_MAX: Final = 200


class UnequalReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt the centre calculates otherwise.

    Attributes:
        key: as the register minted it.
        moment: of the sale, local.
        bundle: hash of the rules it says it was calculated with.
        printed: the till's calculation, which is posted.
        recalculated: the centre's; None where it does not know those rules.
    """

    key: str
    till: int
    store: str
    moment: str
    bundle: str
    posted_at_ms: int
    printed: dict[str, Any]
    recalculated: dict[str, Any] | None


class UnequalPage(msgspec.Struct, frozen=True, kw_only=True):
    """Such receipts, those posted last first.

    Attributes:
        next: give it as `before` for those before them; empty = these are the last.
    """

    receipts: tuple[UnequalReceipt, ...]
    next: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One place in which two calculations differ; None = it is not there."""

    where: str
    printed: object
    recalculated: object


async def list_unequal(
    connection: Connection, *, before: str = "", rows_max: int = ROWS_DEFAULT
) -> UnequalPage:
    """Return a page of such receipts, the newest first.

    Args:
        before: `next` of the page before; empty = from the newest on.

    Raises:
        NotFoundError: `before` names no such receipt.
    """
    before_ms: int | None = COUNT_MAX
    if before:
        fits = "\0" not in before and len(before) <= KEY_CHARACTERS_MAX
        before_ms = await connection.fetchval(_SQL["place"], before) if fits else None
        if before_ms is None:
            raise NotFoundError("`before` names no receipt that is calculated otherwise")
    rows = await connection.fetch(_SQL["newest"], before_ms, before, rows_max + 1)
    receipts = tuple(
        UnequalReceipt(
            key=row["sale_key"],
            till=row["till_id"],
            store=row["store_id"],
            moment=row["moment"],
            bundle=row["bundle"],
            posted_at_ms=row["posted_at_ms"],
            printed=msgspec.json.decode(row["calculation"]),
            recalculated=msgspec.json.decode(row["recalculation"] or b"null"),
        )
        for row in rows[:rows_max]
    )
    return UnequalPage(receipts=receipts, next=receipts[-1].key if rows[rows_max:] else "")


def differences(receipt: UnequalReceipt, *, most: int) -> list[Difference]:
    """Return where the calculations differ, in their order, so many at most."""
    if receipt.recalculated is None:
        return []
    return list(islice(_between(receipt.printed, receipt.recalculated, ""), most))


def _between(printed: object, recalculated: object, where: str) -> Iterator[Difference]:
    if isinstance(printed, dict) and isinstance(recalculated, dict):
        for name in dict.fromkeys((*printed, *recalculated)):
            inside = f"{where}.{name}" if where else str(name)
            yield from _between(printed.get(name), recalculated.get(name), inside)
    elif isinstance(printed, list) and isinstance(recalculated, list):
        for number in range(max(len(printed), len(recalculated))):
            one, other = (
                each[number] if number < len(each) else None for each in (printed, recalculated)
            )
            yield from _between(one, other, f"{where}[{number}]")
    elif printed != recalculated:
        yield Difference(where=where, printed=printed, recalculated=recalculated)
