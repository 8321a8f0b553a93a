"""A receipt's way at the till: versions, repeats, completion for ever, training, its rules."""

from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from agent.till_service.messages import ReceiptAnswer, ReceiptRequest
from loyalty.offers import PointsPerMoney, Who
from loyalty.outcomes import Outcome
from sync.messages import SnapshotRequest
from sync.records import SaleRecord, VoidRecord
from sync.signing import card_hash
from tests.support import builders
from tests.support.builders import line, offer, percent
from tests.support.till import (
    CARD,
    CARD_KEY,
    OTHER_CARD,
    OTHER_RECEIPT,
    RECEIPT,
    FakeCentre,
    JoinedTill,
    calculation_of,
    completing,
    customer,
    driven,
    no_answer,
    receipt,
    reserving,
)

MEMBERS_TEN = builders.bundle(
    offer("ten", percent(10), who=Who(identified=True)),
    offer("points", PointsPerMoney(points=1, per_minor=100)),
)
TWO_LINES = (line("1"), line("2", "bag", gross_minor=20))


def sales(till: JoinedTill) -> list[SaleRecord]:
    return [record for record in till.own_records() if isinstance(record, SaleRecord)]


# Calculating


def test_a_card_scanned_late_changes_what_was_calculated_before_it(alone: JoinedTill) -> None:
    alone.take_rules(MEMBERS_TEN)
    before = alone.update(receipt())
    after = alone.update(receipt(version=2, card=CARD))
    assert (before.outcome, after.outcome) == (Outcome.CALCULATED, Outcome.CALCULATED)
    assert calculation_of(before).totals.paid_minor == 1_000
    assert calculation_of(after).totals.paid_minor == 900
    assert before.customer is None
    assert after.customer is not None
    assert not after.customer.known


def test_nothing_is_recorded_by_calculating(alone: JoinedTill) -> None:
    alone.take_rules(MEMBERS_TEN)
    before = alone.till.journal.stream.head()
    for version in (1, 2, 3):
        alone.update(receipt(version=version, card=CARD))
    assert alone.till.journal.stream.head() == before
    assert alone.till.journal.receipts.find(RECEIPT) is None


def test_a_till_without_rules_sells_and_says_so(alone: JoinedTill) -> None:
    bare = alone.update(receipt())
    assert bare.outcome == Outcome.CALCULATED
    assert [message.code for message in bare.messages] == [Outcome.RULES_MISSING]
    alone.take_rules(MEMBERS_TEN)
    assert alone.update(receipt(), OTHER_RECEIPT).messages == ()


def test_the_same_version_with_the_same_content_gives_the_same_bytes(alone: JoinedTill) -> None:
    alone.take_rules(MEMBERS_TEN)
    first, second = (alone.update(receipt(*TWO_LINES, card=CARD)) for _ in range(2))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("lines", receipt(*TWO_LINES)),
        ("card", receipt(card=CARD)),
        ("codes", receipt(codes=["SPRING"])),
        ("training", receipt(training=True)),
    ],
)
def test_the_same_version_with_other_content_is_stale_and_names_the_field(
    alone: JoinedTill, field: str, changed: ReceiptRequest
) -> None:
    alone.update(receipt())
    answer = alone.update(changed)
    assert (answer.outcome, answer.field, answer.version) == (Outcome.STALE_VERSION, field, 1)
    assert answer.messages


def test_an_older_version_is_stale_and_is_told_the_latest(alone: JoinedTill) -> None:
    alone.update(receipt(version=3))
    answer = alone.update(receipt(version=2))
    assert (answer.outcome, answer.field, answer.version) == (Outcome.STALE_VERSION, "version", 3)


def test_an_older_version_is_stale_after_a_restart_too(joined: JoinedTill) -> None:
    assert joined.centre is not None
    joined.centre.knows(customer(points=100))
    joined.centre.grants(100)
    joined.talk()
    joined.take_rules(MEMBERS_TEN)
    assert joined.reserve(receipt(card=CARD, version=4), 10).reserved_points == 10
    again = joined.reopened()
    answer = again.complete(receipt(card=CARD, version=3), 1_000)
    again.close()
    assert (answer.outcome, answer.version) == (Outcome.STALE_VERSION, 4)


def test_a_till_without_rules_sells_at_the_registers_prices(alone: JoinedTill) -> None:
    answer = alone.complete(receipt(*TWO_LINES, card=CARD), 1_020)
    assert answer.outcome == Outcome.RECORDED
    assert calculation_of(answer).totals.earned_points == 0
    assert sales(alone)[0].inputs.bundle == ""


# Who the customer is


