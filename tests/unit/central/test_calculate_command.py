"""`tillside-central calculate`: cases in, calculations out, one a line, with nothing around it."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from central.commands.calculate import with_progress
from central.rules.publishing import read_document
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.compilation import compile_bundle
from loyalty.documents import encode
from loyalty.offers import NeedsLines, PointsPerMoney, Who
from loyalty.schemas import schema_of
from tests.support.builders import basket, bundle, having, line, moment, offer, percent, place
from tests.support.command_line import ROOT, Ended, central, central_process, environment

MILK = {"line_id": "1", "sku": "milk", "quantity": 2000, "gross_minor": 400}
TEA = {"line_id": "2", "sku": "tea", "quantity": 1000, "gross_minor": 250}
CASE = {"moment": "2025-03-05T12:00:00", "place": "store-1", "basket": [MILK, TEA]}
RULES = bundle(
    offer("milk", percent(10), title={"en": "10 % off milk", "ru": "Молоко -10 %"},
          lines=having("sku", "milk")),
    offer("points", PointsPerMoney(points=1, per_minor=100), who=Who(identified=True)),
    offer("many", percent(20), title={"en": "20 % off for ten"},
          needs=NeedsLines(quantity_min=10_000)),
    version=3,
)  # fmt: skip


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(encode(RULES)), encoding="utf-8")
    return path


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return tmp_path / "cases.jsonl"


def poured(rules: Path, cases: Path, *documents: object, more: tuple[str, ...] = ()) -> Ended:
    """Calculate cases from a file."""
    cases.write_text("".join(json.dumps(each) + "\n" for each in documents), encoding="utf-8")
    return central("calculate", "--rules", rules, "--input", cases, *more)


def answers(ended: Ended) -> list[dict[str, Any]]:
    """Return the documents a command wrote."""
    return [json.loads(text) for text in ended.said.splitlines()]


def test_a_calculation_has_the_bytes_a_till_records(rules_file: Path, cases: Path) -> None:
    ended = poured(rules_file, cases, {"id": "a", **CASE})
    rules = central("rules", "check", rules_file)
    assert (ended.code, ended.complained, rules.code) == (0, "", 0)
    (found,) = answers(ended)
    expected = calculate(
        basket(line("1", "milk", pieces=2, gross_minor=400), line("2", "tea", gross_minor=250)),
        compile_bundle(read_document(rules_file.read_bytes()), found["calculation"]["bundle"]),
        moment=moment("2025-03-05T12:00:00"),
        place=place("store-1", region="", banner="", till=""),
    )
    assert ended.said == f'{{"id":"a","calculation":{canonical_bytes(expected).decode()}}}\n'
    assert found["calculation"]["totals"]["paid_minor"] == 610
    jsonschema.Draft202012Validator(schema_of("calculation")).validate(found["calculation"])


def test_the_bundle_is_named_as_it_would_be_published(rules_file: Path, cases: Path) -> None:
    spaced = rules_file.with_name("spaced.json")
    spaced.write_text(json.dumps(encode(RULES), indent=3), encoding="utf-8")
    names = {
        answers(poured(file, cases, CASE))[0]["calculation"]["bundle"]
        for file in (rules_file, spaced)
    }
    assert len(names) == 1
    assert {len(name) for name in names} == {64}


def test_points_are_spent_and_earned(rules_file: Path, cases: Path) -> None:
    account = {"account_id": 7, "lots": [{"lot_id": 1, "points": 30}]}
    first, second = answers(
        poured(
            rules_file,
            cases,
            {**CASE, "account": account, "redeem": "max"},
            {**CASE, "account": {**account, "right_points": 50}, "redeem": 40},
        )
    )
    assert first["calculation"]["totals"]["redeemed_points"] == 30
    assert second["calculation"]["totals"]["redeemed_points"] == 40
    assert second["calculation"]["totals"]["earned_points"] == (610 - 40) // 100
    assert second["calculation"]["account_id"] == 7


def test_a_bad_case_is_answered_and_the_next_one_calculated(rules_file: Path, cases: Path) -> None:
    cases.write_bytes(
        b"\n".join(
            [
                json.dumps({**CASE, "id": "good"}).encode(),
                json.dumps({**CASE, "id": 7, "basket": [{**MILK, "quantity": 1}]}).encode(),
                b"",
                b"{broken",
                b'"\xff"',
                b"[" * 100_000,
                b"5",
                json.dumps({**CASE, "id": None}).encode(),
                json.dumps({**CASE, "colour": "green"}).encode(),
                json.dumps(CASE).encode(),
            ]
        )
    )
    ended = central("calculate", "--rules", rules_file, "--input", cases)
    assert (ended.code, ended.complained) == (1, "")
    found = [(each["id"], each.get("error", {})) for each in answers(ended)]
    assert [
        (name, error.get("line"), error.get("path"), error.get("problem", "")[:20])
        for name, error in found
    ] == [
        ("good", None, None, ""),
        (7, 2, "$.basket[0]", "quantity of line '1'"),
        (None, 4, "$", "not JSON: JSON is ma"),
        (None, 5, "$", "not JSON: 'utf-8' co"),
        (None, 6, "$", "not JSON: maximum re"),
        (None, 7, "$", "must be an object"),
        (None, 8, "$.id", "must be a text or an"),
        (9, 9, "$.colour", "is not a field here;"),
        (10, None, None, ""),
    ]


def test_reasons_and_hints_come_in_words_on_demand(rules_file: Path, cases: Path) -> None:
    (plain,) = answers(poured(rules_file, cases, CASE))
    assert set(plain) == {"id", "calculation"}
    (english,) = answers(poured(rules_file, cases, CASE, more=("--language", "en")))
    (russian,) = answers(poured(rules_file, cases, CASE, more=("--language", "ru")))
    assert plain["calculation"] == english["calculation"] == russian["calculation"]
    codes = [reason["code"] for reason in plain["calculation"]["reasons"]]
    texts = dict(zip(codes, english["texts"]["reasons"], strict=True))
    assert texts["applied"] == "10 % off milk: 0.40 off."
    assert "Молоко -10 %: скидка 0,40." in russian["texts"]["reasons"]
    assert len(english["texts"]["hints"]) == len(plain["calculation"]["hints"]) == 1
    assert "20 % off for ten" in english["texts"]["hints"][0]


def test_people_read_a_receipt(rules_file: Path, cases: Path) -> None:
    account = {"account_id": 7, "lots": [{"lot_id": 1, "points": 30}]}
    case = {**CASE, "id": "17", "account": account, "redeem": 30}
    ended = poured(rules_file, cases, case, {**CASE, "basket": 5}, more=("--pretty",))
    assert ended.code == 1
    receipt, _, bad_case = ended.said.partition("\n\n")
    assert bad_case == "line 2, case 2: $.basket: must be a list or an object\n\n"
    receipt, _, explained = receipt.partition("why:\n")
    assert receipt.splitlines() == [
        "case 17, store store-1, 2025-03-05T12:00:00",
        "                     quantity       price    discount   by points      to pay",
        "  1 milk                    2        4.00       -0.40       -0.18        3.42",
        "    10 % off milk                               -0.40",
        "    points                                  +3 points",
        "  2 tea                     1        2.50                   -0.12        2.38",
        "    points                                  +2 points",
        "  total                              6.50       -0.40       -0.30        5.80",
        "redeemed: 30 points for 0.30; at most 305 points could be",
        "earned: 5 points, regular, from 2025-03-05 until 2026-03-05",
    ]
    (said,) = answers(poured(rules_file, cases, case, more=("--language", "en")))
    reasons, hints = said["texts"]["reasons"], said["texts"]["hints"]
    assert explained.splitlines() == [
        *(f"  {text}" for text in reasons), "hints:", *(f"  {text}" for text in hints)
    ]  # fmt: skip


def test_people_read_a_receipt_in_russian(rules_file: Path, cases: Path) -> None:
    ended = poured(rules_file, cases, CASE, more=("--pretty", "--language", "ru"))
    assert ended.said.startswith("чек 1, магазин store-1, 2025-03-05T12:00:00\n")
    assert (
        "  итого                             6,50       -0,40                    6,10\n"
        in ended.said
    )
    assert "почему:\n" in ended.said


def test_the_case_in_the_documentation_is_one(rules_file: Path, cases: Path) -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```\n(\{\"id\": .*?)^```$", page, re.MULTILINE | re.DOTALL)
    case = json.loads(block)
    jsonschema.Draft202012Validator(schema_of("case")).validate(case)
    (found,) = answers(poured(rules_file, cases, case))
    assert found["id"] == "r-17"
    assert found["calculation"]["totals"]["redeemed_points"] > 0


def test_a_folder_of_parts_is_as_good_as_one_document(tmp_path: Path, cases: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "offers.json").write_text(json.dumps([encode(RULES.offers[0])]), encoding="utf-8")
    (folder / "goods.json").write_text('{"groups": {"hot": ["tea"]}}', encoding="utf-8")
    (found,) = answers(poured(folder, cases, CASE))
    assert found["calculation"]["totals"]["discount_minor"] == 40
    (folder / "broken.json").write_text('[{"offer_id": "x"}]', encoding="utf-8")
    ended = poured(folder, cases, CASE)
    assert ended == Ended(
        1, "", f"tillside-central: {folder / 'broken.json'}: $[0].gives: is missing\n"
    )


def test_contradicting_rules_calculate_nothing(tmp_path: Path, cases: Path) -> None:
    lost = tmp_path / "lost.json"
    lost.write_text(json.dumps(encode(offer(lines=having("group", "x")))), encoding="utf-8")
    ended = poured(lost, cases, CASE)
    assert (ended.code, ended.said) == (1, "")
    assert ended.complained.startswith("tillside-central: offers: ")


def test_a_file_of_cases_that_is_not_there_is_named(rules_file: Path) -> None:
    ended = central("calculate", "--rules", rules_file, "--input", "nowhere.jsonl")
    assert (ended.code, "nowhere.jsonl" in ended.complained) == (1, True)


def test_rules_must_be_given() -> None:
    assert central("calculate").code == 2


def test_standard_input_is_read_and_no_database_is_needed(rules_file: Path, cases: Path) -> None:
    from_file = poured(rules_file, cases, CASE, CASE)
    ended = central_process("calculate", "--rules", rules_file, given=cases.read_bytes())
    assert ended == from_file
    assert not list(rules_file.parent.glob("*/"))


def test_each_answer_comes_before_the_next_case(rules_file: Path) -> None:
    command = [sys.executable, "-m", "central", "calculate", "--rules", str(rules_file)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for number in (1, 2):
            running.stdin.write(json.dumps({**CASE, "id": number}).encode() + b"\n")
            running.stdin.flush()
            assert json.loads(running.stdout.readline())["id"] == number
        running.stdin.close()
        assert running.wait(timeout=60) == 0


def test_a_reader_that_leaves_early_is_no_error_to_talk_about(
    rules_file: Path, cases: Path
) -> None:
    cases.write_text((json.dumps(CASE) + "\n") * 500, encoding="utf-8")
    command = [sys.executable, "-m", "central", "calculate", "--rules", str(rules_file)]
    with subprocess.Popen(
        [*command, "--input", str(cases)],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(timeout=60) == 1
        assert running.stderr.read() == b""


def test_progress_is_drawn_on_a_terminal_only(rules_file: Path, cases: Path) -> None:
    cases.write_text((json.dumps(CASE) + "\n") * 4, encoding="utf-8")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "central", "calculate", "--rules", str(rules_file)]
    done = subprocess.run(
        [*command, "--input", str(cases)],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=True,
    )  # fmt: skip
    os.close(theirs)
    drawn = os.read(ours, 10_000).decode()
    os.close(ours)
    steps = [" 25 %, 1 lines", " 50 %, 2 lines", " 75 %, 3 lines", "100 %, 4 lines"]
    assert drawn == "".join(f"\r{step}" for step in steps) + "\r\n"
    assert len(done.stdout.splitlines()) == 4


def test_progress_copes_with_what_has_no_size() -> None:
    terminal = io.StringIO()
    assert list(with_progress([b"a", b"bb"], 0, terminal)) == [b"a", b"bb"]
    assert terminal.getvalue() == "\r100 %, 1 lines\n"
