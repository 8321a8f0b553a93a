"""Records that wait for a card, a receipt or a transfer go on when it is there, or given up.

What brings it wakes them; here is what came just before a record was parked. Each kind is looked
for by itself: the three may be on different machines (docs/growth.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.streams.stored import wait_for_card

_SQL = load_queries("central.streams", "parked.sql")

NAMES_AT_ONCE: Final = 500


@dataclass(slots=True)
class Unparking:
    """Lets records be decided again whose cards, receipts or transfers are known by now.

    And those that were given up, which end with that (`central.streams.parked_queue`). Years of
    receipts may wait for cards nobody loads, and every batch of posting looks here first: so a look
    takes some names and the next one goes on behind them.
    """

    _after: str = ""

    async def look(self, pool: Pool) -> None:
        """Look at the next names that records wait for."""
        rows = await pool.fetch(_SQL["waited_for"], self._after, NAMES_AT_ONCE)
        names = [name for (name,) in rows]
        self._after = names[-1] if len(names) == NAMES_AT_ONCE else ""
        if not names:
            return
        await pool.execute(_SQL["unpark_given_up"], names)
        async with pool.acquire() as connection:
            found = await find_arrived(connection, names)
        if found:
            await pool.execute(_SQL["unpark"], found)


async def find_arrived(connection: Connection, waited_for: Iterable[str]) -> list[str]:
    """Return those of what records wait for that are there."""
    waits: dict[str, list[str]] = {"card": [], "transfer": [], "sale": []}
    for each in waited_for:
        kind, _, name = each.partition(":")
        waits[kind].append(name)
    found: list[str] = []
    if waits["card"]:
        cards = sorted({bytes.fromhex(name.partition(":")[0]) for name in waits["card"]})
        rows = await connection.fetch(_SQL["cards"], cards)
        known = {wait_for_card(row["card"].hex(), row["programme"]) for row in rows}
        found += [wait for name in waits["card"] if (wait := f"card:{name}") in known]
    for kind, statement in (("transfer", "transfers"), ("sale", "receipts")):
        if waits[kind]:
            rows = await connection.fetch(_SQL[statement], waits[kind])
            found += [f"{kind}:{name}" for (name,) in rows]
    return found
