"""Points set aside for a receipt: durable first, never more than given, never another's."""

from pathlib import Path

import msgspec
import pytest

from agent.till_service.messages import ReceiptAnswer
from agent.till_service.till import TillSettings
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync.cycle import PATH_AUTHORISE, Ask
from sync.messages import AuthoriseAnswer, AuthoriseRequest, Grant, Message
from sync.records import LotTaken, SaleRecord, Source, VoidRecord
from sync.signing import sign_message
from tests.support import builders
from tests.support.builders import line, lot, offer
from tests.support.till import (
    CARD,
    CENTRE_KEY,
    DAY_MS,
    OTHER_CARD,
    OTHER_RECEIPT,
    RECEIPT,
    STRANGER_KEY,
    FakeCentre,
    JoinedTill,
    Question,
    SetSystem,
    calculation_of,
    customer,
    driven,
    no_answer,
    receipt,
    reserving,
)

HALF = builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100)))
"""Half of a receipt may be paid with points, one point is 0.01."""
TEN = receipt(card=CARD)
TEN_AND_A_BAG = receipt(line("1"), line("2", "bag", gross_minor=20), version=2, card=CARD)


def ready(joined: JoinedTill, *, points: int = 300, granted: int = 0, free: int = 0) -> JoinedTill:
    """Return the till after a conversation: one customer, the rights given for him, rules."""
    assert joined.centre is not None
    joined.centre.knows(customer(points=points))
    if granted:
        joined.centre.grants(granted)
    joined.centre.free_points[7] = free
    joined.centre.publishes(HALF)
    joined.talk()
    return joined


def sale_of(till: JoinedTill, key: str = RECEIPT) -> SaleRecord:
    (sale,) = [r for r in till.own_records() if isinstance(r, SaleRecord) and r.key == key]
    return sale


def left(till: JoinedTill, account_id: int = 7) -> int:
    """Return what a new receipt of the account could take."""
    return till.till.journal.rights.points_left(account_id, "another", till.till.clock.now_ms())


# From what the till holds


def test_points_are_reserved_from_a_grant_while_the_line_is_down(joined: JoinedTill) -> None:
    ready(joined, granted=100).cut_off()
    answer = joined.reserve(TEN, 60)
    assert (answer.outcome, answer.reserved_points, answer.link) == (Outcome.RESERVED, 60, "down")
    assert calculation_of(answer).totals.paid_minor == 940
    assert left(joined) == 40
    assert joined.complete(TEN, 940).outcome == Outcome.RECORDED
    assert sale_of(joined).sources == (
        Source(
            kind="grant",
            grant_id="01957e00-0000-7abc-8def-000000000001",
            points=60,
            lots=(LotTaken(501, 60),),
        ),
    )


def test_a_reservation_is_on_the_disk_before_the_answer(joined: JoinedTill) -> None:
    ready(joined, granted=100).cut_off()
    joined.reserve(TEN, 60)
    again = joined.reopened()
    assert [(r.points, r.purpose) for r in again.till.journal.rights.reserved(RECEIPT)] == [
        (60, "grant")
    ]
    assert left(again) == 40
    assert again.complete(TEN, 940).outcome == Outcome.RECORDED
    again.close()


def test_nobody_redeems_without_a_card(joined: JoinedTill) -> None:
    ready(joined, granted=100)
    answer = joined.reserve(receipt(), 10)
    assert answer.outcome == Outcome.NOT_IDENTIFIED
    assert left(joined) == 100


def test_no_more_is_reserved_than_the_receipt_may_take(joined: JoinedTill) -> None:
    ready(joined, points=2_000, granted=1_500)
    answer = joined.reserve(TEN)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RESERVED, 500)
    assert left(joined) == 1_000


def test_the_same_reservation_again_takes_nothing_more(joined: JoinedTill) -> None:
    ready(joined, granted=100)
    first, second = joined.reserve(TEN, 60), joined.reserve(TEN, 60)
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert left(joined) == 40


