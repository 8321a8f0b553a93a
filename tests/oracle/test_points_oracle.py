"""Points earned against a judge's own count, offer by offer and line by line."""

import random
from dataclasses import replace

from loyalty.account import RedeemRequest
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import compile_bundle
from tests.oracle.judge_points import points_earned
from tests.oracle.random_cases import Draw
from tests.support.builders import moment, place, right

RECEIPTS_PER_SEED = 150


def earned(answer: Calculation) -> dict[str, dict[int, int]]:
    """Return points by offer and line."""
    found: dict[str, dict[int, int]] = {}
    for index, one in enumerate(answer.lines):
        for effect in one.effects:
            if effect.points:
                found.setdefault(effect.offer_id, {})[index] = effect.points
    return found


def test_points_are_what_the_judge_counts_on_what_was_paid(seed: int) -> None:
    draw = Draw(random.Random(seed))
    for number in range(RECEIPTS_PER_SEED):
        case = draw.case()
        offers = (
            *(offer for offer in case.bundle.offers if offer.offer_id.startswith("o")),
            *draw.points_offers(),
        )
        case = replace(case, bundle=replace(case.bundle, offers=offers))
        answer = calculate(
            case.basket,
            compile_bundle(case.bundle, "00"),
            moment=moment(),
            place=place(),
            account=case.account,
            request=RedeemRequest(points=draw.number(0, 40)),
            right=right(40),
        )
        paid = [one.paid_minor for one in answer.lines]
        discounted = [one.gross_minor - one.discount_minor for one in answer.lines]
        judged = points_earned(case, paid, discounted)
        assert earned(answer) == judged, f"receipt {number}: {case} {answer}"
        by_offer = {name: sum(by_line.values()) for name, by_line in judged.items()}
        assert {lot.offer_id: lot.points for lot in answer.earned} == by_offer
