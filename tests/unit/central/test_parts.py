"""Each part of the centre works under a role that may do what it needs, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from central.database import parts
from central.database.parts import PARTS, Part, grants, make_roles, role_of
from central.database.pool import Connection, Pool, open_pool
from tests.support.statements import as_text, derive

ROOT = Path(__file__).parents[3]
GRANTS = ROOT / "central" / "database" / "grants.txt"


@asynccontextmanager
async def acting_as(pool: Pool, part: Part) -> AsyncIterator[Connection]:
    """Give a connection as a part has it; what it does is undone."""
    async with pool.acquire() as connection:
        await make_roles(connection)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"set local role {role_of(part)}")
        yield connection
        await transaction.rollback()


async def test_grants_are_what_the_statements_need(
    pool: Pool, update_golden: bool
) -> None:  # fmt: skip
    async with pool.acquire() as connection:
        text = as_text(await derive(connection))
    if update_golden:
        GRANTS.write_text(text, encoding="utf-8")
        grants.cache_clear()
    assert GRANTS.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("part", PARTS)
async def test_nobody_changes_what_is_only_added_to(pool: Pool, part: Part) -> None:
    tables = await pool.fetch(
        "select distinct tgrelid::regclass::text from pg_trigger"
        " where tgfoid = 'refuse_change'::regproc"
    )
    names = {table for (table,) in tables}
    assert names >= {"ledger_entry", "ledger_posting", "ledger_seal", "audit", "rule_draft"}
    for table in names:
        for action in (f"delete from {table}", f"truncate {table}"):
            async with acting_as(pool, part) as connection:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(action)
        column = await pool.fetchval(
            "select attname from pg_attribute where attrelid = $1::text::regclass and attnum = 1",
            table,
        )
        async with acting_as(pool, part) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"update {table} set {column} = default")


@pytest.mark.parametrize("part", [part for part in PARTS if part != "personal"])
@pytest.mark.parametrize("table", ["customer", "contact", "consent"])
async def test_nobody_else_reads_peoples_data(pool: Pool, part: Part, table: str) -> None:
    async with acting_as(pool, part) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"select from personal.{table}")


@pytest.mark.parametrize(
    ("part", "action"),
    [
        ("front", "insert into ledger_entry (account_id, kind, subject, at_ms) values (1,'','',0)"),
        ("front", "select from ledger_posting"),
        ("front", "insert into card (card, account_id) values ('', 1)"),
        ("front", "insert into rule_release (version) values (1)"),
        ("front", "update receipt set paid_minor = 0"),
        ("front", "select from audit"),
        ("app", "update card set account_id = 1"),
        ("app", "select token_hash from person"),
        ("office", "update till set revoked = false"),
        ("office", "insert into receipt (sale_key) values ('')"),
        ("processing", "insert into person (name) values ('eve')"),
        ("processing", "insert into rule_draft (name) values ('eve')"),
        ("personal", "update account set posted = 1"),
        ("outreach", "select from account"),
        ("outreach", "select from receipt"),
        ("reader", "insert into audit (person) values ('')"),
        ("reader", "select from card"),
        ("reader", "create table mine ()"),
    ],
)
async def test_what_a_part_need_not_it_cannot(pool: Pool, part: Part, action: str) -> None:
    async with acting_as(pool, part) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(action)


async def test_what_was_granted_beside_the_file_is_taken_away(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await make_roles(connection)
        await connection.execute("grant update on ledger_entry to tillside_front")
        await parts.keep_up(connection, migrated=True)
    async with acting_as(pool, "front") as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("update ledger_entry set kind = kind")


async def test_a_pool_of_a_part_stays_in_its_role(database: str, pool: Pool) -> None:
    async with pool.acquire() as connection:
        assert not await parts.are_in_use(connection)
        await make_roles(connection)
        assert await parts.are_in_use(connection)
    front = await open_pool(database, role=role_of("front"))
    for _ in range(3):
        async with front.acquire() as connection:
            assert await connection.fetchval("select current_user") == "tillside_front"
            await connection.execute("reset role")  # and whatever else was set
            assert await connection.fetchval("select current_user") == "tillside_front"
    await front.close()
