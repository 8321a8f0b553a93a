"""Run the golden receipts on every supported Python that is installed here, and name the others.

Looks on the PATH, then among the versions of pyenv and uv.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

RECEIPTS = Path(__file__).with_name("test_golden_receipts.py")
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")


def interpreters(version: str) -> Iterator[str]:
    """Yield where a Python of this version may be; a shim of pyenv may lead nowhere."""
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    data = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    for folder in (*pyenv.glob(f"{version}*"), *(data / "uv" / "python").glob(f"*-{version}*")):
        yield str(folder / "bin" / f"python{version}")


def installed(version: str) -> str | None:
    """Return a Python of this version that runs, None when there is none."""
    asks = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in interpreters(version):
        try:
            answer = subprocess.run(
                [path, "-c", asks], capture_output=True, text=True, check=False, timeout=60
            )
        except OSError:
            continue
        if answer.stdout.strip() == version:
            return path
    return None


def main() -> int:
    """Run them; return 1 when a receipt has other bytes somewhere."""
    different = False
    for version in SUPPORTED:
        path = installed(version)
        if path is None:
            sys.stdout.write(f"Python {version}: not installed here, skipped\n")
            continue
        answer = subprocess.run(
            [path, "-B", str(RECEIPTS)], capture_output=True, text=True, check=False, timeout=600
        )
        lines = answer.stdout.splitlines()
        same = sum(line.startswith("same ") for line in lines)
        if answer.returncode == 0 and same == len(lines) > 0:
            sys.stdout.write(f"Python {version}: {same} receipts, the same bytes\n")
        else:
            different = True
            sys.stdout.write(f"Python {version} ({path}): FAILED\n{answer.stdout}{answer.stderr}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
