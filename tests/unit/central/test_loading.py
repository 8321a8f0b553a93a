"""Loading customers: a bad line is named, a repeat changes nothing, no card number is stored."""

import asyncio
import json

import msgspec
import pytest

from central.access.personal_offers import activate
from central.access.sessions import Customer
from central.errors import BadRequestError
from central.ledger.books import lock_account
from central.people.loading import Loaded, load_lines
from central.programmes.registry import add_programme, give_banner
from central.rights.blocking import set_blocked
from sync.limits import ACCOUNT_OFFERS_MAX, ACCOUNT_SEGMENTS_MAX
from sync.signing import card_hash
from tests.support.centre import KEYS, JoinedCentre, LotState, Totals

ACCOUNT = {
    "kind": "account",
    "account_id": 7,
    "home_store": "store-1",
    "cards": ["4000 0001"],
    "tier": "gold",
    "segments": ["baby", "pets"],
    "lots": [
        {"points": 100, "active_from": "2025-01-01", "expires_on": "2025-12-31"},
        {"points": 20, "active_from": "2025-01-01", "name": "gift", "restriction": "dairy"},
    ],
}


async def load(centre: JoinedCentre, *lines: bytes) -> Loaded:
    return await load_lines(centre.pool, lines, card_key=KEYS.card_key, system=centre.system)


async def test_a_customer_arrives_with_cards_lots_and_an_entry(centre: JoinedCentre) -> None:
    assert await centre.load(ACCOUNT) == Loaded(accounts=1)
    assert await centre.totals(7) == Totals(120)
    assert await centre.lots(7) == [LotState(100), LotState(20)]
    row = await centre.pool.fetchrow("select tier, segments, home_store, debt from account")
    assert row is not None
    assert tuple(row) == ("gold", ["baby", "pets"], "store-1", 0)
    entries = await centre.pool.fetch("select kind, subject from ledger_entry")
    assert [tuple(entry) for entry in entries] == [("earn", "opening:7")]
    cards = await centre.pool.fetch("select card, account_id from card")
    assert [tuple(card) for card in cards] == [(card_hash(KEYS.card_key, "4000 0001"), 7)]


async def test_no_table_holds_a_card_number(centre: JoinedCentre) -> None:
    await centre.load(ACCOUNT)
    tables = await centre.pool.fetch(
        "select table_name from information_schema.tables where table_schema = 'public'"
    )
    for (table,) in tables:
        rows = await centre.pool.fetch(f'select t::text as row from "{table}" t')
        assert not any("4000" in row["row"] for row in rows), table


async def test_a_repeated_file_changes_nothing(centre: JoinedCentre) -> None:
    store: dict[str, object] = {"kind": "store", "store": "store-2", "region": "south"}
    assert await centre.load(store, ACCOUNT) == Loaded(stores=1, accounts=1)
    assert await centre.load(store, ACCOUNT) == Loaded(stores=1, accounts_known=1)
    assert await centre.totals(7) == Totals(120)
    assert await centre.pool.fetchval("select count(*) from card") == 1


async def test_a_known_customer_may_get_another_card_and_no_more_points(
    centre: JoinedCentre,
) -> None:
    await centre.load(ACCOUNT)
    await centre.load({**ACCOUNT, "cards": ["4000 0002"]})
    assert await centre.pool.fetchval("select count(*) from card where account_id = 7") == 2
    assert await centre.totals(7) == Totals(120)


async def test_a_card_stays_with_the_customer_who_has_it(centre: JoinedCentre) -> None:
    await centre.load(ACCOUNT, {**ACCOUNT, "account_id": 8})
    assert await centre.pool.fetchval("select account_id from card") == 7


async def facts(centre: JoinedCentre) -> tuple[object, ...]:
    row = await centre.pool.fetchrow(
        "select tier, segments, personal_offers, month_day, in_birthday_window"
        " from account left join account_birthday using (account_id) where account_id = 7"
    )
    assert row is not None
    return tuple(row)


async def test_what_is_given_replaces_what_was_there_and_what_is_left_out_stays(
    centre: JoinedCentre,
) -> None:
    line = {"kind": "account", "account_id": 7, "home_store": "store-1"}
    await centre.load({**ACCOUNT, "personal_offers": ["b", "a", "b"], "birthday": "03-05"})
    assert await facts(centre) == ("gold", ["baby", "pets"], ["a", "b"], "03-05", True)
    for change, expected in (
        ({}, ("gold", ["baby", "pets"], ["a", "b"], "03-05", True)),
        ({"tier": ""}, ("", ["baby", "pets"], ["a", "b"], "03-05", True)),
        ({"segments": ["cats"]}, ("", ["cats"], ["a", "b"], "03-05", True)),
        ({"personal_offers": ["c"]}, ("", ["cats"], ["c"], "03-05", True)),
        ({"personal_offers": []}, ("", ["cats"], [], "03-05", True)),
        ({"birthday": "09-05"}, ("", ["cats"], [], "09-05", False)),
        ({"birthday": ""}, ("", ["cats"], [], None, False)),
    ):
        await centre.load({**line, **change})
        assert await facts(centre) == expected, change


