"""A receipt counts on a day that can be, whatever its till's clock says; its points stay."""

import msgspec
import pytest

from central.streams.business_date import OFF_MS_MAX, clamped, redated
from loyalty.calculation import EarnedLot
from sync.cycle import PATH_HELLO
from sync.messages import HelloAnswer
from sync.records import SaleRecord
from tests.support import builders
from tests.support.centre import NOW_MS, JoinedCentre, Totals
from tests.support.till_probe import TillProbe

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SALE = "01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d"
NOON = "2025-03-05T12:00:00"  # NOW_MS in UTC
RIGA = "Europe/Riga"


def lot(active_from: str, expires_on: str) -> EarnedLot:
    return EarnedLot(
        offer_id="o", points=5, name="regular", active_from=active_from, expires_on=expires_on
    )


# The rule


@pytest.mark.parametrize(
    ("local", "counts_at"),
    [
        ("2025-03-05T13:59:00", "2025-03-05T13:59:00"),
        ("2025-03-05T14:05:00", "2025-03-05T14:05:00"),
        ("2025-03-05T14:05:01", "2025-03-05T14:00:00"),
        ("2035-03-05T14:00:00", "2025-03-05T14:00:00"),
        ("2025-03-05T12:55:00", "2025-03-05T12:55:00"),
        ("2025-03-05T12:54:59", "2025-03-05T13:00:00"),
        ("2015-03-05T12:00:00", "2025-03-05T13:00:00"),
    ],
)
def test_a_moment_is_between_the_last_word_before_and_the_arrival(
    local: str, counts_at: str
) -> None:
    bounds = {"not_before_ms": NOW_MS - HOUR_MS, "received_at_ms": NOW_MS}
    assert clamped(local, zone=RIGA, **bounds) == counts_at  # two hours ahead of UTC


def test_nothing_is_known_where_nothing_was_said() -> None:
    for local in ("0001-01-01T00:00:00", "8999-12-31T23:59:59"):
        assert clamped(local, zone=RIGA, not_before_ms=0, received_at_ms=0) == local


@pytest.mark.parametrize("zone", ["UTC", "No/Such_Zone", "../etc/passwd", ""])
def test_a_zone_nobody_set_or_knows_is_no_error(zone: str) -> None:
    found = clamped("2035-01-01T00:00:00", zone=zone, not_before_ms=0, received_at_ms=NOW_MS)
    assert found == NOON


@pytest.mark.parametrize("zone", ["UTC", "No/Such_Zone"])
def test_a_store_without_a_known_zone_may_be_anywhere(zone: str) -> None:
    bounds = {"not_before_ms": NOW_MS, "received_at_ms": NOW_MS}
    for local in ("2025-03-05T00:00:00", "2025-03-06T02:00:00"):
        assert clamped(local, zone=zone, **bounds) == local


def test_days_of_lots_move_with_the_receipt() -> None:
    moved = redated(
        [lot("2035-03-05", "2036-03-05"), lot("2035-03-06", "")],
        printed="2035-03-05T23:00:00",
        counts_at="2025-03-05T12:00:00",
    )
    assert [(each.active_from, each.expires_on, each.points) for each in moved] == [
        ("2025-03-05", "2026-03-06", 5),  # as many days, 2036 has one more
        ("2025-03-06", "", 5),
    ]


def test_days_beyond_all_calendars_stay() -> None:
    (moved,) = redated(
        [lot("9999-01-01", "9999-12-31")], printed="0001-01-01T00:00:00", counts_at=NOON
    )
    assert (moved.active_from, moved.expires_on) == ("9999-01-01", "9999-12-31")


# At work


def at(till: TillProbe, key: str, local: str, account: int = 7) -> SaleRecord:
    """Return a sale whose till took it for another moment."""
    sale = till.sale(key, account=account)
    inputs = msgspec.structs.replace(sale.inputs, moment=builders.moment(local))
    return msgspec.structs.replace(
        sale, inputs=inputs, calculation=msgspec.Raw(till.calculate(inputs))
    )


async def posted(centre: JoinedCentre, key: str = SALE) -> tuple[str, str]:
    row = await centre.pool.fetchrow(
        "select moment, business_moment from receipt where sale_key = $1", key
    )
    assert row is not None
    return row["moment"], row["business_moment"]


@pytest.mark.parametrize("local", ["2035-03-05T12:00:00", "2015-03-05T12:00:00"])
async def test_a_clock_wrong_by_years_is_noted_and_the_points_are_as_printed(
    centre: JoinedCentre, local: str
) -> None:
    till = await centre.till()
    await centre.customer(7)
    await till.hello()
    (outcome,) = await centre.post(till, at(till, SALE, local))
    assert (outcome.outcome, outcome.reason) == ("accepted", "clock_adjusted")
    assert await posted(centre) == (local, NOON)
    assert await centre.totals(7) == Totals(100)
    row = await centre.pool.fetchrow("select active_from, expires_on from lot")
    assert row is not None
    assert row["active_from"] == "2025-03-05"


