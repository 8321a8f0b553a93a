"""One-time codes that named customers, each once: a second receipt with the same one is found here.

Tills without a line cannot know of each other; their receipts tell which code they were shown.
The receipt stays as printed. What is found is a fact for support: its outcome says it, it is
counted, and it is kept (`docs/app-and-partner-api.md`, "Across tills").
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.ledger.account_books import columns
from central.observability import meters
from central.streams.items import Item
from sync.customer_code import step_of
from sync.limits import COUNT_MAX
from sync.records import SaleRecord

log = structlog.get_logger()
_SQL = load_queries("central.streams", "used_codes.sql")

KEEP_MS: Final = 62 * 86_400_000
"""Two receipts with one code are found if the second is posted so long after the first."""
KEEP_TWICE_MS: Final = 400 * 86_400_000
TWICE_ROWS_MAX: Final = 1_000

Code = tuple[int, int]
"""An account's number, and the half minute since 1970 in which its app showed the code."""


class UsedCodes:
    """Codes the receipts of a batch were shown, and who used them first."""

    def __init__(self, *, now_ms: int) -> None:
        self._now_ms = now_ms
        self._first: dict[Code, str] = {}
        self._used: list[tuple[int, int, str, int]] = []
        self._twice: list[tuple[int, int, str, str, int, int]] = []

    async def read(self, connection: Connection, items: Iterable[Item]) -> None:
        """Read who used these codes before, under the accounts' locks; mostly there are none."""
        codes = {code for item in items if (code := code_of(item)) is not None}
        if codes:
            accounts, steps = map(list, zip(*sorted(codes), strict=True))
            for row in await connection.fetch(_SQL["used"], accounts, steps):
                self._first[row["account_id"], row["step"]] = row["sale_key"]

    def use(self, item: Item, sale: SaleRecord) -> str:
        """Note the code a receipt that is being posted was shown; says so where it was used."""
        code = code_of(item)
        if code is None:
            return ""
        first = self._first.setdefault(code, sale.key)
        if first == sale.key:
            self._used.append((*code, sale.key, self._now_ms))
            return ""
        self._twice.append((*code, sale.key, first, item.stored.till_id, self._now_ms))
        return f"its customer's one-time code was shown for receipt {first} before"

    async def write(self, connection: Connection) -> None:
        """Write what was used, and what was used again."""
        if self._used:
            await connection.execute(_SQL["use"], *columns(self._used))
        if self._twice:
            await connection.execute(_SQL["note_twice"], *columns(self._twice))

    def tell(self) -> None:
        """Count and log what was used again; call it when it is committed."""
        for _, _, sale_key, first, till_id, _ in self._twice:
            meters.CODES_TWICE.inc()
            log.warning("code_shown_twice", till=till_id, receipt=sale_key, first=first)


def code_of(item: Item) -> Code | None:
    """Return which code named a receipt's customer; None where a card did, or nobody was named."""
    sale = item.record
    if not isinstance(sale, SaleRecord) or sale.code_age is None or not item.account_id:
        return None
    step = step_of(sale.at_ms) - sale.code_age
    return (item.account_id, step) if 0 < step <= COUNT_MAX else None


async def forget(pool: Pool, *, now_ms: int) -> None:
    """Forget codes that were used long ago, and what was found of them very long ago."""
    await pool.execute(_SQL["forget"], now_ms - KEEP_MS)
    await pool.execute(_SQL["forget_twice"], now_ms - KEEP_TWICE_MS)


class CodeTwice(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt whose customer was named by a code that another receipt had been shown.

    Attributes:
        step: half minutes since 1970, when the app showed the code.
        first_receipt: the one that was posted first; `receipt` may have been sold before it.
    """

    account_id: int
    step: int
    receipt: str
    first_receipt: str
    till_id: int
    posted_at_ms: int


async def codes_twice(
    connection: Connection, account_id: int | None, *, rows_max: int = TWICE_ROWS_MAX
) -> list[CodeTwice]:
    """Return receipts with a code that was used before, of an account or of all; newest first."""
    rows = await connection.fetch(_SQL["twice"], account_id, rows_max)
    return [
        CodeTwice(
            account_id=row["account_id"],
            step=row["step"],
            receipt=row["sale_key"],
            first_receipt=row["first_sale_key"],
            till_id=row["till_id"],
            posted_at_ms=row["posted_at_ms"],
        )
        for row in rows
    ]
