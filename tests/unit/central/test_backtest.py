"""A back-test counts what a draft would have done: by hand, by processes, by Spark, the same."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest
import zstandard

from central.backtest.archive import Archive, Period
from central.backtest.batch import Terms, backtest_batch
from central.backtest.change import RuleChange, change_between
from central.backtest.columns import table_of
from central.backtest.figures import OfferFigures, StoreFigures, bucket_of
from central.backtest.pairs import Pairs
from central.backtest.processes import Task, backtest_archive
from loyalty.account import NO_REDEMPTION, NO_RIGHT, NOBODY, AccountSnapshot
from loyalty.basket import Basket
from loyalty.bundle import Bundle, Product
from loyalty.canonical import canonical_bytes
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import encode
from loyalty.offers import (
    Limits,
    NeedsCode,
    NumberRange,
    PointsPerMoney,
    SharedLimit,
    When,
    Where,
    Who,
)
from tests.support.archived import batch_of, posted_of
from tests.support.builders import (
    account,
    basket,
    bundle,
    having,
    line,
    moment,
    offer,
    percent,
    place,
)
from tests.support.command_line import Ended, central
from tests.support.receipt_strategies import Receipt

DAY = "2025-03-05"
PERIOD = Period(DAY, "2025-03-06")
MILK = offer("milk", percent(10), lines=having("sku", "milk"))
POINTS = offer("points", PointsPerMoney(points=1, per_minor=100), who=Who(identified=True))
RULES = bundle(MILK, POINTS, catalogue={"rum": Product(floor_minor_per_unit=950)})
TEA = offer("tea", percent(20), lines=having("sku", "tea"))
RUM = offer("rum", percent(50), lines=having("sku", "rum"))


def compiled(rules: Bundle) -> Rules:
    return compile_bundle(rules, sha256(canonical_bytes(encode(rules))).hexdigest())


def sold(
    *goods: str,
    store: str = "store-1",
    who: AccountSnapshot = NOBODY,
    codes: Iterable[str] = (),
    day: str = DAY,
    rules: Bundle = RULES,
) -> Receipt:
    """A piece of each of the goods, 10.00 each."""
    lines = [line(str(number), sku) for number, sku in enumerate(goods, start=1)]
    found: Basket = basket(*lines, codes=codes)
    return Receipt(
        basket=found,
        bundle=rules,
        account=who,
        request=NO_REDEMPTION,
        right=NO_RIGHT,
        moment=moment(f"{day}T12:00:00"),
        place=place(store),
    )


def backtested(change: RuleChange, *receipts: Receipt, terms: Terms | None = None) -> StoreFigures:
    rules = compiled(RULES)
    batch = batch_of(
        [posted_of(each, rules, key=f"s{number}") for number, each in enumerate(receipts)]
    )
    return backtest_batch(batch, Pairs(change, lambda _: RULES), terms=terms or Terms()).total()


def effects(side: Mapping[str, OfferFigures]) -> dict[str, tuple[int, ...]]:
    return {
        offer_id: (each.receipts, each.discount_minor, each.points, each.handed_out)
        for offer_id, each in side.items()
    }


# What is counted


def test_an_offer_put_in_costs_what_it_takes_off() -> None:
    found = backtested(
        RuleChange(offers=(TEA,)), sold("tea"), sold("milk", "tea", who=account()), sold("milk")
    )
    assert (found.receipts, found.touched, found.changed) == (3, 2, 2)
    assert (found.without.discount_minor, found.with_change.discount_minor) == (200, 600)
    assert (found.without.paid_minor, found.with_change.paid_minor) == (3_800, 3_400)
    assert (found.winners, found.won_minor, found.losers, found.lost_minor) == (2, 400, 0, 0)
    assert found.distribution == {-200: 2}
    assert (found.without.earned_points, found.with_change.earned_points) == (19, 17)
    assert (found.more_points, found.fewer_points) == (0, 1)


def test_an_offer_taken_away_makes_losers() -> None:
    found = backtested(RuleChange(removed_offers=frozenset({"milk"})), sold("milk"), sold("tea"))
    assert (found.touched, found.losers, found.lost_minor) == (1, 1, 100)
    assert found.with_change.discount_minor == 0
    assert found.distribution == {100: 1}


def test_an_offer_put_in_another_s_place_is_told_apart_from_it() -> None:
    better = replace(MILK, gives=percent(25))
    found = backtested(RuleChange(offers=(better,)), sold("milk", who=account()))
    assert effects(found.without.offers) == {"milk": (1, 100, 0, 0), "points": (1, 0, 9, 0)}
    assert effects(found.with_change.offers) == {"milk": (1, 250, 0, 0), "points": (1, 0, 7, 0)}


def test_lines_driven_to_the_floor_are_counted() -> None:
    found = backtested(RuleChange(offers=(RUM,)), sold("rum", "rum"), sold("milk", "rum"))
    assert (found.without.lines_at_floor, found.with_change.lines_at_floor) == (0, 3)
    assert found.won_minor == 150


def test_an_offer_that_is_put_in_as_it_is_touches_nothing() -> None:
    found = backtested(RuleChange(offers=(MILK,)), sold("milk"))
    assert (found.receipts, found.touched) == (1, 0)


def test_other_terms_of_the_programme_touch_every_receipt() -> None:
    dearer = replace(RULES.programme, point_value_minor=7)
    assert backtested(RuleChange(programme=dearer), sold("tea")).touched == 1


def test_a_group_that_changes_touches_its_goods() -> None:
    grouped = replace(RULES, offers=(offer("g", percent(10), lines=having("group", "hot")),),
                      groups={"hot": ("tea",)})  # fmt: skip
    batch = batch_of([posted_of(sold("milk", rules=grouped), compiled(grouped))])
    change = RuleChange(groups={"hot": ("milk", "tea")})
    found = backtest_batch(batch, Pairs(change, lambda _: grouped)).total()
    assert (found.touched, found.won_minor) == (1, 100)


def test_a_code_touches_the_receipts_it_was_shown_for() -> None:
    coupon = offer("coupon", percent(10), needs=NeedsCode(one_of=("C1",)))
    found = backtested(
        RuleChange(offers=(coupon,)), sold("tea", codes=["C1"]), sold("tea", codes=["C2"])
    )
    assert (found.touched, found.won_minor) == (1, 100)


def test_an_offer_that_asks_for_the_price_touches_lines_at_that_price() -> None:
    dear = NumberRange(name="gross_minor", at_least=1_000)
    found = backtested(RuleChange(offers=(offer("dear", percent(10), lines=dear),)), sold("tea"))
    assert (found.touched, found.won_minor) == (1, 100)


def test_an_offer_that_asks_for_what_the_register_says_of_a_line_touches_it() -> None:
    large = replace(sold(), basket=basket(line("1", "tea", attributes={"size": "L"})))
    offered = offer("large", percent(10), lines=having("size", "L"))
    found = backtested(RuleChange(offers=(offered,)), large, sold("tea"))
    assert (found.touched, found.won_minor) == (1, 100)


def test_an_offer_on_everything_touches_everything() -> None:
    found = backtested(RuleChange(offers=(offer("all", percent(10)),)), sold("tea"), sold("jam"))
    assert (found.touched, found.won_minor) == (2, 200)


def test_a_product_that_changes_touches_the_receipts_with_it() -> None:
    milk = {"milk": Product(barred=("discount",))}
    found = backtested(RuleChange(products=milk), sold("milk"), sold("tea"))
    assert (found.touched, found.lost_minor) == (1, 100)


def test_an_offer_of_another_store_or_day_touches_nothing() -> None:
    elsewhere = replace(TEA, where=Where(stores=("store-9",)))
    later = replace(TEA, offer_id="later", when=When(starts="2025-03-06"))
    found = backtested(RuleChange(offers=(elsewhere, later)), sold("tea"))
    assert (found.receipts, found.touched) == (1, 0)


def test_a_new_budget_is_not_used_up() -> None:
    limited = replace(TEA, limits=Limits(campaign=SharedLimit(discount_minor_max=150)))
    found = backtested(RuleChange(offers=(limited,)), sold("tea"))
    assert found.won_minor == 150


def test_receipts_whose_bundle_is_lost_are_left_out_and_said() -> None:
    def lost(bundle_hash: str) -> Bundle:
        raise LookupError(bundle_hash)

    batch = batch_of([posted_of(sold("tea"), compiled(RULES))])
    found = backtest_batch(batch, Pairs(RuleChange(offers=(TEA,)), lost)).total()
    assert found.receipts == 0
    assert found.left_out == {"its bundle is not in the archive, or cannot be read": 1}


def test_a_draft_that_contradicts_a_bundle_leaves_its_receipts_out() -> None:
    unknown = replace(TEA, lines=having("group", "nowhere"))
    found = backtested(RuleChange(offers=(unknown,)), sold("tea"))
    assert [(reason[:35], count) for reason, count in found.left_out.items()] == [
        ("its bundle does not go with the dra", 1)
    ]


def test_what_was_printed_otherwise_is_found_by_calculating_it_again() -> None:
    rules = compiled(RULES)
    wrong = posted_of(sold("tea", "milk"), rules)
    wrong = replace(wrong, printed=posted_of(sold("tea", "tea"), rules).printed)
    pairs = Pairs(RuleChange(offers=(TEA,)), lambda _: RULES)
    total = backtest_batch(batch_of([wrong]), pairs, terms=Terms(recalculate=True)).total()
    assert (total.checked, total.printed_otherwise) == (1, 1)
    assert total.without.discount_minor == 100


def test_a_sample_is_the_same_every_time_and_about_as_large_as_asked() -> None:
    receipts = [sold("tea") for _ in range(400)]
    change = RuleChange(offers=(TEA,))
    found = backtested(change, *receipts, terms=Terms(sample_ppm=250_000))
    assert 60 < found.receipts < 140
    assert found.receipts == backtested(change, *receipts, terms=Terms(sample_ppm=250_000)).receipts


@pytest.mark.parametrize(
    ("difference", "bucket"),
    [(0, 0), (1, 1), (4, 2), (-7, -5), (10, 10), (49, 20), (-50, -50), (99_999, 50_000)],
)
def test_differences_fall_into_buckets(difference: int, bucket: int) -> None:
    assert bucket_of(difference) == bucket


def test_the_difference_of_two_rule_sets_makes_the_one_of_the_other() -> None:
    draft = bundle(TEA, replace(POINTS, priority=3), groups={"hot": ("tea",)}, version=9)
    change = change_between(RULES, draft)
    made = change.made_to(RULES)
    assert {each.offer_id: each for each in made.offers} == {
        each.offer_id: each for each in draft.offers
    }
    assert (made.groups, made.catalogue) == (draft.groups, draft.catalogue)
    assert change_between(RULES, replace(RULES, version=2)) == RuleChange()


# Over an archive


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Two dates, three stores, two bundles; of each date two files."""
    archive = Archive(tmp_path / "archive")
    later = replace(RULES, offers=(*RULES.offers, replace(TEA, offer_id="old-tea")))
    for day, rules in ((DAY, RULES), ("2025-03-06", later), ("2025-04-01", RULES)):
        made = compiled(rules)
        archive.add_bundle(made.bundle_hash, zstandard.compress(canonical_bytes(encode(rules))))
        for file in range(2):
            with archive.new_part(day) as part:
                for store in ("store-1", "store-2", "store-3"):
                    part.add(
                        table_of(
                            posted_of(
                                sold("milk", *["tea"] * tea, store=store, day=day, rules=rules,
                                     who=account() if tea else NOBODY),
                                made, key=f"{day}-{file}-{store}-{tea}",
                            )
                            for tea in range(4)
                        )
                    )  # fmt: skip
    return archive


