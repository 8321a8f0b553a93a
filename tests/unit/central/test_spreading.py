"""Accounts spread by account: a purchase touches one partition, whoever's statement it is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from central.database.pool import Connection
from central.database.spreading import GROUPS, REPLICATED, find_obstacles, spread, spread_tables
from central.ledger.card_moves import move_card
from central.ledger.merging import merge_accounts, undo_merge
from central.rights.blocking import set_blocked
from central.tills.listening import CHANNEL
from sync.cycle import PATH_SNAPSHOT
from sync.messages import SnapshotAnswer, SnapshotRequest
from tests.support.centre import STORE, JoinedCentre, joined_centre
from tests.support.command_line import Ended, central
from tests.support.explained import Explained, Explanations, explained_pool
from tests.support.outside import program
from tests.support.postgres import STAND_IN, spread_in_partitions
from tests.support.till_probe import take

# asyncpg says so when a connection goes back to its pool.
pytestmark = pytest.mark.filterwarnings("ignore:.*log listener:asyncpg.InterfaceWarning")

BY_ACCOUNT = set(GROUPS[0].tables)
MANY = 20_000


@dataclass(slots=True)
class _Scene:
    centre: JoinedCentre
    heard: Explanations
    connection: Connection

    async def partition_of(self, account_id: int) -> int:
        """Return the partition of an account."""
        name: str = await self.connection.fetchval(
            "select tableoid::regclass::text from account where account_id = $1", account_id
        )
        return int(name.rpartition("_p")[2])

    async def partition_of_new(self, account_id: int) -> int:
        """Add a customer; return the partition of the account."""
        await self.centre.customer(account_id, 50)
        return await self.partition_of(account_id)


@pytest_asyncio.fixture
async def scene(database: str) -> AsyncIterator[_Scene]:
    """Give a centre over partitions with so many accounts that no planner reads them all."""
    if "citus_stand_in" not in await _asked(database, "show search_path"):
        await _skip_if_spread(database)
        await spread_in_partitions(database)
    connection = await asyncpg.connect(database)
    async with explained_pool(database) as (pool, heard), joined_centre(pool) as centre:
        await _fill(connection)
        yield _Scene(centre, heard, connection)
    await connection.close()


async def _asked(dsn: str, sql: str) -> str:
    connection = await asyncpg.connect(dsn)
    answer: str = await connection.fetchval(sql)
    await connection.close()
    return answer


async def _skip_if_spread(dsn: str) -> None:
    """Leave a database alone that stands spread already, on a Citus or in partitions."""
    connection = await asyncpg.connect(dsn)
    tables = await spread_tables(connection)
    await connection.close()
    if tables:
        pytest.skip("the tests' databases are spread already")


async def _fill(connection: Connection) -> None:
    """Add customers with a card and a lot each, as loading would."""
    await connection.execute(
        "insert into account (account_id, posted) select 1000 + n, 50"
        " from generate_series(1, $1::int) n",
        MANY,
    )
    await connection.execute(
        """
        insert into card (card, account_id) select sha256(account_id::text::bytea), account_id
            from account where account_id > 1000;
        insert into account_card (account_id, card) select account_id, card from card
            on conflict do nothing;
        with made as (
            insert into lot (account_id, name, active_from, issued, available)
            select account_id, 'opening', '2025-01-01', 50, 50 from account where account_id > 1000
            returning account_id, lot_id
        ), entries as (
            insert into ledger_entry (account_id, kind, subject, at_ms)
            select account_id, 'opened', 'opening', 0 from made returning account_id, entry_id
        )
        insert into ledger_posting (account_id, entry_id, leg, ledger_account, lot_id, points)
        select account_id, entry_id, leg, case leg when 1 then 'member' else 'opening' end,
            case leg when 1 then lot_id else 0 end, case leg when 1 then 50 else -50 end
        from made join entries using (account_id) cross join generate_series(1, 2) leg;
        analyze account; analyze card; analyze account_card; analyze lot; analyze ledger_entry;
        analyze ledger_posting;
        """
    )


def _beyond(
    statements: list[Explained], own: set[int], *, keys_max: int = 1
) -> list[tuple[str, dict[str, set[int]]]]:
    """Return the statements that touched another account's partition, or more than they have keys.

    Args:
        own: partitions of the accounts.
        keys_max: so many receipts, cards and rights the statement may be about.
    """
    return [
        (each.text, each.partitions)
        for each in statements
        if any(
            not found <= own if table in BY_ACCOUNT else len(found) > keys_max
            for table, found in each.partitions.items()
        )
    ]


async def test_every_statement_of_a_purchase_touches_one_partition(scene: _Scene) -> None:
    centre, heard = scene.centre, scene.heard
    till = await centre.till()
    await centre.customer(7, 300, card="4007")
    own = {await scene.partition_of(7)}
    heard.take()
    seen: set[str] = set()
    for number in range(8):  # from the sixth time on a prepared statement's plan is a general one
        request = SnapshotRequest(card=till.card("4007"))
        answer = await till.ask(PATH_SNAPSHOT, request, SnapshotAnswer)
        assert answer.account is not None
        (right,) = (await till.authorise(f"s{number}", 7, 20)).authorisations
        sale = till.sale(f"s{number}", account=7, sources=[take(right)])
        assert [each.outcome for each in await centre.post(till, sale)] == ["accepted"]
        statements = heard.take()
        # A right is found by its number and by its receipt: two keys of one look-up.
        of_rights = [each for each in statements if "right_place" in each.partitions]
        assert _beyond([each for each in statements if each not in of_rights], own) == []
        assert _beyond(of_rights, own, keys_max=2) == []
        seen |= {table for each in statements for table in each.partitions}
    assert seen >= {
        "account", "lot", "right_grant", "right_grant_lot", "right_place", "card", "account_card",
        "account_counter", "receipt", "account_visit", "store_interest",
    }  # fmt: skip


async def test_a_batch_touches_the_partitions_of_its_accounts(scene: _Scene) -> None:
    centre, heard = scene.centre, scene.heard
    till = await centre.till(is_vault=True)
    places: dict[int, int] = {}
    for account_id in range(1, 60):
        await centre.customer(account_id, 300, home=STORE)
        places[account_id] = await scene.partition_of(account_id)
    one = places[1]
    chosen = [account_id for account_id, place in places.items() if place == one][:4]
    chosen.append(next(account_id for account_id, place in places.items() if place != one))
    answer = await till.pull()
    rights = {each.account_id: each for each in answer.grants}
    await till.push()
    await centre.apply()  # what the till took down
    for number in range(8):
        for account_id in chosen:
            source = take(rights[account_id], 5)
            sale = till.sale(f"s{number}/{account_id}", account=account_id, sources=[source])
            till.append(sale)
        heard.take()
        await till.push()
        await centre.apply()
        statements = heard.take()
        own = {places[account_id] for account_id in chosen}
        assert len(own) == 2
        assert _beyond(statements, own, keys_max=2 * len(chosen)) == []
        changed = [each for each in statements if each.text.startswith("update account a")]
        assert [each.partitions["account"] for each in changed] == [own]
    assert {each.outcome for each in (await centre.outcomes(till)).values()} == {"accepted"}


EVERY_MACHINE = {
    "a pull": {"grant_wish", "right_grant"},
    "account": set[str](),
    "lots": set[str](),
    "receipts": {"receipt", "refund"},
    "receipts/s1": set[str](),
    "offers": {"offer_to_activate"},
}
"""A till's pull and calls of the app: the tables each asks every machine for (docs/growth.md)."""


