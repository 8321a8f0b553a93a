"""Partners give points and take them back, each once under a reference, within their limits."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio

from central.access.clients import revoke_client
from central.access.partners import PartnerTerms, put_terms
from central.api.till_rates import PARTNER_CALLS_PER_S
from central.ledger.card_moves import move_card
from central.ledger.merging import merge_accounts
from central.outreach import outbox
from sync.messages import SnapshotAnswer, SnapshotRequest
from tests.support.centre import NOW_MS, JoinedCentre, LotState, Totals
from tests.support.outside import program
from tests.unit.central.test_app_api import assert_as_documented
from tests.unit.central.test_erasure import erase

CARD = "4000"
TERMS = PartnerTerms(
    points_per_accrual_max=500,
    points_per_customer_day_max=800,
    points_per_day_max=1_000,
    days=30,
)


class Partner:
    """A partner's program with a token."""

    def __init__(self, centre: JoinedCentre, client_id: str, headers: Mapping[str, str]) -> None:
        self.centre = centre
        self.client_id = client_id
        self.headers = headers

    async def accrue(self, reference: str, points: int, /, **changes: Any) -> httpx.Response:  # noqa: ANN401
        body = {"card": CARD, "points": points, **changes}
        response = await self.centre.http.put(
            f"/v1/partner/accruals/{reference}", headers=self.headers, json=body
        )
        assert_as_documented(response, "/v1/partner/accruals/{reference}")
        return response

    async def reverse(
        self, of_reference: str, reference: str, points: int | None = None
    ) -> httpx.Response:
        response = await self.centre.http.put(
            f"/v1/partner/accruals/{of_reference}/reversals/{reference}",
            headers=self.headers,
            json={} if points is None else {"points": points},
        )
        assert_as_documented(response, "/v1/partner/accruals/{reference}/reversals/{reversal}")
        return response

    async def statement(self, **query: str) -> Any:  # noqa: ANN401
        response = await self.centre.http.get(
            "/v1/partner/statement", headers=self.headers, params=query
        )
        assert_as_documented(response, "/v1/partner/statement")
        return response.json()


async def partner(
    centre: JoinedCentre, client_id: str = "bakery", *scopes: str, terms: PartnerTerms = TERMS
) -> Partner:
    made = await program(centre, client_id, "partner", *scopes)
    async with centre.pool.acquire() as connection:
        await put_terms(connection, client_id, terms, by="root", now_ms=NOW_MS)
    return Partner(centre, client_id, await made.headers())


@pytest_asyncio.fixture
async def bakery(centre: JoinedCentre) -> AsyncIterator[Partner]:
    """A partner with limits, and a customer without points."""
    await centre.customer(7, card=CARD, home="store-1")
    yield await partner(centre)


async def test_points_are_given_once_and_tills_hear_of_them(
    centre: JoinedCentre, bakery: Partner
) -> None:
    first = await bakery.accrue("r-1", 300, occurred_on="2025-03-04")
    again = await bakery.accrue("r-1", 300, occurred_on="2025-03-04")
    assert first.json() == {
        "reference": "r-1", "points": 300, "occurred_on": "2025-03-04", "day": "2025-03-05",
        "at_ms": NOW_MS, "repeated": False, "reversed_points": 0, "not_recovered_points": 0,
    }  # fmt: skip
    assert again.json() == {**first.json(), "repeated": True}
    assert await centre.totals(7) == Totals(300)
    lot = await centre.pool.fetchrow("select name, active_from, expires_on from lot")
    assert lot is not None
    assert tuple(lot) == ("partner:bakery", "2025-03-05", "2025-04-04")
    till = await centre.till()
    told = await till.ask(
        "/v1/till/snapshot", SnapshotRequest(card=till.card(CARD)), SnapshotAnswer
    )
    assert told.account is not None
    assert told.account.points == 300


async def test_ten_at_once_under_one_reference_give_points_once(
    centre: JoinedCentre, bakery: Partner
) -> None:
    answers = await asyncio.gather(*(bakery.accrue("r-1", 100) for _ in range(10)))
    assert sorted(each.json()["repeated"] for each in answers) == [False] + [True] * 9
    assert await centre.totals(7) == Totals(100)


async def test_another_accrual_under_a_known_reference_is_a_conflict(
    centre: JoinedCentre, bakery: Partner
) -> None:
    await bakery.accrue("r-1", 300)
    await centre.customer(8, card="4001")
    for changes in ({"points": 200}, {"card": "4001"}):
        refused = await bakery.accrue("r-1", 300, **changes)
        assert (refused.status_code, refused.json()["error"]) == (409, "conflict")
    assert await centre.totals(7) == Totals(300)


