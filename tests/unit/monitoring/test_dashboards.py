"""Grafana's dashboards ask for what the centre tells, with units and words, and overlap nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.source_tree import ROOT
from tests.support.promql import what_is_wrong
from tests.support.scraping import Scrape
from tests.unit.monitoring.test_alert_rules import needs_promtool, promtool

FILES = sorted((ROOT / "packaging" / "centre" / "grafana").glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in FILES
}
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
]
UNITS = {"percentunit", "s", "short", "reqps", "ops", "bytes"}
COLUMNS = 24


def queries() -> list[tuple[str, str]]:
    return [
        (f"{name}: {panel['title']}", target["expr"])
        for name, board in BOARDS.items()
        for panel in board["panels"]
        for target in panel["targets"]
    ]


def test_there_are_dashboards_with_names_of_their_own() -> None:
    assert set(BOARDS) == {"centre", "fleet"}
    for key in ("uid", "title"):
        assert len({board[key] for board in BOARDS.values()}) == len(BOARDS)
    for board in BOARDS.values():
        assert [each["name"] for each in board["templating"]["list"]] == ["datasource"]


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_a_title_words_a_unit_and_a_source(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    for each in (panel, *panel["targets"]):
        assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_lie_beside_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


async def test_queries_ask_for_what_the_centre_tells(page: Scrape) -> None:
    wrong = {where: what_is_wrong(query, page) for where, query in queries()}
    assert not {where: found for where, found in wrong.items() if found}


@needs_promtool
def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"q{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, (_, query) in enumerate(queries())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
