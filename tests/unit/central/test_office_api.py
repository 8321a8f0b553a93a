"""The JSON routes and their OpenAPI document: what is promised is answered, and nothing else."""

import httpx
import jsonschema
import msgspec
import openapi_spec_validator
import pytest
from starlette.routing import Route

from central.api import open_routes
from central.api.openapi import openapi_document
from loyalty.account import Allowance, RedeemRequest, SpendRight
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.offers import AmountOff, Limits, SharedLimit
from sync.messages import SnapshotAnswer, SnapshotRequest
from sync.records import CounterDrawn
from tests.support.builders import basket, bundle, line, moment, offer
from tests.support.centre import KEYS, JoinedCentre
from tests.support.till_probe import TillProbe, take

ONE_FOR_ALL = Limits(campaign=SharedLimit(uses_max=1))
ONCE = "campaign.uses:hundred"
TOKEN = {"authorization": f"Bearer {KEYS.office_token}"}
BASKET = basket(line("1", gross_minor=1_990), line("2", "bread"))


def wish(till: TillProbe, **changes: object) -> bytes:
    body = {"basket": BASKET, "moment": moment(), "place": till.identity.place, **changes}
    return msgspec.json.encode(body)


def assert_as_documented(response: httpx.Response, path: str) -> None:
    """Fail unless the document has this status for the call and the body fits its schema."""
    document = openapi_document()
    answers = document["paths"][path][response.request.method.lower()]["responses"]
    media = "application/json" if response.status_code in (200, 503) else "application/problem+json"
    documented = answers[str(response.status_code)]["content"][media]["schema"]
    schema = {**documented, "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(response.json())
    assert response.headers["content-type"] == media


async def test_the_document_is_openapi_3_1_and_served(centre: JoinedCentre) -> None:
    response = await centre.http.get("/v1/openapi.json")
    assert response.status_code == 200
    document = response.json()
    assert document["openapi"] == "3.1.0"
    openapi_spec_validator.validate(document)


async def test_every_route_is_in_the_document(centre: JoinedCentre) -> None:
    document = (await centre.http.get("/v1/openapi.json")).json()
    for_people = {("/", "get"), ("/v1/openapi.json", "get")}
    served = {
        (route.path, method.lower())
        for route in centre.parts.app.routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    }
    documented = {(path, method) for path, calls in document["paths"].items() for method in calls}
    assert served - for_people == documented


async def test_a_thin_client_gets_what_a_till_calculates_byte_for_byte(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 300, card="4000")
    for redeem in (
        RedeemRequest(),
        RedeemRequest(points=120),
        RedeemRequest(as_many_as_possible=True),
    ):
        response = await centre.http.post(
            "/v1/calculate", headers=TOKEN, content=wish(till, card=" 4000 ", redeem=redeem)
        )
        assert_as_documented(response, "/v1/calculate")
        known = await till.ask(
            "/v1/till/snapshot", SnapshotRequest(card=till.card("4000")), SnapshotAnswer
        )
        assert known.account is not None
        expected = calculate(
            BASKET,
            till.rules,
            moment=moment(),
            place=till.identity.place,
            account=known.account.snapshot,
            request=redeem,
            right=SpendRight(points=300),
        )
        assert response.content == canonical_bytes(expected)
        assert expected.totals.redeemed_points == min(
            300, redeem.points or 300 * redeem.as_many_as_possible
        )


async def test_nothing_is_set_aside_by_calculating(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300, card="4000")
    before = await centre.totals(7)
    body = wish(till, card="4000", redeem=RedeemRequest(points=100))
    await centre.http.post("/v1/calculate", headers=TOKEN, content=body)
    assert await centre.totals(7) == before


async def test_what_is_limited_over_all_is_given_as_long_as_nobody_has_used_it(
    centre: JoinedCentre,
) -> None:
    once = offer("hundred", AmountOff(amount_minor=100), limits=ONE_FOR_ALL)
    await centre.publish(bundle(once, version=2))
    till = await centre.till()

    async def discounted() -> int:
        response = await centre.http.post("/v1/calculate", headers=TOKEN, content=wish(till))
        assert_as_documented(response, "/v1/calculate")
        found: int = response.json()["totals"]["discount_minor"]
        return found

    assert await discounted() == 100
    (grant,) = (await till.ask_counters(ONCE)).grants
    assert await discounted() == 100  # a till has it, and nobody has used it
    sale = till.sale(
        "s1",
        line("1"),
        allowance=Allowance(left={ONCE: 1}),
        drawn=[CounterDrawn(grant.grant_id, 1)],
    )
    await centre.post(till, sale)
    assert await discounted() == 0


async def test_calculating_without_a_card(centre: JoinedCentre) -> None:
    till = await centre.till()
    response = await centre.http.post("/v1/calculate", headers=TOKEN, content=wish(till))
    assert_as_documented(response, "/v1/calculate")
    expected = calculate(BASKET, till.rules, moment=moment(), place=till.identity.place)
    assert response.content == canonical_bytes(expected)
    assert response.json()["reasons"][0]["code"] == "not_identified"


async def test_an_unknown_card_is_404(centre: JoinedCentre) -> None:
    till = await centre.till()
    response = await centre.http.post(
        "/v1/calculate", headers=TOKEN, content=wish(till, card="4711")
    )
    assert (response.status_code, response.json()["error"]) == (404, "not_found")
    assert_as_documented(response, "/v1/calculate")


LINE = msgspec.to_builtins(line())


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"basket": {"lines": [{"line_id": "1"}]}}, "$.basket.lines[0]"),
        ({"basket": {"lines": [{**LINE, "quantity": 0}]}}, "quantity of line '1'"),
        ({"basket": {"lines": [{**LINE, "sku": 1}]}}, "$.basket.lines[0].sku"),
        ({"basket": {"lines": [LINE, LINE]}}, "line id '1' stands in the basket twice"),
        ({"moment": {"local": "5 March"}}, "$.moment"),
        ({"redeem": {"points": -1}}, "$.redeem"),
        ({"card": "4" * 65}, "$.card"),
        ({"colour": "green"}, "colour"),
    ],
)  # fmt: skip
async def test_a_body_that_is_not_valid_is_422_and_names_the_field(
    centre: JoinedCentre, change: dict[str, object], names: str
) -> None:
    till = await centre.till()
    response = await centre.http.post("/v1/calculate", headers=TOKEN, content=wish(till, **change))
    assert response.status_code == 422
    assert response.json()["error"] == "request_invalid"
    assert names in response.json()["message"]
    assert_as_documented(response, "/v1/calculate")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'{"basket":' + b"[" * 100_000])
