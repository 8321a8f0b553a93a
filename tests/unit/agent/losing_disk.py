"""A disk under SQLite that loses what was not synced, and fails when told to."""

# ruff: noqa: N802 - the names are SQLite's

from pathlib import Path

import apsw

from agent.journal.anchor import AnchorFile, Mark


class LosingDisk(apsw.VFS):
    """Passes everything to the real disk and keeps, beside it, what is sure to survive a power cut.

    The worst disk that keeps its word: a write that was not synced is lost, whole, always.

    Attributes:
        durable: what is sure to be on the disk.
        states: what was sure after each sync so far.
        unsynced: files with writes that a power cut would take.
        write_error, sync_error: what the next calls fail with; None while the disk is well.
    """

    def __init__(self, name: str) -> None:
        """Register the disk under its name; keep a reference as long as files are open on it."""
        super().__init__(name, "")
        self.name = name
        self.durable: dict[Path, bytes] = {}
        self.states: list[dict[Path, bytes]] = []
        self.unsynced: set[Path] = set()
        self.write_error: type[apsw.Error] | None = None
        self.sync_error: type[apsw.Error] | None = None

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "LosingFile":
        """Open a file."""
        return LosingFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Delete a file, for good."""
        super().xDelete(filename, syncdir)
        self.durable.pop(Path(filename), None)
        self.unsynced.discard(Path(filename))

    def cut(self, folder: Path, *, state: dict[Path, bytes] | None = None) -> Path:
        """Write into another folder what the disk would hold had the power been cut now.

        Args:
            state: one of `states`, to have it cut then.
        """
        folder.mkdir()
        for path, content in (self.durable if state is None else state).items():
            (folder / path.name).write_bytes(content)
        return folder


class LosingFile(apsw.VFSFile):
    """A file on such a disk."""

    def __init__(
        self, disk: LosingDisk, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        """Open it on the real disk."""
        super().__init__("", name, flags)
        self._disk = disk
        named = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._path = Path(named) if named else None

    def xWrite(self, data: bytes, offset: int) -> None:
        """Write, not yet surely."""
        if self._disk.write_error is not None:
            raise self._disk.write_error
        super().xWrite(data, offset)
        if self._path is not None:
            self._disk.unsynced.add(self._path)

    def xTruncate(self, newsize: int) -> None:
        """Shorten, not yet surely."""
        super().xTruncate(newsize)
        if self._path is not None:
            self._disk.unsynced.add(self._path)

    def xSync(self, flags: int) -> None:
        """Make everything written so far sure."""
        if self._disk.sync_error is not None:
            raise self._disk.sync_error
        super().xSync(flags)
        if self._path is not None:
            self._disk.durable[self._path] = self._path.read_bytes()
            self._disk.states.append(dict(self._disk.durable))
            self._disk.unsynced.discard(self._path)


class LosingAnchor(AnchorFile):
    """An anchor on such a disk: what was written was synced."""

    def __init__(self, disk: LosingDisk, path: Path) -> None:
        super().__init__(path)
        self._disk = disk
        self._at = path

    def write(self, mark: Mark) -> None:
        """Keep the mark."""
        super().write(mark)
        self._disk.durable[self._at] = self._at.read_bytes()
        self._disk.states.append(dict(self._disk.durable))
