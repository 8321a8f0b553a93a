"""`receipt verify` at a till: what a code says, and whether it is genuine."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agent.cli import main
from sync import qr
from sync.signing import SigningKey
from tests.architecture.source_tree import ROOT
from tests.golden.codes import examples
from tests.support.till import STRANGER_KEY, TILL_SEED, enrolled_folder

CODE = examples.CODES["receipt"]
FOREIGN = qr.write(qr.seal(msgspec.structs.replace(examples.receipt, till_id=99), STRANGER_KEY))
FORGED = qr.write(qr.seal(examples.receipt, STRANGER_KEY))
Output = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(enrolled_folder(tmp_path / "till"))


def test_a_code_of_this_till_is_genuine(data: str, capsys: Output) -> None:
    assert main(["receipt", "verify", CODE, "--data", data]) == 0
    said = capsys.readouterr().out
    assert said.startswith("genuine: signed by till 17")
    for part in (examples.SALE_KEY, "1234.56", "31 earned, 150 redeemed", "2025-03-05T12:00"):
        assert part in said


def test_a_file_and_the_input_are_read_alike(data: str, tmp_path: Path) -> None:
    file = tmp_path / "code.txt"
    file.write_text(CODE + "\n", encoding="ascii")
    for source in (str(file), "-"):
        command = [sys.executable, "-m", "agent", "receipt", "verify", source, "--data", data]
        done = subprocess.run(
            [*command, "--json"], cwd=ROOT, input=CODE.encode(), capture_output=True, check=True
        )
        found = json.loads(done.stdout)
        assert (found["verdict"], found["key"], found["seq"]) == (
            "genuine",
            examples.SALE_KEY,
            123_456,
        )


@pytest.mark.parametrize("wrong", [FORGED, CODE[:-3], "4006381333931", examples.CODES["grant"]])
def test_what_this_till_did_not_sign_is_not_genuine(data: str, wrong: str, capsys: Output) -> None:
    assert main(["receipt", "verify", wrong, "--data", data]) == 1
    assert capsys.readouterr().out.startswith("not genuine: ")


def test_another_tills_code_needs_its_key(data: str, capsys: Output) -> None:
    assert main(["receipt", "verify", FOREIGN, "--data", data, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "unknown"
    with_key = ["receipt", "verify", FOREIGN, "--data", data, "--key"]
    assert main([*with_key, STRANGER_KEY.public.hex()]) == 0
    assert main([*with_key, SigningKey(TILL_SEED).public.hex()]) == 1
    assert main([*with_key, "12"]) == 78


def test_a_machine_that_is_no_till_knows_no_key(tmp_path: Path, capsys: Output) -> None:
    assert main(["receipt", "verify", CODE, "--data", str(tmp_path)]) == 3
    assert "ask the centre" in capsys.readouterr().out
