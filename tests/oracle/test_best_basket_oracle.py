"""The engine's best basket against every choice there is, on small random receipts.

`judge` plays every choice through by itself; it shares no code with the engine.
"""

import random
from collections.abc import Iterator

import pytest

from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import compile_bundle
from loyalty.limits import COMBINATION_NODES_MAX
from tests.oracle.judge import Discounts, TooManyChoicesError, Verdict, verdicts
from tests.oracle.judge_state import Case
from tests.oracle.random_cases import Draw
from tests.support.builders import moment, place

RECEIPTS_PER_SEED = 1_000
RECEIPTS_PER_TIE = 150
RECEIPTS_PER_BUDGET = 60


def engine_answer(case: Case, nodes_max: int = COMBINATION_NODES_MAX) -> Calculation:
    """Return what the engine says of a case."""
    return calculate(
        case.basket,
        compile_bundle(case.bundle, "00"),
        moment=moment(),
        place=place(),
        account=case.account,
        nodes_max=nodes_max,
    )


def said(answer: Calculation) -> Discounts:
    """Return by offer and line what the engine takes off."""
    found: dict[str, dict[int, int]] = {}
    for index, one in enumerate(answer.lines):
        for effect in one.effects:
            if effect.discount_minor:
                found.setdefault(effect.offer_id, {})[index] = effect.discount_minor
    return found


def benefit(case: Case, answer: Calculation) -> int:
    """Return what the customer has of the engine's answer, in minor units."""
    programme = case.bundle.programme
    points = answer.totals.earned_points if programme.points_in_benefit else 0
    worth = points * programme.point_value_minor // programme.point_value_points
    return answer.totals.discount_minor + worth


def judged_cases(seed: int, count: int) -> Iterator[tuple[str, Case, list[Verdict]]]:
    """Yield receipts with every verdict on them, those with too many choices left out."""
    rng = random.Random(seed)
    for number in range(count):
        case = Draw(rng).case()
        try:
            found = verdicts(case)
        except TooManyChoicesError:
            continue
        yield f"receipt {number}: {case}", case, found


def test_no_choice_serves_the_customer_better_than_the_engines(seed: int) -> None:
    unproven = 0
    for name, case, found in judged_cases(seed, RECEIPTS_PER_SEED):
        answer = engine_answer(case)
        best = max(verdict.benefit for verdict in found)
        assert answer.proven == (answer.gap_minor == 0), name
        if not answer.proven:
            # On one receipt in some thousands the budget ends: then the bound must hold.
            assert benefit(case, answer) <= best <= benefit(case, answer) + answer.gap_minor, name
            unproven += 1
            continue
        assert benefit(case, answer) == best, name
        assert said(answer) in [v.discounts for v in found if v.benefit == best], name
    assert unproven * 100 <= RECEIPTS_PER_SEED


def test_of_choices_that_serve_equally_priority_and_id_decide(seed: int) -> None:
    for name, case, found in judged_cases(seed, RECEIPTS_PER_TIE):
        answer = engine_answer(case)
        if is_cut(case, answer) or not answer.proven:
            continue
        best = max(verdict.benefit for verdict in found)
        first = min(verdict.acting for verdict in found if verdict.benefit == best)
        allowed = [v.discounts for v in found if v.benefit == best and v.acting == first]
        assert said(answer) in allowed, name


def is_cut(case: Case, answer: Calculation) -> bool:
    """Say whether a floor is reached.

    Choices that were not equal become equal there, and the engine takes the one that was better.
    """
    terms = case.bundle.programme.receipt
    least = max((offer.limits.unit_price_minor_min for offer in case.bundle.offers), default=0)
    floors = {sku: product.floor_minor_per_unit for sku, product in case.bundle.catalogue.items()}
    return any(
        (one.gross_minor - one.discount_minor) * 1_000
        <= max(terms.line_left_minor_min * 1_000, max(least, floors.get(one.sku, 0)) * one.quantity)
        for one in answer.lines
        if one.discount_minor
    )


@pytest.mark.parametrize("nodes_max", [0, 1, 3, 10])
def test_a_spent_budget_is_said_with_a_bound_that_holds(seed: int, nodes_max: int) -> None:
    for name, case, found in judged_cases(seed, RECEIPTS_PER_BUDGET):
        answer = engine_answer(case, nodes_max)
        best = max(verdict.benefit for verdict in found)
        assert said(answer) in [verdict.discounts for verdict in found], name
        assert benefit(case, answer) <= best, name
        assert best <= benefit(case, answer) + answer.gap_minor, name
        assert answer.proven == (answer.gap_minor == 0), name
