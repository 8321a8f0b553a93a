"""What is left of shared counters as the centre knows it: for a calculation that gives nothing."""

from collections.abc import Iterable

from central.database.named_sql import load_queries
from central.database.pool import Connection
from loyalty.account import Allowance
from loyalty.counters import SharedCounter, code_uses
from loyalty.limits import POINTS_MAX

_SQL = load_queries("central.rights", "counters.sql")


async def read_allowance(connection: Connection, counters: Iterable[SharedCounter]) -> Allowance:
    """Return what nobody has used of some counters, whoever holds it.

    A till gives of what it holds alone; a calculation that records nothing asks whether there is
    anything to be had anywhere.
    """
    asked = {counter.name: counter for counter in counters}
    rows = await connection.fetch(_SQL["used_of"], list(asked))
    used = {row["name"]: row["used"] for row in rows}
    left = {
        name: min(max(counter.most - used.get(name, 0), 0), POINTS_MAX)
        for name, counter in asked.items()
    }
    prefix = code_uses("")
    used_codes = {
        row["name"].removeprefix(prefix): row["last_used"]
        for row in rows
        if row["name"].startswith(prefix) and not left[row["name"]]
    }
    return Allowance(left=left, used_codes=used_codes)
