"""The till in conversation: no fact is ever lost, a right lives in one incarnation."""

from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync.chain import first_link, links
from sync.cycle import PATH_PULL, PATH_PUSH
from sync.errors import LinkError
from sync.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from sync.messages import Cursor, Grant, HelloAnswer, OutcomeRow, Pull, PullAnswer, Push
from sync.records import (
    GrantInRecord,
    GrantReturnRecord,
    LotTaken,
    OpenRecord,
    RefundRecord,
    SaleRecord,
    VoidRecord,
    decode_record,
)
from sync.signing import NO_SESSION, sign_message
from tests.support import builders
from tests.support.builders import line, lot, offer
from tests.support.till import (
    CARD,
    CENTRE_KEY,
    DAY_MS,
    NOON_MS,
    OTHER_RECEIPT,
    RECEIPT,
    STRANGER_KEY,
    TILL_ID,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
    receipt,
    returning,
)

HOUR_MS = 3_600_000
HALF = builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100)))
TEN = receipt(card=CARD)
FACTS = (SaleRecord, VoidRecord, RefundRecord)


def with_rights(joined: JoinedTill, points: int = 100) -> Grant:
    """Give the till one right over one lot; return it."""
    assert joined.centre is not None
    joined.centre.knows(customer(points=300))
    joined.centre.grants(points)
    joined.centre.publishes(HALF)
    joined.talk()
    return joined.centre.granted[-1]


def keys(records: list[object]) -> list[str]:
    return [record.key for record in records if isinstance(record, FACTS)]


def records_of(joined: JoinedTill, kind: type) -> list[object]:
    return [record for record in joined.own_records() if isinstance(record, kind)]


def told(joined: JoinedTill, *grants: Grant, recalls: tuple[str, ...] = ()) -> None:
    """Have the till hear these with a pull."""
    answer = PullAnswer(
        cursor=Cursor(), applied_through=0, more=False, grants=grants, recalls=recalls
    )
    joined.side.pull_answered(answer)


# Pushing


def test_a_push_has_at_most_so_many_records(alone: JoinedTill) -> None:
    with alone.till.journal.transaction():
        for number in range(BATCH_RECORDS_MAX + 20):
            record = VoidRecord(at_ms=NOON_MS, key=str(number), why="test")
            alone.till.journal.stream.append(record)
    first = alone.till.journal.stream.next_push()
    assert first is not None
    assert (first.from_seq, len(first.records)) == (1, BATCH_RECORDS_MAX)
    with alone.till.journal.transaction():
        alone.till.journal.stream.move_acked(BATCH_RECORDS_MAX, durable_seq=0)
    second = alone.till.journal.stream.next_push()
    assert second is not None
    assert (second.from_seq, len(second.records)) == (BATCH_RECORDS_MAX + 1, 21)
    assert second.previous_hash == links(first.previous_hash, first.records)[-1]


def test_a_push_has_at_most_so_many_bytes_and_at_least_one_record(alone: JoinedTill) -> None:
    notes = {"note": "x" * 200, "more": "x" * 200, "most": "x" * 200}
    lines = tuple(line(str(number), attributes=notes) for number in range(400))
    for number in range(5):
        key = f"01957e3c-9a40-7c11-8d22-{number:012d}"
        assert alone.complete(receipt(*lines), 400_000, key).outcome == Outcome.RECORDED
    stream = alone.till.journal.stream
    seen: list[bytes] = []
    while push := stream.next_push():
        sizes = [len(record) for record in push.records]
        assert sum(sizes) <= BATCH_BYTES_MAX or len(sizes) == 1
        seen += push.records
        with alone.till.journal.transaction():
            stream.move_acked(push.from_seq + len(sizes) - 1, durable_seq=0)
    assert len(seen) == 6
    assert len(keys([decode_record(body) for body in seen])) == 5
    assert stream.next_push() is None


