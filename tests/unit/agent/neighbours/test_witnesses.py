"""Siblings keep each other's records, know each other's heads, and are no proof by themselves."""

from pathlib import Path

import msgspec
import pytest

from agent.journal.witness_store import Copy
from agent.neighbours.delivering import deliver
from agent.neighbours.heads import signed_head, take_known
from agent.neighbours.protecting import keep_copy
from loyalty.offers import AmountOff, Limits, SharedLimit
from loyalty.outcomes import Outcome
from sync.chain import links
from sync.cycle import Ask
from sync.errors import LinkError, RefusedError
from sync.messages import Message
from sync.neighbours import (
    Delivery,
    DeliveryAnswer,
    HeadRequest,
    SignedHead,
    WitnessAnswer,
    WitnessRequest,
    sign_head,
)
from sync.records import OpenRecord, SaleRecord, decode_record
from sync.signing import SigningKey
from tests.support import builders
from tests.support.builders import offer
from tests.support.store_lan import SECOND, THIRD, VAULT, StoreTill, seed_of
from tests.support.till import CARD, OTHER_RECEIPT, Question, driven, receipt
from tests.unit.agent.neighbours.conftest import Store

TEN = receipt(card=CARD)
THIRD_RECEIPT = "01900000-0000-7000-8000-000000000033"


def copies_of(witness: StoreTill, owner: StoreTill) -> list[Copy]:
    """Return what one till keeps for another."""
    kept = witness.till.journal.witness.copies(100, without=())
    return [copy for copy in kept if copy.head.till_id == owner.till_id]


def records_of(copies: list[Copy]) -> dict[int, bytes]:
    """Return the records of copies by seq."""
    return {copy.from_seq + i: body for copy in copies for i, body in enumerate(copy.records)}


def sell_offline(till: StoreTill, points: int = 60) -> None:
    """Redeem points of the vault and complete the receipt."""
    assert till.reserve(TEN, points).reserved_points == points
    assert till.complete(TEN, 1_000 - points).outcome == Outcome.RECORDED


def incarnation(till: StoreTill) -> bytes:
    return till.till.journal.stream.head().incarnation


# Copies


def test_an_offline_redemption_is_on_a_sibling_before_it_is_printed(store: Store) -> None:
    sell_offline(store.second)
    kept = records_of(copies_of(store.third, store.second))
    head = store.second.till.journal.stream.head()
    assert max(kept) == head.seq
    assert isinstance(decode_record(kept[head.seq]), SaleRecord)
    assert store.second.till.neighbours.unwitnessed == 0


def test_a_sale_that_draws_on_a_limit_of_all_is_on_a_sibling_before_it_is_printed(
    store: Store,
) -> None:
    hundred = offer(
        "hundred", AmountOff(amount_minor=100), limits=Limits(campaign=SharedLimit(uses_max=9))
    )
    assert store.vault.centre is not None
    store.vault.centre.counters_left = {"campaign.uses:hundred": 9}
    store.vault.take_rules(builders.bundle(hundred, version=9))
    store.vault.talk()
    store.cut_line()
    assert store.vault.update(receipt()).outcome == Outcome.CALCULATED
    assert store.vault.complete(receipt(), 900).outcome == Outcome.RECORDED
    head = store.vault.till.journal.stream.head()
    assert max(records_of(copies_of(store.second, store.vault))) == head.seq


def test_a_sale_that_spends_nothing_is_copied_after_it_is_printed(store: Store) -> None:
    asked = len(store.lan.asked)
    assert store.vault.complete(receipt(), 1_000).outcome == Outcome.RECORDED
    assert len(store.lan.asked) == asked
    store.vault.background()
    head = store.vault.till.journal.stream.head()
    assert max(records_of(copies_of(store.second, store.vault))) == head.seq


