"""A till's stream arrives at the centre whole, once and in order, whatever the line does.

The till is the real journal in memory, the centre judges with `sync.receiving`. Requests and
answers are lost, doubled and overtaken; the centre loses its newest records; the till is set back.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent.journal.database import Database, Row
from agent.journal.journal import Journal
from agent.journal.stream import Stream, StreamHead, body_of
from sync.chain import first_link, links
from sync.cycle import Ask, Fetch, converse
from sync.errors import LinkError, RefusedError
from sync.forgetting import Forgotten, ForgottenAnswer
from sync.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_BYTES_MAX
from sync.lines import Lines, LinesAnswer
from sync.messages import (
    Compare,
    CompareAnswer,
    Cursor,
    Hello,
    HelloAnswer,
    Manifest,
    Message,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
)
from sync.records import (
    FACTS,
    GrantInRecord,
    OpenRecord,
    Record,
    VoidRecord,
    decode_record,
    encode_record,
)
from sync.reporting import Report
from tests.support.effort import examples
from tests.support.till import KeptMark
from tests.unit.sync.modelled_centre import ModelledCentre

TILL_ID = 17
TABLES = ("stream", "record")
Image = dict[str, list[Row]]
WISHES_MAX = 200
MACHINES = settings(max_examples=examples(200), stateful_step_count=30)
SEEN: Counter[str] = Counter()
"""Verdicts given since it was cleared: a run that never sees one has proven nothing about it."""


class JournalSide:
    """A till as far as its stream goes: the real journal, and what it does with verdicts."""

    def __init__(self) -> None:
        self.database = Database(":memory:")
        self.anchor = KeptMark()
        self.journal = Journal(self.database, TILL_ID, self.anchor)
        self.session = False
        self._incarnations = count(1)
        self._subjects = count(1)
        self.restart("first start")

    @property
    def stream(self) -> Stream:
        return self.journal.stream

    @property
    def head(self) -> StreamHead:
        return self.stream.head()

    def restart(self, reason: str, number_min: int = 1) -> None:
        """Begin a new incarnation."""
        self.session = False
        with self.journal.transaction():
            incarnation = next(self._incarnations).to_bytes(8, "big")
            self.stream.start(incarnation, number_min=number_min, reason=reason, at_ms=0)

    def reopen(self) -> None:
        """Start the program again over the same file."""
        self.session = False
        self.journal = Journal(self.database, TILL_ID, self.anchor)

    def append(self, *, fact: bool, filling: int = 0) -> bytes:
        """Record something new; return its bytes."""
        subject = f"s{next(self._subjects)}"
        record: Record = (
            VoidRecord(at_ms=0, key=subject, why="." * filling)
            if fact
            else GrantInRecord(at_ms=0, grant_id=subject)
        )
        with self.journal.transaction():
            self.stream.append(record)
        return encode_record(record)

    def bodies(self, incarnation: bytes | None = None) -> list[bytes]:
        """Return the records of a stream, of the current one by default."""
        rows = self.database.rows(
            "select body from record where incarnation = ? order by seq",
            incarnation or self.head.incarnation,
        )
        return [body_of(body) for (body,) in rows]

    def image(self) -> Image:
        """Take a copy of the disk, as far as streams go."""
        return {table: self.database.rows(f"select * from {table}") for table in TABLES}

    def set_back(self, image: Image) -> None:
        """Put a copy of the disk in place and start again."""
        with self.journal.transaction():
            for table, rows in image.items():
                self.database.run(f"delete from {table}")
                for row in rows:
                    places = ", ".join("?" * len(row))
                    self.database.run(f"insert into {table} values ({places})", *row)
        self.reopen()

    # The port of a conversation

    def hello(self) -> Hello:
        self.session = False
        head = self.head
        return Hello(
            incarnation=head.incarnation,
            incarnation_number=head.incarnation_number,
            seq=head.seq,
            head=head.head,
            acked_seq=head.acked_seq,
            acked_hash=head.acked_hash,
            clock_ms=0,
            bundle="",
            software="",
        )

    def hello_answered(self, answer: HelloAnswer) -> None:
        if answer.verdict == "amnesia":
            self.restart("amnesia", answer.incarnation_number_min)
        elif self._agrees(answer):
            self._acknowledge(answer)
            self.session = True

    def has_session(self) -> bool:
        return self.session

    def next_push(self) -> Push | None:
        return self.stream.next_push()

    def as_lines(self, push: Push) -> Lines | None:
        return None

    def lines_answered(self, push: Push, answer: LinesAnswer) -> PushAnswer | None:
        raise NotImplementedError

    def push_answered(self, push: Push, answer: PushAnswer) -> None:
        if push.incarnation != self.head.incarnation:
            return
        if answer.verdict == "fork":
            self.restart("fork", answer.incarnation_number_min)
        elif self._agrees(answer):
            self._acknowledge(answer)

    def _agrees(self, answer: HelloAnswer | PushAnswer) -> bool:
        if self.stream.hash_at(answer.last_seq) == answer.last_hash:
            return True
        self.restart("fork", answer.incarnation_number_min)
        return False

    def _acknowledge(self, answer: HelloAnswer | PushAnswer) -> None:
        with self.journal.transaction():
            self.stream.move_acked(answer.last_seq, durable_seq=answer.durable_seq)

    def pull(self) -> Pull:
        return Pull(incarnation=self.head.incarnation, cursor=Cursor(), bundle="", bytes_max=1_024)

    def pull_answered(self, answer: PullAnswer) -> None:
        pass

    def compare(self) -> Compare | None:
        return None

    def compared(self, answer: CompareAnswer) -> None:
        raise AssertionError("nothing was compared")

    def forgotten(self) -> Forgotten | None:
        return None

    def forgotten_answered(self, answer: ForgottenAnswer) -> None:
        raise AssertionError("nobody was erased")

    def report(self) -> Report | None:
        return None

    def report_kept(self, said: Report) -> None:
        raise AssertionError("nothing was reported")

    def wanted_piece(self) -> tuple[Manifest, int] | None:
        return None

    def piece_arrived(self, manifest: Manifest, piece: int, content: bytes) -> None:
        raise AssertionError("no bundle was announced")

    def fetch_failed(self, error: LinkError) -> None:
        raise AssertionError("no bundle was announced")


def answer_of(centre: ModelledCentre, wish: Ask | Fetch) -> Message:
    """Return what the centre says to a wish."""
    assert isinstance(wish, Ask)
    match wish.message:
        case Hello() as hello:
            return centre.hello(hello)
        case Push() as push:
            return centre.push(push)
        case _:
            return PullAnswer(cursor=Cursor(), applied_through=0, more=False)


def talk(till: JournalSide, centre: ModelledCentre, faults: Iterator[str]) -> None:
    """Hold one conversation over a line that does what `faults` say."""
    conversation = converse(till, greet=True)
    with suppress(StopIteration, LinkError):
        wish = next(conversation)
        for _ in range(WISHES_MAX):
            fault = next(faults, "")
            if fault == "request lost":
                wish = conversation.throw(LinkError("cut"))
            answer = answer_of(centre, wish)
            if fault == "sent twice":
                answer = answer_of(centre, wish)
            if fault == "answer lost":
                wish = conversation.throw(LinkError("cut"))
            wish = conversation.send(answer)
        raise AssertionError("the conversation does not come to an end")


def is_fact(body: bytes) -> bool:
    """Say whether a record says what happened, other than those that move rights."""
    return isinstance(decode_record(body), FACTS)


class _DiskFull(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Sent:
    """A request on its way, and all of the stream up to its last record."""

    push: Push
    history: list[bytes]


nexts = st.sampled_from(("greet", "push", "record"))
fates = st.sampled_from(("arrives", "request lost", "answer lost", "request late", "answer late"))


class BadLine(RuleBasedStateMachine):
    """A till and its centre, and between them requests and answers that come late, twice or never.

    Answers may come even after the till was started again: worse than any real line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.till = JournalSide()
        self.centre = ModelledCentre(TILL_ID)
        self.recorded = self.till.bodies()
        self.late_requests: list[Sent] = []
        self.late_answers: list[tuple[Push, PushAnswer]] = []

    @initialize()
    def first_hello(self) -> None:
        self.till.hello_answered(self.centre.hello(self.till.hello()))

    @rule(again=st.booleans())
    def fail_to_record(self, again: bool) -> None:
        with suppress(_DiskFull), self.till.journal.transaction():
            seq = self.till.stream.append(GrantInRecord(at_ms=0, grant_id="never"))
            assert self.till.head.seq == seq
            raise _DiskFull
        if again:
            self.till.reopen()

    @rule(fresh=st.lists(st.booleans(), max_size=3), fate=fates, records_max=st.integers(1, 6))
    def record_and_push(self, fresh: list[bool], fate: str, records_max: int) -> None:
        self.recorded += [self.till.append(fact=fact) for fact in fresh]
        push = self.till.next_push()
        if push is None:
            return
        push = msgspec.structs.replace(push, records=push.records[:records_max])
        history = self.till.bodies()[: push.from_seq - 1 + len(push.records)]
        if fate == "request late":
            self.late_requests.append(Sent(push, history))
        elif fate != "request lost":
            self.deliver(Sent(push, history), fate)

    @precondition(lambda self: self.late_requests)
    @rule(fate=fates, again=st.booleans(), which=st.integers(0, 9))
    def late_request(self, fate: str, again: bool, which: int) -> None:
        which %= len(self.late_requests)
        self.deliver(self.late_requests[which], fate)
        if not again:
            del self.late_requests[which]

    @precondition(lambda self: self.late_answers)
    @rule(again=st.booleans(), which=st.integers(0, 9))
    def late_answer(self, again: bool, which: int) -> None:
        which %= len(self.late_answers)
        self.till.push_answered(*self.late_answers[which])
        if not again:
            del self.late_answers[which]

    @rule(lost=st.booleans())
    def greet(self, lost: bool) -> None:
        answer = self.centre.hello(self.till.hello())
        SEEN[answer.verdict] += 1
        kept = self.centre.streams.get(self.till.head.incarnation)
        if answer.verified:
            assert kept is not None
            assert kept.bodies == self.till.bodies()[: len(kept.bodies)]
        if lost:
            return
        self.till.hello_answered(answer)
        if self.till.has_session():
            assert kept is not None
            assert kept.bodies == self.till.bodies()[: self.till.head.acked_seq]

    def deliver(self, sent: Sent, fate: str) -> None:
        """Let the centre judge a push; its verdict must be what a look at all records says."""
        kept = self.centre.streams.get(sent.push.incarnation)
        if kept is None:
            with pytest.raises(RefusedError, match="_unknown"):
                self.centre.push(sent.push)
            return
        before = list(kept.bodies)
        answer = self.centre.push(sent.push)
        SEEN[answer.verdict] += 1
        both = min(len(before), len(sent.history))
        if sent.push.from_seq > len(before) + 1:
            expected = "gap"
        else:
            expected = "ack" if before[:both] == sent.history[:both] else "fork"
        assert answer.verdict == expected
        assert kept.bodies == (before if expected != "ack" else max(before, sent.history, key=len))
        if fate == "answer late":
            self.late_answers.append((sent.push, answer))
        elif fate != "answer lost":
            self.till.push_answered(sent.push, answer)

    @invariant()
    def chain_of_the_till_is_sound(self) -> None:
        head, bodies = self.till.head, self.till.bodies()
        start = first_link(TILL_ID, head.incarnation)
        chain = [start, *links(start, bodies)]
        assert (head.seq, head.head) == (len(bodies), chain[-1])
        assert head.acked_hash == chain[head.acked_seq]

    def teardown(self) -> None:
        talk(self.till, self.centre, iter(()))
        assert self.till.stream.waiting_count() == 0
        assert self.centre.streams[self.till.head.incarnation].bodies == self.till.bodies()


