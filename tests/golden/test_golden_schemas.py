"""The schemas as `tillside-central schema NAME` prints them, the same on every supported Python.

They are made from the types, so that a changed type shows here; `schemas/` is also where people who
write rules find them without installing anything.
"""

from pathlib import Path

import pytest

from loyalty.schemas import DOCUMENTS
from tests.support.command_line import central

SCHEMAS = Path(__file__).parent / "schemas"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schema_is_printed_as_it_was(name: str, *, update_golden: bool) -> None:
    printed = central("schema", name).said
    path = SCHEMAS / f"{name}.json"
    if update_golden:
        path.write_text(printed, encoding="utf-8")
    assert printed == path.read_text(encoding="utf-8"), f"{name}: the difference must be on purpose"


def test_every_kept_schema_is_still_printed() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(DOCUMENTS)
