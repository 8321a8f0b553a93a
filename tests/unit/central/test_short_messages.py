"""What travels in few bytes says the same; what a centre cannot read so is told as it is."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from agent.link.telling import Telling
from agent.link.till_side import Whole
from agent.till_service.identify import identify
from agent.till_service.presenting import Presented
from sync.cycle import PATH_AUTHORISE, PATH_PUSH, Ask, Fetch
from sync.line_form import form_of
from sync.lines import PATH_LINES, PROOF_BYTES, Forms, Lines, LinesAnswer, pack_forms
from sync.listening import (
    PATH_FRESH,
    PATH_LISTEN,
    Fresh,
    FreshAnswer,
    Listen,
    ListenAnswer,
    changed_accounts,
)
from sync.messages import AccountRow, HelloAnswer, Message, PullAnswer
from sync.moulds import Named, form_of_parts, unpack_parts
from sync.points import PATH_POINTS, PointsAnswer, PointsRequest
from sync.record_parts import parts_of
from sync.records import SaleRecord, decode_record, encode_record
from tests.support.centre import JoinedCentre, Totals
from tests.support.till import receipt
from tests.support.till_on_centre import TillOnCentre

CARD = "card-7"
GREETED = HelloAnswer(
    verdict="ok", verified=True, last_seq=0, last_hash=bytes(32), durable_seq=0,
    incarnation_number_min=1, session=bytes(16), server_time_ms=1, risk_points_total=0,
    lines=True, short=True,
)  # fmt: skip


class Watched(TillOnCentre):
    """A till of which every question and answer is kept."""

    said: list[tuple[Ask, Message]]

    async def _asked(self, question: Ask | Fetch) -> Message | bytes:
        answer = await super()._asked(question)
        if isinstance(question, Ask):
            assert isinstance(answer, Message)
            self.said.append((question, answer))
        return answer

    def asked(self, path: str) -> list[Message]:
        return [answer for question, answer in self.said if question.path == path]

    async def listen(self) -> tuple[Message, PullAnswer]:
        """Pull as one does whose pull would wait; returns what travelled, and what it means."""
        answer, meant = await self.hear_only()
        self.joined.side.pull_answered(meant)
        return answer, meant

    async def hear_only(self) -> tuple[Message, PullAnswer]:
        """Hear the answer, and store nothing of it."""
        side = self.joined.side
        ask = side.listen(0)
        answer = await self._asked(ask)
        assert isinstance(answer, Message)
        return answer, side.listened(ask.message, answer)


@pytest_asyncio.fixture
async def till(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[Watched]:
    """Give a till that knows customer 7 and has sold them something."""
    await centre.customer(7, 300, card=CARD, home="store-1")
    Watched.said = []
    till = await Watched.enrolled(centre, tmp_path / "till")
    assert isinstance(till, Watched)
    await settled(centre, till)
    yield till
    till.close()


async def settled(centre: JoinedCentre, till: Watched) -> None:
    for _ in range(3):
        await till.talk()
        await centre.apply()
    till.said.clear()


async def kept(centre: JoinedCentre) -> list[bytes]:
    rows = await centre.pool.fetch("select body from inbox where not branch order by arrival")
    return [row["body"] for row in rows]


async def test_a_sale_travels_without_its_calculation_and_is_kept_as_it_was_written(
    centre: JoinedCentre, till: Watched
) -> None:
    await till.sell(receipt(card=CARD))
    await till.talk()
    assert till.asked(PATH_LINES) == [LinesAnswer(taken=True)]
    assert till.asked(PATH_PUSH) == []
    (question,) = (question for question, _ in till.said if question.path == PATH_LINES)
    assert isinstance(question.message, Lines)
    head = till.joined.till.journal.stream.head()
    bodies = await kept(centre)
    assert bodies == till.joined.till.journal.stream.bodies_after(0, 100)
    assert head.acked_seq == head.seq == len(bodies)
    assert len(question.message.packed) < len(bodies[-1]) / 5
    await centre.apply()
    assert await centre.pool.fetchval("select bool_and(equal) from receipt")


async def test_the_next_sale_is_packed_against_the_one_before(till: Watched) -> None:
    sizes = []
    for _ in range(2):
        await till.sell(receipt(card=CARD))
        await till.talk()
        (lines,) = (
            question.message for question, _ in till.said if isinstance(question.message, Lines)
        )
        sizes.append(len(lines.packed))
        till.said.clear()
    assert sizes[1] < sizes[0]


async def test_a_centre_that_does_not_remember_reads_what_it_has_kept(
    centre: JoinedCentre, till: Watched
) -> None:
    await till.sell(receipt(card=CARD))
    await till.talk()
    reader = centre.parts.desk.lines
    assert reader is not None
    object.__setattr__(reader, "_forms", Forms(1))  # as after a start
    await till.sell(receipt(card=CARD))
    await till.talk()
    assert till.asked(PATH_LINES) == [LinesAnswer(taken=True)] * 2


async def test_a_backlog_travels_as_it_is(centre: JoinedCentre, till: Watched) -> None:
    till.line_is_cut = True
    till.joined.cut_off()
    for _ in range(9):
        await till.sell(receipt(card=CARD))
    till.line_is_cut = False
    await till.talk()
    assert till.asked(PATH_LINES) == []
    assert len(till.asked(PATH_PUSH)) == 1
    assert len(await kept(centre)) == till.joined.till.journal.stream.head().seq


async def test_what_the_centre_calculates_otherwise_is_pushed_as_it_is(
    centre: JoinedCentre, till: Watched
) -> None:
    stream = till.joined.till.journal.stream
    await till.sell(receipt(card=CARD))
    body = stream.bodies_after(stream.head().seq - 1, 1)[0]
    sale = decode_record(body)
    assert isinstance(sale, SaleRecord)
    other = bytes(sale.calculation).replace(b'"gap_minor":0', b'"gap_minor":5')
    key = "01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d"
    wrong = msgspec.structs.replace(sale, key=key, calculation=msgspec.Raw(other))
    with till.joined.till.journal.transaction():
        stream.append(wrong)
    await till.talk()
    assert till.asked(PATH_LINES) == [LinesAnswer(taken=False)] * 2
    assert len(till.asked(PATH_PUSH)) == 1
    assert (await kept(centre))[-1] == encode_record(wrong)
    # Until the next HELLO it is not tried again; what is asked in few bytes is.
    await till.sell(receipt(card=CARD))
    push = till.joined.side.next_push()
    assert push is not None
    assert till.joined.side.as_lines(push) is None
    assert till.joined.till.takes_lines
    await till.talk()
    assert till.asked(PATH_LINES)[2:] == [LinesAnswer(taken=True)]


def lines_told(till: Watched) -> list[tuple[Lines, bool]]:
    """Return what was told as lines since, and whether it was taken."""
    return [
        (question.message, answer.taken)
        for question, answer in till.said
        if isinstance(question.message, Lines) and isinstance(answer, LinesAnswer)
    ]


def names_of(lines: Lines, till: Watched) -> list[Named | None]:
    """Return the customers that lines name, one a record."""
    bodies = till.joined.till.journal.stream.bodies_after(
        lines.from_seq - 1 - lines.before, lines.before
    )
    before = [form_of_parts(parts_of(body)) for body in bodies]
    return [each.named for each in unpack_parts(lines.packed, before, records_max=8)]


async def test_a_receipt_names_the_customer_its_till_was_just_told(
    centre: JoinedCentre, till: Watched
) -> None:
    await till.sell(receipt(card=CARD))
    await till.talk()
    ((lines, taken),) = lines_told(till)
    card = till.joined.till.card_hash(CARD)
    row = till.joined.till.cache.account(card)
    assert row is not None
    assert taken
    assert names_of(lines, till) == [Named(7, row.snapshot.version, card[0])]
    assert await kept(centre) == till.joined.till.journal.stream.bodies_after(0, 100)


async def test_a_process_that_has_not_told_the_customer_looks_him_up(
    centre: JoinedCentre, till: Watched
) -> None:
    told = centre.parts.desk.told
    assert told is not None
    await till.sell(receipt(card=CARD))
    object.__setattr__(told, "_told", OrderedDict())  # as in another process
    await till.talk()
    ((_, taken),) = lines_told(till)
    assert taken
    assert await kept(centre) == till.joined.till.journal.stream.bodies_after(0, 100)


async def test_a_customer_who_is_another_by_now_is_told_in_full(
    centre: JoinedCentre, till: Watched
) -> None:
    told = centre.parts.desk.told
    assert told is not None
    await till.sell(receipt(card=CARD))
    object.__setattr__(told, "_told", OrderedDict())
    await centre.pool.execute("update account set version = version + 1 where account_id = 7")
    await till.talk()
    (first, is_taken), (second, is_taken_in_full) = lines_told(till)
    assert (is_taken, is_taken_in_full) == (False, True)
    assert names_of(first, till)[0] is not None
    assert names_of(second, till) == [None]
    assert till.asked(PATH_PUSH) == []
    assert await kept(centre) == till.joined.till.journal.stream.bodies_after(0, 100)


async def test_a_receipt_made_with_what_the_till_added_names_nobody(
    centre: JoinedCentre, till: Watched
) -> None:
    """The second of two receipts that the centre has not applied is calculated with the first."""
    await till.sell(receipt(card=CARD))
    await till.sell(receipt(card=CARD))
    await till.talk()
    ((lines, taken),) = lines_told(till)
    assert taken
    assert [name is None for name in names_of(lines, till)] == [False, True]


@pytest.mark.parametrize("moulds", [False, True])
async def test_tills_and_centres_of_any_age_understand_each_other(
    centre: JoinedCentre, till: Watched, *, moulds: bool
) -> None:
    """A till that knows no moulds, or whose centre knows none, packs as before."""
    telling = Telling(till.joined.till)
    telling.greeted(msgspec.structs.replace(GREETED, moulds=moulds))
    for _ in range(2):
        await till.sell(receipt(card=CARD))
        push = till.joined.side.next_push()
        assert push is not None
        lines = telling.as_lines(push)
        assert lines is not None
        assert lines.moulds == moulds
        answer = await till._asked(Ask(PATH_LINES, lines, LinesAnswer))  # noqa: SLF001
        assert isinstance(answer, LinesAnswer)
        assert answer.taken
        meant = telling.answered(push, answer)
        assert meant is not None
        till.joined.side.push_answered(push, meant)
    assert await kept(centre) == till.joined.till.journal.stream.bodies_after(0, 100)


async def test_lines_of_another_chain_or_after_a_gap_are_not_taken(centre: JoinedCentre) -> None:
    probe = await centre.till()
    await probe.push()
    seq = probe.append(b'{"kind":"void","at_ms":1,"key":"k","why":"w"}')
    good = Lines(
        from_seq=seq,
        before=0,
        proof=probe.link(seq)[:PROOF_BYTES],
        packed=pack_forms([form_of(probe.bodies[-1])], []),
    )
    for wrong in (
        msgspec.structs.replace(good, proof=bytes(PROOF_BYTES)),
        msgspec.structs.replace(good, from_seq=seq + 1),
        msgspec.structs.replace(good, before=9),
        msgspec.structs.replace(good, packed=b"garbage"),
        msgspec.structs.replace(good, packed=pack_forms([b"\xc1"], [])),
    ):
        assert await probe.ask(PATH_LINES, wrong, LinesAnswer) == LinesAnswer(taken=False)
    assert len(await kept(centre)) == 1
    for _ in range(2):  # asked again it is the same
        assert await probe.ask(PATH_LINES, good, LinesAnswer) == LinesAnswer(taken=True)
    assert await kept(centre) == probe.bodies


async def test_an_older_centre_is_told_as_ever(centre: JoinedCentre, till: Watched) -> None:
    till.joined.till.takes_lines = False
    await till.sell(receipt(card=CARD))
    ask = till.joined.side.listen(240)
    assert ask.path != PATH_LISTEN
    assert till.asked(PATH_FRESH) == []


async def test_an_account_that_is_the_same_is_not_told_again(
    centre: JoinedCentre, till: Watched
) -> None:
    await till.sell(receipt(card=CARD))
    answers = till.asked(PATH_FRESH)
    assert answers
    assert set(answers) == {FreshAnswer()}
    await till.talk()
    await centre.apply()
    await till.sell(receipt(card=CARD))
    told = till.asked(PATH_FRESH)[len(answers)]
    assert told != FreshAnswer()
    probe_card = till.joined.till.card_hash(CARD)
    row = till.joined.till.cache.account(probe_card)
    assert row is not None
    assert row.snapshot.purchases == 1


async def test_a_card_nobody_knows_is_asked_for_and_answered(till: Watched) -> None:
    person = identify(till.joined.till, Presented(card=till.joined.till.card_hash("unknown")))
    question = next(person)
    assert question.message == Fresh(card=till.joined.till.card_hash("unknown"))


async def test_what_a_receipt_changes_of_an_account_travels_without_the_rest(
    centre: JoinedCentre, till: Watched
) -> None:
    await till.sell(receipt(card=CARD))
    await till.talk()
    await centre.apply()
    answer, meant = await till.listen()
    assert isinstance(answer, ListenAnswer)
    assert changed_accounts(answer) == (7,)
    assert answer.accepted
    # What it earned was set aside: that travels short too, and there is no rest.
    assert answer.rest == b""
    assert [each.signature for each in answer.grants] == [each.signature for each in meant.grants]
    assert len(meant.grants) == 1
    (row,) = meant.accounts
    assert row == await told_by_snapshot(centre, till)
    assert till.joined.till.cache.account(row.card) == row
    assert {outcome.outcome for outcome in meant.outcomes} == {"accepted"}
    # Nothing new: the cursor is all there is to say.
    await settled(centre, till)
    answer, meant = await till.listen()
    assert isinstance(answer, ListenAnswer)
    assert (changed_accounts(answer), answer.accepted, answer.rest) == ((), {}, b"")


async def told_by_snapshot(centre: JoinedCentre, till: Watched) -> AccountRow:
    row = await centre.parts.desk.front.snapshot(
        till.joined.till.card_hash(CARD),
        till_id=till.joined.till.identity.till_id,
        incarnation=till.joined.till.journal.stream.head().incarnation,
    )
    assert row.account is not None
    return row.account


@pytest.mark.parametrize("change", ["tier = 'gold'", "blocked = true", "segments = '{a}'"])
async def test_an_account_that_is_another_beside_is_asked_for_whole(
    centre: JoinedCentre, till: Watched, change: str
) -> None:
    await centre.pool.execute(
        f"update account set {change}, version = version + 1 where account_id = 7"
    )
    await centre.pool.execute("insert into feed (scope, account_id) values ('store:store-1', 7)")
    _, meant = await till.listen()
    assert meant.accounts == ()
    cache = till.joined.till.cache
    assert cache.value("whole", Whole) == Whole((7,))
    ask = till.joined.side.listen(240)
    assert isinstance(ask.message, Listen)
    assert ask.message.whole == (7,)
    _, meant = await till.listen()
    assert meant.accounts == (await told_by_snapshot(centre, till),)
    assert cache.value("whole", Whole) == Whole()


async def test_an_account_is_asked_for_whole_until_it_is_stored(till: Watched) -> None:
    till.joined.till.cache.put_value("whole", Whole((7,)))
    _, meant = await till.hear_only()
    assert {row.snapshot.account_id for row in meant.accounts} == {7}
    # It loses power between hearing and storing, and its cursor is past the change already.
    after = till.reopened()
    await after.talk()
    _, meant = await after.listen()
    assert {row.snapshot.account_id for row in meant.accounts} == {7}
    after.close()


async def test_an_account_is_still_asked_for_where_the_centre_does_not_know_a_name(
    centre: JoinedCentre, till: Watched
) -> None:
    till.joined.till.cache.put_value("whole", Whole((7,)))
    await centre.pool.execute("update till set bundle = 'another'")
    answer, _ = await till.listen()
    assert isinstance(answer, ListenAnswer)
    assert answer.again
    # It pulls, as it is told to; what that brings goes on from the cursor, past the change.
    await till.talk()
    _, meant = await till.listen()
    assert {row.snapshot.account_id for row in meant.accounts} == {7}


async def test_a_bundle_the_centre_has_not_heard_of_is_told_by_its_whole_name(
    centre: JoinedCentre, till: Watched
) -> None:
    await centre.pool.execute("update till set bundle = 'another'")
    answer, meant = await till.listen()
    assert isinstance(answer, ListenAnswer)
    assert answer.again
    assert meant.more  # so the till pulls with whole names


async def test_points_set_aside_come_with_a_short_pull_too(
    centre: JoinedCentre, till: Watched
) -> None:
    await centre.customer(8, 120, card="card-8", home="store-1")
    await till.listen()
    held = till.joined.till.journal.rights.points_held()
    assert held >= 120


@pytest.mark.parametrize("takes_moulds", [True, False])
async def test_points_are_authorised_in_few_bytes_or_in_full(
    centre: JoinedCentre, till: Watched, *, takes_moulds: bool
) -> None:
    await centre.customer(8, 300, card="card-8")
    await settled(centre, till)
    till.joined.till.takes_moulds = takes_moulds
    printed = await till.redeem(receipt(card="card-8"), 100)
    assert printed.totals.redeemed_points == 100
    asked = (till.asked(PATH_POINTS), till.asked(PATH_AUTHORISE))
    assert [len(each) for each in asked] == ([1, 0] if takes_moulds else [0, 1])
    await settled(centre, till)
    left = "select sum(outstanding) from right_grant where purpose = 'authorisation'"
    assert await centre.pool.fetchval(left) == 0
    assert await centre.pool.fetchval("select sum(redeemed_points) from receipt") == 100
    assert await kept(centre) == till.joined.till.journal.stream.bodies_after(0, 100)


async def test_points_asked_for_again_are_the_same(centre: JoinedCentre) -> None:
    """A lost answer costs nobody points."""
    probe = await centre.till()
    await centre.customer(8, 300)
    asked = PointsRequest(key=bytes(range(16)), account_id=8, points=120)
    first = await probe.ask(PATH_POINTS, asked, PointsAnswer)
    assert [right.points for right in first.rights] == [120]
    assert await probe.ask(PATH_POINTS, asked, PointsAnswer) == first
    assert await centre.totals(8) == Totals(300, 120)
