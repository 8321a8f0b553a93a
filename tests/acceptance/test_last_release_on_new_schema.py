"""Expand, then contract: the last release's code works on the schema this release makes.

Its own sources are taken out of git, this release's migrations that only add are put beside its
own, and its own tests run on that schema: while a release is taken into use its processes do just
that (docs/operations.md).
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

BEFORE_ANY_RELEASE = "664cb40608070507e98958a29802b975eac00202"
"""What counts as the last release until there is a tag: schema 0019."""
TESTS = ("sales", "grants", "refunds", "streams", "feed")
PASSED_MIN = 90


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)


def last_release() -> str:
    """Return the newest release's tag, or what stands for it."""
    found = git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    return found.stdout.decode().strip() if found.returncode == 0 else BEFORE_ANY_RELEASE


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Give a folder with the last release's sources, and this one's added migrations."""
    if (
        shutil.which("git") is None
        or git("cat-file", "-e", f"{last_release()}^{{commit}}").returncode
    ):
        pytest.skip("its sources are not here: this is no clone with its history")
    archive = git("archive", "--format=tar", last_release())
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as sources:
        sources.extractall(tmp_path)  # git made it
    theirs = tmp_path / "central" / "database" / "migrations"
    for file in sorted((ROOT / "central" / "database" / "migrations").glob("*_pre_*.sql")):
        if not (theirs / file.name).exists():
            # That release's own code runs every file in a transaction.
            sql = file.read_text(encoding="utf-8").replace(" index concurrently ", " index ")
            (theirs / file.name).write_text(sql, encoding="utf-8")
    return tmp_path


def test_the_last_releases_code_works_on_the_new_schema(
    older: Path, postgres_server: str
) -> None:  # fmt: skip
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(older), "TILLSIDE_TEST_DSN": postgres_server,
    }  # fmt: skip
    whose = subprocess.run(
        [sys.executable, "-c", "import central, tests.support.centre; print(central.__file__)"],
        cwd=older, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(whose.stdout.strip()).is_relative_to(older)
    files = [f"tests/unit/central/test_{name}.py" for name in TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=older, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= PASSED_MIN, done.stdout[-500:]
