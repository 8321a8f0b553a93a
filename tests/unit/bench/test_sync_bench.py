"""The measurement of the line counts what travels, and serves wishes in the product's order."""

from collections import Counter

import httpx
import pytest

from bench.sync import rules
from bench.sync.counting import CountingTransport, Traffic
from bench.sync.holding import VAULT, OfflineStore
from bench.sync.redeeming import WARM_UP_DAYS, Tally, Year, measure, report_of
from bench.sync.tables import text
from bench.sync.visits import Visit
from tests.support.postgres import folder_for_postgres

ACCOUNT = 7


def store(**grants: int) -> OfflineStore:
    return OfflineStore(dict.fromkeys([ACCOUNT][: len(grants)], sum(grants.values())), 500, 20_000)


async def test_bodies_and_headers_are_counted_apart() -> None:
    traffic = Traffic()

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"y" * 30, headers={"tillside-x": "1"})

    transport = CountingTransport(httpx.MockTransport(answer), traffic)
    async with httpx.AsyncClient(transport=transport, base_url="http://centre") as http:
        response = await http.post("/v1/till/pull", content=b"x" * 20)
        assert response.content == b"y" * 30
    assert (traffic.up["pull"], traffic.down["pull"], traffic.exchanges["pull"]) == (20, 30, 1)
    assert traffic.headers["pull"] > len("POST /v1/till/pull HTTP/1.1\r\n")
    assert traffic.body_bytes == 50
    before = traffic.copy()
    traffic.add(before)
    assert traffic.since(before).report() == before.report()


def test_a_till_at_the_vault_spends_its_own_grant_first() -> None:
    served = store(held=300).redeem(VAULT, ACCOUNT, 200, available=1_000, by_courier=500)
    assert (served.own_grant, served.vault, served.courier, served.risk) == (200, 0, 0, 0)


def test_another_till_gets_its_points_from_the_vault_and_none_twice() -> None:
    shop = store(held=300)
    first = shop.redeem(1, ACCOUNT, 200, available=0, by_courier=0)
    second = shop.redeem(2, ACCOUNT, 200, available=0, by_courier=0)
    assert (first.vault, second.vault, second.total) == (200, 100, 100)
    assert shop.redeem(VAULT, ACCOUNT, 1, available=0, by_courier=0).total == 0


def test_what_is_missing_comes_by_courier_then_from_risk() -> None:
    served = store(held=50).redeem(1, ACCOUNT, 400, available=320, by_courier=300)
    # One receipt takes at most 30 points from the risk budget, and no more than the customer has.
    assert (served.vault, served.courier, served.risk) == (50, 300, 20)
    assert store().redeem(1, ACCOUNT, 400, available=320, by_courier=0).risk == 30


def test_risk_is_refused_to_an_account_that_comes_again_and_again() -> None:
    shop = store()
    taken = [shop.redeem(1, ACCOUNT, 30, available=9_000, by_courier=0).risk for _ in range(7)]
    assert taken == [30] * 5 + [0] * 2


def visit(day: int, *, where: int, wants: int = 0) -> Visit:
    return Visit(day=day, store=where, household=1, earns=0, wants=wants)


def test_a_year_without_outages_has_no_wish_without_a_line() -> None:
    found = measure(
        [visit(0, where=1), visit(200, where=1, wants=50)],
        Year(rounds=1, outage_per_mille=0),
        seed=1,
    )
    assert (found["wishes"], found["online_wishes"], found["cached_balance_overdraft"]) == (0, 1, 0)


def test_cached_balances_pay_twice_where_rights_do_not() -> None:
    day = WARM_UP_DAYS + 1
    visits = [visit(0, where=1), *(visit(day, where=1, wants=2_500) for _ in range(12))]
    found = measure(visits, Year(rounds=1, outage_per_mille=1000), seed=1)
    assert found["cached_balance_overdraft"] > 0
    assert (
        found["our_overdraft"] <= found["risk_points"] <= 4 * 5 * 30
    )  # each of four tills counts by itself
    shares = found["points_by_source"]
    assert sum(shares.values()) == pytest.approx(1, abs=0.001)
    assert found["served_share"] + found["refused_share"] == pytest.approx(1, abs=0.001)
    assert sum(found["wishes_by_source"].values()) == pytest.approx(1, abs=0.001)


def test_wishes_are_told_apart_by_the_last_source_that_made_them_whole() -> None:
    tally = Tally(
        wishes=10, whole=7, partly=2, wanted=1_000,
        whole_by=Counter({"own_grant": 1, "vault": 3, "courier": 2, "risk": 1}),
        by_source=Counter({"own_grant": 50, "vault": 300, "courier": 200, "risk": 30,
                           "refused": 420}),
    )  # fmt: skip
    found = report_of(tally, Year())
    assert found["wishes_by_source"] == {
        "own_grant": 0.1, "vault": 0.3, "courier": 0.2, "risk": 0.1, "partly": 0.2, "refused": 0.1,
    }  # fmt: skip
    assert found["served_whole_share"] == 0.7
    said = [line.split() for line in text({"redeeming": found}).splitlines()]
    assert ["of", "all", "own", "grant", "vault", "courier", "risk", "partly", "refused"] in said
    (wishes,) = (line for line in said if line[0] == "wishes")
    (points,) = (line for line in said if line[0] == "points")
    assert wishes[-6:] == ["10.0%", "30.0%", "20.0%", "10.0%", "20.0%", "10.0%"]
    assert points[-6:] == ["5.0%", "30.0%", "20.0%", "3.0%", "-", "42.0%"]


def test_a_wish_counts_for_the_source_that_made_it_whole() -> None:
    day = WARM_UP_DAYS + 1
    # The home's vault has what the planner set aside; whoever wants less has it all from there.
    visits = [visit(0, where=1), visit(day, where=1, wants=20)]
    found = measure(visits, Year(rounds=8, outage_per_mille=1000), seed=1)
    by = found["wishes_by_source"]
    assert by["own_grant"] + by["vault"] == found["served_whole_share"] == 1
    assert by["own_grant"] > 0 < by["vault"]


async def test_of_four_tills_one_fetches_a_new_bundle() -> None:
    with folder_for_postgres() as folder:
        found = await rules.measure(200, seed=1, folder=folder)
    each, one = found["each"], found["one_for_all"]
    assert each["fetched_pieces"] == 4 * each["pieces"]
    assert one["fetched_pieces"] == one["pieces"]
    assert one["line_bytes"] < each["line_bytes"] / 3
    assert each["lan_bytes"] == 0 < one["lan_bytes"]
