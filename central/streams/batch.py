"""Records that are posted together: one transaction, a bounded number of statements.

A batch is read (`Batch.read`), decided record by record in order of arrival on what was read and
on what the records before changed, and written (`Batch.write`). Locks are taken in one order by
everybody: sale keys, accounts, tills, the pool (design: stack 4.3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import asyncpg

from central.availability.service import is_strangers, service_of
from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.account_books import AccountBook, AccountBooks, columns
from central.outreach import outbox
from central.rights.home_books import HomeBooks
from central.rights.right_books import RightBooks, RightsAsked, Spender, find_places
from central.rights.shared_books import SharedBooks
from central.streams import partner_points
from central.streams.counters import CountedBooks, qualifying
from central.streams.happenings import events_of
from central.streams.items import Item, NewReceipt, PostedReceipt
from central.streams.stored import Decision, StoredRecord
from central.streams.used_codes import UsedCodes
from loyalty.calculation import Calculation
from sync.records import GrantInRecord, GrantReturnRecord, SaleRecord, VoidRecord

_SQL = load_queries("central.streams", "batch.sql")


@dataclass(slots=True)
class _Asked:
    """What the records of a batch need to be decided."""

    rights: RightsAsked = field(default_factory=RightsAsked)
    cards: set[tuple[bytes, int]] = field(default_factory=set)
    redeeming: list[Item] = field(default_factory=list)
    visiting: list[Item] = field(default_factory=list)
    counter_grants: set[str] = field(default_factory=set)


class Batch:
    """What a batch knows and changes; `items` in order of arrival."""

    def __init__(self, items: Sequence[Item], *, now_ms: int) -> None:
        self.items = list(items)
        self.now_ms = now_ms
        self.accounts = AccountBooks()
        self.rights = RightBooks(self.accounts)
        self.homes = HomeBooks(self.rights)
        self.counted = CountedBooks()
        self.shared = SharedBooks()
        self.codes = UsedCodes(now_ms=now_ms)
        self.receipts: dict[str, PostedReceipt] = {}
        self.given_up: set[str] = set()
        self.cards: dict[tuple[bytes, str], int] = {}
        self._new: list[NewReceipt] = []
        self._voids: list[tuple[str, int]] = []
        self._stores: dict[int, str] = {}
        self._revoked: set[int] = set()
        self._are_events_wanted = False
        self._programmes: dict[int, str] = {}
        self._programme_of_account: dict[int, str] = {}
        self._are_several_programmes = False

    # Reading

    async def claim(self, connection: Connection) -> bool:
        """Take the records nobody else is at or was at; False where none is left."""
        arrivals = [item.stored.arrival for item in self.items]
        rows = await connection.fetch(_SQL["claim"], arrivals)
        claimed = {row["arrival"] for row in rows}
        self.items = [item for item in self.items if item.stored.arrival in claimed]
        return bool(self.items)

    async def read(self, connection: Connection) -> None:
        """Lock and read everything the records need."""
        asked = _asked_by(self.items)
        keys = sorted(asked.rights.sale_keys)
        await self._read_tills(connection, asked)
        if keys:
            await connection.fetch(_SQL["lock_sale_keys"], keys)
            await self._read_posted(connection, keys)
        await self._read_cards(connection, asked)
        await self._read_waited(connection)
        await self._lock_accounts(connection, asked)
        await self.accounts.read_lots(connection, self._books_of(asked.redeeming))
        visitors = self._books_of(asked.visiting)
        asked.rights.visited = {book.account_id for book in visitors}
        await self.rights.read(connection, asked.rights)
        stores = {
            item.record.inputs.place.store
            for item in asked.visiting
            if isinstance(item.record, SaleRecord)
        }
        coming_home = asked.rights.taken_home & self.rights.rights.keys()
        owners = [self.account(self.rights.rights[each].account_id) for each in sorted(coming_home)]
        await self.homes.read(connection, [*visitors, *owners], stores)
        await self.shared.read(connection, asked.counter_grants)
        await self.codes.read(connection, self.items)

    async def _read_posted(self, connection: Connection, sale_keys: Sequence[str]) -> None:
        known = await connection.fetch(_SQL["posted_receipts"], sale_keys)
        posted = [row for row in known if row["arrival"] is not None]
        self.given_up = {row["sale_key"] for row in known if row["arrival"] is None}
        if not posted:
            return
        arrivals = [row["arrival"] for row in posted]
        bodies = {
            row["arrival"]: row["body"] for row in await connection.fetch(_SQL["bodies"], arrivals)
        }
        for row in posted:
            self.receipts[row["sale_key"]] = PostedReceipt(
                row["account_id"], bodies[row["arrival"]]
            )

    async def _read_tills(self, connection: Connection, asked: _Asked) -> None:
        till_ids = sorted({item.stored.till_id for item in self.items})
        of_others = sorted(asked.rights.named) if asked.rights.transfers else []
        for row in await connection.fetch(_SQL["tills"], till_ids, of_others):
            self._stores[row["till_id"]] = row["store_id"]
            self._programmes[row["till_id"]] = row["programme"]
            self._are_several_programmes = row["are_several"]
            self._are_events_wanted = row["is_wanted"]
            if row["revoked"]:
                self._revoked.add(row["till_id"])

    async def _read_cards(self, connection: Connection, asked: _Asked) -> None:
        """Find whose cards are, in each programme that has them."""
        if not asked.cards:
            return
        cards = sorted({card for card, _ in asked.cards})
        self.cards = _by_card(await connection.fetch(_SQL["accounts_of_cards"], cards))
        unknown = {
            card
            for card, till_id in asked.cards
            if (card, self.programme_of(till_id)) not in self.cards
        }
        if unknown:
            rows = await connection.fetch(_SQL["accounts_of_erased_cards"], sorted(unknown))
            self.cards = _by_card(rows) | self.cards

    async def _read_waited(self, connection: Connection) -> None:
        """Find which receipts with cards their tills knew nobody by have waited for somebody."""
        strangers = {item.stored.arrival: item for item in self.items if is_strangers(item.record)}
        if strangers:
            for row in await connection.fetch(_SQL["waited"], sorted(strangers)):
                strangers[row["arrival"]].has_waited = True

    async def _lock_accounts(self, connection: Connection, asked: _Asked) -> None:
        wanted = {
            posted.account_id for posted in self.receipts.values() if posted.account_id is not None
        }
        for item in self.items:
            if isinstance(item.record, SaleRecord):
                item.account_id = self._account_of(item, item.record)
                wanted.add(item.account_id)
        asked.rights.places = await find_places(
            connection, asked.rights.named, asked.rights.sale_keys
        )
        wanted |= set(asked.rights.places.values())
        self.accounts = await AccountBooks.lock(connection, wanted - {0})
        self.rights = RightBooks(self.accounts)
        self.homes = HomeBooks(self.rights)
        if self._are_several_programmes:
            locked = sorted(self.accounts.accounts)
            rows = await connection.fetch(_SQL["programmes_of_accounts"], locked)
            self._programme_of_account = {row["account_id"]: row["programme"] for row in rows}

    def _books_of(self, items: Iterable[Item]) -> list[AccountBook]:
        found = (self.accounts.find(item.account_id) for item in items)
        return [book for book in found if book is not None]

    def _account_of(self, item: Item, sale: SaleRecord) -> int:
        account_id = sale.inputs.account.account_id
        if sale.card and not account_id:
            return self.cards.get((_card(sale), self.programme_of(item.stored.till_id)), 0)
        return account_id

    # What decisions ask and tell

    def is_revoked(self, till_id: int) -> bool:
        """Say whether a till was revoked."""
        return till_id in self._revoked

    def programme_of(self, till_id: int) -> str:
        """Return whose wallets a till's sales go to: its store's programme."""
        return self._programmes.get(till_id, "")

    def is_of_another_programme(self, account_id: int, till_id: int) -> bool:
        """Say whether a locked account is no wallet of a till's programme."""
        whose = self._programme_of_account.get(account_id)
        return whose is not None and whose != self.programme_of(till_id)

    def are_of_one_store(self, till_id: int, other_id: int) -> bool:
        """Say whether two tills belong to the same store."""
        store = self._stores.get(till_id)
        return store is not None and store == self._stores.get(other_id)

    def account(self, account_id: int) -> AccountBook:
        """Return a locked account, or the one it was merged with.

        Raises:
            LookupError: there is no such account.
        """
        book = self.accounts.find(account_id)
        if book is None:
            raise LookupError(f"account {account_id}")
        return book

    def post(self, receipt: NewReceipt) -> None:
        """Take a receipt among the posted ones."""
        self._new.append(receipt)
        body = receipt.item.stored.body
        self.receipts[receipt.sale.key] = PostedReceipt(receipt.account_id, body)

    def void(self, sale_key: str, arrival: int) -> None:
        """Note that a receipt was given up."""
        self._voids.append((sale_key, arrival))

    # Writing

    async def write(
        self, connection: Connection, decisions: Sequence[tuple[Item, Decision]]
    ) -> None:
        """Write everything that changed, then what became of the records."""
        await self._write_receipts(connection)
        await partner_points.note_receipts(connection, self._new, now_ms=self.now_ms)
        await self.accounts.write(connection)
        await self.counted.write(connection, now_ms=self.now_ms)
        await self.homes.write(connection)
        await self.rights.write_budgets(connection)
        await self.rights.write(connection)
        await self.shared.write(connection)
        await self.codes.write(connection)
        if self._are_events_wanted:
            await outbox.write(connection, list(events_of(self._new)), now_ms=self.now_ms)
        await self._write_outcomes(connection, decisions)

    async def _write_receipts(self, connection: Connection) -> None:
        if self._new:
            rows = [_receipt_row(receipt, self.now_ms) for receipt in self._new]
            await connection.execute(_SQL["insert_receipts"], *columns(rows))
        stale = [
            (receipt.sale.key, receipt.item.stored.till_id, each.release, each.bundle,
             each.discount_minor, each.points, self.now_ms)
            for receipt in self._new if (each := receipt.item.stale) is not None
        ]  # fmt: skip
        if stale:
            await connection.execute(_SQL["insert_stale"], *columns(stale))
        if self._voids:
            await connection.execute(_SQL["insert_voids"], *columns(self._voids))

    async def _write_outcomes(
        self, connection: Connection, decisions: Sequence[tuple[Item, Decision]]
    ) -> None:
        told = sorted(each.account_id for each in self.accounts.accounts.values() if each.is_told)
        if told:
            await connection.execute(_SQL["tell_stores"], told)
        rows = [
            (item.stored.arrival, item.stored.till_id, item.stored.incarnation, item.stored.seq,
             said.outcome, said.reason, said.points, self.now_ms, said.parked_for,
             item.stored.branch)
            for item, said in decisions
        ]  # fmt: skip
        *ends, branches = columns(rows)
        posted = [f"sale:{receipt.sale.key}" for receipt in self._new]
        await connection.execute(_SQL["end_all"], *ends, posted, branches)