def test_the_centre_is_asked_once_per_card_and_only_while_the_link_is_up(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.accounts[card_hash(CARD_KEY, CARD)] = customer(points=50)
    offline = joined.update(receipt(card=CARD))
    assert centre.questions == []
    joined.talk()
    centre.questions.clear()
    joined.update(receipt(card=CARD, version=2))
    online = joined.update(receipt(card=CARD, version=3))
    other = joined.update(receipt(card=CARD), OTHER_RECEIPT)
    # The first receipt had its customer from before the link was up.
    assert len(centre.asked(SnapshotRequest)) == 1
    assert offline.customer is not None
    assert not offline.customer.known
    assert online.customer is not None
    assert other.customer is not None
    assert other.customer.points == 50


def test_no_answer_about_a_customer_is_no_obstacle(joined: JoinedTill, centre: FakeCentre) -> None:
    centre.knows(customer(points=50))
    joined.talk()
    answer = driven(joined.receipts.update(RECEIPT, receipt(card=CARD)), no_answer)
    assert answer.outcome == Outcome.CALCULATED
    assert answer.customer is not None
    assert (answer.customer.known, answer.customer.points) == (True, 50)


def test_what_a_sale_heard_of_a_customer_is_known_when_the_line_is_down(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    centre.accounts[card_hash(CARD_KEY, CARD)] = customer(points=70, tier="gold")
    joined.update(receipt(card=CARD))
    joined.cut_off()
    answer = joined.update(receipt(card=CARD), OTHER_RECEIPT)
    assert answer.customer is not None
    assert (answer.customer.points, answer.customer.tier) == (70, "gold")


def test_an_unknown_card_is_recorded_by_its_hash(alone: JoinedTill) -> None:
    alone.take_rules(MEMBERS_TEN)
    answer = alone.complete(receipt(card=CARD), 900)
    assert answer.outcome == Outcome.RECORDED
    (sale,) = sales(alone)
    assert sale.card == card_hash(CARD_KEY, CARD).hex()
    assert sale.inputs.account.account_id == 0
    assert sale.inputs.account.identified


def test_no_card_number_reaches_the_files_or_the_log(tmp_path: Path, centre: FakeCentre) -> None:
    till = JoinedTill(tmp_path / "till", centre=centre)
    with capture_logs() as logs:
        centre.knows(customer(points=100))
        centre.grants(100)
        till.talk()
        till.take_rules(MEMBERS_TEN)
        till.update(receipt(card=CARD))
        till.reserve(receipt(card=CARD), 50)
        assert till.complete(receipt(card=CARD), 850).outcome == Outcome.RECORDED
        till.update(receipt(card=OTHER_CARD), OTHER_RECEIPT)
        till.cancel(OTHER_RECEIPT)
        till.talk()
    open_bytes = b"".join(path.read_bytes() for path in till.folder.iterdir())
    till.close()
    closed_bytes = b"".join(path.read_bytes() for path in till.folder.iterdir())
    for content in (open_bytes, closed_bytes, repr(logs).encode()):
        for card in (CARD, OTHER_CARD):
            assert card.encode() not in content
            assert card.replace(" ", "").encode() not in content
    assert card_hash(CARD_KEY, CARD).hex().encode() in closed_bytes


# Completing


def test_completing_records_what_was_calculated(alone: JoinedTill) -> None:
    alone.take_rules(MEMBERS_TEN)
    calculated = alone.update(receipt(*TWO_LINES, card=CARD))
    answer = alone.complete(receipt(*TWO_LINES, card=CARD), 918)
    assert answer.outcome == Outcome.RECORDED
    (sale,) = sales(alone)
    assert sale.key == RECEIPT
    assert sale.inputs.bundle == alone.till.books.active.bundle_hash
    assert calculated.calculation
    assert msgspec.json.decode(sale.calculation) == msgspec.json.decode(calculated.calculation)


def test_completing_needs_no_call_before_it(alone: JoinedTill) -> None:
    assert alone.complete(receipt(), 1_000).outcome == Outcome.RECORDED


def test_completing_twice_gives_the_very_same_bytes_and_one_record(joined: JoinedTill) -> None:
    joined.take_rules(MEMBERS_TEN)
    first = joined.complete(receipt(card=CARD), 900)
    # What the till knows by now is different; the answer given then is not.
    assert joined.centre is not None
    joined.centre.knows(customer(points=999))
    joined.talk()
    second = joined.complete(receipt(card=CARD), 900)
    again = joined.reopened()
    third = again.complete(receipt(card=CARD), 900)
    assert len(sales(again)) == 1
    again.close()
    assert msgspec.json.encode(first) == msgspec.json.encode(second) == msgspec.json.encode(third)


@pytest.mark.parametrize(
    ("field", "request_", "paid_minor"),
    [
        ("lines", receipt(*TWO_LINES), 1_020),
        ("card", receipt(card=CARD), 1_000),
        ("paid_minor", receipt(), 999),
        ("version", receipt(version=2), 1_000),
        ("training", receipt(training=True), 1_000),
    ],
)
def test_completing_again_with_other_content_names_the_field_for_ever(
    alone: JoinedTill, field: str, request_: ReceiptRequest, paid_minor: int
) -> None:
    alone.complete(receipt(), 1_000)
    answer = alone.complete(request_, paid_minor)
    assert (answer.outcome, answer.field) == (Outcome.ALREADY_RECORDED_DIFFERENTLY, field)
    again = alone.reopened()
    later = again.complete(request_, paid_minor)
    assert len(sales(again)) == 1
    again.close()
    assert (later.outcome, later.field) == (Outcome.ALREADY_RECORDED_DIFFERENTLY, field)


def test_another_total_than_calculated_is_stale_and_nothing_is_recorded(alone: JoinedTill) -> None:
    alone.take_rules(MEMBERS_TEN)
    answer = alone.complete(receipt(card=CARD), 1_000)
    assert (answer.outcome, answer.field) == (Outcome.STALE_CALCULATION, "paid_minor")
    assert calculation_of(answer).totals.paid_minor == 900
    assert sales(alone) == []
    assert alone.complete(receipt(card=CARD), 900).outcome == Outcome.RECORDED


def test_a_recorded_receipt_takes_no_other_call(alone: JoinedTill) -> None:
    alone.complete(receipt(), 1_000)
    answers = [
        alone.update(receipt(version=2)),
        alone.reserve(receipt(version=2, card=CARD), 10),
        alone.cancel(),
    ]
    assert [answer.outcome for answer in answers] == [Outcome.RECEIPT_CLOSED] * 3
    assert len(sales(alone)) == 1


# Giving up


def test_completing_after_a_cancel_finds_the_receipt_closed(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=100))
    centre.grants(100)
    joined.talk()
    joined.take_rules(MEMBERS_TEN)
    assert joined.reserve(receipt(card=CARD), 50).reserved_points == 50
    assert joined.cancel().outcome == Outcome.CANCELLED
    assert joined.complete(receipt(card=CARD), 850).outcome == Outcome.RECEIPT_CLOSED
    assert joined.cancel().outcome == Outcome.CANCELLED
    assert sales(joined) == []


def test_a_cancel_is_final_for_a_receipt_that_reserved_nothing(alone: JoinedTill) -> None:
    alone.update(receipt())
    assert alone.cancel().outcome == Outcome.CANCELLED
    again = alone.reopened()
    late = again.complete(receipt(), 1_000)
    assert sales(again) == []
    again.close()
    assert late.outcome == Outcome.RECEIPT_CLOSED


def test_a_cancel_frees_the_points_and_tells_the_centre_nothing_it_does_not_need(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=100))
    centre.grants(100)
    joined.talk()
    joined.take_rules(MEMBERS_TEN)
    assert joined.reserve(receipt(card=CARD), 50).reserved_points == 50
    joined.cancel()
    assert joined.till.journal.rights.points_held() == 100
    assert not [r for r in joined.own_records() if isinstance(r, VoidRecord)]


