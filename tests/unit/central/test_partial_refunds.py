"""Parts of lines come back at several tills, by the terms the receipt was sold under."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import msgspec

from loyalty.bundle import Bundle, ReturnTerms
from loyalty.calculation import Calculation
from loyalty.offers import Limits, LotTerms, NeedsLines, PointsPerMoney, Who
from loyalty.returns import (
    ReturnCalculation,
    ReturnItem,
    ReturnMade,
    already_returned,
    calculate_return,
)
from sync.records import SaleRecord
from tests.support import builders
from tests.support.builders import items, line, offer, percent, pieces, programme
from tests.support.centre import JoinedCentre, LotState, Totals
from tests.support.till_probe import TillProbe, take

ACCEPTED = ("accepted", "", 0)
DAY = "2025-03-05"
Earned = Literal["only_pending", "within_balance", "unlimited", "from_refund"]


def rules(
    earned: Earned = "unlimited",
    *,
    broken_condition: Literal["keep", "charge_back"] = "keep",
    grace_days: int = 14,
    delay_days: int = 0,
) -> Bundle:
    """Return rules with a point for every 0.10, worth 0.02, and ten percent off from five on."""
    terms = ReturnTerms(earned=earned, broken_condition=broken_condition, grace_days=grace_days)
    return builders.bundle(
        offer(
            "tenth",
            PointsPerMoney(points=1, per_minor=10, lot=LotTerms(delay_days=delay_days)),
            who=Who(identified=True),
        ),
        offer(
            "five",
            percent(10),
            who=Who(identified=True),
            needs=NeedsLines(quantity_min=5_000),
            limits=Limits(uses_per_account_max=3),
        ),
        of=replace(programme(point_value_minor=2), returns=terms),
        version=2,
    )


def shown(
    sale: SaleRecord,
    *lines: str | ReturnItem,
    made: Sequence[ReturnMade] = (),
    date: str = DAY,
    available_points: int | None = None,
) -> ReturnCalculation:
    """Return what a till shows that knows of these returns and of this balance."""
    original = msgspec.json.decode(sale.calculation, type=Calculation)
    found = calculate_return(
        original,
        items(*lines),
        already_returned(original, made),
        date=date,
        available_points=available_points,
    )
    assert isinstance(found, ReturnCalculation)
    return found


async def sold_three(centre: JoinedCentre, till: TillProbe) -> SaleRecord:
    """Sell three pieces for 29.00, which earn 290 points."""
    await centre.customer(7)
    sale = till.sale("s1", line("1", pieces=3, gross_minor=2_900), account=7)
    assert await centre.post(till, sale) == [ACCEPTED]
    return sale


# Pieces


async def test_pieces_come_back_at_several_tills_until_none_is_left(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    sale = await sold_three(centre, till)
    first = shown(sale, pieces("1", 1))
    assert await centre.post(other, other.refund("r1", "s1", shown=first)) == [ACCEPTED]
    made = (await till.receipt("s1")).returns
    rest = shown(sale, "1", made=made)
    assert await centre.post(till, till.refund("r2", "s1", shown=rest)) == [ACCEPTED]
    assert await centre.totals(7) == Totals(0)
    assert first.money_back_minor + rest.money_back_minor == 2_900
    assert await centre.post(other, other.refund("r3", "s1", pieces("1", 1))) == [
        ("adjusted", "line_already_returned", 0)
    ]


async def test_the_same_piece_at_two_tills_is_refused_by_name(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await sold_three(centre, till)
    assert await centre.post(till, till.refund("r1", "s1", pieces("1", 2))) == [ACCEPTED]
    assert await centre.post(other, other.refund("r2", "s1", pieces("1", 2))) == [
        ("adjusted", "quantity_not_left", 0)
    ]
    assert await centre.post(other, other.refund("r3", "s1", pieces("1", 1))) == [ACCEPTED]
    assert await centre.totals(7) == Totals(0)


async def test_half_a_piece_is_refused_by_name(centre: JoinedCentre) -> None:
    till = await centre.till()
    await sold_three(centre, till)
    half = till.refund("r1", "s1", ReturnItem(line_id="1", quantity=500))
    assert await centre.post(till, half) == [("adjusted", "not_whole_pieces", 0)]


async def test_a_till_is_told_the_receipt_its_returns_and_the_points_there(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    sale = await sold_three(centre, till)
    await centre.post(till, till.refund("r1", "s1", pieces("1", 1)))
    told = await till.receipt("s1")
    assert told.calculation == bytes(sale.calculation)
    assert told.returns == (ReturnMade(key="r1", items=(pieces("1", 1),)),)
    assert told.available_points == 290 - 97
    unknown = await till.receipt("s2")
    assert (unknown.calculation, unknown.returns, unknown.available_points) == (b"", (), None)


async def test_a_till_that_did_not_know_of_others_is_told_and_the_last_part_evens_out(
    centre: JoinedCentre,
) -> None:
    till, other = await centre.till(), await centre.till()
    sale = await sold_three(centre, till)
    one = shown(sale, pieces("1", 1))
    assert await centre.post(till, till.refund("r1", "s1", shown=one)) == [ACCEPTED]
    outcomes = await centre.post(
        other,
        other.refund("r2", "s1", shown=one),
        other.refund("r3", "s1", shown=one),
    )
    # The second piece is worth what the first was; the last one earned a point less.
    assert outcomes == [ACCEPTED, ("adjusted", "the till did not know of other returns", 1)]
    assert await centre.totals(7) == Totals(0)
    rows = await centre.pool.fetch(
        "select money_back_minor, charged_back_minor, taken_back from refund order by refund_key"
    )
    # The registers handed out 9.67 three times: the third time one cent more than there was.
    assert [tuple(row) for row in rows] == [(967, 0, 97), (967, 0, 97), (967, -1, 96)]


async def test_figures_that_cannot_be_read_are_worked_out_anew(centre: JoinedCentre) -> None:
    till = await centre.till()
    await sold_three(centre, till)
    strange = msgspec.structs.replace(
        till.refund("r1", "s1"), calculation=msgspec.Raw(b'{"money":1}')
    )
    ((outcome, reason, _),) = await centre.post(till, strange)
    assert (outcome, reason) == ("adjusted", "what was shown cannot be read; worked out anew")
    assert await centre.totals(7) == Totals(0)


# Discounts whose condition the return breaks


async def test_a_charge_for_a_broken_offer_is_known_to_the_next_till(
    centre: JoinedCentre,
) -> None:
    await centre.publish(rules(broken_condition="charge_back"))
    till, other = await centre.till(), await centre.till()
    await centre.customer(7)
    sale = till.sale("s1", line("1", pieces=6, gross_minor=6_000), account=7)
    await centre.post(till, sale)
    first = shown(sale, pieces("1", 2))
    assert (first.money_back_minor, first.charged_back_minor) == (1_400, 400)
    assert await centre.post(till, till.refund("r1", "s1", shown=first)) == [ACCEPTED]
    told = await other.receipt("s1")
    assert [one.charged_back_minor for one in told.returns] == [400]
    second = shown(sale, "1", made=told.returns)
    assert second.money_back_minor == 5_400 - 1_400
    assert await centre.post(other, other.refund("r2", "s1", shown=second)) == [ACCEPTED]
    assert await centre.pool.fetchval("select sum(money_back_minor) from refund") == 5_400
    assert await centre.pool.fetchval("select sum(charged_back_minor) from refund") == 0


# Points that were spent since


async def spent(centre: JoinedCentre, till: TillProbe, points: int) -> SaleRecord:
    """Sell for 10.00, which earns 100 points, and spend so many of them elsewhere."""
    await centre.customer(7)
    sale = till.sale("s1", line("1"), account=7)
    await centre.post(till, sale)
    (right,) = (await till.authorise("s2", 7, points)).authorisations
    bare = till.sale(
        "s2", line("1", pieces=4, gross_minor=40 * points), account=7, sources=[take(right)]
    )
    await centre.post(till, bare)
    return sale


async def without_new_points(centre: JoinedCentre) -> None:
    """Take away what the spending sale earned, so that only the first sale's points count."""
    await centre.pool.execute("update lot set restriction = 'elsewhere' where sale_key = 's2'")