def test_reserving_nothing_gives_back_what_was_reserved(joined: JoinedTill) -> None:
    ready(joined, granted=100)
    joined.reserve(TEN, 60)
    answer = joined.reserve(receipt(card=CARD, version=2), 0)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RESERVED, 0)
    assert left(joined) == 100


def test_two_receipts_never_take_the_same_points(joined: JoinedTill) -> None:
    ready(joined, granted=100).cut_off()
    first = joined.reserve(TEN, 70)
    second = joined.reserve(TEN, 70, OTHER_RECEIPT)
    assert (first.reserved_points, second.reserved_points) == (70, 30)
    assert [message.code for message in second.messages] == [Outcome.RIGHTS_EXHAUSTED]
    assert left(joined) == 0


def test_who_wants_more_than_he_has_gets_all_and_is_told_why(joined: JoinedTill) -> None:
    ready(joined, points=100, granted=100).cut_off()
    answer = joined.reserve(TEN, 300)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RESERVED, 100)
    assert [(message.code, message.text) for message in answer.messages] == [
        (Outcome.POINTS_INSUFFICIENT, "Not enough points: 300 points wanted, 100 points there.")
    ]


def test_who_has_nothing_is_told_so_and_not_that_this_till_is_poor(joined: JoinedTill) -> None:
    ready(joined, points=0, granted=0)
    answer = joined.reserve(TEN, 60)
    assert (answer.outcome, answer.reserved_points) == (Outcome.POINTS_INSUFFICIENT, 0)
    assert joined.complete(TEN, 1_000).outcome == Outcome.RECORDED


def test_a_right_that_has_ended_is_not_spent(joined: JoinedTill, system: SetSystem) -> None:
    ready(joined, granted=100).cut_off()
    system.let_pass(15 * DAY_MS)
    answer = joined.reserve(TEN, 60)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RIGHTS_EXHAUSTED, 0)
    assert joined.complete(TEN, 1_000).outcome == Outcome.RECORDED


# Back for a bag, a smaller basket, another card


def test_going_back_for_a_bag_keeps_what_was_reserved(joined: JoinedTill) -> None:
    ready(joined, granted=100).cut_off()
    joined.reserve(TEN, 60)
    again = joined.update(TEN_AND_A_BAG)
    assert again.reserved_points == 60
    assert calculation_of(again).totals.paid_minor == 960
    assert joined.complete(TEN_AND_A_BAG, 960).outcome == Outcome.RECORDED
    assert sale_of(joined).version == 2
    assert sum(source.points for source in sale_of(joined).sources) == 60


def test_points_a_smaller_basket_has_no_room_for_go_back(joined: JoinedTill) -> None:
    ready(joined, granted=100).cut_off()
    joined.reserve(TEN, 60)
    small = receipt(line(gross_minor=40), version=2, card=CARD)
    assert calculation_of(joined.update(small)).totals.redeemed_points == 20
    assert joined.complete(small, 20).outcome == Outcome.RECORDED
    assert sum(source.points for source in sale_of(joined).sources) == 20
    assert left(joined) == 80


@pytest.mark.parametrize("card", ["", OTHER_CARD])
def test_another_card_spends_nothing_of_the_first_account(joined: JoinedTill, card: str) -> None:
    ready(joined, granted=100)
    assert joined.centre is not None
    joined.centre.knows(customer(OTHER_CARD, 8, points=300))
    joined.talk()
    joined.cut_off()
    joined.reserve(TEN, 60)
    other = receipt(version=2, card=card)
    assert calculation_of(joined.update(other)).totals.redeemed_points == 0
    assert joined.complete(other, 1_000).outcome == Outcome.RECORDED
    assert sale_of(joined).sources == ()
    assert left(joined) == 100


