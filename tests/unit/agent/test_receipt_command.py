"""`receipt verify` at a till: what a code says, and whether it is genuine."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agent.cli import main
from sync import qr
from sync.qr_picture import terminal_picture
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


@pytest.mark.parametrize("wrong", [FORGED, CODE[:-3], "4006381333931", "TSX1:0"])
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


@pytest.mark.parametrize(
    ("kind", "signer", "says"),
    [
        ("ask", "till 17", ("480 asked for", "store Тверская 12", "the centre says")),
        ("grant", "the centre", ("480 of account 31415926", "for dairy alone", "till 17", "over")),
        ("customer", "the centre", ("account 1234567", "programme green", "over since 2025-")),
    ],
)
def test_codes_of_telephones_are_known_and_judged_too(
    data: str, capsys: Output, kind: str, signer: str, says: tuple[str, ...]
) -> None:
    code = examples.CODES[kind]
    assert main(["receipt", "verify", code, "--data", data]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"genuine: signed by {signer}, key ")
    assert all(part in said for part in says), said
    forged = qr.write(qr.seal(examples.DOCUMENTS[kind], STRANGER_KEY))
    assert main(["receipt", "verify", forged, "--data", data, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["kind"]) == ("wrong", kind)


def test_a_grant_that_is_not_over_says_who_may_take_it(data: str, capsys: Output) -> None:
    later = msgspec.structs.replace(examples.grant, not_after_ms=32_503_680_000_000)
    other = msgspec.structs.replace(later, till_id=99)
    for grant, says in ((later, "this till takes it once"), (other, "till 99 alone takes it")):
        code = qr.write(qr.seal(grant, examples.CENTRE_KEY))
        assert main(["receipt", "verify", code, "--data", data]) == 0
        assert f"not over yet, by this clock; {says}" in capsys.readouterr().out
        assert main(["receipt", "verify", code, "--data", data, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["over"] is False


def test_a_code_is_printed_as_text_and_as_a_picture(
    data: str, tmp_path: Path, capsys: Output
) -> None:
    code = examples.CODES["grant"]
    assert main(["receipt", "print", code, "--data", data]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{code}\n  grant ")
    assert terminal_picture(code, in_colours=False) in said
    for name in ("grant.svg", "grant.PNG"):
        file = tmp_path / name
        command = ["receipt", "print", code, "--data", data, "--picture", str(file), "--json"]
        assert main(command) == 0
        assert json.loads(capsys.readouterr().out)["picture"] == str(file)
        assert file.read_bytes()[:5] in (b"<?xml", b"\x89PNG\r")
    assert main(["receipt", "print", code, "--data", data, "--picture", "grant.gif"]) == 78
    assert ".svg or .png" in capsys.readouterr().err
    assert main(["receipt", "print", "4006381333931", "--data", data]) == 1
    assert "no code and no receipt's id" in capsys.readouterr().err


def test_a_receipt_is_not_printed_by_its_id_without_the_service(data: str, capsys: Output) -> None:
    assert main(["receipt", "print", examples.SALE_KEY, "--data", data]) == 1
    assert "start it with tillside-agent run" in capsys.readouterr().err
