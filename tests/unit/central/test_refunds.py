"""Returns: all goes back where it came from, each piece once; held points are never touched."""

from sync.signing import NO_SESSION
from tests.support.builders import line
from tests.support.centre import JoinedCentre, LotState, PoolState, Totals
from tests.support.till_probe import risk, take

ACCEPTED = ("accepted", "", 0)
PARKED = ("parked", "its receipt has not come yet", 0)


async def test_earned_points_are_taken_back(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 20)
    two = till.sale("s1", line("1"), line("2", gross_minor=500), account=7)
    assert await centre.post(till, two, till.refund("r1", "s1", "2")) == [ACCEPTED, ACCEPTED]
    assert await centre.totals(7) == Totals(20 + 100)
    assert await centre.lots(7) == [LotState(20), LotState(100, taken_back=50)]
    row = await centre.pool.fetchrow(
        "select sale_key, line_id, quantity, money_back_minor, points_back, taken_back"
        " from refund join returned_line using (refund_key, sale_key)"
    )
    assert row is not None
    assert tuple(row) == ("s1", "2", 1_000, 500, 0, 50)


async def test_all_lines_in_two_parts_reverse_exactly_everything(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 333)
    (right,) = (await till.authorise("s1", 7, 333)).authorisations
    lines = [line(str(n), gross_minor=n * 137) for n in range(1, 7)]
    sale = till.sale("s1", *lines, account=7, sources=[take(right)])
    parts = till.refund("r1", "s1", "1", "4", "6"), till.refund("r2", "s1", "2", "3", "5")
    assert await centre.post(till, sale, *parts) == [ACCEPTED] * 3
    assert await centre.totals(7) == Totals(333)
    first, earned = await centre.lots(7)
    assert first == LotState(333)
    assert (earned.available, earned.redeemed) == (0, 0)


async def test_points_go_back_to_the_lots_that_paid(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 100, 100, ends=["2025-06-01"])
    (right,) = (await till.authorise("s1", 7, 150)).authorisations
    await centre.post(till, till.sale("s1", account=7, sources=[take(right)]))
    assert await centre.lots(7) == [LotState(0, 0, 100), LotState(50, 0, 50), LotState(85)]
    assert await centre.post(till, till.refund("r1", "s1")) == [ACCEPTED]
    assert await centre.lots(7) == [LotState(100), LotState(100), LotState(0, taken_back=85)]


async def test_each_line_gives_back_to_the_lot_that_paid_for_it(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 100, 100, ends=["2025-06-01"])
    (right,) = (await till.authorise("s1", 7, 200)).authorisations
    two = till.sale("s1", line("1"), line("2"), account=7, sources=[take(right)])
    await centre.post(till, two, till.refund("r1", "s1", "1"))
    assert (await centre.lots(7))[:2] == [LotState(100), LotState(0, 0, 100)]
    await centre.post(till, till.refund("r2", "s1", "2"))
    assert (await centre.lots(7))[:2] == [LotState(100), LotState(100)]


async def test_where_other_lots_paid_than_printed_they_get_back_before_the_pool(
    centre: JoinedCentre,
) -> None:
    await centre.fund(2_000)
    till, other = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 100, home="store-1")
    (grant,) = (await till.pull()).grants
    await centre.post(till, till.sale("s1", line(gross_minor=400), account=7))
    foreign = other.sale("s2", line("1"), line("2"), account=7, sources=[take(grant)])
    assert await centre.post(other, foreign) == [ACCEPTED]
    assert (await centre.lots(7))[:2] == [LotState(0, 100), LotState(0, 0, 40)]
    assert (await centre.risk_pool()).losses == 60
    assert await centre.post(other, other.refund("r1", "s2", "1")) == [ACCEPTED]
    first, paid, *_ = await centre.lots(7)
    assert first == LotState(0, 100)
    assert (paid.redeemed, (await centre.risk_pool()).losses) == (0, 50)


async def test_what_the_pool_paid_goes_back_to_the_pool(centre: JoinedCentre) -> None:
    await centre.fund(1_000)
    till = await centre.till()
    await centre.customer(7, 30)
    await centre.post(till, till.sale("s1", account=7, sources=[risk(100)]))
    assert await centre.risk_pool() == PoolState(530, 400, losses=70)
    assert await centre.post(till, till.refund("r1", "s1")) == [ACCEPTED]
    assert await centre.risk_pool() == PoolState(600, 400)
    assert await centre.totals(7) == Totals(30)


