"""What was printed is kept, in order, and a printer that cannot print says so."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from pos_adapters.errors import DeviceFaultError, DeviceMissingError
from pos_adapters.ports import GoodsBack, PrintedReceipt, PrintedReturn, ReceiptPrinter
from pos_adapters.simulated_register.printers import FilePrinter, MemoryPrinter

RECEIPT = PrintedReceipt(
    kind="sale",
    receipt_id="r-1",
    till="касса 1",
    version=2,
    moment="2025-03-05T17:42:10",
    gross_minor=1_000,
    discount_minor=100,
    redeemed_minor=50,
    paid_minor=850,
    redeemed_points=50,
    earned_points=8,
    link="down",
)
RETURN = PrintedReturn(
    kind="return",
    return_id="b-1",
    original_receipt_id="r-1",
    till="касса 1",
    moment="2025-03-06T11:05:00",
    lines=(GoodsBack("1", 1_000), GoodsBack("2")),
    money_back_minor=850,
)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("is_durable", [False, True])
def test_each_document_is_a_line_that_is_there_when_printing_returns(
    tmp_path: Path, is_durable: bool
) -> None:
    path = tmp_path / "printed.jsonl"
    with FilePrinter(path, is_durable=is_durable) as printer:
        printer.print_document(RECEIPT)
        assert lines_of(path) == [asdict(RECEIPT)]
        printer.print_document(RETURN)
        goods = [{"line_id": "1", "quantity": 1_000}, {"line_id": "2", "quantity": 0}]
        assert lines_of(path)[1:] == [asdict(RETURN) | {"lines": goods}]


def test_printer_opened_again_goes_on_behind_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "printed.jsonl"
    for _ in range(2):
        with FilePrinter(path) as printer:
            printer.print_document(RECEIPT)
    assert lines_of(path) == [asdict(RECEIPT)] * 2


def test_missing_folder_is_a_missing_device(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissingError, match="no folder"):
        FilePrinter(tmp_path / "nowhere" / "printed.jsonl")


def test_folder_in_place_of_the_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DeviceFaultError, match="cannot be written"):
        FilePrinter(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_full_disk_is_a_fault() -> None:
    printer = FilePrinter(Path("/dev/full"))
    with pytest.raises(DeviceFaultError, match="was not written"):
        printer.print_document(RECEIPT)
    with pytest.raises(OSError, match="No space"):
        printer.close()


@pytest.mark.parametrize("make", [MemoryPrinter, lambda: FilePrinter(Path("/dev/null"))])
def test_both_are_receipt_printers(make: Callable[[], ReceiptPrinter]) -> None:
    printer = make()
    printer.print_document(RECEIPT)
    if isinstance(printer, MemoryPrinter):
        assert printer.documents == [RECEIPT]
    elif isinstance(printer, FilePrinter):
        printer.close()
