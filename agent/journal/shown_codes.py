"""One-time codes customers have shown at this till: each is of one receipt, for good."""

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

    def account_of(self, receipt_id: str) -> int:
        """Return whose code was shown for a receipt last; 0 for nobody's."""
        row = self._database.row(
            "select account_id from shown_code where receipt_id = ? order by step desc", receipt_id
        )
        return int(row[0]) if row else 0  # type: ignore[arg-type]

    def use(self, account_id: int, step: int, receipt_id: str) -> None:
        """Note that a code was shown for a receipt."""
        self._database.run(
            "insert into shown_code values (?, ?, ?) on conflict do nothing",
            account_id, step, receipt_id,
        )  # fmt: skip
        self._database.run("delete from shown_code where step < ?", step - STEPS_KEPT)
