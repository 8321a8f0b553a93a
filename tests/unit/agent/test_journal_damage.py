"""A damaged journal is set aside whole, and the till goes on with a new one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from loyalty.outcomes import Outcome
from sync.records import OpenRecord, SaleRecord
from tests.support.till import (
    OTHER_RECEIPT,
    RECEIPT,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
    receipt,
)

PAGE_BYTES = 4096
LOG_HEADER_BYTES, FRAME_BYTES = 32, 24 + PAGE_BYTES
THIRD = "01957e3c-9a42-7c11-8d22-3e4f5a6b7c8d"


def sold_and_closed(folder: Path) -> Path:
    """Return the journal of a till that has sold once."""
    till = JoinedTill(folder)
    assert till.complete(receipt(), 1_000).outcome == Outcome.RECORDED
    till.close()
    return folder / "journal.db"


def edited(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    assert connection.changes()
    connection.close()


def crashed(folder: Path, to: Path) -> Path:
    """Return a copy of the files as they are now: what a process killed now leaves behind."""
    shutil.copytree(folder, to)
    return to


def garbage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"This is no database at all\x00")


def garbage_everywhere(path: Path) -> None:
    path.write_bytes(b"\xa5" * path.stat().st_size)


def shorter_than_a_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES])


def one_page_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(PAGE_BYTES, PAGE_BYTES + 64):
        content[at] ^= 0xFF
    path.write_bytes(content)


def head_changed(path: Path) -> None:
    edited(path, "update stream set head = zeroblob(32)")


def link_changed(path: Path) -> None:
    edited(path, "update record set hash = zeroblob(32) where seq = 1")


def record_changed(path: Path) -> None:
    edited(path, 'update record set body = cast(\'{"kind":"void"}\' as blob) where seq = 2')


def record_removed(path: Path) -> None:
    edited(path, "delete from record where seq = 1")


def records_swapped(path: Path) -> None:
    edited(path, "update record set seq = 3 - seq + 10")
    edited(path, "update record set seq = seq - 10")


DAMAGES = [
    garbage_header,
    garbage_everywhere,
    shorter_than_a_header,
    cut_in_half,
    one_page_flipped,
    head_changed,
    link_changed,
    record_changed,
    record_removed,
    records_swapped,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_set_aside_and_the_till_sells_on(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = sold_and_closed(tmp_path / "till")
    damage(path)
    damaged = path.read_bytes()
    with capture_logs() as logs:
        till = JoinedTill(tmp_path / "till")
    kept = tmp_path / "till" / f"journal.db.damaged-{till.system.wall_ms}"
    assert kept.read_bytes() == damaged
    (opening,) = till.own_records()
    assert isinstance(opening, OpenRecord)
    assert opening.reason == "journal damaged"
    (told,) = [entry for entry in logs if entry["event"] == "journal_damaged"]
    assert told["kept_as"] == kept.name
    assert till.complete(receipt(), 1_000, OTHER_RECEIPT).outcome == Outcome.RECORDED
    till.close()


@pytest.mark.parametrize("damage", [garbage_header, head_changed, one_page_flipped])
def test_what_is_sold_after_the_damage_survives_a_kill(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(sold_and_closed(tmp_path / "till"))
    till = JoinedTill(tmp_path / "till")
    till.complete(receipt(), 1_000, OTHER_RECEIPT)
    # The damaged file's connection is gone by now, and took nothing of the new journal with it.
    again = JoinedTill(crashed(tmp_path / "till", tmp_path / "killed"))
    till.close()
    assert [r.key for r in again.own_records() if isinstance(r, SaleRecord)] == [OTHER_RECEIPT]
    again.close()


def test_the_log_of_a_killed_till_is_set_aside_with_the_journal(tmp_path: Path) -> None:
    sold_and_closed(tmp_path / "till")
    till = JoinedTill(tmp_path / "till")
    till.complete(receipt(), 1_000, OTHER_RECEIPT)
    killed = crashed(tmp_path / "till", tmp_path / "killed")
    till.close()
    log = (killed / "journal.db-wal").read_bytes()
    assert len(log) > PAGE_BYTES
    cut_in_half(killed / "journal.db")
    again = JoinedTill(killed)
    kept = killed / f"journal.db.damaged-{again.system.wall_ms}-wal"
    assert kept.read_bytes() == log
    assert len(again.own_records()) == 1
    again.close()


def test_a_killed_till_goes_on_where_it_was(tmp_path: Path) -> None:
    till = JoinedTill(tmp_path / "till")
    first = till.complete(receipt(), 1_000)
    again = JoinedTill(crashed(tmp_path / "till", tmp_path / "killed"))
    till.close()
    assert again.complete(receipt(), 1_000) == first
    again.close()


@pytest.mark.parametrize("bytes_lost", [1, 24, PAGE_BYTES, 3 * PAGE_BYTES])
def test_a_log_that_lost_its_end_loses_whole_transactions_and_never_half_of_one(
    tmp_path: Path, bytes_lost: int
) -> None:
    till = JoinedTill(tmp_path / "till")
    for number, receipt_id in enumerate((RECEIPT, OTHER_RECEIPT, THIRD), start=1):
        till.complete(receipt(version=number), 1_000, receipt_id)
    killed = crashed(tmp_path / "till", tmp_path / "killed")
    till.close()
    log = killed / "journal.db-wal"
    # The log is laid out in advance: after its last page there are zeros.
    written = len(log.read_bytes().rstrip(b"\0")) - LOG_HEADER_BYTES
    end = LOG_HEADER_BYTES + -(-written // FRAME_BYTES) * FRAME_BYTES
    log.write_bytes(log.read_bytes()[: end - bytes_lost])
    again = JoinedTill(killed)
    sold = [record.key for record in again.own_records() if isinstance(record, SaleRecord)]
    counted = again.till.journal.receipts.state_counts().get("recorded", 0)
    again.close()
    assert sold == [RECEIPT, OTHER_RECEIPT, THIRD][: len(sold)]
    assert len(sold) < 3
    assert counted == len(sold)


def test_the_centre_keeps_both_streams_and_hands_out_rights_anew(
    tmp_path: Path, centre: FakeCentre, system: SetSystem
) -> None:
    centre.knows(customer(points=100))
    centre.grants(100)
    till = JoinedTill(tmp_path / "till", centre=centre, system=system)
    till.complete(receipt(), 1_000)
    till.talk()
    assert till.till.journal.rights.points_held() == 100
    till.close()
    garbage_header(tmp_path / "till" / "journal.db")
    again = JoinedTill(tmp_path / "till", centre=centre, system=system)
    assert again.till.journal.rights.points_held() == 0
    again.complete(receipt(), 1_000, OTHER_RECEIPT)
    again.talk()
    assert len(centre.stream.streams) == 2
    assert [r.key for r in centre.records() if isinstance(r, SaleRecord)] == [OTHER_RECEIPT]
    head = again.till.journal.stream.head()
    assert (head.incarnation_number, head.acked_seq) == (2, head.seq)
    again.close()


def test_a_damaged_journal_costs_nobody_the_next_ones_name(tmp_path: Path) -> None:
    system = SetSystem()
    names = set()
    for _ in range(2):
        garbage_header(sold_and_closed(tmp_path / "till"))
        system.let_pass(1)
        till = JoinedTill(tmp_path / "till", system=system)
        names |= {path.name for path in till.folder.glob("journal.db.damaged-*")}
        till.close()
        (tmp_path / "till" / "journal.db").unlink()
    assert len(names) == 2
