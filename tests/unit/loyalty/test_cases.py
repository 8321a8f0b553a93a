"""A receipt as one document: short forms mean the same as long ones, paths are as written."""

from dataclasses import replace

import pytest

from loyalty.account import (
    NO_ALLOWANCE,
    NO_REDEMPTION,
    NO_RIGHT,
    NOBODY,
    Allowance,
    LotPart,
    RedeemRequest,
    SpendRight,
)
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.cases import Case, read_case
from loyalty.errors import DocumentError
from loyalty.limits import BASKET_CODES_MAX, BASKET_LINES_MAX, POINTS_MAX
from tests.support.builders import account

LINE = {"line_id": "1", "sku": "milk", "quantity": 1000, "gross_minor": 100}
SHORT = {"moment": "2025-03-05T12:00:00", "place": "367", "basket": [LINE]}
LONG = {
    "id": "",
    "moment": {"local": "2025-03-05T12:00:00"},
    "place": {"store": "367"},
    "basket": {"lines": [LINE]},
    "codes": [],
    "redeem": {},
}


def wrong(**changes: object) -> tuple[str, str]:
    """Return path and problem of a case with these changes."""
    with pytest.raises(DocumentError) as caught:
        read_case({**SHORT, **changes})
    return caught.value.path, caught.value.problem


def test_short_forms_mean_what_the_long_ones_say() -> None:
    expected = Case(
        basket=Basket(lines=(BasketLine(line_id="1", sku="milk", quantity=1000, gross_minor=100),)),
        moment=Moment(local="2025-03-05T12:00:00"),
        place=Place(store="367"),
    )
    assert read_case(SHORT) == read_case(LONG) == expected
    assert (expected.account, expected.request, expected.right) == (NOBODY, NO_REDEMPTION, NO_RIGHT)


def test_long_forms_say_more() -> None:
    found = read_case(
        {
            "id": 17,
            "moment": {"local": "2025-03-05T12:00:00", "uncertainty_s": 3},
            "place": {"store": "367", "region": "north"},
            "basket": {"lines": [LINE], "codes": ["A"], "tender": "card"},
            "codes": ["B", "A"],
            "redeem": {"points": 7},
        }
    )
    assert found.case_id == 17
    assert (found.moment.uncertainty_s, found.place.region) == (3, "north")
    assert (found.basket.codes, found.basket.tender) == (("A", "B", "A"), "card")
    assert found.request == RedeemRequest(points=7)


@pytest.mark.parametrize(
    ("redeem", "expected"),
    [
        (0, NO_REDEMPTION),
        (30, RedeemRequest(points=30)),
        ("max", RedeemRequest(as_many_as_possible=True)),
        ({"as_many_as_possible": True}, RedeemRequest(as_many_as_possible=True)),
    ],
)
def test_points_to_redeem_are_a_number_or_max(redeem: object, expected: RedeemRequest) -> None:
    assert read_case({**SHORT, "redeem": redeem}).request == expected


def test_an_account_is_identified_unless_it_says_otherwise() -> None:
    somebody = replace(NOBODY, identified=True, account_id=1)
    assert read_case({**SHORT, "account": {}}).account == somebody
    nobody = {"identified": False, "account_id": 0}
    assert read_case({**SHORT, "account": nobody}).account == NOBODY
    known = {"account_id": 7, "tier": "gold", "segments": ["a"], "version": 1, "points": 5}
    found = read_case({**SHORT, "account": known}).account
    assert found == account(7, tier="gold", segments=["a"], points=5)


def test_lots_may_be_spent() -> None:
    lots = [{"lot_id": 1, "points": 30}, {"lot_id": 2, "points": 5, "restriction": "dairy"}]
    parts = (LotPart(lot_id=1, points=30), LotPart(lot_id=2, points=5, restriction="dairy"))
    found = read_case({**SHORT, "account": {"lots": lots}})
    assert found.right == SpendRight(points=35, lots=parts)
    more = read_case({**SHORT, "account": {"lots": lots, "right_points": 50}})
    assert more.right == SpendRight(points=50, lots=parts)
    of_no_lot = read_case({**SHORT, "account": {"right_points": 50}})
    assert of_no_lot.right == SpendRight(points=50)


