"""Returns: shown before they are posted, posted once, from wherever the original is known."""

from dataclasses import replace
from typing import Literal

import msgspec
import pytest

from agent.till_service.messages import ReturnAnswer
from loyalty.bundle import Bundle, ReturnTerms
from loyalty.fiscal import FiscalLine
from loyalty.offers import NeedsLines, PointsPerMoney
from loyalty.outcomes import Outcome
from loyalty.returns import ReturnCalculation, ReturnItem, ReturnMade
from sync.messages import ReceiptAnswer, ReceiptRequest
from sync.records import RefundRecord
from tests.support import builders
from tests.support.builders import items, line, lot, offer, percent, pieces, programme
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


def made_elsewhere(*lines: str | ReturnItem, charged_back_minor: int = 0) -> ReturnMade:
    """Return a return of another till, as the centre tells it."""
    return ReturnMade(key="elsewhere", items=items(*lines), charged_back_minor=charged_back_minor)


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
    assert (refund.original_key, refund.lines) == (RECEIPT, (pieces("2", 1),))
    assert bytes(refund.calculation) == bytes(posted.calculation or b"")


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
        (Outcome.ALREADY_RECORDED_DIFFERENTLY, "lines"),
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
    centre.receipts[RECEIPT] = ReceiptAnswer(
        calculation=row.calculation, returns=(made_elsewhere("1"),)
    )
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
    centre.receipts[RECEIPT] = ReceiptAnswer(returns=(made_elsewhere("2"),))
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


# Parts of lines

SIX = receipt(line("1", pieces=6, gross_minor=3_500), line("2", "bread", gross_minor=400))


def under(
    earned: Literal["only_pending", "within_balance", "unlimited", "from_refund"] = "unlimited",
    broken_condition: Literal["keep", "charge_back"] = "keep",
) -> Bundle:
    """Return rules with a point for each 1.00, worth 0.02, ten percent off from five pieces on."""
    terms = ReturnTerms(earned=earned, broken_condition=broken_condition)
    return builders.bundle(
        offer("points", PointsPerMoney(points=1, per_minor=100)),
        offer("ten", percent(10), needs=NeedsLines(quantity_min=5_000)),
        of=replace(programme(point_value_minor=2), returns=terms),
    )


def sell_six(till: JoinedTill, rules: Bundle, *, card: str = CARD) -> None:
    """Sell six and one for 35.10 under these rules."""
    till.take_rules(rules)
    sold = till.complete(receipt(*SIX.lines, card=card), 3_510)
    assert sold.outcome == Outcome.RECORDED


def key_of(number: int) -> str:
    return f"01957e40-11f0-7a02-9b13-{number:012x}"


def test_pieces_of_a_line_come_back_in_turn_and_no_more_than_were_sold(alone: JoinedTill) -> None:
    sell_six(alone, under())
    answers = [
        alone.take_back(returning(pieces("1", count)), key_of(count)) for count in (1, 2, 4, 3)
    ]
    assert [one.outcome for one in answers] == [
        Outcome.RECORDED,
        Outcome.RECORDED,
        Outcome.QUANTITY_NOT_LEFT,
        Outcome.RECORDED,
    ]
    money = [reversal(one).money_back_minor for one in answers if one.calculation]
    assert money == [525, 1_050, 1_575]
    assert alone.take_back(returning(), key_of(9)).outcome == Outcome.LINE_ALREADY_RETURNED
    assert [one.lines for one in refunds(alone)] == [(pieces("1", count),) for count in (1, 2, 3)]


def test_a_return_of_parts_survives_a_restart(alone: JoinedTill) -> None:
    sell_six(alone, under())
    alone.take_back(returning(pieces("1", 4)), key_of(1))
    again = alone.reopened()
    assert again.take_back(returning(pieces("1", 3)), key_of(2)).outcome == "quantity_not_left"
    rest = reversal(again.take_back(returning(), key_of(2)))
    assert rest.items == (pieces("1", 2),)
    again.close()


def test_pieces_come_back_whole(alone: JoinedTill) -> None:
    sell_six(alone, under())
    half = ReturnItem(line_id="1", quantity=500)
    assert alone.take_back(returning(half)).outcome == Outcome.NOT_WHOLE_PIECES