async def test_the_same_call_again_is_answered_whoever_has_the_card_by_then(
    centre: JoinedCentre, bakery: Partner
) -> None:
    await bakery.accrue("r-1", 300, occurred_on="2025-03-04")
    await centre.customer(8, card="4001")
    card = await centre.pool.fetchval("select card from card where account_id = 7")
    await move_card(centre.pool, card, 8, person="ann", reason="found", now_ms=NOW_MS)
    assert (await bakery.accrue("r-1", 300, occurred_on="2025-03-04")).json()["repeated"]
    assert (await bakery.accrue("r-1", 300)).json()["repeated"]
    assert (await bakery.accrue("r-1", 300, occurred_on="2025-03-03")).status_code == 409
    await centre.pool.execute("delete from card")
    assert (await bakery.accrue("r-1", 300)).json()["repeated"]
    assert (await bakery.accrue("r-2", 300)).status_code == 404
    assert await centre.totals(8) == Totals(0)


async def test_the_same_call_again_is_answered_however_long_ago_it_was(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, card=CARD)
    made = await program(centre, "bakery", "partner")
    async with centre.pool.acquire() as connection:
        await put_terms(connection, "bakery", TERMS, by="root", now_ms=NOW_MS)
    bakery = Partner(centre, "bakery", await made.headers())
    await bakery.accrue("r-1", 300, occurred_on="2025-03-04")
    centre.system.pass_days(40)
    bakery.headers = await made.headers()
    assert (await bakery.accrue("r-1", 300, occurred_on="2025-03-04")).json()["repeated"]
    assert (await bakery.accrue("r-1", 300, occurred_on="2025-03-03")).status_code == 409
    assert (await bakery.accrue("r-2", 300, occurred_on="2025-03-04")).status_code == 422
    assert await centre.totals(7) == Totals(300)


async def test_references_are_each_partners_own(centre: JoinedCentre, bakery: Partner) -> None:
    other = await partner(centre, "florist")
    await bakery.accrue("r-1", 300)
    assert (await other.accrue("r-1", 50)).json()["repeated"] is False
    assert (await other.reverse("r-2", "x")).status_code == 404
    assert await centre.totals(7) == Totals(350)


async def test_limits_hold_for_a_call_a_customer_and_a_day(
    centre: JoinedCentre, bakery: Partner
) -> None:
    await centre.customer(8, card="4001")
    said = []
    for reference, points, card in (
        ("a", 501, CARD), ("b", 500, CARD), ("c", 301, CARD), ("d", 300, CARD),
        ("e", 201, "4001"), ("f", 200, "4001"), ("g", 1, "4001"),
    ):  # fmt: skip
        answer = await bakery.accrue(reference, points, card=card)
        said.append((answer.status_code, answer.json().get("error", "")))
    assert said == [
        (403, "limit_reached"), (200, ""), (403, "limit_reached"), (200, ""),
        (403, "limit_reached"), (200, ""), (403, "limit_reached"),
    ]  # fmt: skip
    centre.system.pass_days(1)
    fresh = Partner(centre, "bakery", await (await program(centre, "x", "partner")).headers())
    assert (await fresh.accrue("h", 1)).status_code == 403  # nobody gave this one any limits


async def test_ten_at_once_do_not_outrun_the_days_limit(
    centre: JoinedCentre, bakery: Partner
) -> None:
    answers = await asyncio.gather(*(bakery.accrue(f"r{n}", 150) for n in range(10)))
    given = [each for each in answers if each.status_code == 200]
    assert len(given) == 5  # 800 a day for a customer
    assert await centre.totals(7) == Totals(750)


async def test_a_reversal_takes_back_once_in_any_number_of_parts(
    centre: JoinedCentre, bakery: Partner
) -> None:
    await bakery.accrue("r-1", 300)
    part = await bakery.reverse("r-1", "back-1", 100)
    assert (part.json()["points"], part.json()["repeated"]) == (100, False)
    again = await bakery.reverse("r-1", "back-1", 100)
    assert again.json() == {**part.json(), "repeated": True}
    too_many = await bakery.reverse("r-1", "back-2", 201)
    assert (too_many.status_code, too_many.json()["error"]) == (409, "conflict")
    rest = await bakery.reverse("r-1", "back-3")
    assert rest.json()["points"] == 200
    assert (await bakery.reverse("r-1", "back-4")).status_code == 409
    assert await centre.totals(7) == Totals(0)
    assert await centre.lots(7) == [LotState(0, taken_back=300)]
    stands = await centre.http.get("/v1/partner/accruals/r-1", headers=bakery.headers)
    assert_as_documented(stands, "/v1/partner/accruals/{reference}")
    assert stands.json()["reversed_points"] == 300