class HonestTill(BadLine):
    """A till whose disk keeps its word, with a centre that may lose its newest records."""

    @precondition(lambda self: self.centre.streams)
    @rule(lost=st.integers(1, 5))
    def centre_loses_records(self, lost: int) -> None:
        ((incarnation, kept),) = self.centre.streams.items()
        self.centre.lose_after(incarnation, max(0, len(kept.bodies) - lost))

    @invariant()
    def what_arrived_is_the_beginning_of_what_was_recorded(self) -> None:
        for kept in self.centre.streams.values():
            assert kept.bodies == self.recorded[: len(kept.bodies)]
        assert self.till.bodies() == self.recorded
        assert self.till.head.incarnation_number == 1
        assert not self.centre.branches


class SetBackTill(BadLine):
    """A till that is set back to older copies of itself, and goes on as if nothing had been."""

    def __init__(self) -> None:
        super().__init__()
        self.images = [self.till.image()]

    @invariant()
    def take_image(self) -> None:
        self.images.append(self.till.image())

    @rule(ago=st.integers(0, 5), fresh=st.lists(st.booleans(), max_size=3), then=nexts)
    def set_back(self, ago: int, fresh: list[bool], then: str) -> None:
        self.till.set_back(self.images[-1 - ago % len(self.images)])
        # What was in the lost part alone, nobody can bring back.
        left = self.on_disk() | self.at_centre()
        self.recorded = [body for body in self.recorded if body in left]
        if then == "push":
            self.record_and_push(fresh, "arrives", 6)
            return
        self.recorded += [self.till.append(fact=fact) for fact in fresh]
        if then == "greet":
            self.greet(lost=False)

    def on_disk(self) -> set[bytes]:
        rows = self.till.database.rows("select body from record")
        return {body_of(body) for (body,) in rows}

    def at_centre(self) -> set[bytes]:
        kept = {body for stream in self.centre.streams.values() for body in stream.bodies}
        return kept | set(self.centre.branches)

    @invariant()
    def streams_have_each_record_once(self) -> None:
        streams = self.centre.streams.values()
        assert all(len(set(stream.bodies)) == len(stream.bodies) for stream in streams)
        numbers = [stream.number for stream in streams]
        assert numbers == sorted(set(numbers))

    def teardown(self) -> None:
        super().teardown()
        arrived = self.at_centre()
        assert not [body for body in self.recorded if is_fact(body) and body not in arrived]


