"""`tillside-central rules check`: what it finds, for people and for programs, and how it ends."""

import json
from pathlib import Path

import pytest

from loyalty.bundle import Bundle
from loyalty.documents import encode
from loyalty.offers import Combines, When
from tests.support.builders import bundle, having, offer, percent
from tests.support.command_line import central, central_process

TITLE = {"en": "Ten", "ru": "Десять"}
SOUND = offer("ten", percent(10), title=TITLE, lines=having("sku", "milk"))
FREE_TOGETHER = (
    offer("forty", percent(40), title=TITLE, combines=Combines(base="initial")),
    offer("seventy", percent(70), title=TITLE, combines=Combines(base="initial")),
)
BACKWARDS = offer(
    "back", percent(5), title=TITLE, when=When(starts="2025-03-02", until="2025-03-01")
)


def written(folder: Path, rules: Bundle, name: str = "rules.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(encode(rules)), encoding="utf-8")
    return path


def test_sound_rules_end_with_0(tmp_path: Path) -> None:
    ended = central("rules", "check", written(tmp_path, bundle(SOUND)), "--strict")
    assert (ended.code, ended.said) == (0, "version 1: 1 offers, sound\n")


def test_warnings_are_told_and_let_pass(tmp_path: Path) -> None:
    path = written(tmp_path, bundle(SOUND, *FREE_TOGETHER))
    ended = central("rules", "check", path)
    assert ended.code == 0
    lines = ended.said.splitlines()
    assert lines[0] == f"seventy ({path}: $.offers[2])"
    assert lines[1] == "  warning  together_free"
    assert "'seventy', 'forty' can act on one line together and take off 110 %" in lines[2]
    assert lines[3].strip().startswith("-> put them into one group")
    assert lines[-1] == "version 1: 3 offers, errors: 0, warnings: 1"


def test_strict_fails_for_warnings(tmp_path: Path) -> None:
    path = written(tmp_path, bundle(*FREE_TOGETHER))
    assert central("rules", "check", path, "--strict").code == 1


def test_errors_end_with_1_and_stand_first(tmp_path: Path) -> None:
    ended = central("rules", "check", written(tmp_path, bundle(*FREE_TOGETHER, BACKWARDS)))
    assert ended.code == 1
    assert ended.said.startswith("back (")
    assert "  error    ends_before_start (when)\n" in ended.said
    assert "-> swap when.starts and when.until\n" in ended.said


def test_a_report_for_programs(tmp_path: Path) -> None:
    path = written(tmp_path, bundle(BACKWARDS, *FREE_TOGETHER, version=7))
    ended = central("rules", "check", path, "--json")
    report = json.loads(ended.said)
    counts = {"version": 7, "offers": 3, "products": 0, "errors": 1, "warnings": 1}
    assert {name: report[name] for name in counts} == counts
    error, warning = report["findings"]
    assert error == {
        "severity": "error",
        "code": "ends_before_start",
        "offers": ["back"],
        "place": f"{path}: $.offers[0]",
        "path": "when",
        "figures": {"starts": "2025-03-02", "until": "2025-03-01"},
        "problem": "offer 'back' ends before it starts",
        "remedy": "swap when.starts and when.until",
    }
    assert warning["figures"] == {"off_ppm": 1_100_000}


def test_a_folder_is_checked_as_one_set_and_each_place_is_named(tmp_path: Path) -> None:
    rules = encode(bundle(SOUND))
    assert isinstance(rules, dict)
    (tmp_path / "programme.json").write_text(
        json.dumps({"version": 1, "programme": rules["programme"]}), encoding="utf-8"
    )
    spring = tmp_path / "spring.json"
    spring.write_text(json.dumps([encode(SOUND), encode(BACKWARDS)]), encoding="utf-8")
    ended = central("rules", "check", tmp_path)
    assert ended.code == 1
    assert f"back ({spring}: $[1])" in ended.said


def test_a_report_in_russian(tmp_path: Path) -> None:
    ended = central("rules", "check", written(tmp_path, bundle(BACKWARDS)), "--language", "ru")
    assert "акция «back» кончается раньше, чем начинается" in ended.said


def test_offers_that_are_over_are_looked_for_on_a_day(tmp_path: Path) -> None:
    spring = offer("spring", percent(5), title=TITLE, when=When(until="2025-06-01"))
    path = written(tmp_path, bundle(spring))
    assert "window_over" in central("rules", "check", path).said
    assert central("rules", "check", path, "--today", "2025-05-31").said.endswith("sound\n")
    assert "window_over" in central("rules", "check", path, "--today", "2025-06-01").said


@pytest.mark.parametrize("day", ["tomorrow", "2025-02-30", "2025-3-1"])
def test_a_day_that_is_none_is_a_wrong_command(tmp_path: Path, day: str) -> None:
    ended = central("rules", "check", written(tmp_path, bundle(SOUND)), "--today", day)
    assert (ended.code, "--today" in ended.complained) == (2, True)


def test_what_cannot_be_read_ends_with_1_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text('{"version": 0}', encoding="utf-8")
    ended = central("rules", "check", path)
    assert (ended.code, ended.said) == (1, "")
    assert str(path) in ended.complained or "version must be at least 1" in ended.complained


def test_neither_folder_nor_database_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path, bundle(SOUND))
    ended = central_process("rules", "check", path)
    assert (ended.code, ended.said, ended.complained) == (0, "version 1: 1 offers, sound\n", "")
    assert list(tmp_path.iterdir()) == [path]


def test_publishing_repeats_the_warnings_beside_its_report(tmp_path: Path, database: str) -> None:
    path = written(tmp_path, bundle(SOUND, *FREE_TOGETHER))
    centre = ("--database", database, "--data", tmp_path / "centre")
    ended = central_process("rules", "publish", *centre, path, "--json")
    assert ended.code == 0
    assert json.loads(ended.said)["offers"] == 3
    (warning,) = (line for line in ended.complained.splitlines() if line.startswith("warning: "))
    assert "take off 110 % of its price" in warning


def test_publishing_refuses_errors_and_says_what_to_change(tmp_path: Path, database: str) -> None:
    path = written(tmp_path, bundle(SOUND, BACKWARDS))
    centre = ("--database", database, "--data", tmp_path / "centre")
    ended = central_process("rules", "publish", *centre, path)
    assert (ended.code, ended.said) == (1, "")
    problem = "offers: offer 'back' ends before it starts; swap when.starts and when.until"
    assert f"tillside-central: {problem}" in ended.complained
