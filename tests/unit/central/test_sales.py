"""A receipt becomes ledger: earned, redeemed from what it names, posted once and as printed."""

from dataclasses import replace

import msgspec
import pytest

from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from sync.records import LotTaken, SaleRecord, Source
from tests.support.builders import line
from tests.support.centre import JoinedCentre, LotState, PoolState, Totals
from tests.support.till_probe import TillProbe, risk, take

ACCEPTED = ("accepted", "", 0)
UNEQUAL = ("accepted", "the centre calculates otherwise; posted as printed", 0)


async def vault_with_grant(centre: JoinedCentre, points: int) -> TillProbe:
    till = await centre.till(is_vault=True)
    await centre.customer(7, points, home="store-1")
    await till.pull()
    await till.push()
    await centre.apply()
    return till


def reprinted(sale: SaleRecord, **totals: int) -> SaleRecord:
    printed = msgspec.json.decode(sale.calculation, type=Calculation)
    other = replace(printed, totals=replace(printed.totals, **totals))
    return msgspec.structs.replace(sale, calculation=msgspec.Raw(canonical_bytes(other)))


async def test_a_sale_earns_a_lot_of_its_own(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    sale = till.sale("s1", line("1", gross_minor=1_999), line("2"), account=7, link_up=True)
    assert await centre.post(till, sale) == [ACCEPTED]
    assert await centre.totals(7) == Totals(299)
    row = await centre.pool.fetchrow(
        "select name, sale_key, offer_id, active_from, expires_on, available from lot"
    )
    assert row is not None
    assert tuple(row) == ("regular", "s1", "tenth", "2025-03-05", "2026-03-05", 299)
    receipt = await centre.pool.fetchrow(
        "select account_id, store_id, moment, bundle, gross_minor, discount_minor, paid_minor,"
        " earned_points, link_up, equal, calculation, recalculation from receipt"
    )
    assert receipt is not None
    assert tuple(receipt) == (
        7, "store-1", "2025-03-05T12:00:00", till.rules.bundle_hash, 2_999, 0, 2_999,
        299, True, True, bytes(sale.calculation), b"",
    )  # fmt: skip


async def test_a_sale_to_nobody_is_posted_and_moves_no_points(centre: JoinedCentre) -> None:
    till = await centre.till()
    assert await centre.post(till, till.sale("s1")) == [ACCEPTED]
    assert await centre.pool.fetchval("select account_id is null from receipt")
    assert await centre.pool.fetchval("select count(*) from ledger_entry") == 0


async def test_a_grant_pays_and_what_is_left_of_it_stays_held(centre: JoinedCentre) -> None:
    till = await vault_with_grant(centre, 300)
    (grant,) = till.grants.values()
    sale = till.sale("s1", account=7, sources=[take(grant, 120)])
    assert await centre.post(till, sale) == [ACCEPTED]
    assert await centre.totals(7) == Totals(300 - 120 + 88, 180)
    assert await centre.lots(7) == [LotState(0, 180, 120), LotState(88)]
    assert await centre.risk_pool() == PoolState(0)


async def test_one_grant_pays_several_receipts_and_is_closed_by_the_last(
    centre: JoinedCentre,
) -> None:
    till = await vault_with_grant(centre, 300)
    (grant,) = till.grants.values()
    sales = [till.sale(f"s{n}", account=7, sources=[take(grant, 100)]) for n in (1, 2, 3)]
    assert await centre.post(till, *sales) == [ACCEPTED] * 3
    assert await centre.totals(7) == Totals(3 * 90)
    assert await centre.pool.fetchval("select state from right_grant") == "settled"


async def test_the_lots_a_receipt_names_are_taken_and_others_stand_in_for_what_they_lack(
    centre: JoinedCentre,
) -> None:
    till = await centre.till(is_vault=True)
    await centre.customer(7, 100, 100, home="store-1", ends=["2025-12-01"] * 2)
    (grant,) = (await till.pull()).grants
    second = grant.lots[1].lot_id
    for key, points, lots in (
        ("s1", 60, [LotState(0, 100), LotState(0, 40, 60)]),
        ("s2", 70, [LotState(0, 70, 30), LotState(0, 0, 100)]),
    ):
        named = Source(
            kind="grant",
            grant_id=grant.grant_id,
            points=points,
            lots=(LotTaken(second, points),),
        )
        await centre.post(till, till.sale(key, account=7, sources=[named]))
        assert (await centre.lots(7))[:2] == lots


async def test_a_lot_that_ends_sooner_pays_in_place_of_the_one_the_grant_held(
    centre: JoinedCentre,
) -> None:
    till = await centre.till(is_vault=True)
    # The grant holds what lives long; what ends within its days stays with the customer.
    await centre.customer(7, 60, 300, home="store-1", ends=["2025-03-10", "2025-12-31"])
    (grant,) = (await till.pull()).grants
    assert grant.points == 300
    sale = till.sale("s1", account=7, sources=[take(grant, 100)])
    assert await centre.post(till, sale) == [ACCEPTED]
    assert (await centre.lots(7))[:2] == [LotState(0, 0, 60), LotState(60, 200, 40)]
    assert await centre.totals(7) == Totals(360 - 100 + 90, 200)
    # What comes back goes to the lots that paid.
    await centre.post(till, till.refund("r1", "s1"))
    assert (await centre.lots(7))[:2] == [LotState(60), LotState(100, 200)]


async def test_an_authorisation_pays(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    (right,) = (await till.authorise("s1", 7, 200)).authorisations
    assert (right.points, await centre.totals(7)) == (200, Totals(300, 200))
    sale = till.sale("s1", account=7, sources=[take(right)])
    assert await centre.post(till, sale) == [ACCEPTED]
    assert await centre.totals(7) == Totals(100 + 80)
    assert await centre.lots(7) == [LotState(100, 0, 200), LotState(80)]


async def test_risk_is_paid_by_what_is_available_first(centre: JoinedCentre) -> None:
    await centre.fund(1_000)
    till = await centre.till()
    await centre.customer(7, 300)
    assert await centre.risk_pool() == PoolState(500, 500)
    assert await centre.post(till, till.sale("s1", account=7, sources=[risk(200)])) == [ACCEPTED]
    assert await centre.totals(7) == Totals(100 + 80)
    assert await centre.risk_pool() == PoolState(700, 300)


async def test_risk_that_nothing_covers_is_paid_by_the_pool(centre: JoinedCentre) -> None:
    await centre.fund(1_000)
    till = await centre.till()
    await centre.customer(7, 50)
    assert await centre.post(till, till.sale("s1", account=7, sources=[risk(200)])) == [ACCEPTED]
    assert await centre.totals(7) == Totals(80)
    assert await centre.risk_pool() == PoolState(550, 300, losses=150)
    assert await centre.lots(7) == [LotState(0, 0, 50), LotState(80)]


async def test_risk_never_takes_what_is_held_for_another_till(centre: JoinedCentre) -> None:
    await centre.fund(1_000)
    vault = await vault_with_grant(centre, 300)
    other = await centre.till()
    assert await centre.post(other, other.sale("s1", account=7, sources=[risk(100)])) == [ACCEPTED]
    assert await centre.totals(7) == Totals(300 + 90, 300)
    assert (await centre.risk_pool()).losses == 100
    (grant,) = vault.grants.values()
    paid = vault.sale("s2", account=7, sources=[take(grant)])
    assert await centre.post(vault, paid) == [ACCEPTED]
    assert await centre.totals(7) == Totals(90 + 70)


async def test_a_pool_that_cannot_pay_shows_in_the_proof(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    assert await centre.post(till, till.sale("s1", account=7, sources=[risk(100)])) == [ACCEPTED]
    assert await centre.risk_pool() == PoolState(0, uncovered=100)
    centre.broken_checks = {"pool"}


async def test_grant_authorisation_and_risk_pay_one_receipt_together(
    centre: JoinedCentre,
) -> None:
    await centre.fund(1_000)
    till = await centre.till(is_vault=True)
    await centre.customer(7, 600, home="store-1")
    (grant,) = (await till.pull()).grants
    (right,) = (await till.authorise("s1", 7, 100)).authorisations
    assert (grant.points, await centre.totals(7)) == (500, Totals(600, 600))
    sale = till.sale(
        "s1", line(gross_minor=1_400), account=7, sources=[take(grant), take(right), risk(50)]
    )
    assert await centre.post(till, sale) == [ACCEPTED]
    assert await centre.totals(7) == Totals(75)
    assert await centre.risk_pool() == PoolState(500, 450, losses=50)


async def test_the_same_sale_from_two_tills_is_posted_once(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7)
    sale = till.sale("s1", account=7)
    assert await centre.post(till, sale) == [ACCEPTED]
    assert await centre.post(other, sale) == [("accepted", "posted before", 0)]
    assert await centre.totals(7) == Totals(100)


async def test_the_same_key_with_another_content_changes_nothing(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    first = till.sale("s1", account=7)
    second = till.sale("s1", line(gross_minor=5_000), account=7)
    assert await centre.post(till, first, second) == [
        ACCEPTED,
        ("adjusted", "already_recorded_differently", 0),
    ]
    assert await centre.totals(7) == Totals(100)
    assert await centre.pool.fetchval("select gross_minor from receipt") == 1_000


@pytest.mark.parametrize(("points", "points_of_lot"), [(50, 50), (100, 300), (100, 1)])
async def test_sources_that_do_not_add_up_touch_no_right(
    centre: JoinedCentre, points: int, points_of_lot: int
) -> None:
    till = await vault_with_grant(centre, 300)
    await centre.customer(8)
    (grant,) = till.grants.values()
    sale = till.sale("s1", account=7, sources=[take(grant, 100)])
    (source,) = sale.sources
    other = (LotTaken(source.lots[0].lot_id, points_of_lot),)
    wrong = msgspec.structs.replace(source, points=points, lots=other)
    lying = msgspec.structs.replace(sale, sources=(wrong,))
    assert await centre.post(till, lying) == [ACCEPTED]
    assert await centre.pool.fetchval("select outstanding from right_grant") == 300
    # Posted as printed all the same: the goods were given, and nothing was available.
    assert await centre.totals(7) == Totals(300 + 90, 300)
    assert (await centre.risk_pool()).uncovered == 100
    centre.broken_checks = {"pool"}


async def test_a_right_of_another_till_account_or_receipt_is_not_touched(
    centre: JoinedCentre,
) -> None:
    await centre.fund(10_000)
    vault = await vault_with_grant(centre, 300)
    (grant,) = vault.grants.values()
    other = await centre.till()
    await centre.customer(8, 100)
    (right,) = (await other.authorise("s9", 8, 100)).authorisations
    foreign = [
        other.sale("s1", account=7, sources=[take(grant, 100)]),  # held by the vault
        other.sale("s2", account=7, sources=[take(right)]),  # of customer 8
        other.sale("s3", account=8, sources=[take(right)]),  # for receipt s9
        other.sale(
            "s4", account=8, sources=[msgspec.structs.replace(take(right), grant_id="no such")]
        ),
    ]
    assert await centre.post(other, *foreign) == [ACCEPTED] * 4
    assert await centre.totals(7) == Totals(300 + 90 + 90 - 90, 300)
    assert await centre.totals(8) == Totals(100 + 90, 100)
    assert (await centre.risk_pool()).losses == 400 - 90 - 90
    rows = await centre.pool.fetch("select outstanding from right_grant order by outstanding")
    assert [row["outstanding"] for row in rows] == [100, 300]


async def test_an_unknown_card_waits_until_somebody_is_known_by_it(centre: JoinedCentre) -> None:
    till = await centre.till()
    sale = till.sale("s1", card="4000 0001")
    refund = till.refund("r1", "s1")
    parked = ("parked", "nobody is known by its card yet", 0)
    assert await centre.post(till, sale, refund) == [
        parked,
        ("parked", "its receipt has not come yet", 0),
    ]
    await centre.apply()
    assert await centre.pool.fetchval("select count(*) from receipt") == 0
    await centre.customer(7, 10, card="4000 0001")
    await centre.apply()
    assert list((await centre.outcomes(till)).values())[1:] == [ACCEPTED, ACCEPTED]
    assert await centre.totals(7) == Totals(10)
    assert await centre.pool.fetchval("select account_id from receipt") == 7


async def test_a_card_unknown_at_the_till_is_resolved_here(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, card="4000 0001")
    assert await centre.post(till, till.sale("s1", card="4000 0001")) == [ACCEPTED]
    assert await centre.totals(7) == Totals(100)


async def test_an_account_of_nobody_is_kept_and_rejected(centre: JoinedCentre) -> None:
    till = await centre.till()
    assert await centre.post(till, till.sale("s1", account=4_711)) == [
        ("rejected_kept", "not a receipt of this centre: account 4711", 0)
    ]
    assert await centre.pool.fetchval("select count(*) from receipt") == 0


async def test_a_calculation_that_is_no_calculation_is_kept_and_rejected(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    sale = msgspec.structs.replace(till.sale("s1"), calculation=msgspec.Raw(b'{"totals":{}}'))
    ((outcome, reason, _),) = await centre.post(till, sale)
    assert outcome == "rejected_kept"
    assert reason.startswith("not a receipt of this centre: Object missing required field")


async def test_a_tampered_calculation_is_posted_as_printed_and_counted(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7)
    honest = till.sale("s1", account=7)
    assert await centre.post(till, reprinted(honest, paid_minor=900)) == [UNEQUAL]
    row = await centre.pool.fetchrow(
        "select paid_minor, equal, calculation, recalculation from receipt"
    )
    assert row is not None
    assert (row["paid_minor"], row["equal"]) == (900, False)
    assert row["recalculation"] == bytes(honest.calculation)
    assert row["calculation"] != row["recalculation"]
    centre.broken_checks = {"equal"}


async def test_rules_nobody_published_are_posted_as_printed_and_counted(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7)
    till.rules.bundle_hash = "ab" * 32
    assert await centre.post(till, till.sale("s1", account=7)) == [UNEQUAL]
    assert await centre.totals(7) == Totals(100)
    assert await centre.pool.fetchval("select recalculation from receipt") == b""
    centre.broken_checks = {"equal"}


async def test_points_are_restricted_by_the_day_of_the_sale(centre: JoinedCentre) -> None:
    await centre.fund(1_000)
    till = await centre.till()
    await centre.customer(7, 100, 100, ends=["2025-03-05", "2025-03-06"])
    assert await centre.post(till, till.sale("s1", account=7, sources=[risk(150)])) == [ACCEPTED]
    # The first lot ended today; the second counts for the last time.
    assert await centre.lots(7) == [LotState(100), LotState(0, 0, 100), LotState(85)]
    assert (await centre.risk_pool()).losses == 50
