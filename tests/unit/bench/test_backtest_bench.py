"""Back-tests on real baskets: the first day of new prices as it was foretold and as it was."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from bench.backtest import first_day, speed
from bench.engine.real import SMALL, RealCase, load
from bench.grocery.data import RealBasket, RealLine, Selection, load_selection
from bench.grocery.measures import RealProduct
from central.backtest.batch import USUAL

STORES = (343, 292)
NOBODY_S = RealProduct("", "GROCERY", "FOOD", "FOOD", "National")


def line(sku: str, regular_minor: int, card_minor: int) -> RealLine:
    return RealLine(
        sku=sku,
        quantity=1000,
        by_weight=False,
        gross_minor=regular_minor,
        card_minor=card_minor,
    )


def made_up(*visits: tuple[int, str, Sequence[RealLine]]) -> Selection:
    """Visits to store 7: week, moment, lines; week 1 begins on 2016-12-26."""
    baskets = tuple(
        RealBasket(
            basket_id=number,
            household_id=number,
            store_id="7",
            week=week,
            moment=moment,
            lines=tuple(lines),
        )
        for number, (week, moment, lines) in enumerate(visits, start=1)
    )
    return Selection(
        stores=("7",),
        first_week=1,
        last_week=2,
        shift_days=0,
        baskets=baskets,
        left_out={},
        products={sku: replace(NOBODY_S, sku=sku) for sku in ("milk", "tea")},
        campaigns={},
        audiences={},
        coupons={},
        redemptions=(),
        coupon_lines=(),
    )


def test_a_first_day_is_foretold_from_the_same_and_from_the_week_before(tmp_path: Path) -> None:
    selection = made_up(
        (1, "2016-12-26T10:00:00", [line("milk", 200, 200), line("tea", 500, 450)]),
        (1, "2016-12-27T10:00:00", [line("milk", 200, 200)]),
        (2, "2017-01-02T10:00:00", [line("milk", 200, 150), line("tea", 500, 500)]),
        (2, "2017-01-02T11:00:00", [line("milk", 200, 150)]),
    )
    found = first_day.foretell(selection, tmp_path)
    same, before = found["same_day"].document(), found["week_before"].document()
    # On the second Monday milk is 0.50 cheaper in both baskets.
    assert (same["receipts"], same["foretold_minor"], same["actual_minor"]) == (2, 100, 100)
    # Only one basket of the Monday before has milk.
    assert (before["receipts"], before["foretold_minor"], before["actual_minor"]) == (1, 50, 100)
    assert (same["error_percent"], before["error_percent"]) == (0.0, -50.0)


@cache
def real() -> Selection:
    return load_selection(STORES, first_week=1, last_week=6)


def test_on_the_real_data_rules_and_arithmetic_err_by_little(tmp_path: Path) -> None:
    found = first_day.foretell(real(), tmp_path)
    same, before = found["same_day"].document(), found["week_before"].document()
    assert same["receipts"] == 73
    assert isinstance(same["error_percent"], float)
    assert abs(same["error_percent"]) < 1
    # Of most products bought the week before, the data has no price of the week.
    assert isinstance(before["error_percent"], float)
    assert before["error_percent"] < -50


@cache
def small() -> RealCase:
    case = load(SMALL, seed=1)
    return replace(case, receipts=case.receipts[:120])


@pytest.mark.parametrize("name", list(speed.DRAFTS))
def test_measured_drafts_touch_what_they_say(tmp_path: Path, name: str) -> None:
    case = small()
    archive = speed.write(case, tmp_path)
    found = speed.measure_draft(archive, case.bundle, speed.DRAFTS[name], USUAL)
    touched = found["touched_percent"]
    assert isinstance(touched, float)
    assert {"few": touched < 15, "many": 15 < touched < 60, "all": touched == 100}[name]
    assert found["printed_otherwise"] == 0
