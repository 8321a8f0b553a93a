"""An account's counters and purchases: what a posted receipt adds, and what its returns take off.

Both happen in the transaction that posts the receipt or the return, under the account's lock, so
they happen once with it. What comes back takes its stamps along; uses of offers and the purchase
are taken off with the last of the receipt: returning everything leaves what was before (design:
receipt 7). Only `used_at` stays: when a counter was last used is not forgotten.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.account_books import AccountBook, columns
from loyalty import counters
from loyalty.calculation import Calculation, Counted
from loyalty.limits import POINTS_MAX
from loyalty.returns import ReturnCalculation
from sync.limits import ACCOUNT_COUNTERS_MAX

_SQL = load_queries("central.streams", "queries.sql")

KEPT_DAYS: Final = 31
"""So long after its period a counter can still be looked at; nothing uses it any more."""
_COUNTED_MAX = 10_000


def is_sound(printed: Calculation) -> bool:
    """Say whether a receipt counts as calculations do: named counters, each by more than zero."""
    return len(printed.counted) <= _COUNTED_MAX and all(
        0 < len(each.counter) <= _characters_max(each.counter) and 0 < each.plus <= POINTS_MAX
        for each in printed.counted
    )


def _characters_max(name: str) -> int:
    if counters.is_shared(name):
        return counters.SHARED_NAME_CHARACTERS_MAX
    return counters.NAME_CHARACTERS_MAX


class CountedBooks:
    """What a batch of receipts adds to their accounts' counters.

    Counters that are too many or long over are forgotten after each receipt. So receipts of one
    account are written in rounds, one of each account in a round: mostly there is one.
    """

    def __init__(self) -> None:
        self._rounds: list[list[tuple[int, str, int, str, str, str]]] = []
        self._counted: dict[int, int] = {}

    def count(self, book: AccountBook, printed: Calculation) -> None:
        """Add a receipt that is being posted to the account's purchases and counters."""
        book.purchases += 1
        book.version += 1
        added = _by_name(printed.counted)
        if not added:
            return
        number = self._counted.get(book.account_id, 0)
        self._counted[book.account_id] = number + 1
        if number == len(self._rounds):
            self._rounds.append([])
        self._rounds[number] += [
            (book.account_id, name, plus, counters.ends_on(name), printed.moment[:19],
             printed.store)
            for name, plus in added.items()
        ]  # fmt: skip

    async def write(self, connection: Connection, *, now_ms: int) -> None:
        """Add to the counters and forget those nobody looks at any more."""
        for rows in self._rounds:
            await connection.execute(_SQL["add_to_counters"], *columns(rows))
            await connection.execute(
                _SQL["forget_counters"],
                sorted({row[0] for row in rows}),
                _oldest_day(now_ms).isoformat(),
                ACCOUNT_COUNTERS_MAX,
            )


async def take_back(connection: Connection, sale_key: str, returned: ReturnCalculation) -> None:
    """Take what a return reverses off the purchases and counters of the receipt's account.

    Call it in the transaction that posts the return, after receipt and account were locked and
    before stores are told. Receipts of nobody, those that have come back whole and those posted
    before there were counters are in no account's counters: of them nothing is taken.
    """
    account_id = await connection.fetchval(_SQL["counted_receipt"], sale_key)
    if account_id is None:
        return
    await connection.execute(_SQL["touch_account"], account_id)
    if taken := _by_name(returned.counted_back):
        await connection.execute(
            _SQL["take_from_counters"], account_id, list(taken), list(taken.values())
        )
    if returned.completes:
        await connection.execute(_SQL["uncount_receipt"], sale_key)
        await connection.execute(_SQL["take_purchase"], account_id)


async def tell_again(connection: Connection, sale_key: str) -> None:
    """Tell the account of a posted receipt again, though nothing of a record changed it.

    A till counts its record by itself until an account arrives that holds it, at its new place
    in a new stream, too.
    """
    account_id = await connection.fetchval(_SQL["account_of_receipt"], sale_key)
    if account_id is not None:
        await connection.execute(_SQL["touch_account"], account_id)
        await connection.execute(_SQL["tell_stores"], account_id)


def _by_name(counted: Iterable[Counted]) -> dict[str, int]:
    """Return what counts on the account; what all customers share is `rights.counters`' matter."""
    found: dict[str, int] = {}
    for each in counted:
        if counters.is_of_account(each.counter):
            found[each.counter] = found.get(each.counter, 0) + each.plus
    return found


def qualifying(counted: Iterable[Counted]) -> int:
    """Return the points that only qualify: they stay with the receipt, or with its return."""
    return counters.qualifying((each.counter, each.plus) for each in counted)


def _oldest_day(now_ms: int) -> date:
    return datetime.fromtimestamp(now_ms / 1000, UTC).date() - timedelta(days=KEPT_DAYS)
