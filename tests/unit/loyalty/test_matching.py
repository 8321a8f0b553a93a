"""Which lines an offer acts on, and what keeps it from acting."""

import pytest

from loyalty.account import NOBODY, AccountSnapshot
from loyalty.basket import Basket, BasketLine, Moment
from loyalty.bundle import Product, ReceiptTerms
from loyalty.calculation import Reason
from loyalty.candidates import set_scene
from loyalty.compilation import Rules
from loyalty.conditions import Situation, compile_need, obstacle
from loyalty.matching import Line, compile_match
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    EveryLine,
    LineMatch,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NoneOf,
    NumberRange,
    Offer,
    When,
    Who,
)
from loyalty.scene import Scene
from tests.support.builders import account, basket, having, line, moment, offer, place, rules

CATALOGUE = {
    "milk": Product(department="food/dairy", category="milk", brand="Farm"),
    "soap": Product(department="home", brand="Clean", floor_minor_per_unit=333),
}
RULES = rules(catalogue=CATALOGUE, groups={"white": ("milk", "soap"), "fresh": ("milk",)})


def scene(bought: Basket, compiled: Rules = RULES) -> Scene:
    """Return the basket completed from the catalogue."""
    completed_scene, _ = set_scene(bought, compiled.on(place(), "2025-03-05"), ReceiptTerms())
    return completed_scene


def completed(source: BasketLine, compiled: Rules = RULES) -> Line:
    """Return the line with what the catalogue adds."""
    return scene(basket(source), compiled).lines[0]


def matches(match: LineMatch, one: Line) -> bool:
    """Say whether the line belongs to the match."""
    return compile_match(match)(one.view)


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        (EveryLine(), True),
        (having("sku", "soap", "milk"), True),
        (having("sku", "soap"), False),
        (having("department", prefix="food/"), True),
        (having("department", "food"), False),
        (having("brand", "Farm"), True),
        (having("category", "milk"), True),
        (having("gtin", "4600000000017"), True),
        (having("group", "fresh"), True),
        (having("group", "stale", "white"), True),
        (having("group", "stale"), False),
        (having("size", "L"), True),
        (having("size", prefix="X"), False),
        (having("colour", "red"), False),
        (AllOf(of=(having("sku", "milk"), having("brand", "Farm"))), True),
        (AllOf(of=(having("sku", "milk"), having("brand", "Clean"))), False),
        (AllOf(of=()), True),
        (AnyOf(of=(having("sku", "soap"), having("brand", "Farm"))), True),
        (AnyOf(of=(having("sku", "soap"), having("brand", "Clean"))), False),
        (AnyOf(of=()), False),
        (Attribute(name="department", beneath=("food",)), True),
        (Attribute(name="department", beneath=("food/dairy",)), True),
        (Attribute(name="department", beneath=("foo", "food/dairy/milk")), False),
        (NumberRange(name="unit_price_minor", at_least=1000, at_most=1000), True),
        (NumberRange(name="unit_price_minor", at_least=1001), False),
        (NumberRange(name="quantity", at_most=999), False),
        (NumberRange(name="gross_minor", at_most=1000), True),
        (NumberRange(name="fat", at_least=25, at_most=35), True),
        (NumberRange(name="fat", at_least=33), False),
        (NumberRange(name="size"), False),
        (NumberRange(name="absent"), False),
        (NoneOf(of=(having("sku", "soap"), having("brand", "Clean"))), True),
        (NoneOf(of=(having("sku", "soap"), having("brand", "Farm"))), False),
        (AllOf(of=(having("group", "white"), NoneOf(of=(having("group", "fresh"),)))), False),
    ],
)
def test_a_line_matches_by_its_attributes(match: LineMatch, *, holds: bool) -> None:
    milk = completed(line(sku="milk", gtin="4600000000017", attributes={"size": "L", "fat": "32"}))
    assert matches(match, milk) is holds


def test_what_the_register_says_goes_before_the_catalogue() -> None:
    milk = completed(line(sku="milk", brand="Other", department="kiosk", category="drink"))
    for name, said, kept in (
        ("brand", "Other", "Farm"),
        ("department", "kiosk", "food/dairy"),
        ("category", "drink", "milk"),
    ):
        assert matches(having(name, said), milk)
        assert not matches(having(name, kept), milk)


