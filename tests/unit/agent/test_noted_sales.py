"""A plain sale is one row on one page when the register is answered, and everything after it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from agent.bootstrap import ANCHOR_FILE, JOURNAL_FILE
from agent.journal.database import Database
from agent.quiet_work import QuietWork
from agent.till_thread import TillThread
from loyalty.outcomes import Outcome
from sync import qr
from sync.qr import ReceiptProof
from sync.records import OpenRecord, SaleRecord
from tests.support import builders
from tests.support.builders import line, offer
from tests.support.till import (
    CARD,
    OTHER_RECEIPT,
    RECEIPT,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
    joined_over,
    receipt,
)
from tests.unit.agent.losing_disk import LosingAnchor, LosingDisk
from tests.unit.agent.store_bus.rig import holds

POINTS = builders.bundle(offer())
TEN = receipt(card=CARD)
FRAME_BYTES = 4096 + 24
"""Of SQLite's log: one page and its header."""


@pytest.fixture
def disk() -> LosingDisk:
    return LosingDisk("noting")


@pytest.fixture
def on_disk(
    tmp_path: Path, disk: LosingDisk, centre: FakeCentre, system: SetSystem
) -> Iterator[JoinedTill]:
    """A till whose journal is on that disk, with a hundred points to spend and rules."""
    folder = tmp_path / "till"
    folder.mkdir()
    database = Database(str(folder / JOURNAL_FILE), vfs=disk.name)
    anchor = LosingAnchor(disk, folder / ANCHOR_FILE)
    joined = joined_over(database, folder, system=system, centre=centre, anchor=anchor)
    centre.knows(customer(points=300))
    centre.grants(100)
    centre.publishes(POINTS)
    joined.talk()
    yield joined
    joined.close()


def noted(till: JoinedTill) -> list[tuple[object, ...]]:
    """Return what stands in the file, and have nothing entered by looking."""
    connection = till.till.journal._database._connection  # noqa: SLF001 - the file as it is
    rows: list[tuple[object, ...]] = connection.execute(
        "select receipt_id, (select count(*) from receipt) from noted_sale"
    ).fetchall()
    return rows


def sales(till: JoinedTill) -> list[str]:
    return [record.key for record in till.own_records() if isinstance(record, SaleRecord)]


def log_bytes(till: JoinedTill) -> int:
    return (till.folder / f"{JOURNAL_FILE}-wal").stat().st_size


# What the register waits for


def test_a_plain_sale_is_answered_after_one_page_and_one_sync(
    on_disk: JoinedTill, disk: LosingDisk
) -> None:
    on_disk.update(TEN)
    syncs, size_bytes = len(disk.states), log_bytes(on_disk)
    assert on_disk.complete(TEN, 900).outcome == Outcome.RECORDED
    assert (len(disk.states) - syncs, log_bytes(on_disk) - size_bytes) == (1, FRAME_BYTES)
    assert noted(on_disk) == [(RECEIPT, 0)]
    on_disk.till.journal.catch_up()
    assert noted(on_disk) == []
    assert sales(on_disk) == [RECEIPT]


def test_a_sale_that_spends_is_entered_at_once_and_then_the_anchor_is_written(
    on_disk: JoinedTill, disk: LosingDisk
) -> None:
    on_disk.cut_off()
    assert on_disk.reserve(TEN, 60).reserved_points == 60
    syncs = len(disk.states)
    assert on_disk.complete(TEN, 840).outcome == Outcome.RECORDED
    assert len(disk.states) - syncs == 2  # the journal's and the anchor's
    assert noted(on_disk) == []
    assert on_disk.till.journal.receipts.find(RECEIPT) is not None


# Nobody sees a difference


def test_whoever_reads_next_finds_the_sale_entered(on_disk: JoinedTill) -> None:
    journal = on_disk.till.journal
    before = journal.stream.head()
    answer = on_disk.complete(TEN, 900)
    assert journal.stream.head().seq == before.seq + 1
    assert on_disk.complete(TEN, 900) == answer
    assert on_disk.cancel().outcome == Outcome.RECEIPT_CLOSED
    on_disk.complete(TEN, 900, OTHER_RECEIPT)
    assert journal.stream.waiting_count() == 2 + (before.seq - before.acked_seq)
    push = journal.stream.next_push()
    assert push is not None
    assert sales(on_disk) == [RECEIPT, OTHER_RECEIPT]
    assert journal.stream.is_sound()


