"""A base of the release before: its rights, pool and receipts come through the migration whole."""

import asyncio
import shutil
from importlib import resources
from pathlib import Path

import asyncpg

from central.database.migrations import migrate
from central.database.pool import Connection, open_pool
from central.rights.exposure import read_exposure
from central.rights.planner import day_number

BEFORE = """
insert into store (store_id) values ('store-1'), ('store-2');
insert into till (store_id, slot, public_key, hardware, enrolled_at_ms) values ('store-1', '1', 'k', 'h', 0);
insert into till_stream (till_id, incarnation, incarnation_number, last_hash, opened_at_ms, risk_points_total,
    risk_points_settled) values (1, 'incarna1', 1, 'h', 0, 500, 200);
update risk_pool set funded = 1000, free = 660, budgets = 300, losses = 40;
insert into account (account_id, home_store, posted, held) values (7, 'store-1', 100, 60);
insert into store_interest values ('store-1', 7), ('store-2', 7);
insert into right_grant (account_id, grant_id, purpose, till_id, incarnation, session, points, outstanding, state,
    not_after_ms, body, issued_at_ms) values
    (7, 'held', 'grant', 1, 'incarna1', 's', 80, 60, 'open', 1, 'b', 0),
    (7, 'over', 'grant', 1, 'incarna1', 's', 50, 0, 'closed', 1, 'b', 0),
    (7, 'once', 'authorisation', 1, 'incarna1', 's', 10, 0, 'closed', 1, 'b', 0);
insert into inbox (till_id, incarnation, seq, hash, body, received_at_ms)
    select 1, 'incarna1', n, n::text::bytea, 'b', 0 from generate_series(1, 3) n;
insert into receipt (sale_key, account_id, arrival, till_id, store_id, moment, bundle, gross_minor, discount_minor,
    redeemed_minor, redeemed_points, paid_minor, earned_points, link_up, equal, calculation, posted_at_ms)
    select 's' || n, 7, n, 1, 'store-2', '', '', 0, 0, 0, 0, 0, 0, true, true, 'c',
           1741176000000 - n * 86400000::bigint * 60
    from generate_series(1, 3) n;
"""  # noqa: E501 - SQL


async def test_what_was_there_before_is_there_afterwards(
    empty_database: str, tmp_path: Path
) -> None:
    released = resources.files("central.database") / "migrations"
    for name in ("0001_pre_initial.sql", "0002_pre_account_counters.sql"):
        with resources.as_file(released / name) as file:
            shutil.copy(file, tmp_path)
    connection = await asyncpg.connect(empty_database)
    await migrate(connection, now_ms=0, folder=tmp_path)
    await connection.execute(BEFORE)
    assert "0003_pre_rights_life.sql" in await migrate(connection, now_ms=1)
    row = await connection.fetchrow("select * from till_rights")
    assert row is not None
    assert tuple(row) == (1, 60, None, None, 300, None)
    visit = await connection.fetchrow("select * from account_visit")
    assert visit is not None
    today = day_number("2025-03-05")
    assert (visit["store_id"], visit["last_day"]) == ("store-2", today - 60)
    # Three visits, 60, 120 and 180 days ago: seven eighths of one today.
    assert abs(visit["weight"] / 2 ** (today / 60) - 7 / 8) < 1e-9
    named = await connection.fetch("select store_id, named from store_interest order by store_id")
    assert [tuple(each) for each in named] == [("store-1", True), ("store-2", False)]
    await connection.close()
    pool = await open_pool(empty_database, connections_max=2)
    exposure = await read_exposure(pool)
    await pool.close()
    assert (exposure.points, exposure.risk_budgets, exposure.held) == (300, 300, 60)
    assert (exposure.pool.free, exposure.pool.exposures, exposure.pool.losses) == (660, 0, 40)