async def test_within_balance_posts_what_was_shown_although_it_is_gone_by_then(
    centre: JoinedCentre,
) -> None:
    await centre.publish(rules("within_balance"))
    till = await centre.till()
    sale = await spent(centre, till, 60)
    await without_new_points(centre)
    told = await till.receipt("s1")
    assert told.available_points == 40
    view = shown(sale, "1", available_points=told.available_points)
    assert view.taken_back_total == 40
    (right,) = (await till.authorise("s3", 7, 30)).authorisations
    assert right.points == 30
    assert await centre.post(till, till.refund("r1", "s1", shown=view)) == [ACCEPTED]
    # Of the 40 the customer was shown, 30 are held for another receipt by now: they are owed.
    assert (await centre.totals(7)).debt == 30
    assert await centre.pool.fetchval("select taken_back from refund") == 40


async def test_within_balance_lets_go_what_was_taken_as_if_it_were_there(
    centre: JoinedCentre,
) -> None:
    await centre.publish(rules("within_balance"))
    till = await centre.till()
    sale = await spent(centre, till, 60)
    await without_new_points(centre)
    view = shown(sale, "1")
    assert view.taken_back_total == 100
    assert await centre.post(till, till.refund("r1", "s1", shown=view)) == [
        ("adjusted", "the account no longer had all points", 60)
    ]
    assert (await centre.totals(7)).debt == 0
    assert await centre.pool.fetchval("select taken_back from refund") == 40