def task(archive: Archive, *stores: str) -> Task:
    here = replace(TEA, where=Where(stores=("store-1", "store-2")))
    change = RuleChange(offers=(here,), removed_offers=frozenset({"old-tea"}))
    return Task(
        folder=str(archive.folder), period=PERIOD, change=change, stores=frozenset(stores),
        terms=Terms(recalculate=True),
    )  # fmt: skip


def test_processes_come_to_what_one_alone_does(archive: Archive) -> None:
    told: list[tuple[int, int]] = []
    alone = backtest_archive(task(archive), jobs=1, told=lambda *now: told.append(now))
    total = alone.figures.total()
    assert (total.receipts, total.left_out, told[-1]) == (48, {}, (48, 48))
    # On the second date the new offer takes the old one's place, but not in the third store.
    assert (total.winners, total.losers) == (12, 6)
    by_two = backtest_archive(task(archive), jobs=2)
    assert by_two.figures.without_times() == alone.figures.without_times()
    assert alone.days == by_two.days == (DAY, "2025-03-06")


def test_stores_can_be_chosen(archive: Archive) -> None:
    ran = backtest_archive(task(archive, "store-2"), jobs=1)
    assert {store: each.receipts for store, each in ran.figures.stores.items()} == {"store-2": 16}


HAS_SPARK = find_spec("pyspark") is not None and (
    shutil.which("java") is not None or "JAVA_HOME" in os.environ
)