RIGHT = """
insert into right_grant (account_id, grant_id, purpose, till_id, incarnation, session, points, outstanding, state,
    not_after_ms, body, issued_at_ms, sale_key) values (7, $1, 'grant', 1, 'incarna1', 's', 10, 10, 'open', 1, 'b', 0, $2)
"""  # noqa: E501 - SQL


PLACES = """
insert into store (store_id) values ('store-1');
insert into till (store_id, slot, public_key, hardware, enrolled_at_ms) values ('store-1', '1', 'k', 'h', 0);
insert into account (account_id, posted, held) values (7, 50, 40), (8, 50, 40);
"""  # noqa: E501 - SQL


async def migrated_to(connection: Connection, folder: Path, last: str) -> None:
    """Run the files up to a number."""
    released = resources.files("central.database") / "migrations"
    for file in released.iterdir():
        if file.name.endswith(".sql") and file.name[:4] <= last:
            with resources.as_file(file) as path:
                shutil.copy(path, folder)
    await migrate(connection, now_ms=0, folder=folder)


async def test_a_right_made_or_moved_while_the_database_is_migrated_is_found_afterwards(
    empty_database: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(empty_database)
    await migrated_to(connection, tmp_path, "0024")
    await connection.execute(PLACES)
    await connection.execute(RIGHT, "moved", "")
    await connection.execute(RIGHT, "before", "sale of before")
    await migrated_to(connection, tmp_path, "0028")
    await connection.execute("update right_grant set account_id = 8 where grant_id = 'moved'")
    await connection.execute(RIGHT, "meanwhile", "sale of meanwhile")
    await migrated_to(connection, tmp_path, "9999")
    await connection.execute(RIGHT, "afterwards", "sale of afterwards")
    rows = await connection.fetch("select key, grant_id, account_id from right_place")
    await connection.close()
    rights = ("before", "meanwhile", "afterwards")
    assert {tuple(row) for row in rows} == {
        ("moved", "moved", 8),
        *((name, name, 7) for name in rights),
        *((f"sale:sale of {name}", name, 7) for name in rights),
    }


async def test_rights_are_granted_and_moved_while_those_from_before_are_copied(
    empty_database: str, tmp_path: Path
) -> None:
    copying, other = [await asyncpg.connect(empty_database) for _ in range(2)]
    await migrated_to(copying, tmp_path, "0028")
    await copying.execute(PLACES)
    await copying.execute(RIGHT, "moved", "")
    await copying.execute("delete from right_place")  # as of a right from before
    copy = resources.files("central.database") / "migrations" / "0029_pre_places_filled.sql"
    async with copying.transaction():
        await copying.execute(copy.read_text(encoding="utf-8"))
        await other.execute(RIGHT, "meanwhile", "")
        moving = asyncio.create_task(other.execute("update right_grant set account_id = 8"))
        while not await copying.fetchval("select exists (select from pg_locks where not granted)"):
            assert not moving.done()
    await moving
    rows = await copying.fetch("select key, account_id from right_place order by key")
    await copying.close()
    await other.close()
    assert [tuple(row) for row in rows] == [("meanwhile", 8), ("moved", 8)]


TILLS = """
insert into store (store_id) values ('store-1'), ('store-2');
insert into till (store_id, slot, public_key, hardware, enrolled_at_ms, revoked) values
    ('store-1', '1', 'a', 'h', 0, false), ('store-1', '2', 'b', 'h', 0, false), ('store-1', '1', 'c', 'h', 0, false),
    ('store-2', '1', 'd', 'h', 0, false), ('store-2', '1', 'e', 'h', 0, true);
"""  # noqa: E501 - SQL


async def test_a_machine_that_was_replaced_before_is_no_vault_any_more(
    empty_database: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(empty_database)
    await migrated_to(connection, tmp_path, "0059")
    await connection.execute(TILLS)
    await migrated_to(connection, tmp_path, "9999")
    rows = await connection.fetch("select till_id from till where is_vault order by till_id")
    await connection.close()
    assert [row["till_id"] for row in rows] == [2, 3, 4, 5]
