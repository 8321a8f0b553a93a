"""The journal and its disk: what was answered survives a power cut, what failed was never there."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from agent.bootstrap import ANCHOR_FILE, open_till
from agent.errors import JournalDamagedError, JournalUnavailableError
from agent.journal.database import Database, lay_out_log
from agent.reference_data.cache import open_cache_database
from agent.till_service.messages import ReceiptAnswer, ReturnAnswer
from agent.till_service.till import TillSettings
from loyalty.outcomes import Outcome
from sync.cycle import PATH_PULL, Ask
from sync.limits import RECORD_BYTES_MAX
from sync.messages import PullAnswer
from sync.records import RefundRecord, SaleRecord, VoidRecord
from tests.support import builders
from tests.support.builders import line, offer
from tests.support.till import (
    CARD,
    IDENTITY,
    OTHER_RECEIPT,
    RECEIPT,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
    joined_over,
    receipt,
    returning,
)
from tests.unit.agent.losing_disk import LosingAnchor, LosingDisk

POINTS = builders.bundle(offer())
TEN = receipt(card=CARD)
PRAGMAS = (
    "pragma locking_mode=exclusive",
    "pragma journal_mode=wal",
    "pragma synchronous=full",
)


@pytest.fixture
def disk() -> LosingDisk:
    return LosingDisk("losing")


@pytest.fixture
def on_disk(
    tmp_path: Path, disk: LosingDisk, centre: FakeCentre, system: SetSystem
) -> Iterator[JoinedTill]:
    """A till whose journal is on that disk, with a hundred points to spend and rules."""
    folder = tmp_path / "till"
    folder.mkdir()
    database = Database(str(folder / "journal.db"), vfs=disk.name)
    anchor = LosingAnchor(disk, folder / ANCHOR_FILE)
    joined = joined_over(database, folder, system=system, centre=centre, anchor=anchor)
    centre.knows(customer(points=300))
    centre.grants(100)
    centre.publishes(POINTS)
    joined.talk()
    yield joined
    disk.write_error = disk.sync_error = None
    joined.close()


def after_a_cut(disk: LosingDisk, folder: Path) -> JoinedTill:
    """Return the till that starts on what the disk holds when the power fails now."""
    return JoinedTill(disk.cut(folder))


def keys(till: JoinedTill) -> list[str]:
    facts = SaleRecord | RefundRecord | VoidRecord
    return [record.key for record in till.own_records() if isinstance(record, facts)]


# Power cuts


def test_a_receipt_answered_as_recorded_survives_a_power_cut(
    on_disk: JoinedTill, disk: LosingDisk, tmp_path: Path
) -> None:
    answer = on_disk.complete(TEN, 900)
    assert answer.outcome == Outcome.RECORDED
    assert disk.unsynced == set()
    again = after_a_cut(disk, tmp_path / "cut")
    assert keys(again) == [RECEIPT]
    assert again.complete(TEN, 900) == answer
    again.close()


def test_points_answered_as_reserved_survive_a_power_cut(
    on_disk: JoinedTill, disk: LosingDisk, tmp_path: Path
) -> None:
    assert on_disk.reserve(TEN, 60).reserved_points == 60
    again = after_a_cut(disk, tmp_path / "cut")
    assert [right.points for right in again.till.journal.rights.reserved(RECEIPT)] == [60]
    assert again.till.journal.rights.points_held() == 40
    again.close()


def test_a_cancel_and_a_return_survive_a_power_cut(
    on_disk: JoinedTill, disk: LosingDisk, tmp_path: Path
) -> None:
    on_disk.cut_off()
    on_disk.cancel(OTHER_RECEIPT)
    on_disk.complete(TEN, 900)
    on_disk.take_back(returning())
    again = after_a_cut(disk, tmp_path / "cut")
    assert again.complete(TEN, 900, OTHER_RECEIPT).outcome == Outcome.RECEIPT_CLOSED
    assert again.take_back(returning()).outcome == Outcome.RECORDED
    assert len(keys(again)) == 2
    again.close()


def test_a_right_is_gone_from_the_disk_before_its_record_can_leave(
    on_disk: JoinedTill, centre: FakeCentre, disk: LosingDisk, tmp_path: Path
) -> None:
    centre.recalls.append(centre.granted[0].grant_id)
    on_disk.side.pull_answered(centre.answer(pull_of(on_disk)))  # type: ignore[arg-type]
    again = after_a_cut(disk, tmp_path / "cut")
    assert again.till.journal.rights.points_held() == 0
    again.close()


def pull_of(till: JoinedTill) -> Ask:
    return Ask(PATH_PULL, till.side.pull(), PullAnswer)


def test_a_power_cut_at_any_moment_loses_nothing_that_was_answered(
    tmp_path: Path, disk: LosingDisk
) -> None:
    (tmp_path / "till").mkdir()
    # So small a log that it is written back into the file, and begun anew, again and again.
    path = str(tmp_path / "till" / "journal.db")
    database = Database(path, vfs=disk.name, pragmas=PRAGMAS, log_pages_max=12)
    anchor = LosingAnchor(disk, tmp_path / "till" / ANCHOR_FILE)
    stream = joined_over(database, tmp_path / "till", anchor=anchor)
    written_back = tmp_path / "till" / "journal.db"
    sold: list[str] = []
    answered: list[int] = []
    for number in range(15):
        sold.append(f"01957e3c-9a40-7c11-8d22-{number:012d}")
        assert stream.complete(receipt(), 1_000, sold[-1]).outcome == Outcome.RECORDED
        answered += [number] * (len(disk.states) - len(answered))
        answered[-1] = number + 1
    stream.close()
    assert len({state.get(written_back) for state in disk.states}) > 5
    for at, state in enumerate(disk.states[: len(answered)]):
        if len(state) < 2:
            continue  # cut before the journal was made
        again = JoinedTill(disk.cut(tmp_path / f"cut-{at}", state=state))
        found = keys(again)
        again.close()
        assert found == sold[: len(found)]
        assert len(found) >= answered[at]


# A disk that fails

ERRORS = [apsw.FullError, apsw.IOError, apsw.ReadOnlyError]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_disk_that_fails_stops_loyalty_and_not_the_sale(
    on_disk: JoinedTill, disk: LosingDisk, tmp_path: Path, error: type[apsw.Error], step: str
) -> None:
    on_disk.complete(TEN, 900)
    head = on_disk.till.journal.stream.head()
    setattr(disk, f"{step}_error", error)
    answers: list[ReceiptAnswer | ReturnAnswer] = [
        on_disk.update(TEN, OTHER_RECEIPT),
        on_disk.reserve(TEN, 60, OTHER_RECEIPT),
        on_disk.complete(TEN, 900, OTHER_RECEIPT),
        on_disk.cancel(OTHER_RECEIPT),
        on_disk.take_back(returning()),
    ]
    assert [answer.outcome for answer in answers] == [
        Outcome.CALCULATED,
        *[Outcome.JOURNAL_UNAVAILABLE] * 4,
    ]
    assert all(answer.messages for answer in answers[1:])
    assert answers[1].calculation is not None
    # What was recorded is there, the repeat of it is answered, and nothing else was begun.
    assert on_disk.complete(TEN, 900).outcome == Outcome.RECORDED
    assert on_disk.till.journal.stream.head() == head
    assert on_disk.till.journal.rights.points_held() == 100
    again = after_a_cut(disk, tmp_path / "cut")
    assert keys(again) == [RECEIPT]
    again.close()


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_disk_that_is_well_again_records_again(
    on_disk: JoinedTill, disk: LosingDisk, tmp_path: Path, error: type[apsw.Error], step: str
) -> None:
    setattr(disk, f"{step}_error", error)
    on_disk.complete(TEN, 900)
    setattr(disk, f"{step}_error", None)
    assert on_disk.reserve(TEN, 60).reserved_points == 60
    assert on_disk.complete(TEN, 840).outcome == Outcome.RECORDED
    again = after_a_cut(disk, tmp_path / "cut")
    assert keys(again) == [RECEIPT]
    again.close()


def test_a_full_disk_during_a_conversation_is_a_named_failure_and_the_next_one_catches_up(
    on_disk: JoinedTill, centre: FakeCentre, disk: LosingDisk
) -> None:
    on_disk.complete(TEN, 900)
    disk.write_error = apsw.FullError
    with pytest.raises(JournalUnavailableError, match="free space"):
        on_disk.talk()
    disk.write_error = None
    on_disk.talk()
    head = on_disk.till.journal.stream.head()
    assert head.acked_seq == head.seq
    assert [r.key for r in centre.records() if isinstance(r, SaleRecord)] == [RECEIPT]


def test_a_stream_that_was_rolled_back_goes_on_from_what_is_on_the_disk(
    on_disk: JoinedTill, disk: LosingDisk, system: SetSystem
) -> None:
    stream = on_disk.till.journal.stream
    before = stream.head()

    def append_and_look() -> None:
        with on_disk.till.journal.transaction():
            stream.append(VoidRecord(at_ms=system.now_ms(), key=RECEIPT, why="test"))
            assert stream.head().seq == before.seq + 1

    disk.sync_error = apsw.IOError
    with pytest.raises(JournalUnavailableError):
        append_and_look()
    disk.sync_error = None
    assert stream.head() == before
    assert on_disk.complete(TEN, 900).outcome == Outcome.RECORDED
    assert stream.is_sound()


# The log's room


def test_a_log_that_was_laid_out_holds_what_was_committed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "till"
    folder.mkdir()
    till = joined_over(Database(str(folder / "journal.db")), folder)
    assert till.complete(receipt(), 1_000).outcome == Outcome.RECORDED
    till.till.journal.catch_up()
    lay_out_log(folder / "journal.db")
    laid_out = (folder / "journal.db-wal").stat().st_size
    assert till.complete(receipt(), 1_000, OTHER_RECEIPT).outcome == Outcome.RECORDED
    till.till.journal.catch_up()
    assert (folder / "journal.db-wal").stat().st_size == laid_out  # it does not grow any more
    shutil.copytree(folder, tmp_path / "cut")
    again = JoinedTill(tmp_path / "cut")
    assert keys(again) == [RECEIPT, OTHER_RECEIPT]
    assert again.till.journal.stream.is_sound()
    again.close()
    till.close()


def test_laying_out_the_log_of_a_journal_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    lay_out_log(tmp_path / "journal.db")
    assert list(tmp_path.iterdir()) == []


# SQLite's own quota, without any disk of ours


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[JoinedTill, Database]]:
    """A till whose journal may not grow any more."""
    folder = tmp_path / "small"
    folder.mkdir()
    database = Database(str(folder / "journal.db"))
    joined = joined_over(database, folder)
    database.run("pragma max_page_count=1")  # as many as there are
    yield joined, database
    joined.close()


def test_a_full_file_records_what_fits_and_refuses_the_rest_by_name(
    small: tuple[JoinedTill, Database],
) -> None:
    till, database = small
    outcomes = {}
    for number in range(40):
        key = f"01957e3c-9a40-7c11-8d22-{number:012d}"
        outcomes[key] = till.complete(receipt(), 1_000, key).outcome
    refused = [key for key, outcome in outcomes.items() if outcome != Outcome.RECORDED]
    assert refused
    assert {outcomes[key] for key in refused} == {Outcome.JOURNAL_UNAVAILABLE}
    for key, outcome in outcomes.items():  # also of the sale there was no room to enter
        assert till.complete(receipt(), 1_000, key).outcome == outcome
    assert till.update(receipt()).outcome == Outcome.CALCULATED
    database.run("pragma max_page_count=1000000")
    # The first call finds that the journal has just caught up with the sale before.
    assert till.complete(receipt(), 1_000, refused[0]).outcome == Outcome.JOURNAL_UNAVAILABLE
    assert keys(till) == [key for key in outcomes if key not in refused]
    for key in refused:
        assert till.complete(receipt(), 1_000, key).outcome == Outcome.RECORDED
    assert sorted(keys(till)) == sorted(outcomes)
    assert till.till.journal.stream.is_sound()


def test_a_file_that_became_read_only_is_a_named_failure(
    small: tuple[JoinedTill, Database],
) -> None:
    till, database = small
    database.run("pragma query_only=on")
    answer = till.complete(receipt(), 1_000)
    assert answer.outcome == Outcome.JOURNAL_UNAVAILABLE
    database.run("pragma query_only=off")
    database.run("pragma max_page_count=1000000")
    assert till.complete(receipt(), 1_000).outcome == Outcome.RECORDED


def test_a_full_cache_is_no_obstacle_to_a_sale(
    tmp_path: Path, centre: FakeCentre, system: SetSystem
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    cache = open_cache_database(str(folder / "cache.db"))
    journal = Database(str(folder / "journal.db"))
    joined = joined_over(journal, folder, cache=cache, system=system, centre=centre)
    joined.talk()
    row = customer(points=300)
    centre.accounts[row.card] = row
    cache.run("pragma query_only=on")
    answer = joined.update(TEN)
    assert answer.outcome == Outcome.CALCULATED
    assert answer.customer is not None
    assert answer.customer.points == 300
    assert joined.complete(TEN, 1_000).outcome == Outcome.RECORDED
    joined.close()


def test_a_connection_that_could_not_even_roll_back_is_given_up_by_name(tmp_path: Path) -> None:
    till = JoinedTill(tmp_path / "till")
    till.till.journal.close()
    with pytest.raises(JournalDamagedError):
        till.complete(receipt(), 1_000)
    till.till.cache.close()


# Records nobody could read


def test_a_record_too_long_for_the_wire_never_enters_the_stream(alone: JoinedTill) -> None:
    notes = {f"note-{number}": "x" * 200 for number in range(32)}
    lines = tuple(
        line(str(number), attributes=notes) for number in range(RECORD_BYTES_MAX // 6_000)
    )
    answer = alone.complete(receipt(*lines), 1_000 * len(lines))
    assert answer.outcome == Outcome.JOURNAL_UNAVAILABLE
    assert keys(alone) == []
    assert alone.complete(receipt(version=2), 1_000).outcome == Outcome.RECORDED
    alone.till.start_incarnation("amnesia")
    assert keys(alone) == [RECEIPT]


def test_the_longest_plain_receipt_fits_a_record(alone: JoinedTill) -> None:
    alone.take_rules(POINTS)
    lines = tuple(line(f"line {number}", f"{number:013}") for number in range(2_000))
    answer = alone.complete(receipt(*lines, card=CARD), 1_800_000)
    assert answer.outcome == Outcome.RECORDED
    push = alone.till.journal.stream.next_push()
    assert push is not None
    assert max(map(len, push.records)) <= RECORD_BYTES_MAX


# One process


def test_a_second_agent_over_the_same_folder_is_told_about_the_first(tmp_path: Path) -> None:
    first = JoinedTill(tmp_path / "till")
    with pytest.raises(JournalUnavailableError, match="another process") as caught:
        open_till(tmp_path / "till", IDENTITY, SetSystem(), TillSettings())
    assert "space" not in str(caught.value)
    # Not only within this process: SQLite's locks of one process are its own.
    script = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('select * from stream')"
    command = [sys.executable, "-c", script, str(tmp_path / "till" / "journal.db")]
    other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "database is locked" in other.stderr
    assert first.complete(receipt(), 1_000).outcome == Outcome.RECORDED
    first.close()
