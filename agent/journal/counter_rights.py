"""Rights to shared counters: what the till may give of what is limited over all customers.

As with points, rule R1: what a receipt has taken, what was spent and what goes home is gone from
here, durably, before anything says that it is. All changes happen inside a transaction of the
journal (design: sync 1.2, 4.8).
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.journal.database import Database
from sync.messages import CounterGrant
from sync.records import CounterDrawn


@dataclass(frozen=True, slots=True)
class Share:
    """What the till has of one counter.

    Attributes:
        amount: of the rights that are not used up, as they were given.
        left: what no receipt has taken.
    """

    amount: int = 0
    left: int = 0


class CounterRights:
    """The rights to counters of the till's current incarnation."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._reserved: tuple[object, dict[str, int]] = (None, {})

    def receive(self, grant: CounterGrant) -> None:
        """Keep a grant; the caller has seen to it that it is accepted once."""
        self.database.run(
            "insert into counter_right values (?, ?, ?, ?, ?, ?)",
            grant.grant_id, grant.counter, grant.amount, grant.amount, grant.ends_on,
            grant.incarnation,
        )  # fmt: skip

    def shares(self, names: Collection[str]) -> dict[str, Share]:
        """Return what the till has of some counters; those it has nothing of are left out."""
        rows = self.database.rows(
            "select counter, sum(amount), sum(amount_left) from counter_right"
            " where counter in (select value from json_each(?)) group by counter",
            json.dumps(sorted(names)),
        )
        return {str(name): Share(int(amount), int(left)) for name, amount, left in rows}  # type: ignore[arg-type]

    def reserved(self, receipt_id: str) -> dict[str, int]:
        """Return what a receipt has taken, by counter."""
        asked = (receipt_id, self.database.edition())
        if self._reserved[0] != asked:
            self._reserved = (asked, self._read_reserved(receipt_id))
        return dict(self._reserved[1])

    def _read_reserved(self, receipt_id: str) -> dict[str, int]:
        rows = self.database.rows(
            "select counter, sum(r.amount) from counter_reservation r"
            " join counter_right using (grant_id) where receipt_id = ? group by counter",
            receipt_id,
        )
        return {str(name): int(amount) for name, amount in rows}  # type: ignore[arg-type]

    def set_aside(self, receipt_id: str, wanted: Mapping[str, int], *, at_ms: int) -> bool:
        """Let a receipt have just what is wanted: take what is missing, put back what is too much.

        Returns:
            False where the rights here cannot give it; then nothing has changed.
        """
        before = self.reserved(receipt_id)
        shares = self.shares(wanted)
        if any(
            amount - before.get(name, 0) > shares.get(name, Share()).left
            for name, amount in wanted.items()
        ):
            return False
        for name in sorted({*before, *wanted}):
            more = wanted.get(name, 0) - before.get(name, 0)
            if more > 0:
                self._take(receipt_id, name, more, at_ms)
            elif more < 0:
                self._put_back(receipt_id, name, -more)
        return True

    def _take(self, receipt_id: str, counter: str, amount: int, at_ms: int) -> None:
        for grant_id, left in self.database.rows(
            "select grant_id, amount_left from counter_right where counter = ? and amount_left > 0"
            " order by grant_id",
            counter,
        ):
            assert isinstance(left, int)
            if part := min(left, amount):
                amount -= part
                self.database.run(
                    "update counter_right set amount_left = amount_left - ? where grant_id = ?",
                    part, grant_id,
                )  # fmt: skip
                self.database.run(
                    "insert into counter_reservation values (?, ?, ?, ?) on conflict do update"
                    " set amount = amount + excluded.amount, at_ms = excluded.at_ms",
                    receipt_id, grant_id, part, at_ms,
                )  # fmt: skip
        assert not amount, "more is taken of a counter than is left"

    def _put_back(self, receipt_id: str, counter: str, amount: int) -> None:
        for grant_id, taken in self.database.rows(
            "select grant_id, r.amount from counter_reservation r"
            " join counter_right using (grant_id) where receipt_id = ? and counter = ?"
            " order by grant_id desc",
            receipt_id, counter,
        ):  # fmt: skip
            assert isinstance(taken, int)
            if part := min(taken, amount):
                amount -= part
                self.database.run(
                    "update counter_right set amount_left = amount_left + ? where grant_id = ?",
                    part, grant_id,
                )  # fmt: skip
                if part == taken:
                    self.database.run(
                        "delete from counter_reservation where receipt_id = ? and grant_id = ?",
                        receipt_id, grant_id,
                    )  # fmt: skip
                else:
                    self.database.run(
                        "update counter_reservation set amount = amount - ?"
                        " where receipt_id = ? and grant_id = ?", part, receipt_id, grant_id,
                    )  # fmt: skip
        assert not amount, "more is put back than a receipt has taken"

    def spend(self, receipt_id: str) -> tuple[CounterDrawn, ...]:
        """Turn what a receipt has taken into what its record says; call it with the record."""
        rows = self.database.rows(
            "select grant_id, amount from counter_reservation where receipt_id = ?"
            " order by grant_id",
            receipt_id,
        )
        self.database.run("delete from counter_reservation where receipt_id = ?", receipt_id)
        self._forget_spent()
        return tuple(CounterDrawn(str(grant_id), int(amount)) for grant_id, amount in rows)  # type: ignore[arg-type]

    def release(self, receipt_id: str) -> None:
        """Put back what a receipt has taken."""
        self.set_aside(receipt_id, {}, at_ms=0)

    def open_before(self, at_ms: int) -> list[str]:
        """Return receipts that have taken something and were totalled last before a time."""
        rows = self.database.rows(
            "select receipt_id from counter_reservation group by receipt_id having max(at_ms) < ?",
            at_ms,
        )
        return [str(row[0]) for row in rows]

    def open_grants(self) -> list[str]:
        """Return the rights of which something is not taken."""
        rows = self.database.rows(
            "select grant_id from counter_right where amount_left > 0 order by grant_id"
        )
        return [str(row[0]) for row in rows]

    def counters(self, prefix: str) -> list[str]:
        """Return the counters with a name that begins so, of which the till has something."""
        rows = self.database.rows(
            "select distinct counter from counter_right where substr(counter, 1, ?) = ?"
            " order by counter",
            len(prefix), prefix,
        )  # fmt: skip
        return [str(row[0]) for row in rows]

    def single_codes(self) -> list[tuple[str, str]]:
        """Return rights to a single use of a code that no receipt has taken, with the counter."""
        rows = self.database.rows(
            "select grant_id, counter from counter_right where amount = 1 and amount_left = 1"
            " and substr(counter, 1, 5) = 'code.' order by grant_id"
        )
        return [(str(grant_id), str(counter)) for grant_id, counter in rows]

    def of_accounts(self) -> list[tuple[str, str]]:
        """Return rights to what one account is given, with something left, and the counter."""
        rows = self.database.rows(
            "select grant_id, counter from counter_right where amount_left > 0"
            " and substr(counter, 1, 8) = 'account.' order by grant_id"
        )
        return [(str(grant_id), str(counter)) for grant_id, counter in rows]

    def ended(self, before: str) -> list[str]:
        """Return the rights to counters whose period ended before a day, with something left."""
        rows = self.database.rows(
            "select grant_id from counter_right"
            " where ends_on <> '' and ends_on < ? and amount_left > 0 order by grant_id",
            before,
        )
        return [str(row[0]) for row in rows]

    def counter_of(self, grant_id: str) -> str:
        """Return the counter of a right; empty where there is no such."""
        row = self.database.row("select counter from counter_right where grant_id = ?", grant_id)
        return str(row[0]) if row else ""

    def give_up(self, grant_id: str) -> int:
        """Take what nobody has taken out of a right; returns it for the record that says so."""
        row = self.database.row(
            "select amount_left from counter_right where grant_id = ?", grant_id
        )
        if row is None:
            return 0
        assert isinstance(row[0], int)
        self.database.run("update counter_right set amount_left = 0 where grant_id = ?", grant_id)
        self._forget_spent()
        return row[0]

    def is_held(self) -> bool:
        """Say whether anything may be given of any counter."""
        return self.database.row("select 1 from counter_right limit 1") is not None

    def withdraw(self) -> None:
        """Give up what no receipt has taken, within the same incarnation."""
        self.database.run("update counter_right set amount_left = 0")
        self._forget_spent()

    def void_all(self) -> None:
        """Forget every right: the incarnation they were given to is over."""
        self.database.run("delete from counter_right")
        self.database.run("delete from counter_reservation")

    def _forget_spent(self) -> None:
        self.database.run(
            "delete from counter_right where amount_left = 0"
            " and grant_id not in (select grant_id from counter_reservation)"
        )
