"""How many points each lot gives: worked out by hand, and how much is looked at for it."""

import pytest

from loyalty.limits import SPENDING_WORK_MAX
from loyalty.spending import Flow, Purse, spend

A, B, C = 1, 2, 4
ALL = A | B | C


def test_a_kind_pays_what_its_classes_have_room_for() -> None:
    flow = Flow([A | B, C], [10, 20, 30])
    assert flow.push(0, 50) == 30
    assert flow.push(1, 7) == 7
    assert (flow.paid, flow.free) == ([{0: 10, 1: 20}, {2: 7}], [0, 0, 23])


def test_a_kind_pays_in_its_classes_by_their_room() -> None:
    flow = Flow([A | B], [10, 20])
    assert flow.push(0, 9) == 9
    assert flow.paid == [{0: 3, 1: 6}]


def test_others_move_where_that_makes_room() -> None:
    flow = Flow([A | B, B | C, A], [10, 10, 10])
    assert [flow.push(0, 10), flow.push(1, 12), flow.push(2, 8)] == [10, 12, 8]
    assert [sum(paid.values()) for paid in flow.paid] == [10, 12, 8]
    assert flow.free == [0, 0, 0]


def test_a_copy_goes_on_by_itself() -> None:
    flow = Flow([A], [10])
    other = flow.copy()
    assert (other.push(0, 4), flow.free, other.free) == (4, [10], [6])


def test_what_is_taken_back_is_free_again() -> None:
    flow = Flow([A | B], [10, 20])
    flow.push(0, 30)
    flow.take_back(0, 25)
    assert (flow.paid, flow.free) == ([{0: 5}], [5, 20])
    assert flow.push(0, 99) == 25


def test_purses_that_alternate_are_spent_in_their_order() -> None:
    purses = [Purse(0, 4), Purse(1, 4), Purse(0, 4), Purse(1, 4)]
    found = spend(purses, Flow([A | B, B | C], [5, 5, 2]), wanted=99, worth=1, work_max=99)
    assert (found.points, found.proven) == ([4, 4, 4, 0], True)


def test_a_point_that_no_line_has_room_for_is_left_out_where_others_make_two_of_it() -> None:
    """A point is worth 10. Of a and b and c with 10, 9 and 9 two kinds share a with a third."""
    purses = [Purse(0, 1), Purse(1, 1), Purse(2, 1)]
    flow = Flow([A, A | B, A | C], [10, 9, 9])
    found = spend(purses, flow, wanted=3, worth=10, work_max=1_000)
    assert (found.points, found.proven) == ([0, 1, 1], True)
    hasty = spend(purses, flow, wanted=3, worth=10, work_max=0)
    assert (sum(hasty.points), hasty.proven) == (1, False)


def test_apart_or_one_inside_the_other_no_search_is_needed() -> None:
    """Each shop's own points waste a part of one; all that general points cannot use."""
    kinds = [1 << at for at in range(20)]
    purses = [Purse(at, 5) for at in range(20)] + [Purse(20, 7)]
    flow = Flow([*kinds, (1 << 20) - 1], [19] * 20)
    found = spend(purses, flow, wanted=999, worth=10, work_max=50_000)
    assert (found.points, found.proven) == ([1] * 20 + [7], True)


@pytest.mark.parametrize("worth", [1, 10, 100, 1_000])
def test_any_lots_on_any_lines_are_spent_within_the_budget(worth: int) -> None:
    """Two hundred restrictions that overlap on two thousand lines; counted, not timed."""
    kinds, classes = 200, 2_000
    reach = [sum(1 << (at * 7 + kind * 31) % classes for at in range(60)) for kind in range(kinds)]
    flow = Flow(reach, [100 + at * 37 % 900 for at in range(classes)])
    purses = [Purse(kind, 1 + kind % 9) for kind in range(kinds)]
    found = spend(purses, flow, wanted=10**9, worth=worth, work_max=SPENDING_WORK_MAX)
    assert all(
        0 <= points <= purse.points for points, purse in zip(found.points, purses, strict=True)
    )
    assert sum(found.points) * worth <= sum(flow.free)
