"""Proves the demo from rows and files: printed receipts, tills' journals, the centre's database.

Nothing here asks a counter of the product; the chain of each journal is hashed anew.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.demo.books import Books
from central.ledger.verify import LedgerProof

_ONCE = """
select count(*) from (
    select subject from ledger_entry where kind in ('earn', 'redeem', 'give_back', 'take_back')
    group by subject, kind having count(*) > 1
) twice
"""


@dataclass(slots=True)
class Proof:
    """What was found; the lists hold keys of receipts, empty is good.

    Attributes:
        lost: printed by a register and not posted.
        invented: posted and never printed.
        other_figures: posted with other figures than were printed, returns among them.
        bytes_differ: the till's calculation,
            the centre's and the recalculation are not the same bytes.
        journal_faults: a till's journal is no chain, or differs from what the centre keeps.
    """

    printed: dict[str, dict[str, Any]] = field(default_factory=dict)
    returns_printed: dict[str, dict[str, Any]] = field(default_factory=dict)
    without_loyalty: int = 0
    posted: int = 0
    returns_posted: int = 0
    lost: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    other_figures: list[str] = field(default_factory=list)
    applied_twice: int = 0
    bytes_differ: list[str] = field(default_factory=list)
    journal_faults: list[str] = field(default_factory=list)
    ledger: LedgerProof | None = None
    overdraft_points: int = 0
    uncovered_points: int = 0
    records: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """Return what was printed and what was posted."""
        return {
            "receipts_printed": len(self.printed),
            "receipts_posted": self.posted,
            "returns_printed": len(self.returns_printed),
            "returns_posted": self.returns_posted,
            "redeemed_points": sum(each["redeemed_points"] for each in self.printed.values()),
            "overdraft_points": self.overdraft_points,
            "outcomes": self.outcomes,
            "records": self.records,
        }

    def faults(self) -> dict[str, list[str]]:
        """Return what must not be, by name: keys of receipts, or a `?` for each of a count."""
        assert self.ledger is not None
        return {
            "lost": self.lost,
            "invented": self.invented,
            "other_figures": self.other_figures,
            "applied_twice": ["?"] * self.applied_twice,
            "bytes_differ": self.bytes_differ,
            "journal_faults": self.journal_faults,
            "ledger_broken": [check.name for check in self.ledger.checks if check.broken],
            "without_loyalty": ["?"] * self.without_loyalty,
            "uncovered_points": ["?"] * self.uncovered_points,
            "returns_not_posted": ["?"] * (len(self.returns_printed) - self.returns_posted),
        }


def faults_of(report: Mapping[str, Any]) -> list[str]:
    """Say what a report names under `faults`, a line each; empty is good."""
    return [f"{name}: {found[:5]}" for name, found in report["faults"].items() if found]


def prove(folder: Path, tills: Mapping[str, Path], books: Books) -> Proof:
    """Compare what was printed, what the tills keep and what the centre has.

    Args:
        folder: where the registers' `printed-*.jsonl` are.
        tills: data folder of each till, its agent stopped.
    """
    proof = Proof()
    _read_printed(folder, proof)
    _compare_posted(books, proof)
    for name, data in tills.items():
        _compare_journal(name, data, books, proof)
    proof.applied_twice = books.value(_ONCE)
    proof.ledger = books.ledger_proof()
    (pool,) = books.rows("select losses, uncovered from risk_pool")
    proof.overdraft_points, proof.uncovered_points = pool["losses"], pool["uncovered"]
    for row in books.rows(
        "select outcome, count(*) as records from outcome group by outcome order by outcome"
    ):
        proof.outcomes[row["outcome"]] = row["records"]
    return proof


def _read_printed(folder: Path, proof: Proof) -> None:
    for path in sorted(folder.glob("printed-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            if "return_id" in document:
                proof.returns_printed[document["return_id"]] = document
            elif document["kind"] == "sale":
                proof.printed[document["receipt_id"]] = document
            else:
                proof.without_loyalty += 1


def _compare_posted(books: Books, proof: Proof) -> None:
    posted = {
        row["sale_key"]: row
        for row in books.rows(
            "select sale_key, gross_minor, discount_minor, redeemed_minor, paid_minor,"
            " redeemed_points, earned_points, equal from receipt"
        )
    }
    proof.posted = len(posted)
    _compare_returns(books, proof)
    for key, printed in proof.printed.items():
        row = posted.get(key)
        if row is None:
            proof.lost.append(key)
        elif any(row[name] != printed[name] for name in row.keys() & printed.keys()):
            proof.other_figures.append(key)
    proof.invented = sorted(posted.keys() - proof.printed.keys())
    proof.bytes_differ = sorted(key for key, row in posted.items() if not row["equal"])


def _compare_returns(books: Books, proof: Proof) -> None:
    rows = books.rows(
        "select refund_key, money_back_minor, points_back, taken_back as points_taken_back"
        " from refund"
    )
    proof.returns_posted = len(rows)
    for row in rows:
        printed = proof.returns_printed.get(row["refund_key"])
        # A reversal moves no money, and a pending one was printed before anybody knew its figures.
        if printed is None or printed["kind"] != "return" or printed["pending"]:
            continue
        if any(row[name] != printed[name] for name in row.keys() & printed.keys()):
            proof.other_figures.append(row["refund_key"])


def _compare_journal(name: str, data: Path, books: Books, proof: Proof) -> None:
    till_id = json.loads((data / "identity.json").read_text(encoding="utf-8"))["till_id"]
    kept = {
        (row["incarnation"].hex(), row["seq"]): row["hash"].hex()
        for row in books.rows(
            "select incarnation, seq, hash from inbox where till_id = $1 and not branch", till_id
        )
    }
    calculations = {
        row["sale_key"]: row["calculation"]
        for row in books.rows(
            "select sale_key, calculation from receipt where till_id = $1", till_id
        )
    }
    links: dict[str, str] = {}
    for row in _exported_records(data):
        proof.records += 1
        incarnation, body = str(row["incarnation"]), _bytes(row["body"])
        before = links.get(incarnation) or _first_link(till_id, incarnation)
        link = hashlib.sha256(bytes.fromhex(before) + body).hexdigest()
        links[incarnation] = link
        if link != row["hash"]:
            proof.journal_faults.append(f"{name}: record {row['seq']} breaks the chain")
        if kept.get((incarnation, int(str(row["seq"])))) != link:
            proof.journal_faults.append(
                f"{name}: record {row['seq']} is not the one the centre keeps"
            )
        if row["kind"] == "sale":
            told = bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["calculation"])
            if calculations.get(str(row["subject"])) != told:
                proof.bytes_differ.append(str(row["subject"]))


def _exported_records(data: Path) -> Iterator[dict[str, Any]]:
    """Yield a stopped till's records as `tillside-agent export` prints them."""
    command = [sys.executable, "-m", "agent", "export", "record", "--data", str(data)]
    done = subprocess.run(command, capture_output=True, check=True)
    yield from map(json.loads, done.stdout.splitlines())


def _first_link(till_id: int, incarnation: str) -> str:
    # Written out here on purpose: the proof must not trust the code it judges.
    start = b"tillside-stream/1" + till_id.to_bytes(8, "big") + bytes.fromhex(incarnation)
    return hashlib.sha256(start).hexdigest()


def _bytes(value: object) -> bytes:
    return str(value).encode()
