"""Shares of what is limited over all customers: never more than the limit, home only by record."""

import asyncio
import json

import asyncpg
import pytest

from central.database.doors import Door
from central.database.pool import Pool
from central.rights.counters import (
    EXCEEDED_KEPT_DAYS,
    KEPT_DAYS,
    CounterState,
    read_states,
    release,
    sweep,
)
from central.rights.issuing import RightsSettings
from loyalty.account import Allowance
from loyalty.basket import BasketLine
from loyalty.bundle import Bundle
from loyalty.offers import AmountOff, Limits, NeedsCode, SharedLimit
from sync.errors import RefusedError
from sync.messages import CounterGrant, UsedCode
from sync.records import CounterDrawn, SaleRecord
from tests.support import builders
from tests.support.centre import KEYS, JoinedCentre, joined_centre
from tests.support.till_probe import TillProbe

ACCEPTED = ("accepted", "", 0)
BEYOND = ("accepted", "it gives more of what is limited over all customers than was set aside", 0)

USES = "campaign.uses:hundred"
MINOR = "campaign.minor:budget"
TODAY = "store.uses.store-1:daily@2025-03-05"
ONCE = "code.uses:ONCE-1"


def limited(uses_max: int = 10, version: int = 2) -> Bundle:
    """Return an offer of each kind of limit."""
    return builders.bundle(
        builders.offer("hundred", limits=Limits(campaign=SharedLimit(uses_max=uses_max))),
        builders.offer(
            "budget",
            AmountOff(amount_minor=200),
            limits=Limits(campaign=SharedLimit(discount_minor_max=5_000)),
        ),
        builders.offer("daily", limits=Limits(store=SharedLimit(uses_max=3, period="day"))),
        builders.offer(
            "coupon", AmountOff(amount_minor=50), needs=NeedsCode(prefix="ONCE-", uses_max=1)
        ),
        version=version,
    )


async def tills(centre: JoinedCentre, count: int, uses_max: int = 10) -> list[TillProbe]:
    """Publish limits and enrol tills."""
    await centre.publish(limited(uses_max))
    return [await centre.till() for _ in range(count)]


async def state(centre: JoinedCentre, name: str = USES) -> CounterState:
    states = await read_states(centre.pool, now_ms=centre.system.now_ms())
    return next(each for each in states if each.name == name)


async def figures(centre: JoinedCentre, name: str = USES) -> tuple[int, int, int, int]:
    """Return handed out, used, overdrawn and in excess."""
    found = await state(centre, name)
    return found.handed_out, found.used, found.overdrawn, found.excess


async def share(till: TillProbe, name: str = USES, amount: int = 0) -> CounterGrant:
    (grant,) = (await till.ask_counters(name, amount=amount)).grants
    return grant


def drawing(
    till: TillProbe, key: str, *grants: CounterGrant, name: str = USES, lines: int = 1
) -> SaleRecord:
    """Return a receipt that draws one use of each grant, or has none behind it."""
    basket = [
        BasketLine(line_id=str(n + 1), sku="milk", quantity=1_000, gross_minor=1_000)
        for n in range(lines)
    ]
    return till.sale(
        key,
        *basket,
        allowance=Allowance(left={name: 1}),
        drawn=[CounterDrawn(grant.grant_id, 1) for grant in grants],
    )


# Handing out


async def test_each_till_gets_a_part_of_what_is_left(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(counter_parts=1)) as centre:
        first, second = await tills(centre, 2)
        assert [(await share(till)).amount for till in (first, second)] == [5, 3]
        assert await figures(centre) == (8, 0, 0, 0)


async def test_all_tills_together_get_no_more_than_the_limit(centre: JoinedCentre) -> None:
    probes = await tills(centre, 4)
    # However slowly they go: none is told to come again.
    centre.parts.desk.front.purchases = Door(running_max=3, waiting_max=9, wait_s_max=600.0)
    answers = await asyncio.gather(
        *(till.ask_counters(USES, amount=4) for till in probes for _ in range(1))
    )
    assert sum(grant.amount for answer in answers for grant in answer.grants) == 10
    assert await figures(centre) == (10, 0, 0, 0)


