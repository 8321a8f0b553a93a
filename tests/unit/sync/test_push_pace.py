"""A push is as large as the line lets through."""

from sync.limits import BATCH_BYTES_MAX
from sync.push_pace import BYTES_MIN, PushPace


def test_it_begins_with_the_largest_batch() -> None:
    assert PushPace().begin() == BATCH_BYTES_MAX


def test_an_unanswered_push_makes_the_next_one_smaller_down_to_a_floor() -> None:
    pace = PushPace()
    sizes = [pace.begin() for _ in range(6)]
    assert sizes[:3] == [BATCH_BYTES_MAX, BATCH_BYTES_MAX // 8, BATCH_BYTES_MAX // 64]
    assert sizes[-1] == BYTES_MIN


def test_answered_pushes_make_it_grow_back() -> None:
    pace = PushPace()
    for _ in range(4):
        pace.begin()
    seen = []
    for _ in range(12):
        seen.append(size := pace.begin())
        pace.end(size)
    assert seen == sorted(seen)
    assert seen[-1] == BATCH_BYTES_MAX


def test_short_pushes_do_not_make_it_grow() -> None:
    pace = PushPace()
    for _ in range(4):
        pace.begin()
    for _ in range(20):
        pace.begin()
        pace.end(600)
    assert pace.begin() == BYTES_MIN


def test_nothing_to_push_is_no_failure() -> None:
    pace = PushPace()
    for _ in range(5):
        pace.begin()
        pace.end(0)
    assert pace.begin() == BATCH_BYTES_MAX
