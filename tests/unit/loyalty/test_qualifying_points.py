"""Points that only qualify: counted beside all others, worth nothing, back with their goods."""

from dataclasses import replace

import pytest

from loyalty.account import NOBODY, AccountSnapshot, Allowance
from loyalty.basket import BasketLine
from loyalty.bundle import Bundle
from loyalty.calculate import calculate
from loyalty.calculation import Calculation, Counted
from loyalty.checking import check_bundle
from loyalty.checking.errors import errors_of
from loyalty.checking.finding import Code
from loyalty.offers import (
    Combines,
    Limits,
    Offer,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    PointsReward,
    SharedLimit,
)
from loyalty.reasons import ReasonCode
from loyalty.returns import (
    NOTHING_RETURNED,
    ReturnCalculation,
    Returned,
    ReturnItem,
    calculate_return,
)
from loyalty.wording import say_reason
from tests.support.builders import (
    account,
    basket,
    bundle,
    line,
    moment,
    offer,
    percent,
    place,
    programme,
    rules,
)

SPEND = offer("spend", PointsPerMoney(points=1, per_minor=100))
CLIMB = offer("climb", PointsPerMoney(points=3, per_minor=100, purpose="qualify"))


def calculated(
    *offers: Offer,
    lines: tuple[BasketLine, ...] = (),
    who: AccountSnapshot | None = None,
    in_benefit: bool = False,
    allowance: Allowance | None = None,
) -> Calculation:
    """Calculate a line of 10.00, or the lines given."""
    return calculate(
        basket(*lines),
        rules(*offers, of=replace(programme(), points_in_benefit=in_benefit)),
        moment=moment(),
        place=place(),
        account=who or account(),
        allowance=allowance or Allowance(),
    )


def qualifying(result: Calculation | ReturnCalculation) -> list[tuple[str, int]]:
    """Return line and points of what qualifies."""
    counted = result.counted if isinstance(result, Calculation) else result.counted_back
    return [(one.lines[0], one.plus) for one in counted if one.counter == "qualifying"]


def came_back(result: Calculation, before: Returned, *items: ReturnItem) -> ReturnCalculation:
    """Return a return that succeeds."""
    returned = calculate_return(result, items, before, date="2025-03-06")
    assert isinstance(returned, ReturnCalculation)
    return returned


@pytest.mark.parametrize(
    ("gives", "points"),
    [
        (PointsPerMoney(points=3, per_minor=100, purpose="qualify"), 30),
        (PointsPerItem(points=7, purpose="qualify"), 7),
        (PointsPerReceipt(points=50, purpose="qualify"), 50),
    ],
)
def test_they_are_no_lot_and_no_points_of_the_receipt(gives: PointsReward, points: int) -> None:
    result = calculated(SPEND, offer("climb", gives))
    assert qualifying(result) == [("1", points)]
    assert [lot.offer_id for lot in result.earned] == ["spend"]
    assert result.totals.earned_points == 10
    assert {effect.offer_id for one in result.lines for effect in one.effects} == {"spend"}
    applied = {reason.offer_id: reason for reason in result.reasons}["climb"]
    assert (applied.code, applied.figures) == (ReasonCode.APPLIED, {"qualifying_points": points})


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Climb: plus 30 points towards the tier."), ("ru", "Climb: плюс 30 баллов к уровню.")],
)
def test_they_are_told_as_what_they_are(language: str, said: str) -> None:
    (reason,) = calculated(CLIMB).reasons
    assert say_reason(reason, "Climb", language) == said


def test_a_receipt_without_them_has_the_same_bytes_as_ever() -> None:
    assert calculated(SPEND).counted == ()


def test_offers_that_qualify_add_up_line_by_line() -> None:
    lines = (line("1", gross_minor=1_000), line("2", gross_minor=500))
    visit = offer("visit", PointsPerReceipt(points=30, purpose="qualify"))
    assert qualifying(calculated(CLIMB, visit, lines=lines)) == [("1", 50), ("2", 25)]


def test_nobody_qualifies_without_a_card() -> None:
    assert qualifying(calculated(CLIMB, who=NOBODY)) == []


