"""Each part of the centre works under a role that may do what it needs, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from central.database import parts
from central.database.opening import make_ready
from central.database.parts import PARTS, Part, grants, make_roles, role_of
from central.database.pool import Connection, Pool, Pools, open_pool
from central.errors import MigrationError
from central.ledger.sealing import seal_due
from central.people.birthdays import turn_birthdays
from central.people.tiers import tend_tiers
from central.privacy.customers import CustomerData, CustomerDesk
from central.privacy.erasing import ask_erasure, tend_erasures
from central.rights.issuing import RightsSettings
from central.rights.tending import tend
from central.rules.guarding import RuleGuard
from central.tills.feed import sweep, watch_epoch
from tests.support.centre import KEYS, PERSONAL_KEYS, JoinedCentre, Totals, joined_centre
from tests.support.statements import as_text, derive
from tests.support.till_probe import take

ROOT = Path(__file__).parents[3]
GRANTS = ROOT / "central" / "database" / "grants.txt"


@pytest_asyncio.fixture
async def bound(pool: Pool) -> Pool:
    """Give a database whose parts have their roles."""
    async with pool.acquire() as connection:
        await make_roles(connection)
    return pool


@asynccontextmanager
async def acting_as(pool: Pool, part: Part) -> AsyncIterator[Connection]:
    """Give a connection as a part has it; what it does is undone."""
    async with pool.acquire() as connection:
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


async def test_nobody_changes_what_is_only_added_to(bound: Pool) -> None:
    rows = await bound.fetch(
        "select distinct tgrelid::regclass::text as name, attname as first from pg_trigger"
        " join pg_attribute on attrelid = tgrelid and attnum = 1"
        " where tgfoid = 'refuse_change'::regproc"
    )
    names = {row["name"] for row in rows}
    assert names >= {"ledger_entry", "ledger_posting", "ledger_seal", "audit", "rule_draft"}
    for part in PARTS:
        for name, first in rows:
            for action in (
                f"delete from {name}",
                f"truncate {name}",
                f"update {name} set {first} = default",
            ):
                async with acting_as(bound, part) as connection:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.execute(action)


@pytest.mark.parametrize("part", [part for part in PARTS if part != "personal"])
async def test_nobody_else_reads_peoples_data(bound: Pool, part: Part) -> None:
    for table in ("customer", "contact", "consent"):
        async with acting_as(bound, part) as connection:
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
        ("outreach", "update receipt set paid_minor = 0"),
        ("reader", "insert into audit (person) values ('')"),
        ("reader", "select from card"),
        ("reader", "create table mine ()"),
    ],
)
async def test_what_a_part_need_not_it_cannot(bound: Pool, part: Part, action: str) -> None:
    async with acting_as(bound, part) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(action)


async def test_what_an_older_release_may_is_taken_away_when_it_is_gone(
    bound: Pool, database: str
) -> None:
    may = "select has_table_privilege('tillside_front', 'ledger_entry', 'update')"
    await bound.execute("grant update on ledger_entry to tillside_front")
    async with bound.acquire() as connection:
        await parts.keep_up(connection, migrated=True)
        await make_roles(connection)
    assert await bound.fetchval(may)
    assert await make_ready(database, now_ms=0, contracting=True)
    assert not await bound.fetchval(may)
    async with acting_as(bound, "front") as connection:
        await connection.execute("select from till")


async def test_an_older_release_takes_nothing_away_whatever_it_is_told(
    bound: Pool, database: str
) -> None:
    await bound.execute("create table newer (); grant select on newer to tillside_app")
    await bound.execute("insert into migration values ('9999_pre_newer.sql', '', 0)")
    with pytest.raises(MigrationError, match="newer release"):
        await make_ready(database, now_ms=0, contracting=True)
    assert await bound.fetchval("select has_table_privilege('tillside_app', 'newer', 'select')")


@pytest.mark.parametrize("is_ahead", [True, False])
async def test_an_older_release_that_starts_again_takes_nothing_from_the_newer_one(
    bound: Pool, *, is_ahead: bool
) -> None:
    await bound.execute("create table newer (); grant select on newer to tillside_app")
    await bound.execute("revoke select on card from tillside_app")
    await bound.execute("update setting set value = '' where name = 'database_roles'")
    if is_ahead:
        await bound.execute("insert into migration values ('9999_pre_newer.sql', '', 0)")
    async with bound.acquire() as connection:
        await parts.keep_up(connection, migrated=False)
    may = "select has_table_privilege('tillside_app', $1, 'select')"
    assert await bound.fetchval(may, "newer")
    assert await bound.fetchval(may, "card") is not is_ahead


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


@pytest_asyncio.fixture
async def split(bound: Pool, database: str) -> AsyncIterator[JoinedCentre]:
    """Give a centre whose parts work each under its role."""
    pools = [
        await open_pool(database, connections_max=2, role=role_of(part))
        for part in ("front", "app", "office", "processing", "personal", "outreach")
    ]
    async with joined_centre(bound, pools=Pools(*pools)) as centre:
        yield centre
    for pool in pools:
        await pool.close()


async def test_a_purchase_goes_through_all_parts(split: JoinedCentre) -> None:
    await split.customer(7, 300, card="seven", home="store-1")
    till = await split.till(is_vault=True)
    await till.push()
    await till.pull()
    (earned,) = (await split.post(till, till.sale("one", account=7, card="seven")))[-1:]
    assert earned.outcome == "accepted"
    granted = await till.authorise("two", 7, 50)
    sources = [take(each) for each in granted.authorisations]
    sale = till.sale("two", account=7, card="seven", sources=sources)
    (paid,) = (await split.post(till, sale))[-1:]
    assert paid.outcome == "accepted"
    await split.post(till, till.refund("back", "one"))
    assert await split.totals(7) != Totals(300)


async def test_what_goes_on_behind_goes_on_under_its_role(split: JoinedCentre) -> None:
    behind, now_ms = split.parts.behind, split.system.now_ms()
    await split.customer(7, 300, card="seven", home="store-1")
    await turn_birthdays(behind, now_ms=now_ms, days=7)
    await tend(behind, now_ms=now_ms, settings=RightsSettings())
    assert await watch_epoch(behind, now_ms=now_ms) in (True, False)
    await sweep(behind, now_ms=now_ms)
    await tend_tiers(behind, now_ms=now_ms)
    seal = await seal_due(behind, KEYS.centre, now_ms=now_ms + 86_400_000)
    assert seal is not None
    await RuleGuard(behind, split.system).look()
    assert split.pools is not None
    people = CustomerDesk(split.pools.personal, PERSONAL_KEYS, split.system)
    await people.put(7, CustomerData(name="Anna"), person="ann")
    await ask_erasure(people, 7, reason="asked", person="ann")
    assert (await tend_erasures(behind, now_ms=now_ms)).emptied == 1


async def test_who_is_bound_to_a_part_serves_and_changes_no_schema(
    bound: Pool, database: str
) -> None:
    dsn = f"{database}{'&' if '?' in database else '?'}role={role_of('front')}"
    assert await make_ready(dsn, now_ms=0)
    await bound.execute("delete from migration where name = (select max(name) from migration)")
    with pytest.raises(MigrationError, match="run tillside-central migrate as its owner"):
        await make_ready(dsn, now_ms=0)


async def test_a_database_without_roles_goes_on_without(pool: Pool, database: str) -> None:
    assert not await make_ready(database, now_ms=0)
    async with pool.acquire() as connection:
        assert not await parts.are_in_use(connection)
    assert await make_ready(database, now_ms=0, with_roles=True)
    assert await make_ready(database, now_ms=0)


async def test_a_copy_put_back_without_privileges_gets_them_again(
    bound: Pool, database: str
) -> None:
    await bound.execute("revoke all on all tables in schema public from tillside_front")
    assert await make_ready(database, now_ms=0)
    async with acting_as(bound, "front") as connection:
        await connection.execute("select from till")
