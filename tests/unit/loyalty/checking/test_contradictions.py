"""What is called impossible never happens, and what is plainly impossible is called so."""

import pytest

from loyalty.checking.contradictions import line_can_match, needs_can_hold, skus_confined
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
)
from tests.support.builders import having

GROUPS = {"dairy": ("milk", "cheese"), "fresh": ("cheese", "fish"), "none": ()}
MILK = having("sku", "milk")


def both(*parts: LineMatch) -> AllOf:
    return AllOf(of=parts)


def no(*parts: LineMatch) -> NoneOf:
    return NoneOf(of=parts)


def beneath(*nodes: str) -> Attribute:
    return Attribute(name="category", beneath=nodes)


def number(name: str, at_least: int, at_most: int) -> NumberRange:
    return NumberRange(name=name, at_least=at_least, at_most=at_most)


IMPOSSIBLE: dict[str, LineMatch] = {
    "nothing of nothing": AnyOf(of=()),
    "none of everything": no(EveryLine()),
    "two values": both(having("size", "L"), having("size", "M")),
    "a value and not it": both(having("size", "L"), no(having("size", "L"))),
    "all values barred": both(
        having("size", "L", "M"), no(having("size", "L")), no(having("size", prefix="M"))
    ),
    "a value without the prefix": both(having("sku", "milk"), having("sku", prefix="che")),
    "two prefixes": both(having("sku", prefix="a1"), having("sku", prefix="a2")),
    "a prefix within a barred one": both(having("sku", prefix="a1"), no(having("sku", prefix="a"))),
    "two branches": both(beneath("food/dairy"), beneath("food/bread")),
    "a branch within a barred one": both(beneath("food/dairy"), no(beneath("food"))),
    "a branch without the prefix": both(beneath("food"), having("category", prefix="f/")),
    "a group barred": both(having("group", "dairy"), no(having("group", "dairy", "fresh"))),
    "every way barred": both(
        AnyOf(of=(having("size", "L"), having("brand", "x"))),
        no(having("size", "L")),
        no(having("brand", "x")),
    ),
    "ranges apart": both(number("gross_minor", 1, 5), number("gross_minor", 6, 9)),
    "a range barred": both(
        number("gross_minor", 3, 4), no(number("gross_minor", 1, 3), number("gross_minor", 4, 9))
    ),
    "less than nothing": number("gross_minor", -5, -1),
    "a quantity of none": number("quantity", 0, 0),
    "a value outside the range": both(having("proof", "40"), number("proof", 41, 99)),
    "a word in a range": both(having("proof", "strong"), number("proof", 0, 99)),
    "named ranges apart": both(number("proof", 0, 5), number("proof", 6, 9)),
    "deep down": both(
        EveryLine(), AnyOf(of=(both(having("size", "L"), having("size", "M")), no(EveryLine())))
    ),
}

