"""Asks for points that are out for an answer: durable, of one incarnation, each good for one grant.

Rule R2 without a session: a grant is taken for a nonce of this incarnation that is fresh, still
open, and never again (design: sync 4.9). All changes happen inside a transaction of the journal;
what voids the till's rights deletes its asks as well (`Rights`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.journal.database import Database
from sync.limits import ASKS_OPEN_MAX


@dataclass(frozen=True, slots=True)
class OpenAsk:
    """An ask for which a grant may still be taken.

    Attributes:
        number: counts all asks of this journal, from 1; never used again.
        card: the whole keyed hash of the card on the receipt.
    """

    number: int
    nonce: bytes
    incarnation: bytes
    receipt_id: str
    card: bytes
    points: int


_COLUMNS = "number, nonce, incarnation, receipt_id, card, points"


class CourierAsks:
    """The open asks of a till."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, *, nonce: bytes, incarnation: bytes, receipt_id: str, card: bytes, points: int
    ) -> OpenAsk:
        """Open an ask; the oldest ones beyond `ASKS_OPEN_MAX` are over."""
        self._database.run("update courier_count set made = made + 1")
        ask = OpenAsk(self.made(), nonce, incarnation, receipt_id, card, points)
        self._database.run(
            f"insert into courier_ask ({_COLUMNS}) values (?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant columns
            ask.number, nonce, incarnation, receipt_id, card, points,
        )  # fmt: skip
        self._database.run(
            "delete from courier_ask where number <= ("
            "select number from courier_ask order by number desc limit 1 offset ?)",
            ASKS_OPEN_MAX,
        )
        return ask

    def made(self) -> int:
        """Return how many asks this journal ever opened."""
        row = self._database.row("select made from courier_count")
        assert row is not None
        assert isinstance(row[0], int)
        return row[0]

    def find(self, nonce: bytes) -> OpenAsk | None:
        """Return the open ask with this nonce."""
        row = self._database.row(
            f"select {_COLUMNS} from courier_ask where nonce = ?",  # noqa: S608 - constant columns
            nonce,
        )
        return OpenAsk(*row) if row else None  # type: ignore[arg-type]

    def of_receipt(self, receipt_id: str) -> list[OpenAsk]:
        """Return a receipt's open asks, the newest first."""
        rows = self._database.rows(
            f"select {_COLUMNS} from courier_ask where receipt_id = ? order by number desc",  # noqa: S608 - constant columns
            receipt_id,
        )
        return [OpenAsk(*row) for row in rows]  # type: ignore[arg-type]

    def open_nonces(self) -> tuple[bytes, ...]:
        """Return the nonces of all open asks, the oldest first."""
        rows = self._database.rows("select nonce from courier_ask order by number")
        return tuple(row[0] for row in rows)  # type: ignore[misc]

    def close(self, ask: OpenAsk) -> None:
        """End an ask: a grant was taken for it, or it is no longer wanted."""
        self._database.run("delete from courier_ask where number = ?", ask.number)

    def forget(self, cards: Sequence[bytes]) -> None:
        """End the asks for cards nobody is known by any more; HELLO says that they are over."""
        for card in cards:
            self._database.run("delete from courier_ask where card = ?", card)