def _by_card(rows: Iterable[asyncpg.Record]) -> dict[tuple[bytes, str], int]:
    return {(row["card"], row["programme"]): row["account_id"] for row in rows}


def _asked_by(items: Iterable[Item]) -> _Asked:
    asked = _Asked()
    for item in items:
        match item.record:
            case SaleRecord():
                _ask_for_sale(asked, item, item.record)
            case VoidRecord():
                asked.rights.sale_keys.add(item.record.key)
            case GrantInRecord():
                asked.rights.named.add(item.record.grant_id)
            case GrantReturnRecord():
                asked.rights.named.add(item.record.grant_id)
                asked.rights.taken_home.add(item.record.grant_id)
            case _:
                pass
    return asked


def _ask_for_sale(asked: _Asked, item: Item, sale: SaleRecord) -> None:
    rights = asked.rights
    rights.sale_keys.add(sale.key)
    asked.visiting.append(item)
    if sale.card and not sale.inputs.account.account_id:
        asked.cards.add((_card(sale), item.stored.till_id))
    redeems = isinstance(item.printed, Calculation) and item.printed.totals.redeemed_points
    if sale.sources or redeems:
        asked.redeeming.append(item)
    for source in sale.sources:
        if source.kind == "risk":
            rights.risk_tills.add(item.stored.till_id)
        else:
            rights.named.add(source.grant_id)
        if source.transfer_id:
            rights.transfers.add(source.transfer_id)
    if any(source.kind != "authorisation" for source in sale.sources):
        rights.spenders.append(spender(item.stored))
    asked.counter_grants |= {each.grant_id for each in sale.drawn}


def spender(stored: StoredRecord) -> Spender:
    """Return the place in its till's stream from which a record spends."""
    return Spender(stored.till_id, stored.incarnation, stored.seq)


def _card(sale: SaleRecord) -> bytes:
    return bytes.fromhex(sale.card)


def _receipt_row(receipt: NewReceipt, now_ms: int) -> tuple[object, ...]:
    sale, totals = receipt.sale, receipt.printed.totals
    return (
        sale.key, receipt.account_id, receipt.item.stored.arrival, receipt.item.stored.till_id,
        sale.inputs.place.store, sale.inputs.moment.local, sale.inputs.bundle, totals.gross_minor,
        totals.discount_minor, totals.redeemed_minor, totals.redeemed_points, totals.paid_minor,
        totals.earned_points, sale.link_up, receipt.is_equal, bytes(sale.calculation),
        receipt.recalculation, now_ms, receipt.business_moment,
        service_of(
            sale, receipt.printed, is_equal=receipt.is_equal, was_nobodys=receipt.item.has_waited
        ),
        qualifying(receipt.printed.counted),
    )  # fmt: skip
