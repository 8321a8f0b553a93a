"""A receipt proves itself: its code says what was recorded, and a return may stand on it alone."""

import msgspec
import pytest

from agent.till_service.messages import ReturnAnswer, ReturnRequest
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync import qr
from sync.cycle import PATH_RECEIPT
from sync.messages import ReceiptAnswer as KnownReceipt
from sync.messages import ReceiptRequest as ReceiptQuestion
from sync.messages import Roster, RosterTill
from sync.qr import ReceiptProof
from sync.records import RefundRecord
from sync.signing import SigningKey, card_hash
from tests.support import builders
from tests.support.till import (
    CARD,
    CARD_KEY,
    OTHER_RECEIPT,
    OTHER_RETURN,
    RECEIPT,
    STRANGER_KEY,
    TILL_ID,
    TILL_SEED,
    FakeCentre,
    JoinedTill,
    receipt,
    returning,
)

TILL_KEY = SigningKey(TILL_SEED)
RULES = builders.bundle(builders.offer("points", PointsPerMoney(points=1, per_minor=100)))
ELSEWHERE = TILL_ID + 1


def code(*, till_id: int = TILL_ID, key: SigningKey = TILL_KEY, receipt_id: str = RECEIPT) -> str:
    """Return the code of a receipt this till has no record of."""
    proof = ReceiptProof(
        key=receipt_id,
        till_id=till_id,
        incarnation=b"\x05" * 8,
        seq=9,
        card=b"",
        earned_points=10,
        redeemed_points=50,
        paid_minor=950,
        moment="2025-03-05T11:00",
        bundle=b"\x01" * 8,
    )
    return qr.write(qr.seal(proof, key))


def coming_back(code: str, *, confirm: bool = False, original: str = RECEIPT) -> ReturnRequest:
    """Return the wish to take line 1 back, with what was read on the paper."""
    wish = returning(original=original, confirm=confirm)
    return msgspec.structs.replace(wish, receipt_code=code)


def told(answer: ReturnAnswer) -> tuple[str, bool, bool | None]:
    claim = answer.claim
    return answer.outcome, answer.pending, None if claim is None else claim.is_proven


# What is printed


def test_a_recorded_receipt_carries_its_code(alone: JoinedTill) -> None:
    alone.take_rules(RULES)
    answer = alone.complete(receipt(card=CARD), 1_000)
    proof = qr.read(ReceiptProof, answer.receipt_code)
    qr.check_seal(proof, TILL_KEY.public)
    head = alone.till.journal.stream.head()
    assert (proof.key, proof.till_id, proof.incarnation, proof.seq) == (
        RECEIPT,
        TILL_ID,
        head.incarnation,
        head.seq,
    )
    assert (proof.paid_minor, proof.earned_points, proof.redeemed_points) == (1_000, 10, 0)
    assert proof.moment == builders.A_WEDNESDAY[:16]
    assert proof.card == card_hash(CARD_KEY, CARD)[: qr.CARD_BYTES]
    assert alone.till.books.active.bundle_hash.startswith(proof.bundle.hex())


def test_the_same_completion_gives_the_same_code(alone: JoinedTill) -> None:
    first = alone.complete(receipt(), 1_000)
    again = alone.reopened()
    assert again.complete(receipt(), 1_000).receipt_code == first.receipt_code != ""
    again.close()


def test_nothing_but_a_recorded_receipt_has_a_code(alone: JoinedTill) -> None:
    shown = alone.update(receipt())
    training = alone.complete(receipt(training=True), 1_000, OTHER_RECEIPT)
    assert (shown.receipt_code, training.receipt_code) == ("", "")


# Returns of receipts nobody here knows


def test_without_a_code_an_unknown_receipt_stays_unknown(alone: JoinedTill) -> None:
    assert told(alone.take_back(coming_back(""))) == (Outcome.RECEIPT_UNKNOWN, False, None)


def test_a_genuine_code_shows_what_it_says_and_the_return_waits(alone: JoinedTill) -> None:
    shown = alone.take_back(coming_back(code()))
    assert told(shown) == (Outcome.PREVIEWED, True, True)
    assert shown.claim is not None
    assert (shown.claim.till_id, shown.claim.moment) == (TILL_ID, "2025-03-05T11:00")
    assert (shown.claim.paid_minor, shown.claim.redeemed_points) == (950, 50)
    done = alone.take_back(coming_back(code(), confirm=True))
    assert (told(done), done.calculation) == ((Outcome.RECORDED, True, True), msgspec.UNSET)
    record = alone.own_records()[-1]
    assert isinstance(record, RefundRecord)
    assert (record.receipt_code, bytes(record.calculation)) == (code(), b"{}")


def test_a_confirmed_return_repeats_its_answer_with_and_without_the_code(
    alone: JoinedTill,
) -> None:
    done = alone.take_back(coming_back(code(), confirm=True))
    assert alone.take_back(coming_back("", confirm=True)) == done
    assert alone.take_back(coming_back(code(), confirm=True)) == done


def test_a_second_return_of_the_same_line_is_refused_here(alone: JoinedTill) -> None:
    alone.take_back(coming_back(code(), confirm=True))
    again = alone.take_back(coming_back(code(), confirm=True), OTHER_RETURN)
    assert again.outcome == Outcome.LINE_ALREADY_RETURNED