@pytest.mark.skipif(not HAS_SPARK, reason="needs Java and the extra `spark`: make spark")
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_spark_comes_to_what_processes_do(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from central.backtest.spark_job import backtest_with_spark, open_session

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    session = open_session(
        spark_master="local[2]",
        spark_ui_enabled="false",
        spark_driver_bindAddress="127.0.0.1",
        spark_driver_host="127.0.0.1",
    )
    try:
        for asked in (task(archive), task(archive, "store-1", "store-3")):
            ran = backtest_with_spark(asked, session)
            here = backtest_archive(asked, jobs=1)
            assert ran.figures.without_times() == here.figures.without_times()
            assert ran.days == here.days
    finally:
        session.stop()


# The command


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    path = tmp_path / "tea.json"
    path.write_text(json.dumps({"offers": [encode(TEA)]}), encoding="utf-8")
    return path


def run(draft: Path, archive: Archive, *more: str | Path) -> Ended:
    return central(
        "rules", "backtest", draft, "--period", f"{DAY}..2025-03-06", "--archive", archive.folder,
        "--jobs", "1", *more,
    )  # fmt: skip


def test_the_command_prints_a_page(archive: Archive, draft: Path) -> None:
    ended = run(draft, archive, "--remove", "old-tea")
    assert ended.code == 0
    assert "48 receipts of 3 stores; the draft may touch 36" in ended.said
    assert "less to pay on 18 receipts" in ended.said
    assert "old-tea" in ended.said


def test_an_offer_nobody_has_is_not_taken_away_and_a_base_beside_parts_is_refused(
    archive: Archive, draft: Path, tmp_path: Path
) -> None:
    gone = run(draft, archive, "--remove", "old-tea", "--remove", "nosuch")
    assert (gone.code, "--remove nosuch: no rules of" in gone.complained) == (1, True)
    base = tmp_path / "broken.json"
    base.write_text("{")
    beside = run(draft, archive, "--base", base)
    assert (beside.code, "--base goes with a whole rule document" in beside.complained) == (1, True)


def test_the_command_writes_what_programs_read(
    archive: Archive, draft: Path, tmp_path: Path
) -> None:
    ended = run(draft, archive, "--json", "--out", tmp_path / "out")
    document = json.loads(ended.said)
    assert document == json.loads((tmp_path / "out" / "backtest.json").read_text("utf-8"))
    assert document["total"]["cost_minor"] == sum(row["cost_minor"] for row in document["stores"])
    offers = (tmp_path / "out" / "offers.csv").read_text("utf-8").splitlines()
    assert offers[1].startswith(f"tea,put in,{document['total']['cost_minor']},0,0,0,0,0,36,")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "backtest.json", "distribution.csv", "offers.csv", "store_offers.csv", "stores.csv",
    ]  # fmt: skip


def test_a_whole_document_is_compared_with_its_base(archive: Archive, tmp_path: Path) -> None:
    base, whole = tmp_path / "base.json", tmp_path / "whole.json"
    base.write_text(json.dumps(encode(RULES)), encoding="utf-8")
    whole.write_text(json.dumps(encode(replace(RULES, offers=(POINTS, TEA)))), encoding="utf-8")
    document = json.loads(run(whole, archive, "--base", base, "--json").said)
    assert (document["offers_put_in"], document["offers_taken_away"]) == (["tea"], ["milk"])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--stores", "nowhere"], "has no receipts of the period and stores"),
        (["--period", "yesterday"], "--period yesterday"),
        (["--sample", "0"], "--sample is above 0"),
    ],
)
def test_what_cannot_be_done_is_said(
    archive: Archive, draft: Path, more: list[str], says: str
) -> None:
    ended = run(draft, archive, *more)
    assert ended.code == 1
    assert says in ended.complained
