"""Returns: shown before they are posted, posted once, from wherever the original is known."""

import msgspec
import pytest

from agent.till_service.messages import ReturnAnswer
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from loyalty.returns import ReturnCalculation
from sync.messages import ReceiptAnswer, ReceiptRequest
from sync.records import RefundRecord
from tests.support import builders
from tests.support.builders import line, offer
from tests.support.till import (
    CARD,
    OTHER_RECEIPT,
    OTHER_RETURN,
    RECEIPT,
    RETURN,
    FakeCentre,
    JoinedTill,
    customer,
    receipt,
    returning,
)

RULES = builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100)))
BOTH = receipt(line("1"), line("2", "bread", gross_minor=400), card=CARD)


@pytest.fixture
def sold(alone: JoinedTill) -> JoinedTill:
    """A till that has sold milk for 10.00 and bread for 4.00 for 14 points."""
    alone.take_rules(RULES)
    assert alone.complete(BOTH, 1_400).outcome == Outcome.RECORDED
    return alone


def refunds(till: JoinedTill) -> list[RefundRecord]:
    return [record for record in till.own_records() if isinstance(record, RefundRecord)]


def reversal(answer: ReturnAnswer) -> ReturnCalculation:
    assert answer.calculation
    return msgspec.json.decode(answer.calculation, type=ReturnCalculation)


def test_a_preview_posts_nothing_and_shows_exactly_what_confirming_posts(sold: JoinedTill) -> None:
    shown = sold.take_back(returning("2", confirm=False))
    assert shown.outcome == Outcome.PREVIEWED
    assert refunds(sold) == []
    posted = sold.take_back(returning("2"))
    assert posted.outcome == Outcome.RECORDED
    assert reversal(shown) == reversal(posted)
    assert (reversal(posted).money_back_minor, reversal(posted).taken_back_total) == (400, 4)
    (refund,) = refunds(sold)
    assert (refund.original_key, refund.lines) == (RECEIPT, ("2",))


def test_confirming_twice_gives_the_very_same_bytes_and_one_record(sold: JoinedTill) -> None:
    first = sold.take_back(returning("2"))
    again = sold.reopened()
    second = again.take_back(returning("2"))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert len(refunds(again)) == 1
    again.close()


def test_confirming_again_with_other_content_names_the_field(sold: JoinedTill) -> None:
    sold.take_back(returning("2"))
    lines = sold.take_back(returning("1"))
    moment = sold.take_back(returning("2", moment="2025-03-07T12:00:00"))
    assert [(a.outcome, a.field) for a in (lines, moment)] == [
        (Outcome.ALREADY_RECORDED_DIFFERENTLY, "line_ids"),
        (Outcome.ALREADY_RECORDED_DIFFERENTLY, "moment"),
    ]
    assert len(refunds(sold)) == 1


def test_a_line_comes_back_once(sold: JoinedTill) -> None:
    sold.take_back(returning("2"))
    second = sold.take_back(returning("1", "2"), OTHER_RETURN)
    rest = sold.take_back(returning("1"), OTHER_RETURN)
    assert (second.outcome, rest.outcome) == (Outcome.LINE_ALREADY_RETURNED, Outcome.RECORDED)
    assert (
        sum(reversal(a).money_back_minor for a in (sold.take_back(returning("2")), rest)) == 1_400
    )


def test_a_line_that_was_not_sold_does_not_come_back(sold: JoinedTill) -> None:
    answer = sold.take_back(returning("3"))
    assert answer.outcome == Outcome.LINE_UNKNOWN
    assert answer.messages
    assert refunds(sold) == []


def test_a_receipt_of_another_till_comes_from_the_centre(
    sold: JoinedTill, joined: JoinedTill, centre: FakeCentre
) -> None:
    row = sold.till.journal.receipts.find(RECEIPT)
    assert row is not None
    centre.receipts[RECEIPT] = ReceiptAnswer(calculation=row.calculation, returned_lines=("1",))
    joined.talk()
    assert joined.take_back(returning("1")).outcome == Outcome.LINE_ALREADY_RETURNED
    answer = joined.take_back(returning("2"))
    assert (answer.outcome, answer.pending) == (Outcome.RECORDED, False)
    assert reversal(answer).money_back_minor == 400


def test_lines_another_till_took_back_are_asked_for_even_for_an_own_receipt(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    joined.complete(BOTH, 1_400)
    centre.receipts[RECEIPT] = ReceiptAnswer(returned_lines=("2",))
    assert joined.take_back(returning("2")).outcome == Outcome.LINE_ALREADY_RETURNED


def test_a_receipt_nobody_knows_is_recorded_for_the_centre_to_work_out(alone: JoinedTill) -> None:
    shown = alone.take_back(returning(confirm=False))
    assert shown.outcome == Outcome.RECEIPT_UNKNOWN
    answer = alone.take_back(returning())
    assert (answer.outcome, answer.pending, answer.calculation) == (
        Outcome.RECORDED,
        True,
        msgspec.UNSET,
    )
    (refund,) = refunds(alone)
    assert bytes(refund.calculation) == b"{}"


def test_a_line_of_an_unknown_receipt_comes_back_once_too(alone: JoinedTill) -> None:
    alone.take_back(returning())
    again = alone.take_back(returning("1", "2"), OTHER_RETURN)
    assert again.outcome == Outcome.LINE_ALREADY_RETURNED
    assert len(refunds(alone)) == 1


def test_a_receipt_that_is_only_reserved_cannot_be_returned(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=100))
    centre.grants(100)
    joined.talk()
    joined.take_rules(RULES)
    joined.reserve(BOTH, 50)
    joined.cut_off()
    assert joined.take_back(returning(confirm=False)).outcome == Outcome.RECEIPT_UNKNOWN


def test_redeemed_points_go_back_to_their_lots(joined: JoinedTill, centre: FakeCentre) -> None:
    centre.knows(customer(points=100))
    centre.grants(100)
    joined.talk()
    joined.take_rules(RULES)
    joined.reserve(BOTH, 70)
    joined.complete(BOTH, 1_330)
    parts = [
        part
        for line_id, return_id in (("1", RETURN), ("2", OTHER_RETURN))
        for part in reversal(joined.take_back(returning(line_id), return_id)).points_back
    ]
    assert {part.lot_id for part in parts} == {501}
    assert sum(part.points for part in parts) == 70


def test_the_centre_is_asked_about_a_return_only_while_the_link_is_up(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.take_back(returning(confirm=False))
    assert centre.asked(ReceiptRequest) == []
    joined.talk()
    joined.take_back(returning(confirm=False, original=OTHER_RECEIPT))
    assert [asked.key for asked in centre.asked(ReceiptRequest)] == [OTHER_RECEIPT]


def test_confirming_posts_what_the_preview_showed_though_the_centre_falls_silent(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    joined.complete(BOTH, 1_400)
    calculation = joined.till.journal.receipts.find(RECEIPT)
    assert calculation is not None
    other = "01957e3c-9a40-7c11-8d22-3e4f5a6b7caa"
    centre.receipts[other] = ReceiptAnswer(calculation=calculation.calculation)
    shown = joined.take_back(returning(confirm=False, original=other))
    joined.cut_off()
    confirmed = joined.take_back(returning(original=other))
    assert (confirmed.outcome, confirmed.pending) == (Outcome.RECORDED, False)
    assert confirmed.calculation == shown.calculation
