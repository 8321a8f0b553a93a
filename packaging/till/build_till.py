"""Build what is installed on a till: the folder dist/tillside-agent with its own Python.

The same sources, libraries, Python and folder give the same bytes: the hash in the report says so.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

# PyInstaller has no types of its own.
from PyInstaller.archive.readers import CArchiveReader  # type: ignore[import-untyped]
from PyInstaller.depend.bindepend import (  # type: ignore[import-untyped]
    get_python_library_path,
)
from PyInstaller.exceptions import PythonLibraryNotFoundError  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "packaging" / "till" / "agent.spec"
NAME = "tillside-agent"
REPORT = ROOT / "var" / "package" / "report.json"
# Any fixed moment will do; zip files begin in 1980.
BUILT_AT = "315532800"


def main() -> int:
    """Build, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the folder goes")
    options = parser.parse_args()
    _require_tools()
    folder = options.dist.resolve() / NAME
    started = time.monotonic()
    _build(folder.parent)
    libraries = _add_licences(folder)
    report = {
        "folder": os.path.relpath(folder, ROOT),
        "build_s": round(time.monotonic() - started, 1),
        "size_bytes": sum(path.lstat().st_size for path in _files(folder)),
        "files": len(_files(folder)),
        "sha256": _tree_hash(folder),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "glibc_min": _glibc_min(folder),
        "libraries": libraries,
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"built {report['folder']} in {report['build_s']} s: {report['files']} files,"
        f" {int(str(report['size_bytes'])) / 1e6:.1f} MB, sha256 {str(report['sha256'])[:16]},"
        f" needs glibc {report['glibc_min']}"
    )
    return 0


def _fail(message: str) -> NoReturn:
    sys.exit(f"build_till: {message}")


def _require_tools() -> None:
    """Stop before the build when it could not end well."""
    if sys.platform != "linux":
        _fail("builds for Linux only, so far")
    try:
        get_python_library_path()
    except PythonLibraryNotFoundError:
        _fail(
            f"this Python ({sys.executable}) has no shared library to put into the folder. Use one"
            " that has: that of Debian or Ubuntu with libpython3-dev, or one compiled with"
            " --enable-shared; then: make clean package PYTHON=/path/to/python3"
        )
    for tool in ("objdump", "strip"):
        if shutil.which(tool) is None:
            _fail(f"{tool} is not installed. On Debian and Ubuntu: apt-get install binutils")


def _build(dist: Path) -> None:
    work = ROOT / "build" / "till"
    environment = os.environ | {
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", BUILT_AT),
        "PYTHONHASHSEED": "1",
        "PYINSTALLER_CONFIG_DIR": str(work / "cache"),
    }
    environment.pop("PYTHONOPTIMIZE", None)  # would drop the assertions
    command = [sys.executable, "-m", "PyInstaller", str(SPEC), "--clean", "--noconfirm"]
    command += ["--log-level", "WARN", "--workpath", str(work), "--distpath", str(dist)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        _fail(f"PyInstaller failed:\n{done.stdout}{done.stderr}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _add_licences(folder: Path) -> dict[str, str]:
    """Put the licences of everything inside beside it; returns the libraries' versions."""
    archive = CArchiveReader(str(folder / NAME)).open_embedded_archive("PYZ.pyz")
    inside = {name.split(".", maxsplit=1)[0] for name in archive.toc}
    inside |= {path.name.split(".", maxsplit=1)[0] for path in (folder / "_internal").iterdir()}
    owners = importlib.metadata.packages_distributions()
    versions: dict[str, str] = {}
    target = folder / "licences"
    for name in sorted({owner for top in inside for owner in owners.get(top, ())}):
        distribution = importlib.metadata.distribution(name)
        versions[name] = distribution.version
        for file in distribution.files or ():
            if ".dist-info" in file.parts[0] and re.match(
                r"licen[cs]e|copying|notice", file.name, re.IGNORECASE
            ):
                (target / name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target / name / file.name)
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    return versions


def _tree_hash(folder: Path) -> str:
    """Hash names, contents, link targets and whether a file may be run."""
    digest = hashlib.sha256()
    for path in _files(folder):
        content = (
            str(path.readlink()).encode()
            if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).digest()
        )
        runs = not path.is_symlink() and os.access(path, os.X_OK)
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{path.is_symlink():d}{runs:d}{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _glibc_min(folder: Path) -> str:
    """Return the oldest C library all the binaries run on."""
    binaries = [folder / NAME, *(path for path in _files(folder) if ".so" in path.name)]
    shown = subprocess.run(
        ["objdump", "-T", *map(str, binaries)], capture_output=True, text=True, check=False
    ).stdout
    found = {tuple(map(int, text.split("."))) for text in re.findall(r"GLIBC_([0-9.]+)", shown)}
    return ".".join(map(str, max(found)))


if __name__ == "__main__":
    sys.exit(main())
