"""What a till spends between two HELLOs is bounded: in all, and by account out of the budget."""

from agent.till_service.messages import ReceiptAnswer
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync.records import SaleRecord
from tests.support import builders
from tests.support.builders import offer
from tests.support.till import CARD, OTHER_CARD, JoinedTill, calculation_of, customer, receipt

HALF = builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100)))
"""Half of a receipt may be paid with points, one point is 0.01."""
TEN = receipt(card=CARD)


def ready(joined: JoinedTill, *, granted: int = 0, risk: int = 0, cap: int | None) -> JoinedTill:
    """Return the till after a conversation, two customers known, its line cut."""
    assert joined.centre is not None
    joined.centre.knows(
        customer(points=5_000), customer(account_id=8, card=OTHER_CARD, points=5_000)
    )
    if granted:
        joined.centre.grants(granted)
    joined.centre.risk_points_total = risk
    joined.centre.offline_points_max = cap
    joined.centre.publishes(HALF)
    joined.talk()
    joined.cut_off()
    return joined


def redeem(joined: JoinedTill, number: int, points: int, *, card: str = CARD) -> int:
    """Sell with points; returns how many were redeemed."""
    key = f"01957e00-0000-7abc-8def-{number:012d}"
    asked = receipt(card=card)
    answer: ReceiptAnswer = joined.reserve(asked, points, receipt_id=key)
    paid_minor = calculation_of(answer).totals.paid_minor
    assert joined.complete(asked, paid_minor, receipt_id=key).outcome == Outcome.RECORDED
    return sum(
        source.points
        for record in joined.own_records()
        if isinstance(record, SaleRecord) and record.key == key
        for source in record.sources
    )


def greeted(joined: JoinedTill) -> JoinedTill:
    """Let the till say HELLO and lose the line again."""
    joined.talk()
    joined.cut_off()
    return joined


def test_no_more_is_spent_between_two_hellos_than_the_till_was_told(joined: JoinedTill) -> None:
    ready(joined, granted=1_000, cap=250)
    assert [redeem(joined, number, 100) for number in (1, 2, 3, 4)] == [100, 100, 50, 0]
    greeted(joined)
    assert redeem(joined, 5, 100) == 100


def test_the_risk_budget_is_under_the_same_cap(joined: JoinedTill) -> None:
    ready(joined, granted=30, risk=500, cap=50)
    assert redeem(joined, 1, 60) == 50  # 30 of the grant, 20 of the budget
    assert redeem(joined, 2, 60) == 0


def test_what_a_receipt_has_reserved_counts_as_spent_until_it_is_given_up(
    joined: JoinedTill,
) -> None:
    ready(joined, granted=1_000, cap=100)
    key = "01957e00-0000-7abc-8def-000000000001"
    assert joined.reserve(TEN, 80, receipt_id=key).reserved_points == 80
    assert redeem(joined, 2, 80) == 20
    joined.cancel(key)
    assert redeem(joined, 3, 100) == 80


def test_an_authorisation_is_not_spent_unseen(joined: JoinedTill) -> None:
    assert joined.centre is not None
    ready(joined, granted=100, cap=40)
    joined.centre.free_points[7] = 300
    joined.talk()
    assert redeem(joined, 1, 90) == 90
    joined.cut_off()
    assert redeem(joined, 2, 90) == 0


def test_a_restart_does_not_begin_the_count_anew(joined: JoinedTill) -> None:
    ready(joined, granted=1_000, cap=250)
    assert redeem(joined, 1, 200) == 200
    again = joined.reopened()
    assert redeem(again, 2, 200) == 50
    again.close()


def test_a_centre_that_tells_no_cap_sets_none(joined: JoinedTill) -> None:
    ready(joined, granted=5_000, cap=None)
    assert [redeem(joined, number, 500) for number in range(1, 6)] == [500] * 5


def test_one_customer_gets_the_risk_budget_five_times_between_two_hellos(
    joined: JoinedTill,
) -> None:
    ready(joined, risk=500, cap=20_000)
    assert [redeem(joined, number, 30) for number in range(1, 8)] == [30] * 5 + [0, 0]
    assert redeem(joined, 8, 30, card=OTHER_CARD) == 30
    greeted(joined)
    assert redeem(joined, 9, 30) == 30


def test_after_three_receipts_the_risk_budget_adds_nothing_to_what_others_give(
    joined: JoinedTill,
) -> None:
    assert joined.centre is not None
    ready(joined, risk=500, cap=20_000)
    joined.centre.free_points[7] = 20
    joined.talk(greet=False)
    assert redeem(joined, 1, 50) == 20 + 30
    joined.cut_off()
    assert [redeem(joined, number, 30) for number in (2, 3)] == [30, 30]
    joined.centre.free_points[7] = 20
    joined.talk(greet=False)
    assert redeem(joined, 4, 50) == 20
    joined.cut_off()
    assert redeem(joined, 5, 50) == 30
