"""Points set aside for one receipt: asking twice is safe, the receipt settles, time does not."""

import asyncio

from central.database.doors import Door
from sync.messages import AuthoriseAnswer
from tests.support.builders import line
from tests.support.centre import JoinedCentre, LotState, Totals
from tests.support.till_probe import take

ACCEPTED = ("accepted", "", 0)


async def test_asked_again_the_answer_is_the_same_and_only_what_is_missing_is_added(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    first = await till.authorise("s1", 7, 100)
    assert await till.authorise("s1", 7, 100) == first
    assert await till.authorise("s1", 7, 60) == first
    assert await centre.totals(7) == Totals(300, 100)
    more = await till.authorise("s1", 7, 180)
    assert more.authorisations[:1] == first.authorisations
    assert [right.points for right in more.authorisations] == [100, 80]
    assert await centre.totals(7) == Totals(300, 180)


async def test_an_authorisation_names_its_receipt_till_and_lots(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 100, 100, ends=["2025-06-01"])
    (right,) = (await till.authorise("s1", 7, 150)).authorisations
    assert (right.purpose, right.sale_key, right.account_id) == ("authorisation", "s1", 7)
    assert (right.till_id, right.incarnation, right.session) == (
        till.till_id,
        till.incarnation,
        till.session,
    )
    # The lot that ends first is spent first.
    assert [(lot.points, lot.expires_on) for lot in right.lots] == [(100, "2025-06-01"), (50, "")]
    assert await centre.lots(7) == [LotState(0, 100), LotState(50, 50)]


async def test_no_more_than_there_is_and_lots_that_ended_count_no_more(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 100, 70, ends=["2025-03-05"])
    answer = await till.authorise("s1", 7, 500)
    assert [right.points for right in answer.authorisations] == [70]
    assert answer.held_elsewhere_points == 0
    assert (await till.authorise("s2", 7, 1)).authorisations == ()
    assert await till.authorise("s3", 4_711, 1) == AuthoriseAnswer()


async def test_an_unused_authorisation_is_released_by_the_receipt(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await till.authorise("s1", 7, 200)
    centre.system.pass_days(400)
    assert await centre.totals(7) == Totals(300, 200)  # time alone releases nothing
    assert await centre.post(till, till.sale("s1", account=7)) == [ACCEPTED]
    assert await centre.totals(7) == Totals(400)


async def test_what_a_receipt_did_not_use_of_its_authorisation_is_released(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    (right,) = (await till.authorise("s1", 7, 200)).authorisations
    sale = till.sale("s1", account=7, sources=[take(right, 50)])
    assert await centre.post(till, sale) == [ACCEPTED]
    assert await centre.totals(7) == Totals(250 + 95)


async def test_a_receipt_given_up_releases_its_authorisation(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await till.authorise("s1", 7, 200)
    await till.authorise("s2", 7, 100)
    assert await centre.post(till, till.void("s1")) == [ACCEPTED]
    assert await centre.totals(7) == Totals(300, 100)


async def test_a_receipt_of_another_customer_or_of_nobody_releases_the_authorisation(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.customer(8)
    for key in ("s1", "s2"):
        await till.authorise(key, 7, 100)
    # The customer changed the card after points were asked for, or took it back.
    assert await centre.post(till, till.sale("s1", account=8), till.sale("s2")) == [ACCEPTED] * 2
    assert await centre.totals(7) == Totals(300)


async def test_each_customer_of_a_receipt_has_authorisations_of_their_own(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.customer(8, 300)
    await till.authorise("s1", 7, 100)
    (right,) = (await till.authorise("s1", 8, 100)).authorisations
    assert (right.account_id, right.points) == (8, 100)


async def test_nothing_is_authorised_for_a_settled_receipt(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.post(till, till.sale("s1", account=7), till.void("s2"))
    for key in ("s1", "s2"):
        assert await till.authorise(key, 7, 100) == AuthoriseAnswer()
    assert await centre.totals(7) == Totals(400)


async def test_a_blocked_account_gets_nothing(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.pool.execute("update account set blocked = true")
    assert await till.authorise("s1", 7, 100) == AuthoriseAnswer()


async def test_points_held_elsewhere_are_named_and_called_back(centre: JoinedCentre) -> None:
    vault, till = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    await vault.push()
    await centre.apply()
    answer = await till.authorise("s1", 7, 200)
    assert (answer.authorisations, answer.held_elsewhere_points) == ((), 300)
    assert (await vault.pull()).recalls == (grant.grant_id,)
    assert await centre.post(vault, vault.give_back(grant)) == [ACCEPTED]
    assert (await vault.pull()).recalls == ()
    assert [right.points for right in (await till.authorise("s1", 7, 200)).authorisations] == [200]
    assert await centre.totals(7) == Totals(300, 200)


async def test_a_till_is_not_asked_for_what_it_holds_itself(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    await vault.pull()
    answer = await vault.authorise("s1", 7, 200)
    assert answer == AuthoriseAnswer()
    assert (await vault.pull()).recalls == ()


async def test_many_tills_at_once_never_get_more_than_there_is(centre: JoinedCentre) -> None:
    tills = [await centre.till() for _ in range(4)]
    await centre.customer(7, 250)
    # However slowly they go: none is told to come again.
    centre.parts.desk.front.purchases = Door(running_max=3, waiting_max=9, wait_s_max=600.0)
    wishes = (till.authorise(f"s{n}-{till.till_id}", 7, 40) for till in tills for n in (1, 2))
    answers = await asyncio.gather(*wishes)
    points = [right.points for answer in answers for right in answer.authorisations]
    assert sum(points) == 250
    assert sorted(points) == [10, 40, 40, 40, 40, 40, 40]
    assert await centre.totals(7) == Totals(250, 250)


async def test_an_authorisation_and_its_receipt_at_once_leave_nothing_held(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 1_000)
    for number in range(12):
        key = f"s{number}"
        till.append(till.sale(key, line(gross_minor=0), account=7))
        await till.push()
        # A late repeat of the wish, on its way while the receipt is being applied.
        await asyncio.gather(till.authorise(key, 7, 30), centre.apply())
    assert await centre.totals(7) == Totals(1_000)