async def test_within_balance_with_nothing_there_writes_no_entry(centre: JoinedCentre) -> None:
    await centre.publish(rules("within_balance"))
    till = await centre.till()
    sale = await spent(centre, till, 100)
    await without_new_points(centre)
    outcomes = await centre.post(till, till.refund("r1", "s1", shown=shown(sale, "1")))
    assert outcomes == [("adjusted", "the account no longer had all points", 100)]
    kinds = await centre.pool.fetch("select kind from ledger_entry where subject = 'r1'")
    assert kinds == []


async def test_from_refund_deducts_money_and_takes_only_what_is_there(
    centre: JoinedCentre,
) -> None:
    await centre.publish(rules("from_refund"))
    till = await centre.till()
    sale = await spent(centre, till, 60)
    await without_new_points(centre)
    before = await centre.totals(7)
    view = shown(sale, "1", available_points=(await till.receipt("s1")).available_points)
    assert (view.money_back_minor, view.deducted_minor, view.deducted_points) == (880, 120, 60)
    assert await centre.post(till, till.refund("r1", "s1", shown=view)) == [ACCEPTED]
    assert await centre.totals(7) == Totals(before.posted - 40)
    row = await centre.pool.fetchrow(
        "select money_back_minor, deducted_minor, deducted_points, taken_back from refund"
    )
    assert row is not None
    assert tuple(row) == (880, 120, 60, 40)


async def test_from_refund_is_owed_where_nobody_could_say_what_the_account_has(
    centre: JoinedCentre,
) -> None:
    await centre.publish(rules("from_refund"))
    till = await centre.till()
    sale = await spent(centre, till, 60)
    await without_new_points(centre)
    assert await centre.post(till, till.refund("r1", "s1", shown=shown(sale, "1"))) == [ACCEPTED]
    assert (await centre.totals(7)).debt == 60


async def test_only_pending_leaves_points_that_could_be_spent(centre: JoinedCentre) -> None:
    await centre.publish(rules("only_pending", delay_days=3))
    till = await centre.till()
    await centre.customer(7)
    sale = till.sale("s1", line("1", pieces=2, gross_minor=2_000), account=7)
    await centre.post(till, sale)
    early = till.refund("r1", "s1", shown=shown(sale, pieces("1", 1), date="2025-03-07"))
    early = msgspec.structs.replace(early, moment=builders.moment("2025-03-07T12:00:00"))
    assert await centre.post(till, early) == [ACCEPTED]
    made = (await till.receipt("s1")).returns
    late = shown(sale, "1", made=made, date="2025-03-08")
    assert late.taken_back == ()
    posted = await centre.post(till, till.refund("r2", "s1", shown=late, date="2025-03-08"))
    assert posted == [ACCEPTED]
    assert await centre.totals(7) == Totals(100)