def test_without_a_sibling_the_receipt_is_recorded_and_the_lack_is_noted(store: Store) -> None:
    assert store.vault.reserve(TEN, 60).reserved_points == 60
    store.lan.cut_off |= {SECOND, THIRD}
    assert store.vault.complete(TEN, 940).outcome == Outcome.RECORDED
    assert store.vault.till.neighbours.unwitnessed == 1
    asked = len(store.lan.asked)
    assert store.vault.reserve(TEN, 10, OTHER_RECEIPT).reserved_points == 10
    assert store.vault.complete(TEN, 990, OTHER_RECEIPT).outcome == Outcome.RECORDED
    assert len(store.lan.asked) == asked + 1  # the other sibling once, and then nobody


def test_with_the_line_up_nobody_is_asked_to_keep_anything(store: Store) -> None:
    store.vault.till.link_up = True
    assert store.vault.reserve(TEN, 60).reserved_points == 60
    assert store.vault.complete(TEN, 940).outcome == Outcome.RECORDED
    store.vault.background()
    assert copies_of(store.second, store.vault) == []


def test_what_the_centre_does_not_have_is_copied_beside_the_sales(store: Store) -> None:
    assert store.second.update(receipt()).outcome == Outcome.CALCULATED
    assert store.second.complete(receipt(), 1_000).outcome == Outcome.RECORDED
    assert copies_of(store.third, store.second) == []
    store.second.background()
    head = store.second.till.journal.stream.head()
    assert set(records_of(copies_of(store.third, store.second))) == set(
        range(head.acked_seq + 1, head.seq + 1)
    )
    asked = len(store.lan.asked)
    store.second.background()
    assert len(store.lan.asked) == asked  # everything has a copy


def test_a_copy_goes_when_its_till_says_that_the_centre_has_it(store: Store) -> None:
    sell_offline(store.second)
    assert copies_of(store.third, store.second)
    store.second.talk()
    store.lan.beat()
    store.third.background()
    assert copies_of(store.third, store.second) == []


def test_a_copy_is_needed_again_when_the_centre_went_back(store: Store) -> None:
    sell_offline(store.second)
    kept = records_of(copies_of(store.third, store.second))
    store.second.talk()
    store.lan.beat()
    store.third.background()
    assert copies_of(store.third, store.second) == []
    assert store.third.centre is not None
    store.third.centre.epoch += 1
    store.third.talk()
    assert records_of(copies_of(store.third, store.second)) == kept
    store.third.background()  # what the other says the centre has, it says of a life before
    assert records_of(copies_of(store.third, store.second)) == kept
    assert store.second.centre is not None
    store.second.centre.epoch += 1
    store.second.talk()
    store.lan.beat()
    store.third.background()
    assert copies_of(store.third, store.second) == []


def test_a_till_of_the_past_cannot_make_a_witness_forget(store: Store, tmp_path: Path) -> None:
    """It says that the centre has all: of its other history. The copy alone has the receipt."""
    store.second.image(tmp_path / "image")
    sell_offline(store.second)
    store.second = store.second.restored(tmp_path / "image")
    store.lan.cut_off |= {SECOND}
    store.second.complete(receipt(), 1_000, OTHER_RECEIPT)
    store.second.complete(receipt(), 1_000, THIRD_RECEIPT)
    store.second.talk()
    store.lan.cut_off.clear()
    store.lan.beat()
    old = incarnation(store.second)
    store.third.background()
    assert incarnation(store.second) != old  # its own word of another history convinced it
    assert copies_of(store.third, store.second)
    assert handed_in(store.third)  # beside what the till itself tells
    assert copies_of(store.third, store.second) == []


def test_a_copy_outlives_the_witness(store: Store) -> None:
    sell_offline(store.second)
    kept = copies_of(store.third, store.second)
    store.third = store.third.reopened()
    assert copies_of(store.third, store.second) == kept


