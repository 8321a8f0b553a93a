"""Points that went to or came from other tills of the store, and the papers that prove them.

Every change happens inside a transaction of the journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from agent.journal.database import Database
from agent.journal.rights import Rights
from loyalty.account import LotPart
from sync.messages import Grant
from sync.neighbours import Transfer
from sync.records import Source

GIVEN_MAX: Final = 5_000
"""Answers kept to be given again; a request is repeated within seconds, never after so many."""


@dataclass(frozen=True, slots=True)
class Givable:
    """A grant of the live stream with points nobody has reserved."""

    grant: Grant
    points_left: int


class Transfers:
    """Transfers of one till, both ways."""

    def __init__(self, database: Database, rights: Rights) -> None:
        self._database = database
        self._rights = rights

    def keep_paper(self, grant: Grant) -> None:
        """Keep a grant as the centre signed it."""
        self._database.run(
            "insert into grant_paper values (?, ?) on conflict do nothing",
            grant.grant_id, msgspec.msgpack.encode(grant),
        )  # fmt: skip

    def givable(self, account_id: int, *, incarnation: bytes, now_ms: int) -> list[Givable]:
        """Return grants of an account that points may be given away of, soonest end first.

        Only what the centre gave to this till and stream: what came from a sibling goes no further.
        """
        if self._rights.are_suspended:
            return []
        rows = self._database.rows(
            "select p.body, h.points_left from held_right h join grant_paper p using (grant_id)"
            " where h.account_id = ? and h.incarnation = ? and h.not_after_ms > ?"
            " and h.points_left > 0 and h.purpose = 'grant' order by h.not_after_ms, h.grant_id",
            account_id, incarnation, now_ms,
        )  # fmt: skip
        return [
            Givable(msgspec.msgpack.decode(body, type=Grant), left)  # type: ignore[arg-type]
            for body, left in rows
        ]

    def given_for(self, to_till: int, to_incarnation: bytes, nonce: bytes) -> tuple[Transfer, ...]:
        """Return what was given for a request before."""
        rows = self._database.rows(
            "select body from transfer_given where to_till = ? and to_incarnation = ?"
            " and nonce = ? order by transfer_id",
            to_till, to_incarnation, nonce,
        )  # fmt: skip
        return tuple(msgspec.msgpack.decode(row[0], type=Transfer) for row in rows)  # type: ignore[arg-type]

    def keep_given(self, transfer: Transfer) -> None:
        """Keep what is given away, to give the same answer again."""
        self._database.run(
            "insert into transfer_given values (?, ?, ?, ?, ?)",
            transfer.transfer_id, transfer.to_till, transfer.to_incarnation, transfer.nonce,
            msgspec.msgpack.encode(transfer),
        )  # fmt: skip
        self._database.run(
            "delete from transfer_given where rowid <="
            " (select max(rowid) from transfer_given) - ?", GIVEN_MAX,
        )  # fmt: skip

    def take(self, transfer: Transfer) -> bool:
        """Hold what a sibling gave as a right of this till; False when it is here already."""
        self._database.run(
            "insert into transfer_taken values (?, ?, ?) on conflict do nothing",
            transfer.transfer_id, transfer.grant.grant_id, transfer.to_incarnation,
        )  # fmt: skip
        if not self._database.changes():
            return False
        given = {lot.lot_id: lot for lot in transfer.grant.lots}
        lots = tuple(_part(given[taken.lot_id], taken.points) for taken in transfer.lots)
        self._rights.receive(
            msgspec.structs.replace(
                transfer.grant,
                grant_id=transfer.transfer_id,
                till_id=transfer.to_till,
                incarnation=transfer.to_incarnation,
                points=transfer.points,
                lots=lots,
            )
        )
        return True

    def origin(self, right_id: str) -> tuple[str, str]:
        """Return grant and transfer of a held right; the transfer is empty for the till's own."""
        row = self._database.row(
            "select grant_id from transfer_taken where transfer_id = ?", right_id
        )
        return (str(row[0]), right_id) if row else (right_id, "")

    def named(self, sources: Iterable[Source]) -> tuple[Source, ...]:
        """Return sources as a record names them: by grant, and by the transfer it came by."""
        found = []
        for source in sources:
            grant_id, transfer_id = self.origin(source.grant_id)
            found.append(
                msgspec.structs.replace(source, grant_id=grant_id, transfer_id=transfer_id)
                if transfer_id
                else source
            )
        return tuple(found)

    def idle(self) -> list[str]:
        """Return transfers with points that no receipt has reserved any of."""
        rows = self._database.rows(
            "select h.grant_id from held_right h join transfer_taken t"
            " on t.transfer_id = h.grant_id where h.points_left > 0"
            " and h.grant_id not in (select grant_id from reservation)"
        )
        return [str(row[0]) for row in rows]

    def tidy(self, incarnation: bytes) -> None:
        """Forget papers of rights that are gone, and transfers to streams that are over."""
        self._database.run(
            "delete from grant_paper where grant_id not in (select grant_id from held_right)"
        )
        self._database.run(
            "delete from transfer_taken where incarnation <> ?"
            " and transfer_id not in (select grant_id from held_right)", incarnation,
        )  # fmt: skip


def _part(lot: LotPart, points: int) -> LotPart:
    return LotPart(
        lot_id=lot.lot_id, points=points, expires_on=lot.expires_on, restriction=lot.restriction
    )
