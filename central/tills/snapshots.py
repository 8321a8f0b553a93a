"""The accounts behind cards shown at tills, each beside which of the till's own records it holds.

In a database of one machine one statement reads both, of one moment. Where accounts are spread
(docs/growth.md) cards, accounts and streams are on different machines and no moment is theirs in
common: the till's streams are read before and after, until nothing of them was applied between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.tills.account_rows import snapshot_answer
from sync.messages import SnapshotAnswer

_SQL = load_queries("central.tills", "queries.sql")

_TRIES: Final = 3
"""After so many an answer goes out whose account may be some records older, or newer, than it says.
The feed brings the account at the till's next pull, and points are spent by rights alone."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A card shown at a till."""

    card: bytes
    till_id: int
    incarnation: bytes
    programme: str


async def read_together(pool: Pool, shown: Sequence[Shown]) -> list[SnapshotAnswer]:
    """Return the accounts by one statement; an answer without one where nobody is known."""
    rows = await pool.fetch(
        _SQL["snapshot_rows"],
        list(range(len(shown))),
        [each.card for each in shown],
        [each.till_id for each in shown],
        [each.incarnation for each in shown],
        [each.programme for each in shown],
    )
    found = {row["number"]: row for row in rows}
    return [
        snapshot_answer(found[number], found[number]["streams"], each.incarnation)
        if number in found
        else SnapshotAnswer()
        for number, each in enumerate(shown)
    ]


async def read_spread(pool: Pool, shown: Sequence[Shown]) -> list[SnapshotAnswer]:
    """Return the accounts by a statement for each kind of table."""
    rows = await pool.fetch(_SQL["accounts_of_cards"], sorted({each.card for each in shown}))
    accounts = {(row["card"], row["programme"]): row["account_id"] for row in rows}
    known = [each for each in shown if (each.card, each.programme) in accounts]
    tills = sorted({(each.till_id, each.incarnation) for each in known})
    before = await _streams(pool, tills)
    told: dict[tuple[int, bytes], asyncpg.Record] = {}
    for _ in range(_TRIES if known else 0):
        found = await pool.fetch(_SQL["account_rows"], sorted(set(accounts.values())))
        told = {(row["account_id"], row["card"]): row for row in found}
        after = await _streams(pool, tills)
        if after == before:
            break
        before = after
    answers = []
    for each in shown:
        row = told.get((accounts.get((each.card, each.programme), 0), each.card))
        streams = before.get((each.till_id, each.incarnation), "[]")
        answers.append(snapshot_answer(row, streams, each.incarnation) if row else SnapshotAnswer())
    return answers


async def _streams(pool: Pool, tills: Sequence[tuple[int, bytes]]) -> dict[tuple[int, bytes], str]:
    if not tills:
        return {}
    rows = await pool.fetch(
        _SQL["streams_shown"], [till_id for till_id, _ in tills], [link for _, link in tills]
    )
    return {(row["till_id"], row["incarnation"]): row["streams"] for row in rows}