# Lots that have ended


async def test_points_of_a_lot_that_has_ended_live_through_the_grace(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 100, ends=["2025-03-10"])
    (right,) = (await till.authorise("s1", 7, 60)).authorisations
    sale = till.sale("s1", line("1"), account=7, sources=[take(right)])
    await centre.post(till, sale)
    view = shown(sale, "1", date="2025-03-20")
    refund = till.refund("r1", "s1", shown=view, date="2025-03-20")
    assert await centre.post(till, refund) == [ACCEPTED]
    rows = await centre.pool.fetch(
        "select available, redeemed, active_from, expires_on, name from lot"
        " where offer_id <> 'tenth' order by lot_id"
    )
    # What was left in the lot stays ended; what comes back is a lot of its own.
    assert [tuple(row)[:4] for row in rows] == [
        (40, 60, "2025-01-01", "2025-03-10"),
        (60, 0, "2025-03-20", "2025-04-03"),
    ]
    assert rows[0]["name"] == rows[1]["name"]


async def test_without_grace_points_go_back_into_the_ended_lot(centre: JoinedCentre) -> None:
    await centre.publish(rules(grace_days=0))
    till = await centre.till()
    await centre.customer(7, 100, ends=["2025-03-10"])
    (right,) = (await till.authorise("s1", 7, 60)).authorisations
    sale = till.sale("s1", line("1", gross_minor=2_000), account=7, sources=[take(right)])
    await centre.post(till, sale, till.refund("r1", "s1", date="2025-03-20"))
    assert (await centre.lots(7))[0] == LotState(100)


async def test_points_that_have_ended_do_not_pay_for_what_is_taken_back(
    centre: JoinedCentre,
) -> None:
    await centre.publish(rules())
    till = await centre.till()
    await centre.customer(7, 500, ends=["2025-03-10"])
    sale = till.sale("s1", line("1"), account=7)
    await centre.post(till, sale)
    (right,) = (await till.authorise("s2", 7, 550)).authorisations
    # Soonest ending first: all of the old lot and half of the earned one are held.
    assert right.points == 550
    assert (await till.receipt("s1", date="2025-03-20")).available_points == 50
    assert await centre.post(till, till.refund("r1", "s1", date="2025-03-20")) == [ACCEPTED]
    assert (await centre.totals(7)).debt == 50


# Counters


async def test_a_limited_use_comes_back_with_the_last_goods(centre: JoinedCentre) -> None:
    await centre.publish(rules())
    till = await centre.till()
    await centre.customer(7)
    sale = till.sale("s1", line("1", pieces=5, gross_minor=5_000), account=7)
    await centre.post(till, sale)

    async def uses() -> tuple[int, int]:
        used = await centre.pool.fetchval(
            "select coalesce(sum(value), 0)::bigint from account_counter where name = 'uses:five'"
        )
        return used, await centre.pool.fetchval(
            "select purchases from account where account_id = 7"
        )

    assert await uses() == (1, 1)
    await centre.post(till, till.refund("r1", "s1", pieces("1", 4)))
    assert await uses() == (1, 1)
    await centre.post(till, till.refund("r2", "s1"))
    assert await uses() == (0, 0)


# Complaints (design: market 2)


async def test_complaint_7_buying_and_returning_over_and_over_leaves_no_points(
    centre: JoinedCentre,
) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7, 25)
    for number in range(3):
        key = f"s{number}"
        sale = till.sale(key, line("1", pieces=3, gross_minor=2_900), account=7)
        parts = [other.refund(f"{key}-{piece}", key, pieces("1", 1)) for piece in range(3)]
        assert await centre.post(till, sale) == [ACCEPTED]
        assert await centre.post(other, *parts) == [ACCEPTED] * 3
        assert await centre.totals(7) == Totals(25)