WRONG = {
    "signed by somebody else": code(key=STRANGER_KEY),
    "of another receipt": code(receipt_id=OTHER_RECEIPT),
    "no code": "4006381333931",
    "cut short": code()[:-3],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
@pytest.mark.parametrize("confirm", [True, False])
def test_a_wrong_code_is_refused_and_nothing_is_recorded(
    alone: JoinedTill, wrong: str, *, confirm: bool
) -> None:
    answer = alone.take_back(coming_back(wrong, confirm=confirm))
    assert (answer.outcome, answer.field) == (Outcome.CODE_WRONG, "receipt_code")
    assert not any(isinstance(record, RefundRecord) for record in alone.own_records())


def test_a_wrong_code_is_refused_even_for_a_receipt_this_till_knows(alone: JoinedTill) -> None:
    alone.complete(receipt(), 1_000)
    wrong = coming_back(code(key=STRANGER_KEY))
    assert alone.take_back(wrong).outcome == Outcome.CODE_WRONG


def test_the_printed_code_is_welcome_for_a_receipt_this_till_knows(alone: JoinedTill) -> None:
    printed = alone.complete(receipt(), 1_000).receipt_code
    shown = alone.take_back(coming_back(printed))
    assert (shown.outcome, shown.pending, shown.claim) == (Outcome.PREVIEWED, False, None)
    assert shown.calculation


# A till of this store, and of another


def test_a_siblings_code_is_checked_with_the_key_the_roster_has(alone: JoinedTill) -> None:
    sibling = RosterTill(till_id=ELSEWHERE, public_key=STRANGER_KEY.public)
    alone.till.neighbours.use_roster(Roster(version="1", store="store-1", tills=(sibling,)))
    genuine = code(till_id=ELSEWHERE, key=STRANGER_KEY)
    assert told(alone.take_back(coming_back(genuine))) == (Outcome.PREVIEWED, True, True)
    forged = code(till_id=ELSEWHERE, key=TILL_KEY)
    assert alone.take_back(coming_back(forged)).outcome == Outcome.CODE_WRONG


def test_a_code_of_a_till_not_known_here_is_a_claim_as_long_as_nobody_can_be_asked(
    alone: JoinedTill,
) -> None:
    foreign = code(till_id=ELSEWHERE, key=STRANGER_KEY)
    assert told(alone.take_back(coming_back(foreign))) == (Outcome.RECEIPT_UNKNOWN, False, False)
    done = alone.take_back(coming_back(foreign, confirm=True))
    assert told(done) == (Outcome.RECORDED, True, False)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("genuine", (Outcome.PREVIEWED, True, True)),
        ("wrong", (Outcome.CODE_WRONG, False, None)),
        ("", (Outcome.RECEIPT_UNKNOWN, False, False)),
    ],
)
def test_the_centre_says_whether_a_foreign_code_is_genuine(
    joined: JoinedTill, centre: FakeCentre, says: str, expected: tuple[str, bool, bool | None]
) -> None:
    joined.talk()
    foreign = code(till_id=ELSEWHERE, key=STRANGER_KEY)
    centre.receipts[RECEIPT] = msgspec.convert({"code": says}, KnownReceipt)
    assert told(joined.take_back(coming_back(foreign))) == expected
    (question,) = centre.asked(ReceiptQuestion)
    assert question.code == foreign


def test_a_preview_the_centre_helped_with_is_confirmed_without_it(
    joined: JoinedTill, centre: FakeCentre, alone: JoinedTill
) -> None:
    printed = alone.complete(receipt(), 1_000)
    calculation = alone.till.journal.receipts.find(RECEIPT)
    assert calculation is not None
    joined.talk()
    centre.receipts[RECEIPT] = KnownReceipt(calculation=calculation.calculation, code="genuine")
    shown = joined.take_back(coming_back(printed.receipt_code))
    assert (shown.outcome, shown.pending) == (Outcome.PREVIEWED, False)
    centre.silent.add(PATH_RECEIPT)
    done = joined.take_back(coming_back(printed.receipt_code, confirm=True))
    assert (done.outcome, done.pending) == (Outcome.RECORDED, False)


# A till that forgot


def test_a_till_with_fewer_records_than_a_printed_receipt_proves_begins_anew(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    before = joined.till.journal.stream.head()
    joined.side.hello()
    answer = msgspec.structs.replace(
        centre.answer_hello(joined.side.hello()), seen_seq=before.seq + 1
    )
    joined.side.hello_answered(answer)
    after = joined.till.journal.stream.head()
    assert after.incarnation != before.incarnation
    assert not joined.side.has_session()


def test_a_till_with_all_records_a_printed_receipt_proves_goes_on(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    before = joined.till.journal.stream.head()
    answer = centre.answer_hello(joined.side.hello())
    joined.complete(receipt(), 1_000)  # printed and carried away while the answer was on its way
    joined.side.hello_answered(msgspec.structs.replace(answer, seen_seq=before.seq + 1))
    assert joined.till.journal.stream.head().incarnation == before.incarnation
    assert joined.side.has_session()
