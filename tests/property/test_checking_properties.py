"""What the checks say is true, and what they let pass never raises at a till."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from loyalty.account import NOBODY
from loyalty.basket import Basket, Moment, Place
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.checking import check_bundle, errors_of
from loyalty.checking.contradictions import line_can_match, needs_can_hold
from loyalty.checking.reach import Assortment
from loyalty.checking.windows import window_of
from loyalty.checking.wording import say_finding
from loyalty.compilation import compile_bundle
from loyalty.conditions import Situation, compile_need, obstacle
from loyalty.documents import decode, encode
from loyalty.matching import Line, LineView, compile_match
from loyalty.offers import LineMatch, Need, When
from tests.support.builders import bundle, moment, offer
from tests.support.effort import examples
from tests.support.offer_strategies import GROUPS, one_of
from tests.support.published import publishable
from tests.support.receipt_strategies import Receipt, baskets, products, receipts
from tests.support.rule_strategies import any_bundles, any_needs, line_matches

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
A_DAY = "2025-03-05"

goods = st.dictionaries(one_of("a", "b", "c", "d"), products, max_size=4).map(
    lambda catalogue: bundle(catalogue=catalogue, groups=GROUPS)
)


def lines_of(basket: Basket, rules: Bundle) -> list[Line]:
    """Return the basket's lines as offers see them."""
    index = compile_bundle(rules, "00").on(Place(store="s1"), A_DAY)
    views = [index.view(line) for line in basket.lines]
    return [
        Line(at, line, replace(view, source=line), 0, line.quantity // 1_000)
        for at, (line, view) in enumerate(zip(basket.lines, views, strict=True))
    ]


@given(goods, baskets(), line_matches, line_matches)
def test_lines_called_impossible_never_match(
    rules: Bundle, basket: Basket, match: LineMatch, other: LineMatch
) -> None:
    matched = [
        line
        for line in lines_of(basket, rules)
        if compile_match(match)(line.view) and compile_match(other)(line.view)
    ]
    event("matched" if matched else "not matched")
    assert not matched or line_can_match(match, other)


@given(goods, baskets(), any_needs, line_matches)
def test_needs_called_impossible_never_hold(
    rules: Bundle, basket: Basket, need: Need, match: LineMatch
) -> None:
    lines = lines_of(basket, rules)
    gross = sum(line.source.gross_minor for line in lines)
    holds = compile_need(need)(Situation(basket, lines, gross, NOBODY, moment()), ()) is None
    there = any(compile_match(match)(line.view) for line in lines)
    event("holds" if holds else "does not hold")
    assert not (holds and there) or needs_can_hold([need], (match,), rules.groups)
    assert not holds or needs_can_hold([need], (), rules.groups)


@given(goods, line_matches)
def test_what_is_said_to_be_reached_is_reached(rules: Bundle, match: LineMatch) -> None:
    reach = Assortment(rules).reach(match)
    matches = compile_match(match)
    groups_of = {sku: tuple(g for g in GROUPS if sku in GROUPS[g]) for sku in rules.catalogue}
    for sku, product in rules.catalogue.items():
        attributes = {
            "sku": sku,
            "department": product.department,
            "category": product.category,
            "brand": product.brand,
        }
        view = LineView(product, attributes, groups_of[sku])
        assert sku in reach.maybe or not matches(view)
        if sku in reach.surely:
            assert matches(view)


moments = st.integers(0, 12 * 24 * 4).map(
    lambda quarters: datetime(2025, 3, 1) + timedelta(minutes=15 * quarters)  # noqa: DTZ001
)
clocks = one_of("00:00", "09:00", "12:30", "18:00", "23:45", "24:00")


@st.composite
def windows(draw: st.DrawFn) -> When:
    """Draw a window within a week and a half."""
    ends = sorted(draw(st.lists(moments, min_size=2, max_size=2, unique=True)))
    starts, until = (end.isoformat(timespec="seconds") for end in ends)
    clock = draw(st.lists(clocks, max_size=4, unique=True).map(sorted))
    spans = list(zip(clock[::2], clock[1::2], strict=False))
    return When(
        starts=draw(one_of(starts, "", starts[:10])),
        until=draw(one_of(until, "")),
        weekdays=tuple(draw(st.lists(st.integers(1, 7), max_size=3))),
        hours=tuple(spans),
    )


@cache
def quarters_of_a_month() -> tuple[Situation, ...]:
    """Return a situation at every quarter of an hour, days before and after all windows too."""
    first = datetime(2025, 2, 20)  # noqa: DTZ001
    moments = (first + timedelta(minutes=15 * at) for at in range(30 * 96))
    return tuple(
        Situation(Basket(lines=()), [], 0, NOBODY, Moment(local=at.isoformat(timespec="seconds")))
        for at in moments
    )


def found_open(when: When) -> set[int]:
    """Ask the engine in which of the situations an offer of this window is open."""
    shut = partial(obstacle, offer(when=when), None)
    return {
        number
        for number, situation in enumerate(quarters_of_a_month())
        if shut(situation, (), gives_points=False) is None
    }


@settings(max_examples=examples(60))
@given(windows(), windows())
def test_windows_meet_where_the_engine_finds_both_open(one: When, other: When) -> None:
    ours, theirs = window_of(one), window_of(other)
    open_one, open_other = found_open(one), found_open(other)
    assert ours.is_empty == (not open_one)
    assert ours.meets(theirs) == bool(open_one & open_other)
    if ours.holds(theirs):
        assert open_other <= open_one


@settings(max_examples=examples(100), suppress_health_check=SLOW)
@given(any_bundles(), one_of("", A_DAY))
def test_a_check_always_ends_with_words(rules: Bundle, today: str) -> None:
    found = check_bundle(rules, today=today)
    assert check_bundle(decode(Bundle, encode(rules)), today=today) == found
    assert all(error in found for error in errors_of(rules))
    for each in found:
        event(each.code)
        for language in ("en", "ru"):
            said = say_finding(each, language)
            assert said.problem
            assert said.remedy
            assert "{" not in said.problem + said.remedy


receipts_of_published_rules = st.builds(
    lambda receipt, rules: replace(receipt, bundle=publishable(rules)), receipts, any_bundles()
)


@settings(max_examples=examples(150), suppress_health_check=SLOW)
@given(receipts_of_published_rules)
def test_rules_that_pass_the_checks_never_raise_at_a_till(receipt: Receipt) -> None:
    result = receipt.calculate()
    event(f"offers that act: {len({e.offer_id for line in result.lines for e in line.effects})}")
    assert canonical_bytes(result)