def test_many_records_travel_in_copies_that_fit(store: Store) -> None:
    for number in range(150):
        key = f"01957e3c-9a40-7c11-8d22-{number:012d}"
        store.second.complete(receipt(), 1_000, key)
    store.second.background()
    head = store.second.till.journal.stream.head()
    kept = records_of(copies_of(store.third, store.second))
    assert set(kept) == set(range(head.acked_seq + 1, head.seq + 1))
    assert len(copies_of(store.third, store.second)) >= 3


def test_a_sibling_that_is_full_says_so_and_is_left_in_peace(store: Store) -> None:
    database = store.third.till.journal._database  # noqa: SLF001 - a store that is full
    head = msgspec.msgpack.encode(signed_head(store.second.till))
    with store.third.till.journal.transaction():
        database.run(
            "insert into witness_copy"
            " values (?, x'00', 1, x'00', 1, ?, x'', x'', x'', 33554432, 0)",
            SECOND, head,
        )  # fmt: skip
        database.run(
            "insert into copy_state values (?, x'00', 1, x'00', 33554432, 0)", SECOND
        )  # fmt: skip
    store.lan.cut_off.add(VAULT)
    store.second.complete(receipt(), 1_000)
    store.second.background()
    asked = len(store.lan.asked)
    store.second.background()
    assert len(store.lan.asked) == asked
    # Another sibling's share is not touched by it.
    assert store.third.till.journal.witness.has_room(VAULT, 1_000_000)


# What a witness accepts


def copy_of(till: StoreTill, first: int = 1, last: int | None = None) -> WitnessRequest:
    """Return a copy of a till's records as it would ask for it."""
    stream = till.till.journal.stream
    bodies = stream.bodies_after(first - 1, (last or stream.head().seq) - first + 1)
    previous = stream.hash_at(first - 1)
    assert previous is not None
    return WitnessRequest(
        head=signed_head(till.till, seq=first + len(bodies) - 1),
        from_seq=first,
        previous_hash=previous,
        records=tuple(bodies),
    )


def forked(request: WitnessRequest, *, length: int, acked_seq: int = 0) -> WitnessRequest:
    """Return another history of the same incarnation, signed by the same till."""
    bodies = [b'{"other":%d}' % n for n in range(length)]
    chain = links(request.previous_hash, bodies)
    head = msgspec.structs.replace(
        request.head,
        seq=request.from_seq + length - 1,
        head=chain[-1],
        acked_seq=acked_seq,
    )
    return msgspec.structs.replace(
        request,
        records=tuple(bodies),
        head=sign_head(head, SigningKey(seed_of(request.head.till_id))),
    )


def test_the_same_copy_again_is_kept_once(store: Store) -> None:
    request = copy_of(store.second)
    for _ in range(2):
        answer = keep_copy(store.third.till, request, SECOND)
        assert (answer.verdict, answer.known) == ("kept", request.head)
    assert len(copies_of(store.third, store.second)) == 1


@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_another_history_is_a_fork_however_short_or_long_and_both_are_kept(
    store: Store, length: int
) -> None:
    """S3: who compares numbers takes the shorter one for something it has already."""
    for number in range(3):
        store.second.complete(receipt(), 1_000, f"01957e3c-9a40-7c11-8d22-{number:012d}")
    start = store.second.till.journal.stream.head().acked_seq + 1
    first = copy_of(store.second, start)
    assert keep_copy(store.third.till, first, SECOND).verdict == "kept"
    other = forked(first, length=length)
    answer = keep_copy(store.third.till, other, SECOND)
    assert (answer.verdict, answer.known) == ("fork", first.head)
    kept = copies_of(store.third, store.second)
    assert {copy.records for copy in kept} == {first.records, other.records}


def test_both_histories_stay_until_the_centre_has_them(store: Store) -> None:
    store.second.complete(receipt(), 1_000)
    request = copy_of(store.second, store.second.till.journal.stream.head().seq)
    keep_copy(store.third.till, request, SECOND)
    keep_copy(store.third.till, forked(request, length=1), SECOND)
    store.second.talk()
    store.lan.beat()
    assert len(copies_of(store.third, store.second)) == 2


