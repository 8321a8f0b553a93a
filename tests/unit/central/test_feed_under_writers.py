"""The feed under writers that commit late, roll back and take numbers early: none lost, none twice.

`python -m bench.feed` is the same at length.
"""

import asyncpg

from bench.feed import SCOPE, ById, Reader, SortedAsText, run


async def test_no_committed_row_is_lost_or_told_twice_and_a_plain_cursor_loses(
    database: str,
) -> None:
    found = await run(database, rows=3_000, writers=16, readers=2, seed=1)
    assert found.committed >= 3_000
    assert found.lost[Reader.name] == found.duplicated[Reader.name] == 0
    assert found.lost[ById.name] > 0


async def test_numbers_of_transactions_are_no_texts(database: str) -> None:
    """S6: `order by xid` sorts the column that is put out, where 100 stands before 99."""
    connection = await asyncpg.connect(database)
    try:
        for row, xid in enumerate((98, 99, 100, 101)):
            await connection.execute(
                "insert into feed (scope, account_id, xid) values ($1, $2, $3::text::xid8)",
                SCOPE, row, str(xid),
            )  # fmt: skip
        reader, naive = Reader(), SortedAsText()
        for each in (reader, naive):
            for _ in range(4):
                await each.poll(connection)
    finally:
        await connection.close()
    assert dict(reader.seen) == dict.fromkeys(range(4), 1)
    assert max(naive.seen.values()) > 1