async def test_a_body_that_is_not_json_is_422(centre: JoinedCentre, body: bytes) -> None:
    response = await centre.http.post("/v1/calculate", headers=TOKEN, content=body)
    assert response.status_code == 422
    assert_as_documented(response, "/v1/calculate")


async def test_a_body_that_is_too_long_is_400(centre: JoinedCentre) -> None:
    response = await centre.http.post("/v1/calculate", headers=TOKEN, content=b" " * 5_000_000)
    assert (response.status_code, response.json()["error"]) == (400, "message_malformed")
    assert_as_documented(response, "/v1/calculate")


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer"}, {"authorization": "Bearer " + "0" * 64}],
)
@pytest.mark.parametrize(
    ("method", "path", "documented_as"),
    [
        ("POST", "/v1/calculate", "/v1/calculate"),
        ("GET", "/v1/receipts/s1", "/v1/receipts/{key}"),
        ("GET", "/v1/ledger/proof", "/v1/ledger/proof"),
    ],
)
async def test_without_the_token_nothing_is_told(
    centre: JoinedCentre, headers: dict[str, str], method: str, path: str, documented_as: str
) -> None:
    response = await centre.http.request(method, path, headers=headers)
    assert (response.status_code, response.json()["error"]) == (401, "not_authenticated")
    assert_as_documented(response, documented_as)


async def test_a_posted_receipt_is_found_as_it_was_printed(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    (right,) = (await till.authorise("s1", 7, 100)).authorisations
    sale = till.sale("s1", *BASKET.lines, account=7, sources=[take(right)])
    await centre.post(till, sale)
    response = await centre.http.get("/v1/receipts/s1", headers=TOKEN)
    assert response.content == bytes(sale.calculation)
    assert_as_documented(response, "/v1/receipts/{key}")
    missing = await centre.http.get("/v1/receipts/s2", headers=TOKEN)
    assert missing.status_code == 404
    assert_as_documented(missing, "/v1/receipts/{key}")


async def test_the_proof_is_served(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.post(till, till.sale("s1", account=7))
    response = await centre.http.get("/v1/ledger/proof", headers=TOKEN)
    assert response.json()["balanced"] is True
    assert response.json()["figures"]["posted"] == 400
    assert_as_documented(response, "/v1/ledger/proof")


async def test_health_counts_what_waits(centre: JoinedCentre) -> None:
    till = await centre.till()
    till.append(till.refund("r1", "unknown"))
    await till.push()
    response = await centre.http.get("/v1/health")
    assert response.json() == {"status": "ok", "database": "up", "waiting": 2, "parked": 0}
    await centre.apply()
    response = await centre.http.get("/v1/health")
    assert response.json() == {"status": "ok", "database": "up", "waiting": 0, "parked": 1}
    assert_as_documented(response, "/v1/health")


async def test_health_counts_no_further_than_it_takes_to_see_that_there_are_many(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_routes, "COUNTED_MAX", 1)
    till = await centre.till()
    till.append(till.refund("r1", "unknown"))
    await till.push()
    assert (await centre.http.get("/v1/health")).json()["waiting"] == 1  # of 2


async def test_health_without_a_database_is_503(centre: JoinedCentre) -> None:
    await centre.pool.execute("alter table inbox rename to hidden")
    response = await centre.http.get("/v1/health")
    await centre.pool.execute("alter table hidden rename to inbox")
    assert response.status_code == 503
    assert (response.json()["status"], response.json()["database"]) == ("failing", "down")
    assert_as_documented(response, "/v1/health")