def test_a_named_attribute_cannot_pass_for_the_sku_or_a_group() -> None:
    soap = completed(line(sku="soap", attributes={"sku": "milk", "group": "fresh"}))
    assert not matches(having("sku", "milk"), soap)
    assert not matches(having("group", "fresh"), soap)


def test_an_unknown_sku_has_no_attributes_and_no_group() -> None:
    unknown = completed(line(sku="?"))
    assert unknown.view.groups == ()
    assert unknown.product == Product()
    assert not matches(having("brand", prefix="F"), unknown)


def test_lines_stand_in_the_order_of_their_ids() -> None:
    scanned = basket(line("b"), line("a"), line("10"), line("9"))
    found = scene(scanned).lines
    assert [(one.index, one.source.line_id) for one in found] == [
        (0, "9"),
        (1, "a"),
        (2, "b"),
        (3, "10"),
    ]


def test_the_floor_of_a_part_of_a_unit_is_rounded_up() -> None:
    assert completed(line(sku="soap", quantity=500, by_weight=True)).floor_minor == 167


def test_a_weighed_line_is_one_unit() -> None:
    assert completed(line(quantity=3200, by_weight=True)).units == 1
    assert completed(line(pieces=4)).units == 4


def stops(
    one: Offer,
    *,
    bought: Basket | None = None,
    who: AccountSnapshot = NOBODY,
    when: Moment | None = None,
) -> Reason | None:
    """Return what keeps the offer from acting."""
    bought = bought or basket()
    lines = scene(bought).lines
    total = sum(each.gross_minor for each in bought.lines)
    situation = Situation(bought, lines, total, who, when or moment())
    return obstacle(one, compile_need(one.needs), situation, (), gives_points=False)


@pytest.mark.parametrize(
    "who",
    [Who(identified=True), Who(tiers=("gold",)), Who(segments=("x",)), Who(birthday=True)],
)
def test_an_offer_for_somebody_asks_who_it_is(who: Who) -> None:
    found = stops(offer("o", who=who))
    assert found == Reason(offer_id="o", code="not_identified")


@pytest.mark.parametrize(
    ("who", "customer", "code"),
    [
        (Who(tiers=("gold", "black")), account(tier="green"), "not_in_tier"),
        (Who(tiers=("gold", "black")), account(tier="black"), None),
        (Who(segments=("x", "y")), account(segments=["z"]), "not_in_segment"),
        (Who(segments=("x", "y")), account(segments=["z", "y"]), None),
        (Who(birthday=True), account(), "not_birthday"),
        (Who(birthday=True), account(in_birthday_window=True), None),
        (Who(identified=True), account(0), None),
        (Who(), account(), None),
    ],
)
def test_an_offer_acts_for_those_it_names(
    who: Who, customer: AccountSnapshot, code: str | None
) -> None:
    found = stops(offer(who=who), who=customer)
    assert (found and found.code) == code


def test_the_tier_that_does_not_fit_is_told() -> None:
    found = stops(offer(who=Who(tiers=("gold",))), who=account(tier="green"))
    assert found is not None
    assert found.figures == {"tier": "green"}


WINDOW = When(starts="2025-03-05T10:00:00", until="2025-03-05T12:00:00")
SHIFTS = When(hours=(("09:00", "11:00"), ("17:00", "24:00")))


@pytest.mark.parametrize(
    ("when", "local", "code"),
    [
        (WINDOW, "2025-03-05T09:59:59", "not_this_hour"),
        (WINDOW, "2025-03-05T10:00:00", None),
        (WINDOW, "2025-03-05T11:59:59", None),
        (WINDOW, "2025-03-05T12:00:00", "not_this_hour"),
        (When(starts="2025-03-05"), "2025-03-05T00:00:00", None),
        (When(until="2025-03-05"), "2025-03-05T00:00:00", "not_this_hour"),
        (When(until="2025-03-05"), "2025-03-04T23:59:59", None),
        (When(weekdays=(1, 3)), "2025-03-05T12:00:00", None),
        (When(weekdays=(1, 2)), "2025-03-05T12:00:00", "not_today"),
        (When(weekdays=(7,)), "2025-03-09T12:00:00", None),
        (SHIFTS, "2025-03-05T08:59:59", "not_this_hour"),
        (SHIFTS, "2025-03-05T09:00:00", None),
        (SHIFTS, "2025-03-05T10:59:59", None),
        (SHIFTS, "2025-03-05T11:00:00", "not_this_hour"),
        (SHIFTS, "2025-03-05T23:59:59", None),
    ],
)
def test_an_offer_acts_in_its_time(when: When, local: str, code: str | None) -> None:
    found = stops(offer(when=when), when=moment(local))
    assert (found and found.code) == code


