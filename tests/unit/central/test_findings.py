"""What is wrong is what the figures say, at the thresholds that are documented."""

from typing import Any

import msgspec
import pytest

from central.alerts import findings
from central.alerts.findings import KINDS, STORES_TOGETHER, Finding, find
from central.alerts.words import (
    _TITLES,
    _TO_DO,
    TEST,
    Language,
    body_of,
    printable,
    subject_of,
    title_of,
)
from central.availability.report import Recent, Served
from central.observability.figures import Events, Feed, Figures, Fleet, Queue, Server, SilentStore
from central.rights.exposure import Exposure, PoolTotals
from central.rules.left_behind import LeftBehind

FULL = Served(full=90, offline_full=10, degraded=0, none=0, available_ppm=1_000_000)
HEALTHY = Figures(
    fleet=Fleet(
        up=3, silent=0, new=0, revoked=0, silent_hour=0, silent_day=0, silent_week=0,
        silence_max_ms=0, receipts_waiting=0,
    ),
    software={}, rules={}, silent_stores=(), silent_stores_count=0,
    queue=Queue(
        waiting=3, parked=1, waiting_ms=2_000, parked_ms=9_000_000, unequal_hour=0,
        quarantined_hour=0, rejected_hour=0,
    ),
    events=Events(waiting=0, dead=0, waiting_ms=0),
    feed=Feed(held=0, transaction_ms=200),
    exposure=Exposure(
        points=0, risk_budgets=0, write_offs=0, suspected_clones=0, clones=0, held=0, frozen=0,
        pool=PoolTotals(funded=100, free=50, budgets=50, exposures=0, losses=0, uncovered=0),
    ),
    releases={"open": 1}, halted=(), unsealed_days=1,
    server=Server(connections=5, connections_max=100, bytes=1),
    recent=tuple(
        Recent(window=window, late_ms=0, total=FULL, banners={"red": FULL}, regions={})
        for window in ("5m", "1h")
    ),
)  # fmt: skip


def changed(**parts: object) -> Figures:
    """Return healthy figures with parts of theirs changed: `queue={"waiting_ms": 5}`."""
    new = {
        name: msgspec.structs.replace(getattr(HEALTHY, name), **change)
        if isinstance(change, dict)
        else change
        for name, change in parts.items()
    }
    return msgspec.structs.replace(HEALTHY, **new)


def served(ppm: int, receipts: int = 100) -> Served:
    return Served(full=receipts, offline_full=0, degraded=0, none=0, available_ppm=ppm)


def recent(window: str, total: Served, banner: Served = FULL) -> tuple[Recent, ...]:
    banners = {"red": banner}
    return (Recent(window=window, late_ms=0, total=total, banners=banners, regions={}),)


def silent(count: int, minutes: int = 60) -> dict[str, Any]:
    stores = tuple(
        SilentStore(store_id=f"s{n}", region="", banner="", tills=2, silence_ms=minutes * 60_000)
        for n in range(count)
    )
    return {"silent_stores": stores, "silent_stores_count": count}


def pool(**places: int) -> dict[str, Any]:
    assert HEALTHY.exposure is not None
    return {"pool": msgspec.structs.replace(HEALTHY.exposure.pool, **places)}


def test_of_a_healthy_centre_nothing_is_found() -> None:
    assert find(HEALTHY).found == ()
    assert find(HEALTHY).undecided == frozenset()