async def test_only_what_changes_something_is_counted_and_told(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.load({**ACCOUNT, "personal_offers": ["a", "b"], "birthday": "03-05"})
    told = (await till.pull()).accounts
    first = told[0].snapshot.version
    for change, changes in (
        ({}, 0),
        ({"tier": "gold", "personal_offers": ["b", "a"], "birthday": "03-05"}, 0),
        ({"birthday": "03-06"}, 0),  # still in the window: nothing a till is told of
        ({"personal_offers": ["a"]}, 1),
        ({"birthday": "08-06"}, 1),
        ({"cards": ["4000 0001", "4000 0002"]}, 1),
    ):
        line = {"kind": "account", "account_id": 7, "home_store": "store-1", **change}
        assert await centre.load(line) == Loaded(accounts_known=1, accounts_changed=changes), change
        told = (await till.pull()).accounts
        assert bool(told) == bool(changes), change
    assert {row.snapshot.version - first for row in told} == {2}


async def test_lists_are_as_long_as_they_may_be(centre: JoinedCentre) -> None:
    longest = {
        "segments": [f"s{n}" for n in range(ACCOUNT_SEGMENTS_MAX)],
        "personal_offers": [f"o{n}" for n in range(ACCOUNT_OFFERS_MAX)],
    }
    assert await centre.load({**ACCOUNT, **longest}) == Loaded(accounts=1)


async def test_empty_lines_are_passed_over(centre: JoinedCentre) -> None:
    text = json.dumps(ACCOUNT).encode()
    assert await load(centre, b"\n", text + b"\n", b"  \n") == Loaded(accounts=1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "^line 2: "),
        (b"[" * 100_000, "^line 2: "),
        (b"\xff", "^line 2: "),
        (b"[]", "^line 2: Expected `object`"),
        (b'{"kind": "shop", "store": "s"}', r"^line 2: .*\$.kind"),
        (b'{"kind": "store"}', "^line 2: .*missing required field `store`"),
        (b'{"kind": "store", "store": ""}', r"^line 2: .*\$.store"),
        (b'{"kind": "store", "store": "s", "colour": 1}', "^line 2: .*unknown field `colour`"),
        (json.dumps({**ACCOUNT, "account_id": 0}).encode(), r"^line 2: .*\$.account_id"),
        (json.dumps({**ACCOUNT, "account_id": 2**80}).encode(), r"^line 2: .*\$.account_id"),
        (json.dumps({**ACCOUNT, "cards": [1]}).encode(), r"^line 2: .*\$.cards\[0\]"),
        (
            json.dumps({**ACCOUNT, "personal_offers": ["x"] * 101}).encode(),
            r"^line 2: .* of length <= 100 .*\$.personal_offers",
        ),
        (
            json.dumps({**ACCOUNT, "personal_offers": ["a", "x" * 201]}).encode(),
            r"^line 2: .*\$.personal_offers\[1\]",
        ),
        (
            json.dumps({**ACCOUNT, "segments": ["x"] * 201}).encode(),
            r"^line 2: .* of length <= 200 .*\$.segments",
        ),
        (json.dumps({**ACCOUNT, "segments": [""]}).encode(), r"^line 2: .*\$.segments\[0\]"),
        (
            json.dumps({**ACCOUNT, "birthday": "1980-03-05"}).encode(),
            "^line 2: birthday '1980-03-05' is no day and month, MM-DD",
        ),
        (json.dumps({**ACCOUNT, "birthday": "02-30"}).encode(), "^line 2: birthday '02-30'"),
        (
            json.dumps({**ACCOUNT, "lots": [{"points": 0, "active_from": "2025-01-01"}]}).encode(),
            r"^line 2: .*\$.lots\[0\].points",
        ),
        (
            json.dumps({**ACCOUNT, "lots": [{"points": 5, "active_from": "soon"}]}).encode(),
            r"^line 2: .*\$.lots\[0\].active_from",
        ),
    ],
)
async def test_a_bad_line_names_its_number_and_field(
    centre: JoinedCentre, line: bytes, says: str
) -> None:
    good = b'{"kind": "store", "store": "store-2"}'
    with pytest.raises(BadRequestError, match=says):
        await load(centre, good, line, b'{"kind": "store", "store": "store-3"}')
    stores = await centre.pool.fetch("select store_id from store order by store_id")
    assert [row["store_id"] for row in stores] == ["store-1", "store-2"]  # what stood before it
    assert await centre.pool.fetchval("select count(*) from account") == 0