def test_the_code_of_a_receipt_names_its_place_in_the_stream(on_disk: JoinedTill) -> None:
    for key in (RECEIPT, OTHER_RECEIPT):
        answer = on_disk.complete(TEN, 900, key)
        proof = qr.read(ReceiptProof, answer.receipt_code)
        head = on_disk.till.journal.stream.head()
        assert (proof.key, proof.seq, proof.incarnation) == (key, head.seq, head.incarnation)


def test_the_next_sale_counts_what_this_one_used(joined: JoinedTill, centre: FakeCentre) -> None:
    centre.knows(customer(points=300))
    joined.talk()
    first = joined.complete(TEN, 1_000)
    assert first.outcome == Outcome.RECORDED
    account = joined.till.journal.own_counts.of_account(7, [], ())
    assert account.purchases == 1


# Power cuts and damage


def test_a_power_cut_before_the_entering_loses_nothing(
    on_disk: JoinedTill, disk: LosingDisk, tmp_path: Path
) -> None:
    answer = on_disk.complete(TEN, 900)
    again = JoinedTill(disk.cut(tmp_path / "cut"))
    assert noted(again) == []
    assert sales(again) == [RECEIPT]
    assert again.complete(TEN, 900) == answer
    assert again.till.journal.own_counts.of_account(7, [], ()).purchases == 1
    assert again.till.journal.stream.is_sound()
    again.close()


def test_a_power_cut_at_any_sync_of_the_entering_enters_it_once(
    on_disk: JoinedTill, disk: LosingDisk, tmp_path: Path
) -> None:
    answers = {}
    syncs = len(disk.states)
    for key in (RECEIPT, OTHER_RECEIPT):
        answers[key] = (on_disk.complete(TEN, 900, key), len(disk.states))
    on_disk.till.journal.catch_up()
    for number, state in enumerate(disk.states[syncs:], start=syncs + 1):
        again = JoinedTill(disk.cut(tmp_path / str(number), state=state))
        answered = [key for key, (_, at) in answers.items() if at <= number]
        assert sales(again) == answered
        for key in answered:
            assert again.complete(TEN, 900, key) == answers[key][0]
        assert again.till.journal.stream.is_sound()
        again.close()


def test_a_noted_sale_that_cannot_be_read_sets_the_journal_aside(alone: JoinedTill) -> None:
    alone.complete(receipt(line("1")), 1_000)
    image = (alone.folder / JOURNAL_FILE).with_name("copy.db")
    alone.till.journal._database._connection.execute("vacuum into ?", (str(image),))  # noqa: SLF001 - as it is now
    alone.close()
    for path in alone.folder.glob(f"{JOURNAL_FILE}*"):
        path.unlink()
    image.rename(alone.folder / JOURNAL_FILE)
    spoiled = apsw.Connection(str(alone.folder / JOURNAL_FILE))
    spoiled.execute("update noted_sale set body = x'01ff'")
    spoiled.close()
    again = alone.reopened()
    reasons = [record.reason for record in again.own_records() if isinstance(record, OpenRecord)]
    assert reasons == ["journal damaged"]
    again.close()


# After the answer


async def test_the_agent_enters_it_when_the_answer_has_left(
    tmp_path: Path, system: SetSystem
) -> None:
    till = JoinedTill(tmp_path / "till", system=system)
    thread, damaged = TillThread(), asyncio.Event()
    quiet = QuietWork(till.till, thread, journal_damaged=damaged)
    await thread.run(till.complete, receipt(line("1")), 1_000)
    database = till.till.journal._database  # noqa: SLF001 - nobody may read while this is waited for
    assert database._postponed is not None  # noqa: SLF001
    quiet.call_ended()
    await holds(lambda: database._postponed is None)  # noqa: SLF001
    await quiet.close()
    assert not damaged.is_set()
    thread.close()
    till.close()


async def test_a_call_goes_before_the_quiet_work_and_finds_the_sale(
    tmp_path: Path, system: SetSystem
) -> None:
    till = JoinedTill(tmp_path / "till", system=system)
    thread = TillThread()
    quiet = QuietWork(till.till, thread, journal_damaged=asyncio.Event())
    answer = await thread.run(till.complete, receipt(line("1")), 1_000)
    quiet.call_ended()
    quiet.call_begins()
    assert await thread.run(till.complete, receipt(line("1")), 1_000) == answer
    await quiet.close()
    thread.close()
    till.close()
