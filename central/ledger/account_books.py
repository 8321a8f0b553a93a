"""The books of many accounts at once: read under their locks, changed in memory, written as one.

What one record after the other does to an account happens here in the same order, so that the
tables end as if each record had been posted by itself; only the number of statements is another:
it does not grow with the number of records (design: stack 4.3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.books import Cause
from loyalty import entries
from loyalty.calculation import EarnedLot
from loyalty.entries import Entry
from sync.records import LotTaken

_SQL = load_queries("central.ledger", "account_books.sql")

_NEW_LOTS_FROM: Final = 1 << 62
"""Numbers of lots that have none yet: after all others, as theirs will be."""


class BooksError(Exception):
    """A record would leave an account as no account can be."""


@dataclass(slots=True)
class LotBook:
    """A lot; `available` and `held` as they are by now, the changes beside them."""

    lot_id: int
    available: int
    held: int
    restriction: str
    active_from: str
    expires_on: str

    def counts(self, date: str, last_date: str) -> bool:
        """Say whether its points may be spent on a day and live longer than another."""
        return (
            self.available > 0
            and not self.restriction
            and self.active_from <= date
            and (not self.expires_on or self.expires_on > last_date)
        )


@dataclass(slots=True)
class AccountBook:
    """An account under its lock: totals as they are by now, and what changed since it was read.

    Attributes:
        version, purchases: how much was added.
    """

    account_id: int
    posted: int
    held: int
    debt: int
    home_store: str
    lots: dict[int, LotBook] = field(default_factory=dict)
    posted_before: int = 0
    held_before: int = 0
    debt_before: int = 0
    version: int = 0
    purchases: int = 0
    is_told: bool = False

    def change(self, posted: int, held: int, debt: int) -> None:
        """Change the totals; one more version.

        Raises:
            BooksError: more would be held than there is, or less than nothing.
        """
        self.posted += posted
        self.held += held
        self.debt += debt
        self.version += 1
        if self.posted < self.held or self.held < 0 or self.debt < 0:
            raise BooksError(f"account {self.account_id}")


@dataclass(slots=True)
class _NewLot:
    account_id: int
    lot: EarnedLot
    subject: str


@dataclass(slots=True)
class _LotChange:
    available: int = 0
    held: int = 0
    redeemed: int = 0
    taken_back: int = 0


@dataclass(frozen=True, slots=True)
class _NewEntry:
    account_id: int
    entry: Entry
    cause: Cause


@dataclass(slots=True)
class PoolBook:
    """What happens to the risk pool, in its order; the pool itself is locked only to write it."""

    events: list[tuple[str, int]] = field(default_factory=list)

    def pay(self, points: int) -> None:
        """Pay for goods that no lot covers."""
        self.events.append(("pay", points))

    def free_budget(self, points: int) -> None:
        """Have points free again that a till's risk budget held."""
        self.events.append(("budget", points))

    def free_exposure(self, points: int) -> None:
        """Have points free again that were kept for a right that was written off."""
        self.events.append(("exposure", points))

    async def write(self, connection: Connection) -> None:
        """Lock the pool and change it."""
        if not self.events:
            return
        row = await connection.fetchrow(_SQL["lock_pool"])
        assert row is not None
        free, budgets, exposures, losses, uncovered = row
        for kind, points in self.events:
            match kind:
                case "pay":
                    paid = min(free, points)
                    free -= paid
                    losses += paid
                    # What even the pool cannot pay is counted apart and breaks `verify-ledger`.
                    uncovered += points - paid
                case "budget":
                    free += points
                    budgets -= points
                case _:
                    free += points
                    exposures -= points
        await connection.execute(_SQL["set_pool"], free, budgets, exposures, losses, uncovered)


