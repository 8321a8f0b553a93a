"""The demo's proof finds what it looks for: a check that cannot fail proves nothing."""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.demo.proof import Proof, prove
from bench.demo.replay import Faults, Played
from bench.demo.summary import is_sound, make_report
from bench.grocery.compare import Comparison
from central.ledger.verify import CheckResult, LedgerProof

TILL_ID, INCARNATION = 4, b"\x01" * 8
CALCULATION = b'{"paid_minor":90}'
PRINTED = {
    "kind": "sale",
    "receipt_id": "r1",
    "gross_minor": 100,
    "discount_minor": 10,
    "redeemed_minor": 0,
    "paid_minor": 90,
    "redeemed_points": 0,
    "earned_points": 1,
}


RETURNED = {
    "kind": "return",
    "return_id": "b1",
    "money_back_minor": 45,
    "points_back": 0,
    "points_taken_back": 1,
    "pending": False,
}


class ScriptedBooks:
    """Answers the proof's queries as a sound centre would, until a test spoils a row."""

    def __init__(self, inbox: list[dict[str, Any]]) -> None:
        figures = {name: value for name, value in PRINTED.items() if name != "kind"}
        receipt = {**figures, "sale_key": figures.pop("receipt_id"), "equal": True}
        receipt.pop("receipt_id")
        self.receipts = [receipt]
        self.calculations = [{"sale_key": "r1", "calculation": CALCULATION}]
        self.refunds: list[dict[str, Any]] = [
            {
                "refund_key": "b1",
                "money_back_minor": 45,
                "points_back": 0,
                "points_taken_back": 1,
            }
        ]
        self.inbox = inbox
        self.twice = 0

    def rows(self, sql: str, *_: object) -> list[dict[str, Any]]:
        """Return the rows the query means."""
        if "from inbox" in sql:
            return self.inbox
        if "from outcome" in sql:
            return [{"outcome": "accepted", "records": 1}]
        if "from risk_pool" in sql:
            return [{"losses": 0, "uncovered": 0}]
        if "from refund" in sql:
            return self.refunds
        return self.calculations if "where till_id" in sql else self.receipts

    def value(self, sql: str, *_: object) -> int:
        """Return the number the query means."""
        return self.twice if "from ledger_entry" in sql else 0

    def ledger_proof(self) -> LedgerProof:
        """Return a balanced ledger."""
        return LedgerProof(balanced=True, checks=(CheckResult("lots", "", 0),), figures={})


@pytest.fixture
def till(tmp_path: Path) -> Path:
    """A till's folder with one sale in its journal, and the register's print-out beside it."""
    data = tmp_path / "till"
    data.mkdir()
    (data / "identity.json").write_text(json.dumps({"till_id": TILL_ID}))
    paper = "".join(json.dumps(document) + "\n" for document in (PRINTED, RETURNED))
    (tmp_path / "printed-1.jsonl").write_text(paper)
    body = b'{"kind":"sale","key":"r1","calculation":' + CALCULATION + b"}"
    with sqlite3.connect(data / "journal.db") as journal:
        journal.execute("create table record (incarnation, seq, kind, subject, body, hash)")
        row = (INCARNATION, 1, "sale", "r1", body, _link(body))
        journal.execute("insert into record values (?, ?, ?, ?, ?, ?)", row)
    return data


def _link(body: bytes) -> bytes:
    first = b"tillside-stream/1" + TILL_ID.to_bytes(8, "big") + INCARNATION
    return hashlib.sha256(hashlib.sha256(first).digest() + body).digest()


@pytest.fixture
def books(till: Path) -> ScriptedBooks:
    """A centre that has what the till sent."""
    with sqlite3.connect(till / "journal.db") as journal:
        ((link,),) = journal.execute("select hash from record").fetchall()
    return ScriptedBooks([{"incarnation": INCARNATION, "seq": 1, "hash": link}])