def test_a_conversation_empties_the_outbox_and_keeps_the_records(joined: JoinedTill) -> None:
    joined.complete(TEN, 1_000)
    joined.talk()
    head = joined.till.journal.stream.head()
    assert (head.acked_seq, head.acked_hash) == (head.seq, head.head)
    assert keys(records_of(joined, SaleRecord)) == [RECEIPT]
    again = joined.reopened()
    assert again.till.journal.stream.next_push() is None
    assert keys(records_of(again, SaleRecord)) == [RECEIPT]
    again.close()


def test_a_conversation_broken_off_anywhere_repeats_the_same_bytes(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.complete(TEN, 1_000)
    before = joined.till.journal.stream.next_push()
    for path in (PATH_PUSH, PATH_PULL):
        centre.silent = {path}
        with pytest.raises(LinkError):
            joined.talk()
    centre.silent = set()
    pushed = centre.asked(Push)
    joined.talk()
    assert before is not None
    assert [push.records for push in pushed[:1]] == [before.records]
    assert len(centre.records()) == len(joined.own_records())


def test_the_chain_begins_with_the_till_and_its_incarnation(alone: JoinedTill) -> None:
    head = alone.till.journal.stream.head()
    push = alone.till.journal.stream.next_push()
    assert push is not None
    assert push.previous_hash == first_link(TILL_ID, head.incarnation)
    assert links(push.previous_hash, push.records)[-1] == head.head


# HELLO and its verdicts


def test_hello_ends_the_session_before(joined: JoinedTill) -> None:
    joined.talk()
    assert joined.till.session != NO_SESSION
    joined.side.hello()
    assert joined.till.session == NO_SESSION
    assert not joined.side.has_session()


def test_hello_sets_the_trusted_clock(
    joined: JoinedTill, system: SetSystem, centre: FakeCentre
) -> None:
    centre.system = SetSystem(NOON_MS + 7 * DAY_MS)
    joined.talk()
    system.wall_ms -= 365 * DAY_MS
    system.passed_ms += 5_000
    assert joined.till.clock.now_ms() == NOON_MS + 7 * DAY_MS + 5_000


def test_ok_moves_the_pointer_to_what_the_centre_has(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.complete(TEN, 1_000)
    centre.silent = {PATH_PULL}
    with pytest.raises(LinkError):
        joined.talk()
    joined.side.hello_answered(centre.stream.hello(joined.side.hello()))
    assert joined.till.journal.stream.next_push() is None


def test_rewind_sends_again_what_the_centre_has_lost(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.complete(TEN, 1_000)
    joined.talk()
    sent = centre.records()
    centre.stream.lose_after(joined.till.journal.stream.head().incarnation, 1)
    joined.talk()
    assert centre.records() == sent
    assert len(centre.stream.streams) == 1


def test_rewind_to_nothing_sends_everything_again(joined: JoinedTill, centre: FakeCentre) -> None:
    joined.complete(TEN, 1_000)
    joined.talk()
    sent = centre.records()
    centre.stream.streams.clear()
    joined.talk()
    assert centre.records() == sent


def test_a_centre_that_went_back_hears_of_earlier_streams_again(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.complete(TEN, 1_000)
    joined.talk()
    told = records_of(joined, SaleRecord)
    old = joined.till.journal.stream.head()
    joined.till.start_incarnation("witness", number_min=old.incarnation_number + 1)
    joined.talk()
    assert records_of(joined, SaleRecord) == []  # the centre has it from the earlier stream
    del centre.stream.streams[old.incarnation]
    centre.epoch += 1
    joined.talk()
    assert records_of(joined, SaleRecord) == told
    assert keys(list(centre.records())) == [RECEIPT]
    joined.talk()
    assert records_of(joined, SaleRecord) == told  # once is enough


def test_amnesia_voids_rights_and_repeats_unacknowledged_facts_with_the_same_bytes(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    with_rights(joined)
    joined.complete(TEN, 1_000)
    joined.talk()
    joined.cut_off()
    joined.complete(TEN, 1_000, OTHER_RECEIPT)
    joined.take_back(returning())
    unsent = joined.till.journal.stream.next_push()
    assert unsent is not None
    told(joined, recalls=(centre.granted[0].grant_id,))  # moves a right: void with its stream
    older = joined.till.journal.stream.head().incarnation
    # The centre has seen a stream of this till with a higher number: this file is a restored copy.
    joined.side.hello()
    joined.side.hello_answered(hello_answer(centre, verdict="amnesia", number_min=5))
    head = joined.till.journal.stream.head()
    assert head.incarnation_number == 5
    assert head.incarnation != older
    assert not joined.side.has_session()
    assert joined.till.journal.rights.points_held() == 0
    opening, *repeated = joined.own_records()
    assert isinstance(opening, OpenRecord)
    assert (opening.reason, opening.previous_incarnation) == ("amnesia", older.hex())
    push = joined.till.journal.stream.next_push()
    assert push is not None
    assert push.records[1:] == unsent.records
    assert keys(list(repeated)) == [OTHER_RECEIPT, repeated[1].key]  # type: ignore[union-attr]
    assert RECEIPT not in keys(list(repeated))


def hello_answer(centre: FakeCentre, *, verdict: str, number_min: int = 1) -> HelloAnswer:
    return HelloAnswer(
        verdict=verdict,  # type: ignore[arg-type]
        verified=False,
        session=bytes(15) + b"\x07",
        last_seq=0,
        last_hash=bytes(32),
        durable_seq=0,
        server_time_ms=centre.system.now_ms(),
        incarnation_number_min=number_min,
    )


def test_a_restored_copy_of_the_journal_is_noticed_and_nothing_is_lost(
    joined: JoinedTill, centre: FakeCentre, tmp_path: Path
) -> None:
    with_rights(joined)
    joined.till.journal.close()
    old = (joined.folder / "journal.db").read_bytes()
    joined.till.cache.close()
    ahead = JoinedTill(joined.folder, centre=centre, system=joined.system)
    ahead.complete(TEN, 1_000)
    ahead.talk()
    ahead.close()
    (joined.folder / "journal.db").write_bytes(old)
    restored = JoinedTill(joined.folder, centre=centre, system=joined.system)
    restored.complete(TEN, 1_000, OTHER_RECEIPT)
    # The right in the copy may have been spent since the copy was made.
    assert restored.till.journal.rights.points_held() == 100
    restored.talk()
    assert restored.till.journal.rights.points_held() == 0
    everything = [
        decode_record(body) for kept in centre.stream.streams.values() for body in kept.bodies
    ]
    restored.close()
    assert sorted(keys(list(everything))) == sorted([RECEIPT, OTHER_RECEIPT])


def test_a_fork_in_the_hello_begins_a_new_stream(joined: JoinedTill, centre: FakeCentre) -> None:
    with_rights(joined)
    joined.side.hello()
    with capture_logs() as logs:
        joined.side.hello_answered(
            msgspec.structs.replace(hello_answer(centre, verdict="ok", number_min=2), last_seq=1)
        )
    assert [entry["why"] for entry in logs] == ["fork"]
    assert joined.till.journal.stream.head().incarnation_number == 2
    assert joined.till.journal.rights.points_held() == 0
    joined.talk()
    assert joined.side.has_session()


def test_a_fork_in_a_push_begins_a_new_stream_that_arrives_whole(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    with_rights(joined)
    older = joined.till.journal.stream.head().incarnation
    centre.stream.streams[older].hashes[-1] = bytes(32)
    joined.complete(TEN, 1_000)
    joined.talk(greet=False)
    head = joined.till.journal.stream.head()
    assert (head.incarnation_number, head.acked_seq) == (2, head.seq)
    assert keys(list(centre.records())) == [RECEIPT]
    assert centre.stream.branches
    # Given to the older stream: void here, whatever the centre makes of it.
    assert joined.till.journal.rights.points_held() == 0


def test_a_centre_that_claims_more_than_the_till_has_begins_a_new_stream(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.side.hello()
    more = msgspec.structs.replace(hello_answer(centre, verdict="ok", number_min=4), last_seq=99)
    joined.side.hello_answered(more)
    assert joined.till.journal.stream.head().incarnation_number == 4


def test_a_revoked_till_sells_and_records_and_spends_nothing(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    with_rights(joined)
    centre.is_revoked = True
    joined.side.hello_answered(centre.answer_hello(joined.side.hello()))
    assert joined.till.revoked
    assert joined.till.journal.rights.points_held() == 0
    assert joined.till.journal.rights.risk_points_left() == 0
    joined.cut_off()
    assert joined.reserve(TEN, 50).outcome == Outcome.RIGHTS_EXHAUSTED
    assert joined.complete(TEN, 1_000).outcome == Outcome.RECORDED
    assert keys(records_of(joined, SaleRecord)) == [RECEIPT]


# Grants


def test_a_grant_told_twice_in_a_session_is_accepted_once(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    right = with_rights(joined)
    joined.talk(greet=False)
    told(joined, right, right)
    assert joined.till.journal.rights.points_held() == 100
    assert len(records_of(joined, GrantInRecord)) == 1
    assert len(centre.asked(Pull)) == 2


def test_a_grant_that_was_spent_does_not_come_back_by_being_told_again(
    joined: JoinedTill,
) -> None:
    right = with_rights(joined)
    joined.reserve(TEN, 100)
    joined.complete(TEN, 900)
    told(joined, right)
    assert joined.till.journal.rights.points_held() == 0


@pytest.mark.parametrize(
    "change",
    [
        {"till_id": TILL_ID + 1},
        {"incarnation": b"another."},
        {"session": bytes(15) + b"\x63"},
        {"session": NO_SESSION},
    ],
)
def test_a_grant_for_anybody_else_is_refused(
    joined: JoinedTill, centre: FakeCentre, change: dict[str, object]
) -> None:
    joined.talk()
    right = centre.grant(7, (lot(501, 100),))
    told(joined, sign_message(msgspec.structs.replace(right, **change), CENTRE_KEY))
    assert joined.till.journal.rights.points_held() == 0
    assert records_of(joined, GrantInRecord) == []
    told(joined, right)
    assert joined.till.journal.rights.points_held() == 100


def test_a_grant_of_an_old_session_is_refused_in_the_next(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    right = centre.grant(7, (lot(501, 100),))
    joined.talk()
    told(joined, right)
    assert joined.till.journal.rights.points_held() == 0


def test_a_grant_without_any_session_is_refused(alone: JoinedTill) -> None:
    centre = FakeCentre()
    centre.incarnation = alone.till.journal.stream.head().incarnation
    told(alone, centre.grant(7, (lot(501, 100),)))
    assert alone.till.journal.rights.points_held() == 0


def test_a_grant_the_centre_did_not_sign_is_refused_and_said_so(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    right = centre.grant(7, (lot(501, 100),))
    more = msgspec.structs.replace(right, points=1_000, lots=(lot(501, 1_000),))
    forged = sign_message(msgspec.structs.replace(right, signature=b""), STRANGER_KEY)
    with capture_logs() as logs:
        told(joined, more, forged)
    assert [entry["event"] for entry in logs] == ["grant_refused"] * 2
    assert joined.till.journal.rights.points_held() == 0


# Going home


def test_a_recall_returns_only_what_no_receipt_has_reserved(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    right = with_rights(joined)
    joined.reserve(TEN, 30)
    centre.recalls.append(right.grant_id)
    joined.talk()
    (home,) = records_of(joined, GrantReturnRecord)
    assert home == GrantReturnRecord(
        at_ms=NOON_MS, grant_id=right.grant_id, points=70, why="recalled", lots=(LotTaken(501, 70),)
    )
    assert centre.records()[-1] == home
    assert joined.complete(TEN, 970).outcome == Outcome.RECORDED
    (sale,) = records_of(joined, SaleRecord)
    assert isinstance(sale, SaleRecord)
    assert [source.points for source in sale.sources] == [30]


def test_what_a_receipt_gives_back_after_the_recall_goes_home_with_the_next_one(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    right = with_rights(joined)
    joined.reserve(TEN, 30)
    centre.recalls.append(right.grant_id)
    joined.talk()
    joined.cancel()
    joined.talk()
    home = [r.points for r in records_of(joined, GrantReturnRecord)]  # type: ignore[attr-defined]
    assert home == [70, 30]
    assert joined.till.journal.rights.points_held() == 0


def test_a_recall_repeated_or_of_an_unknown_right_makes_no_record(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    right = with_rights(joined)
    told(joined, recalls=(right.grant_id, right.grant_id, "01957e00-0000-7abc-8def-999999999999"))
    assert len(records_of(joined, GrantReturnRecord)) == 1


def test_a_recall_is_durable_before_the_centre_can_hear_of_it(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    right = with_rights(joined)
    told(joined, recalls=(right.grant_id,))
    again = joined.reopened()
    assert again.till.journal.rights.points_held() == 0
    again.cut_off()
    assert again.reserve(TEN, 50).reserved_points == 0
    again.talk()
    assert isinstance(centre.records()[-1], GrantReturnRecord)
    again.close()


def test_an_ended_grant_goes_home_and_what_a_receipt_holds_stays_good(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    with_rights(joined)
    system.let_pass(14 * DAY_MS - HOUR_MS)
    joined.reserve(TEN, 30)
    system.let_pass(2 * HOUR_MS)
    joined.talk()
    (home,) = records_of(joined, GrantReturnRecord)
    assert isinstance(home, GrantReturnRecord)
    assert (home.points, home.why) == (70, "expired")
    assert joined.complete(TEN, 970).outcome == Outcome.RECORDED


# What else is pulled


def test_pulling_repeats_after_a_crash_and_never_skips(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=10))
    centre.silent = {PATH_PULL}
    with pytest.raises(LinkError):
        joined.talk()
    assert joined.till.cache.cursor() == Cursor()
    centre.silent = set()
    joined.talk()
    assert joined.till.cache.cursor() == Cursor(epoch=1, row=1)
    assert joined.till.cache.account_count() == 1


def test_an_older_version_of_an_account_never_replaces_a_newer(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=50, version=3))
    joined.talk()
    centre.knows(customer(points=999, version=2))
    joined.talk()
    row = joined.till.cache.account(joined.till.card_hash(CARD))
    assert row is not None
    assert row.points == 50


def test_what_became_of_a_record_is_kept_beside_it(joined: JoinedTill) -> None:
    joined.complete(TEN, 1_000)
    joined.talk()
    head = joined.till.journal.stream.head()
    row = OutcomeRow(
        seq=head.seq, incarnation=head.incarnation, outcome="adjusted", reason="blocked", points=-5
    )
    joined.side.pull_answered(
        PullAnswer(cursor=Cursor(), applied_through=head.seq, more=False, outcomes=(row,))
    )
    assert joined.till.journal.stream.is_sound()
    assert keys(records_of(joined, SaleRecord)) == [RECEIPT]


# Rights the centre may have given again, and receipts nobody finishes


def test_rewind_gives_up_the_rights_the_centre_may_have_lost(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    grant = with_rights(joined)
    assert joined.till.journal.rights.points_held() == grant.points
    link = first_link(TILL_ID, joined.till.journal.stream.head().incarnation)
    answer = HelloAnswer(
        verdict="rewind",
        verified=False,
        session=b"\x07" * 16,
        last_seq=0,
        last_hash=link,
        durable_seq=0,
        server_time_ms=NOON_MS,
        incarnation_number_min=9,
    )
    joined.side.hello_answered(answer)
    assert joined.till.journal.rights.points_held() == 0
    assert joined.till.journal.rights.risk_points_left() == 0
    (home,) = records_of(joined, GrantReturnRecord)
    assert isinstance(home, GrantReturnRecord)
    assert (home.grant_id, home.points) == (grant.grant_id, grant.points)
    assert centre.granted == [grant]


def test_a_receipt_its_register_forgot_gives_back_what_it_holds(joined: JoinedTill) -> None:
    grant = with_rights(joined)
    answer = joined.reserve(TEN, 60)
    assert answer.reserved_points == 60
    system = joined.till.system
    assert isinstance(system, SetSystem)
    system.let_pass(DAY_MS - 1)
    joined.side.hello()
    assert joined.till.journal.rights.points_held() == grant.points - 60
    system.let_pass(2)
    joined.side.hello()
    assert joined.till.journal.rights.points_held() == grant.points
    assert joined.complete(TEN, 940).outcome == Outcome.RECEIPT_CLOSED
