"""Programmes: a card leads to a wallet in each; banners have one each, or share one."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import structlog

from central.backtest.change import RuleChange
from central.backtest.pairs import Pairs
from central.errors import BadRequestError, NotFoundError
from central.ledger.card_moves import move_card, undo_move
from central.ledger.liability import Liability, read_liability
from central.ledger.merging import merge_accounts
from central.people.tiers import Tier, TierTerms, put_terms, read_overview, tend_tiers
from central.programmes.registry import add_programme, give_banner, list_programmes
from central.programmes.wallets import list_wallets
from central.rules.library import load_bundle
from central.staff.audit import AuditRow, read_audit
from central.staff.persons import add_person
from central.streams.parked import Unparking
from central.streams.sales import ANOTHER_PROGRAMME
from loyalty.bundle import Bundle
from loyalty.compilation import Rules
from loyalty.offers import PointsPerMoney, Who
from sync.messages import AccountRow, SnapshotAnswer, SnapshotRequest
from tests.support import builders
from tests.support.centre import BUNDLE, KEYS, JoinedCentre, Totals
from tests.support.command_line import central
from tests.support.scraping import scrape
from tests.support.till_probe import Outcome, TillProbe, take

CARD = "2990 0000 0000 0017"
BLUE = replace(
    builders.bundle(
        builders.offer("half", PointsPerMoney(points=5, per_minor=10), who=Who(identified=True)),
        version=2,
    ),
    programme=replace(BUNDLE.programme, programme_id="blue"),
)
"""Of another programme: five points for every 0.10."""


async def add(centre: JoinedCentre, programme: str, *banners: str) -> None:
    """Add a programme and give it banners."""
    now_ms = centre.system.now_ms()
    async with centre.pool.acquire() as connection, connection.transaction():
        await add_programme(connection, programme, "", person="ann", now_ms=now_ms)
        for banner in banners:
            await give_banner(connection, banner, programme, person="ann", now_ms=now_ms)


async def two_programmes(centre: JoinedCentre) -> Rules:
    """Have store-1 (green) in the default programme, store-2 (blue) and store-3 (sky) in another.

    One card leads to account 7 there and to account 107 here.
    """
    await add(centre, "blue", "blue", "sky")
    await centre.store("store-2", banner="blue")
    await centre.store("store-3", banner="sky")
    await centre.customer(7, 300, card=CARD, home="store-1")
    await centre.customer(107, 50, card=CARD, home="store-2")
    return await centre.publish(BLUE)


async def account_of(till: TillProbe, card: str = CARD) -> AccountRow:
    """Return what a till is told of a card that is known."""
    request = SnapshotRequest(card=till.card(card))
    answer = await till.ask("/v1/till/snapshot", request, SnapshotAnswer)
    assert answer.account is not None
    return answer.account


async def shown(till: TillProbe, card: str = CARD) -> tuple[int, int]:
    """Return account and points a till is told for a card."""
    account = await account_of(till, card)
    return account.snapshot.account_id, account.points


async def last_outcome(centre: JoinedCentre, till: TillProbe) -> str:
    """Return what became of a till's last record."""
    outcomes = await centre.outcomes(till)
    return outcomes[max(outcomes)].outcome


@pytest.fixture
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


# Wallets