async def test_a_list_loaded_while_the_customer_switches_an_offer_on_keeps_it(
    centre: JoinedCentre,
) -> None:
    most = [f"o{n:03}" for n in range(ACCOUNT_OFFERS_MAX)]
    await centre.load({**ACCOUNT, "offers_to_activate": ["zzz"]})
    async with centre.pool.acquire() as connection, connection.transaction():
        await activate(connection, Customer(7, b"", blocked=False), "zzz", now_ms=1)
        lists = {"personal_offers": most, "offers_to_activate": []}
        loading = asyncio.create_task(centre.load({**ACCOUNT, **lists}))
        waits = "select exists (select from pg_locks where not granted)"
        while not await connection.fetchval(waits):
            assert not loading.done()
    await loading
    acting = await centre.pool.fetchval("select personal_offers from account")
    assert acting == [*most[:-1], "zzz"]


# While somebody else changes the same account, or whose a store is


async def waits_for_a_lock(centre: JoinedCentre) -> None:
    """Return as soon as somebody waits for what another holds."""
    async with asyncio.timeout(60):
        waiting = (
            "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database())"
        )
        while not await centre.pool.fetchval(waiting):
            await centre.pool.execute("select pg_sleep(0.01)")


CARD_MORE = msgspec.json.encode({**ACCOUNT, "cards": ["4000 0002"], "lots": []})


async def test_a_customer_who_is_erased_meanwhile_gets_no_card(centre: JoinedCentre) -> None:
    await centre.load(ACCOUNT)
    async with centre.pool.acquire() as connection:
        erasing = connection.transaction()
        await erasing.start()
        await lock_account(connection, 7)
        loading = asyncio.create_task(load(centre, CARD_MORE))
        await waits_for_a_lock(centre)
        await connection.execute("update account set blocked = true, erased = true")
        await erasing.commit()
    with pytest.raises(BadRequestError, match="was erased"):
        await loading
    assert await centre.pool.fetchval("select count(*) from card") == 1


async def test_a_card_of_a_customer_who_is_merged_meanwhile_goes_to_the_other_account(
    centre: JoinedCentre,
) -> None:
    bare = {**ACCOUNT, "lots": []}
    await centre.load(bare, {**bare, "account_id": 8, "cards": ["5000 0001"]})
    async with centre.pool.acquire() as connection:
        merging = connection.transaction()
        await merging.start()
        await lock_account(connection, 7)
        loading = asyncio.create_task(load(centre, CARD_MORE))
        await waits_for_a_lock(centre)
        await connection.execute("update account set merged_into = 8 where account_id = 7")
        await merging.commit()
    assert (await loading).accounts_known == 1
    hashed = card_hash(KEYS.card_key, "4000 0002")
    assert await centre.pool.fetchval("select account_id from card where card = $1", hashed) == 8


async def test_a_card_that_is_added_while_its_account_is_blocked_is_blocked(
    centre: JoinedCentre,
) -> None:
    await centre.load(ACCOUNT)
    async with centre.pool.acquire() as connection:
        blocking = connection.transaction()
        await blocking.start()
        await set_blocked(connection, 7, blocked=True)
        loading = asyncio.create_task(load(centre, CARD_MORE))
        await waits_for_a_lock(centre)
        await blocking.commit()
    await loading
    rows = await centre.pool.fetch("select card from blocked_card where is_blocked")
    numbers = ("4000 0001", "4000 0002")
    assert {row["card"] for row in rows} == {card_hash(KEYS.card_key, each) for each in numbers}


async def test_a_store_gets_no_customer_while_its_banner_gets_another_programme(
    centre: JoinedCentre,
) -> None:
    await centre.load({"kind": "store", "store": "store-7", "banner": "red"})
    async with centre.pool.acquire() as connection:
        giving = connection.transaction()
        await giving.start()
        await add_programme(connection, "blue", "Blue", person="root", now_ms=0)
        await give_banner(connection, "red", "blue", person="root", now_ms=0)
        line = msgspec.json.encode({**ACCOUNT, "home_store": "store-7"})
        loading = asyncio.create_task(load(centre, line))
        await waits_for_a_lock(centre)
        await giving.commit()
    await loading
    assert await centre.pool.fetchval("select programme from account") == "blue"