def test_another_card_that_reserves_too_gets_its_own_points_alone(joined: JoinedTill) -> None:
    ready(joined, granted=100)
    assert joined.centre is not None
    joined.centre.knows(customer(OTHER_CARD, 8, points=300))
    joined.centre.grants(30, 8, lot_id=601)
    joined.centre.free_points[8] = 300
    joined.talk()
    joined.reserve(TEN, 60)
    other = receipt(version=2, card=OTHER_CARD)
    answer = joined.reserve(other, 50)
    assert answer.reserved_points == 50
    # What was missing was 20: the first customer's points do not count for the second.
    assert joined.centre.free_points[8] == 280
    assert joined.complete(other, 950).outcome == Outcome.RECORDED
    taken = {taken.lot_id for source in sale_of(joined).sources for taken in source.lots}
    assert 501 not in taken
    assert left(joined) == 100


def test_a_crash_between_two_customers_leaves_neither_the_others_points(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    ready(joined, granted=100)
    centre.knows(customer(OTHER_CARD, 8, points=300))
    centre.free_points[8] = 300
    joined.talk()
    joined.reserve(TEN, 60)
    other = receipt(version=2, card=OTHER_CARD)
    steps = joined.receipts.reserve(RECEIPT, reserving(other, 50))
    for asked in steps:
        if isinstance(asked, Ask) and asked.path == PATH_AUTHORISE:
            break  # the till dies while it waits for the centre
    again = joined.reopened()
    again.cut_off()
    assert calculation_of(again.update(other)).totals.redeemed_points == 0
    assert again.complete(other, 1_000).outcome == Outcome.RECORDED
    assert left(again) == 100
    again.close()


# Asking the centre


def test_the_centre_is_asked_only_for_what_is_missing(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    ready(joined, granted=100, free=200)
    joined.reserve(TEN, 100)
    assert centre.asked(AuthoriseRequest) == []
    joined.cancel()
    answer = joined.reserve(TEN, 150, OTHER_RECEIPT)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RESERVED, 150)
    (asked,) = centre.asked(AuthoriseRequest)
    assert (asked.points, asked.key, asked.account_id) == (50, OTHER_RECEIPT, 7)
    assert joined.complete(TEN, 850, OTHER_RECEIPT).outcome == Outcome.RECORDED
    by_kind = {source.kind: source.points for source in sale_of(joined, OTHER_RECEIPT).sources}
    assert by_kind == {"authorisation": 50, "grant": 100}


def test_more_points_later_ask_for_the_sum_of_the_sales_authorisations(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    ready(joined, free=300)
    joined.reserve(TEN, 50)
    answer = joined.reserve(receipt(card=CARD, version=2), 80)
    assert [asked.points for asked in centre.asked(AuthoriseRequest)] == [50, 80]
    assert answer.reserved_points == 80
    assert centre.free_points[7] == 220


@pytest.mark.parametrize("reply", [None, AuthoriseAnswer()])
def test_no_authorisation_in_time_and_the_sale_goes_on(
    joined: JoinedTill, reply: AuthoriseAnswer | None
) -> None:
    ready(joined, granted=40, free=200)
    joined.update(TEN)
    answer = driven(joined.receipts.reserve(RECEIPT, reserving(TEN, 100)), lambda _: reply)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RESERVED, 40)
    assert [message.code for message in answer.messages] == [Outcome.RIGHTS_EXHAUSTED]
    assert joined.complete(TEN, 960).outcome == Outcome.RECORDED


def test_a_lost_answer_is_asked_for_again_under_the_same_key_and_costs_nothing(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    ready(joined, free=200)
    joined.update(TEN)
    steps = joined.receipts.reserve(RECEIPT, reserving(TEN, 50))
    centre.answer(next(steps))  # granted, and the answer is lost
    with pytest.raises(StopIteration):
        steps.send(None)
    assert joined.reserve(TEN, 50).reserved_points == 50
    assert centre.free_points[7] == 150


def test_an_answer_says_how_much_is_held_elsewhere(joined: JoinedTill, centre: FakeCentre) -> None:
    ready(joined)
    centre.held_elsewhere_points = 250
    answer = joined.reserve(TEN, 100)
    assert answer.outcome == Outcome.POINTS_HELD_ELSEWHERE
    assert answer.reserved_points == 0
    assert joined.complete(TEN, 1_000).outcome == Outcome.RECORDED


@pytest.mark.parametrize(
    "change",
    [
        {"sale_key": OTHER_RECEIPT},
        {"incarnation": b"another."},
        {"till_id": 18},
        {"account_id": 8},
        {"sale_key": "", "purpose": "grant", "account_id": 8},
    ],
)
def test_an_authorisation_that_is_not_for_this_sale_is_ignored(
    joined: JoinedTill, centre: FakeCentre, change: dict[str, object]
) -> None:
    ready(joined)
    right = centre.grant(7, (lot(901, 50),), sale_key=RECEIPT)
    other = sign_message(msgspec.structs.replace(right, **change), CENTRE_KEY)
    assert reserved_with(joined, other).reserved_points == 0
    assert joined.till.journal.rights.points_held() == 0


@pytest.mark.parametrize("signed_by", ["nobody", "a stranger"])
def test_an_authorisation_the_centre_did_not_sign_is_ignored(
    joined: JoinedTill, centre: FakeCentre, signed_by: str
) -> None:
    ready(joined)
    right = centre.grant(7, (lot(901, 50),), sale_key=RECEIPT)
    bare = msgspec.structs.replace(right, signature=b"")
    forged = bare if signed_by == "nobody" else sign_message(bare, STRANGER_KEY)
    assert reserved_with(joined, forged).reserved_points == 0
    assert reserved_with(joined, msgspec.structs.replace(right, points=51)).reserved_points == 0
    assert reserved_with(joined, right).reserved_points == 50


def reserved_with(joined: JoinedTill, right: Grant) -> ReceiptAnswer:
    """Reserve 50 points, the centre's answer being this right."""

    def answers(question: Question) -> Message | None:
        asks = isinstance(question, Ask) and question.path == PATH_AUTHORISE
        return AuthoriseAnswer(authorisations=(right,)) if asks else None

    return driven(joined.receipts.reserve(RECEIPT, reserving(TEN, 50)), answers)


def test_an_authorisation_is_good_for_its_own_receipt_alone(joined: JoinedTill) -> None:
    ready(joined, free=50)
    assert joined.reserve(TEN, 50).reserved_points == 50
    joined.reserve(receipt(card=CARD, version=2), 0)
    joined.cut_off()
    assert joined.reserve(TEN, 50, OTHER_RECEIPT).reserved_points == 0
    assert joined.reserve(receipt(card=CARD, version=3), 50).reserved_points == 50


def test_giving_up_tells_the_centre_only_when_it_was_asked(joined: JoinedTill) -> None:
    ready(joined, granted=100, free=100)
    joined.reserve(TEN, 50)
    joined.cancel()
    joined.reserve(TEN, 150, OTHER_RECEIPT)
    joined.cancel(OTHER_RECEIPT)
    voids = [record.key for record in joined.own_records() if isinstance(record, VoidRecord)]
    assert voids == [OTHER_RECEIPT]
    assert left(joined) == 100


def test_giving_up_tells_the_centre_even_if_its_answer_was_lost(joined: JoinedTill) -> None:
    ready(joined, free=100)
    joined.update(TEN)
    driven(joined.receipts.reserve(RECEIPT, reserving(TEN, 50)), no_answer)
    again = joined.reopened()
    again.cancel()
    voids = [record.key for record in again.own_records() if isinstance(record, VoidRecord)]
    again.close()
    assert voids == [RECEIPT]


# The risk budget


def at_risk(joined: JoinedTill, *, points: int = 300, budget: int = 100) -> JoinedTill:
    assert joined.centre is not None
    joined.centre.risk_points_total = budget
    ready(joined, points=points).cut_off()
    return joined


def test_the_risk_budget_stands_in_up_to_its_bound_per_receipt(joined: JoinedTill) -> None:
    answer = at_risk(joined).reserve(TEN, 100)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RESERVED, 30)
    assert [message.code for message in answer.messages] == [Outcome.RIGHTS_EXHAUSTED]
    assert joined.complete(TEN, 970).outcome == Outcome.RECORDED
    assert sale_of(joined).sources == (Source(kind="risk", points=30),)
    assert joined.till.journal.rights.risk_points_left() == 70


def test_the_risk_budget_never_gives_more_than_the_customer_is_known_to_have(
    joined: JoinedTill,
) -> None:
    answer = at_risk(joined, points=12).reserve(TEN, 100)
    assert answer.reserved_points == 12


def test_points_the_till_holds_for_a_customer_are_not_risked_a_second_time(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.grants(40)
    answer = at_risk(joined, points=40).reserve(TEN, 100)
    assert answer.reserved_points == 40
    assert joined.till.journal.rights.risk_points_left() == 100


def test_points_another_till_holds_are_not_risked(joined: JoinedTill, centre: FakeCentre) -> None:
    at_risk(joined)
    centre.knows(customer(points=10, held_points=290, version=2))
    joined.talk()
    answer = joined.reserve(TEN, 100)
    assert answer.reserved_points == 10


def test_nothing_is_risked_for_an_unknown_card(joined: JoinedTill) -> None:
    answer = at_risk(joined).reserve(receipt(card=OTHER_CARD), 100)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RIGHTS_EXHAUSTED, 0)


def test_an_exhausted_budget_ends_redeeming_and_not_selling(joined: JoinedTill) -> None:
    at_risk(joined, budget=45)
    assert joined.reserve(TEN, 100).reserved_points == 30
    joined.complete(TEN, 970)
    second, third = OTHER_RECEIPT, "01957e3c-9a42-7c11-8d22-3e4f5a6b7c8d"
    assert joined.reserve(TEN, 100, second).reserved_points == 15
    joined.complete(TEN, 985, second)
    answer = joined.reserve(TEN, 100, third)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RIGHTS_EXHAUSTED, 0)
    assert joined.complete(TEN, 1_000, third).outcome == Outcome.RECORDED


