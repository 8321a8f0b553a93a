"""`make replay`: what is counted, by which cause, and that nothing is counted for itself."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.grocery.compare import Cause
from bench.grocery.coupons import find_coupons
from bench.grocery.data import (
    Campaign,
    CouponIssue,
    CouponLine,
    CouponRedemption,
    RealBasket,
    RealLine,
    Selection,
    baskets_by_store,
    busiest_first,
    choose_stores,
)
from bench.grocery.measures import RealProduct
from bench.grocery.offers import build_bundle, derive
from bench.replay.__main__ import _replayed, is_sound, main, stores_wanted
from bench.replay.checks import Sale, calculated, check_order, sale_of, wrong_sum
from bench.replay.figures import Checks, Figures, Prices, Tally
from bench.replay.one_store import REORDERED_EVERY, replay_store, tasks_of
from bench.replay.summary import summary
from loyalty.calculation import Calculation, Effect
from loyalty.compilation import Rules, compile_bundle

ISSUE = CouponIssue(51, 26)
CAMPAIGN = Campaign(campaign_id=26, starts="2016-12-26", until="2017-01-09")
PRODUCTS = {
    "fuel": RealProduct("fuel", "FUEL", "FUEL", "GASOLINE-REG UNLEADED", "National"),
    **{
        sku: RealProduct(sku, "GROCERY", "FOOD", "FOOD", "National")
        for sku in ("milk", "bread", "soap", "tea")
    },
}


def line(sku: str, regular_minor: int, card_minor: int, *, coupon_minor: int = 0) -> RealLine:
    return RealLine(
        sku=sku,
        quantity=10_000 if sku == "fuel" else 1000,
        by_weight=sku == "fuel",
        gross_minor=regular_minor,
        card_minor=card_minor,
        coupon_minor=coupon_minor,
    )


def basket(number: int, *lines: RealLine, store: str = "7") -> RealBasket:
    return RealBasket(
        basket_id=number,
        household_id=number,
        store_id=store,
        week=1,
        moment=f"2016-12-30T10:{number // 60:02d}:{number % 60:02d}",
        lines=lines,
    )


def selection(*baskets: RealBasket, redeemed_by: Sequence[int] = ()) -> Selection:
    """Return a week of one chain; whoever redeems hands in the one coupon, which is for tea."""
    return Selection(
        stores=tuple(sorted({each.store_id for each in baskets})),
        first_week=1,
        last_week=1,
        shift_days=0,
        baskets=baskets,
        left_out={"lines_of_quantity_0": 0, "baskets_without_lines": 0},
        products=PRODUCTS,
        campaigns={26: CAMPAIGN},
        audiences=dict.fromkeys(redeemed_by, (26,)),
        coupons={ISSUE: frozenset({"tea"})},
        redemptions=tuple(
            CouponRedemption(household, ISSUE, "2016-12-30") for household in redeemed_by
        ),
        coupon_lines=tuple(
            CouponLine(each.household_id, each.day, one.sku, one.coupon_value_minor)
            for each in baskets
            for one in each.lines
            if one.coupon_value_minor
        ),
    )


def figures_of(real: Selection) -> Figures:
    (task,) = tasks_of(real, find_coupons(real), seed=1)
    return replay_store(task)


def causes(tally: Tally) -> dict[Cause, int]:
    return {cause: count for cause, count in tally.causes.items() if count}


def sale_and_rules(real: Selection) -> tuple[Sale, Rules]:
    derived = derive(real)
    rules = compile_bundle(build_bundle(real, version=1, derived=derived), "00")
    return sale_of(real.baskets[0], real, derived), rules


def calculation(real: Selection) -> tuple[Sale, Calculation]:
    sale, rules = sale_and_rules(real)
    found, _ = calculated(sale, rules, Checks())
    assert found is not None
    return sale, found


MILK_CHEAP = line("milk", 300, 250)


@pytest.mark.parametrize(
    ("baskets", "cause"),
    [
        ([MILK_CHEAP, MILK_CHEAP, line("milk", 300, 300)], Cause.NO_CARD_PRICE),
        ([MILK_CHEAP, MILK_CHEAP, line("milk", 300, 270)], Cause.OTHER_CARD_PRICE),
        (
            [line("fuel", 2500, 2400), line("fuel", 2500, 2400), line("fuel", 2500, 2350)],
            Cause.FUEL_REWARD,
        ),
        ([MILK_CHEAP, line("bread", 200, 200, coupon_minor=40)], Cause.PAPER_COUPON),
    ],
)
def test_a_basket_that_differs_is_counted_under_its_cause(
    baskets: list[RealLine], cause: Cause
) -> None:
    found = figures_of(selection(*(basket(n, one) for n, one in enumerate(baskets, start=1))))
    assert causes(found.with_store_prices) == {cause: 1}
    assert found.with_store_prices.equal == len(baskets) - 1


def test_a_coupon_that_took_off_another_amount_than_mostly_is_named() -> None:
    tea = [line("tea", 500, 500, coupon_minor=value) for value in (100, 100, 75)]
    baskets = [basket(n, one) for n, one in enumerate(tea, start=1)]
    found = figures_of(selection(*baskets, redeemed_by=(1, 2, 3)))
    assert causes(found.with_codes) == {Cause.COUPON_VALUE: 1}
    assert (found.with_codes.baskets, found.with_codes.equal) == (3, 2)


def test_money_that_differs_is_summed_with_and_without_sign() -> None:
    real = selection(
        *(basket(n, MILK_CHEAP) for n in (1, 2)),
        basket(3, line("milk", 300, 300)),
        basket(4, line("milk", 300, 240)),
    )
    tally = figures_of(real).with_store_prices
    assert (tally.paid_minor, tally.off_minor, tally.net_minor) == (1040, 60, -40)


def test_baskets_are_told_apart_by_what_their_card_prices_rest_on() -> None:
    real = selection(
        basket(1, MILK_CHEAP, line("bread", 200, 200)),
        basket(2, MILK_CHEAP, line("soap", 400, 350)),
        basket(3, line("bread", 200, 200)),
    )
    found = figures_of(real)
    assert {kind: tally.baskets for kind, tally in found.by_prices.items()} == {
        Prices.REGULAR: 1,
        Prices.OTHERS: 1,
        Prices.ITSELF: 1,
    }
    assert found.with_store_prices.equal == 3
    assert dict(found.not_foretold) == {"card_price_shown_by_this_basket_alone": 1}
    # The soap stands in one basket alone, both breads in two.
    assert (found.card_lines.lines, found.card_lines.supported, found.card_lines.foretold) == (
        3,
        2,
        2,
    )
    assert (found.regular_lines.lines, found.regular_lines.supported) == (2, 2)


def test_a_foretold_price_never_rests_on_its_own_line() -> None:
    real = selection(basket(1, line("milk", 300, 250)), basket(2, line("milk", 300, 270)))
    found = figures_of(real)
    # Together they show the lower price, which one of them paid ...
    assert found.with_store_prices.equal == 1
    # ... but each shows the other a price it did not pay.
    others = found.foretold[Prices.OTHERS]
    assert (others.baskets, others.equal) == (2, 0)
    assert causes(others) == {Cause.OTHER_CARD_PRICE: 2}
    assert (others.off_minor, others.net_minor) == (40, 0)


def test_what_others_paid_is_foretold_for_a_basket_at_the_regular_price_too() -> None:
    real = selection(
        basket(1, MILK_CHEAP), basket(2, MILK_CHEAP), basket(3, line("milk", 300, 300))
    )
    found = figures_of(real).foretold[Prices.REGULAR]
    assert (found.baskets, found.equal, causes(found)) == (1, 0, {Cause.NO_CARD_PRICE: 1})


def test_only_baskets_whose_every_line_others_hold_are_wholly_foretold() -> None:
    real = selection(
        basket(1, MILK_CHEAP, line("bread", 200, 200)), basket(2, MILK_CHEAP), basket(3, MILK_CHEAP)
    )
    found = figures_of(real)
    assert found.foretold[Prices.OTHERS].equal == 3
    assert (found.foretold_wholly.baskets, found.foretold_wholly.equal) == (2, 2)


def test_baskets_with_fuel_are_foretold_apart() -> None:
    real = selection(
        *(basket(n, line("fuel", 2500, 2400)) for n in (1, 2)),
        *(basket(n, MILK_CHEAP) for n in (3, 4)),
    )
    found = figures_of(real)
    assert found.foretold[Prices.OTHERS].baskets == 4
    assert found.foretold_but_fuel.baskets == 2


def test_a_coupon_is_foretold_with_what_it_took_off_for_others() -> None:
    tea = [line("tea", 500, 500, coupon_minor=100) for _ in range(2)]
    baskets = [basket(n, one) for n, one in enumerate(tea, start=1)]
    found = figures_of(selection(*baskets, redeemed_by=(1, 2)))
    assert found.foretold[Prices.REGULAR].equal == 2


def test_a_coupon_whose_value_one_basket_alone_shows_is_not_foretold() -> None:
    real = selection(basket(1, line("tea", 500, 500, coupon_minor=100)), redeemed_by=(1,))
    found = figures_of(real)
    assert found.with_codes.equal == 1
    assert dict(found.not_foretold) == {"coupon_value_shown_by_this_basket_alone": 1}


def test_other_stores_show_no_price() -> None:
    real = selection(basket(1, MILK_CHEAP, store="7"), basket(2, MILK_CHEAP, store="8"))
    for task in tasks_of(real, find_coupons(real), seed=1):
        found = replay_store(task)
        assert found.by_prices[Prices.ITSELF].baskets == 1


def many(count: int) -> Selection:
    return selection(
        *(
            basket(n, MILK_CHEAP, line("bread", 200, 200), line("soap", 400, 350 + n % 2), store=s)
            for n in range(count)
            for s in ("7", "8")
        )
    )


def test_figures_are_the_same_however_many_processes_count_them() -> None:
    real = many(3)
    tasks = tasks_of(real, find_coupons(real), seed=1)
    alone, together = _replayed(tasks, jobs=1), _replayed(tasks, jobs=2)
    assert [each.document() for each in alone] == [each.document() for each in together]
    total = Figures()
    for figures in alone:
        total.add(figures)
    assert total.stores == ("7", "8")
    assert (total.lines, total.with_store_prices.baskets) == (18, 6)


def test_one_basket_in_fifty_is_calculated_in_another_order() -> None:
    one_store = replace(many(REORDERED_EVERY + 1), stores=("7",))
    here = tuple(each for each in one_store.baskets if each.store_id == "7")
    checks = figures_of(replace(one_store, baskets=here)).checks
    assert checks.reordered == 2
    assert checks.order_matters == []
    assert checks.all_hold


def test_a_calculation_that_depends_on_order_is_found() -> None:
    real = selection(basket(1, MILK_CHEAP, line("bread", 200, 200)))
    sale, rules = sale_and_rules(real)
    first, _ = calculated(sale, rules, Checks())
    assert first is not None
    checks = Checks()
    check_order(sale, replace(first, lines=first.lines[::-1]), rules, checks, seed=1)
    assert checks.order_matters == ["store 7, basket 1"]
    assert not checks.all_hold


def test_what_the_engine_raises_is_a_finding_and_not_the_end() -> None:
    sale, rules = sale_and_rules(selection(basket(1, MILK_CHEAP)))
    checks = Checks()
    broken = replace(sale, account=None)  # type: ignore[arg-type]
    assert calculated(broken, rules, checks) == (None, 0.0)
    assert checks.raised[0].startswith("store 7, basket 1: AttributeError")
    assert not is_sound(Figures(checks=checks))


def test_sums_that_do_not_hold_are_found() -> None:
    sale, good = calculation(selection(basket(1, MILK_CHEAP, line("bread", 200, 200))))
    milk, bread = good.lines
    assert wrong_sum(good, sale.basket) == ""
    more = (*milk.effects, Effect(offer_id="x", discount_minor=1))
    points = (*milk.effects, Effect(offer_id="x", points=1))
    damaged = {
        "the basket's": replace(good, lines=(milk,)),
        "not its gross": replace(good, lines=(replace(milk, paid_minor=1), bread)),
        "not its discount": replace(good, lines=(replace(milk, effects=more), bread)),
        "not its points": replace(good, lines=(replace(milk, effects=points), bread)),
        "the total": replace(good, totals=replace(good.totals, paid_minor=1)),
        "the points earned": replace(good, earned=()),
    }
    for said, wrong in damaged.items():
        assert said in wrong_sum(wrong, sale.basket), said


def test_a_difference_without_a_cause_fails_the_command() -> None:
    assert is_sound(Figures())
    unexplained = Figures()
    unexplained.with_store_prices.count(100, 5, Cause.UNEXPLAINED)
    assert not is_sound(unexplained)
    foretold = Figures()
    foretold.foretold[Prices.OTHERS].count(100, 5, Cause.UNEXPLAINED)
    assert not is_sound(foretold)
    assert not is_sound(Figures(checks=Checks(unproven=1)))


def test_the_command_writes_its_report_and_prints_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep" / "report.json"
    assert main(["--stores=343,292", "--weeks=3", "--jobs=1", f"--json={path}"]) == 0
    report = json.loads(path.read_text(encoding="utf-8"))
    store_prices = report["with_store_prices"]
    assert report["stores_replayed"] == ["343", "292"]
    assert report["baskets"] == store_prices["baskets"] > 50
    assert store_prices["equal"] + sum(store_prices["causes"].values()) == report["baskets"]
    assert sum(kind["baskets"] for kind in report["by_prices"].values()) == report["baskets"]
    foretold = sum(kind["baskets"] for kind in report["foretold"].values())
    assert foretold + sum(report["not_foretold"].values()) == report["baskets"]
    assert report["card_lines"]["lines"] + report["regular_lines"]["lines"] == report["lines"]
    assert report["checks"]["unproven"] == 0
    printed = capsys.readouterr().out
    assert f"{store_prices['equal']:,} of {report['baskets']:>8,}" in printed
    assert all(f"not equal: {cause}" in printed for cause in store_prices["causes"])


def test_the_summary_names_what_failed() -> None:
    total = Figures(checks=Checks(calculations=1, unsound=["store 7, basket 1: wrong"]))
    report = {
        "chain": {"stores": 2, "baskets": 3},
        "weeks": [1, 2],
        "left_out": {},
        "coupons": {"without_value": 0},
        "time": {"seconds": 1.0, "jobs": 1},
    }
    assert "store 7, basket 1: wrong" in summary(report, total)


def test_the_stores_are_the_busiest() -> None:
    chain = baskets_by_store()
    assert sum(chain.values()) == 155_848
    assert set(busiest_first(chain)[:12]) == set(choose_stores(12))
    assert busiest_first({1: 5, 2: 9, 3: 5}) == (2, 1, 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stores=0"], "give a number of stores"),
        (["--stores=a,b"], "give a number of stores"),
        (["--jobs=0"], "give a number of processes"),
        (["--weeks=a"], "give weeks"),
    ],
)
def test_the_command_refuses_what_it_cannot_read(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--stores=999"], "has 457 stores"), (["--stores=999999,"], "no store 999999")],
)
def test_the_command_says_what_the_data_does_not_have(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, f"--json={tmp_path / 'report.json'}"]) == 1
    assert says in capsys.readouterr().err


def test_stores_are_read_as_written() -> None:
    assert stores_wanted("50") == 50
    assert stores_wanted("367,") == (367,)
    assert stores_wanted("343,292") == (343, 292)