async def test_the_limit_is_a_constraint_of_the_table(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    await share(till, amount=10)
    with pytest.raises(asyncpg.CheckViolationError, match="shared_counter_bounded"):
        await centre.pool.execute("update shared_counter set given = given + 1")
    with pytest.raises(asyncpg.CheckViolationError, match="counter_grant_adds_up"):
        await centre.pool.execute("update counter_grant set outstanding = outstanding + 1")


async def test_a_stores_limit_is_for_its_own_tills(centre: JoinedCentre) -> None:
    await centre.store("store-2")
    await centre.publish(limited())
    here, there = await centre.till(), await centre.till("store-2")
    assert (await there.ask_counters(TODAY, amount=1)).grants == ()
    assert (await share(here, TODAY)).amount == 1


@pytest.mark.parametrize(
    "name",
    [
        "campaign.uses:unheard-of",
        "store.uses.store-1:daily@2025-06-05",
        "store.uses.store-1:daily",
        "code.uses:SPRING",
        "uses:hundred",
    ],
)
async def test_what_the_newest_rules_do_not_limit_here_and_now_is_not_handed_out(
    centre: JoinedCentre, name: str
) -> None:
    (till,) = await tills(centre, 1)
    assert (await till.ask_counters(name, amount=1)).grants == ()
    assert await centre.pool.fetchval("select count(*) from shared_counter") == 0


async def test_money_comes_in_parts_worth_having(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    assert (await share(till, MINOR)).amount == 1_250
    assert (await share(till, MINOR, amount=1_500)).amount == 1_500


async def test_a_lower_limit_stops_further_hand_out_and_takes_nothing(
    centre: JoinedCentre,
) -> None:
    first, second = await tills(centre, 2)
    assert (await share(first, amount=6)).amount == 6
    await centre.publish(limited(4, version=3))
    assert (await second.ask_counters(USES, amount=1)).grants == ()
    assert (await state(centre)).most == 6
    await centre.publish(limited(8, version=4))
    assert (await share(second, amount=5)).amount == 2


async def test_only_verified_sessions_of_the_named_incarnation_get_any(
    centre: JoinedCentre,
) -> None:
    (till,) = await tills(centre, 1)
    await till.push()
    till.forget_after(0)
    till.append(till.void("another history"))
    assert (await till.hello()).verdict == "amnesia"
    with pytest.raises(RefusedError):
        await till.ask_counters(USES)
    await till.hello()
    session = till.session
    till.open_stream(2)
    till.session = session
    with pytest.raises(RefusedError):
        await till.ask_counters(USES)


async def test_a_revoked_till_gets_none(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    await centre.pool.execute("update till set revoked = true")
    with pytest.raises(RefusedError):
        await till.ask_counters(USES)


# On its way


async def test_a_grant_that_was_lost_is_sent_again_and_counts_once(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    lost = (await till.ask_counters(USES, receive=False)).grants
    assert (await till.ask_counters(USES)).grants == lost
    assert await figures(centre) == (lost[0].amount, 0, 0, 0)


async def test_a_till_that_says_what_it_has_gets_more_at_once(centre: JoinedCentre) -> None:
    """Its record of the first grant has not come: the second customer does not wait for it."""
    (till,) = await tills(centre, 1)
    first = await share(till, amount=1)
    second = await share(till, amount=2)
    assert first.grant_id != second.grant_id


async def test_what_never_arrived_comes_home_with_the_next_session(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    lost = (await till.ask_counters(USES, amount=4, receive=False)).grants
    assert (await figures(centre))[0] == 4
    await till.push()
    await centre.apply()
    await till.hello()
    await till.pull()
    assert await figures(centre) == (0, 0, 0, 0)
    # A late copy of it is for a session that is over: the till does not keep it.
    assert lost[0].session != till.session


async def test_what_arrived_and_is_not_told_yet_does_not_come_home(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    await till.push()
    await share(till, amount=4)
    await till.hello()
    await till.pull()
    assert (await figures(centre))[0] == 4


# Receipts


async def test_a_receipt_takes_what_it_draws_out_of_its_tills_grant_once(
    centre: JoinedCentre,
) -> None:
    (till,) = await tills(centre, 1)
    grant = await share(till, amount=4)
    sale = drawing(till, "s1", grant)
    assert await centre.post(till, sale, sale) == [ACCEPTED, ("accepted", "posted before", 0)]
    assert await figures(centre) == (3, 1, 0, 0)


async def test_more_than_was_set_aside_is_posted_as_printed_and_shown(
    centre: JoinedCentre,
) -> None:
    first, second = await tills(centre, 2, uses_max=1)
    grant = await share(first, amount=1)
    assert await centre.post(first, drawing(first, "s1", grant)) == [ACCEPTED]
    assert await centre.post(second, drawing(second, "s2", grant)) == [BEYOND]
    assert await centre.post(second, drawing(second, "s3")) == [BEYOND]
    assert await figures(centre) == (0, 1, 2, 2)
    assert (await first.ask_counters(USES, amount=1)).grants == ()


async def test_a_receipt_of_somebody_who_is_known_counts_the_same(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    await centre.customer(7, 100)
    grant = await share(till, amount=4)
    sale = till.sale(
        "s1",
        account=7,
        allowance=Allowance(left={USES: 1}),
        drawn=[CounterDrawn(grant.grant_id, 1)],
    )
    assert await centre.post(till, sale) == [ACCEPTED]
    assert await figures(centre) == (3, 1, 0, 0)
    assert await centre.pool.fetchval("select count(*) from account_counter") == 0


async def test_goods_that_come_back_make_room_again(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    grant = await share(till, amount=10)
    await centre.post(till, drawing(till, "s1", grant, lines=2))
    assert await figures(centre) == (9, 1, 0, 0)
    await centre.post(till, till.refund("r1", "s1", "1"))
    assert await figures(centre) == (9, 1, 0, 0)
    await centre.post(till, till.refund("r2", "s1", "2"))
    assert await figures(centre) == (9, 0, 0, 0)
    assert (await share(till, amount=1)).amount == 1


async def test_what_was_overdrawn_and_comes_back_is_overdrawn_no_more(
    centre: JoinedCentre,
) -> None:
    (till,) = await tills(centre, 1)
    await centre.post(till, drawing(till, "s1"))
    assert await figures(centre) == (0, 0, 1, 1)
    await centre.post(till, till.refund("r1", "s1"))
    assert await figures(centre) == (0, 0, 0, 0)


# Coming home


async def test_a_residue_comes_home_as_stated_and_once(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    grant = await share(till, amount=4)
    assert await centre.post(till, till.counter_home(grant, 3)) == [ACCEPTED]
    assert await figures(centre) == (1, 0, 0, 0)
    assert await centre.post(till, till.counter_home(grant, 3)) == [
        ("adjusted", "the grant had less", 0)
    ]
    assert await figures(centre) == (0, 0, 0, 0)


async def test_records_of_one_till_may_be_applied_in_any_order(centre: JoinedCentre) -> None:
    """The residue is stated, so a return that is applied before the sale releases no use twice."""
    (till,) = await tills(centre, 1)
    grant = await share(till, amount=4)
    await centre.post(till, till.counter_home(grant, 3), drawing(till, "s1", grant))
    assert await figures(centre) == (0, 1, 0, 0)


async def test_only_its_till_sends_a_grant_home(centre: JoinedCentre) -> None:
    first, second = await tills(centre, 2)
    grant = await share(first, amount=4)
    assert await centre.post(second, second.counter_home(grant)) == [
        ("rejected_kept", "no such grant of this till", 0)
    ]
    assert (await figures(centre))[0] == 4


async def test_time_brings_nothing_home(centre: JoinedCentre) -> None:
    """A till silent for a year, its period long over, may still have given what it was given."""
    first, second = await tills(centre, 2)
    await share(first, amount=10)
    await share(first, TODAY, amount=3)
    await first.push()
    await centre.apply()
    centre.system.pass_days(365)
    assert (await second.ask_counters(USES, amount=1)).grants == ()
    assert (await figures(centre))[0] == 10
    held = "select handed_out from shared_counter_state where name = $1"
    assert await centre.pool.fetchval(held, TODAY) == 3


async def test_what_another_till_needs_is_asked_back(centre: JoinedCentre) -> None:
    first, second = await tills(centre, 2)
    grant = await share(first, amount=10)
    await first.push()
    await centre.apply()
    assert (await first.pull()).recalls == ()
    assert (await second.ask_counters(USES)).grants == ()
    assert (await first.pull()).recalls == ()
    assert (await second.ask_counters(USES, amount=1)).grants == ()
    assert (await first.pull()).recalls == (grant.grant_id,)
    await centre.post(first, first.counter_home(grant))
    assert (await share(second, amount=1)).amount >= 1


# Codes


async def test_a_single_code_is_one_tills_at_a_time(centre: JoinedCentre) -> None:
    first, second = await tills(centre, 2)
    grant = await share(first, ONCE, amount=1)
    assert grant.amount == 1
    answer = await second.ask_counters(ONCE, amount=1)
    assert (answer.grants, answer.used_codes) == ((), ())


async def test_a_used_code_is_told_with_when_and_where(centre: JoinedCentre) -> None:
    first, second = await tills(centre, 2)
    grant = await share(first, ONCE, amount=1)
    sale = first.sale(
        "s1",
        codes=["ONCE-1"],
        allowance=Allowance(left={ONCE: 1}),
        drawn=[CounterDrawn(grant.grant_id, 1)],
    )
    assert await centre.post(first, sale) == [ACCEPTED]
    answer = await second.ask_counters(ONCE, amount=1)
    last = "2025-03-05T12:00:00 store store-1"
    assert answer.used_codes == (UsedCode(code="ONCE-1", last=last),)


# For people


async def test_an_operator_gives_up_what_a_dead_till_holds(centre: JoinedCentre) -> None:
    first, second = await tills(centre, 2)
    grant = await share(first, amount=10)
    held = await release(centre.pool, first.till_id, really=False)
    assert (held.grants, held.amounts) == (1, {USES: 10})
    assert (await figures(centre))[0] == 10
    assert await release(centre.pool, first.till_id, counter="another", really=True) != held
    assert await release(centre.pool, first.till_id, really=True) == held
    assert (await share(second, amount=10)).amount == 10
    # It was not dead after all.
    assert await centre.post(first, drawing(first, "s1", grant)) == [BEYOND]
    assert await figures(centre) == (10, 0, 1, 1)


async def test_what_is_held_by_tills_nobody_hears_of_is_told(centre: JoinedCentre) -> None:
    first, second = await tills(centre, 2)
    await share(first, amount=4)
    await share(second, amount=2)
    assert (await state(centre)).silent == 0
    centre.system.pass_days(2)
    await second.hello()
    assert (await state(centre)).silent == 4


async def test_the_meter_names_counters_that_were_overdrawn(centre: JoinedCentre) -> None:
    async def exceeded() -> object:
        headers = {"authorization": f"Bearer {KEYS.office_token}"}
        response = await centre.http.get("/v1/exposure", headers=headers)
        return json.loads(response.content)["counters_exceeded"]

    (till,) = await tills(centre, 1, uses_max=1)
    grant = await share(till, amount=1)
    await centre.post(till, drawing(till, "s1", grant))
    assert await exceeded() == 0
    await centre.post(till, drawing(till, "s2"))
    assert await exceeded() == 1


# Swept


async def test_settled_grants_are_forgotten_and_their_uses_are_not(centre: JoinedCentre) -> None:
    (till,) = await tills(centre, 1)
    used, held = await share(till, amount=1), await share(till, amount=9)
    rest = till.counter_home(used, used.amount - 1)
    await centre.post(till, drawing(till, "s1", used), rest)
    before = await figures(centre)
    assert await sweep(centre.pool, now_ms=centre.system.now_ms()) == 0
    centre.system.pass_days(KEPT_DAYS + 1)
    assert await sweep(centre.pool, now_ms=centre.system.now_ms()) == 1
    assert await figures(centre) == before
    rows = await centre.pool.fetch("select grant_id from counter_grant")
    assert [row["grant_id"] for row in rows] == [held.grant_id]
    # Goods come back after that: there is room for one use again.
    await centre.post(till, till.refund("r1", "s1"))
    assert (await figures(centre))[1] == 0
    assert await sweep(centre.pool, now_ms=centre.system.now_ms()) == 0


async def test_a_late_record_that_names_a_swept_grant_is_told_as_before(
    centre: JoinedCentre,
) -> None:
    (till,) = await tills(centre, 1)
    grant = await share(till, amount=10)
    await centre.post(till, till.counter_home(grant))
    centre.system.pass_days(KEPT_DAYS + 1)
    assert await sweep(centre.pool, now_ms=centre.system.now_ms()) == 1
    assert await centre.post(till, drawing(till, "s1", grant)) == [BEYOND]
    assert await figures(centre) == (0, 0, 1, 0)


async def test_counters_of_periods_long_over_go_and_exceeded_ones_stay_longer(
    centre: JoinedCentre,
) -> None:
    (till,) = await tills(centre, 1)
    grant = await share(till, TODAY, amount=1)
    await centre.post(till, till.counter_home(grant))
    assert await centre.post(till, drawing(till, "s1", name=TODAY)) == [BEYOND]
    centre.system.pass_days(KEPT_DAYS + 3)
    assert await sweep(centre.pool, now_ms=centre.system.now_ms()) == 1  # the grant
    names = "select count(*) from shared_counter where name = $1"
    assert await centre.pool.fetchval(names, TODAY) == 1
    centre.system.pass_days(EXCEEDED_KEPT_DAYS)
    await sweep(centre.pool, now_ms=centre.system.now_ms())
    assert await centre.pool.fetchval(names, TODAY) == 0
