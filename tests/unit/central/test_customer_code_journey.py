"""The app shows a code, a till without a line takes it, and centre and till agree in the end."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from central.observability import meters
from central.streams.used_codes import codes_twice, forget
from loyalty.calculation import Calculation
from sync.customer_code import STEP_MS
from sync.messages import SnapshotAnswer, SnapshotRequest
from tests.support.centre import KEYS, JoinedCentre, Totals
from tests.support.outside import program
from tests.support.till import calculation_of, receipt
from tests.support.till_on_centre import TillOnCentre
from tests.unit.central.test_app_api import RULES, Telephone, assert_as_documented

CARD = "4000"
OFFICE = {"authorization": f"Bearer {KEYS.office_token}"}


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


async def asked_for_codes(centre: JoinedCentre, asked: str) -> tuple[int, object]:
    """Ask the office's call; its answers are as documented."""
    answer = await centre.http.get(f"/v1/codes{asked}", headers=OFFICE)
    assert_as_documented(answer, "/v1/codes")
    return answer.status_code, answer.json()


@pytest.mark.parametrize("form", ["code", "digits"])
async def test_a_code_shown_at_two_tills_is_found_when_both_receipts_are_home(
    centre: JoinedCentre, far: TillOnCentre, tmp_path: Path, form: str
) -> None:
    near = await TillOnCentre.enrolled(centre, tmp_path / "near")
    phone = await signed_in(centre)
    code = await code_of(phone)
    cut(far)
    cut(near)
    await far.sell(receipt(card=code["code"]))
    centre.system.at_ms += 95_000  # the receipts have other ages of one code
    await near.sell(receipt(card=code[form]))
    before = counted()
    await home(centre, near)
    assert (await notes(centre), counted() - before) == ([""], 0)
    await home(centre, far)
    first, second = await posted(centre)
    assert await notes(centre) == [
        "", f"its customer's one-time code was shown for receipt {first} before",
    ]  # fmt: skip
    assert counted() - before == 1
    async with centre.pool.acquire() as connection:
        (found,) = await codes_twice(connection, None)
        assert await codes_twice(connection, 8) == []
    assert await asked_for_codes(centre, "?account=7") == (200, [msgspec.to_builtins(found)])
    assert await asked_for_codes(centre, "?account=8") == (200, [])
    assert (await asked_for_codes(centre, "?account=Ann"))[0] == 422
    step = code["next_at_ms"] // STEP_MS - 1
    assert (found.account_id, found.step, found.receipt, found.first_receipt) == (
        7, step, second, first,
    )  # fmt: skip
    assert found.till_id == far.joined.till.identity.till_id
    assert (await centre.totals(7)).posted == 500  # as printed
    for days, kept in ((399, 1), (2, 0)):
        centre.system.pass_days(days)
        await forget(centre.pool, now_ms=centre.system.now_ms())
        assert await centre.pool.fetchval("select count(*) from code_twice") == kept
    near.close()


async def test_codes_that_are_each_used_once_are_told_of_by_nobody(
    centre: JoinedCentre, far: TillOnCentre, tmp_path: Path
) -> None:
    near = await TillOnCentre.enrolled(centre, tmp_path / "near")
    phone = await signed_in(centre)
    first = await code_of(phone)
    await far.sell(receipt(card=first["code"]))
    assert (await far.calculate(receipt(card=first["digits"]))).account_id == 0
    centre.system.at_ms = first["next_at_ms"]
    await near.sell(receipt(card=(await code_of(phone))["code"]))
    await near.sell(receipt(card=CARD))
    await near.sell(receipt(card=CARD))
    for till in (far, near):
        await home(centre, till)
    assert await notes(centre) == [""] * 4
    assert await centre.pool.fetchval("select count(*) from code_twice") == 0
    assert await centre.pool.fetchval("select count(*) from used_code") == 2
    centre.system.pass_days(61)
    await forget(centre.pool, now_ms=centre.system.now_ms())
    assert await centre.pool.fetchval("select count(*) from used_code") == 2
    centre.system.pass_days(2)
    await forget(centre.pool, now_ms=centre.system.now_ms())
    assert await centre.pool.fetchval("select count(*) from used_code") == 0
    near.close()


async def test_receipts_without_a_code_are_not_a_byte_longer(
    centre: JoinedCentre, far: TillOnCentre
) -> None:
    phone = await signed_in(centre)
    await far.sell(receipt(card=CARD))
    await far.sell(receipt())
    await far.sell(receipt(card=(await code_of(phone))["code"]))
    await home(centre, far)
    bodies = await centre.pool.fetch(
        "select body from receipt join inbox using (arrival) order by arrival"
    )
    assert [b"code_age" in row["body"] for row in bodies] == [False, False, True]


async def notes(centre: JoinedCentre) -> list[str]:
    """Return what the outcomes of receipts say, in the order they were posted."""
    rows = await centre.pool.fetch(
        "select reason from receipt join outcome using (arrival) order by arrival"
    )
    return [row["reason"] for row in rows]


async def posted(centre: JoinedCentre) -> list[str]:
    """Return the receipts in the order they were posted."""
    rows = await centre.pool.fetch("select sale_key from receipt order by arrival")
    return [row["sale_key"] for row in rows]


def counted() -> float:
    """Return how many receipts this process has found to have used a code again."""
    found = meters.REGISTRY.get_sample_value("tillside_codes_shown_twice_total")
    assert found is not None
    return found


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
