"""Availability is what receipts say: each counted once, in the minute it was sold in."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import structlog

from central.availability.counting import HOUR_MINUTES, KEEP_HOURS, SETTLE_MS, fold, sweep
from central.availability.packing import add, pack, unpack
from central.availability.report import Availability, Wanted, read_availability, read_recent
from central.availability.service import Service, posted_before, service_of
from central.errors import BadRequestError, NotFoundError
from loyalty.account import RedeemRequest, SpendRight
from loyalty.calculation import Calculation
from sync.records import SaleRecord
from tests.support import builders
from tests.support.centre import KEYS, NOW_MS, JoinedCentre
from tests.support.command_line import central
from tests.support.scraping import scrape
from tests.support.till_probe import TillProbe, risk

NOON = NOW_MS // 60_000
"""The minute every receipt of these tests is sold in, unless a test says otherwise."""
OFFICE = {"authorization": f"Bearer {KEYS.office_token}"}


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


async def without_rules(centre: JoinedCentre, till: TillProbe) -> None:
    """Take a till's rules away."""
    async with centre.pool.acquire() as connection:
        till.rules = await centre.parts.applier.library.find(connection, "")


def printed(sale: SaleRecord) -> Calculation:
    return msgspec.json.decode(sale.calculation, type=Calculation)


def served(sale: SaleRecord, *, is_equal: bool = True) -> Service:
    return service_of(sale, printed(sale), is_equal=is_equal)


def at(till: TillProbe, sale: SaleRecord, local: str) -> SaleRecord:
    """Return a receipt sold at another time."""
    inputs = msgspec.structs.replace(sale.inputs, moment=builders.moment(local))
    return msgspec.structs.replace(
        sale, inputs=inputs, calculation=msgspec.Raw(till.calculate(inputs))
    )


async def read(centre: JoinedCentre, **wanted: object) -> Availability:
    asked = {"begin_minute": NOON - 600, "end_minute": NOON + 60, **wanted}
    async with centre.pool.acquire() as connection:
        return await read_availability(
            connection, Wanted(**asked), now_ms=centre.system.now_ms()  # type: ignore[arg-type]
        )  # fmt: skip


def counts(found: Availability) -> tuple[int, int, int, int]:
    total = found.total
    return total.full, total.offline_full, total.degraded, total.none


# How one receipt was served


