"""Accounts as tills were just told them, for the receipts that name them (`sync.moulds`).

A receipt is made with the account its till asked for a moment before; so it is remembered here, and
costs no statement. What another process has told, or what came by a pull, is read.
"""

from collections import OrderedDict, deque
from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.tills.account_rows import account_row
from sync.messages import AccountRow
from sync.moulds import Named

_SQL = load_queries("central.tills", "queries.sql")

TILLS_KEPT: Final = 20_000
_ROWS_KEPT: Final = 2
"""Of a till: the next customer may be served before the receipt of the last has come."""


class ToldAccounts:
    """What each till was told last; of the tills heard last."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._told: OrderedDict[int, deque[AccountRow]] = OrderedDict()

    def note(self, till_id: int, row: AccountRow) -> None:
        """Remember an account as a till knows it now."""
        self._told.setdefault(till_id, deque(maxlen=_ROWS_KEPT)).append(row)
        self._told.move_to_end(till_id)
        while len(self._told) > TILLS_KEPT:
            self._told.popitem(last=False)

    async def find(self, till_id: int, named: Named) -> AccountRow | None:
        """Return the account that is named, as it was told; None where it is another by now."""
        for row in reversed(self._told.get(till_id, ())):
            if named.is_of(row):
                return row
        found = await self._pool.fetch(_SQL["account_rows"], [named.account_id])
        rows = [row for row in map(account_row, found) if named.is_of(row)]
        return rows[0] if len(rows) == 1 else None