async def test_what_else_is_asked_often_touches_one_partition_but_for_what_is_named(
    scene: _Scene,
) -> None:
    centre, heard = scene.centre, scene.heard
    till = await centre.till()
    await centre.customer(7, 300, card="4007", home=STORE)
    sales = [till.sale(f"s{number}", account=7) for number in range(20)]
    await centre.post(till, *sales, till.refund("r1", sales[1].key))
    headers = await (await program(centre, "app", "app")).headers(card="4007")
    own = {await scene.partition_of(7)}

    async def ask(call: str) -> None:
        if call == "a pull":
            await till.pull()
            return
        answer = await centre.http.get(f"/v1/app/{call}", headers=headers)
        assert answer.status_code == 200, answer.text

    asked: dict[str, set[str]] = {call: set() for call in EVERY_MACHINE}
    for call, found in asked.items():
        for _ in range(8):
            heard.take()
            await ask(call)
            for _, partitions in _beyond(heard.take(), own):
                found |= {table for table, places in partitions.items() if not places <= own}
    assert asked == EVERY_MACHINE


async def test_what_spread_tables_cannot_have_is_named_and_taken_away(database: str) -> None:
    await _skip_if_spread(database)
    connection = await asyncpg.connect(database)
    obstacles = await find_obstacles(connection)
    assert {each.name for each in obstacles if each.kind == "unique key"} == {
        "refund_pkey", "right_grant_by_ask", "right_grant_by_id", "right_transfer_by_id",
    }  # fmt: skip
    assert {each.name for each in obstacles if each.kind == "trigger"} >= {
        "right_grant_of_till", "right_grant_placed", "card_of_account", "ledger_entry_append_only",
    }  # fmt: skip
    await connection.close()
    await spread_in_partitions(database)
    connection = await asyncpg.connect(database)
    assert await find_obstacles(connection) == []
    assert set(await spread_tables(connection)) == {
        *REPLICATED,
        *(table for group in GROUPS for table in group.tables),
    }
    again = await spread(connection)
    assert (again.tables, again.obstacles) == ((), ())
    await connection.close()


