"""The centre's commands, run in this process or in one of their own."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from central.cli import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it wrote."""

    code: int
    said: str
    complained: str


def central(*arguments: str | Path) -> Ended:
    """Run a command in this process; no stream of it stays with pytest, which would close it."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as ended:  # argparse ends by itself
            code = int(ended.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def central_process(*arguments: str | Path, given: bytes = b"") -> Ended:
    """Run a command in a process of its own, with these bytes on standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "central", *map(str, arguments)],
        cwd=ROOT, env=environment(), input=given, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def environment() -> dict[str, str]:
    """Return what a process of ours needs to know and nothing else."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