async def test_points_of_somebody_forgotten_are_owed_by_nobody(
    centre: JoinedCentre, bakery: Partner
) -> None:
    await bakery.accrue("r-1", 300)
    await erase(centre, 7)  # the chain takes them
    back = (await bakery.reverse("r-1", "back-1")).json()
    assert (back["points"], back["not_recovered_points"]) == (300, 0)
    assert (await bakery.statement())["owed_points"] == 0


async def test_a_reference_is_of_one_movement(centre: JoinedCentre, bakery: Partner) -> None:
    await bakery.accrue("r-1", 100)
    await bakery.accrue("r-2", 100)
    await bakery.reverse("r-1", "back-1", 10)
    assert (await bakery.reverse("r-2", "back-1", 10)).status_code == 409
    assert (await bakery.reverse("r-1", "r-2", 10)).status_code == 409
    assert (await bakery.accrue("back-1", 10)).status_code == 409
    assert await centre.totals(7) == Totals(190)


async def test_points_that_are_spent_stay_spent_and_the_partner_owes_for_them(
    centre: JoinedCentre, bakery: Partner
) -> None:
    await bakery.accrue("r-1", 300)
    till = await centre.till()
    await till.authorise("s1", 7, 200)  # held for a till: never touched
    back = await bakery.reverse("r-1", "back-1")
    assert (back.json()["points"], back.json()["not_recovered_points"]) == (300, 200)
    assert await centre.totals(7) == Totals(200, held=200)
    found = await bakery.statement()
    assert (found["accrued_points"], found["reversed_points"], found["owed_points"]) == (
        300, 300, 200,
    )  # fmt: skip


async def test_an_accrual_may_be_taken_back_for_its_days(centre: JoinedCentre) -> None:
    await centre.customer(7, card=CARD)
    terms = PartnerTerms(
        points_per_accrual_max=9, points_per_customer_day_max=9, points_per_day_max=9,
        reversal_days=0,
    )  # fmt: skip
    made = await program(centre, "bakery", "partner")
    async with centre.pool.acquire() as connection:
        await put_terms(connection, "bakery", terms, by="root", now_ms=NOW_MS)
    bakery = Partner(centre, "bakery", await made.headers())
    await bakery.accrue("r-1", 9)
    assert (await bakery.reverse("r-1", "back-1", 4)).status_code == 200
    centre.system.pass_days(1)
    bakery.headers = await made.headers()
    assert (await bakery.reverse("r-1", "back-2", 4)).status_code == 403


async def test_what_was_given_to_an_account_that_was_merged_is_taken_off_the_other(
    centre: JoinedCentre, bakery: Partner
) -> None:
    await centre.customer(8, 50)
    await bakery.accrue("r-1", 300)
    await merge_accounts(centre.pool, 7, 8, person="ann", reason="one", now_ms=NOW_MS)
    assert (await bakery.accrue("r-1", 300)).json()["repeated"] is True
    await bakery.reverse("r-1", "back-1", 300)
    assert await centre.totals(8) == Totals(50)


@pytest.mark.parametrize(
    ("reference", "changes", "status"),
    [
        ("r-1", {"points": 0}, 422), ("r-1", {"points": -5}, 422), ("r-1", {"points": 1.5}, 422),
        ("r-1", {"card": ""}, 422), ("r-1", {"more": 1}, 422), ("r-1", {"card": "4711"}, 404),
        ("r-1", {"occurred_on": "2025-02-30"}, 422), ("r-1", {"occurred_on": "2025-01-01"}, 422),
        ("r-1", {"occurred_on": "2025-03-07"}, 422), ("r 1", {}, 422), ("-", {}, 422),
        ("x" * 65, {}, 422),
    ],
)  # fmt: skip
async def test_an_accrual_that_is_none_moves_nothing(
    centre: JoinedCentre, bakery: Partner, reference: str, changes: dict[str, object], status: int
) -> None:
    assert (await bakery.accrue(reference, 10, **changes)).status_code == status
    assert await centre.totals(7) == Totals(0)


async def test_a_blocked_customer_is_given_nothing(centre: JoinedCentre, bakery: Partner) -> None:
    await centre.pool.execute("update account set blocked = true where account_id = 7")
    assert (await bakery.accrue("r-1", 10)).json()["error"] == "not_allowed"