def test_a_head_that_was_only_heard_of_is_no_copy(store: Store) -> None:
    store.second.complete(receipt(), 1_000)
    store.lan.beat()
    store.system.let_pass(60_000)
    store.third.background()  # the heads of siblings are kept now
    request = copy_of(store.second)
    assert keep_copy(store.third.till, request, SECOND).verdict == "kept"
    assert copies_of(store.third, store.second)


def test_a_head_that_was_heard_of_shows_a_fork(store: Store) -> None:
    store.second.complete(receipt(), 1_000)
    store.lan.beat()
    store.system.let_pass(60_000)
    store.third.background()
    request = copy_of(store.second, store.second.till.journal.stream.head().seq)
    answer = keep_copy(store.third.till, forked(request, length=1), SECOND)
    assert (answer.verdict, answer.known) == ("fork", request.head)


def test_what_its_till_did_not_sign_is_not_kept(store: Store) -> None:
    request = copy_of(store.second)
    other = msgspec.structs.replace(request, head=sign_head(request.head, SigningKey(b"x" * 32)))
    more = msgspec.structs.replace(request, records=(*request.records, b"{}"))
    before = msgspec.structs.replace(request, previous_hash=b"p" * 32)
    for bad, sender in ((request, VAULT), (other, SECOND), (more, SECOND), (before, SECOND)):
        assert keep_copy(store.third.till, bad, sender) == WitnessAnswer(verdict="refused")
    assert copies_of(store.third, store.second) == []


# What came back from the past


def test_a_restored_till_asks_before_it_spends_and_begins_anew(
    store: Store, tmp_path: Path
) -> None:
    """N12 and N13: the rights the image held were spent after it was taken."""
    store.vault.image(tmp_path / "image")
    before = incarnation(store.vault)
    sell_offline(store.vault)
    store.vault = store.vault.restored(tmp_path / "image")
    store.vault.cut_off()
    assert incarnation(store.vault) == before  # the anchor came back with the image
    assert store.vault.left() == 100
    assert store.vault.reserve(TEN, 60, OTHER_RECEIPT).outcome == Outcome.RIGHTS_EXHAUSTED
    assert incarnation(store.vault) != before
    (opening,) = [r for r in store.vault.own_records() if isinstance(r, OpenRecord)]
    assert opening.reason == "witness"


def test_without_that_question_the_points_are_spent_twice(store: Store, tmp_path: Path) -> None:
    """N12 as it was: a check that never fails proves nothing."""
    store.vault.image(tmp_path / "image")
    sell_offline(store.vault)
    store.vault = store.vault.restored(tmp_path / "image")
    store.vault.cut_off()
    store.vault.till.neighbours.asked_for_head = True  # it asks nobody
    store.lan.cut_off |= {SECOND, THIRD}
    assert store.vault.reserve(TEN, 60, OTHER_RECEIPT).reserved_points == 60


def test_a_reservation_that_came_back_with_an_image_is_not_completed(
    store: Store, tmp_path: Path
) -> None:
    assert store.vault.reserve(TEN, 60).reserved_points == 60
    store.vault.image(tmp_path / "image")
    assert store.vault.complete(TEN, 940).outcome == Outcome.RECORDED
    store.vault = store.vault.restored(tmp_path / "image")
    store.vault.cut_off()
    assert store.vault.complete(TEN, 940).outcome == Outcome.STALE_CALCULATION


def test_a_restored_till_hears_it_with_the_next_copy(store: Store, tmp_path: Path) -> None:
    store.vault.image(tmp_path / "image")
    sell_offline(store.vault)
    before = incarnation(store.vault)
    store.vault = store.vault.restored(tmp_path / "image")
    store.vault.cut_off()
    store.lan.beat()
    store.vault.complete(receipt(), 1_000, OTHER_RECEIPT)
    store.vault.background()
    assert incarnation(store.vault) != before
    (sale,) = [r for r in store.vault.own_records() if isinstance(r, SaleRecord)]
    assert sale.key == OTHER_RECEIPT  # the fact moved over