async def test_a_moment_that_can_be_is_kept(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    (outcome,) = await centre.post(till, at(till, SALE, NOON))
    assert (outcome.reason, await posted(centre)) == ("", (NOON, ""))


async def test_a_nobodys_receipt_is_noted_as_well(centre: JoinedCentre) -> None:
    till = await centre.till()
    (outcome,) = await centre.post(till, at(till, SALE, "2035-03-05T12:00:00", account=0))
    assert (outcome.reason, (await posted(centre))[1]) == ("clock_adjusted", NOON)


async def talk(centre: JoinedCentre, till: TillProbe) -> None:
    """Say HELLO and hand in what there is, in batches of two."""
    await till.hello()
    while till.acked < len(till.bodies):
        await till.push(last=till.acked + 2)
    await centre.apply()


async def test_a_long_outage_in_many_batches_keeps_every_moment(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    await talk(centre, till)
    for day in range(30):
        till.append(at(till, f"sale {day}", f"2025-03-{6 + day % 20:02}T12:00:00"))
    centre.system.pass_days(30)
    await talk(centre, till)
    moved = await centre.pool.fetchval("select count(*) from receipt where business_moment <> ''")
    assert moved == 0


async def test_what_was_written_after_a_hello_cannot_be_older_than_it(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7)
    await talk(centre, till)
    till.append(at(till, "before", "2025-03-20T12:00:00"))
    centre.system.pass_days(30)
    await till.hello()
    till.append(at(till, SALE, "2025-03-20T12:00:00"))
    await till.push()
    await centre.apply()
    assert await posted(centre, "before") == ("2025-03-20T12:00:00", "")
    assert await posted(centre) == ("2025-03-20T12:00:00", "2025-04-04T12:00:00")


async def test_what_leaves_a_stream_is_no_older_than_what_it_left_it_behind(
    centre: JoinedCentre,
) -> None:
    """A second machine, whose clock is years behind."""
    till = await centre.till()
    await centre.customer(7)
    await talk(centre, till)
    till.append(at(till, "s0", NOON))
    await talk(centre, till)
    common = len(till.bodies)
    till.append(at(till, "s1", NOON))
    await talk(centre, till)
    till.forget_after(common)
    till.append(at(till, SALE, "2015-03-05T12:00:00"))
    centre.system.pass_days(3)
    assert (await till.push()).verdict == "fork"
    await centre.apply()
    assert await posted(centre) == ("2015-03-05T12:00:00", NOON)
    ends = await centre.pool.fetch("select distinct active_from from lot order by 1")
    assert [row["active_from"] for row in ends] == ["2025-03-05"]


async def test_a_hello_of_another_incarnation_says_nothing_of_this_one(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7)
    await talk(centre, till)
    till.open_stream(2)
    till.append(at(till, SALE, "2025-03-01T12:00:00"))  # repeated from the lost stream
    centre.system.pass_days(30)
    await talk(centre, till)
    assert await posted(centre) == ("2025-03-01T12:00:00", "")


async def test_the_stores_own_zone_counts(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.load({"kind": "store", "store": "store-1", "time_zone": RIGA})
    await centre.post(till, at(till, SALE, "2025-03-05T14:04:00", account=0))
    await centre.post(till, at(till, "next", "2025-03-05T15:00:00", account=0))
    assert await posted(centre) == ("2025-03-05T14:04:00", "")
    assert (await posted(centre, "next"))[1] == "2025-03-05T14:00:00"


# Clocks decide no money (I15)


async def run(centre: JoinedCentre, *, off_ms: int, account: int) -> list[object]:
    """Let one till live a day by a clock that is wrong; returns every verdict and balance."""
    till = await centre.till()
    await centre.customer(account, 300)
    seen: list[object] = []
    for number in range(4):
        key = f"{account} {number}"
        sale = till.sale(key, account=account)
        till.append(msgspec.structs.replace(sale, at_ms=max(0, NOW_MS + off_ms * (number % 2))))
        message = msgspec.structs.replace(till.hello_message(), clock_ms=max(0, NOW_MS + off_ms))
        answer = await till.ask(PATH_HELLO, message, HelloAnswer)
        till.session = answer.session
        pushed = await till.push()
        await centre.apply()
        seen += [answer.verdict, answer.verified, pushed.verdict, await centre.totals(account)]
    seen.append([each.outcome for each in (await centre.outcomes(till)).values()])
    return seen


async def test_the_same_streams_by_any_clock_come_to_the_same(centre: JoinedCentre) -> None:
    offsets = (0, OFF_MS_MAX, -DAY_MS, 3_650 * DAY_MS, -3_650 * DAY_MS, 10**17)
    lives = [
        await run(centre, off_ms=off_ms, account=10 + number)
        for number, off_ms in enumerate(offsets)
    ]
    assert all(life == lives[0] for life in lives)


@pytest.mark.parametrize("year", [2015, 2024, 2026, 2035])
async def test_a_receipts_own_moment_moves_no_points_either(
    centre: JoinedCentre, year: int
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.fund(100)
    await till.hello()
    (outcome,) = await centre.post(till, at(till, SALE, f"{year}-03-05T12:00:00"))
    assert outcome.outcome == "accepted"
    assert await centre.totals(7) == Totals(400)
