"""What a till may spend between two HELLOs, whoever's rights it holds (design: sync 4.11 to 4.13).

The cap bounds what a copy of its disk could spend a second time; the count of an account bounds
what one customer gets out of the risk budget while nobody hears of it. Neither looks at a clock.
"""

from collections.abc import Iterable
from typing import Final

from agent.journal.database import Database
from sync.records import Source

RISK_RECEIPTS_FREE: Final = 3
"""From here on the risk budget only serves who gets points from nowhere else."""
RISK_RECEIPTS_MAX: Final = 5


class OfflineLimits:
    """The counts of one till; kept in the journal's transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, points_max: int) -> None:
        """Begin a new count: the centre has greeted the till and told its cap."""
        self._database.run("update offline_limit set points_max = ?, points_spent = 0", points_max)
        self._database.run("delete from risk_use")

    def room(self) -> int:
        """Return how many points may still be taken from grants and risk budget.

        What receipts have reserved counts as spent.
        """
        row = self._database.row(
            "select points_max - points_spent - (select coalesce(sum(r.points), 0)"
            " from reservation r left join held_right h using (grant_id)"
            " where coalesce(h.purpose, 'risk') <> 'authorisation') from offline_limit"
        )
        assert row is not None
        assert isinstance(row[0], int)
        return max(0, row[0])

    def is_used(self) -> bool:
        """Say whether the count should begin anew soon: a quarter is spent, or any of the risk."""
        row = self._database.row(
            "select points_spent * 4 > points_max or exists(select 1 from risk_use)"
            " from offline_limit"
        )
        return row is not None and bool(row[0])

    def risk_is_open(self, account_id: int, *, others_gave: bool) -> bool:
        """Say whether a receipt of an account may take from the risk budget.

        Args:
            others_gave: the receipt has points from another source.
        """
        row = self._database.row("select receipts from risk_use where account_id = ?", account_id)
        receipts = row[0] if row else 0
        assert isinstance(receipts, int)
        return receipts < (RISK_RECEIPTS_FREE if others_gave else RISK_RECEIPTS_MAX)

    def count_given(self, points: int) -> None:
        """Count points given to a sibling: a copy of the disk could give them a second time."""
        if points:
            self._database.run("update offline_limit set points_spent = points_spent + ?", points)

    def count_receipt(self, receipt_id: str, sources: Iterable[Source]) -> None:
        """Count what a receipt is recorded with."""
        spent = [source for source in sources if source.kind != "authorisation"]
        self.count_given(sum(source.points for source in spent))
        if any(source.kind == "risk" for source in spent):
            self._database.run(
                "insert into risk_use select account_id, 1 from receipt where receipt_id = ?"
                " on conflict (account_id) do update set receipts = receipts + 1",
                receipt_id,
            )
