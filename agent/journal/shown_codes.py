"""One-time codes customers have shown at this till: each is of one receipt, for good."""

from collections.abc import Sequence
from typing import Final

from agent.journal.database import Database

STEPS_KEPT: Final = 20_160
"""A week: a code is good for minutes, and a till's clock may have been wrong."""


class ShownCodes:
    """Codes by account and step; changes happen inside a transaction of the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receipt_of(self, account_id: int, step: int) -> str:
        """Return the receipt a code was shown for; empty where it was shown for none."""
        row = self._database.row(
            "select receipt_id from shown_code where account_id = ? and step = ?", account_id, step
        )
        return str(row[0]) if row else ""

    def steps_of(self, receipt_id: str, step_min: int) -> list[int]:
        """Return the steps from one on of codes that were shown for a receipt."""
        rows = self._database.rows(
            "select step from shown_code where step >= ? and receipt_id = ?", step_min, receipt_id
        )
        return [int(row[0]) for row in rows]  # type: ignore[arg-type]

    def was_shown(self, receipt_id: str, account_id: int) -> bool:
        """Say whether a code of an account was shown for a receipt."""
        row = self._database.row(
            "select 1 from shown_code where receipt_id = ? and account_id = ?",
            receipt_id, account_id,
        )  # fmt: skip
        return row is not None

    def use(self, account_id: int, step: int, receipt_id: str) -> None:
        """Note that a code was shown for a receipt."""
        self._database.run(
            "insert into shown_code values (?, ?, ?) on conflict do nothing",
            account_id, step, receipt_id,
        )  # fmt: skip
        self._database.run("delete from shown_code where step < ?", step - STEPS_KEPT)

    def know_anybody(self) -> bool:
        """Say whether anybody's code was shown."""
        return self._database.row("select 1 from shown_code limit 1") is not None

    def forget(self, account_ids: Sequence[int]) -> None:
        """Forget which codes accounts have shown: none of theirs will be good again."""
        for account_id in account_ids:
            self._database.run("delete from shown_code where account_id = ?", account_id)
