"""The proof of the ledger: sound after honest work; each kind of damage is seen by its check."""

import asyncpg
import pytest
import pytest_asyncio

from central.ledger.verify import BY_ACCOUNT, CHECKS, verify_ledger
from tests.support.builders import line
from tests.support.centre import JoinedCentre, PoolState, Totals
from tests.support.till_probe import risk, take

# Paragraphs: the checks that must see the damage, then the damage.
PARAGRAPHS = """
entries returns
update ledger_posting set points = points + 1 where ledger_account = 'taken_back'

entries accounts lots returns
delete from ledger_posting where (account_id, entry_id) in
    (select account_id, entry_id from ledger_entry where kind = 'take_back')

lots
update ledger_posting set lot_id = (select min(lot_id) from lot where account_id = 7)
where account_id = 7 and ledger_account = 'member'

accounts
update account set posted = posted + 1 where account_id = 8

accounts
update account set held = held + 1 where account_id = 7

accounts
update account set debt = debt + 1 where account_id = 8

accounts lots
update lot set available = available - 1, taken_back = taken_back + 1
where account_id = 8 and available > 0

accounts lots
update lot set held = held - 1, available = available + 1 where account_id = 7 and held > 0

lots
update lot set available = available - 1, issued = issued - 1
where lot_id = (select max(lot_id) from lot where account_id = 7);
update lot set available = available + 1, issued = issued + 1
where lot_id = (select min(lot_id) from lot where account_id = 7)

accounts grants
update right_grant set outstanding = outstanding - 1 where state = 'open'

grants lots
update right_grant_lot set points = points + 1

receipts
update receipt set redeemed_points = redeemed_points + 1 where sale_key = 's1'

receipts
update receipt set earned_points = earned_points - 1 where sale_key = 's1'

receipts
update ledger_entry set subject = 'elsewhere' where subject = 's1' and kind = 'earn'

receipts once
with entry as (
    insert into ledger_entry (account_id, kind, subject, at_ms) values (8, 'earn', 's2', 0)
    returning entry_id
), lot as (
    insert into lot (account_id, name, active_from, issued, available)
    values (8, 'more', '2025-01-01', 5, 5) returning lot_id
), total as (
    update account set posted = posted + 5 where account_id = 8
)
insert into ledger_posting select 8, entry_id, 1, 'member', lot_id, 5 from entry, lot
union all select 8, entry_id, 2, 'issued', 0, -5 from entry

merges
with entry as (
    insert into ledger_entry (account_id, kind, subject, at_ms) values (8, 'go_over', 'merge:1', 0)
    returning entry_id
)
insert into ledger_posting select 8, entry_id, 1, 'merged', 0, 5 from entry
union all select 8, entry_id, 2, 'issued', 0, -5 from entry

entries
insert into ledger_posting values (8, 999999, 1, 'issued', 0, 5), (8, 999999, 2, 'issued', 0, -5)

lots
insert into lot (account_id, name, active_from, issued, available, redeemed)
values (99, 'lost', '2025-01-01', 5, 0, 5)

records
delete from inbox where arrival = (select arrival from receipt where sale_key = 's1')

records
delete from inbox where seq = 1

seals
insert into ledger_seal values (1, '2025-03-04', 1, 0, 0, '', '', '', '', 0)

purchases
update account set purchases = purchases + 1 where account_id = 7

purchases
update receipt set counted = false where sale_key = 's1'

returns
update returned_line set quantity = quantity + 1000

returns
update returned_line set line_id = 'elsewhere'

returns
update refund set points_back = points_back + 1

returns
update refund set taken_back = taken_back + 1 where taken_back > 0

equal
update receipt set equal = false where sale_key = 's1'

pool
update risk_pool set free = free - 1, losses = losses + 1

pool
update risk_pool set free = free - 1, budgets = budgets + 1

pool
update risk_pool set uncovered = 1

pool tills
update till_stream set risk_points_settled = risk_points_settled + 1

pool
update risk_pool set free = free - 1, exposures = exposures + 1

tills
update till_rights set outstanding = outstanding + 1

tills
update till_rights set risk_points = risk_points - 1

counters
insert into shared_counter (name, most, given) values ('campaign.uses:spring', 5, 1)

programmes
insert into programme (programme) values ('blue'); update store set programme = 'blue'

partners
insert into partner_hand_out_new values ('s1', '', 'miles', 'air', 5, '2025-03-05', 0)

partners
insert into api_client values ('air', 'partner', '', '', '{}', false, 0);
insert into partner_hand_out_day values ('air', '2025-03-05', 5, 0)

partners
insert into api_client values ('bakery', 'partner', '', '', '{}', false, 0);
insert into partner_day values ('bakery', '2025-03-05', 5);
insert into partner_movement (client_id, reference, kind, account_id, points, occurred_on, day,
    at_ms)
values ('bakery', 'r-1', 'accrual', 7, 5, '2025-03-05', '2025-03-05', 0)
"""
_IS_SPREAD = "select is_spread()"
DAMAGES = [
    (damage, frozenset(seen_by.split()))
    for seen_by, _, damage in (text.partition("\n") for text in PARAGRAPHS.strip().split("\n\n"))
]


