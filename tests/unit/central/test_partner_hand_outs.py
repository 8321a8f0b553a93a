"""Partners' own points that tills hand out stand in the partners' statements, and go back there."""

import csv
import io
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Raw, structs

from central.access.partner_statement import read_hand_outs
from central.ledger.verify import verify_ledger
from central.streams.partner_points import settle
from loyalty.basket import BasketLine
from loyalty.offers import PartnerPoints
from loyalty.returns import ReturnItem
from tests.support import builders
from tests.support.builders import having, line, pieces
from tests.support.centre import JoinedCentre
from tests.support.outside import program
from tests.support.till_probe import TillProbe
from tests.unit.central.test_app_api import assert_as_documented

PATH = "/v1/partner/hand-outs"
RULES = builders.bundle(
    builders.offer("miles", PartnerPoints(partner="air", points=1, per_minor=100)),
    builders.offer(
        "tea-miles",
        PartnerPoints(partner="air", points=3, per_minor=250),
        lines=having("sku", "tea"),
    ),
    builders.offer("stamps", PartnerPoints(partner="florist", points=1, per_minor=1_000)),
    version=2,
)
BASKET = (line("1", "milk", gross_minor=1_050), line("2", "tea", pieces=3, gross_minor=1_400))
"""24.50: 24 miles for all of it, 16 for the tea, 2 stamps of the florist."""

_CHANGED = """
alter table partner_hand_out disable trigger user;
update partner_hand_out set points = points + {points} where (refund = '') = {is_hand_out};
update partner_hand_out_day set {column} = {column} + {added};
"""
DAMAGES = (
    "update partner_hand_out_day set handed_out = handed_out + 1",
    _CHANGED.format(points=1, is_hand_out="true", column="handed_out", added=2),
    _CHANGED.format(points=99, is_hand_out="false", column="handed_back", added=99),
)
"""Sums that are not those of lines; lines that are not their receipt's; more back than out."""


class Airline:
    """A partner whose points tills hand out."""

    def __init__(self, centre: JoinedCentre, headers: Mapping[str, str]) -> None:
        self.centre = centre
        self.headers = headers

    async def read(self, path: str = PATH, **query: str) -> Any:  # noqa: ANN401
        response = await self.centre.http.get(path, headers=self.headers, params=query)
        assert_as_documented(response, path)
        return response.json()

    async def settled(self, **query: str) -> Any:  # noqa: ANN401
        """Return its hand-outs when everything is settled."""
        await settle_all(self.centre)
        return await self.read(**query)


async def settle_all(centre: JoinedCentre, *, once_max: int = 1_000) -> int:
    lines = 0
    while more := await settle(centre.pool, now_ms=centre.system.now_ms(), once_max=once_max):
        lines += more
    return lines


def sums(found: Mapping[str, Any]) -> tuple[int, int, int]:
    return found["handed_out_points"], found["handed_back_points"], found["due_points"]


def told(found: Mapping[str, Any]) -> list[tuple[str, str, str, str, int]]:
    return [
        (each["kind"], each["receipt"], each["refund"], each["offer"], each["points"])
        for each in found["lines"]
    ]


@pytest_asyncio.fixture
async def till(centre: JoinedCentre) -> TillProbe:
    """A till with offers that hand out partners' points."""
    await centre.publish(RULES)
    return await centre.till()


@pytest_asyncio.fixture
async def air(centre: JoinedCentre, till: TillProbe) -> AsyncIterator[Airline]:
    """One of the partners of these offers; the other one is not known here."""
    made = await program(centre, "air", "partner")
    yield Airline(centre, await made.headers())


async def sold(centre: JoinedCentre, till: TillProbe, key: str, *lines: BasketLine) -> None:
    await centre.post(till, till.sale(key, *(lines or BASKET)))


async def returned(
    centre: JoinedCentre, till: TillProbe, key: str, of: str, *lines: str | ReturnItem
) -> None:
    (outcome,) = await centre.post(till, till.refund(key, of, *lines))
    assert outcome.outcome == "accepted"