async def test_whatever_is_kept_by_account_is_spread(database: str) -> None:
    """A new table whose key begins with the account belongs into the layout."""
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(
        "select t.relname from pg_index x join pg_class t on t.oid = x.indrelid"
        " join pg_attribute a on a.attrelid = t.oid and a.attnum = x.indkey[0]"
        " where x.indisprimary and a.attname = 'account_id' and not t.relispartition"
        " and t.relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    assert {row["relname"] for row in rows} <= BY_ACCOUNT


async def test_the_command_spreads_and_says_what_went(database: str, tmp_path: Path) -> None:
    await _skip_if_spread(database)
    connection = await asyncpg.connect(database)
    refused = await asyncio.to_thread(_migrate_citus, database, tmp_path)
    assert refused.code == 78
    assert "has no Citus" in refused.complained
    await connection.execute(STAND_IN)
    name = await connection.fetchval("select current_database()")
    await connection.execute(f'alter database "{name}" set search_path = public, citus_stand_in')
    await connection.close()
    done = await asyncio.to_thread(_migrate_citus, database, tmp_path)
    assert done.code == 0, done.complained
    assert "without its unique key right_grant_by_id: right_grant" in done.said
    again = await asyncio.to_thread(_migrate_citus, database, tmp_path)
    assert "nothing new" in again.said


def _migrate_citus(dsn: str, data: Path) -> Ended:
    return central("migrate", "--citus", "--data", data, "--database", dsn)


async def test_a_centre_over_partitions_keeps_its_books(scene: _Scene) -> None:
    """Grants, their residue, a refund and a moved card: each has its rows in order."""
    centre = scene.centre
    till = await centre.till(is_vault=True)
    await centre.customer(7, 300, card="4007", home=STORE)
    await centre.customer(8)
    (right,) = (await till.pull()).grants
    held = "select outstanding from till_rights where till_id = $1"
    assert await centre.pool.fetchval(held, till.till_id) == right.points
    sale = till.sale("s1", account=7, sources=[take(right, 40)])
    outcomes = await centre.post(till, sale, till.give_back(right, 60), till.refund("r1", sale.key))
    assert [(each.outcome, each.reason) for each in outcomes] == [("accepted", "")] * 3
    assert await centre.pool.fetchval(held, till.till_id) == right.points - 100
    card = till.card("4007")
    await move_card(
        centre.pool, card, 8, person="anna", reason="found", now_ms=centre.system.now_ms()
    )
    answer = await till.ask(PATH_SNAPSHOT, SnapshotRequest(card=card), SnapshotAnswer)
    assert answer.account is not None
    assert answer.account.snapshot.account_id == 8


async def test_what_triggers_do_in_one_database_statements_do_over_partitions(
    scene: _Scene,
) -> None:
    """A till that holds points hears that they are asked back, its store and others of a block."""
    centre, heard = scene.centre, set[object]()
    await scene.connection.add_listener(CHANNEL, lambda *heard_of: heard.add(heard_of[3]))
    till = await centre.till(is_vault=True)
    await centre.customer(7, 300, card="4007", home=STORE)
    assert len((await till.pull()).grants) == 1
    for blocked in (True, False):
        async with centre.pool.acquire() as connection, connection.transaction():
            assert await set_blocked(connection, 7, blocked=blocked)
        listed = await scene.connection.fetch("select card from blocked_card where is_blocked")
        assert [card for (card,) in listed] == ([till.card("4007")] if blocked else [])
        expected = {f"store:{STORE}", *([f"till:{till.till_id}"] if blocked else [])}
        assert heard == expected
        heard.clear()
    await centre.customer(7, card="4008")
    row = "select count(*) from account_card where account_id = 7"
    assert await scene.connection.fetchval(row) == 2


async def test_accounts_become_one_and_two_again_over_partitions(scene: _Scene) -> None:
    centre = scene.centre
    till = await centre.till(is_vault=True)
    await centre.customer(7, 300, card="4007", home=STORE)
    here, other = await scene.partition_of(7), 8
    while await scene.partition_of_new(other) == here:
        other += 1
    (right,) = (await till.pull()).grants
    held = "select outstanding from till_rights where till_id = $1"
    now_ms = centre.system.now_ms()
    done = await merge_accounts(
        centre.pool, 7, other, person="ann", reason="one customer", now_ms=now_ms
    )
    assert (done.points, done.held, done.cards) == (300, 300, 1)
    assert await centre.pool.fetchval(held, till.till_id) == 300
    sale = till.sale("s1", account=7, sources=[take(right, 40)])
    assert [each.outcome for each in await centre.post(till, sale)] == ["accepted"]
    assert await centre.pool.fetchval(held, till.till_id) == 260
    back = await undo_merge(centre.pool, done.merge_id, person="bob", now_ms=now_ms)
    assert (back.points, back.held, back.spent, back.cards) == (260, 260, 40, 1)
    place = "select account_id from right_place where key = $1"
    assert await centre.pool.fetchval(place, right.grant_id) == 7
    assert await centre.pool.fetchval(held, till.till_id) == 260