# Training


def test_a_training_receipt_is_calculated_and_never_recorded(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=500))
    centre.grants(100)
    centre.free_points[7] = 400
    joined.talk()
    joined.take_rules(MEMBERS_TEN)
    head = joined.till.journal.stream.head()
    request = receipt(card=CARD, training=True)
    answers: list[ReceiptAnswer] = [
        joined.update(request),
        joined.reserve(request, 200),
        joined.complete(request, 900),
        joined.complete(request, 900),
    ]
    assert [answer.outcome for answer in answers] == [Outcome.CALCULATED] * 4
    assert joined.till.journal.stream.head() == head
    assert joined.till.journal.rights.points_held() == 100
    assert centre.free_points[7] == 400


# Rules


def test_a_receipt_keeps_the_rules_it_was_first_totalled_under(alone: JoinedTill) -> None:
    alone.take_rules(MEMBERS_TEN)
    first = calculation_of(alone.update(receipt(card=CARD)))
    alone.take_rules(builders.bundle(offer("twenty", percent(20)), version=2))
    same = calculation_of(alone.update(receipt(version=2, card=CARD)))
    other = calculation_of(alone.update(receipt(card=CARD), OTHER_RECEIPT))
    assert (first.totals.paid_minor, same.totals.paid_minor, other.totals.paid_minor) == (
        900,
        900,
        800,
    )
    assert alone.complete(receipt(version=2, card=CARD), 900).outcome == Outcome.RECORDED
    (sale,) = sales(alone)
    assert sale.inputs.bundle == first.bundle != alone.till.books.active.bundle_hash


# A late answer


def test_an_answer_that_comes_after_the_receipt_was_given_up_revives_nothing(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=100))
    centre.free_points[7] = 100
    joined.talk()
    joined.take_rules(MEMBERS_TEN)
    joined.update(receipt(card=CARD))
    steps = joined.receipts.reserve(RECEIPT, reserving(receipt(card=CARD), 50))
    question = next(steps)
    joined.cancel()
    with pytest.raises(StopIteration) as end:
        steps.send(centre.answer(question))  # type: ignore[arg-type]
    assert end.value.value.outcome == Outcome.RECEIPT_CLOSED
    row = joined.till.journal.receipts.find(RECEIPT)
    assert row is not None
    assert row.state == "cancelled"
    assert joined.till.journal.rights.points_held() == 0


def test_the_content_of_a_request_is_kept_without_the_card(alone: JoinedTill) -> None:
    alone.complete(receipt(card=CARD), 1_000)
    row = alone.till.journal.receipts.find(RECEIPT)
    assert row is not None
    kept = msgspec.json.decode(row.request)
    assert kept["card"] == card_hash(CARD_KEY, CARD).hex()
    assert set(kept) == set(completing(receipt(), 0).__struct_fields__)
