"""Rights of a batch of records: read at once, consumed and closed in memory, written at once.

What `grants`, `transfers` and the risk budgets do to one record's rights is done here to those of
many, in their order; the accounts are locked (`ledger.account_books`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Literal

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.account_books import AccountBook, AccountBooks, columns
from central.rights.budgets import count_tills
from central.rights.waking import wake_holders
from sync.records import LotTaken, Source

_SQL = load_queries("central.rights", "right_books.sql")


class MovedError(Exception):
    """Between finding whose a right is and locking the account it went to another account."""


@dataclass(slots=True)
class RightBook:
    """A grant or authorisation as it is by now.

    Attributes:
        exposure: what late records of it free: kept back by the pool, or given up and lost to it.
        kept: the pool's part of that.
        lots: points by lot, only where something may be taken out.
        taken, freed, found: what left `outstanding`, `kept` and what was given up, since it was
            read.
        state: what it became; empty = what it was.
    """

    account_id: int
    grant_id: str
    purpose: str
    till_id: int
    incarnation: bytes
    sale_key: str
    outstanding: int
    exposure: int
    kept: int
    recalled: bool
    not_after_ms: int
    lots: dict[int, int] = field(default_factory=dict)
    lots_taken: dict[int, int] = field(default_factory=dict)
    taken: int = 0
    freed: int = 0
    found: int = 0
    state: str = ""
    is_received_now: bool = False
    is_recalled_now: bool = False


@dataclass(slots=True)
class _Transfer:
    account_id: int
    transfer_id: str
    grant_id: str
    to_till: int
    points: int
    spent: int
    came_home: int


@dataclass(slots=True)
class _Cycle:
    spent: int
    most: int | None
    plus: int = 0


@dataclass(slots=True)
class _Budget:
    """What a stream was given and has not settled: to spend, kept back, or free again."""

    incarnation: bytes
    from_seq: int
    open: int
    kept: int
    home: int
    settled: int = 0
    freed: int = 0
    found: int = 0


@dataclass(frozen=True, slots=True)
class Spender:
    """The record that spends: its till and its place in the till's stream."""

    till_id: int
    incarnation: bytes
    seq: int


@dataclass(slots=True, kw_only=True)
class RightsAsked:
    """What a batch has to know of rights.

    Attributes:
        named: grants that records spend from, bring home or received.
        taken_home: of these, those of which something comes home.
        sale_keys: receipts for which something may still be authorised.
        visited: accounts of which tills may be asked to give points back.
        transfers: named by receipts.
        spenders: records that spend grants or risk budget.
        risk_tills: whose risk budget they spend.
        places: accounts of the rights named or authorised, by right.
    """

    named: set[str] = field(default_factory=set)
    taken_home: set[str] = field(default_factory=set)
    sale_keys: set[str] = field(default_factory=set)
    visited: set[int] = field(default_factory=set)
    transfers: set[str] = field(default_factory=set)
    spenders: list[Spender] = field(default_factory=list)
    risk_tills: set[int] = field(default_factory=set)
    places: dict[str, int] = field(default_factory=dict)


