"""A journal that comes back without a spend it once held is known by the anchor beside it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agent.bootstrap import ANCHOR_FILE, JOURNAL_FILE
from agent.journal.anchor import AnchorFile, Mark, decode_mark, encode_mark
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync.records import OpenRecord
from tests.support import builders
from tests.support.builders import line, offer
from tests.support.till import (
    CARD,
    OTHER_RECEIPT,
    FakeCentre,
    JoinedTill,
    customer,
    receipt,
)

RULES = builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100)))
MILK = receipt(line("1"), card=CARD)
MARK = Mark(b"\x01" * 8, 3, 12, b"\x07" * 32)


@pytest.fixture
def rich(joined: JoinedTill, centre: FakeCentre) -> JoinedTill:
    """A till that holds 300 points of its customer."""
    centre.publishes(RULES)
    centre.knows(customer(points=300))
    centre.grants(300)
    joined.talk()
    joined.cut_off()
    assert joined.till.journal.rights.points_held() == 300
    return joined


def image_of(till: JoinedTill, folder: Path) -> Path:
    """Copy the data folder as a backup of the disk does."""
    till.close()
    shutil.copytree(till.folder, folder)
    return folder


def spend(till: JoinedTill, points: int) -> int:
    answer = till.reserve(MILK, points, OTHER_RECEIPT)
    assert answer.outcome in (Outcome.RESERVED, Outcome.RIGHTS_EXHAUSTED)
    return answer.reserved_points


def openings(till: JoinedTill) -> list[str]:
    return [record.reason for record in till.own_records() if isinstance(record, OpenRecord)]


def test_a_mark_is_read_as_it_was_written_and_not_when_a_byte_changed() -> None:
    content = encode_mark(MARK)
    assert decode_mark(content) == MARK
    for at in range(len(content) - 1):
        spoiled = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        assert decode_mark(spoiled) is None
    assert decode_mark(content[: len(content) // 2]) is None
    assert decode_mark(b"") is None


def test_the_file_keeps_the_last_mark_and_is_none_before(tmp_path: Path) -> None:
    anchor = AnchorFile(tmp_path / "anchor")
    assert anchor.read() is None
    for seq in (1, 2):
        anchor.write(replace(MARK, seq=seq))
    assert AnchorFile(tmp_path / "anchor").read() == replace(MARK, seq=2)
    assert [path.name for path in tmp_path.iterdir()] == ["anchor"]


def test_a_restart_keeps_the_rights_when_the_anchor_agrees(rich: JoinedTill) -> None:
    again = rich.reopened()
    assert spend(again, 300) == 300
    again.close()


def test_a_journal_restored_from_before_a_spend_has_no_rights(
    rich: JoinedTill, tmp_path: Path
) -> None:
    image = image_of(rich, tmp_path / "image")
    rich = rich.reopened()
    assert spend(rich, 300) == 300
    assert rich.complete(MILK, 700, OTHER_RECEIPT).outcome == Outcome.RECORDED
    rich.close()
    shutil.copy(image / JOURNAL_FILE, rich.folder / JOURNAL_FILE)
    for suffix in ("-wal", "-shm"):
        (rich.folder / (JOURNAL_FILE + suffix)).unlink(missing_ok=True)
    restored = rich.reopened()
    assert restored.till.journal.rights.points_held() == 0
    assert openings(restored)[-1] == "behind the anchor"
    assert spend(restored, 300) == 0
    restored.close()


def test_rights_without_an_anchor_are_void(rich: JoinedTill) -> None:
    rich.close()
    (rich.folder / ANCHOR_FILE).unlink()
    again = rich.reopened()
    assert openings(again)[-1] == "no anchor"
    assert again.till.journal.rights.points_held() == 0
    again.close()


def test_a_till_without_rights_goes_on_without_an_anchor(joined: JoinedTill) -> None:
    number = joined.till.journal.stream.head().incarnation_number
    joined.close()
    (joined.folder / ANCHOR_FILE).unlink()
    again = joined.reopened()
    assert again.till.journal.stream.head().incarnation_number == number
    again.close()


def test_a_new_journal_takes_a_number_above_the_lost_ones(joined: JoinedTill) -> None:
    joined.till.start_incarnation("amnesia", number_min=41)
    joined.close()
    for path in joined.folder.glob(f"{JOURNAL_FILE}*"):
        path.unlink()
    again = joined.reopened()
    assert again.till.journal.stream.head().incarnation_number == 42
    again.close()


def test_an_anchor_that_cannot_be_written_stops_redeeming_and_not_selling(
    rich: JoinedTill,
) -> None:
    (rich.folder / (ANCHOR_FILE + ".partial")).mkdir()
    rich.till.journal.drop_anchor()
    assert spend(rich, 300) == 0
    assert rich.complete(MILK, 1_000).outcome == Outcome.RECORDED
    (rich.folder / (ANCHOR_FILE + ".partial")).rmdir()
    rich.till.journal.drop_anchor()
    assert spend(rich, 300) == 300