def test_pieces_that_came_back_at_other_tills_are_not_left_here(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    sell_six(joined, under())
    centre.receipts[RECEIPT] = ReceiptAnswer(returns=(made_elsewhere(pieces("1", 4)),))
    joined.talk()
    first = joined.take_back(returning(pieces("1", 3), confirm=False))
    assert first.outcome == Outcome.QUANTITY_NOT_LEFT
    assert joined.take_back(returning(pieces("1", 1))).outcome == Outcome.RECORDED
    joined.cut_off()
    assert joined.take_back(returning(pieces("1", 6)), OTHER_RETURN).outcome == "quantity_not_left"
    # Cut off, the till knows of its own return alone.
    assert joined.take_back(returning(pieces("1", 5)), OTHER_RETURN).outcome == Outcome.RECORDED


def test_the_centre_and_the_journal_count_one_return_once(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    sell_six(joined, under())
    joined.take_back(returning(pieces("1", 2)))
    own = ReturnMade(key=RETURN, items=(pieces("1", 2),))
    centre.receipts[RECEIPT] = ReceiptAnswer(returns=(own,))
    joined.talk()
    assert joined.take_back(returning(pieces("1", 4)), OTHER_RETURN).outcome == Outcome.RECORDED


def test_what_the_centre_said_of_an_own_return_counts_though_it_falls_silent(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    sell_six(joined, under("from_refund"))
    joined.take_back(returning(pieces("1", 2)))
    # It was posted otherwise than shown here: the rest evens that out.
    own = ReturnMade(key=RETURN, items=(pieces("1", 2),), charged_back_minor=20)
    centre.receipts[RECEIPT] = ReceiptAnswer(returns=(own,))
    joined.talk()
    shown = joined.take_back(returning("1", "2", confirm=False), OTHER_RETURN)
    joined.cut_off()
    done = joined.take_back(returning("1", "2"), OTHER_RETURN)
    assert done.outcome == Outcome.RECORDED
    assert reversal(done) == reversal(shown)


def test_a_part_of_an_unknown_receipt_is_recorded_as_it_was_said(alone: JoinedTill) -> None:
    answer = alone.take_back(returning(pieces("1", 2), "2"))
    assert (answer.outcome, answer.pending) == (Outcome.RECORDED, True)
    (refund,) = refunds(alone)
    assert refund.lines == (pieces("1", 2), ReturnItem(line_id="2"))


# What is handed out and printed


def test_money_that_is_not_what_was_calculated_is_not_handed_out(alone: JoinedTill) -> None:
    sell_six(alone, under())
    wrong = alone.take_back(returning(pieces("1", 1), money_back_minor=526))
    assert (wrong.outcome, wrong.field) == (Outcome.STALE_CALCULATION, "money_back_minor")
    assert reversal(wrong).money_back_minor == 525
    assert refunds(alone) == []
    right = alone.take_back(returning(pieces("1", 1), money_back_minor=525))
    assert right.outcome == Outcome.RECORDED


def test_goods_that_came_back_elsewhere_since_the_preview_are_shown_first(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    sell_six(joined, under(broken_condition="charge_back"))
    joined.talk()
    shown = joined.take_back(returning(pieces("1", 2), confirm=False))
    assert reversal(shown).money_back_minor == 1_050
    centre.receipts[RECEIPT] = ReceiptAnswer(returns=(made_elsewhere(pieces("1", 2)),))
    changed = joined.take_back(returning(pieces("1", 2)))
    assert (changed.outcome, changed.field) == (Outcome.STALE_CALCULATION, "lines")
    assert refunds(joined) == []
    posted = joined.take_back(returning(pieces("1", 2)))
    assert posted.outcome == Outcome.RECORDED
    assert posted.calculation == changed.calculation
    assert reversal(posted).charged_back_minor > 0


def test_what_was_shown_before_a_restart_is_shown_again_before_it_is_posted(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    joined.complete(BOTH, 1_400)
    shown = joined.take_back(returning("2", confirm=False))
    assert reversal(shown).money_back_minor == 400
    again = joined.reopened()
    confirm = returning("2", money_back_minor=400)
    changed = again.take_back(confirm)
    assert (changed.outcome, changed.field) == (Outcome.STALE_CALCULATION, "lines")
    assert refunds(again) == []
    posted = again.take_back(confirm)
    assert (posted.outcome, posted.calculation) == (Outcome.RECORDED, changed.calculation)
    again.close()


def test_figures_shown_by_a_centre_that_is_gone_after_a_restart_are_not_posted_unseen(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    joined.complete(BOTH, 1_400)
    row = joined.till.journal.receipts.find(RECEIPT)
    assert row is not None
    centre.receipts[OTHER_RECEIPT] = ReceiptAnswer(calculation=row.calculation)
    joined.take_back(returning("2", original=OTHER_RECEIPT, confirm=False))
    again = joined.reopened()
    again.cut_off()
    lost = again.take_back(returning("2", original=OTHER_RECEIPT, money_back_minor=400))
    assert (lost.outcome, lost.calculation) == (Outcome.STALE_CALCULATION, msgspec.UNSET)
    assert refunds(again) == []
    taken = again.take_back(returning("2", original=OTHER_RECEIPT))
    assert (taken.outcome, taken.pending) == (Outcome.RECORDED, True)
    again.close()


def test_answers_carry_lines_for_a_fiscal_printer(alone: JoinedTill) -> None:
    alone.take_rules(RULES)
    three = receipt(line("1", pieces=3, gross_minor=2_900))
    sold = alone.complete(three, 2_900)
    assert sold.fiscal_lines == (
        FiscalLine(
            line_id="1",
            source_line_id="1",
            quantity=2_000,
            unit_price_minor=967,
            amount_minor=1_934,
        ),
        FiscalLine(
            line_id="1/2",
            source_line_id="1",
            quantity=1_000,
            unit_price_minor=966,
            amount_minor=966,
        ),
    )
    shown = alone.take_back(returning(pieces("1", 2), confirm=False))
    assert sum(one.amount_minor for one in shown.fiscal_lines) == 1_934
    assert alone.take_back(returning("9")).fiscal_lines == ()


# What the account still has


def test_within_balance_shows_and_posts_what_the_centre_said_the_account_has(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    sell_six(joined, under("within_balance"))
    joined.talk()
    centre.receipts[RECEIPT] = ReceiptAnswer(available_points=20)
    shown = reversal(joined.take_back(returning("1", "2", confirm=False)))
    assert (shown.taken_back_total, shown.available_points) == (20, 20)
    centre.receipts[RECEIPT] = ReceiptAnswer(available_points=0)
    posted = reversal(joined.take_back(returning("1", "2")))
    assert posted == shown


def test_from_refund_shows_and_posts_the_same_deduction_though_the_centre_falls_silent(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    sell_six(joined, under("from_refund"))
    joined.talk()
    centre.receipts[RECEIPT] = ReceiptAnswer(available_points=25)
    shown = reversal(joined.take_back(returning("1", "2", confirm=False)))
    assert (shown.taken_back_total, shown.deducted_points, shown.deducted_minor) == (25, 10, 20)
    joined.cut_off()
    posted = reversal(joined.take_back(returning("1", "2", money_back_minor=3_490)))
    assert posted == shown


def test_with_nobody_to_ask_points_are_taken_as_if_they_were_there(alone: JoinedTill) -> None:
    sell_six(alone, under("from_refund"))
    posted = reversal(alone.take_back(returning("1", "2")))
    assert (posted.taken_back_total, posted.money_back_minor) == (35, 3_510)
    assert posted.available_points is None


def test_a_new_preview_asks_anew_what_the_account_has(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    sell_six(joined, under("within_balance"))
    joined.talk()
    taken = []
    for available in (20, 5):
        centre.receipts[RECEIPT] = ReceiptAnswer(available_points=available)
        shown = joined.take_back(returning("1", "2", confirm=False))
        taken.append(reversal(shown).taken_back_total)
    assert taken == [20, 5]


def test_the_centre_is_told_the_day_of_the_return(joined: JoinedTill, centre: FakeCentre) -> None:
    joined.talk()
    joined.take_back(returning(confirm=False, moment="2025-03-09T23:59:59"))
    assert [asked.date for asked in centre.asked(ReceiptRequest)] == ["2025-03-09"]


def test_terms_of_the_sale_hold_when_the_till_has_other_rules(alone: JoinedTill) -> None:
    sell_six(alone, under(broken_condition="charge_back"))
    alone.take_rules(replace(under(), version=2))
    posted = reversal(alone.take_back(returning(pieces("1", 3))))
    assert posted.charged_back_minor > 0


def test_points_of_a_lot_that_has_ended_show_their_grace(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=100))
    centre.to_grant.append((7, (lot(501, 100, expires_on="2025-03-06"),)))
    joined.talk()
    joined.take_rules(RULES)
    joined.reserve(BOTH, 70)
    joined.complete(BOTH, 1_330)
    parts = reversal(joined.take_back(returning("1", "2"))).points_back
    assert {part.expires_on for part in parts} == {"2025-03-20"}