def test_a_clean_start_goes_on(store: Store) -> None:
    before = incarnation(store.vault)
    sell_offline(store.vault)
    store.vault = store.vault.reopened()
    assert store.vault.reserve(TEN, 40, OTHER_RECEIPT).reserved_points == 40
    assert incarnation(store.vault) == before
    heads = [ask for _, ask in store.lan.asked if isinstance(ask.message, HeadRequest)]
    assert {ask.till_id for ask in heads} >= {SECOND, THIRD}


def test_siblings_are_asked_once_in_a_life(store: Store) -> None:
    store.vault = store.vault.reopened()
    store.lan.asked.clear()
    store.vault.reserve(TEN, 10)
    store.vault.reserve(TEN, 10, OTHER_RECEIPT)
    store.vault.background()
    assert sum(isinstance(ask.message, HeadRequest) for _, ask in store.lan.asked) == 2


def test_a_vault_that_has_just_started_gives_nothing_before_it_has_asked(store: Store) -> None:
    store.vault = store.vault.reopened()
    store.lan.beat()
    assert store.second.reserve(TEN, 60).outcome == Outcome.RIGHTS_EXHAUSTED
    store.vault.background()
    assert store.second.reserve(TEN, 60).reserved_points == 60


def test_a_sibling_cannot_make_a_till_forget(store: Store) -> None:
    """Whatever others sign, or change of what the till signed, is no proof."""
    till, before = store.second.till, incarnation(store.second)
    head = signed_head(till)
    later = msgspec.structs.replace(head, seq=head.seq + 5, head=b"h" * 32)
    for known in (
        later,
        sign_head(later, SigningKey(seed_of(THIRD))),
        sign_head(msgspec.structs.replace(later, till_id=VAULT), SigningKey(seed_of(SECOND))),
        None,
    ):
        assert take_known(till, known) == "silent"
    assert incarnation(store.second) == before


def test_an_older_word_of_its_own_proves_nothing_against_a_till(store: Store) -> None:
    before = signed_head(store.second.till)
    store.second.complete(receipt(), 1_000)
    assert take_known(store.second.till, before) == "continues"
    store.second.till.start_incarnation("amnesia")
    assert take_known(store.second.till, before) == "silent"


def test_a_till_that_hears_itself_speak_elsewhere_begins_anew(store: Store, tmp_path: Path) -> None:
    """Two clones: each hears of records it never made."""
    store.vault.image(tmp_path / "image")
    store.vault.complete(receipt(), 1_000)
    before = incarnation(store.vault)
    body = store.lan.desks[VAULT].heartbeat()
    store.vault = store.vault.restored(tmp_path / "image")
    store.lan.desks[VAULT].heard(VAULT, body)
    assert incarnation(store.vault) != before


def test_two_clones_that_hear_each_other_do_not_outbid_each_other(
    store: Store, tmp_path: Path
) -> None:
    """Each would begin a later stream than the other's at every heartbeat, for ever."""
    store.vault.image(tmp_path / "image")
    store.vault.till.start_incarnation("witness")
    body = store.lan.desks[VAULT].heartbeat()
    store.vault = store.vault.restored(tmp_path / "image")
    store.lan.desks[VAULT].heard(VAULT, body)  # it held points: they are void
    assert store.vault.left() == 0
    after = incarnation(store.vault)
    later = sign_head(
        SignedHead(
            till_id=VAULT,
            incarnation=b"\x07" * 8,
            incarnation_number=99,
            seq=1,
            head=b"\x07" * 32,
            acked_seq=0,
        ),
        SigningKey(store.vault.till.identity.key_seed),
    )
    assert take_known(store.vault.till, later) == "silent"
    assert incarnation(store.vault) == after  # nothing here can be spent twice


# Heartbeats


