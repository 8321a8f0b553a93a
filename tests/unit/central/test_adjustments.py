"""Points given and taken by people: with a reason, once, and no more a day than a role may."""

import asyncio

import pytest

from central.errors import BadRequestError, ForbiddenError, NotFoundError
from central.ledger.adjustments import (
    Adjusted,
    Adjustment,
    AdjustmentLimit,
    AdjustmentReason,
    adjust,
    put_limit,
    put_reason,
    read_terms,
)
from central.ledger.merging import merge_accounts
from tests.support.centre import JoinedCentre, LotState, Totals

GOODWILL = AdjustmentReason(code="goodwill", title="Goodwill", points_max=500, days=30)
ERROR = AdjustmentReason(code="error", title="Posted in error", points_max=10_000)


@pytest.fixture
async def office(centre: JoinedCentre) -> JoinedCentre:
    """A centre with reasons, limits and a customer with 300 points."""
    async with centre.pool.acquire() as connection, connection.transaction():
        for reason in (GOODWILL, ERROR):
            await put_reason(connection, reason, person="root", now_ms=0)
        for role, points in (("call_centre", 600), ("finance", 5_000)):
            limit = AdjustmentLimit(role=role, points_per_day=points)
            await put_limit(connection, limit, person="root", now_ms=0)
    await centre.customer(7, 300)
    return centre


async def made(
    centre: JoinedCentre,
    points: int,
    *,
    key: str = "key-00001",
    reason: str = "goodwill",
    person: str = "ann",
    roles: tuple[str, ...] = ("call_centre",),
    account_id: int = 7,
) -> Adjusted:
    wish = Adjustment(key=key, account_id=account_id, points=points, reason=reason)
    now_ms = centre.system.now_ms()
    return await adjust(centre.pool, wish, person=person, roles=roles, now_ms=now_ms)


async def test_points_given_are_a_lot_that_ends_as_its_reason_says(office: JoinedCentre) -> None:
    done = await made(office, 200)
    assert (done.repeated, done.left_today) == (False, 400)
    assert await office.totals(7) == Totals(500)
    ends = "select expires_on from lot where name = 'adjustment'"
    assert await office.pool.fetchval(ends) == "2025-04-04"


async def test_points_taken_come_from_what_is_available(office: JoinedCentre) -> None:
    till = await office.till()
    await till.authorise("s1", 7, 100)
    await made(office, -150)
    assert await office.totals(7) == Totals(150, 100)
    assert await office.lots(7) == [LotState(50, 100, 0, 150)]
    with pytest.raises(BadRequestError, match="has 50 points available"):
        await made(office, -51, key="key-00002")


async def test_the_same_key_moves_points_once(office: JoinedCentre) -> None:
    await made(office, 200)
    again = await made(office, 200)
    assert again.repeated
    assert await office.totals(7) == Totals(500)
    with pytest.raises(BadRequestError, match="another adjustment"):
        await made(office, 201)
    with pytest.raises(BadRequestError, match="another adjustment"):
        await made(office, 200, person="bob")
    await office.customer(8)
    with pytest.raises(BadRequestError, match="another adjustment"):
        await made(office, 200, account_id=8)
    await merge_accounts(office.pool, 7, 8, person="ann", reason="one", now_ms=0)
    for account_id in (7, 8):
        assert (await made(office, 200, account_id=account_id)).repeated
    assert await office.totals(8) == Totals(500)


async def test_a_person_moves_no_more_a_day_than_the_highest_role_may(
    office: JoinedCentre,
) -> None:
    await made(office, 400)
    with pytest.raises(ForbiddenError, match="ann may move 200 more points today, not 250"):
        await made(office, -250, key="key-00002")
    both = ("call_centre", "finance")
    done = await made(office, 450, key="key-00002", roles=both)
    assert done.left_today == 5_000 - 850
    office.system.pass_days(1)
    assert (await made(office, 500, key="key-00003")).left_today == 100


async def test_who_has_no_role_with_a_limit_moves_nothing(office: JoinedCentre) -> None:
    with pytest.raises(ForbiddenError):
        await made(office, 1, roles=("author",))


async def test_at_once_the_limit_holds_too(office: JoinedCentre) -> None:
    wishes = (made(office, 200, key=f"key-0000{n}") for n in range(5))
    done = await asyncio.gather(*wishes, return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["Adjusted"] * 3 + ["ForbiddenError"] * 2
    assert await office.totals(7) == Totals(900)


async def test_reasons_and_accounts_are_known_ones(office: JoinedCentre) -> None:
    with pytest.raises(BadRequestError, match="no reason 'kindness'"):
        await made(office, 1, reason="kindness")
    with pytest.raises(BadRequestError, match="at most 500 for goodwill"):
        await made(office, 501)
    with pytest.raises(BadRequestError, match="how many"):
        await made(office, 0)
    with pytest.raises(NotFoundError):
        await made(office, 1, account_id=4711)


async def test_what_is_done_is_in_the_audit(office: JoinedCentre) -> None:
    await made(office, 200)
    rows = await office.pool.fetch("select person, action, subject from audit order by audit_id")
    assert tuple(rows[-1]) == ("ann", "account.adjust", "account:7")
    terms = await read_terms(office.pool)
    assert terms.reasons == (ERROR, GOODWILL)
    assert [limit.role for limit in terms.limits] == ["call_centre", "finance"]
