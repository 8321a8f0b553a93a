"""The protocol keeps its promises in every story of small worlds, and without any rule it fails."""

import pytest

from tests.model.checker import check
from tests.model.protocol import NAIVE, Size
from tests.model.worlds import NAIVE_WORLDS, SOUND

STATES_MAX = 200_000


@pytest.mark.parametrize("name", SOUND)
def test_every_story_keeps_every_promise(name: str) -> None:
    verdict = check(SOUND[name], states_max=STATES_MAX)
    assert verdict.broken == "", "\n".join(verdict.story)
    assert verdict.is_whole
    assert verdict.states > 100


@pytest.mark.parametrize("name", NAIVE)
def test_without_one_rule_some_story_breaks_a_promise(name: str) -> None:
    verdict = check(NAIVE_WORLDS.get(name, Size(naive=frozenset({name}))), states_max=STATES_MAX)
    assert verdict.broken, f"{name}, {NAIVE[name]}: not found in {verdict.states} states"
    assert len(verdict.story) > 1


def test_the_bound_after_an_unnoticed_restore_cannot_be_smaller() -> None:
    size = Size(grants=1, restores=1, unnoticed=True, slack_less=1)
    assert "I1" in check(size, states_max=STATES_MAX).broken
