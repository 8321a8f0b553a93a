"""A whole till without a line, a telephone and a centre: points are redeemed, and all agree after.

The same journey is made by clocks that are wrong by years: no verdict and no balance differs (I15).
"""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from agent.till_service.courier import CourierService
from agent.till_service.messages import CourierRequest, GrantRequest
from agent.till_service.receipt_codes import Verdict, judge
from central.rights.courier import Carried
from tests.support.centre import KEYS, JoinedCentre, Totals
from tests.support.till import OTHER_RECEIPT, RECEIPT, receipt, returning
from tests.support.till_on_centre import TillOnCentre

CARD = "2990 0000 0000 0017"
TEN = receipt(card=CARD)
DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS


@pytest_asyncio.fixture
async def far(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[TillOnCentre]:
    """A till of a store where the customer was never seen."""
    await centre.store("store-2")
    till = await TillOnCentre.enrolled(centre, tmp_path / "till", store="store-2")
    yield till
    till.close()


async def carry(centre: JoinedCentre, code: str, *receipts: str) -> Carried:
    """Do what the customer's telephone does."""
    response = await centre.http.post(
        "/v1/app/courier",
        content=msgspec.json.encode({"card": CARD, "ask": code, "receipt_codes": receipts}),
        headers={"authorization": f"Bearer {KEYS.app_token}"},
    )
    return msgspec.json.decode(response.content, type=Carried)


def cut(till: TillOnCentre) -> None:
    till.line_is_cut = True
    till.joined.cut_off()


async def settled(centre: JoinedCentre) -> tuple[int, int]:
    """Return the customer's points, and what grants by courier still hold of them."""
    held: int = await centre.pool.fetchval(
        "select coalesce(sum(outstanding), 0)::bigint from right_grant where ask_number is not null"
    )
    return (await centre.totals(7)).posted, held


async def redeem(centre: JoinedCentre, far: TillOnCentre, points: int) -> str:
    """Redeem at a till without a line; returns the printed receipt's code."""
    joined = far.joined
    assert joined.reserve(TEN, points).reserved_points == 0
    service = CourierService(joined.till)
    asked = service.ask(RECEIPT, CourierRequest(card=CARD, points=points))
    carried = await carry(centre, asked.code)
    assert (carried.outcome, carried.store) == ("granted", "store-2")
    assert service.take(GrantRequest(code=carried.code)).outcome == "grant_taken"
    assert joined.reserve(TEN, points).reserved_points == points
    done = joined.complete(TEN, 1_000 - points)
    assert done.outcome == "recorded"
    return done.receipt_code


async def test_a_customer_redeems_where_there_is_no_line(
    centre: JoinedCentre, far: TillOnCentre
) -> None:
    await centre.customer(7, 300, card=CARD)
    cut(far)
    code = await redeem(centre, far, 200)
    assert await centre.totals(7) == Totals(300, 200)
    far.line_is_cut = False
    await far.talk()
    await centre.apply()
    await far.talk()
    assert await settled(centre) == (300 - 200 + 80, 0)
    assert (await centre.risk_pool()).losses == 0
    assert judge(far.joined.till, code, RECEIPT)[0] == Verdict.GENUINE


async def test_an_ask_that_led_to_nothing_costs_the_customer_nothing(
    centre: JoinedCentre, far: TillOnCentre
) -> None:
    await centre.customer(7, 300, card=CARD)
    cut(far)
    asked = CourierService(far.joined.till).ask(RECEIPT, CourierRequest(card=CARD, points=200))
    await carry(centre, asked.code)
    far.joined.cancel()
    far.line_is_cut = False
    for _ in range(2):
        await far.talk()
        await centre.apply()
    assert await centre.totals(7) == Totals(300)


async def test_an_open_ask_keeps_its_grant_through_every_conversation(
    centre: JoinedCentre, far: TillOnCentre
) -> None:
    await centre.customer(7, 300, card=CARD)
    service = CourierService(far.joined.till)
    carried = await carry(centre, service.ask(RECEIPT, CourierRequest(card=CARD, points=200)).code)
    for _ in range(3):
        await far.talk()
        await centre.apply()
    assert await centre.totals(7) == Totals(300, 200)
    assert service.take(GrantRequest(code=carried.code)).outcome == "grant_taken"
    assert far.joined.reserve(TEN, 200).reserved_points == 200


async def test_a_return_elsewhere_before_the_receipt_has_come(
    centre: JoinedCentre, far: TillOnCentre, tmp_path: Path
) -> None:
    await centre.customer(7, 300, card=CARD)
    near = await TillOnCentre.enrolled(centre, tmp_path / "near")
    cut(far)
    code = await redeem(centre, far, 200)
    wish = msgspec.structs.replace(returning(confirm=True), receipt_code=code)
    steps = near.joined.returns.handle(OTHER_RECEIPT, wish)
    answer = await near._driven(steps, near._asked_in_time)  # noqa: SLF001 - the line's own way
    assert (answer.outcome, answer.pending) == ("recorded", True)
    assert answer.claim is not None
    assert (answer.claim.is_proven, answer.claim.redeemed_points) == (True, 200)
    await near.talk()
    await centre.apply()
    assert await centre.totals(7) == Totals(300, 200)  # the points wait for the original
    far.line_is_cut = False
    await far.talk()
    await centre.apply()
    await centre.apply()
    assert await centre.totals(7) == Totals(300)
    near.close()


@pytest.mark.parametrize("reboots", [False, True])
@pytest.mark.parametrize("off_ms", [0, 10 * YEAR_MS, 2 * YEAR_MS, -DAY_MS, -10 * YEAR_MS])
async def test_no_clock_changes_what_is_redeemed_and_posted(
    centre: JoinedCentre, far: TillOnCentre, off_ms: int, *, reboots: bool
) -> None:
    await centre.customer(7, 300, card=CARD)
    cut(far)
    far.joined.system.wall_ms += off_ms
    if reboots:
        far.joined.system.reboot()
        far.joined = far.joined.reopened()
    await redeem(centre, far, 200)
    far.line_is_cut = False
    await far.talk()
    await centre.apply()
    await far.talk()
    assert await settled(centre) == (300 - 200 + 80, 0)
    assert far.joined.till.journal.stream.head().incarnation_number == 1
