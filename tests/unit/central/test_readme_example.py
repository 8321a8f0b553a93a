"""What a newcomer pastes from the README works, and shows what the README says it shows."""

import re
import subprocess
import sys
from pathlib import Path

from tests.architecture.source_tree import ROOT


def test_the_example_of_the_readme_can_be_pasted(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    passage = text.partition("## Try offers without a centre")[2].partition("\n## ")[0]
    pasted, shown = re.findall(r"^```\n(.*?)^```$", passage, re.MULTILINE | re.DOTALL)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    done = subprocess.run(
        ["bash", "-e", "-c", pasted],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == shown.strip()
    assert (tmp_path / "var/try/offer.schema.json").stat().st_size