def proof_of(till: Path, books: ScriptedBooks) -> Proof:
    """Run the proof over the scripted centre."""
    return prove(till.parent, {"till": till}, books)  # type: ignore[arg-type]


def report_of(proof: Proof, played: Played | None = None) -> dict[str, Any]:
    """Return the report of a proof."""
    nothing = Comparison(compared=1, equal=1, causes={}, identified=1, identified_equal=1)
    return make_report(proof, played or Played(), nothing, seed=1, stores=["1", "2"], seconds=1.0)


def test_a_sound_run_is_sound(till: Path, books: ScriptedBooks) -> None:
    proof = proof_of(till, books)
    assert (proof.posted, proof.records, proof.journal_faults) == (1, 1, [])
    assert is_sound(report_of(proof))


def test_a_printed_receipt_that_is_not_posted_is_lost(till: Path, books: ScriptedBooks) -> None:
    books.receipts.clear()
    proof = proof_of(till, books)
    assert proof.lost == ["r1"]
    assert not is_sound(report_of(proof))


def test_a_posted_receipt_nobody_printed_is_invented(till: Path, books: ScriptedBooks) -> None:
    books.receipts.append({**books.receipts[0], "sale_key": "r2"})
    assert proof_of(till, books).invented == ["r2"]


def test_other_figures_than_printed_are_found(till: Path, books: ScriptedBooks) -> None:
    books.receipts[0]["paid_minor"] = 91
    assert proof_of(till, books).other_figures == ["r1"]


@pytest.mark.parametrize("name", ["money_back_minor", "points_back", "points_taken_back"])
def test_a_return_posted_otherwise_than_printed_is_found(
    till: Path, books: ScriptedBooks, name: str
) -> None:
    books.refunds[0][name] += 1
    proof = proof_of(till, books)
    assert proof.other_figures == ["b1"]
    assert not is_sound(report_of(proof))


def test_a_return_that_is_not_posted_is_found(till: Path, books: ScriptedBooks) -> None:
    books.refunds.clear()
    assert report_of(proof_of(till, books))["returns_not_posted"] == 1


def test_a_receipt_recalculated_otherwise_is_found(till: Path, books: ScriptedBooks) -> None:
    books.receipts[0]["equal"] = False
    assert proof_of(till, books).bytes_differ == ["r1"]


def test_other_calculation_bytes_than_the_tills_are_found(till: Path, books: ScriptedBooks) -> None:
    books.calculations[0]["calculation"] = CALCULATION + b" "
    assert proof_of(till, books).bytes_differ == ["r1"]


def test_an_entry_applied_twice_is_found(till: Path, books: ScriptedBooks) -> None:
    books.twice = 1
    assert not is_sound(report_of(proof_of(till, books)))


def test_a_changed_record_breaks_the_chain(till: Path, books: ScriptedBooks) -> None:
    with sqlite3.connect(till / "journal.db") as journal:
        journal.execute("update record set body = replace(body, '90', '91')")
        journal.execute("update record set body = cast(body as blob)")
    faults = proof_of(till, books).journal_faults
    assert "till: record 1 breaks the chain" in faults


def test_a_record_the_centre_keeps_otherwise_is_found(till: Path, books: ScriptedBooks) -> None:
    books.inbox[0]["hash"] = b"\x00" * 32
    assert proof_of(till, books).journal_faults == [
        "till: record 1 is not the one the centre keeps"
    ]


def test_faults_a_register_saw_are_reported(till: Path, books: ScriptedBooks) -> None:
    report = report_of(proof_of(till, books), Played(faults=["r1: failed"]))
    assert report["register_faults"] == 1
    assert not is_sound(report)


def test_the_faults_of_the_demo_come_in_their_order() -> None:
    faults = Faults()
    order = [faults.delay_from, faults.half_close_from, faults.drop_from, faults.kill_at]
    assert order == sorted(order)
    assert faults.drop_from < faults.publish_at < faults.heal_at < 1000  # all while the line is cut
    assert msgspec.json.encode(faults)
