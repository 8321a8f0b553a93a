"""What a disk was told during a day, and what of it is there after the power went at any point.

The day is run once over a disk that writes down every operation. From that list the disk is brought
to the moment before any of them, in order; there the power is cut as often as wanted, each time
with other survivors among the writes nobody had synced. Files keep their identity when renamed.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.simulation.disk import Disk, SimulatedVfs, _File

SECTOR_BYTES = 512
LIE_SHARES = (0.02, 0.1, 0.4)
"""How many of its syncs a lying disk answers without doing them."""

Kind = Literal["write", "truncate", "sync", "make", "delete", "rename"]
Model = Literal["honest", "lying"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of the disk.

    Attributes:
        number: which operation the disk had counted when it came; several may share it.
        file: of which file, by its number.
        at: byte offset of a write, or the size after a truncation.
        name: of a file made, deleted or renamed.
        new_name: after a renaming.
    """

    number: int
    kind: Kind
    file: int
    at: int = 0
    data: bytes = b""
    name: str = ""
    new_name: str = ""


class _LoggedFile(_File):
    """A file that writes down what is done to it."""

    def __init__(self, number: int, note: Callable[..., None]) -> None:
        super().__init__()
        self.number = number
        self._note = note

    def write(self, data: bytes, offset: int) -> None:
        self._note("write", self.number, at=offset, data=data)
        super().write(data, offset)

    def truncate(self, size_bytes: int) -> None:
        self._note("truncate", self.number, at=size_bytes)
        super().truncate(size_bytes)

    def sync(self) -> None:
        self._note("sync", self.number)
        super().sync()


class LoggedDisk(Disk):
    """A disk that never fails and remembers everything it was told.

    Attributes:
        log: every change, in order.
    """

    def __init__(self) -> None:
        super().__init__(random.Random(0))
        self.log: list[Operation] = []

    def _note(self, kind: Kind, file: int, **more: object) -> None:
        self.log.append(Operation(self.operations, kind, file, **more))  # type: ignore[arg-type]

    def open(self, name: str) -> _File:
        """Return a file, making it when it is missing."""
        if name not in self._files:
            number = len(self.log)
            self._note("make", number, name=name)
            self._files[name] = _LoggedFile(number, self._note)
        return self._files[name]

    def delete(self, name: str) -> None:
        """Delete a file."""
        if name in self._files:
            self._note("delete", 0, name=name)
        super().delete(name)

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file over another."""
        self._note("rename", 0, name=name, new_name=new_name)
        super().rename(name, new_name)


class _Twin:
    """A file on its way through the log: what is on the platter, and what waits in the cache."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.waiting: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        for offset, data in self.waiting:
            _land(self.durable, offset, data)
        self.waiting.clear()


class DiskInTime:
    """The disk of a day, brought forward operation by operation.

    Attributes:
        lies: syncs that were answered and not done.
    """

    def __init__(self, log: Sequence[Operation], *, lying: random.Random | None = None) -> None:
        """Stand before the first operation.

        Args:
            lying: draws which syncs are lies; none of an honest disk.
        """
        self.lies = 0
        self._log = log
        self._place = 0
        self._lying = lying
        self._lie_share = lying.choice(LIE_SHARES) if lying is not None else 0.0
        self._names: dict[str, int] = {}
        self._twins: dict[int, _Twin] = {}

    def advance_to(self, number: int) -> None:
        """Do everything that comes before an operation."""
        while self._place < len(self._log) and self._log[self._place].number < number:
            self._do(self._log[self._place])
            self._place += 1

    def _do(self, operation: Operation) -> None:
        match operation.kind:
            case "make":
                self._names[operation.name] = operation.file
                self._twins[operation.file] = _Twin()
            case "delete":
                self._twins.pop(self._names.pop(operation.name), None)
            case "rename":
                self._twins.pop(self._names.get(operation.new_name, -1), None)
                self._names[operation.new_name] = self._names.pop(operation.name)
            case "sync":
                if self._lying is not None and self._lying.random() < self._lie_share:
                    self.lies += 1
                else:
                    self._twins[operation.file].sync()
            case _:
                self._twins[operation.file].waiting.append(_waiting(operation))

    def cut(self, pattern: int, draws: random.Random) -> Disk:
        """Return the disk as it is found after the power went right now.

        Args:
            pattern: 0: nothing that was not synced survives; 1: all of it does; beyond: drawn write
                by write, torn in sectors, some of them rubbish, and in every second pattern with a
                part of the operation that was under way.
        """
        disk = Disk(random.Random(draws.random()))
        share = (0.0, 1.0)[pattern] if pattern < 2 else draws.random()
        under_way = self._under_way() if pattern % 2 else {}
        for name, number in sorted(self._names.items()):
            twin = self._twins[number]
            image = bytearray(twin.durable)
            for offset, data in (*twin.waiting, *under_way.get(number, ())):
                if draws.random() >= share:
                    continue
                if pattern < 2 or data is None:
                    _land(image, offset, data)
                else:
                    _tear(image, offset, data, draws)
            file = disk.open(name)
            file.durable, file.seen = image, bytearray(image)
        return disk

    def _under_way(self) -> dict[int, list[tuple[int, bytes | None]]]:
        if self._place == len(self._log):
            return {}
        operation = self._log[self._place]
        if operation.kind not in ("write", "truncate"):
            return {}
        return {operation.file: [_waiting(operation)]}


def _waiting(operation: Operation) -> tuple[int, bytes | None]:
    return operation.at, operation.data if operation.kind == "write" else None


def _land(image: bytearray, offset: int, data: bytes | None) -> None:
    """Do a write, or where there is no data a change of size."""
    end = offset if data is None else offset + len(data)
    if len(image) < end:
        image.extend(bytes(end - len(image)))
    if data is None:
        del image[offset:]
    else:
        image[offset:end] = data


def _tear(image: bytearray, offset: int, data: bytes, draws: random.Random) -> None:
    """Do what of a write reached the platter, sector by sector."""
    is_torn = draws.random() < 0.5
    for at in range(0, len(data), SECTOR_BYTES):
        sector = data[at : at + SECTOR_BYTES]
        if is_torn and draws.random() < 0.4:
            if draws.random() < 0.2:
                _land(image, offset + at, draws.randbytes(len(sector)))
            continue
        _land(image, offset + at, sector)


class Machine:
    """SQLite's way to simulated disks, one machine in this process."""

    def __init__(self, seed: int) -> None:
        self.now_ms = 0
        self.vfs = SimulatedVfs(random.Random(seed), lambda: self.now_ms)

    def put(self, name: str, disk: Disk) -> Disk:
        """Have paths that begin with `/name/` lead to a disk."""
        self.vfs.disks[name] = disk
        return disk

    def close(self) -> None:
        """Forget the disks."""
        self.vfs.disks.clear()
        self.vfs.unregister()
