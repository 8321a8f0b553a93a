"""The anchor: where the stream stood when a right last moved, in a file beside the journal.

A restored image, a lying disk or a lost tail brings a journal back whose rights were spent already.
The anchor is written after such a spend is durable and before anything says so, so that a journal
behind it, or beside it, is known for what it is (design: sync 1.5, 4.6 and 4.11). Where the anchor
was restored together with the journal only the centre or a sibling can tell.
"""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from agent.errors import JournalUnavailableError

_TITLE = "tillside-anchor/1"
_CHECK_CHARS = 16
_FILE_BYTES_MAX = 1024


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


def encode_mark(mark: Mark) -> bytes:
    """Return the bytes of a mark, a line of text with a check sum."""
    told = (
        f"{_TITLE} {mark.incarnation.hex()} {mark.incarnation_number} {mark.seq} {mark.hash.hex()}"
    )
    return f"{told} {_check(told)}\n".encode("ascii")


def decode_mark(content: bytes) -> Mark | None:
    """Read a mark; None for bytes that are none, as a torn write leaves them."""
    try:
        told, check = content.decode("ascii").rstrip("\n").rsplit(" ", 1)
        title, incarnation, number, seq, link = told.split(" ")
        if (title, check) != (_TITLE, _check(told)):
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

    def read(self) -> Mark | None:
        """Return the mark; None where there is none that can be read."""
        try:
            with self._path.open("rb") as file:
                return decode_mark(file.read(_FILE_BYTES_MAX))
        except OSError:
            return None

    def write(self, mark: Mark) -> None:
        """Keep the mark instead of the one before, durably.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        partial = self._path.with_name(self._path.name + ".partial")
        try:
            with partial.open("wb") as file:
                file.write(encode_mark(mark))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise JournalUnavailableError(f"the anchor cannot be written ({error})") from error


def _sync_folder(folder: Path) -> None:
    """Make a renaming durable; Windows has no such call and journals it by itself."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
