"""Which code a measurement ran on, so that a figure can be had again."""

import hashlib
import subprocess
from pathlib import Path


def commit_here() -> str:
    """Return the commit of the code that runs, with a hash of what is not committed; or nothing."""
    try:
        commit = _git("rev-parse", "HEAD").strip().decode()
        changes = _git("diff", "HEAD") + _git("ls-files", "--others", "--exclude-standard")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}+{hashlib.sha256(changes).hexdigest()[:8]}" if changes else commit


def _git(*arguments: str) -> bytes:
    here = Path(__file__).parent
    done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, check=True)
    return done.stdout
