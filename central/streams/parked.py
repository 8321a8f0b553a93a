"""Records that wait for a card, a receipt or a transfer go on when it is there.

What brings it wakes them; here is what came just before a record was parked. Each kind is looked
for by itself: the three may be on different machines (docs/growth.md).
"""

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.streams.stored import wait_for_card

_SQL = load_queries("central.streams", "parked.sql")


async def unpark_found(pool: Pool) -> None:
    """Let records be decided again whose cards, receipts or transfers are known by now."""
    waits: dict[str, list[str]] = {"card": [], "transfer": [], "sale": []}
    for (waited_for,) in await pool.fetch(_SQL["waited_for"]):
        kind, _, name = waited_for.partition(":")
        waits[kind].append(name)
    found: list[str] = []
    if waits["card"]:
        cards = sorted({bytes.fromhex(name.partition(":")[0]) for name in waits["card"]})
        rows = await pool.fetch(_SQL["cards"], cards)
        found += [wait_for_card(row["card"].hex(), row["programme"]) for row in rows]
    for kind, statement in (("transfer", "transfers"), ("sale", "receipts")):
        if waits[kind]:
            rows = await pool.fetch(_SQL[statement], waits[kind])
            found += [f"{kind}:{name}" for (name,) in rows]
    if found:
        await pool.execute(_SQL["unpark"], found)