class RightBooks:
    """The rights of a batch."""

    def __init__(self, books: AccountBooks) -> None:
        self._books = books
        self.rights: dict[str, RightBook] = {}
        self._of_sale: dict[str, list[RightBook]] = {}
        self._of_account: dict[int, list[RightBook]] = {}
        self._transfers: dict[str, _Transfer] = {}
        self._of_grant: dict[str, list[_Transfer]] = {}
        self._spent: dict[tuple[int, str], tuple[str, int, int]] = {}
        self._cycles: dict[tuple[int, bytes, int], _Cycle] = {}
        self._cycle_of: dict[Spender, tuple[int, bytes, int]] = {}
        self._budgets: dict[int, list[_Budget]] = {}

    # Reading

    async def read(self, connection: Connection, asked: RightsAsked) -> None:
        """Read what is asked for; the accounts are locked.

        Raises:
            MovedError: a right went to another account before its own was locked.
        """
        accounts: list[int] = []
        if asked.places:
            # Under the locks they stay where they are.
            asked.places = await find_places(connection, asked.named, asked.sale_keys)
            accounts = self._accounts_of(asked.places)
        if asked.visited or asked.places:
            rows = await connection.fetch(
                _SQL["rights"], sorted(asked.visited), accounts, sorted(asked.named),
                sorted(asked.sale_keys),
            )  # fmt: skip
            for row in rows:
                right = RightBook(*row)
                self.rights[right.grant_id] = right
                self._of_account.setdefault(right.account_id, []).append(right)
                if right.sale_key:
                    self._of_sale.setdefault(right.sale_key, []).append(right)
        await self._read_lots(connection, asked)
        await self._read_transfers(connection, asked, accounts)
        await self._read_caps(connection, asked)

    def _accounts_of(self, places: Mapping[str, int]) -> list[int]:
        """Return the accounts that places name.

        Raises:
            MovedError: one of them is not locked.
        """
        found = sorted(set(places.values()))
        if not all(account_id in self._books.accounts for account_id in found):
            raise MovedError
        return found

    async def _read_lots(self, connection: Connection, asked: RightsAsked) -> None:
        used = [
            (right.account_id, right.grant_id)
            for right in self.rights.values()
            if right.grant_id in asked.named or right.sale_key in asked.sale_keys
        ]
        if not used:
            return
        for grant_id, lot_id, points in await connection.fetch(_SQL["right_lots"], *columns(used)):
            self.rights[grant_id].lots[lot_id] = points

    async def _read_transfers(
        self, connection: Connection, asked: RightsAsked, accounts: Sequence[int]
    ) -> None:
        coming_home = sorted(asked.taken_home & self.rights.keys())
        if not accounts or not (asked.transfers or coming_home):
            return
        rows = await connection.fetch(
            _SQL["transfers"], accounts, sorted(asked.transfers), coming_home
        )
        for row in rows:
            self._know(_Transfer(*row))

    def _know(self, transfer: _Transfer) -> None:
        self._transfers[transfer.transfer_id] = transfer
        self._of_grant.setdefault(transfer.grant_id, []).append(transfer)

    async def _read_caps(self, connection: Connection, asked: RightsAsked) -> None:
        if asked.spenders:
            rows = await connection.fetch(
                _SQL["lock_cycles"],
                list(range(len(asked.spenders))),
                [each.till_id for each in asked.spenders],
                [each.incarnation for each in asked.spenders],
                [each.seq for each in asked.spenders],
            )
            for number, from_seq, spent, most in rows:
                spender = asked.spenders[number]
                key = (spender.till_id, spender.incarnation, from_seq)
                self._cycle_of[spender] = key
                self._cycles.setdefault(key, _Cycle(spent, most))
        if asked.risk_tills:
            rows = await connection.fetch(_SQL["lock_budgets"], sorted(asked.risk_tills))
            for till_id, *budget in rows:
                self._budgets.setdefault(till_id, []).append(_Budget(*budget))

    # What receipts spend

    def count_spent(self, spender: Spender, points: int) -> bool:
        """Count what a record spent against the cap of its cycle.

        Returns:
            Whether the till spent more in it than it was told it may: a fact all the same.
        """
        key = self._cycle_of.get(spender)
        if key is None:
            return False
        cycle = self._cycles[key]
        cycle.plus += points
        return cycle.most is not None and cycle.spent + cycle.plus > cycle.most

    def settle_risk(self, spender: Spender, points: int) -> None:
        """Count points against the till's risk budgets, and free them.

        First that of the record's own stream, unless it was written before there was any: then it
        repeats what an earlier one sold. What came home already is counted last, and frees nothing.
        """
        budgets = self._budgets.get(spender.till_id, ())
        own = [
            each
            for each in budgets
            if each.incarnation == spender.incarnation and spender.seq > each.from_seq
        ]
        for each in (*own, *budgets):
            points -= self._settle(each, points)
        for each in (*own, *budgets):
            found = min(points, each.home)
            each.home -= found
            each.found += found
            each.settled += found
            points -= found

    def _settle(self, budget: _Budget, points: int) -> int:
        settled = min(points, budget.open)
        freed = min(points - settled, budget.kept)
        budget.open -= settled
        budget.kept -= freed
        budget.freed += freed
        budget.settled += settled + freed
        if settled:
            self._books.pool.free_budget(settled)
        if freed:
            self._books.pool.free_exposure(freed)
        return settled + freed

    def may_spend(
        self, right: RightBook, source: Source, *, till_id: int, is_same_store: bool
    ) -> bool:
        """Say whether a receipt may be settled from a right; see `transfers` for other tills'."""
        if right.till_id == till_id:
            return True
        if not source.transfer_id:
            return False
        known = self._transfers.get(source.transfer_id)
        if known is not None:
            return (known.grant_id, known.to_till) == (right.grant_id, till_id)
        return is_same_store

    def note_spent(self, account_id: int, source: Source, *, till_id: int) -> None:
        """Count what a receipt used of a transfer, whether or not that is known yet."""
        if not source.transfer_id:
            return
        known = self._transfers.get(source.transfer_id)
        if known is None:
            known = _Transfer(account_id, source.transfer_id, source.grant_id, till_id, 0, 0, 0)
            self._know(known)
        known.spent += source.points
        key = (account_id, source.transfer_id)
        before = self._spent.get(key, (source.grant_id, till_id, 0))
        self._spent[key] = (before[0], before[1], before[2] + source.points)

    def left_with_others(self, grant_id: str) -> int:
        """Return how many points of a grant other tills have, as far as is known."""
        return sum(
            max(each.points - each.spent - each.came_home, 0)
            for each in self._of_grant.get(grant_id, ())
        )

    # What leaves a right

    def consume(
        self,
        right: RightBook,
        lots: Sequence[LotTaken],
        *,
        ends_as: Literal["settled", "returned"] = "settled",
    ) -> list[LotTaken]:
        """Take points out of a right for good, at most what it still has (`grants.consume`)."""
        wanted = {lot.lot_id: lot.points for lot in lots}
        missing = sum(wanted.values())
        taken: dict[int, int] = {}
        for by_name in (True, False):
            for lot_id, left in right.lots.items():
                most = wanted.get(lot_id, 0) if by_name else missing
                if part := min(most, left - taken.get(lot_id, 0), missing):
                    taken[lot_id] = taken.get(lot_id, 0) + part
                    missing -= part
        if total := sum(taken.values()):
            right.taken += total
            if right.outstanding == total:
                right.state = ends_as
            right.outstanding -= total
            for lot_id, points in taken.items():
                right.lots[lot_id] -= points
                right.lots_taken[lot_id] = right.lots_taken.get(lot_id, 0) + points
            right.lots = {lot_id: left for lot_id, left in right.lots.items() if left > 0}
        if missing:
            self.free_exposure(right, missing)
        return [LotTaken(lot_id, points) for lot_id, points in taken.items()]

    def free_exposure(self, right: RightBook, points: int | None = None) -> None:
        """Free what the pool keeps for a right that was written off; all of it by default.

        Of what was given up it is only noted: the pool gets it back by and by.
        """
        if not right.exposure:
            return
        ended = right.exposure if points is None else min(right.exposure, points)
        freed = min(right.kept, ended)
        right.exposure -= ended
        right.kept -= freed
        right.freed += freed
        right.found += ended - freed
        if not right.exposure:
            right.state = "late_settled"
        if freed:
            self._books.pool.free_exposure(freed)

    def take_home(self, book: AccountBook, right: RightBook, lots: Sequence[LotTaken]) -> int:
        """Bring points of a right back to available; returns how many."""
        return self._books.bring_home(book, self.consume(right, lots, ends_as="returned"))

    def accounts_authorised(self, sale_key: str) -> list[int]:
        """Return the accounts whose points are still authorised for a receipt."""
        return sorted({right.account_id for right in self._authorised(sale_key)})

    def release(self, sale_key: str) -> None:
        """Free what was authorised for a receipt and not used, whoever's card it was asked with.

        The receipt's record has come, so nothing more can be used (design: sync 4.6).
        """
        for account_id in self.accounts_authorised(sale_key):
            book = self._books.accounts[account_id]
            for right in self._authorised(sale_key):
                if right.account_id == account_id:
                    lots = [LotTaken(lot_id, points) for lot_id, points in right.lots.items()]
                    self.take_home(book, right, lots)
                    self.free_exposure(right)

    def _authorised(self, sale_key: str) -> list[RightBook]:
        return [
            right
            for right in self._of_sale.get(sale_key, ())
            if right.outstanding > 0 or right.exposure > 0
        ]

    def recall_elsewhere(self, account_id: int, till_id: int | None) -> None:
        """Ask back what tills but one hold of an account."""
        for right in self._of_account.get(account_id, ()):
            if (
                right.outstanding > 0
                and right.purpose == "grant"
                and not right.recalled
                and right.till_id != till_id
            ):
                right.recalled = right.is_recalled_now = True

    # At the end

    async def write_budgets(self, connection: Connection) -> None:
        """Write what rows of tills and the pool are locked for; before the rights."""
        cycles = [(*key, each.plus) for key, each in sorted(self._cycles.items()) if each.plus]
        if cycles:
            await connection.execute(_SQL["spend_in_cycles"], *columns(cycles))
        settled = [
            (till_id, each.incarnation, each.settled, each.freed, each.found)
            for till_id, of_till in sorted(self._budgets.items())
            for each in of_till
            if each.settled
        ]
        if settled:
            await connection.execute(_SQL["settle_budgets"], *columns(settled))
        await self._books.pool.write(connection)
        if settled:
            tills = sorted({row[0] for row in settled})
            # Rows of tills are locked in the order of tills, by everybody: those of rights, too.
            both = sorted({*tills, *self._leaving()})
            await connection.execute(_SQL["count_till_rights"], both, [0] * len(both))
            await count_tills(connection, tills)

    async def write(self, connection: Connection) -> None:
        """Write the rights and transfers; the accounts' lots are written apart."""
        rights = sorted(self.rights.values(), key=lambda each: (each.account_id, each.grant_id))
        await _write(
            connection,
            "flag_rights",
            (
                (each.account_id, each.grant_id, each.is_received_now, each.is_recalled_now)
                for each in rights
                if each.is_received_now or each.is_recalled_now
            ),
        )
        asked_back = [each for each in rights if each.is_recalled_now]
        for account_id, of_account in groupby(asked_back, key=attrgetter("account_id")):
            tills = [(each.grant_id, each.till_id) for each in of_account]
            await wake_holders(connection, account_id, tills)
        if leaving := self._leaving():
            # What each till holds is counted with its rights: in the order of tills, everybody.
            rows = sorted(leaving.items())
            await connection.execute(_SQL["count_till_rights"], *columns(rows))
        await _write(
            connection,
            "change_rights",
            (
                (each.account_id, each.grant_id, each.taken, each.freed, each.found, each.state)
                for each in rights
                if each.taken or each.freed or each.found
            ),
        )
        await _write(
            connection,
            "change_right_lots",
            (
                (each.account_id, each.grant_id, lot_id, taken)
                for each in rights
                for lot_id, taken in each.lots_taken.items()
            ),
        )
        await _write(
            connection,
            "note_spent_of_transfers",
            ((*key, *spent) for key, spent in sorted(self._spent.items())),
        )

    def _leaving(self) -> dict[int, int]:
        """Return by till what leaves its grants."""
        leaving: dict[int, int] = {}
        for each in self.rights.values():
            if each.taken and each.purpose == "grant":
                leaving[each.till_id] = leaving.get(each.till_id, 0) + each.taken
        return leaving


async def _write(
    connection: Connection, statement: str, rows: Iterable[tuple[object, ...]]
) -> None:
    if listed := list(rows):
        await connection.execute(_SQL[statement], *columns(listed))


async def find_places(
    connection: Connection, grant_ids: Iterable[str], sale_keys: Iterable[str]
) -> dict[str, int]:
    """Return rights by id, and those authorised for receipts, each with the account it is of."""
    keys = [*sorted(grant_ids), *(f"sale:{key}" for key in sorted(sale_keys))]
    rows = await connection.fetch(_SQL["places"], keys) if keys else ()
    return {row["grant_id"]: row["account_id"] for row in rows}
