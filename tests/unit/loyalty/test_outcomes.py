"""Names of outcomes and reasons are promises to everybody who stored them."""

from loyalty.outcomes import Outcome
from loyalty.reasons import HINTS, ReasonCode


def test_only_what_time_may_heal_is_transient() -> None:
    assert {outcome for outcome in Outcome if outcome.is_transient} == {
        Outcome.PARKED,
        Outcome.RULES_MISSING,
        Outcome.JOURNAL_UNAVAILABLE,
        Outcome.POINTS_HELD_ELSEWHERE,
    }


def test_a_name_on_the_wire_is_the_name_in_the_code() -> None:
    for name in (*Outcome, *ReasonCode):
        assert name.value == name.name.lower()


def test_hints_are_reasons() -> None:
    assert set(ReasonCode) > HINTS