POSSIBLE: dict[str, LineMatch] = {
    "everything": EveryLine(),
    "everything of nothing": both(),
    "none of nothing": no(),
    "no value": no(having("size", "L"), having("size", prefix="M")),
    "longer and longer": both(
        having("sku", prefix="a"), having("sku", prefix="ab"), no(having("sku", "ab"))
    ),
    "the node itself": both(beneath("food"), no(having("category", prefix="food/"))),
    "below the node": both(beneath("food"), no(having("category", "food"))),
    "a branch of a branch": both(
        beneath("food", "home"), beneath("food/dairy"), no(beneath("food/bread"))
    ),
    "no branch, but beside it": both(having("category", prefix="food"), no(beneath("food"))),
    "two groups": both(having("group", "dairy"), having("group", "fresh")),
    "a group of several": both(having("group", "dairy", "fresh"), no(having("group", "dairy"))),
    "two values of two attributes": both(having("size", "L"), having("brand", "L")),
    "the bounds of a range": both(number("quantity", 1, 1_000), no(number("quantity", 1, 999))),
    "between two barred ranges": both(
        no(number("gross_minor", 0, 4), number("gross_minor", 6, 10**12))
    ),
    "a value in a range": both(having("proof", "40", "38"), number("proof", 39, 99)),
    "no number": no(number("proof", -(10**12), 10**12)),
    "an attribute called like a number": both(having("quantity", "many"), number("quantity", 5, 5)),
    "one of two ways": both(
        AnyOf(of=(having("size", "L"), having("size", "M"))), no(having("size", "L"))
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_lines_that_contradict_themselves(name: str) -> None:
    assert not line_can_match(IMPOSSIBLE[name])


@pytest.mark.parametrize("name", POSSIBLE)
def test_lines_that_do_not(name: str) -> None:
    assert line_can_match(POSSIBLE[name])


def test_a_tree_too_large_to_decide_is_called_possible() -> None:
    closed = AnyOf(of=tuple(both(having("size", "L"), having("size", "M")) for _ in range(3)))
    ways = tuple(AnyOf(of=(having(f"n{at}", "a"), having(f"n{at}", "b"))) for at in range(20))
    assert not line_can_match(both(closed, *ways[:5]))
    assert line_can_match(both(closed, *ways)), "a million ways are not walked"
    wide = tuple(AnyOf(of=(having(f"n{at}", "a"), having(f"n{at}", "b"))) for at in range(1_900))
    assert line_can_match(both(*wide))


def code(*values: str, prefix: str = "") -> NeedsCode:
    return NeedsCode(one_of=values, prefix=prefix)


def none(*parts: Need) -> NeedsNone:
    return NeedsNone(of=parts)


def every(*parts: Need) -> NeedsAll:
    return NeedsAll(of=parts)


def spend(amount_minor: int, match: LineMatch | None = None, basis: str = "gross") -> NeedsLines:
    return NeedsLines(match=match or EveryLine(), amount_minor_min=amount_minor, basis=basis)  # type: ignore[arg-type]


def pieces(count: int, match: LineMatch | None = None) -> NeedsLines:
    return NeedsLines(match=match or EveryLine(), quantity_min=count * 1_000)


NEVER: dict[str, Need] = {
    "not at all": none(every()),
    "not nothing": none(NeedsLines()),
    "a code and not it": every(code("A"), none(code("A", "B"))),
    "a code whose prefix is barred": every(code("AB"), none(code(prefix="A"))),
    "a prefix within a barred one": every(code(prefix="AB"), none(code(prefix="A"))),
    "two tenders": every(NeedsTender(one_of=("card",)), NeedsTender(one_of=("cash",))),
    "a tender and not it": every(
        NeedsTender(one_of=("card",)), none(NeedsTender(one_of=("card",)))
    ),
    "lines that cannot be": pieces(1, AnyOf(of=())),
    "much and little": every(spend(10), none(spend(10))),
    "much of something and little of all": every(spend(10, MILK), none(spend(5))),
    "some of nothing": every(pieces(2, MILK), none(NeedsLines(match=MILK, distinct_min=1))),
    "goods of an empty group": pieces(1, having("group", "none")),
    "three of two": NeedsLines(match=having("group", "dairy"), distinct_min=3),
    "two of one": NeedsLines(
        match=both(having("group", "dairy"), having("group", "fresh")), distinct_min=2
    ),
    "three of either": NeedsLines(match=AnyOf(of=(MILK, having("sku", "fish"))), distinct_min=3),
    "neither way": NeedsAny(of=(every(code("A"), none(code("A"))), pieces(1, AnyOf(of=())))),
}

SOMETIMES: dict[str, Need] = {
    "always": every(),
    "a code and not another": every(code("A"), none(code("B"))),
    "one of two codes": every(code("A", "B"), none(code("A"))),
    "a prefix but not the code": every(code(prefix="A"), none(code("A"))),
    "two codes": every(code("A"), code("B")),
    "one of two tenders": every(
        NeedsTender(one_of=("card", "cash")), none(NeedsTender(one_of=("cash",)))
    ),
    "no tender": none(NeedsTender(one_of=("card",))),
    "little and not much": every(spend(5), none(spend(10))),
    "much of all and little of something": every(spend(10), none(spend(5, MILK))),
    "much at first and little that is left": every(spend(10), none(spend(5, basis="running"))),
    "two of two": NeedsLines(match=having("group", "dairy"), distinct_min=2),
    "few pieces of many": every(pieces(5), none(NeedsLines(distinct_min=2))),
    "a bit of something": every(spend(1, MILK), none(pieces(1, MILK))),
    "one way": NeedsAny(of=(pieces(1, AnyOf(of=())), code("A"))),
}


@pytest.mark.parametrize("name", NEVER)
def test_needs_that_never_hold(name: str) -> None:
    assert not needs_can_hold([NEVER[name]], (), GROUPS)


@pytest.mark.parametrize("name", SOMETIMES)
def test_needs_that_may_hold(name: str) -> None:
    assert needs_can_hold([SOMETIMES[name]], (), GROUPS)


def test_the_offers_own_lines_are_there() -> None:
    nothing_but_cheese = none(NeedsLines(match=MILK, quantity_min=1))
    assert needs_can_hold([nothing_but_cheese], (having("sku", "cheese"),), GROUPS)
    assert not needs_can_hold([nothing_but_cheese], (MILK,), GROUPS)


def test_the_needs_of_two_offers_are_held_against_each_other() -> None:
    card, cash = NeedsTender(one_of=("card",)), NeedsTender(one_of=("cash",))
    assert needs_can_hold([card, every(card, code("A"))], (), GROUPS)
    assert not needs_can_hold([card, every(cash, code("A"))], (), GROUPS)


@pytest.mark.parametrize(
    ("match", "skus"),
    [
        (EveryLine(), None),
        (having("brand", "x"), None),
        (having("sku", prefix="m"), None),
        (MILK, {"milk"}),
        (having("group", "dairy", "fresh"), {"milk", "cheese", "fish"}),
        (
            both(having("group", "dairy"), having("group", "fresh"), having("brand", "x")),
            {"cheese"},
        ),
        (AnyOf(of=(MILK, having("group", "fresh"))), {"milk", "cheese", "fish"}),
        (AnyOf(of=(MILK, having("brand", "x"))), None),
        (no(MILK), None),
        (having("group", "none"), set()),
    ],
)
def test_the_skus_a_match_is_confined_to(match: LineMatch, skus: set[str] | None) -> None:
    assert skus_confined(match, GROUPS) == skus