def test_a_closed_window_is_told() -> None:
    found = stops(offer(when=WINDOW), when=moment("2025-03-05T12:30:00"))
    assert found is not None
    assert found.figures == {"from": "2025-03-05T10:00:00", "until": "2025-03-05T12:00:00"}


def test_the_hours_and_the_clock_are_told() -> None:
    found = stops(offer(when=SHIFTS), when=moment("2025-03-05T12:34:56"))
    assert found is not None
    assert found.figures == {"hours": "09:00-11:00, 17:00-24:00", "now": "12:34"}


def test_the_weekday_is_told() -> None:
    found = stops(offer(when=When(weekdays=(1,))))
    assert found is not None
    assert found.figures == {"weekday": 3}


CODE = NeedsCode(one_of=("A", "B"))
TENDER = NeedsTender(one_of=("sbp", "card"))
MUCH = NeedsLines(quantity_min=9_000)


@pytest.mark.parametrize(
    ("need", "codes", "tender", "code"),
    [
        (CODE, [], "", "code_missing"),
        (CODE, ["C"], "", "code_missing"),
        (CODE, ["C", "B"], "", None),
        (TENDER, [], "", "tender_missing"),
        (TENDER, [], "cash", "tender_missing"),
        (TENDER, [], "card", None),
        (NeedsAll(of=(CODE, TENDER)), ["A"], "cash", "tender_missing"),
        (NeedsAll(of=(CODE, TENDER)), [], "cash", "code_missing"),
        (NeedsAll(of=(CODE, TENDER)), ["A"], "card", None),
        (NeedsAny(of=(CODE, TENDER)), [], "cash", "code_missing"),
        (NeedsAny(of=(CODE, TENDER)), [], "card", None),
        (NeedsAny(of=(MUCH, CODE)), ["A"], "", None),
        (NeedsNone(of=(CODE, TENDER)), ["A"], "cash", "condition_not_met"),
        (NeedsNone(of=(CODE, TENDER)), [], "cash", None),
        (NeedsNone(of=(NeedsNone(of=(CODE,)),)), ["A"], "", None),
        (NeedsAll(), [], "", None),
    ],
)
def test_needs_are_all_any_or_none_of_their_parts(
    need: Need, codes: list[str], tender: str, code: str | None
) -> None:
    found = stops(offer(needs=need), bought=basket(codes=codes, tender=tender))
    assert (found and found.code) == code


@pytest.mark.parametrize(
    ("need", "code", "figures"),
    [
        (NeedsLines(quantity_min=3_000), None, {}),
        (
            NeedsLines(quantity_min=5_000),
            "quantity_missing",
            {"have": 3_500, "need": 5_000, "missing": 1_500},
        ),
        (NeedsLines(amount_minor_min=900), None, {}),
        (
            NeedsLines(amount_minor_min=1_000),
            "amount_missing",
            {"have": 900, "need": 1_000, "missing": 100},
        ),
        (NeedsLines(distinct_min=2), None, {}),
        (NeedsLines(distinct_min=3), "distinct_missing", {"have": 2, "need": 3, "missing": 1}),
        (
            NeedsLines(match=having("sku", "soap"), amount_minor_min=500),
            "amount_missing",
            {"have": 300, "need": 500, "missing": 200},
        ),
        (
            NeedsLines(quantity_min=4_000, amount_minor_min=5_000),
            "quantity_missing",
            {"have": 3_500, "need": 4_000, "missing": 500},
        ),
    ],
)
def test_what_is_missing_is_told_in_figures(
    need: NeedsLines, code: str | None, figures: dict[str, int]
) -> None:
    bought = basket(
        line("1", "milk", pieces=1, gross_minor=200),
        line("2", "milk", pieces=2, gross_minor=400),
        line("3", "soap", quantity=500, by_weight=True, gross_minor=300),
    )
    found = stops(offer(needs=need), bought=bought)
    assert (found and found.code) == code
    assert (found.figures if found else {}) == figures
