"""The feed under writers that commit late, roll back and take numbers early: none lost, none twice.

`python -m bench.feed` is the same at length.
"""

from bench.feed import ById, Reader, run


async def test_no_committed_row_is_lost_or_told_twice_and_a_plain_cursor_loses(
    database: str,
) -> None:
    found = await run(database, rows=3_000, writers=16, readers=2, seed=1)
    assert found.committed >= 3_000
    assert found.lost[Reader.name] == found.duplicated[Reader.name] == 0
    assert found.lost[ById.name] > 0