def test_who_lives_and_who_has_a_line(store: Store) -> None:
    known = store.second.till.neighbours
    assert known.alive() == [VAULT, THIRD]
    assert known.with_line() == frozenset()
    store.vault.till.link_up = True
    store.lan.beat()
    assert known.with_line() == {VAULT}
    store.system.let_pass(7_000)
    assert known.alive() == []


def test_a_heartbeat_in_anothers_name_is_not_heard(store: Store) -> None:
    known = store.second.till.neighbours
    store.system.let_pass(7_000)
    store.lan.desks[SECOND].heard(THIRD, store.lan.desks[VAULT].heartbeat())
    assert known.alive() == []


# Handing in


def handed_in(till: StoreTill, *answers: DeliveryAnswer) -> list[Delivery]:
    """Deliver what a till keeps; returns what it handed in."""
    found: list[Delivery] = []
    left = list(answers)

    def answer(question: Question) -> Message:
        assert isinstance(question, Ask)
        assert isinstance(question.message, Delivery)
        found.append(question.message)
        return left.pop(0) if left else DeliveryAnswer(verdict="ack")

    driven(deliver(till.till), answer)
    return found


def test_a_sibling_hands_in_what_it_keeps_and_forgets_it_then(store: Store) -> None:
    sell_offline(store.second)
    (delivery, *_) = handed_in(store.third)
    assert delivery.head.till_id == SECOND
    assert delivery.records
    assert copies_of(store.third, store.second) == []
    assert handed_in(store.third) == []


def test_a_till_with_a_line_of_its_own_is_not_spoken_for(store: Store) -> None:
    sell_offline(store.second)
    store.second.till.link_up = True
    store.lan.beat()
    assert handed_in(store.third) == []


def test_a_till_is_spoken_for_where_it_forgot(store: Store) -> None:
    """It has a line, and no longer the stream these records are of."""
    sell_offline(store.second)
    store.second.till.start_incarnation("journal damaged")
    store.second.till.link_up = True
    store.lan.beat()
    assert handed_in(store.third)


def test_a_revoked_till_hands_in_what_others_had_it_keep(store: Store) -> None:
    """They had not heard of it, and it may have the only copy."""
    sell_offline(store.second)
    store.third.till.revoked = True
    assert handed_in(store.third)
    assert copies_of(store.third, store.second) == []


def test_what_has_a_gap_before_it_is_kept(store: Store) -> None:
    sell_offline(store.second)
    assert handed_in(store.third, DeliveryAnswer(verdict="gap"))
    assert copies_of(store.third, store.second)


def test_other_streams_do_not_wait_behind_a_gap(store: Store) -> None:
    sell_offline(store.vault)
    assert store.third.complete(receipt(), 1_000, OTHER_RECEIPT).outcome == Outcome.RECORDED
    store.third.background()
    keeper = next(one for one in (store.vault, store.second) if copies_of(one, store.third))
    assert copies_of(store.second, store.vault)
    store.lan.cut_off |= {VAULT}
    store.third.background()
    if keeper is store.vault:
        assert keep_copy(store.second.till, copy_of(store.third), THIRD).verdict == "kept"
    handed_in(store.second, DeliveryAnswer(verdict="gap"))
    assert copies_of(store.second, store.vault)
    assert copies_of(store.second, store.third) == []


def test_no_answer_ends_it_and_loses_nothing(store: Store) -> None:
    sell_offline(store.second)
    steps = deliver(store.third.till)
    next(steps)
    with pytest.raises(LinkError):
        steps.throw(LinkError("cut"))
    assert copies_of(store.third, store.second)


def test_a_copy_the_centre_will_never_take_stands_in_nobodys_way(store: Store) -> None:
    sell_offline(store.second)
    steps = deliver(store.third.till)
    next(steps)
    with pytest.raises(StopIteration):
        steps.throw(RefusedError("request_invalid", "the head is not the word of a till"))
    assert copies_of(store.third, store.second) == []
