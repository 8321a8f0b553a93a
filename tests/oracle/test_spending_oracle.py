"""How lots are spent against every way to spend them, with more kinds than receipts are drawn with.

A way is feasible when the points of any kinds together are worth no more than the room of all
classes they reach (Hall's condition).
"""

import random
from collections.abc import Sequence
from itertools import chain, combinations

from loyalty.spending import Flow, Purse, spend

TASKS_PER_SEED = 250
ENDLESS = 10**9


def task(rng: random.Random) -> tuple[list[int], list[int], list[Purse], int, int, int]:
    """Return reach by kind, room by class, purses, points wanted, worth of a point and parts."""
    classes, kinds = rng.randint(3, 6), rng.randint(3, 6)
    parts, worth = rng.choice((1, 1, 1, 2, 3)), rng.choice((1, 7, 10, 10))
    # A little less room than points are worth, so that it matters whose points do not fit.
    rooms = [
        max(0, rng.randint(1, 2) * worth // parts - rng.choice((0, 1, 1, worth // 2)))
        for _ in range(classes)
    ]
    if rng.random() < 0.7:
        # Around the first class, which some have for themselves.
        reach = [1 | 1 << rng.randrange(classes) for _ in range(kinds)]
    else:
        reach = [
            sum(1 << at for at in rng.sample(range(classes), rng.randint(1, 3)))
            for _ in range(kinds)
        ]
    purses = [Purse(kind, rng.randint(1, 2)) for kind in range(kinds)]
    purses += [Purse(rng.randrange(kinds), 1) for _ in range(rng.randint(0, 1))]
    wanted = rng.choice((99, 99, rng.randint(1, sum(purse.points for purse in purses))))
    return reach, rooms, purses, wanted, worth, parts


def flow_of(reach: Sequence[int], rooms: Sequence[int], parts: int) -> Flow:
    """Return the empty flow; parts of a minor unit add up over all kinds."""
    together = 1 << len(rooms)
    return Flow([mask | together for mask in reach], [*(room * parts for room in rooms), parts - 1])


def best(
    reach: Sequence[int],
    rooms: Sequence[int],
    purses: Sequence[Purse],
    wanted: int,
    worth: int,
    parts: int,
) -> tuple[int, tuple[int, ...]]:
    """Return the most points, and of all ways to spend them what the first purses give at most."""
    kinds = range(len(reach))
    most: list[tuple[tuple[int, ...], int]] = []
    for some in chain.from_iterable(combinations(kinds, size) for size in range(1, len(reach) + 1)):
        room = sum(
            room for at, room in enumerate(rooms) if any(reach[kind] >> at & 1 for kind in some)
        )
        most.append((some, ((room + 1) * parts - 1) // worth))
    found: tuple[int, tuple[int, ...]] = (0, ())
    given = [0] * len(reach)

    def go_on(taken: tuple[int, ...]) -> None:
        nonlocal found
        if len(taken) == len(purses):
            found = max(found, (sum(taken), taken))
            return
        rest = purses[len(taken) :]
        if sum(taken) + sum(purse.points for purse in rest) < found[0]:
            return
        for points in range(min(rest[0].points, wanted - sum(taken)), -1, -1):
            given[rest[0].kind] += points
            if all(sum(given[kind] for kind in some) <= limit for some, limit in most):
                go_on((*taken, points))
            given[rest[0].kind] -= points

    go_on(())
    return found


def test_no_other_way_spends_more_points_or_more_of_the_first_purses(seed: int) -> None:
    rng = random.Random(seed)
    for number in range(TASKS_PER_SEED):
        reach, rooms, purses, wanted, worth, parts = task(rng)
        flow = flow_of(reach, rooms, parts)
        found = spend(purses, flow, wanted=wanted, worth=worth, work_max=ENDLESS)
        points = tuple(found.points)
        assert (sum(points), points) == best(reach, rooms, purses, wanted, worth, parts), number
        assert found.proven


def test_where_the_budget_ends_less_may_be_spent_and_it_says_so(seed: int) -> None:
    rng = random.Random(seed)
    for number in range(TASKS_PER_SEED):
        reach, rooms, purses, wanted, worth, parts = task(rng)
        flow = flow_of(reach, rooms, parts)
        found = spend(purses, flow, wanted=wanted, worth=worth, work_max=rng.randint(0, 60))
        points = tuple(found.points)
        total, order = best(reach, rooms, purses, wanted, worth, parts)
        assert sum(points) <= total, number
        assert not found.proven or points == order, number
