"""Printers without paper; what they keep is a witness apart from the till's journal."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from pos_adapters.errors import DeviceFaultError, DeviceMissingError
from pos_adapters.ports import PrintedReceipt, PrintedReturn


class MemoryPrinter:
    """Keeps what it printed in `documents`, in the order of printing."""

    def __init__(self) -> None:
        self.documents: list[PrintedReceipt | PrintedReturn] = []

    def print_document(self, document: PrintedReceipt | PrintedReturn) -> None:
        """Keep the document."""
        self.documents.append(document)


class FilePrinter:
    """Appends each document as one line of JSON, its fields by name; one printer a file."""

    def __init__(self, path: Path, *, is_durable: bool = False) -> None:
        """Opens the file, or makes it.

        Args:
            is_durable: when printing returns, the line is on the disk and survives a power cut.

        Raises:
            DeviceMissingError: the file's folder is not there.
            DeviceFaultError: the file cannot be opened for writing.
        """
        self._is_durable = is_durable
        try:
            self._file = path.open("ab")
        except FileNotFoundError as error:
            raise DeviceMissingError(f"there is no folder {path.parent}; make it") from error
        except OSError as error:
            raise DeviceFaultError(f"{path} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def print_document(self, document: PrintedReceipt | PrintedReturn) -> None:
        """Append the document's line.

        Raises:
            DeviceFaultError: the disk refuses.
        """
        line = json.dumps(asdict(document), ensure_ascii=False, separators=(",", ":"))
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            if self._is_durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise DeviceFaultError(f"the receipt was not written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()