def test_they_are_counted_on_what_was_paid() -> None:
    result = calculated(CLIMB, offer("half", percent(50)))
    assert qualifying(result) == [("1", 15)]


def test_they_are_no_benefit_that_the_best_basket_is_chosen_by() -> None:
    """Two offers exclude each other: 9 % off, or 5 % off and points towards the tier."""
    more = offer("more", percent(9), combines=Combines(not_with=("climb",)))
    assert calculated(more, CLIMB, in_benefit=True).totals.discount_minor == 90
    assert qualifying(calculated(more, CLIMB, in_benefit=True)) == []


def test_a_multiplier_multiplies_points_to_spend_alone() -> None:
    double = offer("double", PointsMultiplier(of=("climb",), factor_ppm=2_000_000))
    (finding,) = errors_of(bundle(CLIMB, double))
    assert (finding.code, finding.offers) == (Code.MULTIPLIER_OF_NO_POINTS, ("double", "climb"))


def test_a_group_holds_among_offers_that_qualify() -> None:
    exclusive = Combines(group="g")
    low = offer("low", PointsPerReceipt(points=5, purpose="qualify"), combines=exclusive)
    high = offer("high", PointsPerReceipt(points=9, purpose="qualify"), combines=exclusive)
    result = calculated(low, high, SPEND)
    assert (qualifying(result), result.totals.earned_points) == ([("1", 9)], 10)
    assert {reason.offer_id: reason.code for reason in result.reasons} == {
        "low": ReasonCode.LOST_TO,
        "high": ReasonCode.APPLIED,
        "spend": ReasonCode.APPLIED,
    }
    spend = offer("spend", PointsPerReceipt(points=7), combines=exclusive)
    (finding,) = errors_of(bundle(low, spend))
    assert finding.code == Code.GROUP_MIXED


def test_limits_hold_for_them() -> None:
    limits = Limits(points_max=20, campaign=SharedLimit(points_max=100))
    few = offer("few", PointsPerMoney(points=3, per_minor=100, purpose="qualify"), limits=limits)
    allowance = Allowance(left={"campaign.points:few": 12})
    result = calculated(few, allowance=allowance)
    assert result.counted == (
        Counted(counter="campaign.points:few", plus=12),
        Counted(counter="qualifying", plus=12, lines=("1",)),
    )
    assert qualifying(calculated(few)) == []


@pytest.mark.parametrize(("by_weight", "quantity"), [(False, 3_000), (True, 3_000)])
def test_goods_take_theirs_along_part_by_part(*, by_weight: bool, quantity: int) -> None:
    lines = (line("1", gross_minor=1_001, quantity=quantity, by_weight=by_weight), line("2"))
    result = calculated(CLIMB, lines=lines)
    assert sum(points for _, points in qualifying(result)) == 60
    before, gone = 0, []
    for _ in range(3):
        already = Returned(quantities={"1": before})
        gone += qualifying(came_back(result, already, ReturnItem(line_id="1", quantity=1_000)))
        before += 1_000
    first, *_ = qualifying(result)
    assert sum(points for _, points in gone) == first[1]
    assert {line_id for line_id, _ in gone} == {"1"}


def test_everything_back_leaves_nothing() -> None:
    result = calculated(CLIMB, lines=(line("1"), line("2", gross_minor=333)))
    everything = (ReturnItem(line_id="1"), ReturnItem(line_id="2"))
    assert qualifying(came_back(result, NOTHING_RETURNED, *everything)) == qualifying(result)


def test_a_programme_nobody_redeems_in_may_give_them() -> None:
    def found(rules_of: Bundle) -> list[Code]:
        return [finding.code for finding in check_bundle(rules_of) if not finding.offers]

    unspendable = programme(redemption=replace(programme().redemption, receipt_share_max_ppm=0))
    assert Code.POINTS_UNSPENDABLE in found(bundle(SPEND, of=unspendable))
    assert Code.POINTS_UNSPENDABLE not in found(bundle(CLIMB, of=unspendable))
