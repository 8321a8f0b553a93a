"""What the centre keeps durably is forgotten some weeks later, and nothing else ever is."""

from itertools import count

import pytest

from agent.journal.pruning import OVERDUE_DAYS, RECEIPT_DAYS, RECORD_DAYS, RECORDS_AT_ONCE
from loyalty.outcomes import Outcome
from sync.messages import Push
from sync.records import GrantReturnRecord, SaleRecord, VoidRecord, decode_record
from tests.support.till import (
    CARD,
    DAY_MS,
    OTHER_RECEIPT,
    RECEIPT,
    FakeCentre,
    JoinedTill,
    receipt,
    returning,
)

TEN = receipt()
_keys = count(1)


def written(joined: JoinedTill, records: int = RECORDS_AT_ONCE) -> None:
    """Append records that say little."""
    with joined.till.journal.transaction():
        for _ in range(records):
            record = VoidRecord(at_ms=joined.system.now_ms(), key=f"key {next(_keys)}", why="test")
            joined.till.journal.stream.append(record)


def seqs(joined: JoinedTill) -> list[int]:
    """Return the places of the records that are still here."""
    rows = joined.till.journal._database.rows("select seq from record order by seq")  # noqa: SLF001
    return [row[0] for row in rows]  # type: ignore[misc]


def pruned(joined: JoinedTill) -> bool:
    return joined.till.journal.prune(joined.system.now_ms())


@pytest.fixture
def old(joined: JoinedTill) -> JoinedTill:
    """A till whose records are old, acknowledged and durable, but for the last three."""
    written(joined)
    joined.talk()
    joined.system.let_pass(RECORD_DAYS * DAY_MS)
    written(joined, 3)
    return joined


def test_old_durable_records_go_and_younger_ones_stay(old: JoinedTill) -> None:
    head = old.till.journal.stream.head()
    assert pruned(old)
    assert seqs(old) == list(range(RECORDS_AT_ONCE + 1, head.seq + 1))
    assert old.till.journal.stream.head() == head
    assert not pruned(old)


def test_what_is_not_durable_stays_however_old_it_is(joined: JoinedTill) -> None:
    written(joined, 2 * RECORDS_AT_ONCE)
    joined.talk()
    stream = joined.till.journal.stream
    with joined.till.journal.transaction():
        stream.move_acked(stream.head().seq, durable_seq=RECORDS_AT_ONCE + 7)
    joined.system.let_pass(1_000 * DAY_MS)
    while pruned(joined):
        pass
    assert seqs(joined)[0] == RECORDS_AT_ONCE + 7 + 1
    written(joined)
    joined.system.let_pass(1_000 * DAY_MS)
    assert not pruned(joined)


def test_an_earlier_streams_records_wait_for_the_mark_of_the_newest(joined: JoinedTill) -> None:
    """What holds the first record of a stream holds all that was acknowledged before it began."""
    written(joined, 2 * RECORDS_AT_ONCE)
    joined.talk()
    stream = joined.till.journal.stream
    first = stream.head()
    with joined.till.journal.transaction():
        stream.move_acked(first.seq, durable_seq=0)
    joined.till.start_incarnation("test", number_min=2)
    joined.talk()
    joined.system.let_pass(1_000 * DAY_MS)
    with joined.till.journal.transaction():
        stream.move_acked(stream.head().seq, durable_seq=0)
    assert not pruned(joined)
    with joined.till.journal.transaction():
        stream.move_acked(stream.head().seq, durable_seq=1)
    while pruned(joined):
        pass
    assert stream.pruned(first.incarnation).seq == first.seq
    assert stream.pruned(stream.head().incarnation).seq == 1


