"""A partner's points go back with the goods they were given for, all of them with the last."""

from typing import Any

import pytest

from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.handing_back import Basis, ForPartner, bases, for_partners, handed_back
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.offers import Offer, PartnerPoints
from tests.support import builders
from tests.support.builders import having, line, offer, percent

TEA = having("sku", "tea")
LINES = (line("1", "milk", gross_minor=999), line("2", "tea", pieces=3, gross_minor=1_000))


def air(points: int = 7, per_minor: int = 100, **changes: Any) -> Offer:  # noqa: ANN401
    return offer("air", PartnerPoints(partner="air", points=points, per_minor=per_minor), **changes)


def sold(*offers: Offer) -> tuple[Calculation, dict[str, Basis]]:
    """Return a receipt of milk and three teas, and what its offers count by."""
    rules = builders.rules(*offers)
    basket, moment, place = builders.basket(*LINES), builders.moment(), builders.place()
    printed = calculate(
        basket, rules, moment=moment, place=place, account=builders.account()
    )  # fmt: skip
    return printed, bases(
        basket, rules, moment=moment, place=place, account=builders.account()
    )  # fmt: skip


def back(
    printed: Calculation, known: dict[str, Basis], before: dict[str, int], after: dict[str, int]
) -> int:
    """Return the points that go back between two states, in pieces by line."""
    states = (
        {line_id: pieces * UNIT_THOUSANDTHS for line_id, pieces in state.items()}
        for state in (before, after)
    )
    return sum(each.points for each in handed_back(printed, known, *states))


def test_points_are_counted_by_the_lines_of_the_offer_and_what_was_paid_for_them() -> None:
    printed, known = sold(air(lines=TEA), offer("half", percent(50), lines=TEA))
    assert for_partners(printed) == (ForPartner(offer_id="air", partner="air", points=35),)
    assert known == {"air": Basis(frozenset({"2"}), 7, 100)}
    assert back(printed, known, {}, {"1": 1}) == 0
    assert back(printed, known, {}, {"2": 3}) == 35


def test_what_stays_keeps_what_the_offer_gives_for_it_rounded_as_at_the_till() -> None:
    printed, known = sold(air(points=1, per_minor=300, lines=TEA))
    assert [each.points for each in for_partners(printed)] == [3]
    assert back(printed, known, {}, {"2": 1}) == 1  # 6.66 stays: two points
    assert back(printed, known, {"2": 1}, {"2": 2}) == 1
    assert back(printed, known, {"2": 2}, {"2": 3}) == 1


@pytest.mark.parametrize("points", range(1, 9))
@pytest.mark.parametrize("is_known", [True, False])
def test_parts_in_any_order_add_up_to_the_whole(points: int, *, is_known: bool) -> None:
    printed, known = sold(air(points=points, per_minor=97))
    (given,) = for_partners(printed)
    for order in ("1222", "2122", "2212", "2221"):
        state: dict[str, int] = {}
        total = 0
        for line_id in order:
            after = {**state, line_id: state.get(line_id, 0) + 1}
            part = back(printed, known if is_known else {}, state, after)
            assert part >= 0
            total += part
            state = after
        assert total == given.points


def test_where_the_rules_say_otherwise_than_the_receipt_all_its_money_counts() -> None:
    printed, known = sold(air(points=1, per_minor=10))
    assert [each.points for each in for_partners(printed)] == [199]
    other = {"air": Basis(known["air"].lines, 2, 10)}
    assert back(printed, other, {}, {"1": 1}) == 199 - 199 * 1_000 // 1_999


def test_a_receipt_without_such_an_offer_gives_nothing_back() -> None:
    printed, known = sold(offer("half", percent(50)))
    assert (for_partners(printed), known) == ((), {})
    assert back(printed, known, {}, {"1": 1, "2": 3}) == 0
