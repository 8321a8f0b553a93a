"""The calls about accounts and the ledger: who may do what, and the answers as documented."""

import httpx
import jsonschema
import pytest

from central.api.openapi import openapi_document
from central.ledger.adjustments import AdjustmentLimit, AdjustmentReason, put_limit, put_reason
from central.ledger.sealing import seal_day
from central.people.tiers import tend_tiers
from central.staff.persons import add_person
from tests.support.centre import KEYS, JoinedCentre, Totals

OFFICE = {"authorization": f"Bearer {KEYS.office_token}"}


async def person(centre: JoinedCentre, name: str, *roles: str) -> dict[str, str]:
    """Return the headers of a new person."""
    async with centre.pool.acquire() as connection:
        token = await add_person(connection, name, roles, by="root", system=centre.system)
    return {"authorization": f"Bearer {token}"}


def assert_as_documented(response: httpx.Response, path: str) -> None:
    document = openapi_document()
    answers = document["paths"][path][response.request.method.lower()]["responses"]
    media = response.headers["content-type"]
    schema = answers[str(response.status_code)]["content"][media]["schema"]
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(response.json())


async def test_accounts_are_merged_and_two_again(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="old")
    await centre.customer(8, 50)
    ann = await person(centre, "ann", "call_centre")
    wish = {"into": 8, "reason": "one customer"}
    done = await centre.http.post("/v1/accounts/7/merge", headers=ann, json=wish)
    assert_as_documented(done, "/v1/accounts/{account}/merge")
    assert (done.status_code, done.json()["points"]) == (200, 300)
    rows = await centre.http.get("/v1/accounts/8/merges", headers=OFFICE)
    assert_as_documented(rows, "/v1/accounts/{account}/merges")
    number = rows.json()[0]["merge_id"]
    back = await centre.http.post(f"/v1/merges/{number}/undo", headers=ann)
    assert_as_documented(back, "/v1/merges/{merge}/undo")
    assert await centre.totals(7) == Totals(300)
    moved = await centre.http.post(
        "/v1/card-moves", headers=ann, json={"card": "old", "to": 8, "reason": "hers"}
    )
    assert_as_documented(moved, "/v1/card-moves")
    undone = await centre.http.post(f"/v1/card-moves/{moved.json()['move_id']}/undo", headers=ann)
    assert_as_documented(undone, "/v1/card-moves/{move}/undo")
    assert undone.json()["to_account"] == 7