def test_stream_arrives_once_and_in_order_over_a_bad_line() -> None:
    SEEN.clear()
    run_state_machine_as_test(HonestTill, settings=MACHINES)
    assert set(SEEN) == {"ok", "rewind", "ack", "gap"}


def test_till_that_is_set_back_is_found_out_and_loses_no_fact_it_still_has() -> None:
    SEEN.clear()
    run_state_machine_as_test(SetBackTill, settings=MACHINES)
    assert {"ok", "amnesia", "ack", "fork"} <= set(SEEN)


faults = st.sampled_from(("", "", "request lost", "answer lost", "sent twice"))


@settings(max_examples=examples(60))
@given(st.lists(st.tuples(st.integers(0, 3), st.lists(faults, max_size=6)), min_size=1, max_size=6))
def test_conversations_cut_anywhere_bring_every_record_once(
    days: list[tuple[int, list[str]]],
) -> None:
    till, centre = JournalSide(), ModelledCentre(TILL_ID)
    recorded = till.bodies()
    for records, faults_of_day in days:
        recorded += [till.append(fact=True) for _ in range(records)]
        talk(till, centre, iter(faults_of_day))
        kept = centre.streams.get(till.head.incarnation)
        assert (kept.bodies if kept else []) == recorded[: len(kept.bodies) if kept else 0]
    talk(till, centre, iter(()))
    assert centre.streams[till.head.incarnation].bodies == recorded
    assert (till.stream.waiting_count(), centre.branches) == (0, [])


