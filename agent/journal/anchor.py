"""The anchor: where the stream stood when a right last moved, in a file beside the journal.

A restored image, a lying disk or a lost tail brings a journal back whose rights were spent already.
The anchor is written after such a spend is durable and before anything says so, so that a journal
behind it, or beside it, is known for what it is (design: sync 1.5, 4.6 and 4.11). Where the anchor
was restored together with the journal only the centre or a sibling can tell.

The file has two slots, written in turn, each with a number and a check sum: whatever becomes of a
write, the mark before it stands in the other one. So a mark costs one sync of blocks the file has
already, and a sale that spends waits for nothing else.
"""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from agent.errors import JournalUnavailableError

SLOT_BYTES: Final = 4096
"""A block of the disk: what happens to one slot does not happen to the other."""
SLOTS: Final = 2
_TITLE: Final = "tillside-anchor/2"
_TITLE_OF_ONE: Final = "tillside-anchor/1"
"""A file of one mark, without a number, as it was first; the next write replaces it."""
_CHECK_CHARS: Final = 16
# Windows has no `fdatasync`; the length of the file never changes.
_sync = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a till's history: a record and the hash of the chain up to it."""

    incarnation: bytes
    incarnation_number: int
    seq: int
    hash: bytes


class Anchor(Protocol):
    """Keeps one mark, apart from the journal."""

    def read(self) -> Mark | None:
        """Return the mark; None where there is none that can be read."""
        ...

    def write(self, mark: Mark) -> None:
        """Keep the mark instead of the one before, durably.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file of marks says.

    Attributes:
        mark: the newest that can be read.
        number: how often one was written before it; None for a file that has no slots to write to.
    """

    mark: Mark | None = None
    number: int | None = None


def encode_slot(mark: Mark, number: int) -> tuple[int, bytes]:
    """Return where a mark is written, and the bytes: a line of text with a check sum, and spaces.

    Args:
        number: rises by one with every write.
    """
    told = (
        f"{_TITLE} {number} {mark.incarnation.hex()} {mark.incarnation_number} {mark.seq}"
        f" {mark.hash.hex()}"
    )
    line = f"{told} {_check(told)}".encode("ascii")
    return number % SLOTS * SLOT_BYTES, line.ljust(SLOT_BYTES - 1) + b"\n"


def encode_file(mark: Mark) -> bytes:
    """Return a new file with a mark in its first slot."""
    _, slot = encode_slot(mark, 0)
    return slot + (b" " * (SLOT_BYTES - 1) + b"\n") * (SLOTS - 1)


def decode_file(content: bytes) -> Kept:
    """Read a file; a slot with a torn write is as good as none."""
    if content.startswith(_TITLE_OF_ONE.encode()):
        return Kept(_decode_one(content))
    found = [
        _decode_slot(content[at : at + SLOT_BYTES], at)
        for at in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES)
    ]
    newest = max(found, key=lambda kept: -1 if kept.number is None else kept.number)
    return newest if len(content) == SLOTS * SLOT_BYTES else Kept(newest.mark)


def _decode_slot(slot: bytes, at: int) -> Kept:
    try:
        told, check = slot.decode("ascii").rstrip().rsplit(" ", 1)
        title, number, incarnation, incarnation_number, seq, link = told.split(" ")
        mark = Mark(
            bytes.fromhex(incarnation), int(incarnation_number), int(seq), bytes.fromhex(link)
        )
        if (title, check) != (_TITLE, _check(told)) or int(number) % SLOTS * SLOT_BYTES != at:
            return Kept()
        return Kept(mark, int(number))
    except ValueError:
        return Kept()


def _decode_one(content: bytes) -> Mark | None:
    try:
        told, check = content.decode("ascii").rstrip("\n").rsplit(" ", 1)
        _, incarnation, number, seq, link = told.split(" ")
        if check != _check(told):
            return None
        return Mark(bytes.fromhex(incarnation), int(number), int(seq), bytes.fromhex(link))
    except ValueError:
        return None


def _check(told: str) -> str:
    return sha256(told.encode("ascii")).hexdigest()[:_CHECK_CHARS]


class AnchorFile:
    """An anchor in a file of its own; the old mark stands until the new one is on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number: int | None = None

    def read(self) -> Mark | None:
        """Return the mark; None where there is none that can be read."""
        kept = self._read()
        self._number = kept.number
        return kept.mark

    def _read(self) -> Kept:
        try:
            with self._path.open("rb") as file:
                return decode_file(file.read(SLOTS * SLOT_BYTES + 1))
        except OSError:
            return Kept()

    def write(self, mark: Mark) -> None:
        """Keep the mark instead of the one before, durably.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        number = self._read().number if self._number is None else self._number
        try:
            if number is None or not self._overwritten(mark, number + 1):
                self._number = number = None
                self._begin(mark)
        except OSError as error:
            # The slot may hold anything: the next try takes the same one, never the good one.
            raise JournalUnavailableError(f"the anchor cannot be written ({error})") from error
        self._number = 0 if number is None else number + 1

    def _overwritten(self, mark: Mark, number: int) -> bool:
        """Write into the slot that is next; False where the file is gone."""
        at, slot = encode_slot(mark, number)
        try:
            file = self._path.open("r+b", buffering=0)
        except FileNotFoundError:
            return False
        with file:
            file.seek(at)
            if file.write(slot) != SLOT_BYTES:
                raise OSError("the disk took a part of it")
            _sync(file.fileno())
        return True

    def _begin(self, mark: Mark) -> None:
        """Make the file anew beside what is there, which stands until that is on the disk."""
        partial = self._path.with_name(self._path.name + ".partial")
        with partial.open("wb") as file:
            file.write(encode_file(mark))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
        _sync_folder(self._path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a renaming durable; Windows has no such call and journals it by itself."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