@pytest_asyncio.fixture
async def worked(centre: JoinedCentre) -> JoinedCentre:
    """A ledger that holds an entry of every kind and points in every place."""
    await centre.fund(1_000)
    till = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    await centre.customer(8, 20)
    (grant,) = (await till.pull()).grants
    await centre.post(
        till,
        till.sale("s1", account=7, sources=[take(grant, 100)]),
        till.sale("s2", line("1"), line("2"), account=8, sources=[risk(50)]),
        till.refund("r1", "s2", "1"),
        till.sale("s3", account=7, sources=[take(grant, 10)]),
    )
    (right,) = (await till.authorise("s4", 8, 40)).authorisations
    await centre.post(till, till.sale("s4", account=8, sources=[take(right)]))
    await centre.post(till, till.refund("r2", "s2", "2"))
    return centre


async def test_honest_work_is_balanced_and_every_check_had_something_to_look_at(
    worked: JoinedCentre,
) -> None:
    proof = await worked.proof()
    assert proof.balanced
    assert [check.name for check in proof.checks] == list(CHECKS)
    assert proof.figures["receipts"] == 4
    assert proof.figures["accounts"] == 2
    assert proof.figures["held"] == 190
    kinds = await worked.pool.fetch("select distinct kind from ledger_entry order by kind")
    assert [row["kind"] for row in kinds] == ["earn", "give_back", "redeem", "take_back"]
    assert (await worked.risk_pool()).budgets == 450
    assert await worked.totals(7) == Totals(300 - 110 + 90 + 99, 190)


@pytest.mark.parametrize(("damage", "seen_by"), DAMAGES, ids=range(len(DAMAGES)))
async def test_damage_is_seen_by_its_check(
    worked: JoinedCentre, damage: str, seen_by: frozenset[str]
) -> None:
    if "right_grant set outstanding" in damage and await worked.pool.fetchval(_IS_SPREAD):
        seen_by |= {"tills"}  # no trigger counts for the till what is changed behind the centre
    async with worked.pool.acquire() as connection:
        for table in ("ledger_entry", "ledger_posting"):
            await connection.execute(f"alter table {table} disable trigger user")
        done = await connection.execute(damage)
        for table in ("ledger_entry", "ledger_posting"):
            await connection.execute(f"alter table {table} enable trigger user")
    assert done.split()[-1] != "0", "the damage was done to nothing"
    proof = await worked.proof()
    assert {check.name for check in proof.checks if check.broken} == seen_by
    assert not proof.balanced
    worked.broken_checks = set(seen_by)


def test_every_check_is_seen_failing() -> None:
    assert set().union(*(seen_by for _, seen_by in DAMAGES)) == set(CHECKS)


@pytest.mark.parametrize("table", ["ledger_entry", "ledger_posting"])
@pytest.mark.parametrize(
    "change", ["update {} set account_id = account_id", "delete from {}", "truncate {} cascade"]
)
async def test_the_ledger_refuses_to_be_changed(
    worked: JoinedCentre, table: str, change: str
) -> None:
    if await worked.pool.fetchval(_IS_SPREAD):
        pytest.skip("where accounts are spread roles refuse it: test_parts.py")
    with pytest.raises(asyncpg.RaiseError, match="is append-only"):
        await worked.pool.execute(change.format(table))