async def test_with_and_without_a_line_everything_due_is_full_service(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    assert served(till.sale("s1", account=7, link_up=True)) == Service.FULL
    assert served(till.sale("s2", account=7)) == Service.OFFLINE_FULL
    assert served(till.sale("s3")) == Service.OFFLINE_FULL  # nobody's: nothing more was due


async def test_without_rules_nothing_is_given(centre: JoinedCentre) -> None:
    till = await centre.till()
    await without_rules(centre, till)
    assert served(till.sale("s1", link_up=True)) == Service.NONE


STRANGER = replace(builders.account(0), identified=True)


@pytest.mark.parametrize("link_up", [True, False])
async def test_a_card_the_centre_knows_and_the_till_does_not_is_degraded(
    centre: JoinedCentre, *, link_up: bool
) -> None:
    till = await centre.till()
    await centre.customer(7, card="4000")
    sale = till.sale("s1", account=STRANGER, card="4000", link_up=link_up)
    (outcome,) = await centre.post(till, sale)
    assert outcome.outcome == "accepted"
    assert counts(await read(centre)) == (0, 0, 1, 0)


@pytest.mark.parametrize(("link_up", "served_so"), [(True, (1, 0, 0, 0)), (False, (0, 1, 0, 0))])
async def test_a_card_that_was_nobodys_when_its_receipt_came_lacked_nothing(
    centre: JoinedCentre, served_so: tuple[int, int, int, int], *, link_up: bool
) -> None:
    till = await centre.till()
    sale = till.sale("s1", account=STRANGER, card="4000", link_up=link_up)
    (outcome,) = await centre.post(till, sale)
    assert outcome.outcome == "parked"
    assert counts(await read(centre)) == (0, 0, 0, 0)
    await centre.customer(7, card="4000")  # registers afterwards
    await centre.apply()
    assert counts(await read(centre)) == served_so


async def test_what_else_was_missing_counts_for_a_card_that_was_nobodys_too(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    sale = till.sale("s1", account=STRANGER, card="4000", link_up=True)
    assert served(sale) == Service.DEGRADED
    assert service_of(sale, printed(sale), is_equal=True, was_nobodys=True) == Service.FULL
    assert service_of(sale, printed(sale), is_equal=False, was_nobodys=True) == Service.DEGRADED


async def test_what_the_centre_calculates_otherwise_is_degraded(centre: JoinedCentre) -> None:
    till = await centre.till()
    assert served(till.sale("s1", link_up=True), is_equal=False) == Service.DEGRADED


@pytest.mark.parametrize(
    ("wish", "right", "service"),
    [
        (RedeemRequest(points=100), 100, Service.OFFLINE_FULL),
        (RedeemRequest(points=100), 30, Service.DEGRADED),
        (RedeemRequest(as_many_as_possible=True), 1_000, Service.OFFLINE_FULL),
        (RedeemRequest(as_many_as_possible=True), 0, Service.DEGRADED),
        (RedeemRequest(points=100_000), 1_000, Service.OFFLINE_FULL),  # rules allow no more
        (RedeemRequest(), 0, Service.OFFLINE_FULL),
    ],
)
async def test_points_a_customer_has_and_the_till_lacks_are_degraded(
    centre: JoinedCentre, wish: RedeemRequest, right: int, service: Service
) -> None:
    till = await centre.till()
    sale = till.sale("s1", account=builders.account(7, points=1_000))
    inputs = msgspec.structs.replace(
        sale.inputs, request=wish, right=SpendRight(points=right)
    )  # fmt: skip
    sale = msgspec.structs.replace(
        sale, inputs=inputs, calculation=msgspec.Raw(till.calculate(inputs))
    )
    assert served(sale) == service


@pytest.mark.parametrize(
    ("bundle", "is_equal", "link_up", "service"),
    [
        ("", True, True, Service.NONE),
        ("ab", False, True, Service.DEGRADED),
        ("ab", True, True, Service.FULL),
        ("ab", True, False, Service.OFFLINE_FULL),
    ],
)
def test_receipts_of_a_release_that_did_not_say_are_told_by_what_there_is(
    bundle: str, *, is_equal: bool, link_up: bool, service: Service
) -> None:
    assert posted_before(bundle=bundle, is_equal=is_equal, link_up=link_up) == service


# Counting


async def test_posted_receipts_are_there_at_once_and_counted_once_when_folded(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 500)
    await centre.post(
        till, till.sale("s1", account=7, link_up=True), till.sale("s2", account=7), till.sale("s3")
    )
    assert counts(await read(centre)) == (1, 2, 0, 0)
    assert await fold(centre.pool, now_ms=centre.system.now_ms()) == 0  # too young
    centre.system.at_ms += SETTLE_MS + 1
    await centre.post(till, till.sale("s4", account=7, link_up=True))
    assert await fold(centre.pool, now_ms=centre.system.now_ms()) == 1
    assert await fold(centre.pool, now_ms=centre.system.now_ms()) == 0
    assert counts(await read(centre)) == (2, 2, 0, 0)
    assert counts(await read(centre, store="store-1")) == (2, 2, 0, 0)
    assert (await read(centre)).total.available_ppm == 1_000_000


async def test_monitoring_counts_folded_minutes_alone_where_very_many_were_posted_since(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.post(till, till.sale("s1", link_up=True), till.sale("s2", link_up=True))
    centre.system.at_ms += SETTLE_MS + 60_000
    await fold(centre.pool, now_ms=centre.system.now_ms())
    await centre.post(till, till.sale("s3", link_up=True), till.sale("s4", link_up=True))
    async with centre.pool.acquire() as connection:
        now_ms = centre.system.now_ms()
        few = await read_recent(connection, now_ms=now_ms, recent_max=2)
        many = await read_recent(connection, now_ms=now_ms, recent_max=1)
    assert [each.late_ms < 60_000 for each in few] == [True, True]
    assert [SETTLE_MS <= each.late_ms < SETTLE_MS + 60_000 for each in many] == [True, True]
    assert [few[1].total.receipts, many[1].total.receipts] == [4, 2]


@pytest.mark.parametrize("once_max", [1, 2, 3, 1_000])
async def test_folding_in_any_steps_comes_to_the_same(centre: JoinedCentre, once_max: int) -> None:
    till, other = await centre.till(), await centre.till()
    for number in range(4):
        await centre.post(till, till.sale(f"a{number}", link_up=number % 2 == 0))
        centre.system.at_ms += 1
        await centre.post(other, other.sale(f"b{number}"), other.sale(f"c{number}"))
    before = await read(centre)
    centre.system.at_ms += SETTLE_MS + 1
    while await fold(centre.pool, now_ms=centre.system.now_ms(), once_max=once_max):
        pass
    assert counts(await read(centre)) == counts(before) == (2, 10, 0, 0)
    assert counts(await read(centre, store="store-1")) == (2, 10, 0, 0)


async def test_a_receipt_that_comes_late_counts_in_its_own_minute(centre: JoinedCentre) -> None:
    till = await centre.till()
    sale = at(till, till.sale("s1"), "2025-03-05T08:30:59")
    centre.system.at_ms += 3_600_000
    await centre.post(till, sale)
    (row,) = (await read(centre)).rows
    assert (row.at, row.served.offline_full) == ("2025-03-05T08:30Z", 1)
    centre.system.at_ms += SETTLE_MS + 1
    await fold(centre.pool, now_ms=centre.system.now_ms())
    assert (await read(centre)).rows == (row,)
    assert (await read(centre, store="store-1")).rows == (row,)


async def test_minutes_are_utc_whatever_the_stores_clock_says(centre: JoinedCentre) -> None:
    await centre.load(
        {"kind": "store", "store": "east", "time_zone": "Europe/Moscow", "banner": "red"}
    )
    till = await centre.till("east")
    await centre.post(till, at(till, till.sale("s1"), "2025-03-05T15:00:10"))
    (row,) = (await read(centre)).rows
    assert row.at == "2025-03-05T12:00Z"


async def test_banners_and_regions_are_told_apart_and_asked_for(centre: JoinedCentre) -> None:
    await centre.load({"kind": "store", "store": "two", "banner": "red", "region": "south"})
    one, two = await centre.till(), await centre.till("two")
    await centre.post(one, one.sale("s1", link_up=True))
    await without_rules(centre, two)
    await centre.post(two, two.sale("s2"))
    for _ in range(2):  # once from receipts, once from folded minutes
        found = await read(centre)
        assert {name: part.available_ppm for name, part in found.banners.items()} == {
            "green": 1_000_000, "red": 0,
        }  # fmt: skip
        assert {name: part.none for name, part in found.regions.items()} == {
            "north": 0, "south": 1,
        }  # fmt: skip
        assert counts(await read(centre, banner="red")) == (0, 0, 0, 1)
        assert counts(await read(centre, banner="green", region="north")) == (1, 0, 0, 0)
        assert counts(await read(centre, banner="green", region="south")) == (0, 0, 0, 0)
        assert found.total.available_ppm == 500_000
        centre.system.at_ms += SETTLE_MS + 1
        await fold(centre.pool, now_ms=centre.system.now_ms())


async def test_steps_of_an_hour_and_a_day_add_up(centre: JoinedCentre) -> None:
    till = await centre.till()
    times = ("2025-03-05T09:00:00", "2025-03-05T09:59:59", "2025-03-05T10:00:00")
    await centre.post(till, *(at(till, till.sale(f"s{n}"), time) for n, time in enumerate(times)))
    by_hour = await read(centre, step="hour")
    assert [(row.at, row.served.offline_full) for row in by_hour.rows] == [
        ("2025-03-05T09:00Z", 2), ("2025-03-05T10:00Z", 1),
    ]  # fmt: skip
    (day,) = (await read(centre, step="day")).rows
    assert (day.at, day.served.offline_full) == ("2025-03-05T00:00Z", 3)


async def test_receipts_a_release_before_posted_are_counted(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.post(till, till.sale("s1", link_up=True), till.sale("s2"))
    await centre.pool.execute("update receipt set service = ''")
    assert counts(await read(centre)) == (1, 1, 0, 0)


async def test_what_a_later_release_called_otherwise_is_counted_as_degraded_and_said_once(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.post(till, till.sale("s1", link_up=True), till.sale("s2", link_up=True))
    await centre.pool.execute("update receipt set service = 'by_courier' where sale_key = 's2'")
    with structlog.testing.capture_logs() as said:
        assert counts(await read(centre)) == (1, 0, 1, 0)
        centre.system.at_ms += SETTLE_MS + 1
        assert await fold(centre.pool, now_ms=centre.system.now_ms()) == 1
        assert counts(await read(centre)) == (1, 0, 1, 0)
    assert [(each["event"], each["service"]) for each in said] == [
        ("service_unknown", "by_courier")
    ]


async def test_old_minutes_of_stores_are_forgotten_and_those_of_banners_stay(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.post(till, till.sale("s1"))
    centre.system.at_ms += SETTLE_MS + 1
    await fold(centre.pool, now_ms=centre.system.now_ms())
    await sweep(centre.pool, now_ms=centre.system.now_ms())
    assert counts(await read(centre, store="store-1")) == (0, 1, 0, 0)
    centre.system.at_ms += (KEEP_HOURS + 1) * HOUR_MINUTES * 60_000
    await sweep(centre.pool, now_ms=centre.system.now_ms())
    assert counts(await read(centre, store="store-1")) == (0, 0, 0, 0)
    assert counts(await read(centre)) == (0, 1, 0, 0)


def test_an_hour_packs_and_unpacks_and_counts_add_up() -> None:
    minutes = {0: (1, 2, 3, 4), 59: (70_000, 0, 0, 1), 7: (0, 0, 0, 0)}
    back = dict(unpack(pack(minutes)))
    assert back == {**minutes, 59: (65_535, 0, 0, 1)}
    assert add((1, 2, 3, 4), (5, 6, 7, 8)) == (6, 8, 10, 12)
    assert len(pack(dict.fromkeys(range(60), (1, 1, 1, 1)))) == 540


# Asking


@pytest.mark.parametrize(
    "wanted",
    [
        {"store": "store-1", "banner": "green"},
        {"begin_minute": NOON, "end_minute": NOON},
        {"begin_minute": 0, "end_minute": 20_000},
        {"store": "nul\x00"},
    ],
)
async def test_what_makes_no_sense_is_refused(
    centre: JoinedCentre, wanted: dict[str, object]
) -> None:
    with pytest.raises(BadRequestError):
        await read(centre, **wanted)


async def test_an_unknown_store_is_not_found(centre: JoinedCentre) -> None:
    with pytest.raises(NotFoundError):
        await read(centre, store="nowhere")


async def test_the_api_tells_it_to_the_office_alone(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.fund(1_000)
    await centre.customer(7, 100)
    await till.hello()
    await centre.post(till, till.sale("s1", account=7, sources=[risk(10)], link_up=True))
    assert (await centre.http.get("/v1/availability")).status_code == 401
    asked = {"from": "2025-03-05T11:00Z", "to": "2025-03-05T13:00Z", "by": "hour"}
    answer = await centre.http.get("/v1/availability", headers=OFFICE, params=asked)
    assert answer.status_code == 200
    assert answer.json()["rows"] == [
        {
            "at": "2025-03-05T12:00Z",
            "served": {
                "full": 1, "offline_full": 0, "degraded": 0, "none": 0, "available_ppm": 1_000_000,
            },
        }
    ]  # fmt: skip
    latest = await centre.http.get("/v1/availability", headers=OFFICE)
    assert latest.json()["total"]["full"] == 1
    for wrong in ({"by": "week"}, {"from": "yesterday"}, {"store": "a", "banner": "b"}):
        refused = await centre.http.get("/v1/availability", headers=OFFICE, params=wrong)
        assert refused.status_code == 422
    missing = await centre.http.get("/v1/availability", headers=OFFICE, params={"store": "x"})
    assert missing.status_code == 404


async def test_the_metric_is_the_last_minutes(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.post(till, till.sale("s1", link_up=True))
    await without_rules(centre, till)
    await centre.post(till, till.sale("s2"))
    centre.system.at_ms += 120_000
    found = await scrape(centre)
    assert found.value("tillside_availability_ratio", window="5m") == 0.5
    assert found.value("tillside_availability_banner_ratio", window="1h", banner="green") == 0.5
    assert found.value("tillside_availability_region_ratio", window="1h", region="north") == 0.5
    assert found.value("tillside_service_receipts", window="5m", service="none") == 1
    centre.system.at_ms += 600_000
    later = await scrape(centre)
    assert ("5m",) not in later.series("tillside_availability_ratio")
    assert later.value("tillside_availability_ratio", window="1h") == 0.5


def test_the_command_prints_a_table_and_json(database: str, tmp_path: Path) -> None:
    given = ["--data", str(tmp_path), "--database", database]
    told = central("availability", "--json", *given)
    assert (told.code, json.loads(told.said)["total"]) == (
        0,
        {"full": 0, "offline_full": 0, "degraded": 0, "none": 0, "available_ppm": None},
    )
    told = central("availability", "--by", "day", "--from", "2025-03-01", *given)
    assert told.code == 0
    assert "in full" in told.said
    assert "all" in told.said
    assert central("availability", "--store", "nowhere", *given).code == 1
    wrong = central("availability", "--from", "soon", *given)
    assert (wrong.code, "2026-03-05T12:00Z" in wrong.complained) == (1, True)
