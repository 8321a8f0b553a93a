"""A calculation is recorded in the one form the centre compares with."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from agent.till_service.printed_form import calculation_bytes
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes

RECEIPTS = sorted(
    (Path(__file__).parents[2] / "golden" / "receipts").glob("*.calculation.json"),
    key=lambda path: path.name,
)


def read(path: Path) -> Calculation:
    return msgspec.json.decode(path.read_bytes(), type=Calculation)


@pytest.mark.parametrize("path", RECEIPTS, ids=lambda path: path.name.partition(".")[0])
def test_every_golden_receipt_has_its_canonical_bytes(path: Path) -> None:
    calculation = read(path)
    assert calculation_bytes(calculation) == canonical_bytes(calculation)


@pytest.mark.parametrize("store", ["Магазин", 'a "store"', "a\\b", "a\x7fb", "a\tb\x1f", "a/b"])
def test_no_character_is_written_in_two_ways(store: str) -> None:
    calculation = replace(read(RECEIPTS[0]), store=store)
    assert calculation_bytes(calculation) == canonical_bytes(calculation)
