"""Receipts the centre calculates otherwise are named, with both calculations, the newest first."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog

from central.database.named_sql import load_queries
from central.streams.unequal import ROWS_MAX, UnequalReceipt, differences
from tests.support.centre import KEYS, NOW_MS, JoinedCentre
from tests.support.command_line import central as run
from tests.support.explained import plan_by_indexes
from tests.unit.central.test_rights_command import at_centre

OFFICE = {"authorization": f"Bearer {KEYS.office_token}"}
PATH = "/v1/receipts/unequal"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


async def with_unequal(centre: JoinedCentre, *keys: str) -> None:
    """Post receipts that print another bound of points than the rules give."""
    centre.broken_checks = {"equal"}
    till = await centre.till()
    for key in keys:
        sale = till.sale(key)
        printed = msgspec.json.decode(bytes(sale.calculation)) | {"redeemable_points_max": 7}
        wrong = msgspec.Raw(msgspec.json.encode(printed, order="sorted"))
        await centre.post(till, msgspec.structs.replace(sale, calculation=wrong))
        centre.system.at_ms += 1_000
    await centre.post(till, till.sale("equal"))


async def test_both_calculations_of_each_are_told_page_by_page(centre: JoinedCentre) -> None:
    assert (await centre.http.get(PATH, headers=OFFICE)).json() == {"receipts": [], "next": ""}
    await with_unequal(centre, "a", "b", "c")
    first = (await centre.http.get(PATH, headers=OFFICE, params={"rows": "2"})).json()
    assert [each["key"] for each in first["receipts"]] == ["c", "b"]
    newest = first["receipts"][0]
    assert newest["printed"]["redeemable_points_max"] == 7
    assert newest["recalculated"]["redeemable_points_max"] == 0
    assert (newest["store"], newest["posted_at_ms"]) == ("store-1", NOW_MS + 2_000)
    beyond = {"rows": "2", "before": first["next"]}
    last = (await centre.http.get(PATH, headers=OFFICE, params=beyond)).json()
    assert ([each["key"] for each in last["receipts"]], last["next"]) == (["a"], "")


async def test_those_posted_at_one_moment_stand_on_one_page_each(centre: JoinedCentre) -> None:
    await with_unequal(centre, *(f"s{number}" for number in range(5)))
    await centre.pool.execute("update receipt set posted_at_ms = $1", NOW_MS)
    seen: list[str] = []
    before = ""
    while True:
        asked = {"rows": "2", "before": before}
        page = (await centre.http.get(PATH, headers=OFFICE, params=asked)).json()
        seen += [each["key"] for each in page["receipts"]]
        if not (before := page["next"]):
            break
    assert seen == ["s4", "s3", "s2", "s1", "s0"]


async def test_a_receipt_under_rules_nobody_knows_has_one_calculation(centre: JoinedCentre) -> None:
    centre.broken_checks = {"equal"}
    till = await centre.till()
    till.rules.bundle_hash = "ab" * 32
    await centre.post(till, till.sale("s1"))
    (receipt,) = (await centre.http.get(PATH, headers=OFFICE)).json()["receipts"]
    assert (receipt["recalculated"], receipt["bundle"]) == (None, "ab" * 32)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"rows": "0"}, 422), ({"rows": str(ROWS_MAX + 1)}, 422), ({"rows": "x"}, 422),
        ({"before": "nowhere"}, 404), ({"before": "a\0"}, 404), ({"before": "x" * 999}, 404),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_refused(
    centre: JoinedCentre, asked: dict[str, str], status: int
) -> None:
    assert (await centre.http.get(PATH, headers=OFFICE, params=asked)).status_code == status
    assert (await centre.http.get(PATH, params=asked)).status_code == 401


async def test_neither_equal_receipts_nor_all_the_others_are_looked_through(
    centre: JoinedCentre,
) -> None:
    query = load_queries("central.streams", "unequal.sql")["newest"]
    async with centre.pool.acquire() as connection, connection.transaction():
        await connection.execute("set local enable_bitmapscan = off")
        plan = await plan_by_indexes(connection, query, NOW_MS, "s1", 20)
    assert "Index Scan Backward using receipt_unequal on receipt" in plan, plan


def test_the_command_says_what_differs(database: str, tmp_path: Path) -> None:
    given = ["receipts", "unequal", "--database", database, "--data", str(tmp_path)]
    assert run(*given).said == "the centre calculates every receipt as it was printed\n"
    at_centre(database, lambda centre: with_unequal(centre, "a", "b"))
    head, what, more, end = run(*given, "--rows", "1").said.splitlines()
    assert head.startswith("receipt b of till 1, store store-1, sold 2025-03-05T12:00:00, posted")
    assert what == "  redeemable_points_max: printed 7, recalculated 0"
    assert more == "more: --before b"
    assert "--json" in end
    found = json.loads(run(*given, "--before", "b", "--json").said)
    assert [each["key"] for each in found["receipts"]] == ["a"]
    assert found["receipts"][0]["recalculated"]["redeemable_points_max"] == 0
    assert run(*given, "--before", "nowhere").code == 1


def test_differences_are_found_wherever_they_are_and_no_more_than_asked() -> None:
    receipt = UnequalReceipt(
        key="k", till=1, store="s", moment="m", bundle="", posted_at_ms=0,
        printed={"lines": [{"paid": 1}, {"paid": 2}], "proven": True},
        recalculated={"lines": [{"paid": 3}], "proven": True, "more": 1},
    )  # fmt: skip
    found = [(each.where, each.printed, each.recalculated) for each in differences(receipt, most=9)]
    assert found == [
        ("lines[0].paid", 1, 3), ("lines[1]", {"paid": 2}, None), ("more", None, 1),
    ]  # fmt: skip
    assert len(differences(receipt, most=2)) == 2