class AccountBooks:
    """The locked accounts of a batch, and everything the ledger is to write about them."""

    def __init__(self) -> None:
        self.accounts: dict[int, AccountBook] = {}
        self.pool = PoolBook()
        self._merged: dict[int, int] = {}
        self._new_lots: list[_NewLot] = []
        self._lot_changes: dict[tuple[int, int], _LotChange] = {}
        self._entries: list[_NewEntry] = []
        self._redemption_lots: list[tuple[int, str, int, int]] = []

    @classmethod
    async def lock(cls, connection: Connection, account_ids: Iterable[int]) -> "AccountBooks":
        """Lock accounts in their order, so that two batches never wait for each other in a ring.

        Of one that was merged the other one is locked; whoever asks for either finds that.
        """
        books = cls()
        wanted = set(account_ids)
        while wanted:
            merged: set[int] = set()
            for row in await connection.fetch(_SQL["lock_accounts"], sorted(wanted)):
                if row["merged_into"] is None:
                    books._take(row)
                else:
                    books._merged[row["account_id"]] = row["merged_into"]
                    merged.add(row["merged_into"])
            wanted = merged - books.accounts.keys()
        return books

    def _take(self, row: asyncpg.Record) -> None:
        account_id, posted, held, debt, home_store, _ = row
        self.accounts[account_id] = AccountBook(
            account_id=account_id,
            posted=posted,
            held=held,
            debt=debt,
            home_store=home_store,
            posted_before=posted,
            held_before=held,
            debt_before=debt,
        )

    def find(self, account_id: int) -> AccountBook | None:
        """Return a locked account, or the one it was merged with."""
        while account_id in self._merged:
            account_id = self._merged[account_id]
        return self.accounts.get(account_id)

    async def read_lots(self, connection: Connection, books: Iterable[AccountBook]) -> None:
        """Read the lots of accounts of which something may be redeemed."""
        wanted = sorted({book.account_id for book in books})
        for row in await connection.fetch(_SQL["lots"], wanted) if wanted else ():
            lot = LotBook(*tuple(row)[1:])
            self.accounts[row["account_id"]].lots[lot.lot_id] = lot

    def earn(self, book: AccountBook, lots: Sequence[EarnedLot], cause: Cause) -> None:
        """Post the lots a receipt earned; a debt is repaid out of them at once."""
        if not lots:
            return
        made: list[tuple[int, int]] = []
        for lot in lots:
            lot_id = _NEW_LOTS_FROM + len(self._new_lots)
            self._new_lots.append(_NewLot(book.account_id, lot, cause.subject))
            book.lots[lot_id] = LotBook(
                lot_id, lot.points, 0, lot.restriction, lot.active_from, lot.expires_on
            )
            made.append((lot_id, lot.points))
        self._write(book, entries.earned(made), cause)
        book.change(sum(points for _, points in made), 0, 0)
        if book.debt:
            self._repay(book, made, cause)

    def _repay(self, book: AccountBook, lots: Iterable[tuple[int, int]], cause: Cause) -> None:
        rest = book.debt
        repaid: list[tuple[int, int]] = []
        for lot_id, points in lots:
            if part := min(points, rest):
                self.change_lot(book, lot_id, available=-part, taken_back=part)
                repaid.append((lot_id, part))
                rest -= part
        paid = book.debt - rest
        self._write(book, entries.repaid(repaid), cause)
        book.change(-paid, 0, -paid)

    def redeem(
        self,
        book: AccountBook,
        held_lots: Sequence[LotTaken],
        *,
        uncovered: int,
        date: str,
        cause: Cause,
    ) -> None:
        """Post what a receipt redeemed; what no lot covers the risk pool pays.

        Where the account has a lot that ends sooner than the one a grant held, that one pays, and
        the long-lived points are the customer's to keep: the grant's amounts are the same (design:
        sync 4.8).

        Args:
            held_lots: parts of grants that the receipt consumed, still counted as held.
            uncovered: points redeemed that no grant covers (risk budget).
            date: local day, `YYYY-MM-DD`, on which a lot must count.
        """
        taken = self._redeem_held(book, held_lots, date=date)
        held = sum(lot.points for lot in held_lots)
        for lot in _spendable(book, date, date) if uncovered else ():
            if part := min(lot.available, uncovered):
                self.change_lot(book, lot.lot_id, available=-part, redeemed=part)
                taken[lot.lot_id] = taken.get(lot.lot_id, 0) + part
                uncovered -= part
        if not taken and not uncovered:
            return
        if uncovered:
            self.pool.pay(uncovered)
        self._write(book, entries.redeemed(taken.items(), lost=uncovered), cause)
        book.change(-sum(taken.values()), -held, 0)
        if uncovered:
            taken[0] = uncovered
        self._redemption_lots += [
            (book.account_id, cause.subject, lot_id, points) for lot_id, points in taken.items()
        ]

    def _redeem_held(
        self, book: AccountBook, held_lots: Sequence[LotTaken], *, date: str
    ) -> dict[int, int]:
        """Redeem what rights held, from lots that end sooner where there are any."""
        taken: dict[int, int] = {}
        if not held_lots:
            return taken
        free = [(lot, lot.available) for lot in _spendable(book, date, date)]
        left = {lot.lot_id: available for lot, available in free}
        for held in held_lots:
            rest = held.points
            own = book.lots.get(held.lot_id)
            ends = own.expires_on if own is not None else ""
            for lot, _ in free:
                if not lot.expires_on or (ends and lot.expires_on >= ends):
                    break
                if part := min(left[lot.lot_id], rest):
                    self.change_lot(book, lot.lot_id, available=-part, redeemed=part)
                    self.change_lot(book, held.lot_id, available=part, held=-part)
                    left[lot.lot_id] -= part
                    taken[lot.lot_id] = taken.get(lot.lot_id, 0) + part
                    rest -= part
            if rest:
                self.change_lot(book, held.lot_id, held=-rest, redeemed=rest)
                taken[held.lot_id] = taken.get(held.lot_id, 0) + rest
        return taken

    def bring_home(self, book: AccountBook, lots: Sequence[LotTaken]) -> int:
        """Have points available again that a right held; returns how many."""
        for lot in lots:
            self.change_lot(book, lot.lot_id, available=lot.points, held=-lot.points)
        total = sum(lot.points for lot in lots)
        if total:
            book.change(0, -total, 0)
        return total

    def change_lot(
        self,
        book: AccountBook,
        lot_id: int,
        *,
        available: int = 0,
        held: int = 0,
        redeemed: int = 0,
        taken_back: int = 0,
    ) -> None:
        """Move points of a lot from one of its states to another.

        Raises:
            BooksError: there are not so many.
        """
        key = (book.account_id, lot_id)
        change = self._lot_changes.get(key)
        if change is None:
            change = self._lot_changes[key] = _LotChange()
        change.available += available
        change.held += held
        change.redeemed += redeemed
        change.taken_back += taken_back
        lot = book.lots.get(lot_id)
        if lot is not None:
            lot.available += available
            lot.held += held
            if lot.available < 0 or lot.held < 0:
                raise BooksError(f"lot {lot_id} of account {book.account_id}")

    def _write(self, book: AccountBook, entry: Entry, cause: Cause) -> None:
        self._entries.append(_NewEntry(book.account_id, entry, cause))

    # At the end

    async def write(self, connection: Connection) -> None:
        """Write everything but the pool."""
        lot_ids, entry_ids = await self._new_ids(connection)
        await self._write_lots(connection, lot_ids)
        await self._write_entries(connection, lot_ids, entry_ids)
        changed = [book for _, book in sorted(self.accounts.items()) if book.version]
        if changed:
            await connection.execute(
                _SQL["change_accounts"],
                [book.account_id for book in changed],
                [book.posted - book.posted_before for book in changed],
                [book.held - book.held_before for book in changed],
                [book.debt - book.debt_before for book in changed],
                [book.version for book in changed],
                [book.purchases for book in changed],
                [book.home_store for book in changed],
            )

    async def _new_ids(self, connection: Connection) -> tuple[list[int], list[int]]:
        if not self._new_lots and not self._entries:
            return [], []
        # First: a day is sealed up to the highest id, so nobody may hold lower ones without a lock.
        await connection.execute(_SQL["write_entries_soon"])
        row = await connection.fetchrow(_SQL["new_ids"], len(self._new_lots), len(self._entries))
        assert row is not None
        return row["lots"], row["entries"]

    async def _write_lots(self, connection: Connection, lot_ids: Sequence[int]) -> None:
        rows = []
        for number, (new, lot_id) in enumerate(zip(self._new_lots, lot_ids, strict=True)):
            lot = new.lot
            # What happened to it since stands in its first row.
            change = self._lot_changes.pop((new.account_id, _NEW_LOTS_FROM + number), _LotChange())
            rows.append((
                new.account_id, lot_id, lot.name, lot.restriction, lot.active_from, lot.expires_on,
                new.subject, lot.offer_id, lot.points, lot.points + change.available, change.held,
                change.redeemed, change.taken_back,
            ))  # fmt: skip
        if rows:
            await connection.execute(_SQL["insert_lots"], *columns(rows))
        changes = [
            (account_id, lot_id, each.available, each.held, each.redeemed, each.taken_back)
            for (account_id, lot_id), each in sorted(self._lot_changes.items())
        ]
        if changes:
            await connection.execute(_SQL["change_lots"], *columns(changes))

    async def _write_entries(
        self, connection: Connection, lot_ids: Sequence[int], entry_ids: Sequence[int]
    ) -> None:
        if not self._entries:
            return
        rows, postings = [], []
        for new, entry_id in zip(self._entries, entry_ids, strict=True):
            account_id, cause = new.account_id, new.cause
            rows.append((
                account_id, entry_id, new.entry.kind, cause.subject, cause.arrival, cause.at_ms
            ))  # fmt: skip
            postings += [
                (account_id, entry_id, leg, each.ledger_account, _real(each.lot_id, lot_ids),
                 each.points)
                for leg, each in enumerate(new.entry.postings, start=1)
            ]  # fmt: skip
        await connection.execute(_SQL["insert_entries"], *columns(rows))
        await connection.execute(_SQL["insert_postings"], *columns(postings))
        if self._redemption_lots:
            await connection.execute(
                _SQL["note_redemption_lots"],
                *columns([
                    (account_id, subject, _real(lot_id, lot_ids), points)
                    for account_id, subject, lot_id, points in self._redemption_lots
                ]),
            )  # fmt: skip


def _spendable(book: AccountBook, date: str, last_date: str) -> list[LotBook]:
    """Return unrestricted lots that count on a day, soonest ending first."""
    lots = [lot for lot in book.lots.values() if lot.counts(date, last_date)]
    return sorted(lots, key=lambda lot: (not lot.expires_on, lot.expires_on, lot.lot_id))


def _real(lot_id: int, lot_ids: Sequence[int]) -> int:
    return lot_ids[lot_id - _NEW_LOTS_FROM] if lot_id >= _NEW_LOTS_FROM else lot_id


def columns(rows: Sequence[tuple[object, ...]]) -> Iterable[list[object]]:
    """Return rows as a list for each column, as `unnest` takes them."""
    return map(list, zip(*rows, strict=True))
