"""Visits of a batch of receipts: which store is home by now, which vault the points are wished at.

The same rules as `planner`, for many accounts at once; the accounts are locked.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.account_books import AccountBook, columns
from central.rights.issuing import business_date
from central.rights.planner import INTEREST_DAYS, day_number
from central.rights.right_books import RightBooks

_SQL = load_queries("central.rights", "home_books.sql")

_HALF_LIFE_DAYS: Final = 60.0


class HomeBooks:
    """Visits, homes and wishes of a batch."""

    def __init__(self, rights: RightBooks) -> None:
        self._rights = rights
        self._visits: dict[int, dict[str, tuple[float, int]]] = {}
        self._visited: dict[tuple[int, str], None] = {}
        self._zones: dict[str, str] = {}
        self._vaults: dict[str, Sequence[int]] = {}
        self._wished: dict[int, int | None] = {}

    async def read(
        self, connection: Connection, accounts: Iterable[AccountBook], stores: set[str]
    ) -> None:
        """Read visits and stores.

        Args:
            accounts: those that are visiting, and those of which a grant may come home.
            stores: where the receipts were made.
        """
        books = {book.account_id: book for book in accounts}
        places = stores | {book.home_store for book in books.values()}
        if books:
            rows = await connection.fetch(_SQL["visits"], sorted(books))
            for account_id, store_id, weight, last_day in rows:
                self._visits.setdefault(account_id, {})[store_id] = (weight, last_day)
                places.add(store_id)
        if places:
            for row in await connection.fetch(_SQL["stores"], sorted(places)):
                self._zones[row["store_id"]] = row["time_zone"]
                self._vaults[row["store_id"]] = row["vaults"]

    def zone_of(self, store_id: str) -> str | None:
        """Return a store's time zone; None for a store nobody knows."""
        return self._zones.get(store_id)

    def visit(self, book: AccountBook, *, store_id: str, day: str, now_ms: int) -> None:
        """Count a visit and let the account move if it is at home elsewhere now.

        Args:
            day: local day of the receipt, `YYYY-MM-DD`; one to come counts as today.
        """
        account_id = book.account_id
        number = min(day_number(day), day_number(business_date(now_ms)))
        visits = self._visits.setdefault(account_id, {})
        weight, last_day = visits.get(store_id, (0.0, number))
        visits[store_id] = (weight + 2.0 ** (number / _HALF_LIFE_DAYS), max(last_day, number))
        self._visited[account_id, store_id] = None
        home = min(visits, key=lambda store: (-visits[store][0], store != book.home_store, store))
        if home != book.home_store:
            book.home_store = home
            book.version += 1
        vault = self._vault_of(book)
        self._rights.recall_elsewhere(account_id, vault)
        self._wished[account_id] = vault

    def renew(self, book: AccountBook, *, now_ms: int) -> None:
        """Wish again for what came home because its time was over, if the customer comes at all."""
        oldest = day_number(business_date(now_ms, -INTEREST_DAYS))
        visits = self._visits.get(book.account_id, {}).values()
        if any(last_day >= oldest for _, last_day in visits):
            self._wished[book.account_id] = self._vault_of(book)

    def _vault_of(self, book: AccountBook) -> int | None:
        vaults = self._vaults.get(book.home_store, ())
        return vaults[book.account_id % len(vaults)] if vaults else None

    async def write(self, connection: Connection) -> None:
        """Write visits, interests and wishes."""
        if visited := sorted(self._visited):
            rows = [(*key, *self._visits[key[0]][key[1]]) for key in visited]
            await connection.execute(_SQL["set_visits"], *columns(rows))
            interests = [(store_id, account_id) for account_id, store_id in visited]
            await connection.execute(_SQL["keep_interests"], *columns(interests))
        if self._wished:
            wished = list(columns(sorted(self._wished.items())))
            await connection.execute(_SQL["drop_wishes_elsewhere"], *wished)
            await connection.execute(_SQL["wish"], *wished)
