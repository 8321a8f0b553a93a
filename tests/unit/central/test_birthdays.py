"""Birthday windows open and close by the calendar; stores are told, and only of what has turned."""

import asyncio
from datetime import UTC, datetime

import pytest

from central.bootstrap import turn_birthdays_for_ever
from central.people.birthdays import is_month_and_day, turn_birthdays, window
from tests.support.centre import JoinedCentre


def at(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC).timestamp() * 1000)


async def born(centre: JoinedCentre, **birthdays: str) -> None:
    for number, day in birthdays.items():
        line = {"kind": "account", "account_id": int(number[1:]), "home_store": "store-1"}
        await centre.load({**line, "cards": [f"card {number}"], "birthday": day})


async def turn(centre: JoinedCentre, days: int = 7) -> int:
    return await turn_birthdays(centre.pool, now_ms=centre.system.now_ms(), days=days)


@pytest.mark.parametrize(
    ("day", "days", "inside"),
    [
        ("2025-03-05", 0, {"03-05"}),
        ("2025-03-05", 1, {"03-04", "03-05", "03-06"}),
        ("2026-01-01", 1, {"12-31", "01-01", "01-02"}),
        ("2025-02-28", 1, {"02-27", "02-28", "02-29", "03-01"}),
        ("2025-02-28", 0, {"02-28"}),
        ("2028-02-28", 1, {"02-27", "02-28", "02-29"}),
        ("2028-02-28", 0, {"02-28"}),
    ],
)
def test_a_window_holds_the_days_around_a_day(day: str, days: int, inside: set[str]) -> None:
    assert set(window(at(day), days)) == inside


def test_the_widest_window_is_a_year() -> None:
    assert len(window(at("2025-03-05"), 183)) == 366


@pytest.mark.parametrize("text", ["", "1-2", "13-01", "02-30", "03-05 ", "0305", "03-05T", "W1-1"])
def test_what_is_no_day_is_no_birthday(text: str) -> None:
    assert not is_month_and_day(text)


async def test_windows_open_and_close_and_stores_hear_of_those_alone(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await born(centre, a1="03-05", a2="03-12", a3="03-13", a4="09-01")
    told: list[list[tuple[int, bool]]] = []
    for _ in range(10):
        await turn(centre)
        rows = (await till.pull()).accounts
        told.append([(row.snapshot.account_id, row.snapshot.in_birthday_window) for row in rows])
        centre.system.pass_days(1)
    first = [(1, True), (2, True), (3, False), (4, False)]
    assert told == [first, [(3, True)], [], [], [], [], [], [], [(1, False)], []]


async def test_turning_again_turns_nothing(centre: JoinedCentre) -> None:
    await born(centre, a1="03-10", a2="03-10")
    centre.system.pass_days(30)
    assert [await turn(centre) for _ in range(3)] == [2, 0, 0]


async def test_many_are_turned_in_small_transactions(centre: JoinedCentre) -> None:
    await centre.pool.execute("insert into account (account_id) select generate_series(1, 1201)")
    await centre.pool.execute(
        "insert into account_birthday select account_id, '03-05' from account"
    )
    assert await turn(centre) == 1_201
    assert await centre.pool.fetchval("select count(distinct xmin::text) from account") == 3


async def test_an_account_somebody_works_on_is_left_for_the_next_time(
    centre: JoinedCentre,
) -> None:
    await born(centre, a1="03-20", a2="03-20")
    centre.system.pass_days(10)
    async with centre.pool.acquire() as connection, connection.transaction():
        await connection.execute("select 1 from account where account_id = 1 for update")
        assert await turn(centre) == 1
    assert await turn(centre) == 1


async def test_a_centre_that_serves_turns_them_by_itself(centre: JoinedCentre) -> None:
    await born(centre, a1="03-20")
    centre.system.pass_days(10)
    turning = asyncio.create_task(turn_birthdays_for_ever(centre.parts, 7))
    is_open = "select in_birthday_window, pg_sleep(0.01) from account"
    while not await centre.pool.fetchval(is_open):
        assert not turning.done()
    turning.cancel()
    await asyncio.gather(turning, return_exceptions=True)
