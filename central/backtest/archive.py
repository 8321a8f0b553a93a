"""The archive's folder: a folder for each business date with Parquet files, and the bundles.

    _bundles/0c5e...9a.json.zst          every bundle its receipts were calculated with
    date=2026-03-02/part-00000.parquet   receipts in the order of their stores

A file appears whole, under its name, or not at all; what stands in the folder is never changed.
The names are those Spark, DuckDB and others read as a table partitioned by `date`; they pass over
names that begin with an underscore or a dot.
"""

import fcntl
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import zstandard
from pyarrow import compute, parquet

from central.backtest.columns import SCHEMA
from central.errors import CentralError
from loyalty.bundle import Bundle
from loyalty.documents import decode
from loyalty.errors import LoyaltyError

_DATE: Final = "date="
BUNDLES: Final = "_bundles"
BUNDLE_ENDS: Final = ".json.zst"
_UNFINISHED: Final = ".unfinished"


class ArchiveError(CentralError):
    """The archive cannot be used."""


@dataclass(frozen=True, slots=True)
class Period:
    """Business dates, `YYYY-MM-DD`, both inside."""

    first: str
    last: str

    def holds(self, day: str) -> bool:
        """Say whether a date is inside."""
        return self.first <= day <= self.last


def read_period(text: str) -> Period:
    """Read `2026-03-01..2026-03-31`, or one date.

    Raises:
        ValueError: these are no dates, or not in this order.
    """
    first, dots, last = text.partition("..")
    found = Period(_date(first), _date(last if dots else first))
    if found.first > found.last:
        raise ValueError("the first date is after the last")
    return found


def _date(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not YYYY-MM-DD")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of receipts."""

    day: str
    path: Path


class Archive:
    """A folder of archived receipts."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it may not be there yet."""
        self.folder = folder

    def days(self, period: Period) -> list[str]:
        """Return the dates of a period that the archive has files of, in their order."""
        found = (each.name.removeprefix(_DATE) for each in self.folder.glob(f"{_DATE}*"))
        return sorted(day for day in found if period.holds(day))

    def parts(self, day: str) -> list[Part]:
        """Return the files of a date, in the order they were written."""
        folder = self.folder / f"{_DATE}{day}"
        return [Part(day, path) for path in sorted(folder.glob("part-*.parquet"))]

    def keys(self, day: str) -> set[str]:
        """Return the sale keys of a date."""
        return {
            key
            for part in self.parts(day)
            for key in parquet.read_table(part.path, columns=["sale_key"], partitioning=None)
            .column("sale_key")
            .to_pylist()
        }

    def read_bundle(self, bundle_hash: str) -> Bundle:
        """Return a bundle of the archive.

        Raises:
            LookupError: it is not there, or cannot be read any more.
        """
        try:
            content = zstandard.decompress(self._bundle_file(bundle_hash).read_bytes())
            return decode(Bundle, msgspec.json.decode(content))
        except (OSError, LoyaltyError, msgspec.DecodeError, zstandard.ZstdError) as error:
            raise LookupError(f"{bundle_hash}: {error}") from error

    def bundle_hashes(self) -> set[str]:
        """Return the hashes of the bundles that are there."""
        found = (self.folder / BUNDLES).glob(f"*{BUNDLE_ENDS}")
        return {path.name.removesuffix(BUNDLE_ENDS) for path in found}

    def _bundle_file(self, bundle_hash: str) -> Path:
        return self.folder / BUNDLES / f"{bundle_hash}{BUNDLE_ENDS}"

    # Writing

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Write alone: two writers would archive the same receipts.

        Raises:
            ArchiveError: somebody else writes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ArchiveError(f"{self.folder}: another process archives there") from error
            yield

    def add_bundle(self, bundle_hash: str, content_zstd: bytes) -> None:
        """Keep a bundle's bytes."""
        _write_whole(self._bundle_file(bundle_hash), content_zstd)

    @contextmanager
    def new_part(self, day: str) -> Iterator["PartWriter"]:
        """Give a writer of a new file; the file appears when the block ends, if it holds rows.

        What a process that was killed had not finished is removed.
        """
        folder = self.folder / f"{_DATE}{day}"
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".*{_UNFINISHED}"):
            left.unlink()
        number = max((_number(part.path) for part in self.parts(day)), default=-1) + 1
        path = folder / f"part-{number:05}.parquet"
        unfinished = _unfinished(path)
        with parquet.ParquetWriter(unfinished, SCHEMA, compression="zstd") as writer:
            part = PartWriter(writer)
            yield part
        if part.rows:
            _rename_whole(unfinished, path)
        else:
            unfinished.unlink()


class PartWriter:
    """Writes one file, a batch as one row group: what one process calculates at a time."""

    def __init__(self, writer: Any) -> None:  # noqa: ANN401 - pyarrow has no types
        """Take pyarrow's writer."""
        self._writer = writer
        self.rows = 0

    def add(self, table: Any) -> None:  # noqa: ANN401 - pyarrow has no types
        """Add a table of `columns.SCHEMA`."""
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self.rows += table.num_rows


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("part-"))


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}{_UNFINISHED}")


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unfinished(path)
    unfinished.write_bytes(content)
    _rename_whole(unfinished, path)


def _rename_whole(unfinished: Path, path: Path) -> None:
    """Give a written file its name once its bytes are on the disk."""
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# Reading in pieces


@dataclass(frozen=True, slots=True)
class Piece:
    """Row groups of one or more files, by file and number: what is calculated at a time."""

    groups: tuple[tuple[Path, int], ...]
    rows: int


def pieces_of(parts: Iterable[Part], *, rows_most: int) -> Iterator[Piece]:
    """Yield pieces in the order of the files, each of a row group or of so many rows at most."""
    groups: list[tuple[Path, int]] = []
    rows = 0
    for part in parts:
        data = parquet.ParquetFile(part.path).metadata
        for number in range(data.num_row_groups):
            more = data.row_group(number).num_rows
            if groups and rows + more > rows_most:
                yield Piece(tuple(groups), rows)
                groups, rows = [], 0
            groups.append((part.path, number))
            rows += more
    if groups:
        yield Piece(tuple(groups), rows)


def read_piece(piece: Piece, stores: Collection[str] = ()) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a piece as one record batch; with `stores`, the receipts of these alone."""
    by_file: dict[Path, list[int]] = {}
    for path, number in piece.groups:
        by_file.setdefault(path, []).append(number)
    table = pa.concat_tables(
        parquet.ParquetFile(path).read_row_groups(numbers) for path, numbers in by_file.items()
    )
    if stores:
        table = table.filter(compute.is_in(table["store"], value_set=pa.array(sorted(stores))))
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=SCHEMA)