def test_an_earlier_streams_records_stay_while_a_centre_that_went_back_may_lack_them(
    joined: JoinedTill,
) -> None:
    written(joined, 2 * RECORDS_AT_ONCE)
    joined.talk()
    first = joined.till.journal.stream.head()
    joined.till.start_incarnation("test", number_min=2)
    joined.talk()
    joined.system.let_pass(1_000 * DAY_MS)
    with joined.till.journal.transaction():
        joined.till.journal.stream.doubt_earlier()
    while pruned(joined):
        pass
    assert joined.till.journal.stream.pruned(first.incarnation).seq == 0
    assert joined.side.next_push() is not None  # told again, and durable with the newest
    assert joined.till.journal.stream.head().seq > RECORDS_AT_ONCE // 4


def test_durable_records_stay_for_their_days(joined: JoinedTill) -> None:
    written(joined)
    joined.talk()
    joined.system.let_pass(RECORD_DAYS * DAY_MS - 60_000)
    assert not pruned(joined)


def test_of_a_quiet_till_the_last_few_go_a_week_later(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    written(joined, 5)
    joined.talk()
    joined.system.let_pass(DAY_MS)
    written(joined, 2)
    joined.talk()
    joined.system.let_pass((RECORD_DAYS + OVERDUE_DAYS - 2) * DAY_MS)
    written(joined, 1)
    joined.talk()
    assert not pruned(joined)
    joined.system.let_pass(DAY_MS)
    head = joined.till.journal.stream.head()
    assert pruned(joined)
    assert seqs(joined) == [head.seq]  # the two of a day later are due as well
    assert not pruned(joined)
    joined.system.let_pass((RECORD_DAYS + OVERDUE_DAYS) * DAY_MS)
    assert pruned(joined)
    assert seqs(joined) == []
    again = joined.reopened()
    assert again.till.journal.stream.head() == head
    assert again.till.journal.doubt() == ""
    again.complete(TEN, 1_000)
    again.talk()
    assert again.till.journal.stream.head().incarnation == head.incarnation
    assert len(centre.records()) == head.seq + 1
    again.close()


def test_what_is_overdue_waits_for_the_mark(joined: JoinedTill) -> None:
    written(joined, 5)
    joined.talk()
    stream = joined.till.journal.stream
    with joined.till.journal.transaction():
        stream.move_acked(stream.head().seq, durable_seq=0)
    joined.system.let_pass(1_000 * DAY_MS)
    assert not pruned(joined)
    with joined.till.journal.transaction():
        stream.move_acked(stream.head().seq, durable_seq=2)
    assert pruned(joined)
    assert seqs(joined) == [3, 4, 5, 6]


def test_a_pruned_journal_opens_again_as_the_same_stream(
    old: JoinedTill, centre: FakeCentre
) -> None:
    assert pruned(old)
    head = old.till.journal.stream.head()
    again = old.reopened()
    assert again.till.journal.stream.head() == head
    assert again.till.journal.doubt() == ""
    again.complete(TEN, 1_000)
    again.talk()
    assert again.till.journal.stream.head().incarnation == head.incarnation
    assert again.till.journal.stream.waiting_count() == 0
    assert len(centre.records()) == RECORDS_AT_ONCE + 5
    again.close()


def test_the_anchor_never_names_a_record_that_went(joined: JoinedTill) -> None:
    with joined.till.journal.transaction():
        joined.till.journal.stream.append(
            GrantReturnRecord(at_ms=joined.system.now_ms(), grant_id="g", points=1, why="test")
        )
    written(joined)
    joined.talk()
    joined.system.let_pass(RECORD_DAYS * DAY_MS)
    assert pruned(joined)
    assert joined.till.journal.doubt() == ""


def test_links_are_known_from_the_last_record_that_went(old: JoinedTill) -> None:
    stream = old.till.journal.stream
    last = stream.hash_at(RECORDS_AT_ONCE)
    assert pruned(old)
    assert stream.hash_at(RECORDS_AT_ONCE) == last
    assert stream.hash_at(RECORDS_AT_ONCE - 1) is None
    assert stream.hash_at(0) is None


@pytest.mark.parametrize("kept", [0, 5, RECORDS_AT_ONCE])
def test_a_centre_that_lost_durable_records_is_told_all_that_is_here(
    joined: JoinedTill, centre: FakeCentre, kept: int
) -> None:
    written(joined)
    joined.talk()
    joined.system.let_pass(RECORD_DAYS * DAY_MS)
    for key in (RECEIPT, OTHER_RECEIPT):
        assert joined.complete(TEN, 1_000, key).outcome == Outcome.RECORDED
    joined.talk()
    assert pruned(joined)
    before = joined.till.journal.stream.head().incarnation
    centre.stream.lose_after(before, kept)
    joined.talk()
    everything = [body for each in centre.stream.streams.values() for body in each.bodies]
    told = [record for body in everything if isinstance(record := decode_record(body), SaleRecord)]
    assert sorted(record.key for record in told) == sorted([RECEIPT, OTHER_RECEIPT])
    # Where the chain goes on, so does the stream; else a new one repeats what is still here.
    assert (joined.till.journal.stream.head().incarnation == before) == (kept == RECORDS_AT_ONCE)


def test_receipts_go_when_their_records_are_gone_and_nobody_returns_goods_any_more(
    joined: JoinedTill,
) -> None:
    for number in range(RECORDS_AT_ONCE):
        joined.cancel(f"01957e3c-9a40-7c11-8d22-{number:012d}")
    assert joined.complete(TEN, 1_000).outcome == Outcome.RECORDED
    joined.system.let_pass((RECEIPT_DAYS - 1) * DAY_MS)
    assert not pruned(joined)
    joined.system.let_pass(DAY_MS)
    assert pruned(joined)
    # Its record is not durable: the receipt stays, and is answered as ever.
    assert joined.till.journal.receipts.state_counts() == {"recorded": 1}
    assert joined.complete(TEN, 1_000).outcome == Outcome.RECORDED


def test_of_a_quiet_till_the_last_receipts_go_a_week_later(joined: JoinedTill) -> None:
    joined.cancel()
    joined.system.let_pass((RECEIPT_DAYS + OVERDUE_DAYS - 1) * DAY_MS)
    joined.cancel(OTHER_RECEIPT)
    assert not pruned(joined)
    joined.system.let_pass(DAY_MS)
    assert pruned(joined)
    assert joined.till.journal.receipts.state_counts() == {"cancelled": 1}


def test_what_returns_counted_goes_with_their_receipt(joined: JoinedTill) -> None:
    """Sale and return count against each other: neither may stay without the other."""
    counts = "select count(distinct subject) from own_count"
    database = joined.till.journal._database  # noqa: SLF001
    joined.complete(receipt(card=CARD), 1_000)
    joined.talk()
    joined.system.let_pass((RECEIPT_DAYS + OVERDUE_DAYS) * DAY_MS)
    assert joined.take_back(returning()).outcome == Outcome.RECORDED
    assert pruned(joined)
    assert database.row(counts) == (2,)
    assert not pruned(joined)  # the return is young
    joined.talk()
    joined.system.let_pass((RECORD_DAYS + OVERDUE_DAYS) * DAY_MS)
    while pruned(joined):
        pass
    assert joined.till.journal.receipts.state_counts() == {}
    assert database.row(counts) == (0,)


def test_a_push_shrinks_when_nobody_answers_and_grows_again(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    with joined.till.journal.transaction():
        for number in range(400):
            record = VoidRecord(at_ms=0, key=f"{number:04}" + "x" * 3_000, why="test")
            joined.till.journal.stream.append(record)
    sizes = []
    for _ in range(4):
        push = joined.side.next_push()
        assert push is not None
        sizes.append(sum(map(len, push.records)))
    assert sizes == sorted(sizes, reverse=True)
    # 64 kbit/s carry 160,000 bytes within the 20 s a request has.
    assert sizes[2] < 160_000
    assert sizes[3] <= 8_192
    joined.talk()
    assert joined.till.journal.stream.waiting_count() == 0
    grown = [sum(map(len, push.records)) for push in centre.asked(Push)]
    assert max(grown) > 8 * grown[1]
