"""What a batch of receipts draws on limits over all customers, out of the grants of their tills."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.account_books import columns
from loyalty.counters import code_uses, ends_on
from sync.records import CounterDrawn

_SQL = load_queries("central.rights", "shared_books.sql")
_CODE = code_uses("")


@dataclass(slots=True)
class _CounterGrant:
    grant_id: str
    counter: str
    till_id: int
    outstanding: int
    taken: int = 0


class SharedBooks:
    """Grants of shared counters that records of a batch use; counters are written in order."""

    def __init__(self) -> None:
        self._grants: dict[str, _CounterGrant] = {}
        self._overdrawn: dict[str, int] = {}
        self._used_at: dict[str, str] = {}

    async def read(self, connection: Connection, grant_ids: Iterable[str]) -> None:
        """Lock and read grants."""
        wanted = sorted(set(grant_ids))
        for row in await connection.fetch(_SQL["lock_grants"], wanted) if wanted else ():
            self._grants[row["grant_id"]] = _CounterGrant(*row)

    def use(
        self,
        *,
        till_id: int,
        drawn: Iterable[CounterDrawn],
        counted: Mapping[str, int],
        used_at: str,
    ) -> bool:
        """Take what a receipt draws out of its till's grants; call it once for a sale key.

        A receipt is a fact: what no grant covers is counted beside.

        Args:
            counted: what the receipt says, by shared counter.
            used_at: `MOMENT store NAME`, kept for codes.

        Returns:
            Whether more was drawn than had been set aside.
        """
        missing = dict(counted)
        for each in sorted(drawn, key=lambda one: one.grant_id):
            grant = self._grants.get(each.grant_id)
            # In a fact the till speaks of whatever incarnation of it had the right.
            if grant is None or grant.till_id != till_id:
                continue
            if missing.get(grant.counter, -1) < each.amount:
                continue
            taken = min(grant.outstanding, each.amount)
            grant.outstanding -= taken
            grant.taken += taken
            missing[grant.counter] -= taken
        for name in sorted(counted):
            if missing[name]:
                self._overdrawn[name] = self._overdrawn.get(name, 0) + missing[name]
            if name.startswith(_CODE):
                self._used_at[name] = max(self._used_at.get(name, ""), used_at)
        return any(missing.values())

    async def write(self, connection: Connection) -> None:
        """Write grants, then counters, each in their order."""
        used = [
            (each.grant_id, each.taken) for _, each in sorted(self._grants.items()) if each.taken
        ]
        if used:
            await connection.execute(_SQL["use"], *columns(used))
        over = [(name, points, ends_on(name)) for name, points in sorted(self._overdrawn.items())]
        if over:
            await connection.execute(_SQL["overdraw"], *columns(over))
        if self._used_at:
            await connection.execute(_SQL["note_used"], *columns(sorted(self._used_at.items())))
