"""`make bench-engine` measures what it says it measures; how fast that is decides no test."""

import json
from pathlib import Path
from random import Random

import pytest

from bench.engine.__main__ import PARTS, main, parts_wanted
from bench.engine.cross_check import CASES, Case, agreement, engine_off
from bench.engine.floor import floor, index_of, lines_of
from bench.engine.peers import ZEN_TABLE, PeerRun
from bench.engine.synthetic import HEADLINE, SMALL
from bench.engine.tables import GOALS, headline, table
from bench.engine.timing import percentile, time_us
from bench.engine.workload import (
    MOMENT,
    PLACE,
    PlainLine,
    PlainOffer,
    World,
    basket_of,
    bundle_of,
    plain_json,
    touching,
)
from loyalty.calculate import calculate
from loyalty.compilation import compile_bundle
from loyalty.offers import NForM, Percent

NEEDS_PEERS = {
    "ratio_zen_50x1000",
    "ratio_oscar_50x1000",
    "ratio_zen_expressions_50x1000",
    "ratio_zen_matching_50x1000",
    "ratio_oscar_stacking_50x1000",
}


def test_quick_run_without_peers_gives_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "engine.json"
    assert main(["--quick", "--no-peers", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert GOALS.keys() <= report.keys()
    for name in headline({}):
        if name in NEEDS_PEERS:
            assert report[name] is None
        else:
            assert isinstance(report[name], int | float), name
            assert report[name] >= 0
    assert report["hard_proven_share"] <= 1
    assert report["quick"]
    assert set(report["parts"]) == set(PARTS)
    printed = capsys.readouterr().out
    assert all(name in printed for name in GOALS)


def test_one_part_alone_leaves_the_others_figures_open(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    assert main(["--quick", "--no-peers", "--only", "hard", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["real_median_ms"] is None
    assert report["hard_p99_ms"] > 0
    assert set(report["parts"]) == {"hard"}


def test_parts_are_named_by_letter_or_name() -> None:
    assert parts_wanted("a,bundle") == ("real", "bundle")
    with pytest.raises(SystemExit) as refused:
        main(["--only", "z"])
    assert refused.value.code == 2


def test_quick_effort_has_the_cell_the_ratios_are_taken_at() -> None:
    lines, offers = HEADLINE
    assert lines in SMALL.lines
    assert offers in SMALL.offers


def test_equal_seeds_make_equal_workloads() -> None:
    def made(seed: int) -> str:
        world = World(seed)
        return json.dumps(plain_json(world.offers(100), world.baskets(2, 20)))

    assert made(1) == made(1)
    assert made(1) != made(2)


@pytest.mark.parametrize("count", [10, 100, 1_000])
def test_offers_are_of_the_kinds_the_issue_names(count: int) -> None:
    offers = World(1).offers(count)
    kinds = [offer.kind for offer in offers]
    assert (kinds.count("percent"), kinds.count("n_for_m"), kinds.count("threshold")) == (
        count * 7 // 10,
        count * 2 // 10,
        count // 10,
    )
    assert [offer.offer_id for offer in offers if offer.by == "all"] == [offers[-1].offer_id]
    assert len({offer.offer_id for offer in offers}) == count


def test_bundle_holds_the_plain_offers_and_the_whole_catalogue() -> None:
    world = World(1)
    bundle = bundle_of(world, world.offers(100))
    rewards = [type(offer.gives) for offer in bundle.offers]
    assert rewards.count(NForM) == 20
    assert rewards.count(Percent) == 80
    assert len(bundle.catalogue) == 20_000


def test_touching_counts_the_offers_the_engine_considers() -> None:
    world = World(1)
    offers = tuple(offer for offer in world.offers(1_000) if offer.kind == "percent")
    rules = compile_bundle(bundle_of(world, offers), "00")
    for basket in world.baskets(3, 20):
        found = calculate(basket_of(basket), rules, moment=MOMENT, place=PLACE)
        assert touching(offers, basket) == len(found.reasons)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_engine_computes_the_cross_check_as_done_by_hand(case: Case) -> None:
    assert engine_off(case.offers, case.basket) == case.off_minor


def test_agreement_counts_offers_not_baskets() -> None:
    ours = [{"a": 10, "b": 5}, {"c": 1}]
    theirs = [{"a": 11, "b": 8}, {"c": 1, "d": 4}]
    assert agreement(ours, theirs) == (2, 4)


def test_floor_adds_a_percentage_for_each_offer_that_touches_a_line() -> None:
    offers = (
        PlainOffer(offer_id="a", kind="percent", by="category", values=("c1",), rate_ppm=100_000),
        PlainOffer(offer_id="b", kind="percent", by="sku", values=("s1", "s9"), rate_ppm=50_000),
        PlainOffer(offer_id="c", kind="percent", by="brand", values=("b2",), rate_ppm=500_000),
    )
    basket = (
        PlainLine(sku="s1", category="c1", brand="b1", units=2, unit_minor=500),
        PlainLine(sku="s2", category="c1", brand="b1", units=1, unit_minor=300),
    )
    assert floor(index_of(offers), lines_of(basket)) == 100 + 50 + 30


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    Random(1).shuffle(values)
    assert percentile(values, 99) == 99.0
    assert percentile(values, 50) == 50.0
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


def test_every_repeat_of_a_short_call_is_timed() -> None:
    calls: list[int] = []
    assert len(time_us(lambda: calls.append(1), repeats=5)) == len(calls) == 5


def test_table_shows_what_is_missing_as_a_dash() -> None:
    shown = table("Title", [{"a": 1.5}, {"a": 2.0, "b": None}])
    assert shown.splitlines() == ["Title", "a    b", "---  -", "1.5  -", "2    -"]


def test_peer_median_is_taken_over_the_baskets() -> None:
    run = PeerRun(version="1", setup_s=0.0, took_us=(1_000.0, 9_000.0, 2_000.0), off=({}, {}, {}))
    assert run.median_ms == 2.0
    assert ZEN_TABLE.label == "zen_table"