def test_a_right_covers_its_lots() -> None:
    lots = [{"lot_id": 1, "points": 30}]
    found = wrong(account={"lots": lots, "right_points": 29})
    assert found == ("$.account.right_points", "a spend right covers at least its lots")


def test_a_till_may_have_an_allowance() -> None:
    found = read_case({**SHORT, "allowances": {"campaign.uses:o": 2}, "used_codes": {"C": ""}})
    assert found.allowance == Allowance(left={"campaign.uses:o": 2}, used_codes={"C": ""})
    assert read_case(SHORT).allowance == NO_ALLOWANCE


@pytest.mark.parametrize("name", ["moment", "place", "basket"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(DocumentError, match=rf"^\$\.{name}: is missing$"):
        read_case({key: value for key, value in SHORT.items() if key != name})


@pytest.mark.parametrize("document", [None, 5, "x", [], [SHORT]])
def test_what_is_no_object_is_no_case(document: object) -> None:
    with pytest.raises(DocumentError, match=r"^\$: must be an object$"):
        read_case(document)


@pytest.mark.parametrize(
    ("name", "value", "path", "problem"),
    [
        (
            "colour",
            1,
            "$.colour",
            "is not a field here; known: account, allowances, basket, codes, id,",
        ),
        ("id", None, "$.id", "must be a text or an integer"),
        ("id", True, "$.id", "must be a text or an integer"),
        ("moment", "yesterday", "$.moment", "moment 'yesterday' is not "),
        ("moment", 5, "$.moment", "must be a text or an object"),
        ("moment", {"local": "yesterday"}, "$.moment", "moment 'yesterday' is not "),
        ("place", ["367"], "$.place", "must be a text or an object"),
        ("place", {"shop": "367"}, "$.place.shop", "is not a field here"),
        ("basket", "milk", "$.basket", "must be a list or an object"),
        ("basket", [{**LINE, "quantity": 0}], "$.basket[0]", "quantity of line '1' must be"),
        ("basket", [LINE, LINE], "$.basket", "line id '1' stands in the basket twice"),
        ("basket", {"lines": [5]}, "$.basket.lines[0]", "must be an object, not an integer"),
        ("basket", [{}] * (BASKET_LINES_MAX + 1), "$.basket[0].line_id", "is missing"),
        ("codes", "A", "$.codes", "must be a list"),
        ("codes", [5], "$.codes[0]", "must be a text, not an integer"),
        ("codes", ["A"] * (BASKET_CODES_MAX + 1), "$.codes", "a basket has at most 100 codes"),
        ("redeem", "all", "$.redeem", "must be one of max"),
        ("redeem", 1.5, "$.redeem", "must be an integer or a text or an object"),
        ("redeem", -1, "$.redeem", "points to redeem must be 0 to "),
        ("redeem", POINTS_MAX + 1, "$.redeem", "points to redeem must be 0 to "),
        ("account", None, "$.account", "must be an object"),
        ("account", {"name": "Ann"}, "$.account.name", "is not a field here"),
        ("account", {"lots": [{"points": 1}]}, "$.account.lots[0].lot_id", "is missing"),
        ("place", "x" * 201, "$.place", "a store has at most 200 characters"),
        ("codes", ["x" * 201], "$.codes", "a code has at most 200 characters"),
        ("allowances", ["a"], "$.allowances", "must be an object"),
        ("allowances", {"a": "1"}, "$.allowances.a", "must be an integer"),
        ("allowances", {"a": -1}, "$.allowances", "what is left of an allowance must be 0 to"),
        ("used_codes", {"C": 1}, "$.used_codes.C", "must be a text"),
    ],
)
def test_what_is_wrong_is_named_as_it_is_written(
    name: str, value: object, path: str, problem: str
) -> None:
    found, text = wrong(**{name: value})
    assert found == path
    assert text.startswith(problem)