@pytest.mark.parametrize(
    "change",
    [
        "update account set held = posted + 1 where account_id = 7",
        "update account set debt = -1",
        "update account set purchases = -1",
        "update account set personal_offers = array_fill('x'::text, array[101])",
        "insert into account_counter values (7, 'uses:x', -1, '', '', '')",
        "update lot set available = available + 1",
        "update lot set available = -1, redeemed = redeemed + available + 1",
        "update right_grant set outstanding = points + 1",
        "update right_grant set state = 'closed'",
        "update right_grant set state = 'written_off'",
        "update right_grant set exposure = 1",
        "update right_grant set exposure = 1, state = 'written_off', outstanding = 0",
        "update right_grant_lot set points = -1",
        "update till_rights set outstanding_max = outstanding - 1",
        "update till_rights set outstanding = -1",
        "update till_stream set risk_points_total = risk_points_total + 51",
        "update till_stream set risk_points_settled = -1",
        "update till_stream set risk_points_home = -1",
        "update till_stream set risk_points_kept = risk_points_total",
        "update till_rights set risk_points = risk_points_max + 1",
        "update risk_pool set exposures = -1, free = free + 1",
        "update risk_pool set exposures = 1",
        "update risk_pool set free = free + 1",
        "update risk_pool set free = -1, losses = losses + free + 1",
        "update redemption_lot set given_back = points + 1",
        "insert into ledger_posting values (7, 1, 99, 'member', 0, 0)",
    ],
)
async def test_the_tables_refuse_what_can_never_be_true(worked: JoinedCentre, change: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await worked.pool.execute(change)


async def test_an_overdraft_the_pool_could_not_pay_is_seen(centre: JoinedCentre) -> None:
    await centre.fund(30)
    till = await centre.till(greet=False)
    await till.hello()
    await centre.customer(7)
    await centre.post(till, till.sale("s1", account=7, sources=[risk(100)]))
    assert await centre.risk_pool() == PoolState(0, 0, 30, 70)
    centre.broken_checks = {"pool"}


# How long it may take

GIVEN_UP_S = 1.0
"""After so long the service, as it is set here, gives a statement up: its server and its client."""


async def held_up(database: str, *, is_patient: bool) -> None:
    """Prove the ledger while a check waits for longer than the service's statements may take."""
    holder = await asyncpg.connect(database)
    prover = await asyncpg.connect(database, command_timeout=GIVEN_UP_S)
    try:
        async with holder.transaction():
            await holder.execute("lock table ledger_entry in access exclusive mode")
            # Whoever is patient waits for the lock, until the lock's own time is over.
            await prover.execute(
                f"set statement_timeout = {int(GIVEN_UP_S * 1_000)}; set lock_timeout = 2500"
            )
            await verify_ledger(prover, is_patient=is_patient)
    finally:
        await prover.close(timeout=20)
        await holder.close()


async def test_a_call_is_given_up_as_any_other_statement(
    worked: JoinedCentre, database: str
) -> None:
    assert worked.broken_checks == set()
    with pytest.raises((asyncpg.QueryCanceledError, TimeoutError)):
        await held_up(database, is_patient=False)


async def test_the_command_does_not_run_under_the_service_s_time(
    worked: JoinedCentre, database: str
) -> None:
    assert worked.broken_checks == set()
    with pytest.raises(asyncpg.LockNotAvailableError):
        await held_up(database, is_patient=True)


async def test_a_connection_is_as_it_was_after_a_patient_proof(worked: JoinedCentre) -> None:
    async with worked.pool.acquire() as connection:
        before = await connection.fetchval("show statement_timeout")
        assert (await verify_ledger(connection, is_patient=True)).balanced
        assert await connection.fetchval("show statement_timeout") == before == "30s"


async def test_what_stands_twice_is_looked_for_some_accounts_at_a_time(
    worked: JoinedCentre,
) -> None:
    steps: list[tuple[str, int, int]] = []
    async with worked.pool.acquire() as connection:
        await verify_ledger(connection, lambda *step: steps.append(step))
    assert ("once", 0, 1) in steps
    assert BY_ACCOUNT[-1] == "once"