def test_risk_that_was_not_used_goes_back_into_the_budget(joined: JoinedTill) -> None:
    at_risk(joined)
    joined.reserve(TEN, 30)
    joined.cancel()
    joined.reserve(TEN, 30, OTHER_RECEIPT)
    joined.complete(receipt(line(gross_minor=20), version=2, card=CARD), 10, OTHER_RECEIPT)
    assert joined.till.journal.rights.risk_points_left() == 90


def test_an_installation_may_risk_nothing(
    tmp_path: Path, centre: FakeCentre, system: SetSystem
) -> None:
    settings = TillSettings(risk_points_per_receipt_max=0)
    careful = JoinedTill(tmp_path / "till", centre=centre, system=system, settings=settings)
    answer = at_risk(careful).reserve(TEN, 100)
    careful.close()
    assert (answer.outcome, answer.reserved_points) == (Outcome.RIGHTS_EXHAUSTED, 0)


# A blocked account


def test_a_blocked_account_earns_and_does_not_redeem(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.risk_points_total = 100
    ready(joined, granted=100, free=100)
    centre.knows(customer(points=300, blocked=True, version=2))
    joined.talk()
    centre.questions.clear()
    answer = joined.reserve(TEN, 50)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RIGHTS_EXHAUSTED, 0)
    assert centre.asked(AuthoriseRequest) == []
    assert answer.customer is not None
    assert answer.customer.blocked
    recorded = joined.complete(TEN, 1_000)
    assert recorded.outcome == Outcome.RECORDED
    assert calculation_of(recorded).totals.earned_points == 10
