"""A disk in memory under SQLite: what was synced survives a power cut, of the rest some sectors do.

An honest disk: a sync keeps its promise. Unsynced writes survive or not one by one, out of order,
torn at 512 bytes, now and then with rubbish in the torn sector. Everything SQLite asks of the
machine (randomness, time, waiting) comes from the seed, so that a run repeats to the byte.
"""

import random
from collections.abc import Callable
from typing import Literal

import apsw

from agent.errors import JournalUnavailableError
from agent.journal.anchor import Mark, decode_mark, encode_mark

_SECTOR_BYTES = 512
VFS_NAME = "tillside-simulated"


class _File:
    """One file: what is on the platter, what processes see, and the writes in between."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.seen = bytearray()
        self.unsynced: list[tuple[int, bytes | None]] = []

    def write(self, data: bytes, offset: int) -> None:
        """Write into the machine's cache."""
        _put(self.seen, data, offset)
        self.unsynced.append((offset, data))

    def truncate(self, size_bytes: int) -> None:
        """Cut or stretch the file in the machine's cache."""
        _resize(self.seen, size_bytes)
        self.unsynced.append((size_bytes, None))

    def sync(self) -> None:
        """Bring everything to the platter."""
        for offset, data in self.unsynced:
            if data is None:
                _resize(self.durable, offset)
            else:
                _put(self.durable, data, offset)
        self.unsynced.clear()


class PowerCut(apsw.IOError):
    """The machine is off; nothing is read or written any more."""


class Disk:
    """The disk of one machine.

    Attributes:
        operations: writes, truncations and syncs so far.
        is_off: the power was cut in the middle of something.
        refuses: no file may grow while it is `full`; nothing is written while it is `read-only`.
        sync_ms: how long it takes to bring something to the platter.
    """

    def __init__(self, draws: random.Random) -> None:
        self._draws = draws
        self._files: dict[str, _File] = {}
        self._off_at: int | None = None
        self.operations = 0
        self.is_off = False
        self.refuses: Literal["", "full", "read-only"] = ""
        self.sync_ms = 0
        self._waited_ms = 0

    def count_sync(self) -> None:
        """Count a sync, as an operation and in time."""
        self.count_operation()
        self._waited_ms += self.sync_ms

    def take_wait(self) -> int:
        """Return for how many ms syncs have kept their caller waiting since the last question."""
        waited_ms, self._waited_ms = self._waited_ms, 0
        return waited_ms

    def mend(self) -> None:
        """Make it work again as it should."""
        self.refuses, self.sync_ms = "", 0

    def require_room(self, *, grows: bool) -> None:
        """Refuse a write for which there is no room, or any.

        Raises:
            FullError: the file would grow and the disk is full.
            IOError: the disk became read-only, as it does after a fault.
        """
        if self.refuses == "full" and grows:
            raise apsw.FullError("the disk is full")
        if self.refuses == "read-only":
            raise apsw.IOError("the disk is read-only")

    def cut_power_after(self, operations: int) -> None:
        """Cut the power at a later operation."""
        self._off_at = self.operations + operations

    def require_power(self) -> None:
        """Refuse to work without power."""
        if self.is_off:
            raise PowerCut("the machine is off")

    def count_operation(self) -> None:
        """Count an operation; the power may go before it is done."""
        self.require_power()
        self.operations += 1
        if self._off_at is not None and self.operations >= self._off_at:
            self.is_off = True
            raise PowerCut("the power was cut")

    def come_back(self, *, lost_power: bool) -> None:
        """Start the machine again; after a mere end of the process its cache is still there."""
        if lost_power:
            for name in sorted(self._files):
                self._survive(self._files[name])
        self.is_off, self._off_at = False, None

    def _survive(self, file: _File) -> None:
        draws = self._draws
        image = bytearray(file.durable)
        share = draws.random()
        for offset, data in file.unsynced:
            if draws.random() > share:
                continue
            if data is None:
                _resize(image, offset)
            else:
                self._land(image, offset, data)
        file.durable, file.seen, file.unsynced = bytearray(image), image, []

    def _land(self, image: bytearray, offset: int, data: bytes) -> None:
        """Write what of a write reached the platter."""
        draws = self._draws
        is_torn = draws.random() < 0.5
        for at in range(0, len(data), _SECTOR_BYTES):
            sector = data[at : at + _SECTOR_BYTES]
            if is_torn and draws.random() < 0.4:
                if draws.random() < 0.2:
                    _put(image, draws.randbytes(len(sector)), offset + at)
                continue
            _put(image, sector, offset + at)

    # Files

    def open(self, name: str) -> _File:
        """Return a file, making it when it is missing."""
        return self._files.setdefault(name, _File())

    def exists(self, name: str) -> bool:
        """Say whether there is such a file."""
        return name in self._files

    def delete(self, name: str) -> None:
        """Delete a file; of a directory's entries none is ever lost here."""
        self._files.pop(name, None)

    def set_aside(self, name: str, kept_as: str) -> None:
        """Rename a database with its side files.

        Raises:
            JournalUnavailableError: the disk is read-only.
        """
        if self.refuses == "read-only":
            raise JournalUnavailableError("the disk is read-only")
        for suffix in ("", "-wal", "-journal"):
            if (file := self._files.pop(name + suffix, None)) is not None:
                self._files[kept_as + suffix] = file

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file over another, at once and durably, as a journalling file system does."""
        self._files[new_name] = self._files.pop(name)

    def spoil(self, name: str) -> None:
        """Overwrite a database's first page with rubbish, on the platter too; its log is gone."""
        rubbish = self._draws.randbytes(4096)
        self.delete(name + "-wal")
        file = self.open(name)
        file.write(rubbish, 0)
        file.sync()

    def is_all_durable(self, name: str) -> bool:
        """Say whether nothing of a database would be lost by a power cut now."""
        return not any(
            self._files[each].unsynced for each in (name, f"{name}-wal") if each in self._files
        )

    def image(self) -> "dict[str, bytes]":
        """Return what the platter has, as a backup of the whole disk does."""
        return {name: bytes(file.durable) for name, file in self._files.items()}

    def restore(self, image: "dict[str, bytes]", *, but: str = "") -> None:
        """Bring an image back; one file may stay as it is."""
        kept = {name: file for name, file in self._files.items() if name == but}
        self._files = kept
        for name, content in image.items():
            if name != but:
                file = self.open(name)
                file.durable, file.seen = bytearray(content), bytearray(content)

    def copy_of_durable(self, name: str, new_name: str) -> "Disk":
        """Return a disk with what the platter has: the worst a power cut now would leave."""
        copy = Disk(random.Random(0))
        for path, file in self._files.items():
            twin = copy.open(path.replace(f"/{name}/", f"/{new_name}/", 1))
            twin.durable, twin.seen = bytearray(file.durable), bytearray(file.durable)
        return copy


