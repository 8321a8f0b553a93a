"""What this till's own sales and returns do to counters of accounts that were told without them.

An account as the centre tells it holds those records of this till that were applied when it was
told, and says which (`sync.messages.Applied`). All others are added here, record by record: each
counts once, as part of what was told or as rows of this table (design: sync 4.5).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from agent.journal.database import Database, SqlValue
from loyalty.calculation import Calculation, Counted
from loyalty.counters import is_of_account
from loyalty.returns import ReturnCalculation
from sync.messages import Applied

PURCHASE = ""
"""The counter of the purchase itself."""

_AFTER = "incarnation = ?1 and seq > ?2"
_AMONG = "incarnation = ?1 and seq in (select value from json_each(?2))"
# Two conditions, two statements: joined by `or` they would walk over everything ever sold.
_OF_ACCOUNT = """
select counter, sum(plus), max(used_at) from (
    select counter, plus, used_at from own_count where account_id = ?3 and {at}
    union all select counter, plus, used_at from own_count
    where account_id = 0 and card in (select unhex(value) from json_each(?4)) and {at}
) group by counter"""
_OF_CARD = """
select counter, sum(plus), max(used_at) from own_count where card = ?3 and {at} group by counter"""


class Sold(msgspec.Struct, frozen=True):
    """What of a recorded calculation is counted."""

    account_id: int
    moment: str
    store: str
    counted: tuple[Counted, ...] = ()


@dataclass(slots=True)
class OwnCounts:
    """Sums over records that an account does not hold yet.

    Attributes:
        counters: by name; below zero where more came back than was sold.
        last_used: by name, `MOMENT store NAME` of the latest sale.
    """

    purchases: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    last_used: dict[str, str] = field(default_factory=dict)


class OwnCountRows:
    """Rows of `own_count`; every change happens inside a transaction of the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_sale(
        self,
        key: str,
        calculation: Calculation | Sold,
        *,
        card: bytes,
        incarnation: bytes,
        seq: int,
    ) -> None:
        """Note what a sale counts, in the transaction that appends its record.

        Args:
            card: keyed hash; nothing is counted for nobody.
        """
        if not card:
            return
        counted = [(c.counter, c.plus) for c in calculation.counted if is_of_account(c.counter)]
        used_at = f"{calculation.moment[:19]} store {calculation.store}"
        whose = (calculation.account_id, card)
        self._add(key, [(PURCHASE, 1), *counted], whose, used_at, (incarnation, seq))

    def add_return(
        self,
        key: str,
        returned: ReturnCalculation,
        *,
        original_key: str,
        incarnation: bytes,
        seq: int,
    ) -> None:
        """Note what a return takes off again, in the transaction that appends its record."""
        sold_here = self._database.row(
            "select account_id, card from own_count where subject = ? limit 1", original_key
        )
        account_id, card = sold_here or (returned.account_id, b"")
        assert isinstance(account_id, int)
        assert isinstance(card, bytes)
        if not account_id and not card:
            return
        back = returned.counted_back
        counted = [(c.counter, -c.plus) for c in back if is_of_account(c.counter)]
        if returned.completes:
            counted.append((PURCHASE, -1))
        self._add(key, counted, (account_id, card), "", (incarnation, seq))

    def _add(
        self,
        subject: str,
        counted: Iterable[tuple[str, int]],
        whose: tuple[int, bytes],
        used_at: str,
        at: tuple[bytes, int],
    ) -> None:
        for counter, plus in counted:
            self._database.run(
                "insert into own_count values (?, ?, ?, ?, ?, ?, ?, ?)"
                " on conflict do update set plus = plus + excluded.plus",
                subject, counter, plus, *whose, used_at, *at,
            )  # fmt: skip

    def know_anybody(self) -> bool:
        """Say whether anything is counted of an account; of cards nobody knew is not asked."""
        row = self._database.row("select 1 from own_count where account_id > 0 limit 1")
        return row is not None

    def forget(self, account_ids: Sequence[int], cards: Sequence[bytes]) -> None:
        """Forget what accounts and their cards have counted: nobody will show them any more."""
        for account_id in account_ids:
            self._database.run("delete from own_count where account_id = ?", account_id)
        for card in cards:
            self._database.run("delete from own_count where account_id = 0 and card = ?", card)

    def follow_repeated(self, incarnation: bytes) -> None:
        """Point the rows at the records repeated in a new stream; call it when it has begun."""
        self._database.run(
            "update own_count set incarnation = ?1, seq = r.seq from record r"
            " where r.incarnation = ?1 and r.kind in ('sale', 'refund')"
            " and r.subject = own_count.subject",
            incarnation,
        )

    def of_account(
        self, account_id: int, cards: Sequence[bytes], applied: Sequence[Applied]
    ) -> OwnCounts:
        """Return what an account as told does not hold yet.

        Args:
            cards: of the account, for sales made while the till did not know it.
            applied: what was told beside the account; empty = nothing of this till is in it.
        """
        names = json.dumps([card.hex() for card in cards])
        return self._sums(_OF_ACCOUNT, applied, account_id, names)

    def of_card(self, card: bytes) -> OwnCounts:
        """Return what all sales with a card have counted; for cards of no known account."""
        return self._sums(_OF_CARD, (), card)

    def _sums(self, sql: str, applied: Sequence[Applied], *whose: SqlValue) -> OwnCounts:
        found = OwnCounts()
        for each in self._streams(applied):
            rows = self._database.rows(
                sql.format(at=_AFTER), each.incarnation, each.through, *whose
            )
            if each.waiting:
                waiting = json.dumps(each.waiting)
                rows += self._database.rows(
                    sql.format(at=_AMONG), each.incarnation, waiting, *whose
                )
            for counter, plus, used_at in rows:
                assert isinstance(counter, str)
                assert isinstance(plus, int)
                assert isinstance(used_at, str)
                if counter == PURCHASE:
                    found.purchases += plus
                    continue
                found.counters[counter] = found.counters.get(counter, 0) + plus
                found.last_used[counter] = max(found.last_used.get(counter, ""), used_at)
        return found

    def _streams(self, applied: Sequence[Applied]) -> Iterator[Applied]:
        """Yield the streams of which something may not be in an account told so."""
        rows = self._database.rows("select incarnation, incarnation_number from stream")
        numbers: dict[object, object] = dict(rows)  # type: ignore[arg-type]
        told_in = numbers.get(applied[0].incarnation) if applied else None
        if told_in is None:
            # Told before this journal was begun, or by a centre that does not say: all is new.
            applied, told_in = (), 0
        yield from applied
        for incarnation, number in numbers.items():
            if number > told_in:  # type: ignore[operator]
                yield Applied(incarnation=incarnation, through=0)  # type: ignore[arg-type]