async def test_points_already_spent_are_owed_and_repaid_by_later_earnings(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7)
    await centre.post(till, till.sale("s1", account=7))
    (right,) = (await till.authorise("s2", 7, 100)).authorisations
    await centre.post(till, till.sale("s2", account=7, sources=[take(right)]))
    assert await centre.totals(7) == Totals(90)
    assert await centre.post(till, till.refund("r1", "s1")) == [ACCEPTED]
    assert await centre.totals(7) == Totals(0, 0, 10)
    await centre.post(till, till.sale("s3", line(gross_minor=60), account=7))
    assert await centre.totals(7) == Totals(0, 0, 4)
    await centre.post(till, till.sale("s4", account=7))
    assert await centre.totals(7) == Totals(96)
    rows = await centre.pool.fetch("select kind from ledger_entry order by entry_id")
    assert [row["kind"] for row in rows] == [
        "earn", "redeem", "earn", "take_back", "earn", "repay", "earn", "repay",
    ]  # fmt: skip


async def test_points_held_for_a_till_are_never_taken_back(centre: JoinedCentre) -> None:
    till, vault = await centre.till(), await centre.till(is_vault=True)
    await centre.customer(7, home="store-1")
    await centre.post(till, till.sale("s1", account=7))
    (grant,) = (await vault.pull()).grants
    assert await centre.totals(7) == Totals(100, 100)
    assert await centre.post(till, till.refund("r1", "s1")) == [ACCEPTED]
    assert await centre.totals(7) == Totals(100, 100, 100)
    paid = vault.sale("s2", account=7, sources=[take(grant)])
    assert await centre.post(vault, paid) == [ACCEPTED]
    assert await centre.totals(7) == Totals(0, 0, 10)


async def test_a_return_before_its_receipt_waits_for_it(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7)
    assert await centre.post(other, other.refund("r1", "s1")) == [PARKED]
    assert await centre.totals(7) == Totals(0)
    assert await centre.post(till, till.sale("s1", account=7)) == [ACCEPTED]
    assert list((await centre.outcomes(other)).values())[1:] == [ACCEPTED]
    assert await centre.totals(7) == Totals(0)
    assert await centre.pool.fetchval("select count(*) from inbox where not applied") == 0


async def test_the_second_return_of_a_line_gives_nothing(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7)
    sale = till.sale("s1", line("1"), line("2"), account=7)
    assert await centre.post(till, sale, till.refund("r1", "s1", "1")) == [ACCEPTED, ACCEPTED]
    assert await centre.post(other, other.refund("r2", "s1", "1", "2")) == [
        ("adjusted", "line_already_returned", 0)
    ]
    assert await centre.totals(7) == Totals(100)
    assert await centre.post(other, other.refund("r3", "s1", "2")) == [ACCEPTED]
    assert await centre.totals(7) == Totals(0)


async def test_the_same_return_twice_is_posted_once(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7)
    await centre.post(till, till.sale("s1", account=7), till.refund("r1", "s1"))
    assert await centre.post(other, other.refund("r1", "s1")) == [("accepted", "posted before", 0)]
    assert await centre.pool.fetchval("select count(*) from refund") == 1


async def test_a_line_the_receipt_does_not_have_gives_nothing(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    sale = till.sale("s1", account=7)
    assert await centre.post(till, sale, till.refund("r1", "s1", "1", "77")) == [
        ACCEPTED,
        ("adjusted", "line_unknown", 0),
    ]
    assert await centre.totals(7) == Totals(100)


async def test_a_return_of_nobodys_receipt_is_noted(centre: JoinedCentre) -> None:
    till = await centre.till()
    assert await centre.post(till, till.sale("s1"), till.refund("r1", "s1")) == [ACCEPTED, ACCEPTED]
    assert await centre.pool.fetchval("select money_back_minor from refund") == 1_000
    assert till.session != NO_SESSION


async def test_points_given_back_pay_what_is_taken_back(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 500)
    (right,) = (await till.authorise("s1", 7, 500)).authorisations
    await centre.post(till, till.sale("s1", account=7, sources=[take(right)]))
    (spent,) = (await till.authorise("s2", 7, 50)).authorisations
    await centre.post(till, till.sale("s2", account=7, sources=[take(spent)]))
    assert await centre.totals(7) == Totals(95)
    assert await centre.post(till, till.refund("r1", "s1")) == [ACCEPTED]
    assert await centre.totals(7) == Totals(500 + 95 - 50)