async def test_a_card_leads_to_a_wallet_in_each_programme(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    seen = [await shown(await centre.till(f"store-{n}")) for n in (1, 2, 3)]
    assert seen == [(7, 300), (107, 50), (107, 50)]


async def test_banners_that_share_a_programme_share_the_wallet(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    blue, sky = await centre.till("store-2"), await centre.till("store-3")
    await centre.post(blue, blue.sale("s1", account=107))
    assert await shown(sky) == (107, 550)
    (right,) = (await sky.authorise("s2", 107, 400)).authorisations
    await centre.post(sky, sky.sale("s2", account=107, sources=[take(right)]))
    assert await centre.totals(107) == Totals(posted=450)
    assert await centre.totals(7) == Totals(posted=300)


async def test_nothing_is_authorised_from_a_wallet_of_another_programme(
    centre: JoinedCentre,
) -> None:
    await two_programmes(centre)
    blue = await centre.till("store-2")
    answer = await blue.authorise("s1", 7, 100)
    assert (answer.authorisations, answer.held_elsewhere_points) == ((), 0)
    assert await centre.totals(7) == Totals(posted=300)


async def test_a_till_is_enrolled_before_its_banner_gets_another_programme_or_after_never_between(
    centre: JoinedCentre,
) -> None:
    await add(centre, "blue")
    await centre.store("store-2", banner="sky")
    code, key = await centre.code("store-2"), centre.new_key()
    async with centre.pool.acquire() as connection:
        giving = connection.transaction()
        await giving.start()
        await give_banner(connection, "sky", "blue", person="ann", now_ms=0)
        enrolling = asyncio.create_task(centre.enrol_with(code, key))
        locks = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
        async with asyncio.timeout(60):
            while not await centre.pool.fetchval(locks):
                assert not enrolling.done()
        await giving.commit()
    assert (await enrolling).place.store == "store-2"
    async with centre.pool.acquire() as connection:
        with pytest.raises(BadRequestError, match="have tills or customers"):
            await give_banner(connection, "sky", "", person="ann", now_ms=0)


async def test_a_receipt_that_names_a_wallet_of_another_programme_is_kept_and_moves_nothing(
    centre: JoinedCentre,
) -> None:
    await two_programmes(centre)
    blue = await centre.till("store-2")
    (outcome,) = await centre.post(blue, blue.sale("s1", account=7))
    reason = f"not a receipt of this centre: {ANOTHER_PROGRAMME}"
    assert outcome == Outcome("rejected_kept", reason, 0)
    assert await centre.totals(7) == Totals(posted=300)
    assert (await scrape(centre)).value("tillside_receipts_rejected") == 1


async def test_a_receipt_waits_for_its_card_in_its_own_programme(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    blue, green = await centre.till("store-2"), await centre.till("store-1")
    (waits,) = await centre.post(blue, blue.sale("s1", card="4000"))
    assert waits.outcome == "parked"
    await centre.customer(8, card="4000", home="store-1")
    await centre.apply()
    (posted,) = await centre.post(green, green.sale("s2", card="4000"))
    assert posted.outcome == "accepted"
    assert await last_outcome(centre, blue) == "parked"
    await centre.customer(108, card="4000", home="store-2")
    await centre.apply()
    assert await last_outcome(centre, blue) == "accepted"
    assert (await centre.totals(8), await centre.totals(108)) == (Totals(100), Totals(500))


async def test_a_record_that_was_parked_as_its_card_came_is_found(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    blue = await centre.till("store-2")
    await centre.post(blue, blue.sale("s1", card="4000"))
    # Loaded between looking for the card and parking the record.
    await centre.pool.execute(
        "insert into card (card, account_id, programme) values ($1, 107, 'blue')",
        blue.card("4000"),
    )
    await Unparking().look(centre.pool)
    await centre.apply()
    assert await last_outcome(centre, blue) == "accepted"


async def test_blocked_in_one_programme_is_blocked_there_alone(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    await centre.pool.execute("update account set blocked = true where account_id = 107")
    told = {}
    for number in (1, 2):
        till = await centre.till(f"store-{number}")
        told[number] = (await account_of(till)).blocked
    assert told == {1: False, 2: True}


async def test_a_customers_wallets_are_found_by_any_of_them(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    await centre.customer(9, 5)
    async with centre.pool.acquire() as connection:
        for account_id in (7, 107):
            found = await list_wallets(connection, account_id)
            assert [(each.account_id, each.programme, each.points) for each in found] == [
                (7, "", 300), (107, "blue", 50),
            ]  # fmt: skip
        (alone,) = await list_wallets(connection, 9)
        assert (alone.account_id, alone.points, alone.cards) == (9, 5, 0)
        with pytest.raises(NotFoundError):
            await list_wallets(connection, 10)


# Rules


async def test_tills_get_the_rules_of_their_programme(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    tills = [await centre.till(f"store-{n}") for n in (1, 2, 3)]

    async def told() -> list[str]:
        manifests = [(await till.pull()).manifest for till in tills]
        return ["" if each is None else each.bundle for each in manifests]

    assert await told() == ["", "", ""]
    green = (await centre.publish(replace(BUNDLE, version=3))).bundle_hash
    assert await told() == [green, "", ""]
    blue = (await centre.publish(replace(BLUE, version=4))).bundle_hash
    assert await told() == [green, blue, blue]


async def test_rules_of_no_programme_are_refused_once_there_are_several(
    centre: JoinedCentre,
) -> None:
    await two_programmes(centre)

    def of(programme_id: str, version: int) -> Bundle:
        programme = replace(BUNDLE.programme, programme_id=programme_id)
        return replace(BUNDLE, programme=programme, version=version)

    with pytest.raises(BadRequestError, match="there is no programme 'bleu'"):
        await centre.publish(of("bleu", 3))
    await centre.publish(of(BUNDLE.programme.programme_id, 3))


async def test_a_chain_with_one_programme_may_call_its_rules_as_it_likes(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    programme = replace(BUNDLE.programme, programme_id="another")
    rules = await centre.publish(replace(BUNDLE, programme=programme, version=2))
    manifest = (await till.pull()).manifest
    assert manifest is not None
    assert manifest.bundle == rules.bundle_hash


async def test_a_backtest_leaves_out_receipts_of_other_programmes(centre: JoinedCentre) -> None:
    blue_rules = await two_programmes(centre)
    async with centre.pool.acquire() as connection:
        blue = await load_bundle(connection, blue_rules.bundle_hash)
    change = RuleChange(offers=BLUE.offers, rules_of=BUNDLE.programme.programme_id)
    others = Pairs(change, lambda _: blue).of("hash")
    assert others == "its rules are another programme's"
    assert not isinstance(Pairs(change, lambda _: BUNDLE).of("hash"), str)


# Keeping apart


async def test_accounts_of_two_programmes_do_not_become_one(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    now_ms = centre.system.now_ms()
    with pytest.raises(BadRequestError, match="wallets of two programmes: the default programme"):
        await merge_accounts(centre.pool, 7, 107, person="ann", reason="her", now_ms=now_ms)


async def test_a_card_moves_within_a_programme(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    await centre.customer(108, 10, home="store-2")
    blue, green = await centre.till("store-2"), await centre.till("store-1")
    now_ms = centre.system.now_ms()
    moved = await move_card(
        centre.pool, blue.card(CARD), 108, person="ann", reason="hers", now_ms=now_ms
    )
    assert (moved.from_account, await shown(blue), await shown(green)) == (107, (108, 10), (7, 300))
    await undo_move(centre.pool, moved.move_id, person="ann", now_ms=now_ms)
    assert await shown(blue) == (107, 50)
    with pytest.raises(NotFoundError, match="there is no account 9"):
        await move_card(centre.pool, b"c", 9, person="ann", reason="hers", now_ms=now_ms)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"account_id": 7, "home_store": "", "programme": "blue"}, "wallet of the default prog"),
        ({"account_id": 8, "home_store": "store-1", "programme": "blue"}, "store-1 is of the defa"),
        ({"account_id": 8, "home_store": "", "programme": "red"}, "no programme 'red'"),
    ],
)
async def test_a_wallet_is_of_one_programme_for_good(
    centre: JoinedCentre, line: dict[str, object], said: str
) -> None:
    await two_programmes(centre)
    with pytest.raises((BadRequestError, NotFoundError), match=said):
        await centre.load({"kind": "account", **line})


async def test_a_wallet_may_be_loaded_before_its_store(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    await centre.load(
        {"kind": "account", "account_id": 108, "home_store": "", "programme": "blue",
         "cards": ["4000"]}
    )  # fmt: skip
    assert await shown(await centre.till("store-3"), "4000") == (108, 0)


async def test_a_banner_keeps_its_programme_once_its_stores_trade(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    await centre.till("store-3")
    for banner, of in (("green", "store-1"), ("sky", "store-3")):
        with pytest.raises(BadRequestError, match=f"another programme already: {of}"):
            await add(centre, "red", banner)
    with pytest.raises(BadRequestError, match="has tills or customers of the default programme"):
        await centre.store("store-1", banner="blue")
    await centre.store("store-4", banner="late")
    await add(centre, "red", "late")
    await centre.customer(208, 5, card="4100", home="store-4")
    assert await shown(await centre.till("store-4"), "4100") == (208, 5)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, BUNDLE.programme.programme_id])
async def test_a_programme_has_a_name_of_its_own(centre: JoinedCentre, name: str) -> None:
    with pytest.raises(BadRequestError):
        await add(centre, name)


async def test_programmes_are_listed_with_what_they_have(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    await add(centre, "blue")
    async with centre.pool.acquire() as connection:
        found = await list_programmes(connection)
    assert [
        (each.programme, each.banners, each.stores, each.accounts, each.release) for each in found
    ] == [("", (), 1, 1, 1), ("blue", ("blue", "sky"), 2, 1, 2)]


# What is counted by programme


async def test_what_is_owed_is_said_by_programme(centre: JoinedCentre) -> None:
    await two_programmes(centre)

    async def owed(programme: str) -> Liability:
        async with centre.pool.acquire() as connection:
            return await read_liability(connection, "2025-03-05", programme)

    assert ((await owed("")).points, (await owed("blue")).points) == (300, 50)
    with pytest.raises(NotFoundError):
        await owed("red")


async def test_each_programme_has_tiers_of_its_own(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    now_ms = centre.system.now_ms()
    tiers: Sequence[Tier] = (Tier(name="", at_least=0), Tier(name="silver", at_least=1_000))
    async with centre.pool.acquire() as connection, connection.transaction():
        terms = TierTerms(tiers=tuple(tiers), programme="blue")
        await put_terms(connection, terms, person="ann", now_ms=now_ms)
        with pytest.raises(NotFoundError):
            await put_terms(
                connection, msgspec.structs.replace(terms, programme="red"), person="", now_ms=0
            )
    for number, account in ((1, 7), (2, 107)):
        till = await centre.till(f"store-{number}")
        await centre.post(till, till.sale(f"s{number}", account=account))
    assert (await tend_tiers(centre.pool, now_ms=now_ms)).changed == 1
    rows = await centre.pool.fetch("select account_id, tier from account order by account_id")
    assert [tuple(row) for row in rows] == [(7, ""), (107, "silver")]
    found = [(each.programme, each.tier) for each in await read_overview(centre.pool)]
    assert found == [("blue", "silver")]


async def test_the_ledger_is_proven_to_keep_programmes_apart(centre: JoinedCentre) -> None:
    await two_programmes(centre)
    await centre.pool.execute("update card set programme = 'red' where account_id = 107")
    centre.broken_checks = {"programmes"}


async def test_statements_of_the_release_before_write_to_the_default_programme(
    centre: JoinedCentre,
) -> None:
    for statement in (
        "insert into store (store_id, region, banner) values ('s9', '', 'green')",
        "insert into account (account_id, home_store) values (9, 's9') on conflict do nothing",
        "insert into card (card, account_id) values ('\\x01', 9) on conflict do nothing",
        "insert into card (card, account_id) values ('\\x01', 9) on conflict do nothing",
        "insert into tier_terms (document, person, at_ms) values ('{}', '', 0)",
    ):
        await centre.pool.execute(statement)
    for table in ("store", "account", "card", "tier_terms", "bundle"):
        found = await centre.pool.fetch(f"select distinct programme from {table}")
        assert [row["programme"] for row in found] == [""], table


# By command and by call


@pytest.mark.usefixtures("_logs_as_they_were")
def test_programmes_are_made_and_shared_by_command(database: str, tmp_path: Path) -> None:
    given = ["--database", database, "--data", str(tmp_path)]
    assert central("migrate", *given).code == 0
    assert "no banner yet" in central("programmes", "add", "blue", "Blue points", *given).said
    assert central("programmes", "banner", "BLUE", "blue", *given).code == 0
    done = central("programmes", "banner", "SKY", "blue", *given)
    assert done.code == 0
    assert "blue (Blue points): BLUE, SKY; 0 stores, 0 accounts, no rules yet" in done.said
    listed = json.loads(central("programmes", "list", "--json", *given).said)["programmes"]
    assert [each["programme"] for each in listed] == ["", "blue"]
    refused = central("programmes", "banner", "RED", "red", *given)
    assert (refused.code, "no programme 'red'" in refused.complained) == (1, True)


async def test_programmes_are_made_and_shared_by_call(centre: JoinedCentre) -> None:
    office = {"authorization": f"Bearer {KEYS.office_token}"}
    async with centre.pool.acquire() as connection:
        token = await add_person(connection, "fin", ("finance",), by="root", system=centre.system)
    finance = {"authorization": f"Bearer {token}"}
    wish = {"programme": "blue", "title": "Blue points"}
    call = centre.http
    assert (await call.post("/v1/programmes", headers=office, json=wish)).status_code == 403
    made = await call.post("/v1/programmes", headers=finance, json=wish)
    assert (made.status_code, made.json()["banners"]) == (200, [])
    wish = {"banner": "sky", "programme": "blue"}
    given = await call.post("/v1/banners", headers=finance, json=wish)
    assert given.json()["banners"] == ["sky"]
    listed = (await call.get("/v1/programmes", headers=office)).json()
    assert [each["programme"] for each in listed] == ["", "blue"]
    for path in ("/v1/ledger/liability", "/v1/tiers/terms"):
        for wrong in ("red", "%00"):
            found = await call.get(f"{path}?programme={wrong}", headers=office)
            assert found.status_code == 404
    subjects = {row.subject for row in await _audit(centre)}
    assert "programme:blue" in subjects


async def _audit(centre: JoinedCentre) -> Sequence[AuditRow]:
    async with centre.pool.acquire() as connection:
        return await read_audit(connection)
