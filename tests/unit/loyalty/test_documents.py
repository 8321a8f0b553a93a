"""JSON to documents and back: nothing unclear gets in, and what is wrong is named by its path."""

import json

import pytest

from loyalty.account import AccountSnapshot, SpendRight
from loyalty.basket import Basket, BasketLine, Moment
from loyalty.bundle import Bundle, Product
from loyalty.calculate import calculate
from loyalty.calculation import Calculation, Reason
from loyalty.canonical import canonical_bytes
from loyalty.documents import decode, encode
from loyalty.errors import DocumentError
from loyalty.limits import CONDITION_DEPTH_MAX
from loyalty.offers import (
    AllOf,
    AmountOff,
    AnyOf,
    CardPrice,
    Limits,
    LotTerms,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NoneOf,
    Offer,
    PointsPerItem,
    PointsPerMoney,
    UnitPrice,
    When,
    Where,
    Who,
)
from tests.support.builders import (
    account,
    basket,
    bundle,
    combines,
    having,
    line,
    lot,
    moment,
    offer,
    percent,
    place,
    right,
    rules,
)

LINE = {"line_id": "1", "sku": "milk", "quantity": 1000, "gross_minor": 100}
OFFER = {"offer_id": "o", "gives": {"kind": "percent", "rate_ppm": 1}}


def wrong(kind: type[object], document: object) -> DocumentError:
    """Return the error that decoding ends with."""
    with pytest.raises(DocumentError) as caught:
        decode(kind, document)
    return caught.value


def test_a_bad_value_names_its_path_and_what_is_wrong() -> None:
    error = wrong(Basket, {"lines": [LINE, {**LINE, "line_id": "2", "quantity": -5}]})
    assert error.path == "$.lines[1]"
    assert "quantity of line '2' must be 1 to" in error.problem
    assert str(error) == f"{error.path}: {error.problem}"


def test_the_path_begins_where_the_caller_says() -> None:
    with pytest.raises(DocumentError, match=r"^basket\.lines: is missing"):
        decode(Basket, {}, "basket")


def test_an_unknown_field_is_refused_and_the_known_ones_are_named() -> None:
    error = wrong(BasketLine, {**LINE, "price": 5})
    assert error.path == "$.price"
    assert "is not a field here; known: attributes, brand, by_weight" in error.problem