@pytest.mark.parametrize(
    ("parts", "kind", "subject", "value"),
    [
        ({"recent": recent("5m", served(989_999))}, "availability_low", "", 989_999),
        ({"recent": recent("1h", FULL, served(9_999))}, "banner_availability_low", "red", 9_999),
        ({"queue": {"waiting_ms": 120_001}}, "records_wait", "", 120_001),
        ({"queue": {"parked_ms": 259_200_001}}, "records_parked", "", 259_200_001),
        ({"queue": {"quarantined_hour": 2}}, "record_quarantined", "", 2),
        ({"queue": {"unequal_hour": 1}}, "receipt_unequal", "", 1),
        ({"queue": {"rejected_hour": 1}}, "receipt_rejected", "", 1),
        ({"exposure": pool(uncovered=7)}, "uncovered", "", 7),
        ({"exposure": pool(free=9, budgets=91)}, "pool_low", "", 9),
        ({"exposure": {"clones": 1}}, "clone_suspected", "", 1),
        ({"quarantined": (12,)}, "till_quarantined", "12", 0),
        ({"exposure": {"counters_exceeded": 3}}, "counter_exceeded", "", 3),
        ({"unsealed_days": 2}, "day_not_sealed", "", 2),
        ({"mark_ms": 604_800_001}, "mark_stands", "", 604_800_001),
        (silent(1), "store_silent", "s0", 3_600_000),
        (silent(STORES_TOGETHER + 1), "stores_silent", "", STORES_TOGETHER + 1),
        ({"halted": (12,)}, "release_halted", "12", 0),
        ({"left_behind": (LeftBehind(12, 3, ()),)}, "tills_left_behind", "12", 3),
        ({"feed": {"transaction_ms": 60_001}}, "transaction_runs_on", "", 60_001),
        ({"events": {"waiting_ms": 600_001}}, "events_wait", "", 600_001),
        ({"events": {"dead": 2}}, "event_dead", "", 2),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_found_alone(
    parts: dict[str, Any], kind: findings.Kind, subject: str, value: int
) -> None:
    assert find(changed(**parts)).found == (Finding(kind, subject, value),)


@pytest.mark.parametrize(
    "parts",
    [
        {"recent": recent("5m", served(990_000))},
        {"recent": recent("5m", served(0, receipts=19))},
        {"recent": recent("1h", served(0))},
        {"recent": recent("1h", FULL, served(970_000))},
        {"queue": {"waiting_ms": 120_000}},
        {"queue": {"parked_ms": 259_200_000}},
        {"exposure": pool(free=10, budgets=90)},
        {"mark_ms": 604_800_000},
        {"exposure": pool(free=0, budgets=0, losses=100)},
        silent(1, minutes=30),
        {"feed": {"transaction_ms": 60_000}},
        {"events": {"waiting_ms": 600_000, "waiting": 9}},
    ],
)
def test_at_its_threshold_and_of_too_little_nothing_is_found(parts: dict[str, Any]) -> None:
    assert find(changed(**parts)).found == ()


def test_what_has_waited_too_long_for_another_record_is_to_be_decided() -> None:
    days_90_ms = 90 * 86_400_000
    told = {each.kind for each in find(changed(queue={"parked_ms": days_90_ms})).found}
    assert told == {"records_parked"}
    told = {each.kind for each in find(changed(queue={"parked_ms": days_90_ms + 1})).found}
    assert told == {"records_parked", "records_parked_long"}


def test_of_many_silent_stores_those_told_before_stay_as_they_are() -> None:
    assert find(changed(**silent(STORES_TOGETHER + 1))).undecided == {"store_silent"}
    assert len(find(changed(**silent(STORES_TOGETHER))).found) == STORES_TOGETHER


def test_of_a_database_that_does_not_answer_nothing_else_is_said() -> None:
    found = find(None)
    assert found.found == (Finding("database_down"),)
    assert found.undecided == frozenset(KINDS) - {"database_down"}


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words_in_both_languages(kind: findings.Kind, language: Language) -> None:
    said = title_of(Finding(kind, "Corner\r\nBcc: x@y", 987_654), language)
    body = body_of(
        kind, "Corner", said, language=language, incident="7", began="then", ended="now"
    )  # fmt: skip
    for text in (said, subject_of(said, "ended", language)):
        assert text.isprintable()
        assert "{" not in text
    assert said in body
    assert "{" not in body
    for texts in (_TITLES, _TO_DO):
        assert set(texts["en"]) == set(texts["ru"]) == set(KINDS)
    assert all(TEST[language])


def test_shares_are_said_as_they_are_and_never_better() -> None:
    assert "98.99 %" in title_of(Finding("availability_low", "", 989_999), "en")
    assert printable("a\x00b\n" + "x" * 99) == "a?b?" + "x" * 60


def test_without_the_meter_nothing_begins_and_nothing_ends_that_it_tells() -> None:
    told = find(changed(exposure=None, halted=(7,)))
    assert told.found == (Finding("release_halted", "7"),)
    assert told.undecided == {"uncovered", "pool_low", "clone_suspected", "counter_exceeded"}