sizes = st.sampled_from((0, 1_000, BATCH_BYTES_MAX // 3, BATCH_BYTES_MAX // 2, RECORD_BYTES_MAX))


@settings(max_examples=examples(15))
@given(st.lists(st.tuples(sizes, st.sampled_from((1, 1, 2, 600))), max_size=4))
def test_batches_keep_the_limits_whatever_the_records(groups: list[tuple[int, int]]) -> None:
    till, centre = JournalSide(), ModelledCentre(TILL_ID)
    for size, times in groups:
        # Six hundred of the larger ones would only be slow.
        for _ in range(times if size < 1_000 else min(times, 2)):
            till.append(fact=True, filling=max(0, size - 100))
    talk(till, centre, iter(()))
    assert centre.streams[till.head.incarnation].bodies == till.bodies()
    assert till.stream.waiting_count() == 0


def test_batches_are_filled() -> None:
    till = JournalSide()
    for _ in range(BATCH_RECORDS_MAX + 10):
        till.append(fact=True)
    push = till.next_push()
    assert push is not None
    assert len(push.records) == BATCH_RECORDS_MAX


@given(st.lists(st.booleans(), max_size=8), st.data())
def test_new_incarnation_repeats_every_fact_that_is_not_acknowledged_and_no_right(
    kinds: list[bool], data: st.DataObject
) -> None:
    till = JournalSide()
    bodies = till.bodies() + [till.append(fact=fact) for fact in kinds]
    acked = data.draw(st.integers(0, len(bodies)))
    with till.journal.transaction():
        till.stream.move_acked(acked, durable_seq=acked)
    old = till.head
    till.restart("amnesia", number_min=7)
    opening, *repeated = till.bodies()
    assert repeated == [body for body in bodies[acked:] if is_fact(body)]
    assert decode_record(opening) == OpenRecord(
        at_ms=0,
        incarnation_number=7,
        reason="amnesia",
        previous_incarnation=old.incarnation.hex(),
        previous_head=old.head.hex(),
    )
    assert (till.head.acked_seq, till.bodies(old.incarnation)) == (0, bodies)
