"""What other systems are told, by version: fields are added to a version, nothing else changes.

The schemas are also where people who receive events find them without installing anything.
"""

import json
from pathlib import Path

import pytest

from central.outreach.events import DATA_TYPES
from tests.support.command_line import central

EVENTS = Path(__file__).parent / "events"


@pytest.mark.parametrize("name", DATA_TYPES)
def test_an_event_is_as_it_was(name: str, *, update_golden: bool) -> None:
    printed = central("events", "schema", name).said
    path = EVENTS / f"{name}.json"
    if update_golden:
        path.write_text(printed, encoding="utf-8")
    assert printed == path.read_text(encoding="utf-8"), f"{name}: the difference must be on purpose"


def test_every_kept_schema_is_still_an_event() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == set(DATA_TYPES)


def test_the_types_are_listed() -> None:
    assert central("events", "schema").said.count("\n") == len(DATA_TYPES)


def test_a_schema_is_one_of_a_whole_event() -> None:
    schema = json.loads((EVENTS / "points.earned.v1.json").read_text(encoding="utf-8"))
    assert schema["properties"]["type"] == {"const": "tillside.points.earned.v1"}
    assert "data" in schema["required"]
