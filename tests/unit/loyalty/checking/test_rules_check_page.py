"""The page about checking names every code once, among its like."""

import re
from pathlib import Path

from loyalty.checking import ERRORS, Code

PAGE = (Path(__file__).parents[4] / "docs" / "rules-check.md").read_text(encoding="utf-8")


def codes_of(text: str) -> list[str]:
    return re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)


def test_errors_and_warnings_are_all_there() -> None:
    _, errors, warnings = re.split(r"^## (?:Errors|Warnings)$", PAGE, flags=re.MULTILINE)
    assert sorted(codes_of(errors)) == sorted(ERRORS)
    assert sorted(codes_of(warnings)) == sorted(set(Code) - ERRORS)
