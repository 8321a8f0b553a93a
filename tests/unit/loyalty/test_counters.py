"""Names of counters: one for each offer and period, and the day on which a period is over."""

import pytest

from loyalty import counters
from loyalty.limits import TEXT_CHARACTERS_MAX
from loyalty.offers import Limits, Period
from tests.support.builders import offer

PERIODS: tuple[Period, ...] = ("ever", "year", "month", "week", "day")


def uses(offer_id: str, period: Period, day: str) -> str:
    limits = Limits(uses_per_account_max=1, period=period)
    return counters.uses(offer(offer_id, limits=limits), day)


@pytest.mark.parametrize(
    ("period", "day", "name", "ends"),
    [
        ("ever", "2026-11-20", "uses:x", ""),
        ("year", "2026-11-20", "uses:x@2026", "2027-01-01"),
        ("month", "2026-11-20", "uses:x@2026-11", "2026-12-01"),
        ("month", "2026-12-31", "uses:x@2026-12", "2027-01-01"),
        ("month", "2028-02-29", "uses:x@2028-02", "2028-03-01"),
        ("week", "2026-11-20", "uses:x@2026-W47", "2026-11-23"),
        ("week", "2027-01-03", "uses:x@2026-W53", "2027-01-04"),  # still the old ISO year
        ("day", "2026-12-31", "uses:x@2026-12-31", "2027-01-01"),
    ],
)
def test_a_period_has_a_counter_of_its_own_that_ends_with_it(
    period: Period, day: str, name: str, ends: str
) -> None:
    assert uses("x", period, day) == name
    assert counters.ends_on(name) == ends


def test_points_redeemed_count_by_day_and_stamps_for_ever() -> None:
    assert counters.redeemed("2026-11-20") == "redeemed@2026-11-20"
    assert counters.ends_on("redeemed@2026-11-20") == "2026-11-21"
    assert counters.stamps("coffee@2026") == "stamps:coffee@2026"
    assert counters.ends_on("stamps:coffee@2026") == ""


def test_no_two_offers_or_periods_share_a_counter_whatever_their_ids() -> None:
    days = ("2026-11-20", "2026-11-27", "2026-12-01", "2027-11-20")
    ids = ("x", "x@", "x@@", "x@2026", "x@@2026", "x@2026-11", "@2026", "@")
    named: dict[str, tuple[str, str, str]] = {}
    for offer_id in ids:
        for period in PERIODS:
            for day in days:
                name = uses(offer_id, period, day)
                span = {"ever": "", "year": day[:4], "month": day[:7]}.get(period, day)
                assert named.setdefault(name, (offer_id, period, span)) == (offer_id, period, span)
                assert bool(counters.ends_on(name)) == (period != "ever"), name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "uses:",
        "uses:x@",
        "uses:x@2026-13",
        "uses:x@2026-00",
        "uses:x@2026-W54",
        "uses:x@2026-02-30",
        "uses:x@0000",
        "uses:x@9999",
        "uses:x@9999-12",
        "uses:x@9999-12-31",
        "uses:x@9999-W52",
        "uses:x@２０２６",
        "uses:x@2026 ",
        "uses:x@2026\n",
        "other:x@2026",
    ],
)
def test_what_names_no_period_never_ends(name: str) -> None:
    assert counters.ends_on(name) in {"", "0001-01-01"}


def test_the_longest_name_has_room() -> None:
    longest = uses("@" * TEXT_CHARACTERS_MAX, "day", "2026-11-20")
    assert len(longest) <= counters.NAME_CHARACTERS_MAX
    assert len(counters.stamps("x" * TEXT_CHARACTERS_MAX)) <= counters.NAME_CHARACTERS_MAX
