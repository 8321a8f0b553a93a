"""The app shows a code, a till without a line takes it, and centre and till agree in the end."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from loyalty.calculation import Calculation
from sync.messages import SnapshotAnswer, SnapshotRequest
from tests.support.centre import JoinedCentre, Totals
from tests.support.outside import program
from tests.support.till import calculation_of, receipt
from tests.support.till_on_centre import TillOnCentre
from tests.unit.central.test_app_api import RULES, Telephone, assert_as_documented

CARD = "4000"


@pytest_asyncio.fixture
async def far(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[TillOnCentre]:
    """A till of a store where the customer was never seen, under the newest rules."""
    await centre.publish(RULES)
    await centre.store("store-2")
    till = await TillOnCentre.enrolled(centre, tmp_path / "till", store="store-2")
    yield till
    till.close()


async def signed_in(centre: JoinedCentre, **account: object) -> Telephone:
    await centre.load({
        "kind": "account", "account_id": 7, "home_store": "store-1", "cards": [CARD],
        "lots": [{"points": 300, "active_from": "2025-01-01"}], **account,
    })  # fmt: skip
    app = await program(centre, "app", "app")
    return Telephone(centre, await app.headers(card=CARD))


async def code_of(phone: Telephone) -> Mapping[str, Any]:
    response = await phone.centre.http.post("/v1/app/code", headers=phone.headers)
    assert_as_documented(response, "/v1/app/code")
    found: Mapping[str, Any] = response.json()
    return found


def cut(till: TillOnCentre) -> None:
    till.line_is_cut = True
    till.joined.cut_off()


async def home(centre: JoinedCentre, till: TillOnCentre) -> None:
    till.line_is_cut = False
    await till.talk()
    await centre.apply()


def gave(calculation: Calculation) -> set[str]:
    return {each.offer_id for each in calculation.reasons if each.code == "applied"}


async def test_an_offer_switched_on_a_minute_ago_acts_where_no_line_goes(
    centre: JoinedCentre, far: TillOnCentre
) -> None:
    cut(far)
    phone = await signed_in(centre, tier="gold", offers_to_activate=["yours"])
    await phone.activate("yours")
    code = await code_of(phone)
    printed = await far.sell(receipt(card=code["code"]))
    assert gave(printed) == {"tenth", "yours"}
    assert printed.totals.earned_points == 100 + 25
    await home(centre, far)
    assert await centre.totals(7) == Totals(300 + 125)


async def test_the_digits_earn_where_no_line_goes_and_find_the_customer_where_one_does(
    centre: JoinedCentre, far: TillOnCentre
) -> None:
    phone = await signed_in(centre, tier="gold", personal_offers=["yours"])
    cut(far)
    code = await code_of(phone)
    assert gave(await far.sell(receipt(card=code["digits"]))) == {"tenth"}
    await home(centre, far)
    assert await centre.totals(7) == Totals(400)
    centre.system.at_ms = code["next_at_ms"]
    following = await code_of(phone)
    assert following["digits"] != code["digits"]
    assert gave(await far.sell(receipt(card=following["digits"]))) == {"tenth", "yours"}


async def test_points_are_redeemed_on_a_code(centre: JoinedCentre, far: TillOnCentre) -> None:
    phone = await signed_in(centre)
    code = await code_of(phone)
    shows = receipt(card=code["code"])
    key = "01957e3c-9a40-7c11-8d22-000000000001"
    from tests.support.till import completing, reserving

    steps = far.joined.receipts.reserve(key, reserving(shows, 200))
    answer = await far._driven(steps, far._asked_in_time)  # noqa: SLF001 - the line's own way
    assert answer.reserved_points == 200
    done = far.joined.receipts.complete(key, completing(shows, 800))
    assert (await far._driven(done, far._asked_in_time)).outcome == "recorded"  # noqa: SLF001
    await home(centre, far)
    assert await centre.totals(7) == Totals(300 - 200 + 80)


async def test_the_same_code_at_two_tills_names_the_customer_twice_and_spends_nothing_more(
    centre: JoinedCentre, far: TillOnCentre, tmp_path: Path
) -> None:
    near = await TillOnCentre.enrolled(centre, tmp_path / "near")
    phone = await signed_in(centre)
    code = await code_of(phone)
    for till in (far, near):
        cut(till)
        assert (await till.sell(receipt(card=code["code"]))).account_id == 7
        assert (await till.calculate(receipt(card=code["code"]))).account_id == 0
    for till in (far, near):
        await home(centre, till)
    assert (await centre.totals(7)).posted == 500
    assert (await centre.risk_pool()).losses == 0
    near.close()


async def test_a_code_shown_in_training_first_is_good_for_one_receipt(
    centre: JoinedCentre, far: TillOnCentre
) -> None:
    phone = await signed_in(centre)
    code = await code_of(phone)
    cut(far)
    service, found = far.joined.receipts, []
    for key in (f"01957e3c-9a40-7c11-8d22-{n:012}" for n in (1, 2)):
        for is_training in (True, False):
            shows = receipt(card=code["code"], training=is_training, version=2 - is_training)
            steps = service.update(key, shows)
            answer = await far._driven(steps, far._asked_in_time)  # noqa: SLF001 - its own way
            assert answer.calculation is not None
            found.append(calculation_of(answer).account_id)
    assert found == [7, 7, 0, 0]


async def test_a_code_is_of_half_a_minute_and_shortly_good(centre: JoinedCentre) -> None:
    phone = await signed_in(centre)
    first, again = await code_of(phone), await code_of(phone)
    assert first == again
    assert first["next_at_ms"] - centre.system.now_ms() == 30_000
    assert first["good_until_ms"] - centre.system.now_ms() == 330_000


async def test_who_has_no_card_or_is_blocked_has_no_code(centre: JoinedCentre) -> None:
    phone = await signed_in(centre)
    await centre.pool.execute("delete from card; delete from account_card")
    assert (await code_of(phone))["error"] == "conflict"
    await centre.pool.execute("update account set blocked = true")
    assert (await code_of(phone))["error"] == "not_allowed"


@pytest.mark.parametrize(("account_id", "found"), [(7, True), (8, False)])
async def test_a_till_asks_for_an_account_by_the_number_in_the_digits(
    centre: JoinedCentre, account_id: int, *, found: bool
) -> None:
    await signed_in(centre)
    till = await centre.till()
    wish = SnapshotRequest(card=b"", account_id=account_id)
    answer = await till.ask("/v1/till/snapshot", wish, SnapshotAnswer)
    assert (answer.account is not None) is found


async def test_a_customers_token_carries_points_without_saying_a_card(
    centre: JoinedCentre, far: TillOnCentre
) -> None:
    phone = await signed_in(centre)
    code = await code_of(phone)
    cut(far)
    joined = far.joined
    joined.update(receipt(card=code["code"]))
    from agent.till_service.courier import CourierService
    from agent.till_service.messages import CourierRequest, GrantRequest
    from tests.support.till import RECEIPT

    service = CourierService(joined.till)
    asked = service.ask(RECEIPT, CourierRequest(card=code["code"], points=200))
    body = {"ask": asked.code}
    carried = await centre.http.post("/v1/app/courier", headers=phone.headers, json=body)
    assert_as_documented(carried, "/v1/app/courier")
    assert (carried.json()["outcome"], carried.json()["points"]) == ("granted", 200)
    named = {**body, "card": CARD}
    refused = await centre.http.post("/v1/app/courier", headers=phone.headers, json=named)
    assert refused.status_code == 422
    assert service.take(GrantRequest(code=carried.json()["code"])).outcome == "grant_taken"
    shows = receipt(card=code["code"])
    assert joined.reserve(shows, 200).reserved_points == 200
    assert joined.complete(shows, 800).outcome == "recorded"
    await home(centre, far)
    assert await centre.totals(7) == Totals(300 - 200 + 80)