async def test_points_are_given_by_a_person_within_his_limit(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    async with centre.pool.acquire() as connection:
        reason = AdjustmentReason(code="goodwill", title="Goodwill", points_max=500)
        await put_reason(connection, reason, person="root", now_ms=0)
        limit = AdjustmentLimit(role="call_centre", points_per_day=600)
        await put_limit(connection, limit, person="root", now_ms=0)
    ann = await person(centre, "ann", "call_centre")
    wish = {"key": "key-00001", "account_id": 7, "points": 500, "reason": "goodwill"}
    done = await centre.http.post("/v1/adjustments", headers=ann, json=wish)
    assert_as_documented(done, "/v1/adjustments")
    assert done.json()["left_today"] == 100
    wish = {**wish, "key": "key-00002"}
    more = await centre.http.post("/v1/adjustments", headers=ann, json=wish)
    assert more.status_code == 403
    assert_as_documented(more, "/v1/adjustments")
    assert await centre.totals(7) == Totals(800)
    terms = await centre.http.get("/v1/adjustments/terms", headers=OFFICE)
    assert_as_documented(terms, "/v1/adjustments/terms")


async def test_days_are_shown_and_proven(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await seal_day(centre.pool, KEYS.centre, day="2025-03-05", now_ms=0)
    found = await centre.http.get("/v1/ledger/liability?day=2025-03-05", headers=OFFICE)
    assert_as_documented(found, "/v1/ledger/liability")
    assert found.json()["points"] == 300
    wrong = await centre.http.get("/v1/ledger/liability?day=soon", headers=OFFICE)
    assert wrong.status_code == 422
    seals = await centre.http.get("/v1/ledger/seals", headers=OFFICE)
    assert_as_documented(seals, "/v1/ledger/seals")
    proof = await centre.http.get("/v1/ledger/inclusion/opening:7", headers=OFFICE)
    assert_as_documented(proof, "/v1/ledger/inclusion/{subject}")
    assert len(proof.json()["entries"]) == 1


async def test_what_waits_is_listed_and_given_up(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.post(till, till.refund("r1", "s1"))
    found = await centre.http.get("/v1/parked?store=store-1&days=0&rows=10", headers=OFFICE)
    assert_as_documented(found, "/v1/parked")
    assert (found.json()["total"], found.json()["limit_days"]) == (1, 90)
    (waits,) = found.json()["records"]
    assert (waits["kind"], waits["key"], waits["waits_for"]) == ("refund", "r1", "receipt")
    ann = await person(centre, "ann", "call_centre")
    path = f"/v1/parked/{waits['record']}/give-up"
    early = await centre.http.post(path, headers=ann, json={"reason": "burnt"})
    assert early.status_code == 409
    assert_as_documented(early, "/v1/parked/{record}/give-up")
    done = await centre.http.post(path, headers=ann, json={"reason": "burnt", "early": True})
    assert_as_documented(done, "/v1/parked/{record}/give-up")
    assert done.json() == waits
    empty = await centre.http.get("/v1/parked", headers=ann)
    assert empty.json() == {"total": 0, "limit_days": 90, "records": []}
    await centre.apply()
    outcomes = await centre.outcomes(till)
    assert outcomes[len(till.bodies)].outcome == "rejected_kept"


@pytest.mark.parametrize(
    "asked", ["days=-1", "days=soon", "rows=0", "rows=1001", "days=" + "9" * 30]
)
async def test_a_listing_of_what_waits_is_asked_for_with_numbers(
    centre: JoinedCentre, asked: str
) -> None:
    refused = await centre.http.get(f"/v1/parked?{asked}", headers=OFFICE)
    assert refused.status_code == 422
    assert_as_documented(refused, "/v1/parked")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/accounts/7/merge", {"into": 8, "reason": "one customer"}),
        ("/v1/merges/1/undo", None),
        ("/v1/card-moves", {"card": "old", "to": 8, "reason": "hers"}),
        ("/v1/card-moves/1/undo", None),
        (
            "/v1/adjustments",
            {"key": "key-00001", "account_id": 7, "points": 1, "reason": "goodwill"},
        ),
        ("/v1/parked/1/give-up", {"reason": "burnt", "early": True}),
    ],
)
async def test_writes_are_a_persons_who_has_the_role(
    centre: JoinedCentre, path: str, body: dict[str, object] | None
) -> None:
    await centre.customer(7, 300, card="old")
    await centre.customer(8)
    async with centre.pool.acquire() as connection:
        reason = AdjustmentReason(code="goodwill", title="Goodwill", points_max=500)
        await put_reason(connection, reason, person="root", now_ms=0)
    bob = await person(centre, "bob", "author")
    for headers, status in (({}, 401), (OFFICE, 403), (bob, 403)):
        assert (await centre.http.post(path, headers=headers, json=body)).status_code == status
    assert await centre.totals(7) == Totals(300)


async def test_what_is_no_number_is_not_found(centre: JoinedCentre) -> None:
    ann = await person(centre, "ann", "call_centre")
    for number in ("x", "-1", "9" * 30):
        path = f"/v1/accounts/{number}/merge"
        response = await centre.http.post(path, headers=ann, json={"into": 8, "reason": "x"})
        assert response.status_code == 404


async def test_terms_of_tiers_are_set_by_finance_and_shown(centre: JoinedCentre) -> None:
    ann = await person(centre, "ann", "finance")
    bob = await person(centre, "bob", "call_centre")
    terms = {"tiers": [{"name": "", "at_least": 0}, {"name": "gold", "at_least": 500}]}
    path = "/v1/tiers/terms"
    assert (await centre.http.get(path, headers=OFFICE)).status_code == 404
    assert (await centre.http.put(path, headers=bob, json=terms)).status_code == 403
    wrong = await centre.http.put(path, headers=ann, json={"tiers": []})
    assert wrong.status_code == 422
    done = await centre.http.put(path, headers=ann, json=terms)
    assert_as_documented(done, path)
    assert (await centre.http.get(path, headers=OFFICE)).json() == done.json()
    await centre.customer(7)
    till = await centre.till()
    await centre.post(till, till.sale("s1", account=7))
    assert (await centre.http.get("/v1/accounts/7/tier", headers=OFFICE)).status_code == 404
    await tend_tiers(centre.pool, now_ms=centre.system.now_ms())
    found = await centre.http.get("/v1/accounts/7/tier", headers=OFFICE)
    assert_as_documented(found, "/v1/accounts/{account}/tier")
    assert found.json()["tier"] == "gold"


async def test_a_number_longer_than_any_is_nobodys(centre: JoinedCentre) -> None:
    for number in ("9" * 19, "9" * 5_000, "0" * 5_000 + "7"):
        found = await centre.http.get(f"/v1/accounts/{number}/wallets", headers=OFFICE)
        assert found.status_code == 404
        assert found.json()["message"] == "account is named by a number"