def test_a_missing_field_is_named() -> None:
    error = wrong(BasketLine, {"line_id": "1", "sku": "milk", "quantity": 1000})
    assert (error.path, error.problem) == ("$.gross_minor", "is missing")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.0, "a number with a fraction"),
        ("1000", "a text"),
        (True, "true or false"),
        (None, "null"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_only_an_integer_is_an_integer(value: object, said: str) -> None:
    error = wrong(BasketLine, {**LINE, "quantity": value})
    assert (error.path, error.problem) == ("$.quantity", f"must be an integer, not {said}")


def test_a_number_is_not_true_or_false() -> None:
    error = wrong(BasketLine, {**LINE, "by_weight": 1})
    assert (error.path, error.problem) == ("$.by_weight", "must be true or false, not an integer")


@pytest.mark.parametrize("document", [None, 5, "x", [], [LINE]])
def test_what_is_not_an_object_is_refused(document: object) -> None:
    assert wrong(BasketLine, document).path == "$"


def test_an_object_is_not_a_list() -> None:
    assert wrong(Basket, {"lines": {}}).problem == "must be a list, not an object"


def test_a_pair_has_two_items() -> None:
    error = wrong(When, {"hours": [["09:00"]]})
    assert (error.path, error.problem) == ("$.hours[0]", "must have 2 items, not 1")


def test_a_value_outside_the_choices_names_them() -> None:
    error = wrong(Product, {"barred": ["discount", "taxes"]})
    assert (error.path, error.problem) == (
        "$.barred[1]",
        "must be one of discount, redeem, earn",
    )


@pytest.mark.parametrize("kind", [None, 5, "magic", ["percent"], {}])
def test_an_unknown_kind_names_the_known_ones(kind: object) -> None:
    error = wrong(Offer, {"offer_id": "o", "gives": {"kind": kind, "rate_ppm": 1}})
    assert error.path == "$.gives.kind"
    assert "n_for_m, partner_points, percent, " in error.problem


def test_a_kind_where_another_is_due_is_refused() -> None:
    assert wrong(Bundle, {"kind": "receipt", "version": 1}).path == "$.kind"


def test_a_value_in_an_object_of_any_names_is_named_by_its_key() -> None:
    document = {**OFFER, "gives": {"kind": "card_price", "prices": {"milk": {"amount_minor": -1}}}}
    assert wrong(Offer, document).path == "$.gives.prices.milk"


def nested(depth: int) -> object:
    """Return a match of `depth` levels."""
    match: object = {"kind": "every"}
    for _ in range(depth - 1):
        match = {"kind": "all", "of": [match]}
    return match


def test_conditions_nest_as_deep_as_the_limit_says() -> None:
    found = decode(Offer, {**OFFER, "lines": nested(CONDITION_DEPTH_MAX)})
    assert encode(found.lines) == nested(CONDITION_DEPTH_MAX)


@pytest.mark.parametrize("depth", [CONDITION_DEPTH_MAX + 1, 5_000])
def test_conditions_nested_deeper_are_refused(depth: int) -> None:
    error = wrong(Offer, {**OFFER, "lines": nested(depth)})
    assert error.problem == f"is nested deeper than {CONDITION_DEPTH_MAX}"
    assert error.path.startswith("$.lines.of[0].of[0]")


FULL_OFFER = offer(
    "full",
    PointsPerMoney(points=1, per_minor=100, lot=LotTerms(name="bonus", restriction="dairy")),
    title={"en": "Dairy day", "ru": "День молока"},
    priority=5,
    when=When(
        starts="2025-01-01", until="2025-02-01T12:00:00", weekdays=(1,), hours=(("09:00", "24:00"),)
    ),
    where=Where(stores=("s",), regions=("r",), banners=("b",), tills=("t",), channels=("till",)),
    who=Who(identified=True, tiers=("gold",), segments=("x",), birthday=True),
    lines=AllOf(
        of=(having("group", "dairy"), AnyOf(of=(having("brand", prefix="A"),)), NoneOf(of=()))
    ),
    needs=NeedsAll(
        of=(
            NeedsLines(quantity_min=1, amount_minor_min=2, distinct_min=3),
            NeedsAny(of=(NeedsCode(one_of=("C",)), NeedsTender(one_of=("card",)))),
            NeedsNone(of=(NeedsCode(one_of=("D",)),)),
        )
    ),
    combines=combines("g", mode="first", order=1, base="initial", on_reduced=False),
    limits=Limits(points_max=9),
)

DOCUMENTS = [
    basket(
        line("1", attributes={"size": "L"}), line("2", by_weight=True, quantity=532), codes=["C"]
    ),
    account(tier="gold", segments=["a"], points=5, counters={"o": 1}),
    right(300, lot(1, 100), lot(2, 50, expires_on="2025-01-01", restriction="dairy")),
    moment(),
    bundle(
        FULL_OFFER,
        offer("price", CardPrice(prices={"milk": UnitPrice(amount_minor=500, per_quantity=3000)})),
        offer("amount", AmountOff(amount_minor=5), discount_minor_max=3),
        offer("items", PointsPerItem(points=2)),
        offer("percent", percent(15)),
        catalogue={"milk": Product(brand="A", floor_minor_per_unit=3, barred=("earn",))},
        groups={"dairy": ("milk",)},
    ),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
def test_what_is_encoded_is_decoded_to_the_same(document: object) -> None:
    through_json = json.loads(json.dumps(encode(document)))
    assert decode(type(document), through_json) == document


def test_fields_at_their_default_are_left_out() -> None:
    assert encode(AccountSnapshot()) == {}
    assert encode(SpendRight(points=5)) == {"points": 5}


def test_a_calculation_comes_back_from_its_own_bytes() -> None:
    result = calculate(
        basket(),
        rules(
            offer(needs=NeedsLines(quantity_min=5_000)),
            offer("points", PointsPerItem(points=3)),
            offer("evening", when=When(hours=(("18:00", "20:00"),))),
        ),
        moment=moment(),
        place=place(),
    )
    again = decode(Calculation, json.loads(canonical_bytes(result)))
    assert canonical_bytes(again) == canonical_bytes(result)


@pytest.mark.parametrize("figure", [1.5, None, True, []])
def test_a_figure_is_an_integer_or_a_text(figure: object) -> None:
    error = wrong(Reason, {"offer_id": "o", "code": "applied", "figures": {"points": figure}})
    assert error.path == "$.figures.points"
    assert error.problem.startswith("must be an integer or a text, not ")


def test_a_bad_moment_is_named() -> None:
    assert wrong(Moment, {"local": "yesterday"}).path == "$"
