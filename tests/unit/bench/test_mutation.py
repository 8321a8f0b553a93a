"""Mutation testing makes the mistakes it says, each of them one small change."""

import ast
from pathlib import Path

from bench.mutation import difference, drawn, mutants_of

SOURCE = b'''"""Text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    size: int = 3


def least(box: Box, room: int) -> int:
    assert room >= 0
    if room < box.size and not box.size == 5:
        raise ValueError(f"only {room + 1}")
    return min(room - 1, -box.size)
'''


def changes() -> set[tuple[str, str]]:
    """Return kind and new text of every mutant of the source."""
    return {(one.kind, one.text) for one in mutants_of(Path("box.py"), SOURCE)}


def test_every_usual_mistake_is_made() -> None:
    assert {
        ("constant", "4"),
        ("constant", "(2)"),
        ("comparison", "(room <= box.size)"),
        ("comparison", "(box.size != 5)"),
        ("and/or", "(room < box.size or not box.size == 5)"),
        ("not/minus removed", "(box.size == 5)"),
        ("not/minus removed", "(box.size)"),
        ("arithmetic", "(room + 1)"),
        ("min/max, any/all", "max"),
        ("statement removed", "pass"),
        ("result emptied", "0"),
        ("condition negated", "not (room < box.size and (not box.size == 5))"),
    } <= changes()


def test_what_only_checks_prints_or_decorates_is_left_alone() -> None:
    lines = {one.line for one in mutants_of(Path("box.py"), SOURCE)}
    assert lines == {8, 13, 14, 15}


def test_every_mutant_is_another_program_that_can_be_read() -> None:
    sound = ast.dump(ast.parse(SOURCE))
    for one in mutants_of(Path("box.py"), SOURCE):
        assert ast.dump(ast.parse(one.applied(SOURCE))) != sound, difference(one, SOURCE)


def test_equal_seeds_draw_equal_mutants() -> None:
    sources = {"loyalty/box.py": SOURCE}
    first, total = drawn(sources, modules=[], count=5, seed=4)
    again, _ = drawn(sources, modules=[], count=5, seed=4)
    other, _ = drawn(sources, modules=[], count=5, seed=5)
    everything, _ = drawn(sources, modules=["box"], count=0, seed=4)
    assert first == again
    assert first != other
    assert (len(first), len(everything)) == (5, total)
