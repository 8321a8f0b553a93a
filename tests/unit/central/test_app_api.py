"""What the customers' app shows and does: balance, lots, receipts with reasons, offers."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import jsonschema
import pytest

from central.api.openapi import openapi_document
from loyalty.basket import BasketLine
from loyalty.offers import PointsPerReceipt, When, Who
from tests.support.builders import bundle, line, offer
from tests.support.centre import BUNDLE, KEYS, JoinedCentre, Totals
from tests.support.outside import program
from tests.support.till_probe import take

CARD = "4000"
YOURS = offer(
    "yours",
    PointsPerReceipt(points=25),
    title={"en": "25 points for you", "ru": "25 баллов для вас"},
    who=Who(personal=True),
)
LATER = offer(
    "later",
    PointsPerReceipt(points=50),
    title={"en": "50 points in April"},
    who=Who(personal=True),
    when=When(starts="2025-04-01", until="2025-05-01"),
)
OVER = offer(
    "over", PointsPerReceipt(points=5), who=Who(personal=True), when=When(until="2025-03-05")
)
RULES = bundle(*BUNDLE.offers, YOURS, LATER, OVER, version=2)


def assert_as_documented(response: httpx.Response, path: str) -> None:
    """Fail unless status and body are in the document for the call."""
    document = openapi_document()
    answers = document["paths"][path][response.request.method.lower()]["responses"]
    media = response.headers["content-type"]
    schema = answers[str(response.status_code)]["content"][media]["schema"]
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(response.json())


class Telephone:
    """The app of one customer."""

    def __init__(self, centre: JoinedCentre, headers: Mapping[str, str]) -> None:
        self.centre = centre
        self.headers = headers

    async def get(self, path: str, documented: str = "", **query: str | int) -> Any:  # noqa: ANN401
        response = await self.centre.http.get(f"/v1/app/{path}", headers=self.headers, params=query)
        assert_as_documented(response, f"/v1/app/{documented or path}")
        if response.status_code == httpx.codes.OK:
            assert response.headers["cache-control"] == "no-store"
        return response.json()

    async def activate(self, offer_id: str) -> httpx.Response:
        response = await self.centre.http.put(
            f"/v1/app/offers/{offer_id}/activation", headers=self.headers
        )
        assert_as_documented(response, "/v1/app/offers/{offer}/activation")
        return response

    async def deactivate(self, offer_id: str) -> httpx.Response:
        response = await self.centre.http.delete(
            f"/v1/app/offers/{offer_id}/activation", headers=self.headers
        )
        assert_as_documented(response, "/v1/app/offers/{offer}/activation")
        return response


async def telephone(centre: JoinedCentre, card: str = CARD) -> Telephone:
    """Return the telephone of a customer, signed in by an app of its own."""
    return Telephone(centre, await (await program(centre, f"app-{card}", "app")).headers(card=card))


async def bought(centre: JoinedCentre, key: str, *lines: BasketLine, account: int = 7) -> None:
    till = await centre.till()
    await centre.post(till, till.sale(key, *lines, account=account))


async def test_the_balance_says_what_counts_waits_and_ends_next(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, 50, 20, card=CARD, ends=("", "2025-04-01", "2025-03-01"))
    await centre.load({
        "kind": "account", "account_id": 8, "home_store": "", "cards": ["4001"],
        "lots": [{"points": 70, "active_from": "2025-03-06", "expires_on": "2025-04-06"}],
    })  # fmt: skip
    mine = await (await telephone(centre)).get("account")
    assert mine == {
        "account_id": 7, "points": 350, "held_points": 0, "pending_points": 0, "debt_points": 0,
        "tier": "", "blocked": False, "ends_next": {"points": 50, "expires_on": "2025-04-01"},
    }  # fmt: skip
    other = await (await telephone(centre, "4001")).get("account")
    assert (other["points"], other["pending_points"], other["ends_next"]) == (0, 70, None)


async def test_what_tills_hold_is_shown_apart(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card=CARD)
    till = await centre.till()
    await till.authorise("s1", 7, 120)
    phone = await telephone(centre)
    balance = await phone.get("account")
    assert (balance["points"], balance["held_points"]) == (180, 120)
    (lot,) = (await phone.get("lots"))["lots"]
    assert (lot["points"], lot["held_points"], lot["state"]) == (300, 120, "counts")


async def test_lots_come_in_pages_those_that_end_first_first(centre: JoinedCentre) -> None:
    ends = ("", "2025-06-01", "2025-04-01", "2025-03-05")
    await centre.customer(7, 1, 2, 3, 4, card=CARD, ends=ends)
    phone = await telephone(centre)
    seen, page = [], await phone.get("lots", limit=1)
    while True:
        seen += [(lot["points"], lot["expires_on"]) for lot in page["lots"]]
        if not page["next"]:
            break
        page = await phone.get("lots", limit=1, after=page["next"])
    assert seen == [(3, "2025-04-01"), (2, "2025-06-01"), (1, "")]
    assert [lot["points"] for lot in (await phone.get("lots"))["lots"]] == [3, 2, 1]


async def test_receipts_come_in_pages_and_say_what_came_back(centre: JoinedCentre) -> None:
    await centre.customer(7, card=CARD)
    till = await centre.till()
    sales = [till.sale(f"s{n}", account=7) for n in range(3)]
    await centre.post(till, *sales)
    await centre.post(till, till.refund("r1", "s1"))
    phone = await telephone(centre)
    first = await phone.get("receipts", limit=2)
    rest = await phone.get("receipts", limit=2, before=first["next"])
    assert [each["key"] for each in first["receipts"] + rest["receipts"]] == ["s2", "s1", "s0"]
    assert rest["next"] == ""
    back = first["receipts"][1]
    assert (back["earned_points"], back["money_back_minor"], back["taken_back_points"]) == (
        100, 1_000, 100,
    )  # fmt: skip
    shown = await phone.get("receipts/s1", "receipts/{key}")
    assert shown["lines"][0]["returned_quantity"] == 1_000


async def test_a_receipt_says_of_each_offer_why(centre: JoinedCentre) -> None:
    await centre.publish(RULES)
    await centre.customer(7, 300, card=CARD)
    till = await centre.till()
    (right,) = (await till.authorise("s1", 7, 100)).authorisations
    sale = till.sale("s1", line("1"), line("2", "bread"), account=7, sources=[take(right)])
    await centre.post(till, sale)
    phone = await telephone(centre)
    shown = await phone.get("receipts/s1", "receipts/{key}")
    assert (shown["redeemed_points"], shown["paid_minor"], shown["earned_points"]) == (
        100, 1_900, 190,
    )  # fmt: skip
    assert [
        (each["sku"], each["earned_points"], each["effects"][0]["title"]) for each in shown["lines"]
    ] == [("milk", 95, "A point for every ten cents"), ("bread", 95, "A point for every ten cents")]
    why = {each["offer_id"]: (each["code"], each["text"]) for each in shown["reasons"]}
    assert why["tenth"] == ("applied", "A point for every ten cents: you get 190 points.")
    assert why["yours"] == ("not_personal", "25 points for you: not among your personal offers.")
    russian = await phone.get("receipts/s1", "receipts/{key}", lang="ru")
    assert "25 баллов для вас: нет среди ваших личных предложений." in [
        each["text"] for each in russian["reasons"]
    ]


async def test_the_language_is_the_one_the_telephone_accepts(centre: JoinedCentre) -> None:
    await centre.customer(7, card=CARD)
    await bought(centre, "s1")
    phone = await telephone(centre)
    for accepted, title in (
        ("de-DE,de;q=0.9", "A point for every ten cents"),
        ("fr, ru-RU;q=0.8, en;q=0.5", "Балл за каждые десять копеек"),
    ):
        asking = Telephone(centre, {**phone.headers, "accept-language": accepted})
        shown = await asking.get("receipts/s1", "receipts/{key}")
        assert shown["reasons"][0]["title"] == title


async def test_nobody_sees_receipts_of_others(centre: JoinedCentre) -> None:
    await centre.customer(7, card=CARD)
    await centre.customer(8, card="4001")
    await bought(centre, "s1")
    other = await telephone(centre, "4001")
    found = await other.get("receipts/s1", "receipts/{key}")
    assert found["error"] == "not_found"
    assert (await other.get("receipts"))["receipts"] == []


@pytest.mark.parametrize(
    ("path", "query", "names"),
    [
        ("lots", {"limit": "0"}, "limit"), ("lots", {"limit": "201"}, "limit"),
        ("lots", {"limit": "²"}, "limit"), ("lots", {"after": "x"}, "after"),
        ("lots", {"after": "2025-01-01." + "9" * 19}, "after"),
        ("receipts", {"before": "x"}, "before"), ("receipts", {"limit": ""}, "limit"),
        ("receipts", {"before": "2025-03-05T12:00:00~a\0"}, "before"),
        ("offers", {"lang": "de"}, "lang"),
    ],
)  # fmt: skip
async def test_a_question_that_is_not_valid_names_the_field(
    centre: JoinedCentre, path: str, query: dict[str, str], names: str
) -> None:
    await centre.customer(7, card=CARD)
    refused = await (await telephone(centre)).get(path, **query)
    assert (refused["status"], refused["error"]) == (422, "request_invalid")
    assert refused["message"].startswith(names)


async def test_an_offer_that_is_switched_on_acts_at_the_till(centre: JoinedCentre) -> None:
    await centre.publish(RULES)
    offers = ["later", "over", "unheard-of", "yours"]
    await centre.load({
        "kind": "account", "account_id": 7, "home_store": "store-1", "cards": [CARD],
        "offers_to_activate": offers,
    })  # fmt: skip
    phone = await telephone(centre)
    made = (await phone.get("offers"))["offers"]
    assert [(each["offer_id"], each["title"], each["state"]) for each in made] == [
        ("later", "50 points in April", "to_activate"),
        ("yours", "25 points for you", "to_activate"),
    ]
    till = await centre.till()
    before = (await till.pull()).accounts
    assert all(row.snapshot.personal_offers == () for row in before)
    first, again = await phone.activate("yours"), await phone.activate("yours")
    assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
    (told,) = (await till.pull()).accounts
    assert told.snapshot.personal_offers == ("yours",)
    sale = till.sale("s1", account=told.snapshot)
    await centre.post(till, sale)
    shown = await phone.get("receipts/s1", "receipts/{key}", lang="ru")
    assert shown["earned_points"] == 125
    assert "25 баллов для вас" in [each["title"] for each in shown["lines"][0]["effects"]]
    assert [each["state"] for each in (await phone.get("offers"))["offers"]] == [
        "to_activate", "acts",
    ]  # fmt: skip


async def test_ten_at_once_switch_an_offer_on_once(centre: JoinedCentre) -> None:
    await centre.publish(RULES)
    await centre.load({
        "kind": "account", "account_id": 7, "home_store": "", "cards": [CARD],
        "offers_to_activate": ["yours"],
    })  # fmt: skip
    phone = await telephone(centre)
    answers = await asyncio.gather(*(phone.activate("yours") for _ in range(10)))
    assert sorted(each.json()["repeated"] for each in answers) == [False] + [True] * 9
    assert await centre.pool.fetchval("select personal_offers from account") == ["yours"]


async def test_what_was_not_offered_cannot_be_switched_on(centre: JoinedCentre) -> None:
    await centre.publish(RULES)
    await centre.customer(7, card=CARD)
    await centre.load({
        "kind": "account", "account_id": 8, "home_store": "", "offers_to_activate": ["yours"],
    })  # fmt: skip
    phone = await telephone(centre)
    assert (await phone.activate("yours")).status_code == 404
    assert (await phone.activate("tenth")).status_code == 404


async def test_an_offer_that_is_switched_off_again_acts_where_it_is_not_known_yet_and_no_longer(
    centre: JoinedCentre,
) -> None:
    await centre.publish(RULES)
    await centre.load({
        "kind": "account", "account_id": 7, "home_store": "store-1", "cards": [CARD],
        "offers_to_activate": ["yours"], "personal_offers": ["later"],
    })  # fmt: skip
    phone = await telephone(centre)
    early = (await phone.deactivate("yours")).json()
    assert early == {"offer_id": "yours", "state": "to_activate", "repeated": True}
    await phone.activate("yours")
    till = await centre.till()
    (told,) = (await till.pull()).accounts
    first, again = await phone.deactivate("yours"), await phone.deactivate("yours")
    assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
    (outcome,) = await centre.post(till, till.sale("s1", account=told.snapshot))  # heard nothing
    assert (outcome.outcome, outcome.reason) == ("accepted", "")
    assert await centre.totals(7) == Totals(125)
    heard = (await till.pull()).accounts[-1]
    assert heard.snapshot.personal_offers == ("later",)
    assert heard.snapshot.version > told.snapshot.version
    await centre.post(till, till.sale("s2", account=heard.snapshot))
    assert await centre.totals(7) == Totals(225)
    assert (await phone.activate("yours")).json()["repeated"] is False


async def test_only_what_the_customer_has_switched_on_is_switched_off(
    centre: JoinedCentre,
) -> None:
    await centre.publish(RULES)
    await centre.load({
        "kind": "account", "account_id": 7, "home_store": "", "cards": [CARD],
        "personal_offers": ["yours"], "offers_to_activate": ["over"],
    })  # fmt: skip
    phone = await telephone(centre)
    said = [(await phone.deactivate(name)).json()["error"] for name in ("yours", "over", "later")]
    assert said == ["conflict", "not_found", "not_found"]
    assert await centre.pool.fetchval("select personal_offers from account") == ["yours"]


async def test_what_is_switched_off_stays_so_when_the_lists_are_loaded_anew(
    centre: JoinedCentre,
) -> None:
    await centre.publish(RULES)
    mine = {"kind": "account", "account_id": 7, "home_store": "", "cards": [CARD]}
    await centre.load({**mine, "offers_to_activate": ["yours"]})
    phone = await telephone(centre)
    await phone.activate("yours")
    await phone.deactivate("yours")
    await centre.load({**mine, "offers_to_activate": ["yours"]})
    made = (await phone.get("offers"))["offers"]
    assert [(each["offer_id"], each["state"]) for each in made] == [("yours", "to_activate")]


async def test_what_is_switched_on_stays_when_the_lists_are_loaded_anew(
    centre: JoinedCentre,
) -> None:
    await centre.publish(RULES)
    mine = {"kind": "account", "account_id": 7, "home_store": "", "cards": [CARD]}
    await centre.load({**mine, "offers_to_activate": ["later", "yours"]})
    phone = await telephone(centre)
    await phone.activate("yours")
    await centre.load({**mine, "personal_offers": ["x"], "offers_to_activate": []})
    made = (await phone.get("offers"))["offers"]
    assert [(each["offer_id"], each["state"]) for each in made] == [("yours", "acts")]


async def test_an_offer_that_is_over_or_in_no_rules_cannot_be_switched_on(
    centre: JoinedCentre,
) -> None:
    await centre.publish(RULES)
    await centre.load({
        "kind": "account", "account_id": 7, "home_store": "", "cards": [CARD],
        "personal_offers": ["gone"], "offers_to_activate": ["over", "unheard-of"],
    })  # fmt: skip
    phone = await telephone(centre)
    for offer_id in ("over", "unheard-of", "gone"):
        refused = await phone.activate(offer_id)
        assert (refused.status_code, refused.json()["error"]) == (404, "not_found")
    assert await centre.pool.fetchval("select personal_offers from account") == ["gone"]


async def test_no_more_offers_act_than_an_account_can_have(centre: JoinedCentre) -> None:
    await centre.publish(RULES)
    await centre.load({
        "kind": "account", "account_id": 7, "home_store": "", "cards": [CARD],
        "personal_offers": [*(f"o{n}" for n in range(99)), "later"],
        "offers_to_activate": ["yours"],
    })  # fmt: skip
    phone = await telephone(centre)
    refused = await phone.activate("yours")
    assert (refused.status_code, refused.json()["error"]) == (409, "conflict")
    assert (await phone.activate("later")).json()["repeated"] is True


async def test_nobody_is_answered_without_a_token(centre: JoinedCentre) -> None:
    for token in ("", "Bearer", "Bearer x", f"Bearer {KEYS.app_token}"):
        for path in ("account", "lots", "receipts", "receipts/s1", "offers"):
            response = await centre.http.get(f"/v1/app/{path}", headers={"authorization": token})
            assert response.status_code == 401
            assert response.headers["content-type"] == "application/problem+json"
