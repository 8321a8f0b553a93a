"""What holds for every return, whatever the receipt, the terms and the way it is cut into parts."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from loyalty.calculation import CalculatedLine, Calculation
from loyalty.fiscal import fiscal_lines, fiscal_return_lines, paid_by_points_minor
from loyalty.returns import (
    ReturnCalculation,
    ReturnItem,
    ReturnMade,
    already_returned,
    calculate_return,
)
from tests.support.effort import examples
from tests.support.return_strategies import calculated_receipts, made_up_receipts

TODAY = "2025-03-06"
PARTS_MAX = 12
"""Then all that is left comes back at once: a line by weight could be cut into thousands."""


def some_of(data: st.DataObject, line: CalculatedLine, left: int) -> ReturnItem:
    """Draw a part of what is left of a line, or all of it by its name alone."""
    if data.draw(st.booleans()):
        return ReturnItem(line_id=line.line_id)
    step = 1 if line.by_weight else 1_000
    quantity = data.draw(st.integers(1, left // step)) * step
    return ReturnItem(line_id=line.line_id, quantity=quantity)


def return_all(
    sold: Calculation, data: st.DataObject, *, available_points: int | None = None
) -> list[ReturnCalculation]:
    """Return everything in parts drawn at random, each knowing of those before."""
    left = {line.line_id: line.quantity for line in sold.lines}
    by_id = {line.line_id: line for line in sold.lines}
    made: list[ReturnMade] = []
    results = []
    while left:
        if len(made) < PARTS_MAX:
            names = data.draw(st.lists(st.sampled_from(sorted(left)), min_size=1, unique=True))
            chosen = tuple(some_of(data, by_id[name], left[name]) for name in names)
        else:
            chosen = tuple(ReturnItem(line_id=name) for name in left)
        result = calculate_return(
            sold,
            chosen,
            already_returned(sold, made),
            date=TODAY,
            available_points=available_points,
        )
        assert isinstance(result, ReturnCalculation), result
        results.append(result)
        made.append(
            ReturnMade(
                key=str(len(made)),
                items=result.items,
                charged_back_minor=result.charged_back_minor,
            )
        )
        for item in result.items:
            left[item.line_id] -= item.quantity
        left = {name: quantity for name, quantity in left.items() if quantity}
    return results


def summed(amounts: Iterable[tuple[Hashable, int]]) -> Counter[Hashable]:
    """Add up amounts by name; one name may come more than once."""
    sums: Counter[Hashable] = Counter()
    for name, amount in amounts:
        sums[name] += amount
    return sums


def restored(sold: Calculation, results: list[ReturnCalculation]) -> None:
    """Assert that the parts together are the receipt."""
    assert sum(one.money_back_minor for one in results) == sold.totals.paid_minor
    assert sum(one.charged_back_minor for one in results) == 0
    back = [part for one in results for part in one.points_back]
    taken = [lot for one in results for lot in one.taken_back]
    counted = [each for one in results for each in one.counted_back]
    assert summed(((p.line_id, p.lot_id), p.points) for p in back) == summed(
        ((p.line_id, p.lot_id), p.points) for p in sold.redeemed
    )
    assert summed((each.counter, each.plus) for each in counted) == summed(
        (each.counter, each.plus) for each in sold.counted
    )
    lots = sold.earned
    if sold.terms.returns.earned == "only_pending":
        lots = tuple(lot for lot in lots if lot.active_from > TODAY)
    assert summed((lot.offer_id, lot.points) for lot in taken) == summed(
        (lot.offer_id, lot.points) for lot in lots
    )
    assert [one.completes for one in results] == [False] * (len(results) - 1) + [True]


@settings(max_examples=examples(30))
@given(calculated_receipts(), st.data())
def test_any_partition_of_a_receipt_of_the_engine_restores_exactly(
    sold: Calculation, data: st.DataObject
) -> None:
    restored(sold, return_all(sold, data))


@settings(max_examples=examples(200))
@given(made_up_receipts(), st.data())
def test_any_partition_of_a_return_restores_exactly(sold: Calculation, data: st.DataObject) -> None:
    results = return_all(sold, data)
    event(f"parts: {min(len(results), 5)}")
    event("charged back" if any(one.charged_back_minor for one in results) else "not charged")
    restored(sold, results)


@settings(max_examples=examples(150))
@given(made_up_receipts(), st.data(), st.integers(0, 300))
def test_nothing_is_ever_negative_and_money_is_all_accounted_for(
    sold: Calculation, data: st.DataObject, available_points: int
) -> None:
    handed_out = deducted = 0
    for one in return_all(sold, data, available_points=available_points):
        event("deducted" if one.deducted_minor else "not deducted")
        handed_out += one.money_back_minor
        deducted += one.deducted_minor
        assert min(one.money_back_minor, one.deducted_minor, one.deducted_points) >= 0
        assert all(part.points > 0 for part in one.points_back)
        assert all(each.points > 0 for each in one.taken_back)
        assert sum(line.money_back_minor for line in one.lines) == one.money_back_minor
        for line in one.lines:
            assert line.gross_minor == (line.discount_minor + line.redeemed_minor + line.paid_minor)
            assert min(line.discount_minor, line.redeemed_minor, line.paid_minor) >= 0
            assert min(line.money_back_minor, line.redeemed_points, line.earned_points) >= 0
    assert handed_out + deducted == sold.totals.paid_minor


@settings(max_examples=examples(150))
@given(made_up_receipts(), st.data())
def test_a_part_depends_on_nothing_but_what_came_before_and_comes_now(
    sold: Calculation, data: st.DataObject
) -> None:
    """However the earlier goods came back, the next part of them all is the same."""
    sold = replace(sold, conditions=())
    line = data.draw(st.sampled_from(sold.lines))
    step = 1 if line.by_weight else 1_000
    before = data.draw(st.integers(0, line.quantity // step - 1)) * step
    cut = data.draw(st.integers(0, before // step)) * step
    at_once = [ReturnMade(key="a", items=(ReturnItem(line_id=line.line_id, quantity=before),))]
    in_two = [
        ReturnMade(key=str(part), items=(ReturnItem(line_id=line.line_id, quantity=part),))
        for part in (cut, before - cut)
        if part
    ]
    rest = (ReturnItem(line_id=line.line_id),)
    made = at_once if before else []
    first = calculate_return(sold, rest, already_returned(sold, made), date=TODAY)
    second = calculate_return(sold, rest, already_returned(sold, in_two), date=TODAY)
    assert first == second


@settings(max_examples=examples(150))
@given(made_up_receipts(), st.data())
def test_fiscal_lines_make_the_total_in_both_modes(sold: Calculation, data: st.DataObject) -> None:
    for mode in ("discount", "tender"):
        printed = fiscal_lines(sold, mode)
        apart = paid_by_points_minor(sold.lines, mode)
        assert sum(one.amount_minor for one in printed) == sold.totals.paid_minor + apart
        names = [one.line_id for one in printed]
        assert len(set(names)) == len(names)
        weighed = {line.line_id for line in sold.lines if line.by_weight}
        quantities: Counter[str] = Counter()
        for one in printed:
            quantities[one.source_line_id] += one.quantity
            if one.source_line_id not in weighed:
                assert one.unit_price_minor * one.quantity == one.amount_minor * 1_000
        assert quantities == Counter({line.line_id: line.quantity for line in sold.lines})
        for result in return_all(sold, data):
            back = fiscal_return_lines(result, mode)
            apart = paid_by_points_minor(result.lines, mode)
            assert sum(one.amount_minor for one in back) == result.money_back_minor + apart