async def test_tokens_reach_as_far_as_their_scopes_and_their_partner(
    centre: JoinedCentre, bakery: Partner
) -> None:
    reader = await partner(centre, "reader", "statement:read")
    assert (await reader.accrue("r-1", 10)).status_code == 403
    app = await (await program(centre, "app", "app")).headers(card=CARD)
    assert (await Partner(centre, "app", app).accrue("r-1", 10)).status_code == 403
    assert (await Partner(centre, "", {}).accrue("r-1", 10)).status_code == 401
    async with centre.pool.acquire() as connection:
        await revoke_client(connection, "bakery", "partner", by="root", system=centre.system)
    assert (await bakery.accrue("r-1", 10)).status_code == 401
    assert await centre.totals(7) == Totals(0)


async def test_the_statement_comes_in_pages_and_adds_up(
    centre: JoinedCentre, bakery: Partner
) -> None:
    for number in range(4):
        await bakery.accrue(f"r{number}", 100 + number)
    await bakery.reverse("r1", "back", 51)
    seen, page = [], await bakery.statement(limit="2")
    while True:
        seen += page["movements"]
        if not page["next"]:
            break
        page = await bakery.statement(limit="2", after=page["next"])
    assert [(each["kind"], each["reference"], each["points"]) for each in seen] == [
        ("accrual", "r0", 100), ("accrual", "r1", 101), ("accrual", "r2", 102),
        ("accrual", "r3", 103), ("reversal", "back", 51),
    ]  # fmt: skip
    assert (page["accrued_points"], page["reversed_points"], page["owed_points"]) == (406, 51, 355)
    other = await partner(centre, "florist")
    assert (await other.statement())["movements"] == []
    assert (await bakery.statement(**{"from": "2025-03-04", "to": "2025-03-04"}))["movements"] == []


async def test_the_statement_as_csv_says_where_more_is(
    centre: JoinedCentre, bakery: Partner
) -> None:
    for number in range(3):
        await bakery.accrue(f"r{number}", 100)
    path, rows = "/v1/partner/statement?format=csv&limit=2", []
    while path:
        response = await centre.http.get(path, headers=bakery.headers)
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        rows += list(csv.DictReader(io.StringIO(response.text)))
        path = response.links.get("next", {}).get("url", "")
    assert [(row["reference"], row["points"], row["day"]) for row in rows] == [
        (f"r{number}", "100", "2025-03-05") for number in range(3)
    ]
    accepted = {**bakery.headers, "accept": "text/csv"}
    asked = await centre.http.get("/v1/partner/statement", headers=accepted)
    assert asked.text.splitlines()[0].startswith("number,day,kind,reference")


@pytest.mark.parametrize(
    "query",
    [
        {"from": "x"}, {"to": "2025-02-30"}, {"from": "2025-03-06"}, {"from": "2024-03-04"},
        {"from": "20250305"}, {"after": "x"}, {"after": "9" * 19}, {"after": "0" * 5_000},
        {"format": "xml"}, {"limit": "0"},
    ],
)  # fmt: skip
async def test_a_statement_that_cannot_be_is_refused(
    bakery: Partner, query: dict[str, str]
) -> None:
    assert (await bakery.statement(**query))["status"] == 422


async def test_other_systems_hear_of_what_moved(centre: JoinedCentre, bakery: Partner) -> None:
    await outbox.want(centre.pool, wanted=True)
    await bakery.accrue("r-1", 300)
    await bakery.accrue("r-1", 300)
    till = await centre.till()
    await till.authorise("s1", 7, 200)
    await bakery.reverse("r-1", "back-1")
    rows = await centre.pool.fetch("select key, type, data from outbox order by event_id")
    assert [(row["key"], row["type"], json.loads(row["data"])["points"]) for row in rows] == [
        ("account/7", "points.partner.v1", 300), ("account/7", "points.partner.v1", -100),
    ]  # fmt: skip


async def test_a_partner_that_calls_too_often_is_told_when_to_come_again(bakery: Partner) -> None:
    statement = "/v1/partner/statement"
    answers = [
        await bakery.centre.http.get(statement, headers=bakery.headers)
        for _ in range(int(PARTNER_CALLS_PER_S * 5) + 1)
    ]
    refused = [each for each in answers if each.status_code == 429]
    assert len(refused) == 1
    assert refused[0].json()["error"] == "too_many_requests"
    assert refused[0].headers["retry-after"] == "1"
    assert_as_documented(refused[0], statement)
