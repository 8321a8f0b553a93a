"""Reads the centre's database beside the centre: the demo proves from rows, not from counters."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

from central.database.embedded import EmbeddedServer, start_embedded
from central.ledger.verify import LedgerProof, verify_ledger

_QUIET = """
select
  (select count(*) from inbox where not applied and parked_for is null)
  + (select count(*) from grant_wish w where till_id = any($1::bigint[]) and not exists (
      select 1 from right_grant g
      where g.account_id = w.account_id and g.state = 'open' and g.purpose = 'grant'
        and g.till_id <> w.till_id))
  + (select count(*) from right_grant g join till t using (till_id)
      where g.till_id = any($1::bigint[]) and g.state = 'open' and g.purpose = 'grant'
        and (not g.received or g.recalled) and g.incarnation = t.session_incarnation)
"""


class Books:
    """A synchronous view of the centre's database."""

    def __init__(self, centre_folder: Path) -> None:
        self._server: EmbeddedServer = start_embedded(centre_folder / "postgres")
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection[asyncpg.Record] = self._loop.run_until_complete(
            asyncpg.connect(self._server.dsn)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()
        self._server.stop()

    def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows of a query."""
        return self._loop.run_until_complete(self._connection.fetch(sql, *values))

    def value(self, sql: str, *values: object) -> Any:  # noqa: ANN401 - any column's type
        """Return the first value of a query."""
        return self._loop.run_until_complete(self._connection.fetchval(sql, *values))

    def unfinished(self, till_ids: Sequence[int]) -> int:
        """Count what the centre still has to do for itself and for these tills."""
        return int(self.value(_QUIET, list(till_ids)))

    def ledger_proof(self) -> LedgerProof:
        """Prove the ledger from its entries."""
        return self._loop.run_until_complete(verify_ledger(self._connection))
