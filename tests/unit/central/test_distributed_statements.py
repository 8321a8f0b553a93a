"""Statements as Citus would have them: none it refuses, none that asks machine after machine."""

import re

import asyncpg
import pytest

from central.database.spreading import spread_tables
from tests.support.distributed import RULES, catalogue, refusals
from tests.support.statements import every_statement

ONE_MACHINE = {("central/tills/snapshots.py", "snapshot_rows")}
"""Never asked where accounts are spread: another statement of the module stands for it there."""

_QUERY = re.compile(r"(--[^\n]*\n\s*)*(select|insert|update|delete|with)\b", re.IGNORECASE)


async def _broken(dsn: str, *statements: str) -> list[set[str]]:
    connection = await asyncpg.connect(dsn)
    try:
        if await spread_tables(connection):
            pytest.skip("keys and triggers of one machine's database are looked at")
        known = await catalogue(connection)
        return [await refusals(connection, known, sql) for sql in statements]
    finally:
        await connection.close()


async def test_no_statement_of_the_centre_is_one_that_citus_refuses(database: str) -> None:
    queries = {
        each.sql: f"{each.module}: {each.name}"
        for each in every_statement()
        if _QUERY.match(each.sql) and (each.module, each.name) not in ONE_MACHINE
    }
    assert len(queries) > 500
    found = await _broken(database, *queries)
    assert {name: each for name, each in zip(queries.values(), found, strict=True) if each} == {}


REFUSED = {
    "moves: lot": "update lot set account_id = $2 where account_id = $1",
    "moves: right_grant": """
        insert into right_grant select * from right_grant where account_id = $1
        on conflict (account_id, grant_id) do update set account_id = 7""",
    "joins: account, card": """
        select a.posted from card c join account a using (account_id) where c.card = $1""",
    "joins: lot, receipt": """
        select (select sum(l.available) from lot l where l.account_id = r.account_id)
        from receipt r where r.sale_key = $1""",
    "joins: account": """
        select b.posted from account a join account b on b.account_id = a.merged_into
        where a.account_id = $1""",
    "joins: account, lot": """
        select 1 from account a, lot l where a.account_id = any($1::bigint[]) and l.lot_id = $2""",
    "joins: account, account_card, account_counter, card, lot": """
        select a.points from card c join account_told a using (account_id) where c.card = $1""",
    "locks: account": "select posted from account where account_id = any($1::bigint[]) for update",
    "locks: right_grant": """
        with late as (
            select account_id, grant_id from right_grant where state = 'open' limit $1
            for update skip locked)
        update right_grant r set state = 'frozen' from late
        where r.account_id = late.account_id and r.grant_id = late.grant_id""",
    "locks: grant_wish": """
        select w.account_id from grant_wish w join till t using (till_id)
        where w.account_id = $1 for update of w""",
    "does: pg_notify": """
        select pg_notify('tillside_wake', store_id) from store_interest where account_id = $1""",
    "does: note_blocked_card": """
        select note_blocked_card(card, '', true) from account_card where account_id = $1""",
    "looks up: till": """
        select account_id from account a where exists (
            select from till t where t.store_id = a.home_store and t.is_vault)""",
    "looks up: inbox": """
        select sale_key from receipt r where r.sale_key = $1
            and not exists (select from inbox i where i.arrival = r.arrival)""",
    "place: app_session": """
        delete from app_session where ctid in (select ctid from app_session limit 20)""",
    "key: right_grant": """
        insert into right_grant select * from right_grant where account_id = $1
        on conflict do nothing""",
    "key: refund": """
        insert into refund select * from refund where sale_key = $1
        on conflict (refund_key) do nothing""",
}


@pytest.mark.parametrize("said", REFUSED)
async def test_what_citus_refuses_is_found(database: str, said: str) -> None:
    assert said.partition(":")[0] in RULES
    assert said in (await _broken(database, REFUSED[said]))[0]


ALLOWED = (
    # Of one account, by whatever the column is equal to.
    (
        "select l.points from right_grant g join right_grant_lot l using (account_id, grant_id)"
        " where g.account_id = $1 for update of l"
    ),
    (
        "select sum(available) from lot where account_id in ("
        " select account_id from account where account_id = any($1::bigint[]) and debt > 0)"
    ),
    # A statement's parts, each asked for by itself.
    (
        "select posted from account where account_id = ("
        " select account_id from card where card = $1 and programme = '')"
    ),
    (
        "with gone as (delete from card where account_id = $1 returning card)"
        " insert into erased_card (card, account_id, number) select card, $1, $2 from gone"
    ),
    # Tables of the coordinator beside one that is spread; what is on every machine.
    "select g.grant_id from right_grant g join till t using (till_id) where t.revoked",
    "select r.sale_key, s.region from receipt r join store s using (store_id)",
    "update lot set available = available - 1 where account_id = $1 and lot_id = $2",
    (
        "insert into account_visit (account_id, store_id, weight, last_day) values ($1, $2, 1, 1)"
        " on conflict (account_id, store_id) do update set weight = excluded.weight"
    ),
    "select pg_notify('tillside_wake', whom) from unnest($1::text[]) as w (whom)",
)


@pytest.mark.parametrize("sql", ALLOWED)
async def test_what_citus_does_is_left_alone(database: str, sql: str) -> None:
    assert await _broken(database, sql) == [set()]