def _put(image: bytearray, data: bytes, offset: int) -> None:
    end = offset + len(data)
    if len(image) < end:
        image.extend(bytes(end - len(image)))
    image[offset:end] = data


def _resize(image: bytearray, size_bytes: int) -> None:
    if size_bytes <= len(image):
        del image[size_bytes:]
    else:
        image.extend(bytes(size_bytes - len(image)))


class DiskAnchor:
    """A till's anchor as a file of the simulated disk: written whole and synced, then renamed."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name

    def read(self) -> Mark | None:
        """Return the mark; None where there is none that can be read."""
        self._disk.require_power()
        if not self._disk.exists(self._name):
            return None
        return decode_mark(bytes(self._disk.open(self._name).seen))

    def write(self, mark: Mark) -> None:
        """Keep the mark instead of the one before; the power may go at every step.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        if self._disk.refuses:
            raise JournalUnavailableError(f"the disk is {self._disk.refuses}")
        partial = f"{self._name}.partial"
        self._disk.delete(partial)
        file = self._disk.open(partial)
        self._disk.count_operation()
        file.write(encode_mark(mark), 0)
        self._disk.count_sync()
        file.sync()
        self._disk.count_operation()
        self._disk.rename(partial, self._name)


class _OpenFile:
    """What SQLite calls of an open file; one process, so locks are always granted."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._file = disk.open(name)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name, as all here
        self._disk.require_power()
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.count_operation()
        self._disk.require_room(grows=offset + len(data) > len(self._file.seen))
        self._file.write(bytes(data), offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.count_operation()
        self._disk.require_room(grows=size > len(self._file.seen))
        self._file.truncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.count_sync()
        self._disk.require_room(grows=False)
        self._file.sync()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.seen)

    def xLock(self, level: int) -> None:  # noqa: N802
        return

    def xUnlock(self, level: int) -> None:  # noqa: N802
        return

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return _SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        # As on Linux: a torn write harms no bytes beside it.
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:  # noqa: N802
        return


class SimulatedVfs(apsw.VFS):
    """Gives SQLite a disk by the first part of a path: of `/till-3/journal.db` it is `till-3`."""

    def __init__(self, draws: random.Random, now_ms: Callable[[], int]) -> None:
        """Registers itself under `VFS_NAME` until `unregister`."""
        self._draws = draws
        self._now_ms = now_ms
        self.disks: dict[str, Disk] = {}
        super().__init__(VFS_NAME, base="")

    def _disk(self, path: str) -> Disk:
        return self.disks[path.split("/")[1]]

    def xOpen(  # type: ignore[override]  # noqa: N802 - apsw takes whatever has the methods
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> _OpenFile:
        assert name is not None, "nothing here needs a temporary file"
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        disk = self._disk(path)
        disk.require_power()
        return _OpenFile(disk, path)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        disk = self._disk(name)
        disk.count_operation()
        disk.require_room(grows=False)
        disk.delete(name)

    def xAccess(self, name: str, flags: int) -> bool:  # noqa: N802
        disk = self._disk(name)
        return disk.exists(name) and len(disk.open(name).seen) > 0

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xRandomness(self, count: int) -> bytes:  # noqa: N802
        return self._draws.randbytes(count)

    def xCurrentTimeInt64(self) -> int:  # noqa: N802
        return 210866760000000 + self._now_ms()

    def xCurrentTime(self) -> float:  # noqa: N802
        return 2440587.5 + self._now_ms() / 86_400_000

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return microseconds