async def test_a_receipt_stands_in_its_partners_statement_with_offer_and_points(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    assert (await air.read())["lines"] == []
    found = await air.settled()
    assert told(found) == [
        ("hand_out", "s1", "", "miles", 24), ("hand_out", "s1", "", "tea-miles", 16),
    ]  # fmt: skip
    assert sums(found) == (40, 0, 40)
    assert found["lines"][0] == {
        "number": 1, "day": "2025-03-05", "at_ms": centre.system.now_ms(), "kind": "hand_out",
        "receipt": "s1", "refund": "", "offer": "miles", "points": 24, "occurred_on": "2025-03-05",
    }  # fmt: skip


async def test_the_statement_of_the_partners_own_calls_has_the_same_sums_beside_its_own(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    await returned(centre, till, "r1", "s1", "1")
    await settle_all(centre)
    found = await air.read("/v1/partner/statement")
    assert sums(found) == (40, 10, 30)
    assert (found["accrued_points"], found["owed_points"], found["movements"]) == (0, 0, [])


async def test_a_return_takes_back_what_its_goods_gave_and_no_more(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    await returned(centre, till, "r1", "s1", "1")  # the milk is no tea: 14.00 stays
    found = await air.settled()
    assert told(found)[2:] == [("hand_back", "s1", "r1", "miles", 10)]
    await returned(centre, till, "r2", "s1", pieces("2", 1))  # 9.33 stays
    found = await air.settled()
    assert told(found)[3:] == [
        ("hand_back", "s1", "r2", "miles", 5), ("hand_back", "s1", "r2", "tea-miles", 5),
    ]  # fmt: skip
    assert sums(found) == (40, 20, 20)


async def test_all_parts_that_come_back_take_everything_back(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    parts: tuple[str | ReturnItem, ...] = (pieces("2", 1), "1", pieces("2", 1), "2")
    for number, part in enumerate(parts):
        await returned(centre, till, f"r{number}", "s1", part)
    assert sums(await air.settled()) == (40, 40, 0)


async def test_a_return_that_comes_twice_takes_back_once(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    await returned(centre, till, "r1", "s1", "1")
    await returned(centre, till, "r1", "s1", "1")
    await sold(centre, till, "s1")
    assert sums(await air.settled()) == (40, 10, 30)


async def test_returns_before_their_receipt_take_back_when_it_has_come(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    (outcome,) = await centre.post(till, till.refund("r1", "s1", "1"))
    assert outcome.outcome == "parked"
    await sold(centre, till, "s1")
    assert sums(await air.settled()) == (40, 10, 30)


async def test_of_receipts_that_were_noted_nowhere_nothing_goes_back(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    await centre.pool.execute("delete from partner_hand_out_new")  # as the release before did
    await returned(centre, till, "r1", "s1", "1")
    assert told(await air.settled()) == []


async def test_a_partner_that_is_not_known_yet_finds_it_all_later(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    assert await settle_all(centre) == 2
    made = await program(centre, "florist", "partner")
    assert await settle_all(centre) == 1
    florist = Airline(centre, await made.headers())
    assert told(await florist.read()) == [("hand_out", "s1", "", "stamps", 2)]
    assert sums(await air.read()) == (40, 0, 40)


async def test_lines_of_several_days_stand_in_order_under_the_days_they_came_in(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    for number in range(3):
        await sold(centre, till, f"s{number}")
        await settle_all(centre, once_max=1)
        centre.system.pass_days(1)
    other = Airline(centre, await (await program(centre, "air-2", "partner")).headers())
    days = {"from": "2025-03-05", "to": "2025-03-31"}
    assert (await other.read(**days))["lines"] == []
    async with centre.pool.acquire() as connection:
        found = await read_hand_outs(
            connection, "air", "2025-03-06", "2025-03-31", after=0, rows_max=9
        )
    assert [(each.day, each.receipt) for each in found.lines] == [
        ("2025-03-06", "s1"), ("2025-03-06", "s1"), ("2025-03-07", "s2"), ("2025-03-07", "s2"),
    ]  # fmt: skip
    assert found.due_points == 80


async def test_pages_of_json_and_csv_have_every_line_once(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    for number in range(5):
        await sold(centre, till, f"s{number}")
    await settle_all(centre, once_max=3)
    lines, after = [], "0"
    while True:
        found = await air.read(after=after, limit="3")
        assert sums(found) == (200, 0, 200)
        lines += found["lines"]
        if not (after := found["next"]):
            break
    assert [each["number"] for each in lines] == sorted({each["number"] for each in lines})
    assert len(lines) == 10
    written, path = [], f"{PATH}?limit=3"
    while path:
        response = await centre.http.get(path, headers={**air.headers, "accept": "text/csv"})
        written += list(csv.DictReader(io.StringIO(response.text)))
        path = response.headers.get("link", "").partition(">")[0].lstrip("<")
    assert [(row["receipt"], row["offer"], int(row["points"])) for row in written] == [
        (each["receipt"], each["offer"], each["points"]) for each in lines
    ]


async def test_days_outside_of_those_asked_for_are_left_out(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    await settle_all(centre)
    assert sums(await air.read(**{"from": "2025-03-05", "to": "2025-03-06"})) == (40, 0, 40)
    assert sums(await air.read(**{"from": "2025-03-06", "to": "2025-03-07"})) == (0, 0, 0)


async def test_the_ledgers_proof_sees_a_statement_that_is_not_what_receipts_say(
    centre: JoinedCentre, till: TillProbe, air: Airline
) -> None:
    await sold(centre, till, "s1")
    await returned(centre, till, "r1", "s1", "1")
    assert sums(await air.settled()) == (40, 10, 30)
    for damage in DAMAGES:
        async with centre.pool.acquire() as connection:
            transaction = connection.transaction(isolation="repeatable_read")
            await transaction.start()
            await connection.execute(damage)
            proof = await verify_ledger(connection)
            await transaction.rollback()
        assert {each.name for each in proof.checks if each.broken} == {"partners"}


@pytest.mark.parametrize("points", [0, -5, 10**13])
async def test_what_no_engine_hands_out_stands_in_no_statement(
    centre: JoinedCentre, till: TillProbe, air: Airline, points: int
) -> None:
    sale = till.sale("s1", *BASKET)
    content = bytes(sale.calculation).replace(b'"quantity":24', b'"quantity":%d' % points)
    await centre.post(till, structs.replace(sale, calculation=Raw(content)))
    centre.broken_checks = {"equal"}
    assert told(await air.settled()) == [("hand_out", "s1", "", "tea-miles", 16)]
